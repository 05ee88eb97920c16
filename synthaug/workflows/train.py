"""Trains a generator on the training part of a source, and on nothing else of it."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from synthaug.core.console import log
from synthaug.core.errors import InputError
from synthaug.core.storage import check_folder
from synthaug.generators.base import LoggerName, TrainPlan, TrainRequest, load_backend
from synthaug.generators.checkpoint import CARD_NAME, TrainingSummary, read_card
from synthaug.workflows.config import DataConfig, Duration

_STATE = Path("training") / "state.ckpt"


class TrainConfig(DataConfig):
    """Settings of `synthaug train`; the field descriptions are the help texts."""

    model: str = Field("ddpm", description="Kind of generator; see `synthaug models`.")
    out: Path = Field(description="Folder for the checkpoint, its logs and its sample grids.")
    preset: str | None = Field(None, description="Network and training settings; chosen by image size if not given.")
    steps: int | None = Field(None, description="Optimiser steps in all, instead of the preset's.")
    batch_size: int | None = Field(None, description="Images per step, instead of the preset's.")
    learning_rate: float | None = Field(None, description="Peak learning rate, instead of the preset's.")
    label_dropout: float = Field(0.1, description="Probability of hiding a label, for classifier-free guidance.")
    max_time: Duration | None = Field(
        None, description="Stop after this long (90s, 9m, 1h); continue with --resume auto."
    )
    grid_every: int = Field(500, description="Steps between two sample grids.")
    resume: str | None = Field(
        None, description="auto continues the training in --out if there is one; PATH a state file."
    )
    logger: LoggerName = Field(
        "auto", description="Where metrics go besides CSV; auto takes TensorBoard if it is installed."
    )


@dataclass(frozen=True)
class TrainResult:
    """What a training came to.

    Attributes:
        checkpoint: Folder of the checkpoint.
        is_complete: False if --max-time ended it early.
        training: Figures of the training.
        loss_curve: (step, loss) over all runs into this folder.
    """

    checkpoint: Path
    is_complete: bool
    training: TrainingSummary
    loss_curve: list[tuple[int, float]]


def plan_training(config: TrainConfig) -> TrainPlan:
    """What `train` would do, without doing it.

    Raises:
        InputError: For any setting that `train` would refuse.
    """
    return load_backend(config.model).plan(_request(config))


def train(config: TrainConfig) -> TrainResult:
    """Train a generator on the training part of a source; resumable.

    Raises:
        InputError: For impossible settings, or if the folder holds another training.
        TrainingError: If the loss is no longer a number.
    """
    backend = load_backend(config.model)
    request = _request(config)
    plan = backend.plan(request)
    images, runtime = request.images, request.runtime
    log(
        f"{config.model} preset {plan.preset}: {plan.parameters / 1e6:.2f} M parameters, {len(images)} images of "
        f"{len(images.class_names)} classes, {plan.steps} steps of {plan.batch_size} on {runtime.device} in "
        f"{runtime.precision}"
    )
    config.save(config.out)
    backend.train(request)
    card = read_card(config.out)
    return TrainResult(
        checkpoint=config.out,
        is_complete=card.training.steps >= card.training.planned_steps,
        training=card.training,
        loss_curve=read_loss_curve(config.out),
    )


def read_loss_curve(checkpoint: Path) -> list[tuple[int, float]]:
    """(step, loss) from the CSV logs of all runs into a checkpoint folder, in order of steps."""
    points: dict[int, float] = {}
    for file in sorted((checkpoint / "logs").glob("version_*/metrics.csv"), key=lambda path: path.stat().st_mtime):
        with file.open(newline="") as rows:
            for row in csv.DictReader(rows):
                if row.get("loss"):
                    points[int(row["step"])] = float(row["loss"])
    return sorted(points.items())


def _request(config: TrainConfig) -> TrainRequest:
    backend = load_backend(config.model)
    splits = config.splits()
    size = splits.train.image_size
    return TrainRequest(
        images=splits.train,
        split=splits.record,
        allows_flip=splits.allows_flip,
        preset=config.preset or backend.default_preset(size),
        out=config.out,
        runtime=config.runtime(),
        seed=config.seed,
        steps=config.steps,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        label_dropout=config.label_dropout,
        max_time=config.max_time,
        grid_every=config.grid_every,
        resume_from=_state_to_resume(config),
        logger=config.logger,
    )


def _state_to_resume(config: TrainConfig) -> Path | None:
    own = config.out / _STATE
    if not (config.out / CARD_NAME).exists():
        check_folder(config.out, marker=str(_STATE.parent), kind="training")
    if config.resume is None:
        if own.exists() or (config.out / CARD_NAME).exists():
            raise InputError(
                f"{config.out} already holds a training; continue it with --resume auto, or choose another --out"
            )
        return None
    if config.resume == "auto":
        if not own.exists() and (config.out / CARD_NAME).exists():
            raise InputError(f"{config.out} holds a finished checkpoint without training state; choose another --out")
        return own if own.exists() else None
    path = Path(config.resume)
    path = path / _STATE if path.is_dir() else path
    if not path.is_file():
        raise InputError(f"--resume {config.resume}: no training state there ({path})")
    return path
