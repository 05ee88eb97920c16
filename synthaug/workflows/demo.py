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
_PER_CLASS_SYNTHETIC = 200
_SEEDS = 5


class DemoConfig(WorkflowConfig):
    """Settings of `synthaug demo`; the field descriptions are the help texts."""

    out: Path = Field(
        Path("demo"), description="Folder for checkpoint, shards and report; an unfinished demo there is continued."
    )


@dataclass(frozen=True)
class DemoPlan:
    """What the demo would do.

    Attributes:
        train: Settings of the training.
        generate: Settings of the generation.
        bench: Settings of the bench.
    """

    train: TrainConfig
    generate: GenerateConfig
    bench: BenchConfig


@dataclass(frozen=True)
class DemoResult:
    """What the demo made.

    Attributes:
        sentence: The verdict in words.
        label_fidelity: Share of synthetic digits recognised as their label, in percent.
        seconds: Time for all of it.
        checkpoint: The generator.
        synthetic: The shard set.
        report: The report.
    """

    sentence: str
    label_fidelity: float
    seconds: float
    checkpoint: Path
    synthetic: Path
    report: Path


def plan_demo(config: DemoConfig) -> DemoPlan:
    """The settings of every step of the demo."""
    check_folder(config.out, marker="generator", kind="demo")
    common = {"seed": config.seed, "device": config.device, "precision": config.precision}
    data = {"data": "digits", "per_class_real": PER_CLASS_REAL}
    generator, synthetic = config.out / "generator", config.out / "synthetic"
    return DemoPlan(
        train=TrainConfig.resolve({**common, **data, "model": "ddpm", "out": generator, "resume": "auto"}),
        generate=GenerateConfig.resolve(
            {**common, "model": str(generator), "per_class": _PER_CLASS_SYNTHETIC, "out": synthetic}
        ),
        bench=BenchConfig.resolve(
            {**common, **data, "synthetic": synthetic, "seeds": _SEEDS, "out": config.out / "bench"}
        ),
    )


def demo(config: DemoConfig) -> DemoResult:
    """Walk the whole path on scikit-learn's digits: train a generator, generate, bench, report.

    Raises:
        InputError: If the folder holds something else.
    """
    started = time.monotonic()
    plan = plan_demo(config)
    log(f"1/3 train a class-conditional DDPM on {PER_CLASS_REAL} labelled digits of each class")
    if (plan.train.out / CARD_NAME).is_file():
        log(f"already trained: {plan.train.out}")
    train(plan.train)
    log(f"2/3 generate {_PER_CLASS_SYNTHETIC} digits of each class")
    generate(plan.generate)
    log("3/3 bench: what are they worth to a classifier?")
    result = bench_and_report(plan.bench)
    return DemoResult(
        sentence=result.sentence,
        label_fidelity=result.summary.label_fidelity,
        seconds=round(time.monotonic() - started, 1),
        checkpoint=plan.train.out,
        synthetic=Path(plan.generate.out),
        report=result.report,
    )
