"""From paired differences to intervals, p values and a verdict, as pure functions; not how anything was measured."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from scipy import special
from torch import Tensor

from synthaug.core.errors import InputError
from synthaug.core.seeding import generator_for
from synthaug.metrics.estimates import resample_counts, resampled_means

VerdictName = Literal["helps", "hurts", "inconclusive", "no verdict"]
MINIMUM_SEEDS = 3
#: p below which a difference counts.
SIGNIFICANT = 0.05

_TAIL = 0.025
_NORMAL = 1.959963984540054
#: Resamples of up to this many values are enumerated (1716 of 7); of more, this many are drawn.
_MOST_ENUMERATED = 7
_DRAWN = 10_000
#: Of fewer values so many resamples are constant that a studentised mean has no finite 95 % interval, or a wild one.
_FEWEST_STUDENTISED = 5
#: Power of the variance's share due to seeds that weighs their quantile; Cochran's 1 covers 98 % with 3 seeds.
_SHARPNESS = 1.25
#: Bounds the quantile of a studentised mean over images where a handful of them differ, and resamples may have none.
_LARGEST_QUANTILE = 5.0
_MOST_FLIPS_ENUMERATED = 16


@dataclass(frozen=True)
class Estimate:
    """The mean of `count` values with its 95 % confidence interval (Student's t), None for a single value."""

    mean: float
    low: float | None
    high: float | None
    count: int


@dataclass(frozen=True)
class Interval:
    """The ends of a 95 % interval."""

    low: float
    high: float


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and interval mean +- t(0.975, n - 1) s / sqrt(n), with s the sample standard deviation.

    Of differences over seeds: what other seeds might have given with the same test images.
    """
    count = len(values)
    if count == 0:
        raise InputError("an estimate needs at least one value, found none")
    if count == 1:
        return Estimate(float(values[0]), None, None, 1)
    mean, error = _mean_and_error(values)
    half = student_quantile(count) * error
    return Estimate(mean, mean - half, mean + half, count)


def two_way_interval(differences: Float[Tensor, "seeds images"], *, seed: int = 0) -> Interval | None:
    """What another draw of as many seeds and as many test images might have given, as a 95 % interval of the mean.

    The variance of the mean is that of resampling rows and columns at once (the pigeonhole bootstrap, Owen 2007), in
    closed form and with the noise of cells counted once: A + B, where A is the mean square of rows over the number of
    cells, and B that of columns less that of the residuals. A few seeds have Student's t quantile, t(0.975, seeds - 1).
    Images have those of a studentised bootstrap, as few that differ make a skewed mean, and at least 1.96. Their mean,
    with weights that rest on the shares of A and B (Cochran 1964), times sqrt(A + B) is the distance to either end.

    In 2000 simulated studies with 3, 5 and 10 seeds and 200 images it held the truth in 94.3 to 96.7 % with normal
    effects, whatever was largest; in 94.8 to 96.1 % with images gained and lost; in 93 % with large uniform effects of
    3 or 5 seeds, as Student's t does; in 99 % where 8 images differ, to one side. Percentiles would be too narrow.

    Args:
        differences: Right with synthetic images minus right without: 1, 0 or -1. Below 3 seeds or 2 images, None comes.
        seed: Of the resamples.
    """
    seeds, images = differences.shape
    if seeds < MINIMUM_SEEDS or images < 2:
        return None
    cells = differences.to(torch.float64)
    rows, columns, mean = cells.mean(dim=1), cells.mean(dim=0), float(cells.mean())
    of_rows = images * float((rows - mean).square().sum())
    of_columns = seeds * float((columns - mean).square().sum())
    residual = float((cells - mean).square().sum()) - of_rows - of_columns
    residual_square = max(0.0, residual) / ((seeds - 1) * (images - 1))
    row_square, column_square = of_rows / (seeds - 1), of_columns / (images - 1)
    if row_square < 1e-9 * residual_square:
        # Means that agree to the last image do so by chance: their expected square is at least the residuals'.
        row_square = residual_square
    column_square = max(0.0, column_square - residual_square)
    if row_square + column_square == 0:
        return Interval(mean, mean)
    weight = (row_square / (row_square + column_square)) ** _SHARPNESS
    error = math.sqrt((row_square + column_square) / cells.numel())
    centred = columns - mean
    means, squares = resampled_means(torch.stack([centred, centred.square()], dim=1), seed=seed).unbind(dim=1)
    shares = torch.full_like(means, 1 / len(means))
    below, above = _studentised_tails(means, squares, images, shares, _LARGEST_QUANTILE)
    of_seeds = weight * student_quantile(seeds)
    return Interval(
        mean - error * (of_seeds + (1 - weight) * max(above, _NORMAL)),
        mean + error * (of_seeds + (1 - weight) * max(-below, _NORMAL)),
    )


def bootstrap_interval(values: Sequence[float], *, seed: int = 0) -> Interval | None:
    """95 % bootstrap interval of a mean from all resamples of up to 7 values, or 10 000 of more; None for less than 3.

    From 5 values on it is studentised (bootstrap-t, Efron 1982), with quantiles of at most twice Student's, and follows
    the skew of the values. The percentile interval of 3, 4 or 5 is far too narrow: it holds the mean of a normal
    distribution in 76, 80 or 85 %; and a studentised one of 3 has no ends. So 3 or 4 values have the percentile one,
    stretched about their mean by t(0.975, n - 1) sqrt(n / (n - 1)) / 1.96, which undoes both causes.

    In simulations of 2000 studies it held the mean of normal values in 95, 94, 95, 96, 95 and 95 % for 3, 4, 5, 6, 8
    and 10 values; of exponential ones in 88 % for 3 or 4 and 92 to 94 % from 5 on (Student's t: 88 to 90 %).
    """
    count = len(values)
    if count < MINIMUM_SEEDS:
        return None
    mean, error = _mean_and_error(values)
    if error == 0:
        return Interval(mean, mean)
    scaled = (torch.tensor(values, dtype=torch.float64) - mean) / error
    counts, shares = resamples_of(count, seed=seed)
    means = counts @ scaled / count
    student = student_quantile(count)
    if count < _FEWEST_STUDENTISED:
        low, high = weighted_tails(means, shares)
        stretch = student * math.sqrt(count / (count - 1)) / _NORMAL
        return Interval(mean + error * stretch * low, mean + error * stretch * high)
    below, above = _studentised_tails(means, counts @ scaled.square() / count, count, shares, 2 * student)
    return Interval(mean - error * above, mean - error * below)


def resamples_of(count: int, *, seed: int = 0) -> tuple[Float[Tensor, "resamples n"], Float[Tensor, " resamples"]]:
    """How often each of n values is in each resample of n with replacement, and the probability of each resample."""
    if count > _MOST_ENUMERATED:
        counts = resample_counts(count, _DRAWN, generator_for("seeds", seed))
        return counts, torch.full((_DRAWN,), 1 / _DRAWN, dtype=torch.float64)
    chosen = torch.tensor(list(itertools.combinations_with_replacement(range(count), count)))
    counts = torch.nn.functional.one_hot(chosen, count).sum(dim=1).to(torch.float64)
    orders = (torch.tensor(count + 1.0, dtype=torch.float64).lgamma() - (counts + 1).lgamma().sum(dim=1)).exp()
    return counts, orders / count**count


def weighted_tails(values: Float[Tensor, " n"], shares: Float[Tensor, " n"]) -> tuple[float, float]:
    """The ends of the middle 95 %: the values with a share of at least 2.5 % at or beyond them, on either side."""
    ordered, order = values.sort()
    reached = shares[order].cumsum(dim=0)
    low = int((reached < _TAIL - 1e-9).sum())
    high = min(int((reached <= 1 - _TAIL + 1e-9).sum()), len(values) - 1)
    return float(ordered[low]), float(ordered[high])


def permutation_p(differences: Sequence[float]) -> float:
    """Two-sided p value of mean 0 from all flips of the signs of the differences (Fisher 1935).

    The smallest possible value with n seeds is 2 / 2^n, so 5 seeds cannot give less than 0.0625. Beyond 16 differences
    the observed signs and 2^16 - 1 random ones stand for all.
    """
    _require_finite(differences)
    sums = torch.zeros(1, dtype=torch.float64)
    if len(differences) <= _MOST_FLIPS_ENUMERATED:
        for difference in differences:
            sums = torch.cat([sums + difference, sums - difference])
    else:
        generator = generator_for("sign flips")
        sums = sums.repeat(2**_MOST_FLIPS_ENUMERATED)
        for difference in differences:
            signs = torch.randint(2, sums.shape, generator=generator) * 2 - 1
            signs[0] = 1
            sums += signs * difference
    # Sums that are equal but for rounding count as equal.
    slack = 1e-9 * math.fsum(abs(difference) for difference in differences)
    return float((sums.abs() >= abs(math.fsum(differences)) - slack).double().mean())


def student_quantile(count: int) -> float:
    """Standard errors from the mean of `count` values to the ends of its 95 % interval: t(0.975, count - 1)."""
    return float(special.stdtrit(count - 1, 1 - _TAIL))


def student_p(ratio: float, count: int) -> float:
    """Two-sided p value of the mean of `count` values that is `ratio` standard errors from 0."""
    return float(2 * special.stdtr(count - 1, -abs(ratio)))


def t_p(differences: Sequence[float]) -> float:
    """Two-sided p value of the paired t test: 1 for a single difference, 0 for equal ones that are not 0."""
    _require_finite(differences)
    if len(differences) == 1:
        return 1.0
    mean, error = _mean_and_error(differences)
    if error == 0:
        return 1.0 if mean == 0 else 0.0
    return student_p(mean / error, len(differences))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p values in the given order (Holm 1979): the k-th smallest of m times m - k + 1, in order, at most 1."""
    adjusted, least = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = least
    return adjusted


def verdict(difference: Estimate, *, p: float | None = None, beyond: Interval | None = None) -> VerdictName:
    """`helps` or `hurts` if all that is given says so; fewer than 3 seeds give no verdict.

    Args:
        difference: Paired difference over seeds, whose interval must exclude 0.
        p: Its p value, adjusted for the other comparisons, which must be less than 0.05.
        beyond: Its interval over seeds and test images, which must exclude 0 on the same side.
    """
    if difference.count < MINIMUM_SEEDS or difference.low is None or difference.high is None:
        return "no verdict"
    if p is not None and not p < SIGNIFICANT:
        return "inconclusive"
    low = difference.low if beyond is None else min(difference.low, beyond.low)
    high = difference.high if beyond is None else max(difference.high, beyond.high)
    return "helps" if low > 0 else "hurts" if high < 0 else "inconclusive"


def _studentised_tails(
    means: Float[Tensor, " n"], squares: Float[Tensor, " n"], count: int, shares: Float[Tensor, " n"], largest: float
) -> tuple[float, float]:
    """Tails of mean / standard error, from the means of centred values and of their squares in resamples of `count`."""
    errors = ((squares - means.square()).clamp(min=1e-18) / (count - 1)).sqrt()
    below, above = weighted_tails(means / errors, shares)
    return max(below, -largest), min(above, largest)


def _mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Mean and its standard error, of at least two values; exactly 0 for equal ones."""
    if len(set(values)) == 1:
        return float(values[0]), 0.0
    mean = math.fsum(values) / len(values)
    square = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return mean, math.sqrt(square / len(values))


def _require_finite(values: Sequence[float]) -> None:
    if not values or not all(map(math.isfinite, values)):
        raise InputError(f"a test needs at least one difference, and finite ones, found {list(values)}")
