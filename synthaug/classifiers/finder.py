"""Finds a learning rate by raising it from step to step and watching the loss (Smith 2017)."""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
from lightning.pytorch.tuner.tuning import Tuner
from torch import nn

from synthaug.classifiers.recipes import Recipe, accumulation
from synthaug.classifiers.task import ClassifierTask
from synthaug.core.errors import TrainingError
from synthaug.core.runtime import Runtime
from synthaug.core.stopping import Stop, stoppable
from synthaug.core.training import determinism_restored, quiet_lightning

_LOWEST, _HIGHEST = 1e-5, 10.0


@dataclass(frozen=True)
class FoundLearningRate:
    """What a search came to.

    Attributes:
        rates: Learning rate of each step.
        losses: Smoothed loss of each step.
        chosen: Where the loss fell most steeply; not where it was lowest.
        plot: Both with the chosen point, as a PNG.
    """

    rates: list[float]
    losses: list[float]
    chosen: float
    plot: bytes


def find_learning_rate(
    network: nn.Module,
    datamodule: pl.LightningDataModule,
    recipe: Recipe,
    *,
    runtime: Runtime,
    root: Path,
    frozen: Collection[str] = (),
    steps: int = 100,
) -> FoundLearningRate:
    """Lightning's finder: from 1e-5 to 10 in even ratios, on a copy of the network, with the recipe's optimiser.

    Args:
        network: From images to logits; stays as it is.
        datamodule: Gives the batches, those of its first epochs.
        recipe: Optimiser and its numbers.
        runtime: Device and precision.
        root: Folder for whatever Lightning writes.
        frozen: Names of weights that do not learn at first.
        steps: Optimiser steps, at most; ends early where the loss explodes.

    Raises:
        TrainingError: If the loss falls nowhere.
    """
    trial = copy.deepcopy(network)
    for name, parameter in trial.named_parameters():
        parameter.requires_grad_(name not in frozen)
    with (
        stoppable() as stop,
        quiet_lightning(),
        determinism_restored(),
        contextlib.redirect_stderr(io.StringIO()),  # it shows a bar of its own
    ):
        task = _Trial(trial, replace(recipe, schedule="constant", swa=0.0, progressive=1.0), steps, stop)
        trainer = pl.Trainer(
            accelerator=runtime.lightning_accelerator,
            devices=1,
            precision=runtime.lightning_precision,
            max_epochs=-1,
            max_steps=steps,
            limit_val_batches=0,
            gradient_clip_val=recipe.gradient_clip or None,
            accumulate_grad_batches=accumulation(recipe.accumulate)[0],
            deterministic=runtime.deterministic or None,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            default_root_dir=root,
        )
        finder: Any = Tuner(trainer).lr_find(
            task,
            datamodule=datamodule,
            min_lr=_LOWEST,
            max_lr=_HIGHEST,
            num_training=steps,
            attr_name="learning_rate",
            update_attr=False,
        )
    first = len(finder.results["lr"]) // 10  # where its smoothing begins, the loss is not yet right
    finder.results = {name: values[first:] for name, values in finder.results.items()}
    rates, losses = finder.results["lr"], finder.results["loss"]
    chosen = steepest(rates, losses)
    return FoundLearningRate(rates, losses, rates[chosen], _plot(finder, rates[chosen], losses[chosen]))


class _Trial(ClassifierTask):
    """Ends on a signal; the finder does without a trainer's callbacks."""

    def __init__(self, network: nn.Module, recipe: Recipe, steps: int, stop: Stop) -> None:
        super().__init__(network, recipe, steps)
        self._stop = stop

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Looks for one."""
        if self._stop.received is not None:
            self.trainer.should_stop = True


def steepest(rates: Sequence[float], losses: Sequence[float]) -> int:
    """Where the loss falls most steeply over the logarithm of the rate, as the eye sees it on the plot.

    Lightning's own suggestion takes the slope over the rate itself, which the smallest rates win by their noise.

    Args:
        rates: Ascending.
        losses: Of each; those that are no numbers are left out.

    Returns:
        The position.

    Raises:
        TrainingError: If the loss falls nowhere.
    """
    known = np.flatnonzero(np.isfinite(losses))
    slopes = np.gradient(np.asarray(losses)[known], np.log(np.asarray(rates)[known])) if len(known) > 1 else np.zeros(1)
    if not slopes.min() < 0:
        raise TrainingError("the learning-rate finder saw no loss fall; give --learning-rate instead of --find-lr")
    return int(known[slopes.argmin()])


def _plot(finder: Any, rate: float, loss: float) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.add_subplot()
    finder.plot(ax=axes)
    axes.plot(rate, loss, "o", color="red", markersize=9, label=f"chosen: {rate:.3g}")
    axes.legend(frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()
