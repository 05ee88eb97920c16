"""What a run has decided, done and found, in one file beside all that it made: `run.json`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from synthaug.core.console import log
from synthaug.core.durations import duration
from synthaug.core.errors import InputError
from synthaug.core.storage import check_folder, check_same_settings, write_json
from synthaug.workflows.run.covering import Covered
from synthaug.workflows.run.planning import Facts, Plan, Rates
from synthaug.workflows.run.settings import RunConfig

RECORD_NAME = "run.json"
FORMAT: Final = 1


@dataclass(frozen=True)
class RunResult:
    """What a run came to.

    Attributes:
        sentence: The verdict in words.
        use: The set to train with; None if none of them helps.
        report: report.html; None if there was no time for a single comparison.
        checkpoint: The generator.
        raw: The set as it was drawn.
        curated: The curated set, if there is one.
        model: Kind of generator.
        why: Why that one.
        left_out: What was left out, a sentence each.
        budget: Seconds that everything was to take, over all runs into this folder.
        seconds: Seconds that each stage took, likewise.
    """

    sentence: str
    use: Path | None
    report: Path | None
    checkpoint: Path
    raw: Path
    curated: Path | None
    model: str
    why: str
    left_out: tuple[str, ...]
    budget: float
    seconds: dict[str, float]


class Decisions(BaseModel):
    """What the first run into a folder decided; later ones keep to it.

    Attributes:
        model: Kind of generator.
        why: Why that one.
        image_size: What images are resized to; None leaves them as they are.
        resized: Why they are resized; empty if they are not.
        preset: Preset of the generator; None leaves it to the generator.
        guidance: Guidance of its sampler; None likewise.
        judge_steps: Optimiser steps of the judge of a curation.
        facts: What was known.
        rates: What was measured.
        plan: What fits, of which a larger budget may add a curation, arms and seeds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    why: str
    image_size: int | None
    resized: str
    preset: str | None
    guidance: float | None
    judge_steps: int
    facts: Facts
    rates: Rates
    plan: Plan


class RunRecord(BaseModel):
    """`run.json`.

    Attributes:
        format: Version of this file.
        settings: What may not change when the run is continued.
        budget: Seconds that the last run was given.
        decisions: What was decided; None before anything was measured.
        done: Stages that are over.
        seconds: Seconds of each stage, over all runs.
        remarks: What went otherwise than planned, by stage.
        covered: What the bench has done in full.
        pace: Seconds that each of its trainings took, by the clock.
        result: What came of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = FORMAT
    settings: dict[str, Any]
    budget: float
    decisions: Decisions | None = None
    done: tuple[str, ...] = ()
    seconds: dict[str, float] = {}
    remarks: dict[str, str] = {}
    covered: Covered | None = None
    pace: float | None = None
    result: RunResult | None = None


class Ledger:
    """Keeps the record of a run and its time.

    Args:
        out: Folder of the run.
        record: What is known so far.
    """

    def __init__(self, out: Path, record: RunRecord) -> None:
        self.out = out
        self.record = record
        self._began: float | None = None

    @classmethod
    def open(cls, config: RunConfig) -> Ledger:
        """That of a folder, or a new one; nothing is written yet.

        Raises:
            InputError: If the folder holds something else, or a run with other settings.
        """
        check_folder(config.out, marker=RECORD_NAME, kind="run")
        before = read_record(config.out)
        if before is None:
            return cls(config.out, RunRecord(settings=config.decisive(), budget=config.seconds))
        check_same_settings(before.settings, config.decisive(), str(config.out))
        return cls(config.out, before.model_copy(update={"budget": config.seconds}))

    def note(self, **changes: Any) -> None:
        """Writes down what has become known."""
        self.record = self.record.model_copy(update=changes)
        write_json(self.out / RECORD_NAME, self.record.model_dump(mode="json"))

    def remark(self, stage: str, text: str) -> None:
        """Writes down what went otherwise than planned."""
        log(f"{stage}: {text}")
        self.note(remarks={**self.record.remarks, stage: text})

    def left(self) -> float:
        """Seconds of the budget that are left."""
        running = 0.0 if self._began is None else time.monotonic() - self._began
        return self.record.budget - sum(self.record.seconds.values()) - running

    def spent(self, stage: str) -> float:
        """Seconds that former runs spent on a stage."""
        return self.record.seconds.get(stage, 0.0)

    @contextlib.contextmanager
    def stage(self, name: str, headline: str) -> Iterator[None]:
        """Says what begins, and counts its time, also if it is interrupted."""
        log(f"{headline} ({duration(self.left())} of {duration(self.record.budget)} left)")
        self._began = time.monotonic()
        try:
            yield
        except BaseException:
            self._count(name, is_done=False)
            raise
        self._count(name, is_done=True)

    def _count(self, name: str, *, is_done: bool) -> None:
        seconds = self.spent(name) + time.monotonic() - (self._began or 0.0)
        self._began = None
        done = dict.fromkeys([*self.record.done, *([name] if is_done else [])])
        self.note(seconds={**self.record.seconds, name: round(seconds, 2)}, done=tuple(done))


def read_record(out: Path) -> RunRecord | None:
    """The record of a folder; None if it has none.

    Raises:
        InputError: If it is not readable.
    """
    path = out / RECORD_NAME
    if not path.is_file():
        return None
    try:
        return RunRecord.model_validate_json(path.read_bytes())
    except ValidationError as error:
        detail = error.errors()[0]
        where = ".".join(map(str, detail["loc"])) or "contents"
        raise InputError(
            f"{path} is not readable: {where}: {detail['msg']}; choose another --out, or remove that file to begin anew"
        ) from error
