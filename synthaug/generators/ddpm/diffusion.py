"""The forward process, its inversion and the training objective (Ho et al. 2020), as pure functions.

| name | symbol | meaning |
| --- | --- | --- |
| images | x_0 | clean images in [-1, 1] |
| noisy_images | x_t | images after t steps of noise |
| noise | eps | the standard normal noise in x_t |
| timesteps | t | 0-based step, 0..T-1 |
| alphas_cumprod | alpha-bar_t | product of 1 - beta over the steps up to t |
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor

TRAIN_TIMESTEPS = 1000

#: The same process as a configuration of diffusers' DDPMScheduler.
SCHEDULER = {
    "num_train_timesteps": TRAIN_TIMESTEPS,
    "beta_schedule": "squaredcos_cap_v2",
    "clip_sample": True,
    "prediction_type": "epsilon",
}


def cosine_alphas_cumprod(timesteps: int = TRAIN_TIMESTEPS) -> Float[Tensor, " t"]:
    """The cosine schedule: alpha-bar(s) = cos^2((s + 0.008) / 1.008 * pi / 2), with each beta at most 0.999.

    Source: Nichol and Dhariwal 2021, "Improved DDPM", equation 17; diffusers calls it `squaredcos_cap_v2`.
    """
    edges = torch.arange(timesteps + 1, dtype=torch.float64) / timesteps
    alpha_bar = torch.cos((edges + 0.008) / 1.008 * math.pi / 2) ** 2
    betas = (1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(max=0.999)
    return torch.cumprod(1 - betas, dim=0).to(torch.float32)


def add_noise(
    images: Float[Tensor, "n c h w"],
    noise: Float[Tensor, "n c h w"],
    timesteps: Int64[Tensor, " n"],
    alphas_cumprod: Float[Tensor, " t"],
) -> Float[Tensor, "n c h w"]:
    """A draw from q(x_t | x_0) = N(sqrt(alpha-bar_t) x_0, (1 - alpha-bar_t) I) (equation 4)."""
    alpha_bar = alphas_cumprod[timesteps].view(-1, 1, 1, 1)
    return alpha_bar.sqrt() * images + (1 - alpha_bar).sqrt() * noise


def predict_images(
    noisy_images: Float[Tensor, "n c h w"],
    noise: Float[Tensor, "n c h w"],
    timesteps: Int64[Tensor, " n"],
    alphas_cumprod: Float[Tensor, " t"],
) -> Float[Tensor, "n c h w"]:
    """The x_0 that `add_noise` would have turned into x_t (equation 15), clipped to [-1, 1]."""
    alpha_bar = alphas_cumprod[timesteps].view(-1, 1, 1, 1)
    return ((noisy_images - (1 - alpha_bar).sqrt() * noise) / alpha_bar.sqrt()).clamp(-1.0, 1.0)


def simple_loss(predicted: Float[Tensor, "n c h w"], noise: Float[Tensor, "n c h w"]) -> Float[Tensor, ""]:
    """L_simple: the mean of (eps - eps_theta)^2 (equation 14)."""
    return torch.mean((predicted.to(torch.float32) - noise) ** 2)


def drop_labels(
    labels: Int64[Tensor, " n"], probability: float, null_label: int, generator: torch.Generator
) -> Int64[Tensor, " n"]:
    """Hides each sample's label on its own with the given probability (Ho and Salimans 2022, algorithm 1)."""
    is_hidden = torch.rand(len(labels), generator=generator, device=labels.device) < probability
    return torch.where(is_hidden, null_label, labels)
