"""report.md: the same content for code review and version control."""

from __future__ import annotations

from html import escape
from pathlib import Path

from synthaug.workflows.bench import BenchSummary
from synthaug.workflows.report import tables


def markdown_page(summary: BenchSummary, folder: Path) -> str:
    """The whole page; it refers to the pictures beside it."""
    grids = tables.pictures(summary)
    words = ["real training images", *["synthetic images"] * len(summary.sets)]
    images = [f"![{alternative}]({name})" for alternative, name in zip(words, grids, strict=True)]
    return f"""# synthaug: {_text(tables.headline(summary))}

**{_text(summary.sentence())}**

{_text(tables.counts_sentence(summary))} {_text(tables.fidelity_sentence(summary))}

## Generators

{_table(tables.generator_rows(summary))}

{_text(tables.generators_sentence(summary))}

## Arms

{_table(tables.arm_rows(summary))}

## Gains

{tables.gains_sentence(summary)}

{_table(tables.gain_rows(summary))}

| {" | ".join(_text(caption) for caption in grids.values())} |
|{" --- |" * len(grids)}
| {" | ".join(images)} |

## By class

{_table(tables.class_rows(summary))}

## Settings

    {tables.command_line(folder)}

{_table([["setting", "value"], *tables.setting_rows(summary.settings)])}

## Environment

{_table([["", ""], *tables.setting_rows(summary.environment)])}
"""


def _table(rows: tables.Rows) -> str:
    lines = ["| " + " | ".join(_text(cell) for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])


def _text(words: str) -> str:
    """Words that end neither a line nor a table cell, and are no HTML."""
    return escape(" ".join(words.split()), quote=False).replace("|", "&#124;")
