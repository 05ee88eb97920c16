"""Trains a classifier for a number of steps and keeps weights by how they validate."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import lightning.pytorch as pl
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from lightning.pytorch.loggers import Logger
from torch import Tensor, nn

from synthaug.classifiers.callbacks import VALIDATION_ACCURACY, callbacks_of
from synthaug.classifiers.optimisers import make_optimiser, make_schedule, swa_start
from synthaug.classifiers.recipes import PROGRESSIVE_SHARE, Recipe, accumulation
from synthaug.classifiers.validation import CurvePoint, Validations
from synthaug.core.errors import InputError
from synthaug.core.losses import weighted_cross_entropy
from synthaug.core.pixels import to_network
from synthaug.core.runtime import Runtime
from synthaug.core.training import fit

#: From pixels to what networks see.
Preparation = Callable[[UInt8[Tensor, "n c h w"]], Float[Tensor, "n c h w"]]


class LabelledBatch(Protocol):
    """What a step needs of a batch; more fields are ignored."""

    @property
    def images(self) -> Float[Tensor, "n c h w"]:
        """Images as the network sees them."""

    @property
    def labels(self) -> Int64[Tensor, " n"]:
        """Class indices."""

    @property
    def targets(self) -> Float[Tensor, "n k"]:
        """Class probabilities."""

    @property
    def weights(self) -> Float[Tensor, " n"]:
        """How much each image counts in the loss."""


@dataclass(frozen=True)
class TrainedClassifier:
    """A trained network and how it got there.

    Attributes:
        network: With the latest weights that validated as well as any, within one standard error; in evaluation mode.
        steps: Optimiser steps taken.
        best_step: Step of those weights.
        validation_accuracy: Their validation accuracy.
        curve: All validations.
        images_per_second: Training images seen in a second of training.
    """

    network: nn.Module
    steps: int
    best_step: int
    validation_accuracy: float
    curve: list[CurvePoint]
    images_per_second: float = 0.0


class ClassifierTask(pl.LightningModule):
    """Cross-entropy (the negative log-likelihood of a softmax) under the recipe's optimiser and schedule.

    Args:
        network: From images to logits.
        recipe: Optimiser and its numbers.
        steps: Optimiser steps in all.
        compiled: Whether training steps go through torch.compile.

    Attributes:
        learning_rate: Peak of the schedule.
        images_seen: Training images so far.
        latest_loss: Of the last batch, all of it where gradients are accumulated.
    """

    def __init__(self, network: nn.Module, recipe: Recipe, steps: int, *, compiled: bool = False) -> None:
        super().__init__()
        self.network = network
        self.learning_rate = recipe.learning_rate
        self.images_seen = 0
        self.latest_loss = torch.zeros(())
        self._recipe = recipe
        self._steps = steps
        self._trained: Callable[[Tensor], Tensor] = torch.compile(network.forward) if compiled else network.forward
        self._losses: list[Tensor] = []
        self._correct: list[Tensor] = []

    def configure_optimizers(self) -> Any:
        """The recipe's optimiser and schedule, which moves with every step."""
        recipe = replace(self._recipe, learning_rate=self.learning_rate)
        optimiser = make_optimiser(self.network, recipe)
        schedule = make_schedule(optimiser, recipe, self._steps)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def training_step(self, batch: LabelledBatch, batch_idx: int) -> Tensor:
        """Cross-entropy of one batch."""
        images = _laid_out(self._resized(batch.images))
        smoothing = self._recipe.label_smoothing
        loss = weighted_cross_entropy(self._trained(images), batch.targets, batch.weights, label_smoothing=smoothing)
        self.images_seen += len(images)
        self.latest_loss = loss.detach()
        self._losses.append(self.latest_loss)
        return loss

    def validation_step(self, batch: LabelledBatch, batch_idx: int) -> None:
        """Collects which images are classified right."""
        self._correct.append(self.network(_laid_out(batch.images)).argmax(dim=1) == batch.labels)

    def take_accuracy(self) -> tuple[float, int]:
        """Share of the images validated since the last call that are classified right, and their number; logs it."""
        correct = torch.cat(self._correct)
        self._correct = []
        accuracy = correct.float().mean().item()
        self.log(VALIDATION_ACCURACY, accuracy)
        return accuracy, len(correct)

    def take_loss(self) -> float:
        """Mean training loss since the last call; nan without a step."""
        loss = torch.stack(self._losses).mean().item() if self._losses else float("nan")
        self._losses = []
        return loss

    def _resized(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c s s"]:
        size = progressive_size(images.shape[-1], self._recipe.progressive, self.global_step / self._steps)
        return images if size == images.shape[-1] else F.interpolate(images, size=(size, size), mode="area")


def progressive_size(full: int, first_share: float, progress: float) -> int:
    """Height and width of the images of a step: a multiple of 4 at first, the full one later.

    Args:
        full: Of the images as they come.
        first_share: Of the first images, as a share of that; nothing is made smaller than 16.
        progress: Share of the steps done.
    """
    if first_share == 1 or progress >= PROGRESSIVE_SHARE:
        return full
    return min(full, max(16, 4 * round(first_share * full / 4)))


def train_classifier(
    network: nn.Module,
    datamodule: pl.LightningDataModule,
    recipe: Recipe,
    *,
    runtime: Runtime,
    root: Path,
    on_step: Callable[[int], None],
    pretrained: Collection[str] = (),
    loggers: Sequence[Logger] = (),
    max_time: float | None = None,
) -> TrainedClassifier:
    """Trains for `recipe.steps` steps, or until early stopping or `max_time`, and keeps the weights to be tested.

    These are the latest of those that validate as well as any, within one standard error.

    Validates about `recipe.validations` times, at even distances and at the end.

    Args:
        network: From images to logits.
        datamodule: Gives training and validation batches.
        recipe: Optimiser, steps and their numbers.
        runtime: Device and precision.
        root: Folder for whatever Lightning writes.
        on_step: Called with the number of steps done, after each.
        pretrained: Names of the weights that `recipe.freeze` is about.
        loggers: Where metrics go.
        max_time: Seconds after which the training ends, wherever its schedule is.

    Raises:
        InputError: If there is no step to take.
        TrainingError: If the loss is no longer a number.
    """
    if recipe.steps is None:
        raise InputError("a recipe's steps depend on the number of images: give recipe.sized(images)")
    steps = recipe.steps
    validations = Validations(swa_start(steps) if recipe.swa else None)
    task = ClassifierTask(network, recipe, steps, compiled=runtime.compiled)
    trainer = fit(
        task,
        datamodule=datamodule,
        runtime=runtime,
        steps=steps,
        root=root,
        on_step=on_step,
        validate_every=max(1, steps // recipe.validations),
        callbacks=[validations, *callbacks_of(recipe, steps, network, pretrained, logs=bool(loggers))],
        loggers=list(loggers),
        max_time=max_time,
        gradient_clip=recipe.gradient_clip,
        accumulate=accumulation(recipe.accumulate),
    )
    network.load_state_dict(validations.kept_weights)
    kept = validations.kept_point
    return TrainedClassifier(
        network.eval(),
        steps=trainer.global_step,
        best_step=kept.step,
        validation_accuracy=kept.validation_accuracy,
        curve=validations.curve,
        images_per_second=round(task.images_seen / max(1e-9, validations.training_seconds), 1),
    )


@torch.no_grad()
def predict(
    network: nn.Module,
    images: UInt8[Tensor, "n c h w"],
    runtime: Runtime,
    *,
    preparation: Preparation = to_network,
    batch_size: int = 512,
) -> Float[Tensor, "n classes"]:
    """Class probabilities of each image, on the CPU.

    Args:
        network: From images to logits.
        images: As they are stored.
        runtime: Device and precision.
        preparation: From pixels to what the network sees, as in its training.
        batch_size: Images in a batch.
    """
    network = network.to(runtime.device).eval()
    parts = []
    for start in range(0, len(images), batch_size):
        block = images[start : start + batch_size].to(runtime.device)
        with runtime.autocast():
            logits = network(_laid_out(preparation(block)))
        parts.append(logits.float().softmax(dim=1).cpu())
    return torch.cat(parts)


def _laid_out(images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    return images.contiguous(memory_format=torch.channels_last)
