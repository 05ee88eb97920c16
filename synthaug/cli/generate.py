"""`synthaug generate`."""

from __future__ import annotations

import typer

from synthaug.cli.verb import add_verb
from synthaug.workflows.synthesize import GenerateConfig, GenerateResult, generate, plan_generation


def add(app: typer.Typer) -> None:
    """Adds the verb."""
    example = "synthaug generate --model ddpm --per-class 5000 --out synthetic"
    add_verb(app, "generate", GenerateConfig, generate, _show, plan_generation, example)


def _show(result: GenerateResult) -> str:
    made = (
        f"{result.new_images} new, {result.images_per_second:.0f} images/s"
        if result.new_images
        else "nothing was missing"
    )
    return (
        f"{result.images} images in {result.shards} shard(s) ({made})\n"
        f"checkpoint: {result.checkpoint} ({result.reason})\nset: {result.out}\npreview: {result.preview}"
    )
