"""The DDPM as a generator backend: plans, trains and loads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from synthaug.core.errors import InputError
from synthaug.core.runtime import Runtime
from synthaug.generators.base import Generator, GeneratorSpec, Noise, SamplerSettings, TrainPlan, TrainRequest
from synthaug.generators.checkpoint import read_card
from synthaug.generators.ddpm import sampler, settings
from synthaug.generators.ddpm.network import PRESETS, build_network, load_network
from synthaug.generators.ddpm.process import Process

#: Raised whenever the same settings draw other images than before.
SAMPLING_VERSION = 2


@dataclass(frozen=True)
class DDPMGenerator:
    """A trained DDPM.

    Attributes:
        spec: What it makes.
        default_settings: Sampler settings to use unless told otherwise.
        network: The U-Net.
        process: Its noise process.
    """

    spec: GeneratorSpec
    default_settings: SamplerSettings
    network: Any
    process: Process
    _runtime: Runtime

    def check_settings(self, settings: SamplerSettings) -> None:
        """Raises InputError for an unknown sampler, or steps or guidance out of range."""
        sampler.sampler_levels(self.process, settings)

    def sample(self, labels: Int64[Tensor, " n"], noise: Noise, settings: SamplerSettings) -> UInt8[Tensor, "n c h w"]:
        """Draws one uint8 image per label; see `synthaug.generators.ddpm.sampler.sample_images`."""
        return sampler.sample_images(self.network, self.process, labels, noise, settings, self._runtime)


class DDPMBackend:
    """The `ddpm` entry of `synthaug.generators`."""

    @property
    def presets(self) -> Mapping[str, str]:
        """Names of the presets and what each is for."""
        return {name: preset.purpose for name, preset in PRESETS.items()}

    def plan(self, request: TrainRequest) -> TrainPlan:
        """Resolves the preset's numbers and counts the parameters.

        Raises:
            InputError: For anything that `train` would refuse.
        """
        from synthaug.generators.ddpm.training import check

        choices, images = check(request), request.images
        preset = choices.preset
        with torch.device("meta"):
            network = build_network(
                preset, image_size=images.image_size, channels=images.channels, classes=len(images.class_names)
            )
        parameters = sum(weight.numel() for weight in network.parameters())
        return TrainPlan(
            choices.preset_name, parameters, preset.images, preset.batch_size, preset.learning_rate, choices.options
        )

    def train(self, request: TrainRequest) -> Path:
        """Trains and writes a checkpoint folder; see `synthaug.generators.ddpm.training.train`."""
        from synthaug.generators.ddpm.training import train  # Only training needs Lightning, which loads slowly.

        return train(request)

    def load(self, folder: Path, runtime: Runtime) -> Generator:
        """Loads a checkpoint folder after checking its hashes; nothing in it is executed.

        Raises:
            InputError: If the folder is not a DDPM checkpoint.
            DamageError: If weights are not those of the card.
        """
        card = read_card(folder)
        try:
            process = settings.process_of(card.settings)
        except KeyError as error:
            raise InputError(f"{folder} was made by an earlier version of this program; train it again") from error
        network = load_network(folder, card).eval().requires_grad_(False)
        network = network.to(runtime.device, memory_format=runtime.memory_format)
        if runtime.compiled:
            # A graph for each batch size: one for all would round as the sizes met before have it.
            network = torch.compile(network, dynamic=False)
        default = sampler.DEFAULT_SETTINGS
        if card.guidance is not None:
            default = replace(default, guidance=card.guidance)
        return DDPMGenerator(card.spec(SAMPLING_VERSION), default, network, process, runtime)


BACKEND = DDPMBackend()
