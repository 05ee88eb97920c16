"""A report as Markdown, for code review and version control; it refers to the pictures beside it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from synthaug.workflows.report.blocks import (
    Banner,
    Beside,
    Block,
    Code,
    Contents,
    Facts,
    Heading,
    Opening,
    Paragraph,
    Picture,
    Plot,
    Rows,
    Table,
    Verdicts,
)

#: What Markdown reads as more than itself wherever it stands; an underscore within a word is none.
_MARK = re.compile(r"[\\`*\[\]!#~$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
#: What it reads as the beginning of a list, or as a rule, if a line begins with it.
_NUMBER = re.compile(r"^(\d+)([.)])(?=\s|$)")
_BULLET = re.compile(r"^(?:[-+](?=\s|$)|-(?=[-\s]+$))")


def markdown_page(title: str, blocks: Sequence[Block]) -> str:
    """The whole page."""
    parts = [f"# {text(title)}", *(_markdown(block) for block in blocks)]
    return "\n\n".join(part for part in parts if part) + "\n"


def text(words: str) -> str:
    """Words that read as they are: they end neither a line nor a table cell, and are no HTML and no Markdown."""
    line = _MARK.sub(r"\\\g<0>", " ".join(words.split()))
    line = _BULLET.sub(r"\\\g<0>", _NUMBER.sub(r"\g<1>\\\g<2>", line))
    line = escape(line, quote=False).replace("|", "&#124;")
    return line.replace("://", "&#58;//").replace("www.", "www&#46;")  # which some renderers make links of


def _markdown(block: Block) -> str:  # noqa: C901, PLR0911, PLR0912 (one case for each kind)
    match block:
        case Heading(words, level):
            return f"{'#' * level} {text(words)}"
        case Paragraph(words):
            return text(words)
        case Verdicts((entry,)) if not entry.details:
            return f"**{text(entry.words)}**"
        case Verdicts(entries):
            return _list([f"**{text(one.words)}**{_after(': ', one.details)}" for one in entries])
        case Banner(words, items):
            return "\n".join([f"> **{text(words)}**", *(f"> - {text(item)}" for item in items)])
        case Facts(entries):
            return _list([f"{text(f'{one.question} {one.answer}')}{_after('; ', one.details)}" for one in entries])
        case Table(rows):
            return _table(rows)
        case Plot(_, words, _, is_in_tables):
            return "" if is_in_tables else text(f"{words}.")
        case Picture(_, link, caption, alternative):
            return f"![{alternative}]({link})\n\n{text(caption)}"
        case Code(words):
            return "\n".join(f"    {line}" for line in words.splitlines())
        case Contents():
            return ""
        case Beside(blocks):
            return _beside(blocks)
        case Opening(_, blocks):
            return "\n\n".join(_markdown(one) for one in blocks)


def _after(mark: str, words: str) -> str:
    return f"{mark}{text(words)}" if words else ""


def _beside(blocks: Sequence[Plot | Picture]) -> str:
    pictures = [block for block in blocks if isinstance(block, Picture)]
    parts = [_markdown(block) for block in blocks if not isinstance(block, Picture)]
    if pictures:
        captions = " | ".join(text(one.caption) for one in pictures)
        images = " | ".join(f"![{one.alternative}]({one.link})" for one in pictures)
        parts.append(f"| {captions} |\n|{' --- |' * len(pictures)}\n| {images} |")
    return "\n\n".join(part for part in parts if part)


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(rows: Rows) -> str:
    lines = ["| " + " | ".join(text(cell) for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])
