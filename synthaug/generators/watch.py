"""What is looked at while a generator trains: sample grids, figures of samples, and whether it still learns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl
import torch
from jaxtyping import Int64, UInt8
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from synthaug.core.errors import TrainingError
from synthaug.core.pixels import encode_png, grid
from synthaug.core.seeding import SampleNoise
from synthaug.core.storage import write_bytes
from synthaug.generators.base import Monitor
from synthaug.generators.task import GeneratorTask

_GRID_CLASSES, _GRID_PER_CLASS = 10, 8
_MONITORED_IMAGES = 1000
_BATCH = 250
#: A training has diverged when its mean loss over the last hundred steps is this many times the lowest it has been.
_DIVERGED = 4.0
#: From here on it may be about to: its state is not worth keeping.
_SUSPICIOUS = 1.5


class _Sampling(Callback):
    """Draws the same samples from the averaged weights every so many images, and after the last step."""

    def __init__(self, every: int, samples: list[tuple[int, int]]) -> None:
        self._every = every
        self._samples = samples
        self._looked_at = -1

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        task = _task(pl_module)
        seen = task.images_seen()
        if seen // self._every > (seen - task.images_per_step) // self._every:
            self._look(trainer, task)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._look(trainer, _task(pl_module))

    def _look(self, trainer: pl.Trainer, task: GeneratorTask) -> None:
        if trainer.is_global_zero and self._looked_at != task.images_seen():  # the last step may be one of those
            self._looked_at = task.images_seen()
            images = [task.draw(labels, noise) for labels, noise in self._batches(task)]
            self.use(trainer, task, torch.cat(images), self._labels)

    @property
    def _labels(self) -> Int64[Tensor, " n"]:
        return torch.tensor([label for label, _ in self._samples])

    def _batches(self, task: GeneratorTask) -> Iterator[tuple[Int64[Tensor, " n"], SampleNoise]]:
        for start in range(0, len(self._samples), _BATCH):
            some = self._samples[start : start + _BATCH]
            yield self._labels[start : start + _BATCH], SampleNoise(0, some, task.noise_shape)

    def use(
        self, trainer: pl.Trainer, task: GeneratorTask, images: UInt8[Tensor, "n c h w"], labels: Int64[Tensor, " n"]
    ) -> None:
        """Does with the samples what they were drawn for."""
        raise NotImplementedError


class Grids(_Sampling):
    """Writes `images-NNNNNNNNN.png`, always from the same noise: one row for each of the first ten classes."""

    def __init__(self, folder: Path, every: int, classes: int) -> None:
        rows = min(_GRID_CLASSES, classes)
        super().__init__(every, [(label, i) for label in range(rows) for i in range(_GRID_PER_CLASS)])
        self._folder = folder

    def use(
        self, trainer: pl.Trainer, task: GeneratorTask, images: UInt8[Tensor, "n c h w"], labels: Int64[Tensor, " n"]
    ) -> None:
        """Writes the picture."""
        picture = grid(images, _GRID_PER_CLASS, scale=max(1, 32 // images.shape[2]))
        write_bytes(self._folder / f"images-{task.images_seen():09d}.png", encode_png(picture))


class Monitoring(_Sampling):
    """Logs the figures that a monitor finds in a thousand samples.

    A resumed training has another monitor, whose figures do not compare with those of the one before: it looks at the
    weights kept so far, too.
    """

    def __init__(self, monitor: Monitor, every: int, classes: int) -> None:
        super().__init__(every, [(i % classes, i // classes) for i in range(_MONITORED_IMAGES)])
        self._monitor = monitor

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Measures again what an earlier run kept."""
        if trainer.is_global_zero:
            task = _task(pl_module)
            images = [kept for each in self._batches(task) if (kept := task.draw_kept(*each)) is not None]
            if images:
                task.note_kept_figures(self._monitor(torch.cat(images), self._labels))

    def use(
        self, trainer: pl.Trainer, task: GeneratorTask, images: UInt8[Tensor, "n c h w"], labels: Int64[Tensor, " n"]
    ) -> None:
        """Measures and logs."""
        figures = dict(self._monitor(images, labels))
        for logger in trainer.loggers:
            logger.log_metrics(figures, step=trainer.global_step)
        task.note_figures(figures)


class StopOnDivergence(Callback):
    """Ends a training whose loss has risen far above the lowest it has been; looks at every tenth step."""

    def __init__(self) -> None:
        self._lowest = float("inf")
        self._loss = 0.0

    def state_dict(self) -> dict[str, Any]:
        """What it has seen, for resuming."""
        return {"lowest": self._lowest, "loss": self._loss}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues from there."""
        self._lowest, self._loss = state_dict["lowest"], state_dict["loss"]

    def is_sound(self) -> bool:
        """Whether the loss is about as low as it has been."""
        return self._loss <= _SUSPICIOUS * self._lowest

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Compares the mean loss of the last hundred steps."""
        if trainer.global_step % 10 or trainer.global_step < 100:
            return
        loss = self._loss = _task(pl_module).recent_loss()
        self._lowest = min(self._lowest, loss)
        if loss > _DIVERGED * self._lowest:
            raise TrainingError(
                f"the training diverged at step {trainer.global_step}: the mean loss of its last 100 steps is "
                f"{loss:.4g}, it has been {self._lowest:.4g}; lower the learning rate and try again"
            )


def _task(module: pl.LightningModule) -> GeneratorTask:
    return cast(GeneratorTask, module)
