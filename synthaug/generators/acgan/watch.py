"""What goes wrong with GANs while they train: classes that collapse, and a discriminator that wins."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Any, cast

import lightning.pytorch as pl
import torch
from jaxtyping import Float, Int64, UInt8
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from synthaug.core.console import log
from synthaug.core.errors import TrainingError
from synthaug.core.pixels import to_network
from synthaug.core.seeding import SampleNoise
from synthaug.core.types import LabelledImages
from synthaug.generators.acgan.task import ACGANTask

_PER_CLASS, _MOST_CLASSES = 16, 100
#: A class has collapsed when its samples differ from each other by less than this share of what real ones do.
_COLLAPSED = 0.5
#: The discriminator has won when its mean source loss over this many steps is below this share of what guessing costs.
_WINDOW, _WON = 500, 0.01
#: Looked at every so many steps; below this share there is a warning.
_EVERY, _WINNING = 100, 0.1
_REMEDIES = "try --diffaugment colour,translation,cutout, --r1 1, fewer --discriminator-steps, or more images"


def diversity(images: UInt8[Tensor, "n c h w"]) -> float:
    """Mean root-mean-square difference between two images, in [0, 2]; 0 if all are the same."""
    points = to_network(images).flatten(1)
    if len(points) < 2:
        return 0.0
    return float(torch.pdist(points).mean()) / math.sqrt(points.shape[1])


class CollapseMonitor(Callback):
    """Compares the diversity within each class with that of real images, and warns of classes that have lost theirs.

    Args:
        images: The real images.
        every: Images between two looks.
    """

    def __init__(self, images: LabelledImages, every: int) -> None:
        self._every = every
        self._names = images.class_names
        self._real = {
            label: diversity(images.images[members[:200]])
            for label, members in enumerate(list(images.indices_by_class())[:_MOST_CLASSES])
            if len(members) > 1
        }
        self._warned: set[int] = set()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Looks when it is time."""
        task = cast(ACGANTask, pl_module)
        seen = task.images_seen()
        if self._real and seen // self._every > (seen - task.images_per_step) // self._every:
            shares = self.shares(task)
            for logger in trainer.loggers:
                logger.log_metrics({"diversity_lowest": min(shares.values())}, step=trainer.global_step)
            self._warn(shares, seen)

    def shares(self, task: ACGANTask) -> Mapping[int, float]:
        """The diversity of each class, as a share of that of real images."""
        shares = {}
        for label, real in self._real.items():
            samples = [(label, index) for index in range(_PER_CLASS)]
            labels: Int64[Tensor, " n"] = torch.full((_PER_CLASS,), label)
            shares[label] = diversity(task.draw(labels, SampleNoise(0, samples, task.noise_shape))) / max(real, 1e-6)
        return shares

    def _warn(self, shares: Mapping[int, float], seen: int) -> None:
        collapsed = {label for label, share in shares.items() if share < _COLLAPSED}
        if new := sorted(collapsed - self._warned):
            names = ", ".join(f"{self._names[label]} ({100 * shares[label]:.0f} %)" for label in new)
            log(
                f"warning: after {seen:,} images, samples of a class look alike; their diversity as a share of that of "
                f"real images: {names}. A smaller --class-weight, --diffaugment or more images may help."
            )
        self._warned = collapsed


class StopWhenDiscriminatorWins(Callback):
    """Ends a training in which the discriminator no longer errs: the generator has nothing left to learn from it.

    Warns when that is near. Weights from before it was near are kept, in case none have been measured.
    """

    def __init__(self) -> None:
        self._losses: deque[Float[Tensor, ""]] = deque(maxlen=_WINDOW)
        self._share = 1.0

    def state_dict(self) -> dict[str, Any]:
        """What it has seen, for resuming."""
        return {"losses": list(self._losses), "share": self._share}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues from there."""
        self._losses.extend(state_dict["losses"])
        self._share = state_dict["share"]

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Looks at every hundredth step."""
        task = cast(ACGANTask, pl_module)
        self._losses.append(task.source_loss)
        if trainer.global_step % _EVERY:
            return
        losses = torch.stack([loss.to(task.device) for loss in self._losses])  # those of a saved state are on the CPU
        guessing = task.discriminator.guessing_loss
        before, self._share = self._share, float(losses[-_EVERY:].mean()) / guessing
        if self._share >= _WINNING:
            task.note_sound()
        elif before >= _WINNING:
            log(
                f"warning: at step {trainer.global_step} the discriminator hardly errs: its source loss is "
                f"{100 * self._share:.2g} % of what guessing costs; {_REMEDIES}"
            )
        if len(losses) == _WINDOW and (mean := float(losses.mean())) < _WON * guessing:
            kept = "" if task.keep_sound() else "; no earlier weights were worth keeping"
            raise TrainingError(
                f"the discriminator has won at step {trainer.global_step}: its mean source loss over {_WINDOW} steps "
                f"is {mean:.2g}, guessing costs {guessing:.2g}, so that the generator learns nothing more from it"
                f"{kept}; {_REMEDIES}"
            )

    def is_sound(self) -> bool:
        """Whether the discriminator still erred when last looked at."""
        return self._share >= _WINNING
