"""ACGANs as a generator backend: plans, trains and loads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from synthaug.core.runtime import Runtime
from synthaug.generators.acgan import sampler
from synthaug.generators.acgan.layers import MEMORY_FORMAT
from synthaug.generators.acgan.presets import PRESETS, build_generator
from synthaug.generators.base import Generator, GeneratorSpec, Noise, SamplerSettings, TrainPlan, TrainRequest
from synthaug.generators.checkpoint import load_network, read_card

#: Raised whenever the same settings draw other images than before.
SAMPLING_VERSION = 1
_LOOKS = 20


@dataclass(frozen=True)
class ACGANSampler:
    """A trained generator.

    Attributes:
        spec: What it makes.
        default_settings: Sampler settings to use unless told otherwise.
        network: The generator, in evaluation mode.
    """

    spec: GeneratorSpec
    default_settings: SamplerSettings
    network: Any
    _runtime: Runtime
    _networks: dict[tuple[str, float | None], Any] = field(default_factory=dict)

    def check_settings(self, settings: SamplerSettings) -> None:
        """Raises InputError for settings that one evaluation cannot follow."""
        sampler.check_settings(settings)

    def sample(self, labels: Int64[Tensor, " n"], noise: Noise, settings: SamplerSettings) -> UInt8[Tensor, "n c h w"]:
        """Draws one uint8 image per label; see `synthaug.generators.acgan.sampler.draw_images`."""
        return sampler.draw_images(self._prepared(settings), labels, noise, settings, self._runtime)

    def _prepared(self, settings: SamplerSettings) -> Any:
        """The network with the batch-norm statistics that the settings ask for, compiled if that was asked for."""
        key = (settings.sampler, settings.truncation if settings.sampler == "standing" else None)
        if key not in self._networks:
            network = self.network
            if settings.sampler == "standing":
                network = sampler.with_standing_statistics(network, settings.truncation)
            self._networks[key] = torch.compile(network, dynamic=False) if self._runtime.compiled else network
        return self._networks[key]


class ACGANBackend:
    """The `acgan` entry of `synthaug.generators`."""

    @property
    def presets(self) -> Mapping[str, str]:
        """Names of the presets and what each is for."""
        return {name: preset.purpose for name, preset in PRESETS.items()}

    def plan(self, request: TrainRequest) -> TrainPlan:
        """Resolves the preset's numbers and counts the generator's parameters.

        Raises:
            InputError: For anything that `train` would refuse.
        """
        from synthaug.generators.acgan.training import check

        choices, images = check(request), request.images
        network = build_generator(
            choices.preset, image_size=images.image_size, channels=images.channels, classes=len(images.class_names)
        )
        return TrainPlan(
            preset=choices.preset_name,
            parameters=sum(weight.numel() for weight in network.parameters()),
            images=choices.images,
            batch_size=choices.batch_size,
            learning_rate=choices.learning_rate,
            options=choices.options,
            batches_per_step=choices.batches_per_step,
            watch_every=max(1, choices.images // _LOOKS),
        )

    def train(self, request: TrainRequest) -> Path:
        """Trains and writes a checkpoint folder; see `synthaug.generators.acgan.training.train`."""
        from synthaug.generators.acgan.training import train  # Only training needs Lightning, which loads slowly.

        return train(request)

    def load(self, folder: Path, runtime: Runtime) -> Generator:
        """Loads a checkpoint folder after checking its hashes; nothing in it is executed.

        Raises:
            InputError: If the folder is not a checkpoint.
            DamageError: If weights are not those of the card.
        """
        from synthaug.generators.acgan.generators import ACGANGenerator

        card = read_card(folder)
        network = load_network(ACGANGenerator, folder, "generator", card).eval().requires_grad_(False)
        network = network.to(runtime.device, memory_format=MEMORY_FORMAT)
        spec = card.spec(SAMPLING_VERSION, network.config.latent)
        return ACGANSampler(spec, sampler.DEFAULT_SETTINGS, network, runtime)


BACKEND = ACGANBackend()
