"""A job of several stages that runs in slices of time and goes on where it stopped."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synthaug.core.console import log
from synthaug.core.durations import duration
from synthaug.core.storage import write_json

#: Share of a slice that is kept back for writing what it came to, and the least and most seconds of that.
_RESERVE, _LEAST_RESERVE, _MOST_RESERVE = 0.1, 1.0, 40.0


@dataclass(frozen=True)
class Stage:
    """A part of a job.

    Attributes:
        name: Short name.
        share: Of the time of the whole job.
        run: Does it for so many seconds at most; True if it is over, False if it would go on.
        is_whole: Whether it has to come to its end, also if that takes more than its share; else it ends with its share
            and what it made until then is taken.
    """

    name: str
    share: float
    run: Callable[[float], bool]
    is_whole: bool = False


@dataclass
class Ledger:
    """What a job has done, in one file.

    Attributes:
        path: The file.
        settings: What may not change from slice to slice.
        seconds: Time that each stage took, over all slices.
        done: Stages that are over.
        notes: What stages have found out or decided.
        slices: Slices begun.
    """

    path: Path
    settings: dict[str, Any]
    seconds: dict[str, float] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)
    slices: int = 0

    @classmethod
    def open(cls, path: Path, settings: dict[str, Any]) -> Ledger:
        """That of a job begun before, or a new one."""
        plain = json.loads(json.dumps(settings))
        if not path.is_file():
            return cls(path, plain)
        kept = json.loads(path.read_text(encoding="utf-8"))
        if differing := [name for name, value in plain.items() if kept["settings"].get(name) != value]:
            raise SystemExit(f"{path} is of a job with other settings ({', '.join(differing)}): give another --state")
        return cls(path, **kept)

    def save(self) -> None:
        """Writes the file."""
        values = {name: getattr(self, name) for name in ("settings", "seconds", "done", "notes", "slices")}
        write_json(self.path, values)


class StagedJob:
    """Runs stages in their order.

    Time that a stage does not need is the next ones'; what one takes beyond its share is not taken from theirs.

    Args:
        ledger: What is done.
        stages: All of them; their shares add up to 1.
        total: Seconds for the whole job.
        max_time: Seconds for this slice.
    """

    def __init__(self, ledger: Ledger, stages: Sequence[Stage], *, total: float, max_time: float) -> None:
        self._ledger = ledger
        self._stages = stages
        self._total = total
        self._ends = time.monotonic() + max_time
        self._reserve = min(_MOST_RESERVE, max(_LEAST_RESERVE, _RESERVE * max_time))
        self._is_fresh = True

    def run(self) -> bool:
        """Runs what the slice has time for; True if all stages are over."""
        ledger = self._ledger
        ledger.slices += 1
        for number, stage in enumerate(self._stages):
            if stage.name in ledger.done:
                continue
            allowed, left = self._allowed(number), self._left()
            if left <= 0 or self._has_to_wait(stage, left):
                return False
            log(f"{stage.name}: {duration(max(0.0, allowed))} of its time and {duration(left)} of this slice left")
            seconds, began = left if stage.is_whole else min(left, allowed), time.monotonic()
            try:
                is_over = seconds > 0 and stage.run(seconds)
            finally:
                took = time.monotonic() - began
                ledger.seconds[stage.name] = round(ledger.seconds.get(stage.name, 0.0) + took, 1)
                ledger.save()
            self._is_fresh = False
            if not is_over and not stage.is_whole and self._allowed(number) <= self._reserve:
                log(f"{stage.name}: its share of the time is over")
                is_over = True
            if not is_over:
                return False
            ledger.done.append(stage.name)
            ledger.save()
        return True

    def _left(self) -> float:
        return self._ends - self._reserve - time.monotonic()

    def _allowed(self, number: int) -> float:
        """Seconds that a stage may still take: its share and what those before left of theirs, less what it took."""
        left = 0.0
        for stage in self._stages[: number + 1]:
            left = max(0.0, left) + stage.share * self._total - self._ledger.seconds.get(stage.name, 0.0)
        return left

    def _has_to_wait(self, stage: Stage, left: float) -> bool:
        """Whether a stage that cannot be cut short should get a slice of its own."""
        return stage.is_whole and not self._is_fresh and left < stage.share * self._total
