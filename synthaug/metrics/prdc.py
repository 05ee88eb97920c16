"""Precision, recall, density and coverage of generated features against real ones, by nearest neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from synthaug.core.errors import InputError


@dataclass(frozen=True)
class PRDC:
    """Shares in [0, 1], except density, which may exceed 1.

    Attributes:
        precision: Share of generated samples within some real sample's neighbourhood (Kynkaanniemi et al. 2019).
        recall: Share of real samples within some generated sample's neighbourhood (the same).
        density: Real neighbourhoods that hold a generated sample, over those expected (Naeem et al. 2020).
        coverage: Share of real samples whose neighbourhood holds a generated one (the same).
    """

    precision: float
    recall: float
    density: float
    coverage: float


def prdc(real: Float[Tensor, "n d"], generated: Float[Tensor, "m d"], *, neighbours: int = 5) -> PRDC:
    """Compares two sets of features in float64; a sample's neighbourhood reaches to its k-th nearest of its own set.

    Args:
        real: Features of real images.
        generated: Features of generated images.
        neighbours: k.

    Raises:
        InputError: If a set has no more samples than neighbours.
    """
    if min(len(real), len(generated)) <= neighbours:
        raise InputError(
            f"with {neighbours} neighbours, at least {neighbours + 1} images of each kind are needed, found "
            f"{len(real)} real and {len(generated)} generated"
        )
    real, generated = real.to(torch.float64), generated.to(torch.float64)
    real_radii, generated_radii = _radii(real, neighbours), _radii(generated, neighbours)
    between = torch.cdist(real, generated)
    within_real = between <= real_radii[:, None]
    return PRDC(
        precision=_share(within_real.any(dim=0)),
        recall=_share((between <= generated_radii[None, :]).any(dim=1)),
        density=float(within_real.double().sum(dim=0).mean() / neighbours),
        coverage=_share(between.min(dim=1).values <= real_radii),
    )


def _radii(features: Float[Tensor, "n d"], neighbours: int) -> Float[Tensor, " n"]:
    """Distance of each sample to its k-th nearest other one (the nearest of all is itself)."""
    return torch.cdist(features, features).kthvalue(neighbours + 1, dim=1).values


def _share(flags: Tensor) -> float:
    return float(flags.double().mean())
