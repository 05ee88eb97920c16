"""From the cells of a bench to its summary, as pure functions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from synthaug.core.errors import InputError
from synthaug.workflows.bench.arms import REAL, REAL_CLASSIC, Arm, arms_of, mixed_arms
from synthaug.workflows.bench.cells import CellResult
from synthaug.workflows.bench.quality import Quality
from synthaug.workflows.bench.statistics import estimate, verdict
from synthaug.workflows.bench.summary import ArmSummary, BenchSummary, Comparison, SetFacts, SetResult

_ByArm = Mapping[str, list[CellResult]]


def summarise(
    cells: Sequence[CellResult],
    *,
    sets: Sequence[SetFacts],
    class_names: tuple[str, ...],
    counts: dict[str, int],
    settings: dict[str, Any],
    environment: dict[str, str],
) -> BenchSummary:
    """Brings all cells together; the order of the cells does not matter.

    Raises:
        InputError: If cells are missing or took different numbers of steps.
    """
    names = [facts.name for facts in sets]
    arms, mixed = arms_of(names), mixed_arms(names)
    seeds = sorted({cell.seed for cell in cells})
    table = {(cell.arm, cell.seed): cell for cell in cells}
    missing = [f"{arm.name} seed {seed}" for arm in arms for seed in seeds if (arm.name, seed) not in table]
    if missing:
        raise InputError(f"the bench is not finished, missing: {', '.join(missing)}")
    steps = {cell.steps for cell in cells}
    if len(steps) != 1:
        raise InputError(f"all arms must take the same number of steps, found {sorted(steps)}")
    by_arm = {arm.name: [table[arm.name, seed] for seed in seeds] for arm in arms}
    better_real, other_real = _real_arms_by_validation(by_arm)
    return BenchSummary(
        sets=[_set_result(facts, by_arm, arm, better_real) for facts, arm in zip(sets, mixed, strict=True)],
        other_comparisons=[
            *(_compare(by_arm, arm, other_real) for arm in mixed),
            _compare(by_arm, REAL_CLASSIC, REAL),
            *(_compare(by_arm, one, other) for one, other in itertools.combinations(mixed, 2)),
        ],
        arms=[_arm_summary(arm, by_arm[arm.name]) for arm in arms],
        seeds=seeds,
        steps=steps.pop(),
        class_names=list(class_names),
        counts=counts,
        settings=settings,
        environment=environment,
    )


def _set_result(facts: SetFacts, by_arm: _ByArm, arm: Arm, baseline: Arm) -> SetResult:
    gain = _compare(by_arm, arm, baseline)
    classic = by_arm[REAL_CLASSIC.name]
    judges = [cell.label_fidelity[facts.name] for cell in classic]
    measured = [cell.quality[facts.name] for cell in classic if facts.name in cell.quality]
    return SetResult(
        **dict(facts),
        verdict=gain.verdict,
        gain=gain,
        label_fidelity=100 * _mean([judge.overall for judge in judges]),
        label_fidelity_per_class=_per_class([judge.per_class for judge in judges]),
        quality=_mean_quality(measured) if measured else None,
    )


def _mean_quality(measured: Sequence[Quality]) -> Quality:
    return Quality(
        **{field.name: _mean([getattr(figures, field.name) for figures in measured]) for field in fields(Quality)}
    )


def _real_arms_by_validation(by_arm: _ByArm) -> tuple[Arm, Arm]:
    """The real-only arm with the better mean validation accuracy, then the other; among equals classic comes first."""

    def validated(arm: Arm) -> float:
        return _mean([cell.validation_accuracy for cell in by_arm[arm.name]])

    return (REAL, REAL_CLASSIC) if validated(REAL) > validated(REAL_CLASSIC) else (REAL_CLASSIC, REAL)


def _compare(by_arm: _ByArm, arm: Arm, baseline: Arm) -> Comparison:
    pairs = zip(by_arm[arm.name], by_arm[baseline.name], strict=True)
    differences = [100 * (cell.test.overall - other.test.overall) for cell, other in pairs]
    difference = estimate(differences)
    return Comparison(
        name=f"{arm.name} − {baseline.name}",
        difference=difference,
        per_seed=differences,
        verdict=verdict(difference),
    )


def _arm_summary(arm: Arm, cells: list[CellResult]) -> ArmSummary:
    accuracies = [100 * cell.test.overall for cell in cells]
    points = zip(*(cell.curve for cell in cells), strict=True)
    return ArmSummary(
        name=arm.name,
        meaning=arm.meaning,
        test_accuracy=estimate(accuracies),
        per_seed=accuracies,
        per_class=_per_class([cell.test.per_class for cell in cells]),
        curve=[
            (group[0].step, 100 * _mean([p.validation_accuracy for p in group]), _mean([p.loss for p in group]))
            for group in points
        ],
        seconds=round(_mean([cell.seconds for cell in cells]), 2),
    )


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def _per_class(rows: list[tuple[float | None, ...]]) -> list[float | None]:
    columns = zip(*rows, strict=True)
    return [
        None if None in column else 100 * _mean([value for value in column if value is not None]) for column in columns
    ]
