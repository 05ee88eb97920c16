"""The stages of a run: each takes what the one before made, and does nothing twice."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from synthaug.core.console import log
from synthaug.core.durations import duration
from synthaug.core.errors import InputError, TrainingError
from synthaug.generators.checkpoint import CARD_NAME
from synthaug.shards.manifest import MANIFEST_NAME
from synthaug.workflows.bench import BenchConfig, BenchSummary, bench
from synthaug.workflows.bench.costs import read_costs
from synthaug.workflows.bench.summary import SUMMARY_NAME, read_summary
from synthaug.workflows.curate import CurateConfig, curate
from synthaug.workflows.run.covering import CORE_ARMS, RESERVE, Covered, cells_of, extension, first_coverage
from synthaug.workflows.run.planning import make_plan
from synthaug.workflows.run.record import Decisions, Ledger
from synthaug.workflows.run.settings import RunConfig
from synthaug.workflows.synthesize import GenerateConfig, generate
from synthaug.workflows.train import TrainConfig, train

#: Seconds that reports and the like take at least.
_LEAST_RESERVE = 2.0


@dataclass(frozen=True)
class Places:
    """Where everything of a run is.

    Attributes:
        out: Folder of the run.
    """

    out: Path

    @property
    def generator(self) -> Path:
        """The checkpoint."""
        return self.out / "generator"

    @property
    def raw(self) -> Path:
        """The set as it is drawn."""
        return self.out / "synthetic"

    @property
    def curated(self) -> Path:
        """The curated set."""
        return self.out / "curated"

    @property
    def bench(self) -> Path:
        """The bench with its report."""
        return self.out / "bench"

    def sets(self) -> list[Path]:
        """The synthetic sets that there are."""
        return [folder for folder in (self.raw, self.curated) if (folder / MANIFEST_NAME).is_file()]


def train_generator(config: RunConfig, ledger: Ledger, decisions: Decisions) -> None:
    """Trains the generator for its share of the time.

    Raises:
        TrainingError: If the training goes wrong before there is anything to keep.
    """
    out, plan = Places(config.out).generator, decisions.plan
    if "training" in ledger.record.done and (out / CARD_NAME).is_file():
        log(f"already trained: {out}")
        return
    before = max(0.0, ledger.spent("training") - decisions.rates.watching)
    settings = TrainConfig.resolve(
        {
            **config.common(),
            **config.real_images(decisions.image_size),
            "model": decisions.model,
            "preset": decisions.preset,
            "images": plan.images,
            "max_time": max(1.0, plan.training - before),
            "out": out,
            "resume": "auto",
        }
    )
    with ledger.stage("training", f"2/5 train the generator, {decisions.model}"):
        try:
            train(settings)
        except TrainingError as error:
            if not (out / CARD_NAME).is_file():
                raise
            ledger.remark("training", f"ended early, with the best weights there were: {error}")


def draw_set(config: RunConfig, ledger: Ledger, decisions: Decisions) -> None:
    """Draws the set."""
    places, per_class = Places(config.out), decisions.plan.per_class
    if "drawing" in ledger.record.done and (places.raw / MANIFEST_NAME).is_file():
        log(f"already drawn: {places.raw}")
        return
    settings = GenerateConfig.resolve(
        {
            **config.common(),
            "model": str(places.generator),
            "per_class": per_class,
            "guidance": decisions.guidance,
            "out": str(places.raw),
        }
    )
    with ledger.stage("drawing", f"3/5 draw {per_class:,} images of each class"):
        generate(settings)


def curate_set(config: RunConfig, ledger: Ledger, decisions: Decisions) -> None:
    """Curates the set if there is time for that and for three seeds of the bench with both sets."""
    places = Places(config.out)
    if "curation" in ledger.record.done:
        if (places.curated / MANIFEST_NAME).is_file():
            log(f"already curated: {places.curated}")
        return
    if reason := _no_curation(ledger, decisions):
        if "curation" not in ledger.record.remarks:
            ledger.remark("curation", reason)
        return
    settings = CurateConfig.resolve(
        {
            **config.common(),
            "folder": str(places.raw),
            "out": str(places.curated),
            "reference": config.data,
            "image_size": decisions.image_size,
            "flip": config.flip,
            "split_seed": config.split_seed,
            "judge_steps": decisions.judge_steps,
        }
    )
    with ledger.stage("curation", "4/5 curate: remove what is mislabelled, repeated or copied"):
        try:
            result = curate(settings)
            log(f"kept {result.images:,} of {result.of:,} images")
            ledger.note(remarks={key: text for key, text in ledger.record.remarks.items() if key != "curation"})
        except InputError as error:  # nothing is left, for example; the set as it was drawn can be judged all the same
            ledger.remark("curation", str(error))


def _no_curation(ledger: Ledger, decisions: Decisions) -> str:
    """Why there is no time for a curation; nothing if there is."""
    planned, record = decisions.plan, ledger.record
    takes = duration(planned.curation)
    measuring = planned.shares["measuring"]
    if not make_plan(record.budget, measuring, decisions.rates, decisions.facts).is_curated:
        return f"judging the set would have taken {takes}, and paired seeds come first"
    pace = record.pace or planned.cell / decisions.rates.jobs
    wanted = first_coverage(record.covered, 2) or record.covered
    missing = 0 if wanted is None else wanted.cells - (0 if record.covered is None else record.covered.cells)
    left = ledger.left() - reserve_of(record.budget)
    if planned.curation + missing * pace > left:
        return f"judging the set would have taken {takes} of the {duration(left)} left, which the bench needs"
    return ""


def reserve_of(budget: float) -> float:
    """Seconds kept back for the report."""
    return max(_LEAST_RESERVE, RESERVE * budget)


def run_bench(config: RunConfig, ledger: Ledger, decisions: Decisions) -> None:
    """Three seeds first, then more seeds and arms while they fit; what has not been done in full does not count.

    How much fits depends on time only, and not on what was found so far.
    """
    sets = Places(config.out).sets()
    target = _next(ledger, decisions, len(sets))
    if target is None:
        return
    with ledger.stage("bench", "5/5 bench: what are the images worth to a classifier?"):
        while target is not None:
            if not _cover(config, ledger, decisions, sets, target):
                break
            target = _next(ledger, decisions, len(sets))


def _next(ledger: Ledger, decisions: Decisions, sets: int) -> Covered | None:
    record = ledger.record
    left = ledger.left() - reserve_of(record.budget)
    pace = record.pace or decisions.plan.cell / decisions.rates.jobs
    first = first_coverage(record.covered, sets)
    if first is not None or record.covered is None:
        return first if left > cells_of(CORE_ARMS, 1) * pace else None  # a seed at least
    return extension(record.covered, left, pace)


def _cover(config: RunConfig, ledger: Ledger, decisions: Decisions, sets: list[Path], target: Covered) -> bool:
    """Runs the bench towards a target; False if it was not reached."""
    out, before = Places(config.out).bench, ledger.record.covered
    log(f"{target.seeds} paired seeds of {', '.join(target.arms)}")
    already = read_summary(out).done if (out / SUMMARY_NAME).is_file() else 0
    began, left = time.monotonic(), ledger.left() - reserve_of(ledger.record.budget)
    settings = bench_config(config, decisions, sets, target, max_time=max(1.0, left))
    # Time decides how far this run goes on; a run that goes on from a verdict was started by somebody who knows it.
    summary = bench(settings, was_planned=ledger.record.result is None)
    seconds, done = time.monotonic() - began, summary.done - already
    whole = whole_seeds(summary, target, config.seed)
    covered = target.model_copy(update={"seeds": whole})
    if before is not None and whole < before.seeds:  # new arms or sets that time was too short for
        covered = before
    ledger.note(covered=covered, pace=_pace(out, summary, seconds, done) or ledger.record.pace, result=None)
    return covered == target


def _pace(out: Path, summary: BenchSummary, seconds: float, done: int) -> float | None:
    """Seconds of a training by the clock; None if none was done.

    By the clock it is no longer than what a training took in its own process, where some were begun in vain.
    """
    return min(seconds / done, read_costs(out).seconds / summary.done) if done > 0 else None


def bench_config(
    config: RunConfig, decisions: Decisions, sets: list[Path], covered: Covered, *, max_time: float | None = None
) -> BenchConfig:
    """The bench that covers so much."""
    return BenchConfig.resolve(
        {
            **config.common(),
            **config.real_images(decisions.image_size),
            "synthetic": [str(folder) for folder in sets[: covered.sets]],
            "arms": list(covered.arms),
            "seeds": max(1, covered.seeds),
            "recipe": config.recipe,
            "steps": decisions.plan.steps,
            "robustness": decisions.plan.robustness,
            "max_time": max_time,
            "out": Places(config.out).bench,
        }
    )


def whole_seeds(summary: BenchSummary, target: Covered, first: int) -> int:
    """How many seeds, from the first on, are done with all arms."""
    if not summary.regimes or len(summary.regimes[0].arms) < cells_of(target.arms, target.sets):
        return 0
    done = set.intersection(*(set(arm.seeds) for arm in summary.regimes[0].arms))
    return next((number for number in range(target.seeds) if first + number not in done), target.seeds)
