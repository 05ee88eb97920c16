"""What all benchmarks share: interleaved timing, and one form of result file."""

from __future__ import annotations

import json
import random
import shutil
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from synthaug.core.runtime import environment
from synthaug.core.seeding import SampleNoise
from synthaug.core.types import LabelledImages, SplitRecord
from synthaug.data.splits import Splits
from synthaug.generators.acgan.watch import diversity
from synthaug.generators.base import Generator, SamplerSettings
from synthaug.shards.plan import GeneratorRecord, SetPlan
from synthaug.workflows.bench import BenchSummary, RegimeSummary, SetResult, read_summary
from synthaug.workflows.bench.costs import RegimeCosts, SetCosts, read_costs

RESULTS = Path(__file__).parent / "results"


def interleaved(
    actions: Mapping[str, Callable[[], object]], rounds: int, *, is_shuffled: bool = False
) -> dict[str, list[float]]:
    """Seconds of each action in each of `rounds` rounds, after one round that is not counted.

    All actions run once in every round, so that a machine whose speed drifts slows all of them; in their order, or in a
    random one in each round if `is_shuffled`, as what ran before leaves its traces in caches.
    """
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for round_number in range(rounds + 1):
        order = list(actions)
        if is_shuffled:
            random.Random(round_number).shuffle(order)  # noqa: S311 - no secret
        for name in order:
            started = time.perf_counter()
            actions[name]()
            if round_number > 0:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def ratio(slow: list[float], fast: list[float]) -> float:
    """Median over rounds of slow time / fast time: above 1 if `fast` is faster."""
    return round(statistics.median(first / second for first, second in zip(slow, fast, strict=True)), 3)


def rate(images: int, seconds: list[float]) -> float:
    """Images per second at the median time."""
    return round(images / statistics.median(seconds), 1)


def unmade_plan(count: int, *, size: int, channels: int, shard_size: int) -> SetPlan:
    """The plan of a set of ten classes that no network makes."""
    split = SplitRecord(
        source="benchmark",
        source_fingerprint="0" * 64,
        seed=0,
        class_counts=(1,) * 10,
        train_fingerprint="0" * 64,
        held_out_fingerprint="0" * 64,
    )
    generator = GeneratorRecord(
        model="noise",
        checkpoint="0" * 64,
        preset="none",
        parameters=0,
        images_seen=0,
        training_seconds=0.0,
        image_size=size,
        channels=3 if channels == 3 else 1,
        allows_flip=True,
        split=split,
        ancestors=(),
        sampling_version=1,
    )
    return SetPlan(
        generator=generator,
        sampler="none",
        steps=1,
        guidance=1.0,
        guidance_interval=None,
        truncation=None,
        precision="fp32",
        compiled=False,
        seed=0,
        class_names=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        classes=tuple(range(10)),
        per_class=count // 10,
        shard_size=shard_size,
        batch_size=250,
        image_format="png",
    )


