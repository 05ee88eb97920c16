"""The rows that finished trainings leave behind, in any order and from any number of jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from synthaug.classifiers.validation import CurvePoint
from synthaug.core.errors import InputError
from synthaug.core.storage import append_json_line, one_at_a_time, read_json_lines
from synthaug.metrics.agreement import Agreement
from synthaug.workflows.bench.quality import Quality
from synthaug.workflows.bench.record import CellRecord, View
from synthaug.workflows.bench.tested import Share, Tested

_PATTERN = "results*.jsonl"


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    regime: str
    view: View
    arm: str
    seed: int


class CellResult(_Row):
    """One finished training.

    Attributes:
        key: Hash of everything that decides its numbers.
        regime: Name of the number of real images.
        view: Which steps it took.
        arm: Name of the arm.
        seed: Seed of initialisation, order and augmentation.
        steps: Optimiser steps taken.
        best_step: Step of the weights that were kept.
        validation_accuracy: Of those weights.
        validation_per_class: The same for the images of each class, None for a class without images; None of an earlier
            version, which did not look.
        tested: What they make of the test images.
        label_fidelity: Agreement with the labels of each synthetic set, by its fingerprint; only from the judging arm.
        quality: Each set against the validation images in this classifier's features, by its fingerprint; only from
            that arm, and if there are enough images.
        curve: All validations.
        seconds: Time for the training and its test, not for judging sets.
    """

    steps: int
    best_step: int
    validation_accuracy: float
    validation_per_class: tuple[Share | None, ...] | None = None
    tested: Tested
    label_fidelity: dict[str, Agreement]
    quality: dict[str, Quality]
    curve: list[CurvePoint]
    seconds: float


class CellFailure(_Row):
    """A training that ended in an error.

    Attributes:
        key: Hash of everything that decides its numbers.
        regime: Name of the number of real images.
        view: Which steps it was to take.
        arm: Name of the arm.
        seed: Its seed.
        failed: What went wrong.
    """

    failed: str


@dataclass(frozen=True)
class Results:
    """What is known of the cells of a bench, by their keys.

    Attributes:
        done: Finished ones.
        failed: Those whose last attempt ended in an error.
    """

    done: dict[str, CellResult]
    failed: dict[str, CellFailure]


def results_file(out: Path, number: int, of: int) -> Path:
    """Where a job appends its rows; each of several has a file of its own, so that none waits for another."""
    return out / ("results.jsonl" if of == 1 else f"results-{number:03d}-of-{of:03d}.jsonl")


def append_row(file: Path, row: CellResult | CellFailure) -> None:
    """Adds one row, whole or not at all.

    Raises:
        StorageError: If the disk refuses.
    """
    with one_at_a_time(file):
        append_json_line(file, row.model_dump(mode="json"))


def read_results(out: Path, cells: Sequence[CellRecord]) -> Results:
    """What all jobs have left of these cells; other rows are passed over, and those that did not judge all sets.

    Raises:
        InputError: If a file holds something else.
    """
    results, judged = Results({}, {}), dict[str, set[str]]()
    for cell in cells:
        judged.setdefault(cell.key, set()).update(cell.judged)
    for file in sorted(out.glob(_PATTERN)):
        for row in read_json_lines(file):
            if not isinstance(row.get("key"), str):
                raise InputError(f"{file} is not readable: a row without a key; choose another --out")
            if row["key"] in judged:
                _take(results, row, judged[row["key"]], file)
    return results


def _take(results: Results, row: dict[str, Any], judged: set[str], file: Path) -> None:
    try:
        if "failed" in row:
            failure = CellFailure.model_validate(row)
            if failure.key not in results.done:
                results.failed[failure.key] = failure
            return
        cell = CellResult.model_validate(row)
    except ValidationError as error:
        raise InputError(f"{file} is not readable: {error.errors()[0]['msg']}") from error
    if judged <= cell.label_fidelity.keys():
        results.done.setdefault(cell.key, cell)
        results.failed.pop(cell.key, None)
