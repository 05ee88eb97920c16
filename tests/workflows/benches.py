"""Small benches, the sets for them, and cells without any training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from synthaug.classifiers.validation import CurvePoint
from synthaug.core.folders import folder_at
from synthaug.core.types import SplitRecord
from synthaug.data.sources import load_source
from synthaug.data.splits import Splits, make_splits
from synthaug.metrics.agreement import Agreement
from synthaug.shards.finish import finish_set
from synthaug.shards.manifest import write_plan
from synthaug.shards.writer import encode_images, write_shard
from synthaug.workflows.bench import BenchConfig, BenchSummary
from synthaug.workflows.bench.arms import arms_of
from synthaug.workflows.bench.cells import CellResult
from synthaug.workflows.bench.quality import Quality
from synthaug.workflows.bench.summarise import summarise
from synthaug.workflows.bench.summary import SetFacts
from tests.conftest import plan_of, write_shard_set

DIGITS = tuple("0123456789")


def settings(synthetic: Path | list[Path], out: Path, **others: Any) -> BenchConfig:
    """A bench of a few steps on five digits of each class."""
    few = {"per_class_real": 5, "seeds": 1, "steps": 2, "batch_size": 4, "device": "cpu", "precision": "fp32"}
    return BenchConfig.resolve({**few, "synthetic": synthetic, "out": out, **others})


def planted(synthetic: Path | list[Path], out: Path, network: str, **others: Any) -> BenchConfig:
    """A bench that is long enough for a perceptron to learn."""
    enough = {"seeds": 3, "steps": 300, "batch_size": 32, "optimiser": "adam", "learning_rate": 0.01}
    return settings(synthetic, out, network=network, **{**enough, **others})


def write_images_as_set(folder: Path, pixels_by_class: list[Tensor], split: SplitRecord, **others: Any) -> Path:
    """A finished shard set of the given grey 8x8 images, as many of each class; `split` is what their maker saw."""
    plan = plan_of(
        split=split,
        class_names=DIGITS,
        per_class=min(len(pixels) for pixels in pixels_by_class),
        shard_size=1000,
        channels=1,
        allows_flip=False,
        **others,
    )
    folder.mkdir()
    write_plan(folder_at(folder), plan)
    for shard in plan.shards():
        pixels = torch.stack([pixels_by_class[label][index] for label, index in shard.samples])
        write_shard(folder_at(folder), shard, encode_images(pixels, plan.image_format))
    assert not finish_set(folder_at(folder), plan, {})
    return folder


def noise_set(folder: Path, split: SplitRecord, **others: Any) -> Path:
    """A finished shard set of noise called digits."""
    options = {"class_names": DIGITS, "per_class": 3, "shard_size": 10, "channels": 1, "allows_flip": False}
    return write_shard_set(folder, split=split, **{**options, **others})


def held_back(splits: Splits) -> list[Tensor]:
    """Real training digits of each class that are not in these splits, which hold out the same."""
    everything = make_splits(load_source("digits"))
    assert everything.record.held_out_fingerprint == splits.record.held_out_fingerprint
    known = {image.numpy().tobytes() for image in splits.train.images}
    return [
        torch.stack([image for image in everything.train.images[members] if image.numpy().tobytes() not in known])
        for members in everything.train.indices_by_class()
    ]


def figures(summary: BenchSummary) -> dict[str, Any]:
    """All that a bench measured, without times and date."""
    values = summary.model_dump(mode="json", exclude={"environment": {"date"}})
    for arm in values["arms"]:
        del arm["seconds"]
    return values


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def listing(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def make_cells(
    accuracies: dict[str, list[float]], sets: tuple[str, ...] = ("test",), **others: Any
) -> list[CellResult]:
    """Cells of as many seeds as there are accuracies; sets get worse from one to the next, seeds better."""
    return [
        CellResult(
            arm=arm.name,
            seed=seed,
            steps=10,
            best_step=10,
            validation_accuracy=value,
            test=Agreement(value, (value, None), 20),
            label_fidelity={}
            if arm.is_mixed
            else {name: Agreement(0.5 / rank, (0.25, 0.75), 40) for rank, name in enumerate(sets, 1)},
            quality={name: Quality(1.0 * rank + seed, 0.5, 0.5, 1.0, 0.5) for rank, name in enumerate(sets, 1)}
            if arm.name == "real+classic"
            else {},
            curve=[CurvePoint(5, 2.0, value / 2), CurvePoint(10, 1.0, value)],
            seconds=1.0,
        ).model_copy(update=others)
        for arm in arms_of(sets)
        for seed, value in enumerate(accuracies[arm.name])
    ]


def summary_of(cells: list[CellResult], sets: tuple[str, ...] = ("test",)) -> BenchSummary:
    facts = [SetFacts(name=name, images=40, training_seconds=9.0, images_seen=100, cost=None) for name in sets]
    return summarise(cells, sets=facts, class_names=("cat", "dog"), counts={}, settings={}, environment={})
