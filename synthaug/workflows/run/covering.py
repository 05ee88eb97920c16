"""How much a bench covers, and what it goes on to while there is time; pure functions that know no result.

How many seeds there are depends on time only: whoever adds seeds until the interval pleases finds gains where there are
none (optional stopping).
"""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict

from synthaug.workflows.bench.statistics import MINIMUM_SEEDS

#: Arms that a verdict takes, and those that are there for orientation.
CORE_ARMS = ("real", "real+classic", "mixed+classic")
MORE_ARMS = ("mixed", "synthetic")
#: Paired seeds that come before more arms, and at most.
WANTED_SEEDS, MOST_SEEDS = 5, 20
#: Share of a measured rate that is counted on.
SURE = 0.9
#: Share of a budget that is kept back for the report.
RESERVE = 0.05


def cells_of(arms: tuple[str, ...], sets: int) -> int:
    """Trainings of each seed: arms with synthetic images are there once for each set."""
    return sum(sets if arm.startswith(("mixed", "synthetic")) else 1 for arm in arms)


class Covered(BaseModel):
    """What a bench has done in full.

    Attributes:
        arms: Its arms.
        seeds: Its paired seeds.
        sets: Its synthetic sets.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    arms: tuple[str, ...]
    seeds: int
    sets: int

    @property
    def cells(self) -> int:
        """Trainings in all."""
        return self.seeds * cells_of(self.arms, self.sets)


def first_coverage(before: Covered | None, sets: int) -> Covered | None:
    """What a bench has to do before anything else: three seeds, of all sets; None if that is done.

    Args:
        before: What is done.
        sets: Number of synthetic sets.
    """
    if before is not None and before.seeds >= MINIMUM_SEEDS and before.sets == sets:
        return None
    arms, seeds = (CORE_ARMS, 0) if before is None else (before.arms, before.seeds)
    return Covered(arms=arms, seeds=max(MINIMUM_SEEDS, seeds), sets=sets)


def extension(covered: Covered, left: float, pace: float) -> Covered | None:
    """What a bench goes on to: up to five seeds, then more arms, then more seeds; None if nothing fits any more.

    Args:
        covered: What is done.
        left: Seconds.
        pace: Seconds that each training took so far, by the clock.
    """
    each = cells_of(covered.arms, covered.sets) * pace / SURE
    more = max(0, int(left / each))
    if covered.seeds < WANTED_SEEDS:
        return _with_seeds(covered, min(WANTED_SEEDS, covered.seeds + more))
    missing = tuple(arm for arm in MORE_ARMS if arm not in covered.arms)
    if missing and covered.seeds * cells_of(missing, covered.sets) * pace / SURE <= left:
        return covered.model_copy(update={"arms": covered.arms + missing})
    return _with_seeds(covered, min(MOST_SEEDS, covered.seeds + more))


def _with_seeds(covered: Covered, seeds: int) -> Covered | None:
    return covered.model_copy(update={"seeds": seeds}) if seeds > covered.seeds else None


def budget_for_a_verdict(spent: float, covered: Covered | None, sets: int, pace: float) -> int:
    """The budget, in whole minutes, with which a run that is continued comes to a verdict.

    Args:
        spent: Seconds so far.
        covered: What its bench has done.
        sets: Number of synthetic sets.
        pace: Seconds of one training, by the clock.
    """
    wanted = first_coverage(covered, sets) or Covered(arms=CORE_ARMS, seeds=MINIMUM_SEEDS, sets=sets)
    missing = max(0, wanted.cells - (0 if covered is None else covered.cells))
    return math.ceil((spent + missing * pace / SURE) / (1 - RESERVE) / 60)
