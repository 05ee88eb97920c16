"""The Frechet distance between two sets of features (Heusel et al. 2017, "FID", equation 6)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from synthaug.core.errors import InputError
from synthaug.core.seeding import derive_seed
from synthaug.metrics.estimates import Estimate, percentile_interval, resampled_means

#: Rows that are held in float64 at a time.
_ROWS = 1024

#: Columns of a covariance that are computed together; narrower ones skip more of what symmetry gives, but run slower.
_COLUMNS = 128


@dataclass(frozen=True)
class Gaussian:
    """What a Frechet distance knows of a set of features.

    Attributes:
        mean: Of each feature.
        covariance: Unbiased, of each pair of features.
        count: Number of images.
    """

    mean: Float64[Tensor, " d"]
    covariance: Float64[Tensor, "d d"]
    count: int


def frechet_distance(first: Float[Tensor, "n d"], second: Float[Tensor, "m d"]) -> float:
    """|mu_1 - mu_2|^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^(1/2)) of the Gaussians fitted to both sets, in float64.

    With Inception features this is the FID; with others it is on a scale of its own. It is biased upwards by small
    sets, so compare figures of equal n and m only.

    Raises:
        InputError: If a set has fewer than two rows, or a feature is not a number.
    """
    if len(first) > len(second) and len(second) < second.shape[1]:
        first, second = second, first
    one, two = fit_gaussian(first), fit_gaussian(second)
    if one.count >= len(one.mean):
        return gaussian_distance(one, two)
    # Fewer samples than features are a smaller factor of their covariance than any square one.
    factor = (first.to(torch.float64) - one.mean) / (one.count - 1) ** 0.5
    return _distance(one, two, factor)


def fit_gaussian(features: Float[Tensor, "n d"]) -> Gaussian:
    """Mean and covariance in float64, of which no more than a block of rows is copied at a time.

    Raises:
        InputError: If there are fewer than two rows, or a feature is not a number.
    """
    count, dimensions = features.shape
    if count < 2:
        raise InputError(f"a Frechet distance needs at least two images of each kind, found {count}")
    mean = features.new_zeros(dimensions, dtype=torch.float64)
    for rows in _blocks(features):
        mean += rows.sum(dim=0)
    mean /= count
    if not mean.isfinite().all():
        raise InputError("a Frechet distance needs finite features, found some that are not")
    products = features.new_zeros(dimensions, dimensions, dtype=torch.float64)
    for rows in torch.split(features, _ROWS):
        centred = rows - mean
        for start in range(0, dimensions, _COLUMNS):
            some, rest = centred[:, start : start + _COLUMNS], centred[:, start:]
            products[start : start + _COLUMNS, start:].addmm_(some.T, rest)
    covariance = (products.triu() + products.triu(1).T) / (count - 1)
    return Gaussian(mean, covariance, count)


def gaussian_distance(first: Gaussian, second: Gaussian) -> float:
    """The Frechet distance of two fitted sets, so that a reference need be fitted only once."""
    return _distance(first, second, _factor(first.covariance))


def _distance(first: Gaussian, second: Gaussian, factor: Float64[Tensor, "r d"]) -> float:
    # With S_1 = F^T F, what S_1 S_2 has of eigenvalues other than zero are those of F S_2 F^T, which is symmetric.
    shared = torch.linalg.eigvalsh(factor @ second.covariance @ factor.T).clamp(min=0).sqrt().sum()
    spread = first.covariance.trace() + second.covariance.trace() - 2 * shared
    return max(0.0, float((first.mean - second.mean).square().sum() + spread))


def _factor(covariance: Float64[Tensor, "d d"]) -> Float64[Tensor, "d d"]:
    """F with F^T F = S."""
    factor, failure = torch.linalg.cholesky_ex(covariance, upper=True)
    return _power(covariance, 0.5) if failure else factor


def frechet_estimate(real: Float[Tensor, "n d"], generated: Float[Tensor, "m d"], *, seed: int = 0) -> Estimate:
    """The Frechet distance with a 95 % interval of what other samples of these sizes would have given.

    The interval is the percentile bootstrap of the distance's linear part (the delta method; Rippl, Munk and Sturm
    2016, "Limit laws of the empirical Wasserstein distance: Gaussian distributions"): a resample shifts the distance
    by the mean influences of both sets. It is too wide, not too narrow, for sets of hardly more images than features
    and for sets that are alike. It does not hold the distance of infinitely many images, from which the figure is
    biased upwards.

    Args:
        real: Features of real images.
        generated: Features of generated images.
        seed: Of the resamples.

    Raises:
        InputError: If a set has no more images than features, or a feature is not a number.
    """
    dimensions = real.shape[1]
    if min(len(real), len(generated)) <= dimensions:
        raise InputError(
            f"an interval of the Frechet distance of {dimensions} features needs at least {dimensions + 1} images of "
            f"each kind, found {len(real)} real and {len(generated)} generated: covariances of fewer are singular, and "
            "the figure would be mostly bias"
        )
    first, second = fit_gaussian(real), fit_gaussian(generated)
    # Streams of their own: with the same rows drawn from both sets, the noise of sets in a like order would cancel.
    shifts = resampled_means(influences(real, first, second), seed=derive_seed("frechet real", seed))
    shifts += resampled_means(influences(generated, second, first), seed=derive_seed("frechet generated", seed))
    value = gaussian_distance(first, second)
    interval = percentile_interval(value, value + shifts)
    return Estimate(value, max(0.0, interval.low), interval.high)


def influences(features: Float[Tensor, "n d"], own: Gaussian, other: Gaussian) -> Float64[Tensor, " n"]:
    """How the distance changes when a sample gains weight: its derivative, at each sample x of one set.

    2 (mu_1 - mu_2) . (x - mu_1) + (x - mu_1)^T (I - T) (x - mu_1), less its mean. I - T is the gradient of the
    squared Bures-Wasserstein distance (Bhatia, Jain and Lim 2019, "On the Bures-Wasserstein distance between positive
    definite matrices"), where T carries a Gaussian with S_1 to one with S_2.

    Args:
        features: One of the two sets.
        own: The Gaussian fitted to it.
        other: The Gaussian fitted to the other set.
    """
    gap = own.mean - other.mean
    gradient = -_transport(own.covariance, other.covariance)
    gradient.diagonal().add_(1)
    centred = (rows - own.mean for rows in _blocks(features))
    values = torch.cat([2 * rows @ gap + ((rows @ gradient) * rows).sum(dim=1) for rows in centred])
    return values - values.mean()


def _transport(start: Float64[Tensor, "d d"], end: Float64[Tensor, "d d"]) -> Float64[Tensor, "d d"]:
    """S_1^(-1/2) (S_1^(1/2) S_2 S_1^(1/2))^(1/2) S_1^(-1/2): the optimal linear map from covariance S_1 to S_2."""
    root, inverse = _power(start, 0.5), _power(start, -0.5)
    return inverse @ _power(root @ end @ root, 0.5) @ inverse


def _power(matrix: Float64[Tensor, "d d"], exponent: float) -> Float64[Tensor, "d d"]:
    """A power of a symmetric positive semi-definite matrix; directions without variance stay zero."""
    values, vectors = torch.linalg.eigh(matrix)
    has_variance = values > values.max() * len(values) * torch.finfo(values.dtype).eps
    powers = torch.where(has_variance, values, 1.0).pow(exponent).where(has_variance, 0.0)
    result: Tensor = (vectors * powers) @ vectors.T
    return result


def _blocks(features: Float[Tensor, "n d"]) -> Iterator[Float64[Tensor, "rows d"]]:
    return (rows.to(torch.float64) for rows in torch.split(features, _ROWS))
