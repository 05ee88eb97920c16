"""What a bench came to, in one file that the report is made from."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from synthaug.core.errors import InputError
from synthaug.core.storage import write_json
from synthaug.workflows.bench.arms import ARMS, MIXED_CLASSIC, REAL, REAL_CLASSIC, Arm
from synthaug.workflows.bench.cells import CellResult
from synthaug.workflows.bench.statistics import Estimate, VerdictName, estimate, verdict

SUMMARY_NAME = "report.json"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ArmSummary(_Frozen):
    """One arm over all seeds.

    Attributes:
        name: Name of the arm.
        meaning: One sentence.
        test_accuracy: Mean over seeds with interval, in percent.
        per_seed: Test accuracy of each seed, in percent, in order of seeds.
        per_class: Mean test accuracy of each class, in percent; None for a class without test images.
        curve: (step, mean validation accuracy in percent, mean training loss).
        seconds: Mean time per cell.
    """

    name: str
    meaning: str
    test_accuracy: Estimate
    per_seed: list[float]
    per_class: list[float | None]
    curve: list[tuple[int, float, float]]
    seconds: float


class Comparison(_Frozen):
    """A paired difference between two arms, in points of accuracy.

    Attributes:
        name: "arm − baseline".
        difference: Mean over seeds with its 95 % interval.
        per_seed: The difference of each seed.
        verdict: What follows from it.
    """

    name: str
    difference: Estimate
    per_seed: list[float]
    verdict: VerdictName


class BenchSummary(_Frozen):
    """`report.json`.

    Attributes:
        format: Version of this file.
        verdict: Whether the synthetic set helps.
        gain: mixed+classic − the real-only arm that validates better (with or without classic augmentation), which
            decides the verdict.
        other_comparisons: Further differences, for orientation.
        arms: All arms.
        seeds: The seeds.
        steps: Optimiser steps of every cell.
        label_fidelity: Mean share of synthetic images, in percent, that classifiers trained on real images with classic
            augmentation recognise as their label.
        label_fidelity_per_class: The same per class.
        class_names: In label order.
        counts: Images: train, validation, test, synthetic.
        settings: Everything that decides the numbers.
        environment: Hardware and versions.
    """

    format: Literal[1] = 1
    verdict: VerdictName
    gain: Comparison
    other_comparisons: list[Comparison]
    arms: list[ArmSummary]
    seeds: list[int]
    steps: int
    label_fidelity: float
    label_fidelity_per_class: list[float | None]
    class_names: list[str]
    counts: dict[str, int]
    settings: dict[str, Any]
    environment: dict[str, str]

    def sentence(self) -> str:
        """The verdict in words, with gain, interval and seeds."""
        difference = self.gain.difference
        interval = "" if difference.low is None else f", 95 % interval {difference.low:+.2f} to {difference.high:+.2f}"
        figures = f"{difference.mean:+.2f} points of test accuracy{interval}, {difference.count} paired seeds"
        opening = {
            "helps": "Synthetic data helps this classifier",
            "hurts": "Synthetic data hurts this classifier",
            "inconclusive": "Inconclusive: these runs do not show whether synthetic data helps this classifier",
            "no verdict": "No verdict: at least 3 seeds are needed",
        }[self.verdict]
        return f"{opening} ({figures})."

    def write(self, folder: Path) -> None:
        """Writes report.json atomically."""
        write_json(folder / SUMMARY_NAME, self.model_dump(mode="json"))


def read_summary(folder: Path) -> BenchSummary:
    """Reads report.json.

    Raises:
        InputError: If the folder holds no finished bench.
    """
    path = folder / SUMMARY_NAME
    if not path.is_file():
        raise InputError(
            f"{folder} holds no finished bench ({SUMMARY_NAME} is missing); run: synthaug bench --out {folder}"
        )
    try:
        return BenchSummary.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise InputError(f"{path} is not readable: {error.errors()[0]['msg']}") from error


def summarise(
    cells: list[CellResult],
    *,
    class_names: tuple[str, ...],
    counts: dict[str, int],
    settings: dict[str, Any],
    environment: dict[str, str],
) -> BenchSummary:
    """Brings all cells together; the order of the cells does not matter.

    Raises:
        InputError: If cells are missing or took different numbers of steps.
    """
    seeds = sorted({cell.seed for cell in cells})
    table = {(cell.arm, cell.seed): cell for cell in cells}
    missing = [f"{arm.name} seed {seed}" for arm in ARMS for seed in seeds if (arm.name, seed) not in table]
    if missing:
        raise InputError(f"the bench is not finished, missing: {', '.join(missing)}")
    steps = {cell.steps for cell in cells}
    if len(steps) != 1:
        raise InputError(f"all arms must take the same number of steps, found {sorted(steps)}")
    by_arm = {arm.name: [table[arm.name, seed] for seed in seeds] for arm in ARMS}
    better_real, other_real = _real_arms_by_validation(by_arm)
    gain = _compare(by_arm, MIXED_CLASSIC, better_real)
    judges = [cell.label_fidelity for cell in by_arm[REAL_CLASSIC.name] if cell.label_fidelity is not None]
    others = [_compare(by_arm, MIXED_CLASSIC, other_real), _compare(by_arm, REAL_CLASSIC, REAL)]
    return BenchSummary(
        verdict=gain.verdict,
        gain=gain,
        other_comparisons=others,
        arms=[_arm_summary(arm, by_arm[arm.name]) for arm in ARMS],
        seeds=seeds,
        steps=steps.pop(),
        label_fidelity=100 * _mean([judge.overall for judge in judges]),
        label_fidelity_per_class=_per_class([judge.per_class for judge in judges]),
        class_names=list(class_names),
        counts=counts,
        settings=settings,
        environment=environment,
    )


def _real_arms_by_validation(by_arm: dict[str, list[CellResult]]) -> tuple[Arm, Arm]:
    """The real-only arm with the better mean validation accuracy, then the other; among equals classic comes first."""

    def validated(arm: Arm) -> float:
        return _mean([cell.validation_accuracy for cell in by_arm[arm.name]])

    return (REAL, REAL_CLASSIC) if validated(REAL) > validated(REAL_CLASSIC) else (REAL_CLASSIC, REAL)


def _compare(by_arm: dict[str, list[CellResult]], arm: Arm, baseline: Arm) -> Comparison:
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
