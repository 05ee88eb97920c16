"""Curated sets: what filters take out of sets with planted faults, and what the new sets say of themselves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from synthaug.core.errors import InputError
from synthaug.core.types import LabelledImages
from synthaug.data.splits import Splits
from synthaug.shards.index import set_key
from synthaug.shards.manifest import Manifest
from synthaug.shards.reader import iterate_shard, read_set
from synthaug.shards.verify import verify_set
from synthaug.workflows.curate import CurateConfig, CurateResult, curate, plan_curation
from tests.workflows.planted import balanced, noisy, relabelled, write_set_of

pytestmark = pytest.mark.usefixtures("quick_judge")
FEW = {"judge_steps": 150, "device": "cpu", "precision": "fp32"}
Curated = Callable[..., CurateResult]


@pytest.fixture
def curated(tmp_path: Path) -> Curated:
    """`curated(folder, *filters, out="curated", **settings)`."""

    def run(folder: Path, *filters: str, out: str = "curated", **settings: Any) -> CurateResult:
        chosen = {"filter": filters} if filters else {}
        return curate(CurateConfig.resolve({**FEW, **chosen, "folder": folder, "out": tmp_path / out, **settings}))

    return run


def samples_in(folder: str | Path) -> list[tuple[bytes, dict[str, Any]]]:
    """Image file and description of each sample, in order."""
    paths = sorted(Path(folder).glob("*.tar"))
    return [(sample.image, json.loads(sample.description)) for path in paths for sample in iterate_shard(path)]


def test_wrong_labels_are_removed_and_right_ones_kept(
    curated: Curated, fresh_digits: LabelledImages, digits_splits: Splits, tmp_path: Path
) -> None:
    planted, is_wrong = relabelled(fresh_digits, 0.3)
    folder = write_set_of(tmp_path / "set", planted, digits_splits)
    result = curated(folder, "mislabelled")
    kept = {image for image, _ in samples_in(result.out)}
    names = {image: place for place, (image, _) in enumerate(samples_in(folder))}
    stays = torch.zeros(len(names), dtype=torch.bool)
    stays[[names[image] for image in kept]] = True
    order = torch.stack(list(planted.indices_by_class()), dim=1).flatten()  # of the samples in the set
    wrong = is_wrong[order]
    assert (~stays[wrong]).double().mean() >= 0.9
    assert stays[~wrong].double().mean() >= 0.8
    assert result.steps[0].removed == len(names) - len(kept) == sum(result.steps[0].removed_per_class)


def test_a_curated_set_is_verified_and_says_where_it_comes_from(
    curated: Curated, fresh_digits: LabelledImages, digits_splits: Splits, tmp_path: Path
) -> None:
    folder = write_set_of(tmp_path / "set", fresh_digits, digits_splits)
    result = curated(folder, "mislabelled", "confidence=0.5")
    assert verify_set(result.out, deep=True).samples == result.images
    manifest, source = Manifest.read(result.out), Manifest.read(folder)
    [curation] = manifest.plan.curations
    assert curation.source == set_key(source)
    assert [(one.name, one.value, sum(one.removed)) for one in curation.filters] == [
        ("mislabelled", None, result.steps[0].removed),
        ("confidence", "0.5", result.steps[1].removed),
    ]
    assert curation.judge.split == digits_splits.record
    assert curation.judge.validation_accuracy == result.validation_accuracy > 0.8
    assert manifest.plan.generator == source.plan.generator
    before = samples_in(folder)
    originals = {(one["label"], one["index"]): image for image, one in before}
    for image, description in samples_in(result.out):
        assert originals[description["label"], description["index"]] == image
        scores = description["scores"]
        assert 0 < scores["label_confidence"] <= 1
        assert scores["nearest_train_distance"] > 0
        assert scores["relative_train_distance"] > 0
    assert "mislabelled" in (Path(result.out) / "README.md").read_text()
    again = CurateConfig.resolve({}, Path(result.out) / "config.yaml")
    assert again.filter == ("mislabelled", "confidence=0.5")


def test_copies_and_repetitions_are_removed_by_default(
    curated: Curated, fresh_digits: LabelledImages, digits_splits: Splits, tmp_path: Path
) -> None:
    pixels = fresh_digits.images.clone()
    members = list(fresh_digits.indices_by_class())
    train = balanced(digits_splits.train, 1)
    for label in range(10):
        pixels[members[label][0]] = train.images[train.labels == label][0]  # a copy
        pixels[members[label][1]] = noisy(pixels[members[label][2]][None])[0]  # a repetition
    planted = LabelledImages.of(pixels, fresh_digits.labels, fresh_digits.class_names, fresh_digits.name)
    result = curated(write_set_of(tmp_path / "set", planted, digits_splits))
    assert [step.filter for step in result.steps] == ["mislabelled", "duplicates", "memorised"]
    removed = {step.filter: step.removed for step in result.steps}
    assert 8 <= removed["duplicates"] <= 10  # of the ten pairs, some may have been taken for another digit
    assert 9 <= removed["memorised"] <= 14
    images, _ = read_set(result.out)
    copies = {image.numpy().tobytes() for image in train.images}
    assert not any(image.numpy().tobytes() in copies for image in images.images)


def test_a_curated_set_can_be_curated(
    curated: Curated, fresh_digits: LabelledImages, digits_splits: Splits, tmp_path: Path
) -> None:
    folder = write_set_of(tmp_path / "set", fresh_digits, digits_splits)
    first = curated(folder, "confidence=0.5", out="first")
    second = curated(Path(first.out), "quota=3", out="second")
    assert (first.images, second.images, second.of) == (200, 30, 200)
    assert set(second.class_counts.values()) == {3}
    assert [len(one.filters) for one in Manifest.read(second.out).plan.curations] == [1, 1]
    assert {image for image, _ in samples_in(second.out)} < {image for image, _ in samples_in(first.out)}
    assert verify_set(second.out, deep=True).samples == 30


def test_order_of_the_filters_matters(
    curated: Curated, fresh_digits: LabelledImages, digits_splits: Splits, tmp_path: Path
) -> None:
    folder = write_set_of(tmp_path / "set", fresh_digits, digits_splits)
    one = curated(folder, "target=0.5", "confidence=0.5", out="one")
    other = curated(folder, "confidence=0.5", "target=0.5", out="other")
    assert one.images == other.images == 100
    assert {image for image, _ in samples_in(one.out)}.isdisjoint(image for image, _ in samples_in(other.out))


@pytest.mark.parametrize("name", ["outliers", "diverse=5", "coverage=5", "duplicates", "memorised=2"])
def test_every_filter_works_on_a_set(
    curated: Curated, fresh_digits: LabelledImages, digits_splits: Splits, tmp_path: Path, name: str
) -> None:
    result = curated(write_set_of(tmp_path / "set", fresh_digits, digits_splits), name)
    assert 0 < result.images <= 400
    if name.endswith("=5"):
        assert set(result.class_counts.values()) == {5}


def test_what_leaves_nothing_is_refused(curated: Curated, digits_set: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--filter quota=0 leaves nothing of 40 samples"):
        curated(digits_set, "quota=0")
    assert not (tmp_path / "curated").exists()


def test_unknown_filters_and_folders_in_use_are_refused_before_anything_is_read(
    curated: Curated, digits_set: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="unknown filter 'best'"):
        curated(digits_set, "best")
    (tmp_path / "curated").mkdir()
    (tmp_path / "curated" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="the shard set needs a new or empty folder"):
        curated(digits_set)
    assert [path.name for path in (tmp_path / "curated").iterdir()] == ["thesis.txt"]


def test_sets_with_test_images_are_not_curated(curated: Curated, digits_splits: Splits, tmp_path: Path) -> None:
    folder = write_set_of(tmp_path / "set", balanced(digits_splits.test, 5), digits_splits)
    with pytest.raises(InputError, match="holds test images"):
        curated(folder)


def test_plan_says_what_would_be_done(digits_set: Path, tmp_path: Path) -> None:
    config = CurateConfig.resolve({"folder": digits_set, "out": tmp_path / "curated", "filter": "confidence=0.2"})
    plan = plan_curation(config)
    assert (plan.images, plan.filters, plan.train) == (40, ("confidence=0.2",), 200)
    assert not (tmp_path / "curated").exists()


def test_what_is_nearly_a_test_image_never_stays(
    curated: Curated,
    fresh_digits: LabelledImages,
    digits_splits: Splits,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pixels = fresh_digits.images.clone()
    test = digits_splits.test
    place = int((fresh_digits.labels == test.labels[0]).nonzero()[0])
    pixels[place] = noisy(test.images[:1])[0]
    planted = LabelledImages.of(pixels, fresh_digits.labels, fresh_digits.class_names, fresh_digits.name)
    result = curated(write_set_of(tmp_path / "set", planted, digits_splits), "quota=100")
    assert [(step.filter, step.removed) for step in result.steps] == [("test_images", 1), ("quota=100", 0)]
    assert "1 of 400 images are nearly test images" in capsys.readouterr().err
