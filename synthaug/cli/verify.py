"""`synthaug verify`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from synthaug.cli.verb import to_json
from synthaug.shards.verify import verify_set


def add(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("verify", epilog="Example: synthaug verify synthetic")(_verify)


def _verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The shard set.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Check every shard of a set against the sizes and hashes of its manifest."""
    result = verify_set(folder)
    if as_json:
        typer.echo(json.dumps(to_json(result)))
        return
    counts = ", ".join(f"{name} {count}" for name, count in result.class_counts.items())
    typer.echo(f"{folder}: {result.shards} shard(s), {result.samples} samples, {result.bytes} bytes, all as promised")
    typer.echo(f"per class: {counts}")
