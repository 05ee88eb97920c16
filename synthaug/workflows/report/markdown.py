"""report.md: the same content for code review and version control."""

from __future__ import annotations

from html import escape
from pathlib import Path

from synthaug.workflows.bench import BenchSummary
from synthaug.workflows.report import tables


def markdown_page(summary: BenchSummary, folder: Path) -> str:
    """The whole page; it refers to real.png and synthetic.png beside it."""
    return f"""# synthaug: {summary.verdict}

**{summary.sentence()}**

{_text(tables.counts_sentence(summary))} {_text(tables.fidelity_sentence(summary))}

## Arms

{_table(tables.arm_rows(summary))}

## Gains

The first decides the verdict; it is taken to the real-only arm that validates better.

{_table(tables.gain_rows(summary))}

| real | synthetic |
| --- | --- |
| ![real training images](real.png) | ![synthetic images](synthetic.png) |

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
