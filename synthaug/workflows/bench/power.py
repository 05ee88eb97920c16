"""How small a gain a bench can find, before and after it has begun."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from synthaug.workflows.bench.comparing import Pair, Table, deviation_of
from synthaug.workflows.bench.record import RegimeRecord
from synthaug.workflows.bench.results import CellResult
from synthaug.workflows.bench.statistics import (
    MINIMUM_SEEDS,
    minimum_detectable_effect,
    presumed_deviation,
    seeds_needed,
)


@dataclass(frozen=True)
class Power:
    """What a bench with so many seeds can find, in points of test accuracy.

    Attributes:
        seeds: Paired seeds.
        deviation: Standard deviation over seeds of the paired differences that this rests on.
        is_measured: Whether that was measured in finished trainings; else it is a guess from the number of test images.
        detectable: The smallest true gain that is found in 80 of 100 benches; None for a single seed.
        seeds_for_a_point: Seeds suggested to find a gain of one point.
        seeds_for_two_points: Seeds suggested to find a gain of two points.
    """

    seeds: int
    deviation: float
    is_measured: bool
    detectable: float | None
    seeds_for_a_point: int
    seeds_for_two_points: int


def in_words(regime: str, power: Power) -> str:
    """What a bench with one number of real images can find, before it begins."""
    origin = "measured" if power.is_measured else "a guess from the number of test images"
    if power.detectable is None:
        return f"{regime}: one seed finds nothing; {power.seeds_for_two_points} would find a gain of two points"
    return (
        f"{regime}: {power.seeds} seeds find a true gain of {power.detectable:.1f} points in 80 of 100 benches, "
        f"{power.seeds_for_a_point} would find one point (differences vary by {power.deviation:.2f} points between "
        f"seeds: {origin})"
    )


def presumed(test_images: int, seeds: int) -> Power:
    """Before anything is measured."""
    return _power(presumed_deviation(test_images), seeds, is_measured=False)


def foreseen(regime: RegimeRecord, done: Mapping[str, CellResult], seeds: int) -> Power:
    """From the differences between mixed and real-only arms that are known, if enough are; else as `presumed`.

    Args:
        regime: One number of real images.
        done: Finished trainings by key.
        seeds: Paired seeds of the bench.
    """
    table = Table.of(regime, done)
    pairs = [
        Pair(one, table.arm(one), other, table.arm(other))
        for one in (arm.name for arm in regime.arms if arm.role == "mixed")
        for other in (arm.name for arm in regime.arms if arm.role == "real")
    ]
    enough = [pair.differences() for pair in pairs if len(pair.seeds) >= MINIMUM_SEEDS]
    deviations = [deviation for values in enough if (deviation := deviation_of(values)) is not None]
    if not deviations:
        return presumed(regime.counts["test"], seeds)
    pooled = math.sqrt(math.fsum(value**2 for value in deviations) / len(deviations))
    return _power(pooled, seeds, is_measured=True)


def _power(deviation: float, seeds: int, *, is_measured: bool) -> Power:
    detectable = minimum_detectable_effect(deviation, seeds)
    return Power(
        seeds=seeds,
        deviation=round(deviation, 3),
        is_measured=is_measured,
        detectable=round(detectable, 2) if math.isfinite(detectable) else None,
        seeds_for_a_point=seeds_needed(1.0, deviation),
        seeds_for_two_points=seeds_needed(2.0, deviation),
    )
