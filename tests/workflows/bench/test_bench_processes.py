"""A bench in processes of its own: killed at any moment, or with cells side by side, it comes to the same."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from synthaug.core.errors import TrainingError
from synthaug.core.storage import read_json_lines
from synthaug.workflows.bench import BenchConfig, bench, plan_bench
from synthaug.workflows.bench import run as run_module
from synthaug.workflows.bench import workers as workers_module
from synthaug.workflows.bench.cells import Cell
from tests.workflows.benches import TWO_ARMS, elsewhere, quick, rows, without_seconds
from tests.workflows.quick_processes import quick_context, run_bench

pytestmark = pytest.mark.usefixtures("quick_network")


@pytest.fixture
def quick_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets cells run side by side in processes that know the quick network and need not import anything."""
    kinds = SimpleNamespace(get_context=lambda _: quick_context())
    monkeypatch.setattr(workers_module, "multiprocessing", kinds)


def report_of(config: BenchConfig) -> bytes:
    return (config.out / "report.json").read_bytes()


# --- killed ---


def test_killed_at_any_moment_and_run_again_it_comes_to_the_same(whole: BenchConfig, tmp_path: Path) -> None:
    def prepared(name: str) -> tuple[BenchConfig, Path, Path]:
        config = elsewhere(whole, tmp_path / name, jobs=1)
        config.save(tmp_path / f"settings of {name}")
        return config, tmp_path / f"settings of {name}" / "config.yaml", tmp_path / f"{name}.log"

    undisturbed, settings, log = prepared("undisturbed")
    assert run_bench(settings, log) == 0
    expected, moments = report_of(undisturbed), log.read_text().splitlines()
    assert {"half a row", "row", "step 2", "before study.json", "after report.json"} <= set(moments)
    chosen = random.Random(9).sample(range(len(moments)), 10)
    for number, deadly in enumerate(sorted(chosen)):
        config, settings, log = prepared(f"killed {number}")
        assert run_bench(settings, log, deadly) == -signal.SIGKILL, moments[deadly]
        before = log.read_text().splitlines()
        assert before == moments[: deadly + 1]
        whole_rows = [row for row in read_json_lines(config.out / "results.jsonl") if "key" in row]
        assert before.count("row") <= len(whole_rows) <= before.count("before row"), moments[deadly]
        assert run_bench(settings, log) == 0, moments[deadly]
        assert log.read_text().splitlines().count("row") == 6 - len(whole_rows), moments[deadly]
        assert report_of(config) == expected, moments[deadly]


# --- side by side ---


@pytest.mark.usefixtures("quick_workers")
def test_processes_come_to_what_one_process_comes_to(whole: BenchConfig, tmp_path: Path) -> None:
    config = elsewhere(whole, tmp_path / "out", jobs=2)
    assert bench(config).is_complete
    together, alone = ({row["key"]: without_seconds(row) for row in rows(one.out)} for one in (config, whole))
    assert together == alone
    assert report_of(config) == report_of(whole)


@pytest.mark.usefixtures("quick_workers")
def test_a_process_that_dies_is_a_failed_cell_and_no_hang(
    synthetic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = quick(synthetic, tmp_path / "out", seeds=2, arms=TWO_ARMS, jobs=2, steps=1_000_000)
    killed = []

    def kill_one(self: Any, cell: Cell, steps: int) -> None:
        if steps and not killed:
            victim = multiprocessing.active_children()[0]
            assert victim.pid is not None
            killed.append(victim.pid)
            os.kill(victim.pid, signal.SIGKILL)

    monkeypatch.setattr(run_module.Progress, "step", kill_one)
    with pytest.raises(TrainingError, match=r"of 4 trainings failed .*its process was ended from outside"):
        bench(config)
    assert len(killed) == 1
    assert 1 <= len(rows(config.out)) <= 2
    assert all("ended from outside" in row["failed"] for row in rows(config.out))
    assert plan_bench(config).missing_cells == 4


@pytest.mark.usefixtures("quick_workers")
def test_processes_end_with_an_interrupted_bench(
    synthetic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = quick(synthetic, tmp_path / "out", seeds=2, arms=TWO_ARMS, jobs=2, steps=1_000_000)
    alive = []

    def interrupt(self: Any, cell: Cell, steps: int) -> None:
        if steps:
            alive.extend(multiprocessing.active_children())
            raise KeyboardInterrupt

    monkeypatch.setattr(run_module.Progress, "step", interrupt)
    with pytest.raises(KeyboardInterrupt):
        bench(config)
    assert len(alive) == 2
    for process in alive:
        process.join(60)
        assert not process.is_alive()
    assert rows(config.out) == []
