"""`synthaug models`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from synthaug.cli.verb import to_json
from synthaug.workflows.catalogue import catalogue


def add(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("models", epilog="Example: synthaug models")(_models)


def _models(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """List everything that can be chosen by name, and the checkpoints at hand."""
    found = catalogue(Path())
    if as_json:
        typer.echo(json.dumps(to_json(found), ensure_ascii=False))
        return
    for backend, presets in found.generators.items():
        _section(f"generator {backend}, presets", presets)
    _section("checkpoints (packaged, and below this folder)", found.checkpoints)
    _section("classifier recipes", found.recipes)
    _section("filters of a curation", found.filters)
    _section("arms of a bench", found.arms)
    typer.echo(f"classifier networks: {', '.join(found.networks)}")
    typer.echo(f"classic transforms: {', '.join(found.transforms)}")
    typer.echo(f"data sources: {', '.join(found.sources)}")


def _section(title: str, entries: dict[str, str]) -> None:
    typer.echo(f"{title}:")
    for name, purpose in entries.items():
        typer.echo(f"  {name:<22} {purpose}")
