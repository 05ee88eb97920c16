"""What all tests share: checked shape annotations, few threads, no leftovers in the cache, and tiny inputs."""

# ruff: noqa: E402 - the checks must be in place before the package is imported
from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"

import jaxtyping

import tests.shape_checks  # noqa: F401 - named in the hook below

# Before anything imports the package: modules imported earlier would stay unchecked.
jaxtyping.install_import_hook("synthaug", "tests.shape_checks.checked")

import pytest
import torch
from hypothesis import settings

from synthaug.core.folders import folder_at
from synthaug.core.pixels import to_pil
from synthaug.core.seeding import generator_for
from synthaug.core.types import LabelledImages, SplitRecord
from synthaug.data.sources import load_source
from synthaug.data.splits import Splits, make_splits
from synthaug.shards.curation import CurationRecord, FilterRecord, JudgeRecord, Scores
from synthaug.shards.finish import finish_set
from synthaug.shards.index import set_key
from synthaug.shards.manifest import Manifest, write_plan
from synthaug.shards.plan import GeneratorRecord, ImageFormat, SetPlan
from synthaug.shards.select import write_selection
from synthaug.shards.writer import encode_images, write_shard

torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else min(2, torch.get_num_threads()))
# The same examples every time, and no judgement of how long one takes.
settings.register_profile("synthaug", deadline=None, derandomize=True, database=None)
settings.load_profile("synthaug")

MakeImages = Callable[..., LabelledImages]
MakeImageFolder = Callable[..., Path]
MakeShardSet = Callable[..., Path]


@pytest.fixture(autouse=True)
def _private_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keeps every test out of the user's cache."""
    monkeypatch.setenv("SYNTHAUG_HOME", str(tmp_path_factory.getbasetemp() / "synthaug-home"))


@pytest.fixture(autouse=True)
def _untouched_global_random_state() -> Iterator[None]:
    """Gives every test the same global torch random state, whatever ran before it."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        yield


@pytest.fixture(scope="session")
def digits_splits() -> Splits:
    """scikit-learn's digits, split with 20 real training images per class (200 in all, 8x8, grey)."""
    return make_splits(load_source("digits"), per_class_real=20)


def random_pixels(*shape: int, seed: int = 0) -> torch.Tensor:
    """Uniform uint8 pixels of a shape, the same for the same seed."""
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator_for("test pixels", seed))


def make_images_of(
    *,
    per_class: int = 4,
    class_names: tuple[str, ...] = ("cat", "dog"),
    size: int = 8,
    channels: int = 3,
    name: str = "test images",
    seed: int = 0,
) -> LabelledImages:
    """Random images with `per_class` of each class, classes in turn."""
    count = per_class * len(class_names)
    labels = torch.arange(count) % len(class_names)
    return LabelledImages.of(random_pixels(count, channels, size, size, seed=seed), labels, class_names, name)


def write_image_folder(
    root: Path,
    *,
    class_names: tuple[str, ...] = ("cat", "dog"),
    per_class: int = 4,
    size: int | tuple[int, int] = 8,
    channels: int = 3,
    seed: int = 0,
) -> Path:
    """One folder per class under `root`, each with `per_class` PNGs of random pixels; `size` may be (height, width)."""
    height, width = (size, size) if isinstance(size, int) else size
    for label, class_name in enumerate(class_names):
        folder = root / class_name
        folder.mkdir(parents=True)
        for index, image in enumerate(random_pixels(per_class, channels, height, width, seed=1000 * seed + label)):
            to_pil(image).save(folder / f"{index:03d}.png")
    return root


def write_shard_set(
    folder: Path,
    *,
    split: SplitRecord | None = None,
    ancestors: tuple[SplitRecord, ...] = (),
    class_names: tuple[str, ...] = ("cat", "dog"),
    per_class: int = 4,
    shard_size: int = 3,
    size: int = 8,
    channels: int = 3,
    seed: int = 0,
    allows_flip: bool = True,
    image_format: ImageFormat = "png",
) -> Path:
    """A finished shard set of random pixels that no network made; `split` and `ancestors` say what it learned from."""
    plan = plan_of(
        split=split,
        ancestors=ancestors,
        class_names=class_names,
        per_class=per_class,
        shard_size=shard_size,
        size=size,
        channels=channels,
        seed=seed,
        allows_flip=allows_flip,
        image_format=image_format,
    )
    folder.mkdir(parents=True)
    write_plan(folder_at(folder), plan)
    records = {}
    for shard in plan.shards():
        pixels = random_pixels(len(shard), channels, size, size, seed=1000 * seed + shard.number)
        records[shard.number] = write_shard(folder_at(folder), shard, encode_images(pixels, plan.image_format))
    assert not finish_set(folder_at(folder), plan, records)
    return folder


