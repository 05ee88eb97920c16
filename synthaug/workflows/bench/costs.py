"""What a bench took, and where making images broke even; the one file of it that differs from run to run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from synthaug.core.errors import InputError
from synthaug.core.storage import write_json
from synthaug.workflows.bench.record import SetRecord, StudyRecord
from synthaug.workflows.bench.results import CellResult
from synthaug.workflows.bench.summary import BenchSummary, SetResult
from synthaug.workflows.bench.worth import BreakEven, break_even

COSTS_NAME = "costs.json"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SetCosts(_Frozen):
    """What one synthetic set took, in seconds.

    Attributes:
        generator: Training of its generator.
        sampling: Drawing it; None if that was not recorded, as of a set chosen from another.
        training: One training of the arm that decides its verdict − one of the baseline.
        hardware: What its images were drawn on.
        break_even: All of these that are known together, over the points gained if the set helps: at least so much,
            where sampling was not recorded.
    """

    generator: float
    sampling: float | None
    training: float
    hardware: tuple[str, ...]
    break_even: BreakEven


class RegimeCosts(_Frozen):
    """With one number of real images.

    Attributes:
        name: Name of the regime.
        arms: Mean seconds of a training of each arm, test included.
        sets: What each synthetic set took.
    """

    name: str
    arms: dict[str, float]
    sets: dict[str, SetCosts]


class BenchCosts(_Frozen):
    """`costs.json`.

    Attributes:
        seconds: Of all trainings, one after another.
        regimes: One for each number of real images.
    """

    seconds: float
    regimes: list[RegimeCosts]

    def write(self, folder: Path) -> None:
        """Writes costs.json atomically."""
        write_json(folder / COSTS_NAME, self.model_dump(mode="json"))


def read_costs(folder: Path) -> BenchCosts:
    """Reads costs.json.

    Raises:
        InputError: If it is missing or not readable.
    """
    path = folder / COSTS_NAME
    try:
        return BenchCosts.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path} is missing; run the same bench command again to restore it") from error
    except ValidationError as error:
        raise InputError(f"{path} is not readable: {error.errors()[0]['msg']}") from error


def costs_of(study: StudyRecord, done: Mapping[str, CellResult], summary: BenchSummary) -> BenchCosts:
    """The times of all trainings that are done, and of what was found."""
    found = {regime.name: regime for regime in summary.regimes}
    regimes, total = [], 0.0
    for regime in study.regimes:
        seconds: dict[str, list[float]] = {}
        for cell in regime.cells:
            if cell.key in done:
                total += done[cell.key].seconds
                if cell.view == "equal steps":
                    seconds.setdefault(cell.arm, []).append(done[cell.key].seconds)
        if regime.name in found:
            means = {arm: round(math.fsum(values) / len(values), 2) for arm, values in seconds.items()}
            pairs = zip(regime.sets, found[regime.name].sets, strict=True)
            sets = {one.name: _set_costs(record, one, means) for record, one in pairs}
            regimes.append(RegimeCosts(name=regime.name, arms=means, sets=sets))
    return BenchCosts(seconds=round(total, 2), regimes=regimes)


def _set_costs(record: SetRecord, one: SetResult, seconds: Mapping[str, float]) -> SetCosts:
    cost = record.cost
    sampling = None if cost is None else record.images / cost.images_per_second
    training = seconds[one.gain.arm] - seconds[one.gain.baseline]
    known = record.training_seconds + (sampling or 0.0) + training
    return SetCosts(
        generator=record.training_seconds,
        sampling=sampling,
        training=round(training, 2),
        hardware=() if cost is None else cost.hardware,
        break_even=break_even(known, one.gain.difference.mean, is_gain=one.verdict == "helps"),
    )
