"""`synthaug estimate`."""

from __future__ import annotations

import datetime

import typer

from synthaug.cli.verb import add_verb
from synthaug.workflows.estimate import EstimateConfig, EstimateResult, estimate


def add(app: typer.Typer) -> None:
    """Adds the verb."""
    example = "synthaug estimate --model ddpm --per-class 5000"
    add_verb(app, "estimate", EstimateConfig, estimate, _show, None, example)


def _show(result: EstimateResult) -> str:
    duration = datetime.timedelta(seconds=round(result.seconds))
    return (
        f"{result.images} images in {result.shards} shard(s): about {duration} (h:mm:ss) and "
        f"{result.bytes / 1e6:.1f} MB; {result.memory_bytes / 1e6:.1f} MB of pixels in memory when mixed\n"
        f"measured: {result.images_per_second:.1f} images/s over {result.measured_images} images, {result.hardware}"
    )
