"""`synthaug curate`."""

from __future__ import annotations

import typer

from synthaug.cli.verb import add_verb
from synthaug.workflows.curate import CurateConfig, CurateResult, curate, plan_curation


def add(app: typer.Typer) -> None:
    """Adds the verb."""
    add_verb(
        app,
        "curate",
        CurateConfig,
        curate,
        _show,
        plan_curation,
        "synthaug curate synthetic --filter mislabelled --filter memorised --filter confidence=0.5 --out curated",
    )


def _show(result: CurateResult) -> str:
    lines = [f"judged by a {result.judge} with {100 * result.validation_accuracy:.1f} % validation accuracy"]
    lines.extend(f"  {step.filter:<20} removed {step.removed}, {step.left} left" for step in result.steps)
    counts = ", ".join(f"{name} {count}" for name, count in result.class_counts.items())
    return "\n".join([*lines, f"{result.out}: {result.images} of {result.of} images", f"per class: {counts}"])
