"""What happens besides the steps of a classifier's training: freezing, averaging of weights, early stopping."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback, EarlyStopping, LearningRateMonitor, WeightAveraging
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import get_ema_avg_fn

from synthaug.classifiers.optimisers import swa_start
from synthaug.classifiers.recipes import Recipe

#: Name under which the share of validation images classified right is logged.
VALIDATION_ACCURACY = "validation_accuracy"


def callbacks_of(
    recipe: Recipe, steps: int, network: nn.Module, pretrained: Collection[str], logs: bool
) -> list[Callback]:
    """What the recipe asks for; what looks at validated weights comes before what averages them.

    Args:
        recipe: The recipe.
        steps: Optimiser steps in all.
        network: Whose pretrained weights may be frozen.
        pretrained: Their names.
        logs: Whether metrics are kept.
    """
    callbacks: list[Callback] = []
    if logs:
        callbacks.append(LearningRateMonitor(logging_interval="step"))
    if recipe.freeze > 0 and pretrained:
        callbacks.append(Freezing(network, pretrained, until=round(recipe.freeze * steps)))
    if recipe.early_stopping:
        patience = recipe.early_stopping
        callbacks.append(
            EarlyStopping(VALIDATION_ACCURACY, mode="max", patience=patience, check_on_train_epoch_end=False)
        )
    if recipe.swa:
        callbacks.append(AveragedWeights(swa_start(steps)))
    if recipe.ema:
        moving: Any = get_ema_avg_fn  # untyped
        callbacks.append(AveragedWeights(0, avg_fn=moving(recipe.ema)))
    return callbacks


class AveragedWeights(WeightAveraging):
    """Averages weights and the statistics of batch norm from a step on; validates and ends with the averages.

    Equal weights for all steps by default (Izmailov et al. 2018, whose pass for the statistics this spares).

    Args:
        starts_at: Steps after which the first weights are taken.
        options: For torch's AveragedModel, such as `avg_fn`.
    """

    def __init__(self, starts_at: int, **options: Any) -> None:
        super().__init__(**options)
        self._starts_at = starts_at

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """After every step from the first on."""
        return step_idx is not None and step_idx >= self._starts_at

    @property
    def _is_begun(self) -> bool:
        return self._average_model is not None and int(self._average_model.n_averaged) > 0

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Validates the averages, as soon as there are any."""
        if self._is_begun:
            super().on_validation_epoch_start(trainer, pl_module)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Goes on with the weights themselves."""
        if self._is_begun:
            super().on_validation_epoch_end(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Ends with the averages, if there are any."""
        if self._is_begun:
            super().on_train_end(trainer, pl_module)


class Freezing(Callback):
    """Holds some weights still until a step, with the statistics of their batch norms.

    Args:
        network: Whose weights.
        names: Names of the weights and statistics that stay as they are.
        until: Steps after which they learn too.
    """

    def __init__(self, network: nn.Module, names: Collection[str], *, until: int) -> None:
        self._frozen = [parameter for name, parameter in network.named_parameters() if name in names]
        self._norms = [
            module
            for name, module in network.named_modules()
            if isinstance(module, _BatchNorm) and f"{name}.running_mean" in names
        ]
        self._until = until
        for parameter in self._frozen:
            parameter.requires_grad_(False)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Keeps what is frozen as it is, or lets it go."""
        is_frozen = trainer.global_step < self._until
        for norm in self._norms:
            norm.train(not is_frozen)
        if not is_frozen and not self._frozen[0].requires_grad:
            self._release()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leaves nothing frozen behind."""
        self._release()

    def _release(self) -> None:
        for parameter in self._frozen:
            parameter.requires_grad_(True)
