"""Simulated studies by the hundred, whose truth is known: how often intervals hold it, and verdicts are false."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from synthaug.workflows.bench import comparing as comparing_module
from synthaug.workflows.bench import summarise as summarise_module
from synthaug.workflows.bench.power import foreseen
from synthaug.workflows.bench.record import StudyRecord
from synthaug.workflows.bench.results import Results
from synthaug.workflows.bench.statistics import estimate, holm, t_p, verdict
from synthaug.workflows.bench.summary import SetResult
from tests.workflows.benches import result_of, study_of

REAL, MIXED = ("real", "real+classic"), ("mixed", "mixed+classic")
IMAGES, VALIDATION, STUDIES, SEEDS = 250, 140, 250, 5


@dataclass(frozen=True)
class Outcome:
    """One study and the truth of the two arms that it has chosen.

    Attributes:
        found: What it says.
        here: The true gain in points over all seeds, with its test images.
        anywhere: The true gain over all seeds and test images.
    """

    found: SetResult
    here: float
    anywhere: float


def study(record: StudyRecord, levels: Mapping[str, float], random: np.random.Generator) -> Outcome:
    """A study whose arms have these true accuracies, besides what is common to them.

    Images are easy or hard for all arms, and easier or harder for each; seeds are lucky for all arms, and for each. The
    same luck shows in validation, by which arms are chosen.
    """
    [regime] = record.regimes
    arms = [arm.name for arm in regime.arms]
    ease = random.uniform(0.4, 0.7, IMAGES)
    own_ease = {arm: random.choice([-0.15, 0.15], IMAGES) for arm in arms}
    luck = random.normal(0, 0.02, SEEDS)
    own_luck = {arm: random.normal(0, 0.015, SEEDS) for arm in arms}
    done = {}
    for cell in regime.cells:
        level = levels[cell.arm] + luck[cell.seed] + own_luck[cell.arm][cell.seed]
        right = random.random(IMAGES) < ease + own_ease[cell.arm] + level
        validated = random.binomial(VALIDATION, 0.55 + level) / VALIDATION
        done[cell.key] = result_of(regime, cell, right, validated)
    [one] = summarise_module.summarise(record, Results(done, {})).regimes[0].sets
    anywhere = 100 * (levels[one.gain.arm] - levels[one.gain.baseline])
    own = own_ease[one.gain.arm].mean() - own_ease[one.gain.baseline].mean()
    return Outcome(one, anywhere + 100 * float(own), anywhere)


def studies(levels: Mapping[str, float], seed: int) -> list[Outcome]:
    """Studies with these arms, without what no verdict depends on: other arms, and how many seeds others need."""
    record, random = study_of(list(levels), seeds=SEEDS), np.random.default_rng(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(summarise_module, "_others", lambda *_: [])
        patch.setattr(comparing_module, "minimum_detectable_effect", lambda *_, **__: 1.0)
        patch.setattr(comparing_module, "seeds_needed", lambda *_, **__: 10)
        return [study(record, levels, random) for _ in range(STUDIES)]


@pytest.fixture(scope="module")
def without_effect() -> list[Outcome]:
    """Synthetic images change nothing; augmentation helps."""
    return studies({"real": 0.0, "real+classic": 0.02, "mixed": 0.0, "mixed+classic": 0.02}, seed=1)


@pytest.fixture(scope="module")
def with_effect() -> list[Outcome]:
    """Synthetic images gain three points."""
    return studies({"real": 0.0, "real+classic": 0.01, "mixed": 0.03, "mixed+classic": 0.04}, seed=2)


def share(values: Sequence[bool]) -> float:
    return sum(values) / len(values)


def test_the_arms_of_a_study_are_chosen_by_validation(without_effect: list[Outcome]) -> None:
    chosen = {(one.found.gain.baseline, one.found.gain.arm) for one in without_effect}
    assert chosen == {(real, mixed) for real in REAL for mixed in MIXED}


def test_intervals_hold_the_truth_in_95_of_100_studies(
    without_effect: list[Outcome], with_effect: list[Outcome]
) -> None:
    every = [*without_effect, *with_effect]
    over_seeds, over_images, bootstrapped = [], [], []
    for one in every:
        gain = one.found.gain
        assert gain.difference.low is not None
        assert gain.difference.high is not None
        assert gain.beyond is not None
        assert gain.bootstrap is not None
        over_seeds.append(gain.difference.low <= one.here <= gain.difference.high)
        bootstrapped.append(gain.bootstrap.low <= one.here <= gain.bootstrap.high)
        over_images.append(gain.beyond.low <= one.anywhere <= gain.beyond.high)
    assert 0.93 <= share(over_seeds) <= 0.97
    assert 0.93 <= share(bootstrapped) <= 0.97
    assert 0.93 <= share(over_images) <= 0.97


def test_the_choice_of_arms_flatters_no_set(without_effect: list[Outcome], with_effect: list[Outcome]) -> None:
    errors = [one.found.gain.difference.mean - one.anywhere for one in (*without_effect, *with_effect)]
    assert abs(np.mean(errors)) < 3 * np.std(errors) / len(errors) ** 0.5


def test_without_an_effect_no_more_than_5_of_100_studies_say_that_it_helps(without_effect: list[Outcome]) -> None:
    equal = [one for one in without_effect if one.anywhere <= 0]
    assert len(equal) >= 200
    assert share([one.found.verdict == "helps" for one in equal]) <= 0.05
    assert share([one.found.verdict == "hurts" for one in equal if one.anywhere == 0]) <= 0.05


def test_an_effect_is_found_more_often_than_none_and_is_never_called_harm(
    without_effect: list[Outcome], with_effect: list[Outcome]
) -> None:
    found, false = (share([one.found.verdict == "helps" for one in some]) for some in (with_effect, without_effect))
    assert found > false + 0.1
    assert share([one.found.verdict == "hurts" for one in with_effect]) <= 0.01


@pytest.mark.parametrize("sets", [1, 2, 3])
def test_the_gain_that_a_plan_calls_detectable_is_found_in_80_of_100_benches(sets: int) -> None:
    """Where seeds make all the noise, and one set of several has an effect, with the correction that verdicts have."""
    [regime] = study_of(["real", "mixed"], seeds=SEEDS, sets=[f"set {number}" for number in range(sets)]).regimes
    power = foreseen(regime, {}, SEEDS)
    assert power.detectable is not None
    draws = np.random.default_rng(sets).normal(0, power.deviation, (600, sets, SEEDS))
    draws[:, 0] += power.detectable
    found = []
    for gains in draws.tolist():
        adjusted = holm([t_p(gain) for gain in gains])
        found.append(verdict(estimate(gains[0]), p=adjusted[0]) == "helps")
    assert 0.75 <= share(found) <= 0.9
