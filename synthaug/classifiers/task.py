"""Trains a classifier for a number of steps and keeps the weights that validate best."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import lightning.pytorch as pl
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn

from synthaug.classifiers.recipes import Recipe
from synthaug.core.losses import weighted_cross_entropy
from synthaug.core.pixels import to_network
from synthaug.core.runtime import Runtime
from synthaug.core.training import fit

_VALIDATIONS = 8
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
class CurvePoint:
    """One validation during a training.

    Attributes:
        step: Optimiser steps done.
        loss: Mean training loss since the last validation.
        validation_accuracy: Share of validation images classified right.
    """

    step: int
    loss: float
    validation_accuracy: float


@dataclass(frozen=True)
class TrainedClassifier:
    """A trained network and how it got there.

    Attributes:
        network: With the weights that validated best; in evaluation mode.
        steps: Optimiser steps taken.
        best_step: Step of those weights; among equals the latest.
        validation_accuracy: Their validation accuracy.
        curve: All validations.
    """

    network: nn.Module
    steps: int
    best_step: int
    validation_accuracy: float
    curve: list[CurvePoint]


class ClassifierTask(pl.LightningModule):
    """Cross-entropy (the negative log-likelihood of a softmax), with a one-cycle learning rate.

    Args:
        network: From images to logits.
        recipe: Optimiser and its numbers.
        steps: Optimiser steps in all.
    """

    def __init__(self, network: nn.Module, recipe: Recipe, steps: int) -> None:
        super().__init__()
        self.network = network
        self.curve: list[CurvePoint] = []
        self.best_weights: dict[str, Tensor] = {}
        self.best_point = CurvePoint(0, float("nan"), -1.0)
        self._recipe = recipe
        self._steps = steps
        self._losses: list[Tensor] = []
        self._correct: list[Tensor] = []

    def configure_optimizers(self) -> Any:
        """SGD with Nesterov momentum or Adam, under OneCycleLR (Smith and Topin 2018).

        Momentum (beta_1 of Adam) goes from 0.95 to 0.85 while the rate rises, and back while it falls.
        """
        recipe = self._recipe
        optimiser: torch.optim.Optimizer
        if recipe.optimiser == "sgd":
            optimiser = torch.optim.SGD(
                self.network.parameters(),
                lr=recipe.learning_rate,
                momentum=0.95,
                nesterov=True,
                weight_decay=recipe.weight_decay,
            )
        else:
            optimiser = torch.optim.Adam(
                self.network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
            )
        # One step more than will be taken: the schedule's own last step would divide by zero when there is one step.
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, recipe.learning_rate, total_steps=self._steps + 1, base_momentum=0.85, max_momentum=0.95
        )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def training_step(self, batch: LabelledBatch, batch_idx: int) -> Tensor:
        """Cross-entropy of one batch."""
        logits = self.network(_laid_out(batch.images))
        smoothing = self._recipe.label_smoothing
        loss = weighted_cross_entropy(logits, batch.targets, batch.weights, label_smoothing=smoothing)
        self._losses.append(loss.detach())
        return loss

    def validation_step(self, batch: LabelledBatch, batch_idx: int) -> None:
        """Collects which images are classified right."""
        self._correct.append(self.network(_laid_out(batch.images)).argmax(dim=1) == batch.labels)

    def on_validation_epoch_end(self) -> None:
        """Notes the accuracy and keeps the weights if none were better."""
        accuracy = torch.cat(self._correct).float().mean().item()
        loss = torch.stack(self._losses).mean().item() if self._losses else float("nan")
        self._correct, self._losses = [], []
        point = CurvePoint(self.global_step, loss, accuracy)
        self.curve.append(point)
        if accuracy >= self.best_point.validation_accuracy:
            self.best_point = point
            self.best_weights = {name: value.detach().clone() for name, value in self.network.state_dict().items()}


def train_classifier(
    network: nn.Module,
    datamodule: pl.LightningDataModule,
    recipe: Recipe,
    *,
    runtime: Runtime,
    root: Path,
    on_step: Callable[[int], None],
) -> TrainedClassifier:
    """Trains for exactly `recipe.steps` steps and keeps the weights that validate best.

    Validates about eight times, at even distances and at the end.

    Args:
        network: From images to logits.
        datamodule: Gives training and validation batches.
        recipe: Optimiser, steps and their numbers.
        runtime: Device and precision.
        root: Folder for whatever Lightning writes.
        on_step: Called with the number of steps done, after each.

    Raises:
        InputError: If there is no step to take.
        TrainingError: If the loss is no longer a number.
    """
    task = ClassifierTask(network, recipe, recipe.steps)
    every = max(1, recipe.steps // _VALIDATIONS)
    fit(
        task,
        datamodule=datamodule,
        runtime=runtime,
        steps=recipe.steps,
        root=root,
        on_step=on_step,
        validate_every=every,
    )
    network.load_state_dict(task.best_weights)
    best = task.best_point
    return TrainedClassifier(network.eval(), task.trainer.global_step, best.step, best.validation_accuracy, task.curve)


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
