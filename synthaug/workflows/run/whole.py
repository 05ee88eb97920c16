"""Walks the whole path in the time there is: measure, train, draw, curate, bench; and says what it left out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from synthaug.core.console import log
from synthaug.core.durations import duration
from synthaug.core.errors import InputError
from synthaug.core.processes import launched_processes
from synthaug.generators.base import load_backend
from synthaug.generators.checkpoint import read_card
from synthaug.workflows.bench.statistics import MINIMUM_SEEDS
from synthaug.workflows.bench.summary import BenchSummary, RegimeSummary, SetResult
from synthaug.workflows.report import bench_and_report
from synthaug.workflows.run import stages
from synthaug.workflows.run.choosing import choose_model
from synthaug.workflows.run.covering import CORE_ARMS, MORE_ARMS, WANTED_SEEDS
from synthaug.workflows.run.deciding import classifier_recipe, decide, size_of_images, splits_of
from synthaug.workflows.run.leaving import left_out, needed_budget
from synthaug.workflows.run.planning import TRAINING, nominal_shares
from synthaug.workflows.run.record import Decisions, Ledger, RunResult
from synthaug.workflows.run.settings import RunConfig
from synthaug.workflows.run.stages import Places
from synthaug.workflows.run.words import budget_flag

_ORDER = (
    "tests on corrupted images, the arms mixed and synthetic, the curation, seeds 4 and 5, long trainings of the "
    "classifier; below 3 seeds there is no verdict"
)


@dataclass(frozen=True)
class RunPlan:
    """What a run would do.

    Attributes:
        out: Folder for all of it.
        images: Real images: train, validation, test.
        classes: Number of classes.
        image_size: Height and width that they have or get.
        resized: Why they are resized; empty if they are not.
        model: Kind of generator.
        why: Why that one.
        seconds: Seconds for each stage; as planned if it has begun, else before anything is measured.
        done: Stages that are over.
        arms: Arms of the bench, if all of them fit.
        seeds: Its paired seeds, if they fit; more if more do.
        left_out_first: What is left out if time is short, in this order.
    """

    out: Path
    images: dict[str, int]
    classes: int
    image_size: int
    resized: str
    model: str
    why: str
    seconds: dict[str, float]
    done: tuple[str, ...]
    arms: tuple[str, ...]
    seeds: int
    left_out_first: str


def plan_run(config: RunConfig) -> RunPlan:
    """What `run` would do, without measuring anything.

    Raises:
        InputError: For images or settings that it would refuse.
    """
    ledger = Ledger.open(config)
    decisions, device = ledger.record.decisions, config.runtime().device
    if config.model != "auto":
        load_backend(config.model)
    if decisions is None:
        size = size_of_images(config)
        splits, resized = splits_of(config, size.value), size.why
        side = splits.train.image_size
        chosen = choose_model(config.model, device, side, watching=0.0, training=TRAINING * config.seconds)
        model, why, shares = chosen.value, chosen.why, nominal_shares(config.seconds)
        if config.model == "auto" and model == "acgan":
            why += "; a DDPM instead if the judge that watches an ACGAN turns out to take too long here"
    else:
        splits, resized = splits_of(config, decisions.image_size), decisions.resized
        model, why, shares = decisions.model, decisions.why, decisions.plan.shares
    classifier_recipe(config, len(splits.train))
    parts = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    return RunPlan(
        out=config.out,
        images={name: len(images) for name, images in parts.items()},
        classes=len(splits.train.class_names),
        image_size=splits.train.image_size,
        resized=resized,
        model=model,
        why=why,
        seconds={name: round(seconds, 1) for name, seconds in shares.items()},
        done=ledger.record.done,
        arms=CORE_ARMS + MORE_ARMS,
        seeds=WANTED_SEEDS,
        left_out_first=_ORDER,
    )


def run(config: RunConfig) -> RunResult:
    """Find out on your own images, in the time you have, whether synthetic ones help, and get the set that does.

    Measures this machine, trains a generator, draws a set, curates it, benches classifiers with and without it, and
    says what there was no time for. The same command goes on where it was interrupted and keeps to what it decided
    before; a larger budget adds seeds and arms.

    Raises:
        InputError: For images or settings that a stage refuses, or a folder that holds something else.
        TrainingError: If a training failed; what is done is kept.
    """
    if launched_processes() != (1, 1):
        raise InputError("synthaug run is one process; start it without torchrun, or use train, generate and bench")
    ledger = Ledger.open(config)
    ledger.note()  # so that the folder is known to be a run's, whatever comes
    config.save(config.out)
    decisions = ledger.record.decisions
    if decisions is None:
        with ledger.stage("measuring", "1/5 look at the images and measure this machine"):
            decisions = decide(config)
            ledger.note(decisions=decisions)
    else:
        log(f"{config.out} goes on as it was planned: {decisions.model} ({decisions.why})")
    stages.train_generator(config, ledger, decisions)
    stages.draw_set(config, ledger, decisions)
    stages.curate_set(config, ledger, decisions)
    stages.run_bench(config, ledger, decisions)
    return _finish(config, ledger, decisions)


def _finish(config: RunConfig, ledger: Ledger, decisions: Decisions) -> RunResult:
    """Writes the report, of what was done in full, and the result."""
    places = Places(config.out)
    sets = places.sets()
    sentence, report, use = _verdict(config, ledger, decisions, sets)
    record = ledger.record
    shown = read_card(places.generator).training.images_seen
    result = RunResult(
        sentence=sentence,
        use=use,
        report=report,
        checkpoint=places.generator,
        raw=places.raw,
        curated=places.curated if places.curated in sets else None,
        model=decisions.model,
        why=decisions.why,
        left_out=left_out(record, decisions, shown=shown, sets=len(sets)),
        budget=record.budget,
        seconds=record.seconds,
    )
    ledger.note(result=result)
    log(f"{duration(sum(record.seconds.values()))} of {duration(record.budget)}")
    return result


def _verdict(
    config: RunConfig, ledger: Ledger, decisions: Decisions, sets: list[Path]
) -> tuple[str, Path | None, Path | None]:
    """The verdict in words, the report, and the set that helps most."""
    record = ledger.record
    covered, before = record.covered, record.result
    if before is not None and before.report is not None and before.report.is_file():
        return before.sentence, before.report, before.use  # the bench did nothing since
    advice = f"The same command goes on with --budget {budget_flag(needed_budget(record, decisions, len(sets)))}."
    if covered is None or not covered.seeds:
        return f"No verdict: there was no time for a single comparison. {advice}", None, None
    with ledger.stage("report", "report"):
        reported = bench_and_report(stages.bench_config(config, decisions, sets, covered))
    sentence = reported.sentence if covered.seeds >= MINIMUM_SEEDS else f"{reported.sentence} {advice}"
    return sentence, reported.report, _best(reported.summary)


def _best(summary: BenchSummary) -> Path | None:
    """The set that helps, of several the one whose classifiers validate best; None if none does."""
    helping = [(regime, one) for regime in summary.regimes for one in regime.sets if one.verdict == "helps"]

    def validated(entry: tuple[RegimeSummary, SetResult]) -> float:
        regime, one = entry
        return regime.arm(one.gain.arm).validation_accuracy

    return Path(max(helping, key=validated)[1].where) if helping else None
