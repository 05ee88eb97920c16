"""Draws images with diffusers' few-step solvers and classifier-free guidance."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from synthaug.core.errors import InputError
from synthaug.core.pixels import to_storage
from synthaug.core.registry import Registry
from synthaug.core.runtime import Runtime
from synthaug.generators.base import Noise, SamplerSettings
from synthaug.generators.ddpm.diffusion import predict_images

#: Sampling starts where log(sqrt(alpha-bar) / sqrt(1 - alpha-bar)) reaches this value, that is, where a tenth of the
#: image's amplitude is left in the noise. Earlier in the cosine schedule, an estimate of x_0 divides the network's
#: error by almost nothing: the images come out with colours far too strong.
_FIRST_LOG_SNR = -2.3
#: With more steps, the rounded grid between that point and 0 would hold a timestep twice and divide by zero.
_MOST_STEPS = 900
DEFAULT_SETTINGS = SamplerSettings(sampler="dpmpp", steps=20, guidance=1.0)


def _solver(order: int) -> Callable[[dict[str, Any]], Any]:
    def build(config: dict[str, Any]) -> Any:
        from diffusers import DPMSolverMultistepScheduler

        return DPMSolverMultistepScheduler.from_config(
            config, solver_order=order, prediction_type="sample", lambda_min_clipped=_FIRST_LOG_SNR
        )

    return build


#: Deterministic solvers of the probability-flow equation: DPM-Solver++ (Lu et al. 2022) of order 2, and of order 1,
#: which is DDIM (Song et al. 2021). Each takes a DDPM scheduler's configuration.
SAMPLERS: Registry[Callable[[dict[str, Any]], Any]] = Registry("sampler", {"dpmpp": _solver(2), "ddim": _solver(1)})


def check_settings(settings: SamplerSettings) -> None:
    """Raises InputError for an unknown sampler, or a number of steps or guidance weight out of range."""
    SAMPLERS.get(settings.sampler)
    if not 1 <= settings.steps <= _MOST_STEPS:
        raise InputError(f"--steps must lie in 1..{_MOST_STEPS}, found {settings.steps}")
    if not 0 <= settings.guidance < math.inf:
        raise InputError(f"--guidance must be a number of at least 0, found {settings.guidance}")


@torch.no_grad()
def sample_images(
    network: Any,
    scheduler_config: dict[str, Any],
    alphas_cumprod: Float[Tensor, " t"],
    labels: Int64[Tensor, " n"],
    noise: Noise,
    settings: SamplerSettings,
    runtime: Runtime,
) -> UInt8[Tensor, "n c h w"]:
    """Integrates from noise to images.

    Args:
        network: Predicts the noise: `network(noisy_images, t, class_labels=labels).sample`.
        scheduler_config: Configuration of the DDPM scheduler it was trained with.
        alphas_cumprod: alpha-bar_t of that scheduler.
        labels: Classes to draw.
        noise: Gives the initial noise.
        settings: Sampler, steps and guidance.
        runtime: Device and precision.

    Returns:
        uint8 images on the CPU.
    """
    scheduler = SAMPLERS.get(settings.sampler)(scheduler_config)
    with warnings.catch_warnings():  # diffusers converts tensors in a way that NumPy will give up.
        warnings.filterwarnings("ignore", message="__array__ implementation", category=DeprecationWarning)
        scheduler.set_timesteps(settings.steps)
    device = torch.device(runtime.device)
    images = noise.draw().to(device)
    labels = labels.to(device)
    null_labels = torch.full_like(labels, network.config.num_class_embeds - 1)
    alphas_cumprod = alphas_cumprod.to(device)

    for timestep in scheduler.timesteps:
        timesteps = torch.full((len(labels),), int(timestep), dtype=torch.int64, device=device)
        with runtime.autocast():
            predicted = network(images, timesteps, class_labels=labels).sample.float()
            if settings.guidance != 1.0:
                unconditional = network(images, timesteps, class_labels=null_labels).sample.float()
                predicted = unconditional + settings.guidance * (predicted - unconditional)
        clean = predict_images(images, predicted, timesteps, alphas_cumprod)
        images = scheduler.step(clean, timestep, images).prev_sample
    return to_storage(images).cpu()
