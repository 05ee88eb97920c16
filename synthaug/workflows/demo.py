"""The whole path on the embedded digits, in a few minutes on two CPU cores."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from synthaug.core.console import log
from synthaug.core.storage import check_folder
from synthaug.generators.checkpoint import CARD_NAME
from synthaug.workflows.bench import BenchConfig
from synthaug.workflows.config import WorkflowConfig
from synthaug.workflows.report import bench_and_report
from synthaug.workflows.synthesize import GenerateConfig, generate
from synthaug.workflows.train import TrainConfig, train

#: Labelled images per class that the demo pretends to own; chosen so that there is something to gain.
PER_CLASS_REAL = 20
#: The generators that it compares, each with a folder of its name.
MODELS = ("ddpm", "acgan")
_PER_CLASS_SYNTHETIC = 200
_SEEDS = 5
_ARMS = ("real", "real+classic", "mixed+classic")


class DemoConfig(WorkflowConfig):
    """Settings of `synthaug demo`; the field descriptions are the help texts."""

    out: Path = Field(
        Path("demo"), description="Folder for checkpoints, shards and report; an unfinished demo there is continued."
    )


@dataclass(frozen=True)
class DemoPlan:
    """What the demo would do.

    Attributes:
        train: Settings of each generator's training.
        generate: Settings of each generation.
        bench: Settings of the bench, which compares the sets.
    """

    train: tuple[TrainConfig, ...]
    generate: tuple[GenerateConfig, ...]
    bench: BenchConfig


@dataclass(frozen=True)
class DemoResult:
    """What the demo made.

    Attributes:
        sentence: The verdict on each synthetic set, in words.
        label_fidelity: Share of each set's digits recognised as their label, in percent.
        seconds: Time for all of it.
        checkpoints: The generators.
        synthetic: The shard sets.
        report: The report.
    """

    sentence: str
    label_fidelity: dict[str, float]
    seconds: float
    checkpoints: dict[str, Path]
    synthetic: dict[str, Path]
    report: Path


def plan_demo(config: DemoConfig) -> DemoPlan:
    """The settings of every step of the demo."""
    check_folder(config.out, marker=MODELS[0], kind="demo")
    common = {"seed": config.seed, "device": config.device, "precision": config.precision}
    data = {"data": "digits", "per_class_real": PER_CLASS_REAL}
    trainings, generations = [], []
    for model in MODELS:
        generator, synthetic = config.out / model / "generator", config.out / model / "synthetic"
        trainings.append(TrainConfig.resolve({**common, **data, "model": model, "out": generator, "resume": "auto"}))
        generations.append(
            GenerateConfig.resolve(
                {**common, "model": str(generator), "per_class": _PER_CLASS_SYNTHETIC, "out": synthetic}
            )
        )
    sets = [generation.out for generation in generations]
    bench = BenchConfig.resolve(
        {**common, **data, "synthetic": sets, "seeds": _SEEDS, "arms": _ARMS, "out": config.out / "bench"}
    )
    return DemoPlan(tuple(trainings), tuple(generations), bench)


def demo(config: DemoConfig) -> DemoResult:
    """Walk the whole path on scikit-learn's digits: train two generators, generate, bench, report.

    Raises:
        InputError: If the folder holds something else.
    """
    started = time.monotonic()
    plan = plan_demo(config)
    log(f"1/3 train a DDPM and an ACGAN on {PER_CLASS_REAL} labelled digits of each class")
    for training in plan.train:
        if (training.out / CARD_NAME).is_file():
            log(f"already trained: {training.out}")
        train(training)
    log(f"2/3 generate {_PER_CLASS_SYNTHETIC} digits of each class with both")
    for generation in plan.generate:
        generate(generation)
    log("3/3 bench: what are they worth to a classifier?")
    result = bench_and_report(plan.bench)
    return DemoResult(
        sentence=result.sentence,
        label_fidelity={one.name: one.label_fidelity for one in result.summary.regimes[0].sets},
        seconds=round(time.monotonic() - started, 1),
        checkpoints={training.model: training.out for training in plan.train},
        synthetic={
            training.model: Path(generation.out) for training, generation in zip(plan.train, plan.generate, strict=True)
        },
        report=result.report,
    )
