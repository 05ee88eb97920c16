"""How a bench is run: cell by cell, in any order, in parts, within a time, with failures, each cell tested once."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from synthaug.core.errors import TrainingError
from synthaug.core.types import LabelledImages
from synthaug.data.datamodule import MixedDataModule
from synthaug.data.sources import load_source
from synthaug.data.splits import Splits
from synthaug.workflows.bench import BenchConfig, bench, plan_bench, read_summary
from synthaug.workflows.bench import cells as cells_module
from synthaug.workflows.bench import run as run_module
from synthaug.workflows.bench import sealed as sealed_module
from synthaug.workflows.bench import workers as workers_module
from synthaug.workflows.bench.cells import Cell, CellInputs, OutOfTimeError, run_cell
from synthaug.workflows.bench.record import Extension
from synthaug.workflows.bench.results import CellFailure, CellResult
from synthaug.workflows.bench.sealed import SealedTest
from synthaug.workflows.bench.sentence import verdict_sentence
from synthaug.workflows.bench.summarise import refresh_summary
from synthaug.workflows.bench.summary import BenchSummary
from synthaug.workflows.report import bench_and_report
from synthaug.workflows.report import write as write_module
from tests.workflows.benches import (
    TWO_ARMS,
    Clock,
    elsewhere,
    noise_set,
    quick,
    regimes_of,
    rows,
)

pytestmark = pytest.mark.usefixtures("quick_network")


def copied(config: BenchConfig, out: Path, **changes: Any) -> BenchConfig:
    return elsewhere(config, shutil.copytree(config.out, out), **changes)


def report_of(config: BenchConfig) -> bytes:
    return (config.out / "report.json").read_bytes()


def one_cell(config: BenchConfig, arm: int = -1, seed: int = 0) -> tuple[CellInputs, Cell]:
    """What one cell of a bench is run with."""
    [regime] = regimes_of(config)
    inputs = CellInputs(config, config.runtime(), None)
    return inputs, inputs.cell(regime, "equal steps", regime.arms[arm], seed)


# --- what a change of the settings leaves of finished cells ---


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ({}, 0),
        ({"seeds": 1}, 0),
        ({"seeds": 5}, 4),
        ({"arms": ("mixed", "real")}, 0),
        ({"arms": (*TWO_ARMS, "synthetic")}, 3),
        ({"arms": (*TWO_ARMS, "mixed+classic@0.25")}, 3),
        ({"synthetic_fractions": (0.25, 0.75)}, 6),
        ({"equal_epochs": True}, 6),
        ({"jobs": 2}, 0),
        ({"cells": "1/2"}, 0),
    ],
)
def test_finished_cells_count_whatever_else_is_asked_for(
    whole: BenchConfig, change: dict[str, Any], missing: int
) -> None:
    assert plan_bench(whole.model_copy(update=change)).missing_cells == missing


def test_a_cell_is_done_again_if_it_saw_another_set_and_only_then(
    whole: BenchConfig, splits: Splits, tmp_path: Path
) -> None:
    other = noise_set(tmp_path / "other", splits.record, seed=1)
    arms = ("real", "real+classic", "mixed")
    config = copied(whole, tmp_path / "out", arms=arms, seeds=1)
    bench(config)  # real+classic judges the set, real no longer
    before = len(rows(config.out))
    changed = config.model_copy(update={"synthetic": (str(other),)})
    assert plan_bench(changed).missing_cells == 2
    summary = bench(changed)
    assert [row["arm"] for row in rows(config.out)[before:]] == ["real+classic", "mixed"]
    told = summary.extensions[-1]
    assert (told.added, told.left_out) == ((f"mixed with {other}",), (f"mixed with {whole.synthetic[0]}",))
    assert read_summary(config.out).regimes[0].sets[0].where == str(other)
    assert plan_bench(config).missing_cells == 0  # and back


def test_another_set_beside_the_first_leaves_its_cells(whole: BenchConfig, splits: Splits, tmp_path: Path) -> None:
    other = noise_set(tmp_path / "other", splits.record, seed=1)
    config = copied(whole, tmp_path / "out", synthetic=(*whole.synthetic, str(other)))
    before = len(rows(config.out))
    assert bench(config).is_complete
    arms = [row["arm"] for row in rows(config.out)[before:]]
    assert sorted(arms) == ["mixed (other)"] * 3 + ["real"] * 3  # real has another set to judge
    accuracies = [read_summary(one.out).regimes[0] for one in (whole, config)]
    assert accuracies[0].arm("mixed").per_seed == accuracies[1].arm("mixed (set)").per_seed
    assert accuracies[0].sets[0].label_fidelity == accuracies[1].sets[0].label_fidelity


def test_what_comes_to_the_same_is_trained_once(whole: BenchConfig, tmp_path: Path) -> None:
    again = {"name": "real once more", "transform": "none"}
    config = copied(whole, tmp_path / "out", arms=(*TWO_ARMS, "mixed@0.5", again))
    assert plan_bench(config).missing_cells == 0
    summary = bench(config)
    assert (summary.cells, summary.done, summary.is_complete) == (6, 6, True)
    [regime] = summary.regimes
    assert regime.missing == 0
    for one, other in (("mixed", "mixed@0.5"), ("real", "real once more")):
        assert regime.arm(one).per_seed == regime.arm(other).per_seed
    fresh = elsewhere(config, tmp_path / "fresh")
    assert bench(fresh).regimes == summary.regimes
    assert len(rows(fresh.out)) == 6


def test_only_cells_of_the_bench_are_in_its_summary(whole: BenchConfig, tmp_path: Path) -> None:
    fewer = bench(copied(whole, tmp_path / "fewer", seeds=2))
    assert (fewer.cells, fewer.done, fewer.seeds) == (4, 4, [0, 1])
    assert [arm.seeds for arm in fewer.regimes[0].arms] == [[0, 1], [0, 1]]
    assert fewer.extensions == [Extension(done=6, seeds=3, arms=2, left_out=("seed 2",))]  # which is told
    assert plan_bench(elsewhere(whole, tmp_path / "fewer")).missing_cells == 0


# --- what was added or left out when results could be seen ---


def test_what_is_left_out_when_it_has_results_is_told_until_it_is_asked_for_again(
    whole: BenchConfig, tmp_path: Path
) -> None:
    more_arms = (*TWO_ARMS, "synthetic")
    full = copied(whole, tmp_path / "out", arms=more_arms)
    added = Extension(done=6, seeds=3, arms=2, added=("synthetic",))
    assert bench(full).extensions == [added]
    fewer = full.model_copy(update={"arms": TWO_ARMS, "seeds": 2})
    out = Extension(done=9, seeds=3, arms=3, left_out=("synthetic", "seed 2"))
    for _ in range(2):
        summary = bench(fewer)
        assert (summary.is_complete, summary.extensions) == (True, [added, out])
    seeds_back = bench(full.model_copy(update={"arms": TWO_ARMS}))
    assert seeds_back.extensions == [added, out.model_copy(update={"left_out": ("synthetic",)})]
    assert bench(full).extensions == [added]
    assert bench(full.model_copy(update={"seeds": 4})).extensions == [
        added,
        Extension(done=9, seeds=3, arms=3, added=("seed 3",)),
    ]


def test_what_was_left_out_unfinished_is_no_addition_when_it_is_asked_for_again(
    whole: BenchConfig, tmp_path: Path
) -> None:
    config = elsewhere(whole, tmp_path / "out", seeds=2)
    bench(config.model_copy(update={"cells": "1/3"}))  # real with seed 0, mixed with seed 1
    [told] = bench(config.model_copy(update={"seeds": 1})).extensions
    assert (told.done, told.added, told.left_out) == (2, (), ("seed 1",))
    assert bench(config).extensions == []


def test_what_has_no_result_can_be_left_out_without_a_word(whole: BenchConfig, tmp_path: Path) -> None:
    config = elsewhere(whole, tmp_path / "out", seeds=2)
    bench(config.model_copy(update={"cells": "1/4"}))  # real with seed 0
    assert bench(config.model_copy(update={"seeds": 1})).extensions == []


def test_a_planned_bench_takes_back_what_there_was_no_time_for_without_a_word(
    whole: BenchConfig, tmp_path: Path
) -> None:
    config = elsewhere(whole, tmp_path / "out", seeds=2)
    bench(config.model_copy(update={"cells": "1/3"}), was_planned=True)
    part = config.model_copy(update={"seeds": 1})
    assert bench(part).extensions == []
    assert [one.added for one in bench(config).extensions] == [("seed 1",)]
    assert [one.left_out for one in bench(part).extensions] == [(), ("seed 1",)]


def test_a_set_that_was_made_anew_in_its_folder_is_told_of(whole: BenchConfig, splits: Splits, tmp_path: Path) -> None:
    folder = noise_set(tmp_path / "set", splits.record, seed=1)
    config = elsewhere(whole, tmp_path / "out", synthetic=(str(folder),), seeds=1)
    bench(config)
    shutil.rmtree(folder)
    noise_set(folder, splits.record, seed=2)
    for _ in range(2):
        [told] = bench(config).extensions
        assert (told.added, told.left_out) == ((f"mixed with {folder}",), (f"mixed with {folder}, as it was",))


# --- failures ---


def failing(monkeypatch: pytest.MonkeyPatch, arm: str, seed: int, reason: str) -> None:
    """Makes the cells of this arm and seed end in an error."""

    def run(inputs: CellInputs, cell: Cell, *others: Any, **more: Any) -> CellResult:
        if (cell.arm.name, cell.seed) == (arm, seed):
            raise RuntimeError(reason)
        return run_cell(inputs, cell, *others, **more)

    monkeypatch.setattr(workers_module, "run_cell", run)


def test_a_failed_cell_is_shown_and_tried_again_and_harms_no_other(
    whole: BenchConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = elsewhere(whole, tmp_path / "out")
    with monkeypatch.context() as patch:
        failing(patch, "mixed", 1, "out of\n  luck")
        with pytest.raises(TrainingError, match=r"1 of 6 trainings failed \(mixed, seed 1: out of luck\)"):
            bench(config)
    summary = read_summary(config.out)
    [failed] = summary.failed
    assert (failed.arm, failed.seed, failed.reason) == ("mixed", 1, "out of luck")
    assert (summary.done, summary.is_complete) == (5, False)
    assert summary.regimes[0].gains[0].difference.count == 2
    assert sum("failed" in row for row in rows(config.out)) == 1
    assert plan_bench(config).missing_cells == 1
    assert bench(config).is_complete
    assert report_of(config) == report_of(whole)
    assert plan_bench(config).missing_cells == 0


def test_if_nothing_can_be_compared_for_failures_that_is_an_error_too(
    whole: BenchConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = elsewhere(whole, tmp_path / "out", seeds=1)
    failing(monkeypatch, "mixed", 0, "out of luck")
    with pytest.raises(TrainingError, match="1 of 2 trainings failed"):
        bench(config)
    summary = read_summary(config.out)
    assert (summary.regimes, summary.done) == ([], 1)
    assert [one.arm for one in summary.failed] == ["mixed"]
    assert verdict_sentence(summary) == "No verdict yet: 1 of 2 trainings are done."


def test_a_training_that_diverges_fails(synthetic: Path, tmp_path: Path) -> None:
    config = quick(synthetic, tmp_path / "out", learning_rate=1e30, optimiser="sgd", arms=TWO_ARMS)
    with pytest.raises(TrainingError, match="2 of 2 trainings failed .*no longer a number"):
        bench(config)
    assert [row["failed"].startswith("the loss is no longer a number") for row in rows(config.out)] == [True, True]


# --- limits ---


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """What the bench takes for time."""
    clock = Clock()
    for module in (run_module, workers_module, cells_module):
        monkeypatch.setattr(module, "time", clock)
    return clock


def test_nothing_is_begun_that_would_not_be_over_in_time(
    whole: BenchConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    limits = []

    def ten_seconds(*arguments: Any, max_time: float | None) -> CellResult:
        limits.append(max_time)
        result = run_cell(*arguments)
        clock.now += 10
        return result.model_copy(update={"seconds": 10.0})

    with monkeypatch.context() as patch:
        patch.setattr(workers_module, "run_cell", ten_seconds)
        config = elsewhere(whole, tmp_path / "out", max_time=35.0)
        summary = bench(config)
        assert limits == [35.0, 25.0, 15.0]  # a fourth would end at 40
        assert (summary.done, summary.cells, len(rows(config.out))) == (3, 6, 3)
        assert summary.failed == []
        assert bench(config.model_copy(update={"max_time": 21.0})).done == 4  # knows how long cells take
    assert bench(config.model_copy(update={"max_time": None})).is_complete
    assert report_of(config) == report_of(whole)


def test_a_cell_for_which_there_is_no_time_left_leaves_nothing(
    whole: BenchConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    def runs_late(inputs: CellInputs, cell: Cell, *others: Any, **more: Any) -> CellResult:
        if cell.seed == 1:
            clock.now += 100
            raise OutOfTimeError
        return run_cell(inputs, cell, *others, **more)

    config = elsewhere(whole, tmp_path / "out", max_time=50.0)
    with monkeypatch.context() as patch:
        patch.setattr(workers_module, "run_cell", runs_late)
        assert bench(config).done == 2
    assert {row["seed"] for row in rows(config.out)} == {0}
    assert plan_bench(config).missing_cells == 4
    assert bench(config.model_copy(update={"max_time": None})).is_complete
    assert report_of(config) == report_of(whole)


def test_a_training_is_given_up_in_the_middle_when_the_time_is_over(synthetic: Path, tmp_path: Path) -> None:
    inputs, cell = one_cell(quick(synthetic, tmp_path / "out", steps=1_000_000))
    seen: list[int] = []
    with pytest.raises(OutOfTimeError):
        run_cell(inputs, cell, seen.append, max_time=1e-6)
    assert 1 <= len(seen) < 1000
    assert workers_module.attempt(inputs, cell, seen.append, deadline=-1e9) is None  # over before it began


def test_without_any_time_nothing_is_trained_and_nothing_is_said(
    whole: BenchConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    def slowly(*arguments: Any, **others: Any) -> Any:
        clock.now += 100
        return load_source(*arguments, **others)

    monkeypatch.setattr(run_module, "load_source", slowly)
    config = elsewhere(whole, tmp_path / "out", max_time=50.0)
    summary = bench(config)
    assert (summary.done, summary.regimes) == (0, [])
    assert not list(config.out.glob("results*"))
    assert plan_bench(config).missing_cells == 6


# --- in parts ---


@pytest.mark.parametrize("parts", [("1/2", "2/2"), ("3/3", "1/3", "2/3")])
def test_parts_of_a_bench_make_up_the_whole(whole: BenchConfig, tmp_path: Path, parts: tuple[str, ...]) -> None:
    config, done = elsewhere(whole, tmp_path / "out"), 0
    for part in parts:
        assert not (config.out / "report.json").exists() or not read_summary(config.out).is_complete
        summary = bench(config.model_copy(update={"cells": part}))
        assert summary.done > done
        done = summary.done
    assert report_of(config) == report_of(whole)
    of = len(parts)
    assert {path.name for path in config.out.glob("results*")} == {
        f"results-{number:03d}-of-{of:03d}.jsonl" for number in range(1, of + 1)
    }
    assert len(rows(config.out)) == 6
    assert plan_bench(config).missing_cells == 0


def test_what_one_job_has_done_no_other_does(whole: BenchConfig, tmp_path: Path) -> None:
    config = elsewhere(whole, tmp_path / "out")
    bench(config.model_copy(update={"cells": "1/2"}))
    assert plan_bench(config).missing_cells == 3
    assert plan_bench(config.model_copy(update={"cells": "2/3"})).missing_cells == 1
    assert bench(config).is_complete
    assert len(rows(config.out)) == 6
    assert report_of(config) == report_of(whole)


def test_of_jobs_that_end_together_one_at_a_time_reads_results_and_writes_what_they_come_to(
    whole: BenchConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")
    held = []

    def watched(folder: Path) -> BenchSummary:
        with (folder / ".report.json.lock").open("w") as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        held.append(folder)
        return refresh_summary(folder)

    monkeypatch.setattr(run_module, "refresh_summary", watched)
    monkeypatch.setattr(write_module, "refresh_summary", watched)
    config = copied(whole, tmp_path / "out")
    bench_and_report(config)
    assert held == [config.out, config.out]  # by the bench and by its report


# --- the test images ---


def test_test_images_are_opened_and_used_once_in_each_cell(
    synthetic: Path, tmp_path: Path, splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict, predicted, opened = cells_module.predict, [], []

    class Watched(SealedTest):
        __slots__ = ()

        def open(self) -> LabelledImages:
            opened.append(self)
            return super().open()

    def counting(network: nn.Module, images: Tensor, runtime: Any, **others: Any) -> Tensor:
        predicted.append(images)
        return predict(network, images, runtime, **others)

    monkeypatch.setattr(sealed_module, "SealedTest", Watched)
    monkeypatch.setattr(cells_module, "predict", counting)
    bench(quick(synthetic, tmp_path / "out", seeds=2))
    tested = [images for images in predicted if torch.equal(images, splits.test.images)]
    assert len(tested) == len(opened) == len({id(one) for one in opened}) == 6


def test_a_cell_that_has_been_tested_gets_no_test_images_again(synthetic: Path, tmp_path: Path) -> None:
    inputs, cell = one_cell(quick(synthetic, tmp_path / "out"))
    run_cell(inputs, cell, lambda _: None)
    with pytest.raises(RuntimeError, match=f"the test images of cell {cell.key} have been handed out"):
        run_cell(inputs, cell, lambda _: None)


def test_nothing_that_trains_or_selects_can_see_a_test_image(synthetic: Path, tmp_path: Path, splits: Splits) -> None:
    [regime] = regimes_of(config := quick(synthetic, tmp_path / "out", arms=("all",), steps=40))
    inputs = CellInputs(config, config.runtime(), None)
    held_out = {image.numpy().tobytes() for image in splits.test.images}
    assert not held_out & {image.numpy().tobytes() for image in splits.validation.images}
    for arm in regime.arms:
        data = inputs.datamodule(inputs.cell(regime, "equal steps", arm, 0))
        for images in _images_within(data):
            assert not held_out & {image.cpu().numpy().tobytes() for image in images.flatten(0, -4)}, arm.name


def _images_within(value: object, seen: set[int] | None = None) -> Iterator[Tensor]:
    """All arrays of pixels that can be reached from an object."""
    seen = set() if seen is None else seen
    if id(value) in seen or isinstance(value, type | str | bytes):
        return
    seen.add(id(value))
    if isinstance(value, Tensor):
        if value.dtype == torch.uint8 and value.ndim == 4:
            yield value
        return
    parts: list[object] = []
    if isinstance(value, dict):
        parts = list(value.values())
    elif isinstance(value, list | tuple | set):
        parts = list(value)
    elif type(value).__module__.startswith("synthaug") or isinstance(value, MixedDataModule):
        parts = list(getattr(value, "__dict__", {}).values())
        for name in getattr(type(value), "__slots__", ()):
            with contextlib.suppress(AttributeError):
                parts.append(getattr(value, name))
    for part in parts:
        yield from _images_within(part, seen)


# --- equal steps ---


@pytest.mark.parametrize("taken", [1, 3])
def test_a_training_of_other_steps_never_gets_into_the_results(
    whole: BenchConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    train = cells_module.train_classifier

    def other_steps(network: nn.Module, data: Any, recipe: Any, **others: Any) -> Any:
        trained = train(network, data, recipe, **others)
        assert trained.steps == 2
        return cells_module.TrainedClassifier(trained.network, taken, trained.best_step, 0.5, trained.curve)

    monkeypatch.setattr(cells_module, "train_classifier", other_steps)
    inputs, cell = one_cell(whole)
    with pytest.raises(TrainingError, match=f"mixed took {taken} steps, where all arms take 2"):
        run_cell(inputs, cell, lambda _: None)
    outcome = workers_module.attempt(inputs, cell, lambda _: None, None)
    assert isinstance(outcome, CellFailure)
    config = elsewhere(whole, tmp_path / "out", seeds=1)
    with pytest.raises(TrainingError, match="2 of 2 trainings failed"):
        bench(config)
    assert all("failed" in row for row in rows(config.out))
