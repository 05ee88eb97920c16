"""From measured rates to what fits into a budget, as pure functions; nothing here trains, draws or waits.

Nothing here knows a result either. What is done, and above all how many seeds are, depends on time only: whoever adds
seeds until the interval pleases finds gains where there are none (optional stopping).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from synthaug.workflows.bench.quality import MOST_JUDGED
from synthaug.workflows.bench.statistics import MINIMUM_SEEDS
from synthaug.workflows.run.covering import CORE_ARMS, MORE_ARMS, RESERVE, SURE, WANTED_SEEDS, cells_of

#: Shares of the budget. What one stage does not need is the bench's, and so is the rest but for a reserve.
TRAINING, DRAWING, CURATING = 0.45, 0.10, 0.10
#: Synthetic images for each real one; and of each class at least, if time is no matter, and in any case.
_TIMES_REAL, _ENOUGH, _FEWEST = 10, 200, 20
#: Images of each class beyond which ten for each real one are too many to be judged in full.
_PLENTY = 1000
#: Seconds in which processes begin that run trainings side by side.
_BEGIN = 12.0
#: Seconds of a curation besides its judge and its images.
_CURATION = 3.0
#: A budget that nobody has, in minutes.
_FOREVER = 1 << 20


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Facts(_Frozen):
    """What is known without measuring.

    Attributes:
        classes: Number of classes.
        per_class: Real training images of each class, the mean.
        preset_images: Images that the generator's preset shows to it.
        steps: Optimiser steps of the classifier's recipe.
        least_steps: Fewest that its recipe takes for any number of images.
    """

    classes: int
    per_class: float
    preset_images: int
    steps: int
    least_steps: int


class Rates(_Frozen):
    """What was measured on this machine, in seconds or images per second.

    Attributes:
        training: Images shown to the generator per second.
        watching: Training of the judge that watches the generator's training.
        drawing: Images drawn per second.
        judge: Training of the judge of a curation.
        judging: Judging one image of a set.
        step: One optimiser step of the classifier.
        cell: A training of the classifier besides its steps: beginning, validating, testing.
        corruptions: Testing it on corrupted images.
        loading: Reading the real images.
        jobs: Trainings of the classifier that run side by side, in units of one alone.
    """

    training: float
    watching: float
    drawing: float
    judge: float
    judging: float
    step: float
    cell: float
    corruptions: float
    loading: float
    jobs: float


class Plan(_Frozen):
    """What fits.

    Attributes:
        images: Images to show to the generator.
        per_class: Images of each class to draw.
        is_curated: Whether the set is curated.
        arms: Arms of the bench.
        seeds: Its paired seeds; fewer than 3 give no verdict.
        steps: Optimiser steps of each of its trainings.
        robustness: Whether they are tested on corrupted images too.
        training: Seconds for the generator's training, without the judge that watches it.
        shares: Seconds for each stage; together the budget, if that is not too small for everything.
        curation: Seconds that a curation takes, or would take.
        cell: Seconds of one training of the bench, as if they ran one after another.
        needed: Smallest budget in whole minutes with which there is a verdict.
    """

    images: int
    per_class: int
    is_curated: bool
    arms: tuple[str, ...]
    seeds: int
    steps: int
    robustness: bool
    training: float
    shares: dict[str, float]
    curation: float
    cell: float
    needed: int


@dataclass(frozen=True)
class _Level:
    """One way to spend the time that the generator leaves."""

    seeds: int
    is_curated: bool = False
    has_more_arms: bool = False
    robustness: bool = False
    is_short: bool = False

    @property
    def arms(self) -> tuple[str, ...]:
        return CORE_ARMS + (MORE_ARMS if self.has_more_arms else ())


def _levels() -> Iterator[_Level]:
    """From all that is wanted to nothing: what comes last is dropped last."""
    yield _Level(WANTED_SEEDS, is_curated=True, has_more_arms=True, robustness=True)
    yield _Level(WANTED_SEEDS, is_curated=True, has_more_arms=True)
    yield _Level(WANTED_SEEDS, is_curated=True)
    for seeds in range(WANTED_SEEDS, MINIMUM_SEEDS - 1, -1):
        yield _Level(seeds)
    for seeds in range(MINIMUM_SEEDS, -1, -1):
        yield _Level(seeds, is_short=True)


def nominal_shares(budget: float) -> dict[str, float]:
    """Seconds for each stage before anything is measured."""
    given = {"training": TRAINING, "drawing": DRAWING, "curation": CURATING, "reserve": RESERVE}
    shares = {name: share * budget for name, share in given.items()}
    return {**shares, "bench": budget - math.fsum(shares.values())}


def make_plan(budget: float, measuring: float, rates: Rates, facts: Facts) -> Plan:
    """What fits into a budget. With more of it nothing of this gets less.

    Args:
        budget: Seconds for everything.
        measuring: Seconds of it that measuring took.
        rates: What was measured.
        facts: What is known otherwise.
    """
    plan = _plan(budget, measuring, rates, facts)
    return plan.model_copy(update={"needed": _needed_minutes(measuring, rates, facts)})


def _plan(budget: float, measuring: float, rates: Rates, facts: Facts) -> Plan:
    fit = max(1.0, TRAINING * budget - rates.watching)
    images = max(1, min(facts.preset_images, int(SURE * fit * rates.training)))
    training = images / (SURE * rates.training)
    per_class = _images_per_class(budget, rates, facts)
    drawing = per_class * facts.classes / rates.drawing
    reserve = RESERVE * budget + 3 * rates.loading  # read again for training, curation and bench
    spent = measuring + rates.watching + training + drawing + reserve
    for level in _levels():
        steps = _steps(level, budget - spent, per_class, rates, facts)
        curation = _curation(per_class, rates, facts) if level.is_curated else 0.0
        if curation + _bench(level, steps, per_class, rates, facts) <= budget - spent or level.seeds == 0:
            break
    shares = {
        "measuring": measuring,
        "training": rates.watching + training,
        "drawing": drawing,
        "curation": curation,
        "bench": max(0.0, budget - spent - curation),
        "reserve": reserve,
    }
    return Plan(
        images=images,
        per_class=per_class,
        is_curated=level.is_curated,
        arms=level.arms,
        seeds=level.seeds,
        steps=steps,
        robustness=level.robustness,
        training=fit,
        shares=shares,
        curation=_curation(per_class, rates, facts),
        cell=_cell(level, steps, rates),
        needed=0,
    )


def _images_per_class(budget: float, rates: Rates, facts: Facts) -> int:
    """As many as the time allows for drawing and judging them, up to what is of use."""
    possible = int(DRAWING * budget / (1 / rates.drawing + rates.judging) / facts.classes)
    return max(_FEWEST, min(wanted_per_class(facts.per_class), possible))


def _steps(level: _Level, left: float, per_class: int, rates: Rates, facts: Facts) -> int:
    """Those of the recipe; of a short level as many as fit, but not fewer than the recipe's least."""
    if not level.is_short:
        return facts.steps
    least, most = min(facts.least_steps, facts.steps), facts.steps
    while least < most and level.seeds >= MINIMUM_SEEDS:  # the most steps that fit
        middle = (least + most + 1) // 2
        if _bench(level, middle, per_class, rates, facts) <= left:
            least = middle
        else:
            most = middle - 1
    return least


