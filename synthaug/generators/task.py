"""What the trainings of all generators share: what has been shown to them, for how long, and what they draw."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from typing import Any, cast

import lightning.pytorch as pl
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from synthaug.core.types import LabelledImages
from synthaug.generators.base import Noise
from synthaug.generators.ema import averaged_copy, decay_at, update_average


class GeneratorTask(pl.LightningModule):
    """A generator that learns while the average of its weights follows.

    The images live on the training device as uint8; a step gathers its own batch, so a resumed training continues
    exactly where it stopped.

    Args:
        network: What learns to generate.
        images: What to learn.
        planned_images: Images to show to the network in all.
        images_per_step: Images that one step sees.
        ema_half_life: Half-life of the weight average, as a share of the images seen so far.
    """

    network: Any
    train_images: Tensor
    train_labels: Tensor

    def __init__(
        self, network: Any, images: LabelledImages, *, planned_images: int, images_per_step: int, ema_half_life: float
    ) -> None:
        super().__init__()
        self.network = network
        self.average = averaged_copy(network)
        self.register_buffer("train_images", images.images, persistent=False)
        self.register_buffer("train_labels", images.labels, persistent=False)
        self.images_per_step = images_per_step
        self.steps = -(-planned_images // images_per_step)
        self.steps_done = 0
        self.seconds = 0.0
        self._ema_half_life = ema_half_life
        self._recent_losses: deque[Tensor] = deque(maxlen=100)
        self._started_at = 0.0

    @property
    def noise_shape(self) -> tuple[int, int, int]:
        """Shape of the noise that one image is made from."""
        return cast(tuple[int, int, int], tuple(self.train_images.shape[1:]))

    def draw(self, labels: Int64[Tensor, " n"], noise: Noise) -> UInt8[Tensor, "n c h w"]:
        """Images from the averaged weights, with the backend's default settings."""
        raise NotImplementedError

    def note_figures(self, figures: Mapping[str, float]) -> None:
        """Takes note of what a monitor found in its samples."""

    def draw_kept(self, labels: Int64[Tensor, " n"], noise: Noise) -> UInt8[Tensor, "n c h w"] | None:
        """Images from weights that were measured before and may be kept; None if there are none."""
        return None

    def note_kept_figures(self, figures: Mapping[str, float]) -> None:
        """Takes note of what the monitor of a resumed training finds in those."""

    @property
    def kept_after(self) -> int | None:
        """Images seen when the weights to keep were as they are; None for those of the last step."""
        return None

    def on_train_start(self) -> None:
        """Starts the clock; the network learns, the average only follows."""
        self._started_at = time.monotonic()
        self.network.train()
        self.average.eval()

    def follow(self, step: int) -> None:
        """Moves the average after a step, counted from 1."""
        self.steps_done = step
        update_average(
            self.average, self.network, decay_at(self.images_seen(), self.images_per_step, self._ema_half_life)
        )

    def images_seen(self) -> int:
        """Images shown to the network, over this and all earlier runs."""
        return self.steps_done * self.images_per_step

    def total_seconds(self) -> float:
        """Time spent training, over this and all earlier runs."""
        return self.seconds + (time.monotonic() - self._started_at if self._started_at else 0.0)

    def note_loss(self, loss: Tensor) -> None:
        """Remembers the loss of a step."""
        self._recent_losses.append(loss.detach())

    def recent_loss(self) -> float:
        """Mean loss over the last hundred steps."""
        losses = torch.stack([loss.to(self.device) for loss in self._recent_losses])
        return float(losses[losses.isfinite()].mean()) if losses.isfinite().any() else float(losses.mean())

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps the time spent and the last losses."""
        checkpoint["synthaug"] = {"seconds": self.total_seconds(), "recent_losses": list(self._recent_losses)}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restores them."""
        self.steps_done = checkpoint["global_step"]
        self.seconds = checkpoint["synthaug"]["seconds"]
        self._recent_losses.extend(checkpoint["synthaug"]["recent_losses"])
