"""Small benches, the sets for them, and studies whose cells were never trained."""

from __future__ import annotations

import base64
import itertools
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from synthaug.classifiers.networks import NETWORKS
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
from synthaug.workflows.bench.arms import DEFAULT_ARMS, arms_of, judging_arm
from synthaug.workflows.bench.quality import Quality
from synthaug.workflows.bench.record import CellRecord, RegimeRecord, SetRecord, StudyRecord
from synthaug.workflows.bench.regimes import Regime, check_given, open_regimes, split_by_fractions
from synthaug.workflows.bench.results import CellFailure, CellResult, Results
from synthaug.workflows.bench.summarise import summarise
from synthaug.workflows.bench.tested import Tested
from tests.conftest import plan_of, write_shard_set
from tests.workflows.perceptron import Hidden

DIGITS = tuple("0123456789")
TWO_ARMS = ("real", "mixed")
#: The arms that most tests make do with.
THREE_ARMS = ("real", "real+classic", "mixed+classic")


def settings(synthetic: Path | list[Path], out: Path, **others: Any) -> BenchConfig:
    """A bench of a few steps on five digits of each class."""
    few = {"per_class_real": 5, "seeds": 1, "steps": 2, "batch_size": 4, "device": "cpu", "precision": "fp32"}
    quick = {"arms": THREE_ARMS, "robustness": False, "jobs": 1}
    if "fractions" in others:
        del few["per_class_real"]
    return BenchConfig.resolve({**few, **quick, "synthetic": synthetic, "out": out, **others})


def perceptron_in(patch: pytest.MonkeyPatch) -> str:
    """The name of a network that trains much quicker than the others, as the fixture of that name."""
    builders = dict(NETWORKS.items())
    builders["perceptron"] = lambda channels, stem: Hidden(channels)
    patch.setattr(NETWORKS, "_values", builders)
    return "perceptron"


def quick(synthetic: Path | list[Path], out: Path, **others: Any) -> BenchConfig:
    """The same with a perceptron, which `perceptron_in` has to make known."""
    return settings(synthetic, out, **{"network": "perceptron", **others})


def planted(synthetic: Path | list[Path], out: Path, network: str, **others: Any) -> BenchConfig:
    """A bench that is long enough for a perceptron to learn."""
    enough = {"seeds": 3, "steps": 300, "batch_size": 32, "optimiser": "adam", "learning_rate": 0.01}
    return settings(synthetic, out, network=network, **{**enough, **others})


def regimes_of(config: BenchConfig) -> list[Regime]:
    """The regimes of a bench, open and checked."""
    splits = split_by_fractions(config, load_source(config.data))
    return open_regimes(config, splits, check_given(config, splits), {})


def elsewhere(config: BenchConfig, out: Path, **changes: Any) -> BenchConfig:
    """The same bench in another folder, or otherwise changed."""
    return config.model_copy(update={"out": out, **changes})


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


