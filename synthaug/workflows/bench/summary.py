"""What a bench came to, in one file that the report is made from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from synthaug.core.errors import InputError
from synthaug.core.storage import write_json
from synthaug.workflows.bench.quality import Quality
from synthaug.workflows.bench.statistics import MINIMUM_SEEDS, Estimate, VerdictName
from synthaug.workflows.cost import SamplingCost

SUMMARY_NAME = "report.json"
FORMAT: Final = 2


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


class SetFacts(_Frozen):
    """What is known of a synthetic set without any measurement.

    Attributes:
        name: What the bench calls it.
        images: Images in it.
        training_seconds: Time its generator was trained for.
        images_seen: Images that were shown to its generator.
        cost: What drawing it took; None if that was not recorded.
    """

    name: str
    images: int
    training_seconds: float
    images_seen: int
    cost: SamplingCost | None


class SetResult(SetFacts):
    """What the bench found of one synthetic set.

    Attributes:
        verdict: Whether it helps.
        gain: Its mixed arm − the real-only arm that validates better (with or without classic augmentation), which
            decides the verdict.
        label_fidelity: Mean share of its images, in percent, that classifiers trained on real images with classic
            augmentation recognise as their label.
        label_fidelity_per_class: The same per class; None for a class without images.
        quality: Means over the same classifiers; None if they give no features or there are too few images.
    """

    verdict: VerdictName
    gain: Comparison
    label_fidelity: float
    label_fidelity_per_class: list[float | None]
    quality: Quality | None


class BenchSummary(_Frozen):
    """`report.json`.

    Attributes:
        format: Version of this file.
        sets: One result for each synthetic set, in the order they were given.
        other_comparisons: Further differences, for orientation; with several sets also those between their arms.
        arms: All arms.
        seeds: The seeds.
        steps: Optimiser steps of every cell.
        class_names: In label order.
        counts: Images: train, validation, test, synthetic (of all sets together).
        settings: Everything that decides the numbers.
        environment: Hardware and versions.
    """

    format: Literal[2] = FORMAT
    sets: list[SetResult]
    other_comparisons: list[Comparison]
    arms: list[ArmSummary]
    seeds: list[int]
    steps: int
    class_names: list[str]
    counts: dict[str, int]
    settings: dict[str, Any]
    environment: dict[str, str]

    @property
    def verdict(self) -> VerdictName:
        """Of the first set."""
        return self.sets[0].verdict

    @property
    def gain(self) -> Comparison:
        """Of the first set."""
        return self.sets[0].gain

    @property
    def label_fidelity(self) -> float:
        """Of the first set."""
        return self.sets[0].label_fidelity

    @property
    def label_fidelity_per_class(self) -> list[float | None]:
        """Of the first set."""
        return self.sets[0].label_fidelity_per_class

    @property
    def comparisons(self) -> list[Comparison]:
        """All differences; the first ones, one for each set, decide the verdicts."""
        return [*(one.gain for one in self.sets), *self.other_comparisons]

    def sentence(self) -> str:
        """The verdict in words, with gain, interval and seeds; with several sets, a clause for each."""
        count = len(self.seeds)
        if len(self.sets) == 1:
            interval = _interval(self.gain, ", 95 % interval ")
            figures = f"{self.gain.difference.mean:+.2f} points of test accuracy{interval}"
            return f"{_OPENINGS[self.verdict]} ({figures}, {count} paired seeds)."
        clauses = "; ".join(
            f"{one.name} {_CLAUSES[one.verdict]} ({one.gain.difference.mean:+.2f}{_interval(one.gain, ', ')})"
            for one in self.sets
        )
        intervals = "" if self.gain.difference.low is None else " with 95 % intervals"
        lacking = f", at least {MINIMUM_SEEDS} are needed" if count < MINIMUM_SEEDS else ""
        return f"{clauses}. Points of test accuracy{intervals}, {count} paired seeds{lacking}."

    def write(self, folder: Path) -> None:
        """Writes report.json atomically."""
        write_json(folder / SUMMARY_NAME, self.model_dump(mode="json"))


_OPENINGS: dict[VerdictName, str] = {
    "helps": "Synthetic data helps this classifier",
    "hurts": "Synthetic data hurts this classifier",
    "inconclusive": "Inconclusive: these runs do not show whether synthetic data helps this classifier",
    "no verdict": "No verdict: at least 3 seeds are needed",
}
_CLAUSES: dict[VerdictName, str] = {
    "helps": "helps this classifier",
    "hurts": "hurts this classifier",
    "inconclusive": "is inconclusive",
    "no verdict": "has no verdict",
}


def _interval(gain: Comparison, opening: str) -> str:
    difference = gain.difference
    return "" if difference.low is None else f"{opening}{difference.low:+.2f} to {difference.high:+.2f}"


def read_summary(folder: Path) -> BenchSummary:
    """Reads report.json.

    Raises:
        InputError: If the folder holds no finished bench, or one of another version.
    """
    path = folder / SUMMARY_NAME
    if not path.is_file():
        raise InputError(
            f"{folder} holds no finished bench ({SUMMARY_NAME} is missing); run: synthaug bench --out {folder}"
        )
    data = path.read_bytes()
    try:
        value = json.loads(data)
        if isinstance(value, dict) and value.get("format") != FORMAT:
            raise InputError(
                f"{path} has format {value.get('format')!r}, this version reads {FORMAT}; run the bench again in "
                "another folder"
            )
        return BenchSummary.model_validate_json(data)
    except (ValidationError, ValueError, RecursionError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise InputError(f"{path} is not readable: {reason}") from error
