"""The Frechet distance between two sets of features (Heusel et al. 2017, "FID", equation 6)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from synthaug.core.errors import InputError


def frechet_distance(first: Float[Tensor, "n d"], second: Float[Tensor, "m d"]) -> float:
    """|mu_1 - mu_2|^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^(1/2)) of the Gaussians fitted to both sets, in float64.

    With Inception features this is the FID; with others it is on a scale of its own. It is biased upwards by small
    sets, so compare figures of equal n and m only.

    Raises:
        InputError: If a set has fewer than two rows, or a feature is not a number.
    """
    moments = []
    for features in (first, second):
        if len(features) < 2:
            raise InputError(f"a Frechet distance needs at least two images of each kind, found {len(features)}")
        values = features.to(torch.float64)
        if not values.isfinite().all():
            raise InputError("a Frechet distance needs finite features, found some that are not")
        moments.append((values.mean(dim=0), torch.cov(values.T).reshape(values.shape[1], -1)))
    (mean_1, cov_1), (mean_2, cov_2) = moments
    # tr((S_1 S_2)^(1/2)) is the trace of (R S_2 R)^(1/2) with R = S_1^(1/2), which is symmetric.
    values, vectors = torch.linalg.eigh(cov_1)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    shared = torch.linalg.eigvalsh(root @ cov_2 @ root).clamp(min=0).sqrt().sum()
    distance = (mean_1 - mean_2).square().sum() + cov_1.trace() + cov_2.trace() - 2 * shared
    return max(0.0, float(distance))
