"""`synthaug inspect`."""

from __future__ import annotations

import typer

from synthaug.cli.verb import add_verb
from synthaug.workflows.inspect import InspectConfig, InspectResult, inspect


def add(app: typer.Typer) -> None:
    """Adds the verb."""
    add_verb(app, "inspect", InspectConfig, inspect, _show, None, "synthaug inspect synthetic --grid grid.png")


def _show(result: InspectResult) -> str:
    missing = f", {result.missing_shards} still missing" if result.missing_shards else ""
    counts = ", ".join(f"{name} {count}" for name, count in result.class_counts.items())
    lines = [
        f"{result.folder}: {result.state} set, {result.samples} images in {result.shards} shard(s){missing}, "
        f"{result.bytes} bytes",
        f"per class: {counts}",
    ]
    if result.settings is not None:
        plan, generator = result.settings, result.settings.generator
        lines += [
            f"images: {generator.image_size}x{generator.image_size}, {'grey' if generator.channels == 1 else 'RGB'}, "
            f"{plan.image_format}",
            f"generator: {generator.model}, preset {generator.preset}, {generator.parameters:,} parameters, trained on "
            f"{sum(generator.split.class_counts)} images of {generator.split.source}",
            f"checkpoint: {generator.checkpoint}",
            f"sampler: {plan.sampler}, {plan.steps} steps, guidance {plan.guidance:g}, {plan.precision}, "
            f"seed {plan.seed}, batches of {plan.batch_size}",
        ]
        if plan.is_curated:
            lines.append(f"curated: {plan.sample_count} of {plan.drawn_count} images kept")
        for curation in plan.curations:
            lines += [f"curation: {curation.summary}", f"judged by: {curation.judge.summary}"]
    if result.grid is not None:
        lines.append(f"picture: {result.grid}")
    return "\n".join(lines)
