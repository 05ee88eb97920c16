"""`synthaug report`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from synthaug.cli.verb import to_json
from synthaug.workflows.report import report


def add(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("report", epilog="Example: synthaug report bench")(_report)


def _report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a finished bench.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Write the report of a finished bench again: report.html and report.md."""
    result = report(folder)
    if as_json:
        typer.echo(json.dumps(to_json(result), ensure_ascii=False))
    else:
        typer.echo(f"{result.sentence}\nreport: {result.report}")
