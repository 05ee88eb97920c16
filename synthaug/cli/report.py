"""`synthaug report`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from synthaug.cli.verb import to_json
from synthaug.core.errors import InputError
from synthaug.workflows.report import compare_reports, report

_PAGE = Path("comparison.html")


def add(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("report", epilog="Example: synthaug report bench; synthaug report bench other --out comparison.html")(
        _report
    )


def _report(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="The folder of a bench, or several to compare.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help=f"The page that compares several benches, and beside it the same as .md (default: {_PAGE} here).",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Write the report of a bench again, finished or not: report.html and report.md. Several are compared as well."""
    if len(folders) > 1:
        compared = compare_reports(folders, out or _PAGE)
        shown = f"{_columns(compared.short_table())}\ncomparison: {compared.comparison}"
        typer.echo(_json(compared) if as_json else shown)
        return
    if out is not None:
        raise InputError("--out is for the page that compares several benches; one has its report in its own folder")
    result = report(folders[0])
    typer.echo(_json(result) if as_json else f"{result.sentence}\nreport: {result.report}")


def _json(result: object) -> str:
    return json.dumps(to_json(result), ensure_ascii=False)


def _columns(rows: Sequence[Sequence[str]]) -> str:
    """A table for the terminal."""
    lines = [[" ".join(cell.split()) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in lines
    )
