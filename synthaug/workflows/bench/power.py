"""How small a gain a bench can find, before and after it has begun."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from synthaug.workflows.bench.comparing import Pair, Table, deviation_of
from synthaug.workflows.bench.detectable import minimum_detectable_effect, presumed_deviation, seeds_needed
from synthaug.workflows.bench.record import RegimeRecord
from synthaug.workflows.bench.results import CellResult
from synthaug.workflows.bench.statistics import MINIMUM_SEEDS

#: What the test over seeds leaves out of a verdict.
LUCK = "luck with the test images, which more seeds do not remove, comes on top"


@dataclass(frozen=True)
class Power:
    """What the test over so many seeds can find, in points of test accuracy, with Holm's correction for all sets.

    A verdict also has to hold for other test images, so that it finds less.

    Attributes:
        meaning: The same in words.
        seeds: Paired seeds.
        sets: Synthetic sets that are compared, each with a verdict.
        deviation: Standard deviation over seeds of the paired differences that this rests on.
        is_measured: Whether that was measured in finished trainings; else it is a guess from the number of test images.
        detectable: The smallest true gain that this test finds in 80 of 100 benches; None for a single seed.
        seeds_for_a_point: Seeds with which it finds a gain of one point as surely.
        seeds_for_two_points: Seeds with which it finds a gain of two points as surely.
    """

    meaning: str
    seeds: int
    sets: int
    deviation: float
    is_measured: bool
    detectable: float | None
    seeds_for_a_point: int
    seeds_for_two_points: int


def in_words(regime: str, power: Power) -> str:
    """What a bench with one number of real images can find, before it begins."""
    origin = "measured" if power.is_measured else "a guess from the number of test images"
    if power.detectable is None:
        found = f"one seed finds nothing, {power.seeds_for_two_points} would find a gain of two points"
    else:
        found = (
            f"{power.seeds} seeds find a true gain of {power.detectable:.1f} points in 80 of 100 benches, "
            f"{power.seeds_for_a_point} would find one point"
        )
    spread = f"differences vary by {power.deviation:.2f} points between seeds: {origin}"
    return f"{regime}: by {_test(power.sets)}, {found} ({spread}); {LUCK}"


def _test(sets: int) -> str:
    return "the test over seeds" + (f" with Holm's correction for {sets} sets" if sets > 1 else "")


def presumed(test_images: int, seeds: int, sets: int) -> Power:
    """Before anything is measured, of so many sets."""
    return _power(presumed_deviation(test_images), seeds, sets, is_measured=False)


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
        return presumed(regime.counts["test"], seeds, len(regime.sets))
    pooled = math.sqrt(math.fsum(value**2 for value in deviations) / len(deviations))
    return _power(pooled, seeds, len(regime.sets), is_measured=True)


def _power(deviation: float, seeds: int, sets: int, *, is_measured: bool) -> Power:
    detectable = minimum_detectable_effect(deviation, seeds, comparisons=sets)
    return Power(
        meaning=f"what {_test(sets)} finds in 80 of 100 benches; {LUCK}",
        seeds=seeds,
        sets=sets,
        deviation=round(deviation, 3),
        is_measured=is_measured,
        detectable=round(detectable, 2) if math.isfinite(detectable) else None,
        seeds_for_a_point=seeds_needed(1.0, deviation, comparisons=sets),
        seeds_for_two_points=seeds_needed(2.0, deviation, comparisons=sets),
    )
