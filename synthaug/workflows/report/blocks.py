"""What a report is made of, whatever it is written in: words, tables, plots and pictures, in their order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Rows = list[list[str]]


@dataclass(frozen=True)
class Heading:
    """Opens a part.

    Attributes:
        words: The heading.
        level: 2 for a part, 3 for a part of it.
        anchor: What links call it; nothing if none lead there.
    """

    words: str
    level: Literal[2, 3] = 2
    anchor: str = ""


@dataclass(frozen=True)
class Paragraph:
    """Words.

    Attributes:
        words: The words.
        kind: `note` for what explains, `lead` for what introduces.
    """

    words: str
    kind: Literal["text", "note", "lead"] = "text"


@dataclass(frozen=True)
class Verdict:
    """One verdict, coloured by its tone.

    Attributes:
        words: The verdict in words.
        verdict: What decides its colour.
        details: What else belongs to it.
    """

    words: str
    verdict: str
    details: str = ""


@dataclass(frozen=True)
class Verdicts:
    """The verdicts, at the top of the page; one alone is written larger."""

    entries: tuple[Verdict, ...]


@dataclass(frozen=True)
class Banner:
    """Something to know before anything below is believed.

    Attributes:
        words: What it is.
        items: Its cases.
    """

    words: str
    items: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fact:
    """A figure that stands out.

    Attributes:
        question: What it answers.
        answer: In a few words.
        details: How it comes about.
    """

    question: str
    answer: str
    details: str = ""


@dataclass(frozen=True)
class Facts:
    """Figures beside each other."""

    entries: tuple[Fact, ...]


@dataclass(frozen=True)
class Table:
    """Rows of words, the first one its header."""

    rows: Rows


@dataclass(frozen=True)
class Plot:
    """A drawing.

    Attributes:
        svg: The drawing, with a text alternative.
        words: The text alternative, which has its numbers.
        caption: What it shows.
        is_in_tables: Whether a table near it has the same numbers, so that text without drawings can do without it.
    """

    svg: str
    words: str
    caption: str
    is_in_tables: bool = True


@dataclass(frozen=True)
class Picture:
    """A grid of images.

    Attributes:
        path: The file.
        link: The file, seen from the report.
        caption: What it shows.
        alternative: The same in two or three words.
    """

    path: Path
    link: str
    caption: str
    alternative: str


@dataclass(frozen=True)
class Code:
    """A command, ready to be copied."""

    words: str


@dataclass(frozen=True)
class Contents:
    """Links to the parts.

    Attributes:
        entries: Words and anchor of each.
    """

    entries: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Beside:
    """Plots and pictures that stand beside each other where there is room."""

    blocks: tuple[Plot | Picture, ...]


@dataclass(frozen=True)
class Opening:
    """The first screen: one plot beside what explains it."""

    plot: Plot
    blocks: tuple[Facts | Verdicts | Paragraph, ...]


Block = Heading | Paragraph | Verdicts | Banner | Facts | Table | Plot | Picture | Code | Contents | Beside | Opening
