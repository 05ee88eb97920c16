"""From paired accuracies to a verdict, as pure functions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from scipy import stats

from synthaug.core.errors import InputError

VerdictName = Literal["helps", "hurts", "inconclusive", "no verdict"]
MINIMUM_SEEDS = 3


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % confidence interval (Student's t); the interval is None for a single value.

    Attributes:
        mean: Of the values.
        low: Lower end of the interval.
        high: Upper end.
        count: Number of values.
    """

    mean: float
    low: float | None
    high: float | None
    count: int


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and interval mean +- t(0.975, n - 1) s / sqrt(n), with s the sample standard deviation.

    Raises:
        InputError: If there is no value.
    """
    count = len(values)
    if count == 0:
        raise InputError("an estimate needs at least one value, found none")
    mean = math.fsum(values) / count
    if count == 1:
        return Estimate(mean, None, None, 1)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1))
    half = float(stats.t.ppf(0.975, count - 1)) * deviation / math.sqrt(count)
    return Estimate(mean, mean - half, mean + half, count)


def verdict(difference: Estimate) -> VerdictName:
    """`helps` or `hurts` if the interval of the paired difference excludes 0; fewer than 3 seeds give no verdict."""
    if difference.count < MINIMUM_SEEDS or difference.low is None or difference.high is None:
        return "no verdict"
    if difference.low > 0:
        return "helps"
    if difference.high < 0:
        return "hurts"
    return "inconclusive"
