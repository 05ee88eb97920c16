"""What a bench came to, in one file that the report is made from; not what it took, which differs from run to run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from synthaug.core.errors import InputError
from synthaug.core.storage import write_json
from synthaug.workflows.bench.arms import Arm
from synthaug.workflows.bench.quality import Quality
from synthaug.workflows.bench.record import Extension, SetFacts
from synthaug.workflows.bench.statistics import Estimate, Interval, VerdictName
from synthaug.workflows.bench.worth import ClassGain, Worth

SUMMARY_NAME = "report.json"
FORMAT: Final = 3


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ArmSummary(_Frozen):
    """One arm over the seeds that are done, in their order; accuracies in percent.

    Attributes:
        arm: The arm.
        seeds: The seeds.
        test_accuracy: Mean over seeds with interval.
        per_seed: Test accuracy of each seed.
        per_class: Mean test accuracy of each class; None for a class without test images.
        validation_accuracy: Mean over seeds, of the weights that were tested.
        calibration_error: Expected calibration error, in points.
        negative_log_likelihood: Of the test labels, in nats.
        corrupted_accuracy: Mean test accuracy over all corruptions; None if they were not looked at.
        per_corruption: Mean test accuracy under each corruption.
        curve: (step, mean validation accuracy, mean training loss).
    """

    arm: Arm
    seeds: list[int]
    test_accuracy: Estimate
    per_seed: list[float]
    per_class: list[float | None]
    validation_accuracy: float
    calibration_error: Estimate
    negative_log_likelihood: Estimate
    corrupted_accuracy: Estimate | None
    per_corruption: dict[str, float]
    curve: list[tuple[int, float, float]]

    @property
    def name(self) -> str:
        """Name of the arm."""
        return self.arm.name


class Comparison(_Frozen):
    """A paired difference between two arms, in points of accuracy.

    Attributes:
        arm: Name of the one.
        baseline: Name of the other, which is subtracted.
        difference: Mean over seeds with its 95 % interval (Student's t), for these test images.
        per_seed: The difference of each seed.
        bootstrap: 95 % interval over seeds by bootstrap; None below 3 seeds.
        beyond: 95 % interval over seeds and test images by bootstrap: what another test set might have given.
        permutation_p: Of the exact sign-flip test; with n seeds it is never below 2 / 2^n.
        p: Of the paired t test.
        adjusted_p: The same after Holm's correction for the comparisons that it stands among.
        detectable: The smallest true difference that the t test over so many seeds finds in 80 of 100 benches, with the
            first step of Holm's correction for the same comparisons; None for one seed. A verdict finds less, as luck
            with the test images, which more seeds do not remove, comes on top.
        seeds_for_a_point: Seeds with which that test finds a difference of one point as surely; None for one seed.
        verdict: What follows from it.
    """

    arm: str
    baseline: str
    difference: Estimate
    per_seed: list[float]
    bootstrap: Interval | None
    beyond: Interval | None
    permutation_p: float
    p: float
    adjusted_p: float
    detectable: float | None
    seeds_for_a_point: int | None
    verdict: VerdictName

    @property
    def name(self) -> str:
        """What is subtracted from what."""
        return f"{self.arm} − {self.baseline}"


class SetResult(SetFacts):
    """What the bench found of one synthetic set, with one number of real images.

    Attributes:
        verdict: Whether it helps.
        gain: Its mixed arm that validates best − the real-only arm that validates best, which decides the verdict.
        label_fidelity: Mean share of its images, in percent, that classifiers trained on real images with classic
            augmentation recognise as their label; of at most 5000.
        label_fidelity_per_class: The same per class; None for a class without images.
        quality: Means over the same classifiers; None if they give no features or there are too few images.
        classes: What it is worth to each class, on the test images.
        validated_classes: The same on the validation images, by which a next set may be chosen; None if a training of
            an earlier version did not look.
        quotas: Images of each class that a next set should have by these; None without them.
        worth: Extra real images per class that would have gained as much; None without a curve of real images.
    """

    verdict: VerdictName
    gain: Comparison
    label_fidelity: float
    label_fidelity_per_class: list[float | None]
    quality: Quality | None
    classes: list[ClassGain]
    validated_classes: list[ClassGain] | None = None
    quotas: list[int] | None = None
    worth: Worth | None

    @field_validator("classes", mode="before")
    @classmethod
    def _without_former_quotas(cls, value: object) -> object:
        """Earlier versions chose quotas by the test images."""
        if not isinstance(value, list):
            return value
        return [
            {name: known for name, known in one.items() if name != "quota"} if isinstance(one, dict) else one
            for one in value
        ]


class EqualEpochs(_Frozen):
    """The second view: mixed arms take more steps, so that they see each real image as often as real-only arms do.

    Attributes:
        steps: Optimiser steps of every cell in it.
        comparisons: Each mixed arm with so many steps, once against the baseline with its own steps, then against the
            baseline with as many.
        arms: The arms with so many steps.
    """

    steps: int
    comparisons: list[Comparison]
    arms: list[ArmSummary]


class FailedCell(_Frozen):
    """A cell that ended in an error; the next run tries it again.

    Attributes:
        regime: Its number of real images.
        arm: Its arm.
        seed: Its seed.
        reason: What went wrong.
    """

    regime: str
    arm: str
    seed: int
    reason: str


class Control(_Frozen):
    """A comparison whose outcome is known beforehand; if it comes out otherwise, the bench is not to be trusted.

    Attributes:
        name: Name of the arm.
        expectation: What must be so.
        comparison: What was found.
        is_as_expected: Whether it is so; None if there are too few seeds to tell.
    """

    name: str
    expectation: str
    comparison: Comparison
    is_as_expected: bool | None


class RegimeSummary(_Frozen):
    """All that was found with one number of real images.

    Attributes:
        name: Like "10 %", or "20 a class".
        fraction: Share of the real training images in use; None if a number per class was asked for.
        images_per_class: Real training images per class in use, the mean over classes.
        counts: Images: train, validation, test, synthetic (of all sets together).
        steps: Optimiser steps of every cell.
        real_epochs: How often real-only arms see each real image.
        baseline: Name of the real-only arm that validates best.
        sets: One result for each synthetic set, in the order they were given.
        comparisons: Every other arm − the baseline, then arms that differ in their set only; for orientation.
        controls: Of these, the ones whose outcome is known beforehand.
        arms: All arms.
        equal_epochs: The second view; None if it was not asked for.
        missing: Cells that are still to be done.
    """

    name: str
    fraction: float | None
    images_per_class: float
    counts: dict[str, int]
    steps: int
    real_epochs: float
    baseline: str
    sets: list[SetResult]
    comparisons: list[Comparison]
    controls: list[Control]
    arms: list[ArmSummary]
    equal_epochs: EqualEpochs | None
    missing: int

    @property
    def gains(self) -> list[Comparison]:
        """The differences that decide the verdicts, one for each set."""
        return [one.gain for one in self.sets]

    def arm(self, name: str) -> ArmSummary:
        """The arm of a name."""
        return next(arm for arm in self.arms if arm.name == name)


class BenchSummary(_Frozen):
    """`report.json`.

    Attributes:
        format: Version of this file.
        source: SPEC of the real images.
        class_names: In label order.
        seeds: The seeds asked for.
        cells: Trainings in all.
        done: Trainings that are done.
        failed: Trainings that ended in an error.
        extensions: Times at which seeds or arms were added to a bench whose results could be seen, or left out.
        regimes: One for each number of real images, in the order they were given.
        settings: Everything that decides the numbers.
        environment: Hardware and versions, as the bench was begun.
    """

    format: Literal[3] = FORMAT
    source: str
    class_names: list[str]
    seeds: list[int]
    cells: int
    done: int
    failed: list[FailedCell]
    extensions: list[Extension]
    regimes: list[RegimeSummary]
    settings: dict[str, Any]
    environment: dict[str, str]

    @property
    def is_complete(self) -> bool:
        """Whether all trainings are done."""
        return self.done == self.cells

    def write(self, folder: Path) -> None:
        """Writes report.json atomically."""
        write_json(folder / SUMMARY_NAME, self.model_dump(mode="json"))


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
