"""The DDPM's training step; every step's batch, noise and noise levels are a pure function of (seed, step)."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from synthaug.core.pixels import to_network
from synthaug.core.runtime import Runtime
from synthaug.core.seeding import IndexStream, generator_for, global_stream
from synthaug.core.types import LabelledImages
from synthaug.generators.base import Noise
from synthaug.generators.ddpm.network import Preset, patch_size
from synthaug.generators.ddpm.objective import drop_labels, network_input, per_image_losses, training_target
from synthaug.generators.ddpm.process import Process
from synthaug.generators.ddpm.sampler import DEFAULT_SETTINGS, sample_images
from synthaug.generators.task import GeneratorTask

_WARM_UP_SHARE = 0.05
_COOL_DOWN_SHARE = 0.3
_NOISE_GROUPS = 4


class DDPMTask(GeneratorTask):
    """Learns to denoise class-conditional images.

    Several processes share each batch, with equal parts; what they learn does not depend on
    their number but for rounding and, where there is dropout, for which activations it hits.

    Args:
        network: A `UNet2DModel`; its last class stands for "no label".
        process: Noise process and objective.
        images: What to learn.
        preset: Numbers of the training; the rate falls linearly over the last 30 % of its images.
        allows_flip: Whether to mirror half of the images.
        label_dropout: Probability of hiding a label.
        seed: Seed of everything random.
        runtime: Memory format of the images, and whether to compile the network with `torch.compile`.
    """

    def __init__(
        self,
        network: Any,
        process: Process,
        images: LabelledImages,
        preset: Preset,
        *,
        allows_flip: bool,
        label_dropout: float,
        seed: int,
        runtime: Runtime,
    ) -> None:
        super().__init__(
            network.to(memory_format=runtime.memory_format),
            images,
            planned_images=preset.images,
            images_per_step=preset.batch_size,
            ema_half_life=preset.ema_half_life,
        )
        self.process = process
        self._preset = preset
        self._order = IndexStream(len(images), seed, "train")
        self._allows_flip = allows_flip
        self._label_dropout = label_dropout
        self._seed = seed
        self._runtime = runtime
        # A function: as a module of its own, the network would be in the saved state twice.
        self._predict = torch.compile(network.forward, dynamic=False) if runtime.compiled else network.forward

    def draw(self, labels: Int64[Tensor, " n"], noise: Noise) -> UInt8[Tensor, "n c h w"]:
        """Images from the averaged weights, with the default sampler."""
        return sample_images(self.average, self.process, labels, noise, DEFAULT_SETTINGS, self._runtime)

    def configure_optimizers(self) -> Any:
        """AdamW with a linear warm-up over 5 % of the images and a linear cool-down over the last 30 %."""
        optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=self._preset.learning_rate, betas=(0.9, 0.99), weight_decay=0.0, fused=True
        )
        # A plain function: of anything else, LambdaLR would put the attributes into the saved state.
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: self._rate_at(step))  # noqa: PLW0108
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _rate_at(self, step: int) -> float:
        warm_up = min(1.0, (step + 1) / max(1.0, _WARM_UP_SHARE * self.steps))
        cool_down = min(1.0, max(0.02, (self.steps - step) / max(1.0, _COOL_DOWN_SHARE * self.steps)))
        return warm_up * cool_down

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The loss of this process's part of one batch."""
        images, labels, noise, quantiles = self._draw(self.global_step)
        sigmas, times = self.process.training_levels(quantiles)
        noisy = images + sigmas.view(-1, 1, 1, 1) * noise
        inputs = network_input(self.process, noisy, sigmas).contiguous(memory_format=self._runtime.memory_format)
        with self._own_dropout():
            prediction = self._predict(inputs, times, class_labels=labels).sample
        target = training_target(self.process, images, noise, sigmas)
        losses = per_image_losses(self.process, prediction, target, sigmas)
        loss = losses.mean()
        self._log_losses(self._over_processes(loss.detach()), losses.detach(), quantiles)
        return loss

    def _draw(self, step: int) -> tuple[Tensor, Int64[Tensor, " n"], Tensor, Float[Tensor, " n"]]:
        """Clean images, labels, noise and quantiles of the noise levels of a step."""
        generator = generator_for("ddpm", self._seed, step, device=self.device)
        count = self._preset.batch_size
        chosen = self._order.slice(step * count, count, device=self.device)
        images, labels = to_network(self.train_images[chosen]), self.train_labels[chosen]
        if self._allows_flip:
            is_mirrored = torch.rand(len(images), 1, 1, 1, generator=generator, device=self.device) < 0.5
            images = torch.where(is_mirrored, images.flip(3), images)
        noise = torch.randn(images.shape, generator=generator, device=self.device)
        labels = drop_labels(labels, self._label_dropout, self.network.config.num_class_embeds - 1, generator)
        # Uniform in [0, 1) each, and evenly spread over the batch (Kingma et al. 2021, appendix I.1).
        first = torch.rand(1, generator=generator, device=self.device)
        quantiles = (first + torch.arange(len(images), device=self.device) / len(images)) % 1.0
        patch = patch_size(self.network.config.in_channels)
        part = slice(self.global_rank, None, self._world_size())
        return (
            F.pixel_unshuffle(images, patch)[part],
            labels[part],
            F.pixel_unshuffle(noise, patch)[part],
            quantiles[part],
        )

    def _own_dropout(self) -> contextlib.AbstractContextManager[None]:
        """Lets dropout draw from a stream of this step and process."""
        if not self._preset.dropout:
            return contextlib.nullcontext()
        return global_stream("ddpm dropout", self._seed, self.global_step, self.global_rank, device=self.device)

    def _world_size(self) -> int:
        return 1 if self._trainer is None else self._trainer.world_size

    def _over_processes(self, loss: Tensor) -> Tensor:
        """The mean loss of the whole batch, from that of this process's part."""
        if self._world_size() == 1:
            return loss
        mean: Tensor = self.trainer.strategy.reduce(loss.clone(), reduce_op="mean")
        return mean

    def _log_losses(self, loss: Tensor, losses: Float[Tensor, " n"], quantiles: Float[Tensor, " n"]) -> None:
        self.log("loss", loss)
        self.note_loss(loss)
        if self.global_step % 10 == 9:  # as often as it is written
            groups = (quantiles * _NOISE_GROUPS).long()
            for group in range(_NOISE_GROUPS):
                if (members := losses[groups == group]).numel():
                    self.log(f"loss_noise_{group + 1}_of_{_NOISE_GROUPS}", members.mean())

    def configure_gradient_clipping(self, *_: Any, **__: Any) -> None:
        """Keeps the norm of the gradient at or below 1; Lightning's own clipping refuses fused optimisers."""
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Moves the weights, then their average, so that no state is saved between the two."""
        super().optimizer_step(*args, **kwargs)
        self.follow(self.global_step + 1)  # Lightning counts the step afterwards
