"""`synthaug train`."""

from __future__ import annotations

import typer

from synthaug.cli.verb import add_verb
from synthaug.workflows.train import TrainConfig, TrainResult, plan_training, train


def add(app: typer.Typer) -> None:
    """Adds the verb."""
    example = "synthaug train --model ddpm --data imagefolder:my-images --image-size 32 --out runs/mine --max-time 2h"
    add_verb(app, "train", TrainConfig, train, _show, plan_training, example)


def _show(result: TrainResult) -> str:
    training = result.training
    state = "trained" if result.is_complete else "stopped early (continue with --resume auto)"
    return (
        f"{state}: {training.images_seen:,} of {training.planned_images:,} images, loss {training.loss:.4f}, "
        f"{training.seconds:.0f} s, {training.images_per_second:.0f} images/s\ncheckpoint: {result.checkpoint}"
    )
