"""The training step of an ACGAN; every step's batches, labels and latent variables are a function of (seed, step)."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from synthaug.core.pixels import to_network
from synthaug.core.runtime import Runtime
from synthaug.core.seeding import IndexStream, generator_for, global_stream
from synthaug.core.types import LabelledImages
from synthaug.generators.acgan.augment import augment, policy
from synthaug.generators.acgan.discriminators import Discriminator, Judgement
from synthaug.generators.acgan.layers import MEMORY_FORMAT
from synthaug.generators.acgan.losses import discriminator_source_loss, generator_source_loss, r1_penalty
from synthaug.generators.acgan.presets import Preset
from synthaug.generators.acgan.sampler import DEFAULT_SETTINGS, draw_images, with_standing_statistics
from synthaug.generators.base import Noise
from synthaug.generators.task import GeneratorTask


class ACGANTask(GeneratorTask):
    """A generator that learns to please a discriminator, which learns to tell its images from real ones.

    One step updates the discriminator as often as the preset says, then the generator once. What is kept in the end are
    the averaged weights whose samples had the lowest Frechet distance, if a monitor measures them, else the last.

    Args:
        network: The generator.
        discriminator: Its opponent.
        images: What to learn.
        preset: Numbers of the training.
        allows_flip: Whether to mirror half of the images.
        seed: Seed of everything random.
        runtime: Whether to compile the networks.
    """

    def __init__(
        self,
        network: Any,
        discriminator: Discriminator,
        images: LabelledImages,
        preset: Preset,
        *,
        allows_flip: bool,
        seed: int,
        runtime: Runtime,
    ) -> None:
        super().__init__(
            network.to(memory_format=MEMORY_FORMAT),
            images,
            planned_images=preset.images,
            images_per_step=preset.images_per_step,
            ema_half_life=preset.ema_half_life,
        )
        self.automatic_optimization = False
        self.discriminator = discriminator.to(memory_format=MEMORY_FORMAT)
        self.source_loss = torch.tensor(float("nan"))
        self._preset = preset
        self._order = IndexStream(len(images), seed, "train")
        self._changes = policy(preset.diffaugment)
        self._allows_flip = allows_flip
        self._seed = seed
        self._runtime = runtime
        self._generate = torch.compile(network.forward, dynamic=False) if runtime.compiled else network.forward
        self._judge = torch.compile(discriminator.forward, dynamic=False) if runtime.compiled else discriminator.forward
        self._best: dict[str, Any] = {}
        self._sound: dict[str, Any] = {}
        self._drawing: tuple[int, Any] = (-1, None)  # in a tuple: as a module it would be in the saved state

    @property
    def noise_shape(self) -> tuple[int, int, int]:
        """Latent variables."""
        return (self._preset.latent, 1, 1)

    def draw(self, labels: Int64[Tensor, " n"], noise: Noise) -> UInt8[Tensor, "n c h w"]:
        """Images from the averaged weights, with batch-norm statistics of their own."""
        if self._drawing[0] != self.steps_done:
            self._drawing = (self.steps_done, with_standing_statistics(self.average))
        return draw_images(self._drawing[1], labels, noise, DEFAULT_SETTINGS, self._runtime)

    def configure_optimizers(self) -> Any:
        """Adam for each network."""
        preset = self._preset
        return [
            torch.optim.Adam(network.parameters(), lr=preset.learning_rate, betas=preset.betas, fused=True)
            for network in (self.network, self.discriminator)
        ]

    def on_train_start(self) -> None:
        """Both networks learn."""
        super().on_train_start()
        self.discriminator.train()

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """One step of both networks; returns the discriminator's loss."""
        step = self.global_step
        generator = generator_for("acgan", self._seed, step, device=self.device)
        for_network, for_discriminator = self.optimizers()  # type: ignore[attr-defined]
        losses = []
        with global_stream("acgan dropout", self._seed, step, device=self.device):
            for number in range(self._preset.discriminator_steps):
                real, labels = self._real(step * self._preset.discriminator_steps + number, generator)
                loss = self._discriminator_loss(real, labels, generator)
                losses.append(self._update(for_discriminator.optimizer, loss))  # Lightning counts its own steps only
            self.discriminator.requires_grad_(False)
            loss = self._generator_loss(generator)
        for_network.zero_grad()
        self.manual_backward(loss)
        for_network.step()
        self.discriminator.requires_grad_(True)
        self.follow(step + 1)
        mean = torch.stack(losses).mean()
        self.log_dict({"loss": mean, "generator_loss": loss.detach()})
        self.note_loss(mean)
        return mean

    def _update(self, optimiser: torch.optim.Optimizer, loss: Tensor) -> Tensor:
        optimiser.zero_grad()
        self.manual_backward(loss)
        optimiser.step()
        return loss.detach()

    def _real(self, number: int, generator: torch.Generator) -> tuple[Float[Tensor, "n c h w"], Int64[Tensor, " n"]]:
        """Batch `number` of the real images."""
        count = self._preset.batch_size
        chosen = self._order.slice(number * count, count, device=self.device)
        images, labels = to_network(self.train_images[chosen]), self.train_labels[chosen]
        if self._allows_flip:
            is_mirrored = torch.rand(count, 1, 1, 1, generator=generator, device=self.device) < 0.5
            images = torch.where(is_mirrored, images.flip(3), images)
        return images.contiguous(memory_format=MEMORY_FORMAT), labels

    def _fake(self, generator: torch.Generator) -> tuple[Float[Tensor, "n c h w"], Int64[Tensor, " n"]]:
        """A batch of generated images of random classes."""
        count = self._preset.batch_size
        latents = torch.randn(count, self._preset.latent, generator=generator, device=self.device)
        labels = torch.randint(self.network.config.classes, (count,), generator=generator, device=self.device)
        return self._generate(latents, labels).float(), labels

    def _discriminator_loss(
        self, real: Float[Tensor, "n c h w"], labels: Int64[Tensor, " n"], generator: torch.Generator
    ) -> Tensor:
        discriminator, preset = self.discriminator, self._preset
        with torch.no_grad():
            fake, fake_labels = self._fake(generator)
        slope = self._slope_penalty(real) if preset.r1 > 0 else torch.zeros((), device=self.device)
        of_real, of_fake = self._judge_both(
            augment(real, self._changes, generator), augment(fake, self._changes, generator)
        )
        source = discriminator_source_loss(discriminator.source_loss, of_real.source, of_fake.source)
        classes = discriminator.class_loss(of_real, labels)
        if discriminator.learns_fake_classes:
            classes = classes + discriminator.class_loss(of_fake, fake_labels)
        with torch.no_grad():
            right = ((of_real.source > 0).float().mean() + (of_fake.source < 0).float().mean()) / 2
            self.log_dict({"source_loss": source, "class_loss": classes, "discriminator_accuracy": right})
        self.source_loss = source.detach()
        return source + preset.class_weight * classes + preset.r1 * slope

    def _judge_both(self, real: Tensor, fake: Tensor) -> tuple[Judgement, Judgement]:
        """Both in one batch, but apart where batch norm would tell them of each other."""
        if self.network.config.family == "classic":
            return self._judge(real), self._judge(fake)
        source, classes = self._judge(torch.cat([real, fake]))
        count = len(real)
        return Judgement(source[:count], classes[:count]), Judgement(source[count:], classes[count:])

    def _slope_penalty(self, real: Tensor) -> Tensor:
        """In float32: half-precision slopes of slopes are noise."""
        with torch.autocast(self.device.type, enabled=False):
            images = real.detach().clone().requires_grad_(True)
            return r1_penalty(self.discriminator(images).source, images)

    def _generator_loss(self, generator: torch.Generator) -> Tensor:
        images, labels = self._fake(generator)
        judgement = self._judge(augment(images, self._changes, generator))
        source = generator_source_loss(self.discriminator.source_loss, judgement.source)
        return source + self._preset.class_weight * self.discriminator.class_loss(judgement, labels)

    def note_figures(self, figures: Mapping[str, float]) -> None:
        """Keeps the averaged weights if their samples are the nearest to real ones so far."""
        frechet = figures.get("frechet", float("inf"))
        if frechet < self._best.get("frechet", float("inf")):
            self._best = self._weights(frechet)

    def draw_kept(self, labels: Int64[Tensor, " n"], noise: Noise) -> UInt8[Tensor, "n c h w"] | None:
        """Images from the weights measured best."""
        if not self._best:
            return None
        network = copy.deepcopy(self.average)
        network.load_state_dict(self._best["weights"])
        return draw_images(with_standing_statistics(network), labels, noise, DEFAULT_SETTINGS, self._runtime)

    def note_kept_figures(self, figures: Mapping[str, float]) -> None:
        """Takes the Frechet distance that a new monitor gives to the weights measured best."""
        self._best["frechet"] = figures.get("frechet", float("inf"))

    def note_sound(self) -> None:
        """Remembers the averaged weights as from a time when the discriminator still erred."""
        self._sound = self._weights(float("inf"))

    def keep_sound(self) -> bool:
        """Keeps the weights last remembered, if none have been measured; whether there are any to keep."""
        self._best = self._best or self._sound
        return bool(self._best)

    def _weights(self, frechet: float) -> dict[str, Any]:
        weights = {name: value.detach().cpu().clone() for name, value in self.average.state_dict().items()}
        return {"frechet": frechet, "images_seen": self.images_seen(), "weights": weights}

    @property
    def kept_after(self) -> int | None:
        """Images seen when the samples were measured best."""
        return self._best.get("images_seen")

    def kept_network(self) -> Any:
        """The generator to keep, with batch-norm statistics of its own, on the CPU."""
        network = copy.deepcopy(self.average).cpu()
        if self._best:
            network.load_state_dict(self._best["weights"])
        return with_standing_statistics(network)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps the best weights so far, too."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["synthaug"]["best"] = self._best

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restores them."""
        super().on_load_checkpoint(checkpoint)
        self._best = checkpoint["synthaug"]["best"]
