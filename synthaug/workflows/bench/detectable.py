"""How small a difference the test over seeds can find, and how many seeds it takes, as pure functions."""

from __future__ import annotations

import math
from bisect import bisect_left
from functools import partial

from scipy import optimize, special

from synthaug.core.errors import InputError
from synthaug.workflows.bench.statistics import MINIMUM_SEEDS, SIGNIFICANT

_MOST_SEEDS = 1000


def minimum_detectable_effect(deviation: float, seeds: int, *, comparisons: int = 1, power: float = 0.8) -> float:
    """Smallest true mean difference that a paired t test over seeds finds with this power; infinite for 1 seed.

    Exact, by the noncentral t distribution (Cohen 1988), in the unit of the standard deviation of the differences. The
    test is two-sided, at 5 % / comparisons: Holm's first step, which a single effect among so many has to pass. A
    `verdict` finds less: luck with the test images, which more seeds do not remove, comes on top.
    """
    if not (0 <= deviation < math.inf and SIGNIFICANT < power < 1 and comparisons > 0):
        raise InputError(
            "needs a deviation from 0, a power in (0.05, 1) and at least one comparison, found "
            f"{deviation}, {power} and {comparisons}"
        )
    if seeds < 2:
        return math.inf
    critical = float(special.stdtrit(seeds - 1, 1 - SIGNIFICANT / 2 / comparisons))

    def missing(shift: float) -> float:
        # Beyond a shift of 4 the lower tail is less than 1e-6, and scipy's may be nan.
        found = 1 - special.nctdtr(seeds - 1, shift, critical) + special.nctdtr(seeds - 1, min(shift, 4.0), -critical)
        return power - float(found)

    beyond = 2 * critical
    while missing(beyond) > 0:
        beyond *= 2
    return deviation * float(optimize.brentq(missing, 1e-9, beyond)) / math.sqrt(seeds)


def seeds_needed(effect: float, deviation: float, *, comparisons: int = 1, power: float = 0.8) -> int:
    """Smallest number of seeds, from 3 to 1000, whose minimum detectable effect is at most `effect`; else 1000."""
    counts = range(MINIMUM_SEEDS, _MOST_SEEDS)
    effects = partial(minimum_detectable_effect, deviation, comparisons=comparisons, power=power)
    return MINIMUM_SEEDS + bisect_left(counts, True, key=lambda seeds: effects(seeds) <= effect)


def presumed_deviation(test_images: int, accuracy: float = 0.9) -> float:
    """A guess, before anything is measured, of the standard deviation in points of a paired difference over seeds.

    That of two classifiers with an accuracy a, from 0 to 1, that err independently on n test images,
    100 sqrt(2 a (1 - a) / n), but at least 0.5.
    """
    if test_images < 1 or not 0 <= accuracy <= 1:
        raise InputError(f"needs test images and a share of right answers, found {test_images} and {accuracy}")
    return max(0.5, 100 * math.sqrt(2 * accuracy * (1 - accuracy) / test_images))