def _cell(level: _Level, steps: int, rates: Rates) -> float:
    return steps * rates.step + rates.cell + (rates.corruptions if level.robustness else 0.0)


def _bench(level: _Level, steps: int, per_class: int, rates: Rates, facts: Facts) -> float:
    """Seconds that a bench takes."""
    sets = 2 if level.is_curated else 1
    judging = sets * min(MOST_JUDGED, per_class * facts.classes) * rates.judging
    alone = level.seeds * (cells_of(level.arms, sets) * _cell(level, steps, rates) + judging)
    return min(alone, _BEGIN + alone / rates.jobs)


def _curation(per_class: int, rates: Rates, facts: Facts) -> float:
    return rates.judge + per_class * facts.classes * rates.judging + _CURATION


def _needed_minutes(measuring: float, rates: Rates, facts: Facts) -> int:
    low, high = 1, _FOREVER
    while low < high:
        middle = (low + high) // 2
        if _plan(60.0 * middle, measuring, rates, facts).seeds >= MINIMUM_SEEDS:
            high = middle
        else:
            low = middle + 1
    return low


def wanted_per_class(per_class: float) -> int:
    """Synthetic images of each class that are of use beside so many real ones."""
    return round(max(_ENOUGH, min(_TIMES_REAL * per_class, max(_PLENTY, per_class))))
