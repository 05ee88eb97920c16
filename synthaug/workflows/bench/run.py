"""Runs the bench cell by cell; interrupted, it continues with the next missing cell."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthaug.core.console import log
from synthaug.core.errors import TrainingError
from synthaug.core.runtime import processors
from synthaug.core.storage import one_at_a_time
from synthaug.data.sources import load_source
from synthaug.data.splits import Splits
from synthaug.workflows.bench.cells import Cell
from synthaug.workflows.bench.generators import check_generators, is_finished, made_sets, make_sets
from synthaug.workflows.bench.live import Progress, live
from synthaug.workflows.bench.pictures import pictures_folder, write_pictures
from synthaug.workflows.bench.power import Power, foreseen, in_words, presumed
from synthaug.workflows.bench.regimes import check_given, checked_arms, split_by_fractions
from synthaug.workflows.bench.results import CellFailure, Results, append_row, read_results, results_file
from synthaug.workflows.bench.sets import SyntheticSet, set_names
from synthaug.workflows.bench.settings import BenchConfig
from synthaug.workflows.bench.study import Study, check_bench_folder, has_second_view
from synthaug.workflows.bench.summarise import refresh_summary
from synthaug.workflows.bench.summary import SUMMARY_NAME, BenchSummary
from synthaug.workflows.bench.workers import Outcome, attempt, run_together

#: Seconds of work below which processes of their own, which have to begin, are not worth it: of 35 they lose a quarter
#: on two processors (benchmarks/bench_bench.py).
_WORTH_PROCESSES = 90.0
#: A cell is begun if so many times the mean time of the others is left.
_MARGIN = 1.15


@dataclass(frozen=True)
class BenchPlan:
    """What a bench would do.

    Attributes:
        arms: Names of the arms, of all numbers of real images.
        regimes: Optimiser steps of every training by number of real images.
        cells: Trainings in all.
        missing_cells: Trainings still to be done.
        power: What it could find, by number of real images.
        generators: Sets that would be made first, with their generators.
        settings: What all trainings share; nothing while sets are still to be made.
    """

    arms: tuple[str, ...]
    regimes: dict[str, int]
    cells: int
    missing_cells: int
    power: dict[str, Power]
    generators: tuple[str, ...]
    settings: dict[str, Any]


def plan_bench(config: BenchConfig) -> BenchPlan:
    """What `bench` would do, and how small a gain it could find, without doing it.

    Raises:
        InputError: For anything that `bench` would refuse.
    """
    config.check()
    splits = split_by_fractions(config, load_source(config.data, image_size=config.image_size))
    sets = made_sets(config, splits)
    given = check_given(config, splits)
    if unmade := _unmade(sets):
        return _plan_of_generators(config, splits, given, unmade)
    study = Study.of(config, splits, given, sets)
    results = _results(config, study)
    arms = dict.fromkeys(arm.name for regime in study.regimes for arm in regime.arms)
    return BenchPlan(
        arms=tuple(arms),
        regimes={regime.name: regime.recipe.steps or 0 for regime in study.regimes},
        cells=len(study.cells),
        missing_cells=len(_missing(config, study, results)),
        power={regime.name: foreseen(regime, results.done, config.seeds) for regime in study.record.regimes},
        generators=(),
        settings=study.record.settings,
    )


def _unmade(sets: dict[str, list[Path]]) -> tuple[str, ...]:
    return tuple(str(one) for made in sets.values() for one in made if not is_finished(one))


def _plan_of_generators(
    config: BenchConfig,
    splits: dict[str, tuple[float | None, Splits]],
    given: list[SyntheticSet],
    unmade: tuple[str, ...],
) -> BenchPlan:
    """The plan while some sets are not there yet; refuses what would be refused once they are."""
    check_generators(config, splits)
    kinds = [name.partition("/")[0] for name in config.generator_per_fraction]
    names = set_names([*(one.name for one in given), *kinds], [*(one.where for one in given), *kinds])
    arms = checked_arms(config, names)
    recipe = config.resolved_recipe()
    again = [arm for arm in arms if has_second_view(arm, config)] if config.equal_epochs else []
    cells = len(splits) * config.seeds * (len(arms) + len(again))
    return BenchPlan(
        arms=tuple(arm.name for arm in arms),
        regimes={name: recipe.sized(len(parts.train)).steps or 0 for name, (_, parts) in splits.items()},
        cells=cells,
        missing_cells=cells,
        power={name: presumed(len(parts.test), config.seeds, len(names)) for name, (_, parts) in splits.items()},
        generators=unmade,
        settings={},
    )


def bench(config: BenchConfig, *, was_planned: bool = False) -> BenchSummary:
    """Measures the test accuracy gained by mixing synthetic sets into training, over real-only training.

    Every cell is one arm with one seed and one number of real images; all with the same number of real images take the
    same steps. Finished cells are kept in results.jsonl, so that the same settings go on from there.

    Args:
        config: The settings.
        was_planned: Whether it was settled, before there were results, that the bench would get these seeds and arms,
            and lose again what there is no time for; else the report says that results could have had a say in it.

    Returns:
        What is known now: everything, unless `max_time` or `cells` left some to other runs.

    Raises:
        InputError: For impossible settings, a leaking or foreign set, or a folder with another bench.
        DamageError: If a shard set is damaged.
        TrainingError: If a training failed, or time ended before all sets were made; what is done is kept, and the next
            run goes on.
    """
    config.check()
    deadline = None if config.max_time is None else time.monotonic() + config.max_time
    splits = split_by_fractions(config, load_source(config.data, image_size=config.image_size))
    given = check_given(config, splits)
    if unmade := _unmade(made_sets(config, splits)):
        _plan_of_generators(config, splits, given, unmade)  # not after an hour of training them
        check_bench_folder(config.out)
    sets = make_sets(config, splits, deadline)
    study = Study.of(config, splits, given, sets, was_planned=was_planned)
    study.record.write(config.out)
    config.lasting().save(config.out)
    for number, regime in enumerate(study.regimes):
        folder = pictures_folder(config.out, number, len(study.regimes))
        write_pictures(folder, regime.splits.train, [one.images for one in regime.sets])
    _run_missing(study, config, deadline)
    with one_at_a_time(config.out / SUMMARY_NAME):  # or another job, which knew less, might write last
        summary = refresh_summary(config.out)
    mine, failures = {cell.key for cell in _share(config, study)}, _results(config, study).failed
    if failed := [failure for key, failure in failures.items() if key in mine]:
        raise TrainingError(
            f"{len(failed)} of {summary.cells} trainings failed ({failed[0].arm}, seed {failed[0].seed}: "
            f"{failed[0].failed}); the others are kept, and the same command tries these again"
        )
    return summary


def _results(config: BenchConfig, study: Study) -> Results:
    return read_results(config.out, study.record.cells)


def _share(config: BenchConfig, study: Study) -> list[Cell]:
    """The cells that this job is for."""
    number, of = config.share()
    return study.cells[number - 1 :: of]


def _missing(config: BenchConfig, study: Study, results: Results) -> list[Cell]:
    return [cell for cell in _share(config, study) if cell.key not in results.done]


def _run_missing(study: Study, config: BenchConfig, deadline: float | None) -> None:
    results = _results(config, study)
    missing, jobs = _missing(config, study, results), _jobs(config, study)
    steps = ", ".join(f"{regime.recipe.steps} ({regime.name})" for regime in study.regimes)
    log(
        f"bench: {len(missing)} of {len(study.cells)} trainings to do, {jobs} at once; "
        f"{study.regimes[0].recipe.batch_size} images a step, steps: {steps}"
    )
    if not missing:
        return
    for regime in study.record.regimes:
        log(in_words(regime.name, foreseen(regime, results.done, config.seeds)))
    file, progress = results_file(config.out, *config.share()), Progress(missing, results.done, jobs)

    def end(cell: Cell, outcome: Outcome) -> None:
        if outcome is not None:
            append_row(file, outcome)
        progress.end(cell, outcome)
        if isinstance(outcome, CellFailure):
            log(f"failed: {outcome.arm}, seed {outcome.seed}: {outcome.failed}")

    def may_begin() -> bool:
        each = progress.seconds_per_cell() or 0.0
        return deadline is None or time.monotonic() + _MARGIN * each < deadline

    with live(progress):
        _run(study, missing, jobs, config.jobs is not None, end, progress, deadline, may_begin)


def _run(
    study: Study,
    missing: Sequence[Cell],
    jobs: int,
    is_asked: bool,
    end: Callable[[Cell, Outcome], None],
    progress: Progress,
    deadline: float | None,
    may_begin: Callable[[], bool],
) -> None:
    """One cell here first, to see how long they take, unless so many processes were asked for; then the others."""
    waiting = list(missing)
    while waiting and may_begin():
        each = progress.seconds_per_cell()
        is_worth_it = each is not None and each * len(waiting) > _WORTH_PROCESSES
        if jobs > 1 and len(waiting) > 1 and (is_asked or is_worth_it):
            run_together(study.inputs, waiting, jobs, end, progress.step, deadline, may_begin)
            return
        cell = waiting.pop(0)
        end(cell, attempt(study.inputs, cell, functools.partial(progress.step, cell), deadline))


def _jobs(config: BenchConfig, study: Study) -> int:
    if config.jobs is not None:
        return config.jobs
    return 1 if study.inputs.runtime.device == "cuda" else max(1, processors() // config.threads)
