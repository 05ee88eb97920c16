"""Jobs in slices: shares of the time, what stops where, and that nothing is done twice."""

from __future__ import annotations

from pathlib import Path

import pytest
import staged
from staged import Ledger, Stage, StagedJob


class Clock:
    """Time that passes only when a stage says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(staged.time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


class Work:
    """A stage that takes so many seconds in all, and keeps to its time unless it has to be whole."""

    def __init__(self, clock: Clock, name: str, seconds: float, share: float, *, is_whole: bool = False) -> None:
        self.clock, self.name, self.left, self.given = clock, name, seconds, []
        self.stage = Stage(name, share, self.run, is_whole=is_whole)

    def run(self, seconds: float) -> bool:
        self.given.append(round(seconds, 3))
        takes = self.left if self.stage.is_whole else min(self.left, seconds)
        self.left -= takes
        self.clock.now += takes
        return self.left <= 0


def slices(path: Path, works: list[Work], *, total: float, max_time: float) -> bool:
    job = StagedJob(Ledger.open(path, {}), [work.stage for work in works], total=total, max_time=max_time)
    return job.run()


def test_a_stage_ends_with_its_share_and_goes_on_in_the_next_slice(clock: Clock, tmp_path: Path) -> None:
    works = [Work(clock, "long", 10_000, 0.5), Work(clock, "short", 100, 0.5)]
    ends = []
    for _ in range(3):
        began = clock.now
        ends.append(slices(tmp_path / "job.json", works, total=1000, max_time=300))
        assert clock.now - began <= 300
    assert ends == [False, False, True]
    ledger = Ledger.open(tmp_path / "job.json", {})
    assert ledger.seconds == {"long": 500.0, "short": 100.0}
    assert ledger.done == ["long", "short"]
    assert ledger.slices == 3


def test_time_that_is_not_needed_is_the_next_stages(clock: Clock, tmp_path: Path) -> None:
    works = [Work(clock, "quick", 100, 0.5), Work(clock, "long", 10_000, 0.5)]
    assert slices(tmp_path / "job.json", works, total=1000, max_time=5000)
    assert works[1].given == [900.0]


def test_what_is_done_is_not_done_again(clock: Clock, tmp_path: Path) -> None:
    works = [Work(clock, "first", 10, 0.5), Work(clock, "second", 10, 0.5)]
    assert slices(tmp_path / "job.json", works, total=100, max_time=100)
    assert slices(tmp_path / "job.json", works, total=100, max_time=100)
    assert [len(work.given) for work in works] == [1, 1]


def test_what_a_stage_takes_beyond_its_share_is_not_taken_from_the_next(clock: Clock, tmp_path: Path) -> None:
    works = [Work(clock, "whole", 400, 0.1, is_whole=True), Work(clock, "rest", 10_000, 0.9)]
    assert slices(tmp_path / "job.json", works, total=1000, max_time=2000)
    assert works[0].left == 0
    assert works[1].given == [900.0]


def test_a_stage_that_has_to_be_whole_waits_for_a_slice_of_its_own(clock: Clock, tmp_path: Path) -> None:
    works = [Work(clock, "first", 150, 0.5), Work(clock, "whole", 100, 0.5, is_whole=True)]
    assert not slices(tmp_path / "job.json", works, total=400, max_time=300)  # 120 of its 200 are left
    assert works[1].given == []
    assert slices(tmp_path / "job.json", works, total=400, max_time=300)


def test_time_is_kept_back_for_writing_what_a_slice_came_to(clock: Clock, tmp_path: Path) -> None:
    work = Work(clock, "only", 10_000, 1.0)
    slices(tmp_path / "job.json", [work], total=1000, max_time=200)
    assert work.given == [180.0]


def test_an_interrupted_stage_has_its_time_counted(clock: Clock, tmp_path: Path) -> None:
    def interrupted(_: float) -> bool:
        clock.now += 30
        raise KeyboardInterrupt

    job = StagedJob(Ledger.open(tmp_path / "job.json", {}), [Stage("only", 1.0, interrupted)], total=100, max_time=100)
    with pytest.raises(KeyboardInterrupt):
        job.run()
    ledger = Ledger.open(tmp_path / "job.json", {})
    assert (ledger.seconds, ledger.done) == ({"only": 30.0}, [])


def test_a_job_with_other_settings_is_refused(tmp_path: Path) -> None:
    Ledger.open(tmp_path / "job.json", {"data": "digits", "shares": (1, 2)}).save()
    assert Ledger.open(tmp_path / "job.json", {"data": "digits", "shares": (1, 2)}).slices == 0
    with pytest.raises(SystemExit, match="data"):
        Ledger.open(tmp_path / "job.json", {"data": "cifar10", "shares": (1, 2)})