def write_curated_set(
    folder: Path,
    source: Path,
    positions: Sequence[int],
    *,
    scores: Sequence[Scores] | None = None,
    split: SplitRecord | None = None,
    ancestors: tuple[SplitRecord, ...] = (),
) -> Path:
    """A finished set of some samples of another one; `split` and `ancestors` say what its judge learned from."""
    plan = Manifest.read(source).plan
    curation = curation_of(source, positions, split=split, ancestors=ancestors)
    write_selection(
        folder_at(folder),
        source,
        plan.selected(positions, curation),
        positions,
        [Scores(label_confidence=position / 8) for position in range(len(positions))] if scores is None else scores,
    )
    return folder


def curation_of(
    source: Path,
    positions: Sequence[int],
    *,
    split: SplitRecord | None = None,
    ancestors: tuple[SplitRecord, ...] = (),
) -> CurationRecord:
    """How the samples at `positions` of a set were chosen: by one filter, and a judge that nobody trained."""
    manifest = Manifest.read(source)
    plan = manifest.plan
    judge = JudgeRecord(
        network="resnet20",
        weights_sha256="5" * 64,
        steps=400,
        validation_accuracy=0.975,
        split=plan.generator.split if split is None else split,
        ancestors=ancestors,
    )
    removed = list(plan.class_counts().values())
    for position in positions:
        removed[plan.sample(position)[0]] -= 1
    filters = (FilterRecord(name="confidence", value="0.2", removed=tuple(removed)),)
    return CurationRecord(source=set_key(manifest), filters=filters, judge=judge)


def plan_of(
    *,
    split: SplitRecord | None = None,
    ancestors: tuple[SplitRecord, ...] = (),
    class_names: tuple[str, ...] = ("cat", "dog"),
    classes: tuple[int, ...] | None = None,
    per_class: int = 4,
    shard_size: int = 3,
    batch_size: int = 2,
    size: int = 8,
    channels: int = 3,
    seed: int = 0,
    allows_flip: bool = True,
    image_format: ImageFormat = "png",
) -> SetPlan:
    """The plan of a set that no network made."""
    if split is None:
        split = SplitRecord(
            source="imagefolder:elsewhere",
            source_fingerprint="1" * 64,
            seed=0,
            class_counts=(per_class,) * len(class_names),
            train_fingerprint="2" * 64,
            held_out_fingerprint="3" * 64,
        )
    generator = GeneratorRecord(
        model="test",
        checkpoint="0" * 64,
        preset="none",
        parameters=1,
        images_seen=1,
        training_seconds=1.0,
        image_size=size,
        channels=3 if channels == 3 else 1,
        allows_flip=allows_flip,
        split=split,
        ancestors=ancestors,
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
        seed=seed,
        class_names=class_names,
        classes=tuple(range(len(class_names))) if classes is None else classes,
        per_class=per_class,
        shard_size=shard_size,
        batch_size=batch_size,
        image_format=image_format,
    )


@pytest.fixture(scope="session")
def make_pixels() -> Callable[..., torch.Tensor]:
    """`make_pixels(*shape, seed=0)`: random uint8 pixels."""
    return random_pixels


@pytest.fixture(scope="session")
def make_images() -> MakeImages:
    """`make_images(per_class=, class_names=, size=, channels=, name=, seed=)`: random labelled images."""
    return make_images_of


@pytest.fixture
def make_image_folder(tmp_path: Path) -> MakeImageFolder:
    """`make_image_folder(name, class_names=, per_class=, size=, channels=, seed=)`: PNGs under tmp_path / name."""

    def make(name: str = "images", **options: Any) -> Path:
        return write_image_folder(tmp_path / name, **options)

    return make


@pytest.fixture
def make_shard_set(tmp_path: Path) -> MakeShardSet:
    """`make_shard_set(name, split=, per_class=, shard_size=, ...)`: a finished set under tmp_path / name."""

    def make(name: str = "set", **options: Any) -> Path:
        return write_shard_set(tmp_path / name, **options)

    return make


@pytest.fixture
def digits_set(tmp_path: Path, digits_splits: Splits) -> Path:
    """A finished set of random "digits" whose record says its generator saw `digits_splits.train` only."""
    return write_shard_set(
        tmp_path / "digits-set",
        split=digits_splits.record,
        class_names=digits_splits.train.class_names,
        per_class=4,
        shard_size=16,
        channels=1,
        allows_flip=False,
    )


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DDPM checkpoint after 5 steps on 5 digits per class; shared by all tests, so copy it before changing it."""
    from synthaug.workflows.train import TrainConfig, train

    out = tmp_path_factory.mktemp("tiny") / "checkpoint"
    few = {"images": 40, "batch_size": 8, "per_class_real": 5, "grid_every": 1000}
    train(TrainConfig.resolve({**few, "out": out, "device": "cpu", "precision": "fp32"}))
    return out
