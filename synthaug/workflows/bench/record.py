"""What a bench set out to do, in a file beside its results, so that a report can be made from the two."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from synthaug.core.errors import DamageError, InputError
from synthaug.core.storage import write_json
from synthaug.workflows.bench.arms import Arm
from synthaug.workflows.cost import SamplingCost

STUDY_NAME = "study.json"
#: Equal steps for all arms, or more for mixed ones so that real images are seen as often.
View = Literal["equal steps", "equal real epochs"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SetFacts(_Frozen):
    """What is known of a synthetic set without any measurement.

    Attributes:
        name: What the bench calls it.
        where: Its folder or URL.
        images: Images in it.
        per_class: Images of each class in it.
        is_curated: Whether some were chosen among more.
        images_seen: Images that were shown to its generator.
        fingerprint: Of its pixels and labels.
        remark: What a reader has to know of it, such as that its generator was not trained as this bench would train
            one; mostly nothing.
    """

    name: str
    where: str
    images: int
    per_class: tuple[int, ...]
    is_curated: bool
    images_seen: int
    fingerprint: str
    remark: str = ""


class Extension(_Frozen):
    """Seeds, arms or sets were added or left out after results were there.

    Intervals are those of a bench of this size only if the results had no say in it.

    Attributes:
        done: Trainings that were done.
        seeds: Seeds then.
        arms: Arms then.
        added: What was added, in words; not known of extensions of former versions, which were additions.
        left_out: What had results and was left out, in words; what is asked for again is taken from this list.
    """

    done: int
    seeds: int
    arms: int
    added: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def is_addition(self) -> bool:
        """Whether something was added."""
        return bool(self.added) or not self.left_out


class SetRecord(SetFacts):
    """A synthetic set with what it took, which differs from machine to machine.

    Attributes:
        training_seconds: Time its generator was trained for.
        cost: What drawing it took; None if that was not recorded, as of a set chosen from another.
    """

    training_seconds: float
    cost: SamplingCost | None


class CellRecord(_Frozen):
    """One training that belongs to a bench.

    Attributes:
        key: Hash of everything that decides its numbers.
        judged: Fingerprints of the sets that its classifier has to judge.
        view: Which steps it takes.
        arm: Name of its arm.
        seed: Seed of initialisation, order and augmentation; the same for all arms of a pair.
    """

    key: str
    judged: tuple[str, ...]
    view: View
    arm: str
    seed: int


class RegimeRecord(_Frozen):
    """One number of real images; see `RegimeSummary` for what is not said here.

    Attributes:
        name: Like "10 %", or "20 a class".
        fraction: Share of the real training images in use; None if a number per class was asked for.
        images_per_class: Real training images per class in use.
        counts: Images: train, validation, test, synthetic.
        steps: Optimiser steps of every cell.
        longer_steps: Those of the second view; None without one.
        real_epochs: How often real-only arms see each real image.
        arms: All arms.
        sets: The synthetic sets.
        cells: All trainings.
    """

    name: str
    fraction: float | None
    images_per_class: float
    counts: dict[str, int]
    steps: int
    longer_steps: int | None
    real_epochs: float
    arms: list[Arm]
    sets: list[SetRecord]
    cells: list[CellRecord]


class StudyRecord(_Frozen):
    """`study.json`.

    Attributes:
        source: SPEC of the real images.
        class_names: In label order.
        seeds: The seeds.
        regimes: One for each number of real images.
        settings: What all trainings share, and no continuation may change.
        environment: Hardware and versions, as the bench was begun.
        extensions: Times at which seeds or arms were added to a bench with results, or left out.
        was_planned: Whether this size was settled before there were results, by somebody who takes back what there was
            no time for.
    """

    source: str
    class_names: list[str]
    seeds: list[int]
    regimes: list[RegimeRecord]
    settings: dict[str, Any]
    environment: dict[str, str]
    extensions: list[Extension]
    was_planned: bool = False

    @property
    def cells(self) -> list[CellRecord]:
        """All trainings."""
        return [cell for regime in self.regimes for cell in regime.cells]

    def write(self, folder: Path) -> None:
        """Writes study.json atomically."""
        write_json(folder / STUDY_NAME, self.model_dump(mode="json"))


def read_study(folder: Path) -> StudyRecord:
    """Reads study.json.

    Raises:
        InputError: If there is none.
        DamageError: If it is not what a bench writes.
    """
    path = folder / STUDY_NAME
    if not path.is_file():
        raise InputError(f"{folder} holds no bench ({STUDY_NAME} is missing); run: synthaug bench --out {folder}")
    try:
        return StudyRecord.model_validate(json.loads(path.read_bytes()))
    except (ValidationError, ValueError, RecursionError) as error:
        raise DamageError(f"{path} is damaged; choose another --out") from error