def rows(folder: Path) -> list[dict[str, Any]]:
    """The rows that all jobs have left."""
    files = sorted(folder.glob("results*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def without_seconds(row: Mapping[str, Any]) -> dict[str, Any]:
    """All of a row but what no two runs have in common."""
    curve = [{name: value for name, value in point.items() if name != "seconds"} for point in row["curve"]]
    return {**{name: value for name, value in row.items() if name != "seconds"}, "curve": curve}


def listing(folder: Path) -> dict[str, bytes]:
    """Every file with its bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_result(right: Sequence[bool] | np.ndarray, **others: Any) -> Tested:
    """What a test says that had these images right."""
    bits = np.asarray(right, dtype=bool)
    share = float(bits.mean())
    return Tested(
        **{
            "accuracy": share,
            "per_class": (share, None),
            "count": len(bits),
            "right": base64.b64encode(np.packbits(bits).tobytes()).decode(),
            "calibration_error": 0.1,
            "nll": 1.0,
            "brier": 0.5,
            "corrupted": {},
            **others,
        }
    )


test_result.__test__ = False  # type: ignore[attr-defined]


def first_right(share: float, count: int = 1000) -> np.ndarray:
    """That a share of the images is right, and which: the first ones."""
    return np.arange(count) < round(share * count)


def scattered_right(share: float, seed: int, count: int = 1000) -> np.ndarray:
    """The same, of images that differ from seed to seed."""
    return np.random.default_rng(seed).permutation(first_right(share, count))


def study_of(
    arms: Sequence[str | Mapping[str, Any]] = DEFAULT_ARMS,
    *,
    seeds: int = 3,
    sets: Sequence[str] = ("test",),
    fractions: Sequence[float] = (1.0,),
    longer_steps: int | None = None,
    classes: tuple[str, ...] = ("cat", "dog"),
) -> StudyRecord:
    """A bench of two classes and no images, of which nothing is done."""
    known = arms_of(arms, sets, synthetic_fraction=0.5)
    judge = judging_arm(known).name
    records = [
        SetRecord(
            name=name, where=f"sets/{name}", images=40, per_class=(20, 20), is_curated=False, images_seen=100,
            fingerprint=f"pixels of {name}", training_seconds=9.0, cost=None,
        )
        for name in sets
    ]  # fmt: skip
    regimes = []
    for fraction in fractions:
        views = [("equal steps", arm.name) for arm in known]
        if longer_steps is not None:
            views += [("equal real epochs", arm.name) for arm in known if arm.role != "other"]
        regimes.append(
            RegimeRecord(
                name=f"{100 * fraction:g} %",
                fraction=fraction,
                images_per_class=100 * fraction,
                counts={"train": round(200 * fraction), "validation": 40, "test": 1000, "synthetic": 40 * len(sets)},
                steps=10,
                longer_steps=longer_steps,
                real_epochs=5.0,
                arms=list(known),
                sets=records,
                cells=[
                    CellRecord(
                        key=f"{fraction:g} {view} {arm} {seed}",
                        judged=tuple(one.fingerprint for one in records if (view, arm) == ("equal steps", judge)),
                        view=view,
                        arm=arm,
                        seed=seed,
                    )
                    for seed, (view, arm) in itertools.product(range(seeds), views)
                ],
            )
        )
    return StudyRecord(
        source="pets",
        class_names=list(classes),
        seeds=list(range(seeds)),
        regimes=regimes,
        settings={},
        environment={},
        extensions=[],
    )


def names_of(regime: RegimeRecord, cell: CellRecord) -> dict[str, Any]:
    """What a row says of a cell, whatever came of it."""
    return {"regime": regime.name, **cell.model_dump(exclude={"judged"})}


def result_of(
    regime: RegimeRecord,
    cell: CellRecord,
    right: Sequence[bool] | np.ndarray,
    validation_accuracy: float | None = None,
    **others: Any,
) -> CellResult:
    """A finished cell that has these test images right; sets get worse from one to the next, seeds better."""
    tested = test_result(right)
    value = tested.accuracy if validation_accuracy is None else validation_accuracy
    sets = list(enumerate(cell.judged, 1))
    steps = regime.steps if cell.view == "equal steps" else regime.longer_steps
    made = CellResult(
        **names_of(regime, cell),
        steps=steps or 0,
        best_step=steps or 0,
        validation_accuracy=value,
        tested=tested,
        label_fidelity={one: Agreement(0.5 / rank, (0.25, 0.75), 40) for rank, one in sets},
        quality={one: Quality(1.0 * rank + cell.seed, 0.5, 0.5, 1.0, 0.5) for rank, one in sets},
        curve=[CurvePoint(5, 2.0, value / 2), CurvePoint(10, 1.0, value)],
        seconds=1.0,
    )
    return made.model_copy(update=others)


def results_of(
    study: StudyRecord, accuracies: Mapping[str, Sequence[float]], *, is_nested: bool = False, **others: Any
) -> Results:
    """Finished cells with these test accuracies, by arm and seed; of arms that are not named, none is done.

    Args:
        study: The bench.
        accuracies: Of each arm with each seed, and by how many thousandths there are right images.
        is_nested: Whether whatever is right for one classifier is right for each better one; else they differ.
        others: Fields of the results.
    """
    done = {}
    for regime in study.regimes:
        for cell in regime.cells:
            values = accuracies.get(cell.arm, ())
            if cell.seed < len(values):
                share = values[cell.seed]
                right = first_right(share) if is_nested else scattered_right(share, zlib.crc32(cell.key.encode()))
                done[cell.key] = result_of(regime, cell, right, **others)
    return Results(done, {})


def fail(results: Results, study: StudyRecord, arm: str, seed: int, reason: str) -> Results:
    """The same with one cell that ended in an error."""
    done, failed = dict(results.done), dict(results.failed)
    for regime in study.regimes:
        for cell in regime.cells:
            if (cell.arm, cell.seed) == (arm, seed):
                done.pop(cell.key, None)
                failed[cell.key] = CellFailure(**names_of(regime, cell), failed=reason)
    return Results(done, failed)


def summary_of(
    accuracies: Mapping[str, Sequence[float]], sets: Sequence[str] = ("test",), **others: Any
) -> BenchSummary:
    """Of a bench of one number of real images with these test accuracies."""
    seeds = max(len(values) for values in accuracies.values())
    study = study_of(list_of_arms(accuracies), seeds=seeds, sets=sets)
    return summarise(study, results_of(study, accuracies, **others))


def list_of_arms(accuracies: Mapping[str, Sequence[float]]) -> list[str]:
    """What to ask for to have these arms, whose names may end in those of sets."""
    return list(dict.fromkeys(name.partition(" (")[0] for name in accuracies))


class Clock:
    """Time that passes only when a test says so, in place of the module `time`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now
