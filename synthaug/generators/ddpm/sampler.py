"""Draws images: a solver, classifier-free guidance, and each sample's own noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from synthaug.core.errors import InputError
from synthaug.core.pixels import to_storage
from synthaug.core.runtime import Runtime
from synthaug.generators.base import Noise, SamplerSettings
from synthaug.generators.ddpm.network import patch_size
from synthaug.generators.ddpm.objective import denoised, network_input
from synthaug.generators.ddpm.process import Levels, Process
from synthaug.generators.ddpm.solvers import SOLVERS

DEFAULT_SETTINGS = SamplerSettings(sampler="dpmpp", steps=20, guidance=1.0)


def sampler_levels(process: Process, settings: SamplerSettings) -> Levels:
    """The noise levels at which the network will be evaluated, descending.

    Raises:
        InputError: For an unknown sampler, a truncation, or a number of steps or a guidance out of range.
    """
    solver = SOLVERS.get(settings.sampler)
    if not 0 <= settings.guidance < math.inf:
        raise InputError(f"--guidance must be a number of at least 0, found {settings.guidance}")
    if settings.guidance_interval is not None:
        low, high = settings.guidance_interval
        if not 0 <= low < high < math.inf:
            raise InputError(f"--guidance-interval needs two noise levels, 0 <= LOW < HIGH, found {low:g},{high:g}")
    if settings.truncation is not None:
        raise InputError("--truncation belongs to generators with latent variables (acgan); leave it out")
    return process.chain_levels(settings.steps) if solver.is_ancestral else process.sampling_levels(settings.steps)


@dataclass(frozen=True)
class GuidedDenoiser:
    """D(x; sigma) of some labels, clipped to [-1, 1], with classifier-free guidance.

    The guided prediction is F_null + w (F_class - F_null) (Ho and Salimans 2022), within an interval of noise levels if
    one is given (Kynkaanniemi et al. 2024); outside of it and with w = 1 it is F_class.

    Attributes:
        network: Predicts F: `network(c_in x, c_noise, class_labels=labels).sample`.
        process: Gives the coefficients.
        levels: Where it will be evaluated.
        labels: One class per image.
        settings: Guidance weight and interval.
        runtime: Device and precision.
    """

    network: Any
    process: Process
    levels: Levels
    labels: Int64[Tensor, " n"]
    settings: SamplerSettings
    runtime: Runtime

    def __call__(self, noisy: Float[Tensor, "n c h w"], level: int) -> Float[Tensor, "n c h w"]:
        """The estimate of the clean images at one of the levels."""
        count = len(self.labels)
        sigmas, times = (values[level].to(noisy.device).expand(count) for values in self.levels)
        inputs = network_input(self.process, noisy, sigmas).contiguous(memory_format=self.runtime.memory_format)
        with self.runtime.autocast():
            prediction = self.network(inputs, times, class_labels=self.labels).sample.float()
            if self._is_guided(float(self.levels.sigmas[level])):
                nobody = torch.full_like(self.labels, self.network.config.num_class_embeds - 1)
                unconditional = self.network(inputs, times, class_labels=nobody).sample.float()
                prediction = unconditional + self.settings.guidance * (prediction - unconditional)
        return denoised(self.process, prediction, noisy, sigmas).clamp(-1.0, 1.0)

    def _is_guided(self, sigma: float) -> bool:
        interval = self.settings.guidance_interval
        return self.settings.guidance != 1.0 and (interval is None or interval[0] <= sigma <= interval[1])


@torch.no_grad()
def sample_images(
    network: Any,
    process: Process,
    labels: Int64[Tensor, " n"],
    noise: Noise,
    settings: SamplerSettings,
    runtime: Runtime,
) -> UInt8[Tensor, "n c h w"]:
    """Integrates from noise to images.

    Args:
        network: A U-Net of `synthaug.generators.ddpm.network`, or its compiled form.
        process: The process it was trained with.
        labels: Classes to draw.
        noise: Gives the initial noise, and that which an ancestral sampler adds on the way.
        settings: Sampler, steps and guidance.
        runtime: Device and precision.

    Returns:
        uint8 images on the CPU.
    """
    levels = sampler_levels(process, settings)
    solver = SOLVERS.get(settings.sampler)
    device = torch.device(runtime.device)
    patch = patch_size(network.config.in_channels)

    def draw() -> Float[Tensor, "n c h w"]:
        return F.pixel_unshuffle(noise.draw().to(device), patch)

    denoise = GuidedDenoiser(network, process, levels, labels.to(device), settings, runtime)
    sigmas = levels.sigmas.tolist()
    x = draw() * math.sqrt(1 + sigmas[0] ** 2)
    return to_storage(F.pixel_shuffle(solver.integrate(denoise, x, sigmas, draw), patch)).cpu()
