"""What all benchmarks share: interleaved timing, and one form of result file."""

from __future__ import annotations

import json
import random
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
from synthaug.workflows.bench import BenchSummary

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


def study_figures(summary: BenchSummary) -> dict[str, float]:
    """What a bench came to, as flat figures; those of a set begin with its name if there are several."""
    figures = {
        "real_training_images": summary.counts["train"],
        "validation_images": summary.counts["validation"],
        "seeds": len(summary.seeds),
        "classifier_steps": summary.steps,
        **{f"{arm.name}_test_accuracy_percent": round(arm.test_accuracy.mean, 2) for arm in summary.arms},
    }
    for one in summary.sets:
        prefix, gain, cost = _prefix(summary, one.name), one.gain.difference, one.cost
        figures |= {
            f"{prefix}synthetic_images": one.images,
            f"{prefix}label_fidelity_percent": round(one.label_fidelity, 2),
            f"{prefix}gain_points": round(gain.mean, 2),
            f"{prefix}training_seconds": round(one.training_seconds, 1),
        }
        if gain.low is not None and gain.high is not None:
            figures |= {f"{prefix}gain_low": round(gain.low, 2), f"{prefix}gain_high": round(gain.high, 2)}
        if cost is not None:
            figures[f"{prefix}drawn_images_per_second"] = round(cost.images_per_second, 1)
        if one.quality is not None:
            figures |= {f"{prefix}{name}": round(value, 4) for name, value in asdict(one.quality).items()}
    return figures


def study_runs(summary: BenchSummary) -> dict[str, Any]:
    """The verdicts of a bench, and the accuracy of each seed."""
    verdicts = {f"{_prefix(summary, one.name)}verdict": one.verdict for one in summary.sets}
    return {**verdicts, "per_seed": {arm.name: arm.per_seed for arm in summary.arms}}


def _prefix(summary: BenchSummary, name: str) -> str:
    return "" if len(summary.sets) == 1 else f"{name}_"


def write_result(name: str, method: str, figures: Mapping[str, float], runs: Any) -> None:
    """Writes results/NAME.json with the environment, and prints the figures."""
    RESULTS.mkdir(exist_ok=True)
    result = {"environment": environment(), "method": method, "figures": dict(figures), "runs": runs}
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    for figure, value in figures.items():
        print(f"{figure}: {value}")
