"""The DDPM's training step; every step's batch, noise and timesteps are a pure function of (seed, step)."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from synthaug.core.pixels import to_network
from synthaug.core.seeding import IndexStream, generator_for
from synthaug.core.types import LabelledImages
from synthaug.generators.ddpm.diffusion import (
    TRAIN_TIMESTEPS,
    add_noise,
    cosine_alphas_cumprod,
    drop_labels,
    simple_loss,
)
from synthaug.generators.ema import averaged_copy, decay_at, update_average

_WARM_UP_SHARE = 0.05
_COOL_DOWN_SHARE = 0.3


class DDPMTask(pl.LightningModule):
    """Predicts the noise in class-conditional noisy images.

    The images live on the training device as uint8; a step gathers its own batch, so a resumed training continues
    exactly where it stopped.

    Args:
        network: A `UNet2DModel`; its last class stands for "no label".
        images: What to learn.
        allows_flip: Whether to mirror half of the images.
        batch_size: Images per step.
        learning_rate: Peak learning rate of AdamW.
        steps: Optimiser steps in all; the rate falls linearly over the last 30 %.
        ema_decay: Decay of the weight average.
        label_dropout: Probability of hiding a label.
        seed: Seed of everything random.
    """

    alphas_cumprod: Tensor
    train_images: Tensor
    train_labels: Tensor

    def __init__(
        self,
        network: Any,
        images: LabelledImages,
        *,
        allows_flip: bool,
        batch_size: int,
        learning_rate: float,
        steps: int,
        ema_decay: float,
        label_dropout: float,
        seed: int,
    ) -> None:
        super().__init__()
        self.network = network
        self.average = averaged_copy(network)
        self.register_buffer("alphas_cumprod", cosine_alphas_cumprod(), persistent=False)
        self.register_buffer("train_images", images.images, persistent=False)
        self.register_buffer("train_labels", images.labels, persistent=False)
        self.seconds = 0.0
        self._recent_losses: deque[Tensor] = deque(maxlen=100)
        self._order = IndexStream(len(images), seed, "train")
        self._allows_flip = allows_flip
        self._batch_size = batch_size
        self._learning_rate = learning_rate
        self._steps = steps
        self._ema_decay = ema_decay
        self._label_dropout = label_dropout
        self._seed = seed
        self._started_at = 0.0

    def configure_optimizers(self) -> Any:
        """AdamW with a linear warm-up over 5 % of the steps and a linear cool-down over the last 30 %."""
        optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=self._learning_rate, betas=(0.9, 0.99), weight_decay=0.0, fused=True
        )
        # A plain function: of anything else, LambdaLR would put the attributes into the saved state.
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: self._rate_at(step))  # noqa: PLW0108
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _rate_at(self, step: int) -> float:
        warm_up = min(1.0, (step + 1) / max(1.0, _WARM_UP_SHARE * self._steps))
        cool_down = min(1.0, max(0.02, (self._steps - step) / max(1.0, _COOL_DOWN_SHARE * self._steps)))
        return warm_up * cool_down

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """L_simple of one batch."""
        generator = generator_for("ddpm", self._seed, self.global_step, device=self.device)
        chosen = self._order.slice(self.global_step * self._batch_size, self._batch_size).to(self.device)
        images, labels = to_network(self.train_images[chosen]), self.train_labels[chosen]
        if self._allows_flip:
            is_mirrored = torch.rand(len(images), 1, 1, 1, generator=generator, device=self.device) < 0.5
            images = torch.where(is_mirrored, images.flip(3), images)
        noise = torch.randn(images.shape, generator=generator, device=self.device)
        timesteps = torch.randint(0, TRAIN_TIMESTEPS, (len(images),), generator=generator, device=self.device)
        labels = drop_labels(labels, self._label_dropout, self.network.config.num_class_embeds - 1, generator)
        noisy_images = add_noise(images, noise, timesteps, self.alphas_cumprod)
        loss = simple_loss(self.network(noisy_images, timesteps, class_labels=labels).sample, noise)
        self.log("loss", loss)
        self._recent_losses.append(loss.detach())
        return loss

    def configure_gradient_clipping(self, *_: Any, **__: Any) -> None:
        """Keeps the norm of the gradient at or below 1; Lightning's own clipping refuses fused optimisers."""
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)

    def on_train_start(self) -> None:
        """Starts the clock; the network learns, the average only follows."""
        self._started_at = time.monotonic()
        self.network.train()
        self.average.eval()

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Moves the weights, then their average, so that no state is saved between the two."""
        super().optimizer_step(*args, **kwargs)
        update_average(self.average, self.network, decay_at(self.global_step, self._ema_decay))

    def total_seconds(self) -> float:
        """Time spent training, over this and all earlier runs."""
        return self.seconds + (time.monotonic() - self._started_at if self._started_at else 0.0)

    def recent_loss(self) -> float:
        """Mean loss over the last hundred steps."""
        return float(torch.stack([loss.cpu() for loss in self._recent_losses]).mean())

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps the time spent and the last losses."""
        checkpoint["synthaug"] = {"seconds": self.total_seconds(), "recent_losses": list(self._recent_losses)}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restores them."""
        self.seconds = checkpoint["synthaug"]["seconds"]
        self._recent_losses.extend(checkpoint["synthaug"]["recent_losses"])