def draw(
    generator: Generator, settings: SamplerSettings, count: int, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Images of all classes in turn, and their labels."""
    classes = len(generator.spec.class_names)
    samples = [(i % classes, i // classes) for i in range(count)]
    parts = []
    for start in range(0, count, 250):
        some = samples[start : start + 250]
        labels = torch.tensor([label for label, _ in some])
        parts.append(generator.sample(labels, SampleNoise(seed, some, generator.spec.noise_shape), settings))
    return torch.cat(parts), torch.tensor([label for label, _ in samples])


def unseen_images(splits: Splits) -> LabelledImages:
    """What a generator trained on these splits has not seen: validation and test images together."""
    parts = (splits.validation, splits.test)
    images, labels = (
        torch.cat(list(each)) for each in zip(*((part.images, part.labels) for part in parts), strict=True)
    )
    return LabelledImages.of(images, labels, splits.test.class_names, "validation and test images")


def within_class_diversity(images: torch.Tensor, labels: torch.Tensor) -> float:
    """Mean root-mean-square difference between two images of one class, of at most 1000 each; the mean over classes."""
    classes = labels.unique().tolist()
    return sum(diversity(images[labels == label][:1000]) for label in classes) / len(classes)


def study_figures(folder: Path) -> dict[str, float]:
    """What the bench in a folder came to, as flat figures.

    Those of a number of real images begin with it if there are several, those of a set with its name likewise.
    """
    summary, costs = read_summary(folder), read_costs(folder)
    figures: dict[str, float] = {"seeds": len(summary.seeds), "all_trainings_seconds": costs.seconds}
    for regime, took in zip(summary.regimes, costs.regimes, strict=True):
        prefix = regime_prefix(summary, regime)
        figures |= {f"{prefix}{key}": value for key, value in _regime_figures(regime, took).items()}
    return figures


def regime_prefix(summary: BenchSummary, regime: RegimeSummary) -> str:
    """What the figures of a number of real images begin with."""
    name = regime.name.replace("%", "percent").replace(" ", "_")
    return "" if len(summary.regimes) == 1 else f"at_{name}_"


def _regime_figures(regime: RegimeSummary, costs: RegimeCosts) -> dict[str, float]:
    figures: dict[str, float] = {
        "real_training_images": regime.counts["train"],
        "validation_images": regime.counts["validation"],
        "classifier_steps": regime.steps,
    }
    for arm in regime.arms:
        figures[f"{arm.name}_test_accuracy_percent"] = round(arm.test_accuracy.mean, 2)
        if arm.corrupted_accuracy is not None:
            figures[f"{arm.name}_corrupted_accuracy_percent"] = round(arm.corrupted_accuracy.mean, 2)
    for one in regime.sets:
        found = _set_figures(one, costs.sets[one.name])
        figures |= {f"{_prefix(regime, one.name)}{key}": value for key, value in found.items()}
    return figures


def _set_figures(one: SetResult, costs: SetCosts) -> dict[str, float]:
    gain = one.gain
    figures = {
        "synthetic_images": one.images,
        "label_fidelity_percent": round(one.label_fidelity, 2),
        "gain_points": round(gain.difference.mean, 2),
        "training_seconds": round(costs.generator, 1),
    }
    if gain.difference.low is not None and gain.difference.high is not None:
        figures |= {"gain_low": round(gain.difference.low, 2), "gain_high": round(gain.difference.high, 2)}
    if gain.beyond is not None:
        figures |= {"gain_beyond_low": round(gain.beyond.low, 2), "gain_beyond_high": round(gain.beyond.high, 2)}
    if one.worth is not None:
        figures["worth_images_per_class"] = round(one.worth.images_per_class, 1)
    if costs.sampling:
        figures["drawn_images_per_second"] = round(one.images / costs.sampling, 1)
    if one.quality is not None:
        figures |= {name: round(value, 4) for name, value in asdict(one.quality).items()}
    return figures


def study_runs(summary: BenchSummary) -> dict[str, Any]:
    """The verdicts of a bench, what they were taken from, and accuracies: of each seed, and on validation images."""
    runs: dict[str, Any] = {"per_seed": {}, "validation": {}}
    for regime in summary.regimes:
        prefix = regime_prefix(summary, regime)
        runs[f"{prefix}sets"] = [one.name for one in regime.sets]
        for one in regime.sets:
            runs[f"{prefix}{_prefix(regime, one.name)}verdict"] = one.verdict
            runs[f"{prefix}{_prefix(regime, one.name)}gain_is"] = one.gain.name
        runs["per_seed"] |= {f"{prefix}{arm.name}": arm.per_seed for arm in regime.arms}
        runs["validation"] |= {f"{prefix}{arm.name}": round(arm.validation_accuracy, 2) for arm in regime.arms}
    return runs


def _prefix(regime: RegimeSummary, name: str) -> str:
    return "" if len(regime.sets) == 1 else f"{name}_"


def copy_report(bench: Path, out: Path) -> None:
    """Copies the report of a bench, with what it is written again from and its pictures."""
    out.mkdir(parents=True, exist_ok=True)
    for name in ("report.html", "report.md", "report.json", "costs.json", "config.yaml", "provenance.json"):
        if (bench / name).is_file():  # a kill may have come before
            shutil.copyfile(bench / name, out / name)
    for picture in bench.rglob("*.png"):
        (out / picture.relative_to(bench)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(picture, out / picture.relative_to(bench))


def write_result(name: str, method: str, figures: Mapping[str, float], runs: Any, *, folder: Path = RESULTS) -> None:
    """Writes NAME.json with the environment into the folder of results, and prints the figures."""
    folder.mkdir(parents=True, exist_ok=True)
    result = {"environment": environment(), "method": method, "figures": dict(figures), "runs": runs}
    (folder / f"{name}.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    for figure, value in figures.items():
        print(f"{figure}: {value}")
