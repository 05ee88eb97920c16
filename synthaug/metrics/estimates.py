"""A figure and how far sampling may have moved it; nothing about what it measures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from synthaug.core.errors import InputError
from synthaug.core.seeding import derive_seed, generator_for

#: Resamples of an interval.
RESAMPLES = 1000
_LEVEL = 0.95
#: Drawing how often one distinct value occurs costs about as much as drawing this many samples one by one.
_DISTINCT_COST = 10
#: Samples drawn at a time, if one resample does not take more.
_DRAWS = 2**16


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval.

    Attributes:
        value: The figure.
        low: Lower end.
        high: Upper end.
    """

    value: float
    low: float
    high: float


def bootstrap_mean(values: Float[Tensor, " n"], *, seed: int = 0) -> Estimate:
    """The mean of values with the percentile interval of 1000 bootstrap resamples (Efron and Tibshirani 1993).

    Values that are all equal give an interval without width, however few they are.

    Args:
        values: One for each sample.
        seed: Of the resamples.

    Raises:
        InputError: If there are no values, or one is not a number.
    """
    if len(values) == 0:
        raise InputError("a mean needs at least one value, found none")
    precise = values.to(torch.float64)
    if not precise.isfinite().all():
        raise InputError("a mean needs finite values, found some that are not")
    return percentile_interval(float(precise.mean()), resampled_means(precise, seed=seed))


def resampled_means(values: Float[Tensor, " n *k"], *, seed: int = 0) -> Float[Tensor, " resamples *k"]:
    """Means of 1000 resamples with replacement, in float64.

    A resample of n values takes O(n) time. When few of them are distinct, as among the zeros and ones of a share, it
    takes O(distinct): how often each occurs is drawn at once, from the same distribution.

    Args:
        values: One number, or a row of them that stay together, for each sample.
        seed: Of the resamples.
    """
    count, precise = len(values), values.to(torch.float64)
    distinct, occurrences = torch.unique(precise, dim=0, return_counts=True)
    if _DISTINCT_COST * len(distinct) <= count:
        numbers = np.random.default_rng(derive_seed("bootstrap", seed))
        shares = (occurrences.to(torch.float64) / count).numpy()
        counts = torch.from_numpy(numbers.multinomial(count, shares, size=RESAMPLES))
        means: Tensor = counts.to(torch.float64) @ distinct / count
        return means
    generator = generator_for("bootstrap", seed)
    together = min(RESAMPLES, max(4, _DRAWS // count))
    batches = [min(together, RESAMPLES - start) for start in range(0, RESAMPLES, together)]
    return torch.cat([resample_counts(count, batch, generator) @ precise / count for batch in batches])


def resample_counts(count: int, resamples: int, generator: torch.Generator) -> Float[Tensor, "resamples n"]:
    """How often each of n samples is in each resample of n with replacement."""
    draws = torch.randint(count, (resamples, count), generator=generator)
    draws += count * torch.arange(resamples)[:, None]
    counts = torch.bincount(draws.flatten(), minlength=resamples * count)
    return counts.view(resamples, count).to(torch.float64)


def percentile_interval(value: float, resampled: Float[Tensor, " resamples"]) -> Estimate:
    """A figure with the interval that holds the middle 95 % of its resamples."""
    tails = torch.tensor([(1 - _LEVEL) / 2, (1 + _LEVEL) / 2], dtype=torch.float64)
    low, high = resampled.to(torch.float64).quantile(tails).tolist()
    return Estimate(value, min(low, value), max(high, value))
