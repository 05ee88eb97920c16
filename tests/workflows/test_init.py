"""A training that begins from another checkpoint: what it keeps, what it records, and who may use its images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from synthaug.core.errors import InputError
from synthaug.core.runtime import Runtime
from synthaug.core.types import SplitRecord
from synthaug.data.splits import Splits
from synthaug.generators.base import load_backend
from synthaug.generators.checkpoint import read_card
from synthaug.shards.manifest import Manifest
from synthaug.workflows.bench import BenchConfig, bench, plan_bench
from synthaug.workflows.checkpoints import packaged_checkpoints
from synthaug.workflows.classify import ClassifyConfig, classify, plan_classification
from synthaug.workflows.synthesize import GenerateConfig, generate
from synthaug.workflows.train import TrainConfig, plan_training, train
from tests.conftest import MakeImageFolder, write_shard_set

CPU = {"device": "cpu", "precision": "fp32"}
DIGITS = tuple("0123456789")


def tiny(out: Path, **changes: Any) -> TrainConfig:
    """One step of eight images."""
    return TrainConfig.resolve({"out": out, "images": 8, "batch_size": 8, "grid_every": 1000, **CPU, **changes})


@pytest.fixture
def pets(make_image_folder: MakeImageFolder) -> str:
    """The SPEC of grey 8x8 images of two classes, one of which is called like a digit."""
    folder = make_image_folder("photos", class_names=("3", "cat"), per_class=10, channels=1)
    return f"imagefolder:{folder}"


def test_training_may_begin_from_a_checkpoint_of_other_images_and_classes(
    tiny_checkpoint: Path, tmp_path: Path, pets: str
) -> None:
    before = read_card(tiny_checkpoint)
    begun = train(tiny(tmp_path / "pets", data=pets, init=str(tiny_checkpoint), learning_rate=1e-6)).checkpoint
    card = read_card(begun)
    assert card.class_names == ("3", "cat")
    assert (card.preset, card.settings["init"]) == (before.preset, before.checkpoint)
    assert card.ancestors == (before.split,)
    assert card.split.source == pets
    runtime = Runtime("cpu", "fp32")
    old, new = (load_backend("ddpm").load(folder, runtime).network for folder in (tiny_checkpoint, begun))
    assert torch.allclose(new.conv_in.weight, old.conv_in.weight, atol=1e-4)
    assert torch.allclose(new.class_embedding.weight, old.class_embedding.weight[[3, 10, 10]], atol=1e-4)
    assert read_card(tiny_checkpoint) == before


def test_every_checkpoint_that_a_training_goes_back_to_is_remembered(
    tiny_checkpoint: Path, tmp_path: Path, pets: str
) -> None:
    first = train(tiny(tmp_path / "pets", data=pets, init=str(tiny_checkpoint))).checkpoint
    again = train(tiny(tmp_path / "again", data=pets, split_seed=1, init=str(first))).checkpoint
    splits = (read_card(first).split, read_card(tiny_checkpoint).split)
    assert read_card(again).ancestors == splits
    result = generate(GenerateConfig.resolve({"model": str(again), "out": tmp_path / "set", "per_class": 1, **CPU}))
    assert Manifest.read(result.out).plan.generator.ancestors == splits


def test_packaged_checkpoint_is_named_without_a_folder_and_is_a_better_beginning_than_none(tmp_path: Path) -> None:
    common = {"per_class_real": 20, "images": 100, "batch_size": 50, "learning_rate": 1e-5}
    fresh = train(tiny(tmp_path / "fresh", **common))
    begun = train(tiny(tmp_path / "begun", init="ddpm-digits", **common))
    assert read_card(begun.checkpoint).ancestors == (read_card(packaged_checkpoints()["ddpm-digits"]).split,)
    assert begun.training.loss < 0.5 * fresh.training.loss


def test_training_that_began_elsewhere_is_resumed_with_the_same_beginning_only(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    train(tiny(tmp_path / "run", per_class_real=5, init=str(tiny_checkpoint)))
    more = {"per_class_real": 5, "images": 16, "resume": "auto"}
    for other in (None, "ddpm-digits"):
        with pytest.raises(InputError, match=r"\binit is '[0-9a-f]{64}' there and '[0-9a-f]*' now"):
            train(tiny(tmp_path / "run", init=other, **more))
    result = train(tiny(tmp_path / "run", init=str(tiny_checkpoint), **more))
    assert (result.training.images_seen, result.is_complete) == (16, True)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"init": "nowhere"}, "unknown model 'nowhere': neither a checkpoint folder nor one of .*ddpm-digits"),
        ({"preset": "cpu"}, "has the network of preset digits; leave out --preset cpu"),
        ({"objective": "v"}, "was trained with objective epsilon; leave out --objective"),
        ({"schedule": "linear"}, "was trained with schedule cosine; leave out --schedule"),
        ({"data": "rgb"}, "makes grey images, these are RGB"),
    ],
)
def test_checkpoint_that_does_not_suit_is_refused(
    tiny_checkpoint: Path, tmp_path: Path, make_image_folder: MakeImageFolder, change: dict[str, Any], complaint: str
) -> None:
    if "data" in change:
        change = {"data": f"imagefolder:{make_image_folder('rgb', per_class=10)}"}
    with pytest.raises(InputError, match=complaint):
        plan_training(tiny(tmp_path / "run", **{"init": str(tiny_checkpoint), **change}))


def record_of_others(**changes: Any) -> SplitRecord:
    """What a generator of images that are not the digits was trained on."""
    others: dict[str, Any] = {
        "source": "imagefolder:letters",
        "source_fingerprint": "a" * 64,
        "seed": 0,
        "class_counts": (9, 9),
        "train_fingerprint": "b" * 64,
        "held_out_fingerprint": "c" * 64,
    }
    return SplitRecord(**{**others, **changes})


def consumers(synthetic: Path, out: Path, **changes: Any) -> list[Any]:
    """All that train classifiers with a set, and their plans, as functions of nothing."""
    common = {"per_class_real": 20, "steps": 1, "batch_size": 4, "synthetic": synthetic, **CPU, **changes}
    classifying = ClassifyConfig.resolve(common)
    quick = {"seeds": 1, "arms": ("real", "mixed"), "robustness": False, "jobs": 1}
    benching = BenchConfig.resolve({**common, **quick, "out": out})
    return [
        lambda: plan_classification(classifying),
        lambda: classify(classifying),
        lambda: plan_bench(benching),
        lambda: bench(benching),
    ]


def set_of(folder: Path, split: SplitRecord, *ancestors: SplitRecord) -> Path:
    """A finished set of noise called digits whose generator has this history."""
    return write_shard_set(
        folder, split=split, ancestors=ancestors, class_names=DIGITS, channels=1, shard_size=40, allows_flip=False
    )


def test_set_of_a_generator_that_began_as_one_of_other_images_needs_to_be_accepted(
    tmp_path: Path, digits_splits: Splits
) -> None:
    made = set_of(tmp_path / "set", digits_splits.record, record_of_others())
    for consume in consumers(made, tmp_path / "out"):
        with pytest.raises(
            InputError, match=r"began as one of other images \(imagefolder:letters\).*give --accept-init"
        ):
            consume()
    assert not (tmp_path / "out").exists()
    for consume in consumers(made, tmp_path / "out", accept_init=True):
        consume()


@pytest.mark.parametrize("is_last", [False, True])
def test_ancestor_that_saw_held_out_images_of_the_same_source_is_never_accepted(
    tmp_path: Path, digits_splits: Splits, is_last: bool
) -> None:
    record = digits_splits.record
    leaking = record.model_copy(update={"seed": 7, "held_out_fingerprint": "d" * 64})
    others = record_of_others()
    made = set_of(tmp_path / "set", record, *((others, leaking) if is_last else (leaking, others)))
    for consume in consumers(made, tmp_path / "out", accept_init=True):
        with pytest.raises(InputError, match=r"must not be used with this split: .*seed 7 \(here 0\)"):
            consume()
    assert not (tmp_path / "out").exists()


def test_ancestor_that_saw_more_of_the_same_images_is_never_accepted(tmp_path: Path, digits_splits: Splits) -> None:
    more = digits_splits.record.model_copy(update={"class_counts": (21,) * 10})
    made = set_of(tmp_path / "set", digits_splits.record, more)
    with pytest.raises(InputError, match="saw 210 real training images, more than the 200"):
        consumers(made, tmp_path / "out", accept_init=True)[0]()


def test_ancestor_on_the_same_split_needs_no_acceptance(tmp_path: Path, digits_splits: Splits) -> None:
    fewer = digits_splits.record.model_copy(update={"class_counts": (3,) * 10})
    made = set_of(tmp_path / "set", digits_splits.record, fewer)
    assert consumers(made, tmp_path / "out")[0]().synthetic == 40


def test_own_training_on_other_images_is_not_accepted_either(tmp_path: Path, digits_splits: Splits) -> None:
    made = set_of(tmp_path / "set", record_of_others(class_counts=(9,) * 10), digits_splits.record)
    with pytest.raises(InputError, match="was trained on other images"):
        consumers(made, tmp_path / "out", accept_init=True)[0]()
