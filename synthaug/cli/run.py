"""`synthaug run`."""

from __future__ import annotations

import typer

from synthaug.cli.verb import add_verb
from synthaug.workflows.run import RunConfig, RunResult, plan_run, run


def add(app: typer.Typer) -> None:
    """Adds the verb."""
    add_verb(app, "run", RunConfig, run, _show, plan_run, "synthaug run --data imagefolder:photos --budget 30m")


def _show(result: RunResult) -> str:
    sets = [result.raw] if result.curated is None else [result.raw, result.curated]
    lines = [
        result.sentence,
        f"set to use: {result.use}" if result.use else f"set to use: none ({' and '.join(map(str, sets))} to look at)",
        f"report: {result.report or 'none'}",
        f"generator: {result.checkpoint} ({result.model}: {result.why})",
        *(f"left out: {sentence}" for sentence in result.left_out),
    ]
    return "\n".join(lines)
