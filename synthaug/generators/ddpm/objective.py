"""From the network to the denoiser and back: what it is given, what it should say, and the loss of what it says."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from synthaug.generators.ddpm.process import Process


def denoised(
    process: Process, prediction: Float[Tensor, "n c h w"], noisy: Float[Tensor, "n c h w"], sigmas: Float[Tensor, " n"]
) -> Float[Tensor, "n c h w"]:
    """The estimate of x_0 from the network's output: c_skip x + c_out F."""
    skip, out, _ = process.coefficients(sigmas)
    return _per_image(skip) * noisy + _per_image(out) * prediction


def training_target(
    process: Process, images: Float[Tensor, "n c h w"], noise: Float[Tensor, "n c h w"], sigmas: Float[Tensor, " n"]
) -> Float[Tensor, "n c h w"]:
    """What F should say so that the denoiser gives x_0: ((1 - c_skip) x_0 - c_skip sigma n) / c_out."""
    skip, out, _ = process.coefficients(sigmas)
    return _per_image((1 - skip) / out) * images - _per_image(skip * sigmas / out) * noise


def network_input(
    process: Process, noisy: Float[Tensor, "n c h w"], sigmas: Float[Tensor, " n"]
) -> Float[Tensor, "n c h w"]:
    """c_in x."""
    return _per_image(process.coefficients(sigmas).into) * noisy


def _per_image(values: Float[Tensor, " n"]) -> Float[Tensor, "n 1 1 1"]:
    return values.view(-1, 1, 1, 1)


def per_image_losses(
    process: Process,
    prediction: Float[Tensor, "n c h w"],
    target: Float[Tensor, "n c h w"],
    sigmas: Float[Tensor, " n"],
) -> Float[Tensor, " n"]:
    """The weighted mean squared error of each image. Its mean is, for epsilon, L_simple of Ho et al. (equation 14)."""
    errors = (prediction.to(torch.float32) - target).square().mean(dim=(1, 2, 3))
    return process.loss_weights(sigmas) * errors


def drop_labels(
    labels: Int64[Tensor, " n"], probability: float, null_label: int, generator: torch.Generator
) -> Int64[Tensor, " n"]:
    """Hides each sample's label on its own with the given probability (Ho and Salimans 2022, algorithm 1)."""
    is_hidden = torch.rand(len(labels), generator=generator, device=labels.device) < probability
    return torch.where(is_hidden, null_label, labels)
