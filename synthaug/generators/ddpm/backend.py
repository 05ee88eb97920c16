"""The DDPM as a generator backend: plans, trains and loads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from synthaug.core.errors import DamageError
from synthaug.core.runtime import Runtime
from synthaug.generators.base import Generator, GeneratorSpec, Noise, SamplerSettings, TrainPlan, TrainRequest
from synthaug.generators.checkpoint import read_card, verify_weights
from synthaug.generators.ddpm import sampler
from synthaug.generators.ddpm.diffusion import SCHEDULER, cosine_alphas_cumprod
from synthaug.generators.ddpm.network import PRESETS


@dataclass(frozen=True)
class DDPMGenerator:
    """A trained DDPM.

    Attributes:
        spec: What it makes.
        default_settings: Sampler settings to use unless told otherwise.
    """

    spec: GeneratorSpec
    default_settings: SamplerSettings
    _network: Any
    _runtime: Runtime

    def check_settings(self, settings: SamplerSettings) -> None:
        """Raises InputError for an unknown sampler, or steps or guidance out of range."""
        sampler.check_settings(settings)

    def sample(self, labels: Int64[Tensor, " n"], noise: Noise, settings: SamplerSettings) -> UInt8[Tensor, "n c h w"]:
        """Draws one uint8 image per label; see `synthaug.generators.ddpm.sampler.sample_images`."""
        return sampler.sample_images(
            self._network, SCHEDULER, cosine_alphas_cumprod(), labels, noise, settings, self._runtime
        )


class DDPMBackend:
    """The `ddpm` entry of `synthaug.generators`."""

    @property
    def presets(self) -> Mapping[str, str]:
        """Names of the presets and what each is for."""
        return {name: preset.purpose for name, preset in PRESETS.items()}

    def default_preset(self, image_size: int) -> str:
        """`digits` up to 16 pixels, `cpu` above."""
        return "digits" if image_size <= 16 else "cpu"

    def plan(self, request: TrainRequest) -> TrainPlan:
        """Resolves the preset's numbers and counts the parameters.

        Raises:
            InputError: For anything that `train` would refuse.
        """
        from synthaug.generators.ddpm.training import network_for, resolve

        preset = resolve(request)
        with torch.device("meta"):
            network = network_for(preset, request)
        parameters = sum(weight.numel() for weight in network.parameters())
        return TrainPlan(request.preset, parameters, preset.steps, preset.batch_size, preset.learning_rate)

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
        from diffusers import UNet2DModel

        card = read_card(folder)
        verify_weights(folder, card)
        try:
            network = UNet2DModel.from_pretrained(
                folder, subfolder="unet", use_safetensors=True, local_files_only=True, torch_dtype=torch.float32
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise DamageError(f"{folder}: the network could not be loaded: {error}") from error
        spec = GeneratorSpec(
            model=card.model,
            class_names=card.class_names,
            channels=card.channels,
            image_size=card.image_size,
            checkpoint=card.checkpoint,
            allows_flip=card.allows_flip,
            split=card.split,
        )
        network = network.to(runtime.device).eval().requires_grad_(False)
        return DDPMGenerator(spec, sampler.DEFAULT_SETTINGS, network, runtime)


BACKEND = DDPMBackend()
