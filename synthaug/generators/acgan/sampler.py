"""Draws images: one evaluation each, with truncation and the choice of batch-norm statistics."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn

from synthaug.core.errors import InputError
from synthaug.core.pixels import to_storage
from synthaug.core.registry import Registry
from synthaug.core.runtime import Runtime
from synthaug.core.seeding import generator_for
from synthaug.generators.base import Noise, SamplerSettings

SAMPLERS: Registry[str] = Registry(
    "ACGAN sampler",
    {
        "stored": "with the batch-norm statistics of the checkpoint",
        "standing": "with statistics measured anew at the truncation used (Brock et al. 2019, section 4.1)",
    },
)
DEFAULT_SETTINGS = SamplerSettings(sampler="stored", steps=1, guidance=1.0)
_BATCHES, _BATCH = 16, 250


def check_settings(settings: SamplerSettings) -> None:
    """Refuses settings that one evaluation of a generator cannot follow.

    Raises:
        InputError: For an unknown sampler, a truncation that is not positive, steps or guidance.
    """
    SAMPLERS.get(settings.sampler)
    if settings.steps != 1:
        raise InputError(f"an ACGAN takes one step, found --steps {settings.steps}; leave it out")
    if settings.guidance != 1.0 or settings.guidance_interval is not None:
        raise InputError("an ACGAN has no classifier-free guidance; leave out --guidance and --guidance-interval")
    if settings.truncation is not None and not 0 < settings.truncation < math.inf:
        raise InputError(f"--truncation must be a positive number, found {settings.truncation}")


def truncated(latents: Float[Tensor, ...], limit: float | None) -> Float[Tensor, ...]:
    """Standard normal values made those of a normal distribution cut off at +-limit, in the same order."""
    if limit is None:
        return latents
    outside = torch.special.ndtr(torch.tensor(-limit, dtype=torch.float64))
    quantiles = outside + torch.special.ndtr(latents.double()) * (1 - 2 * outside)
    values: Tensor = torch.special.ndtri(quantiles)
    return values.clamp(-limit, limit).to(latents.dtype)


@torch.no_grad()
def with_standing_statistics(network: Any, truncation: float | None = None) -> Any:
    """A copy whose batch norms have the mean statistics of 4000 images of random classes, always the same ones.

    Args:
        network: The generator, as trained or loaded.
        truncation: Of their latent variables.
    """
    network = copy.deepcopy(network)
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
    network.train()
    config, device = network.config, next(network.parameters()).device
    generator = generator_for("standing statistics")
    for _ in range(_BATCHES):
        latents = torch.randn(_BATCH, config.latent, generator=generator)
        labels = torch.randint(config.classes, (_BATCH,), generator=generator)
        network(truncated(latents, truncation).to(device), labels.to(device))
    for norm in norms:
        norm.momentum = 0.1
    return network.eval()


@torch.no_grad()
def draw_images(
    network: Any, labels: Int64[Tensor, " n"], noise: Noise, settings: SamplerSettings, runtime: Runtime
) -> UInt8[Tensor, "n c h w"]:
    """One image for each label, in one evaluation.

    Args:
        network: A generator in evaluation mode.
        labels: Classes to draw.
        noise: Gives the latent variables, of shape [n, latent, 1, 1].
        settings: Truncation.
        runtime: Device and precision.

    Returns:
        uint8 images on the CPU.
    """
    latents = truncated(noise.draw().flatten(1), settings.truncation).to(runtime.device)
    with runtime.autocast():
        images = network(latents, labels.to(runtime.device))
    return to_storage(images.float()).cpu()
