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
    state = (
        f"set: {result.out}\npreview: {result.preview}"
        if result.manifest
        else f"{result.missing_shards} shard(s) are still missing at {result.out}; whoever makes the last one finishes "
        f"the set, or: synthaug verify --finish {result.out}"
    )
    return (
        f"{result.images} images in {result.shards} shard(s) ({made})\n"
        f"checkpoint: {result.checkpoint} ({result.reason})\n{state}"
    )
