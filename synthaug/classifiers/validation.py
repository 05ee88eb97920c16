"""What comes of the validations during a training: the curve, the time, and which weights to keep."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn


@dataclass(frozen=True)
class CurvePoint:
    """One validation during a training.

    Attributes:
        step: Optimiser steps done.
        loss: Mean training loss since the last validation.
        validation_accuracy: Share of validation images classified right.
        seconds: Time spent training until then, without validations; it does not count when points are compared.
    """

    step: int
    loss: float
    validation_accuracy: float
    seconds: float = field(default=0.0, compare=False)


class Validated(Protocol):
    """What is asked of the module that is trained."""

    network: nn.Module
    latest_loss: Tensor

    def take_accuracy(self) -> tuple[float, int]:
        """Share of the images validated since the last call that are classified right, and their number."""

    def take_loss(self) -> float:
        """Mean training loss since the last call."""


class Validations(Callback):
    """Notes every validation and keeps the latest weights that validate as well as any, within one standard error.

    The highest of several noisy values is partly noise, and schedules end where weights move least (the rule is that of
    Breiman et al. 1984, section 3.4.3, for sizes of trees).

    Args:
        averages_from: Step after which weights are averaged; then no others will do.
    """

    def __init__(self, averages_from: int | None = None) -> None:
        self.curve: list[CurvePoint] = []
        self._averages_from = averages_from
        self.kept_point = CurvePoint(0, float("nan"), -1.0)
        self.kept_weights: dict[str, Tensor] = {}
        self._enough = -1.0  # accuracy within one standard error of the highest
        self.training_seconds = 0.0  # up to the last validation
        self._started_at = self._paused_at = self._paused = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the clock."""
        self._started_at = time.monotonic()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stops the clock."""
        self.training_seconds = time.monotonic() - self._started_at - self._paused

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Logs the loss."""
        if trainer.loggers:  # a millisecond on a slow processor
            pl_module.log("loss", cast(Validated, pl_module).latest_loss)  # outputs hold its share of the step's

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Holds the clock."""
        if trainer.state.fn == "fit":  # else the training has ended
            self.training_seconds = time.monotonic() - self._started_at - self._paused
        self._paused_at = time.monotonic()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Lets the clock go on."""
        self._paused += time.monotonic() - self._paused_at

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Notes the accuracy, and the weights if they will do."""
        task = cast(Validated, pl_module)
        accuracy, images = task.take_accuracy()
        point = CurvePoint(trainer.global_step, task.take_loss(), accuracy, round(self.training_seconds, 3))
        self.curve.append(point)
        if self._averages_from is not None and trainer.global_step > self._averages_from:
            self._enough, self._averages_from = -1.0, None
        self._enough = max(self._enough, accuracy - standard_error(accuracy, images))
        if accuracy >= self._enough:
            self.kept_point = point
            self.kept_weights = {name: value.detach().clone() for name, value in task.network.state_dict().items()}


def standard_error(accuracy: float, images: int) -> float:
    """Of a share of so many images, as if two more were right and two wrong (Agresti and Coull 1998), so never 0."""
    share = (accuracy * images + 2) / (images + 4)
    return math.sqrt(share * (1 - share) / (images + 4))
