"""report.md: the same content for code review and version control."""

from __future__ import annotations

from pathlib import Path

from synthaug.workflows.bench import BenchSummary
from synthaug.workflows.report import tables


def markdown_page(summary: BenchSummary, folder: Path) -> str:
    """The whole page; it refers to real.png and synthetic.png beside it."""
    return f"""# synthaug: {summary.verdict}

**{summary.sentence()}**

{tables.counts_sentence(summary)} {tables.fidelity_sentence(summary)}

## Arms

{_table(tables.arm_rows(summary))}

## Gains

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
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])
