"""The real images and the classifier by which synthetic sets are judged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from synthaug.classifiers.saved import read_classifier, write_classifier
from synthaug.core.errors import InputError
from synthaug.core.runtime import Runtime
from synthaug.core.storage import cache_home
from synthaug.data.sources import load_source
from synthaug.data.splits import Splits, make_splits
from synthaug.shards.manifest import Manifest
from synthaug.shards.plan import SetPlan
from synthaug.workflows.judging import JudgingConfig, open_real
from synthaug.workflows.real_classifier import open_judge

pytestmark = pytest.mark.usefixtures("quick_judge")
CPU = Runtime.resolve("cpu", "fp32")


def plans_of(*folders: Path) -> list[tuple[str, SetPlan]]:
    return [(str(folder), Manifest.read(folder).plan) for folder in folders]


def test_real_images_are_those_that_the_generator_saw(digits_set: Path, digits_splits: Splits) -> None:
    splits, is_generators = open_real(JudgingConfig(), plans_of(digits_set))
    assert splits.record == digits_splits.record
    assert is_generators
    assert torch.equal(splits.train.images, digits_splits.train.images)


def test_uneven_classes_are_taken_as_the_generator_had_them(digits_set: Path) -> None:
    half = make_splits(load_source("digits"), fraction=0.1)
    assert len(set(half.train.class_counts())) > 1
    [(where, plan)] = plans_of(digits_set)
    of_half = plan.model_copy(update={"generator": plan.generator.model_copy(update={"split": half.record})})
    splits, is_generators = open_real(JudgingConfig(), [(where, of_half)])
    assert (splits.record, is_generators) == (half.record, True)


def test_settings_go_before_what_the_set_says(digits_set: Path, capsys: pytest.CaptureFixture[str]) -> None:
    splits, is_generators = open_real(JudgingConfig(per_class_real=10), plans_of(digits_set))
    assert (len(splits.train), is_generators) == (100, False)
    assert "was trained on 200 images, here 100 are in use" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"a split with seed 0 \(here 3\)"):
        open_real(JudgingConfig(split_seed=3), plans_of(digits_set))


def test_images_of_another_source_are_compared_with_a_warning(
    digits_set: Path, digits_splits: Splits, capsys: pytest.CaptureFixture[str]
) -> None:
    [(where, plan)] = plans_of(digits_set)
    elsewhere = digits_splits.record.model_copy(update={"source_fingerprint": "f" * 64, "source": "imagefolder:mine"})
    foreign = plan.model_copy(update={"generator": plan.generator.model_copy(update={"split": elsewhere})})
    _, is_generators = open_real(JudgingConfig(reference="digits"), [(where, foreign)])
    assert not is_generators
    assert "was trained on other images (imagefolder:mine)" in capsys.readouterr().err


def test_judge_is_trained_once(digits_splits: Splits, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SYNTHAUG_HOME", str(tmp_path / "home"))
    config = JudgingConfig(judge_steps=12)
    first = open_judge(config, digits_splits, CPU)
    monkeypatch.setattr("synthaug.workflows.real_classifier.train_judge", None)  # a second training would fail
    second = open_judge(config, digits_splits, CPU)
    assert first.card == second.card
    assert first.card.test_accuracy is None
    pixels = digits_splits.validation.images[:8]
    assert torch.equal(first.extractor().features(pixels), second.extractor().features(pixels))
    [kept] = (cache_home() / "judges").glob("[!.]*")
    (kept / "classifier.safetensors").write_bytes(b"damaged")
    with pytest.raises(TypeError):  # so it is trained again
        open_judge(config, digits_splits, CPU)


def test_judge_depends_on_the_training_images_and_the_steps(
    digits_splits: Splits, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SYNTHAUG_HOME", str(tmp_path / "home"))
    others = make_splits(load_source("digits"), per_class_real=5)
    hashes = {
        open_judge(JudgingConfig(judge_steps=steps), splits, CPU).card.weights_sha256
        for steps, splits in ((3, digits_splits), (4, digits_splits), (3, others))
    }
    assert len(hashes) == 3


def test_extractor_gives_what_the_network_says(digits_splits: Splits) -> None:
    judge = open_judge(JudgingConfig(judge_steps=150), digits_splits, CPU)
    extractor = judge.extractor()
    images = digits_splits.validation
    features = extractor.features(images.images)
    assert features.shape == (len(images), extractor.width)
    probabilities = judge.probabilities(features)
    assert probabilities.sum(dim=1).tolist() == pytest.approx([1.0] * len(images))
    accuracy = (probabilities.argmax(dim=1) == images.labels).double().mean()
    assert float(accuracy) == pytest.approx(judge.card.validation_accuracy, abs=0.01)


def saved_judge(folder: Path, splits: Splits, **changes: Any) -> Path:
    """A classifier's folder, whose card is changed."""
    judge = open_judge(JudgingConfig(judge_steps=3), splits, CPU)
    [kept] = [
        path
        for path in (cache_home() / "judges").glob("[!.]*")
        if read_classifier(path)[1].weights_sha256 == judge.card.weights_sha256
    ]
    data = (kept / "classifier.safetensors").read_bytes()
    write_classifier(folder, data, judge.card.model_copy(update=changes))
    return folder


def test_a_classifier_may_be_given(digits_splits: Splits, tmp_path: Path) -> None:
    folder = saved_judge(tmp_path / "judge", digits_splits)
    judge = open_judge(JudgingConfig(judge=folder), digits_splits, CPU)
    assert (judge.origin, judge.card.steps) == (str(folder), 3)
    with pytest.raises(InputError, match="give it or --judge, not both"):
        open_judge(JudgingConfig(judge=folder, judge_steps=3), digits_splits, CPU)


def test_classifiers_that_must_not_judge_are_refused(digits_splits: Splits, tmp_path: Path) -> None:
    record = digits_splits.record
    seen = record.model_copy(update={"held_out_fingerprint": "e" * 64, "seed": 7})
    more = record.model_copy(update={"class_counts": (50,) * 10})
    foreign = record.model_copy(update={"source_fingerprint": "f" * 64, "source": "imagefolder:mine"})
    cases: list[tuple[dict[str, Any], str]] = [
        ({"split": seen}, "it was trained on a split with seed 7 (here 0), so it has seen validation or test images"),
        ({"ancestors": (seen,)}, "so it has seen validation or test images"),
        ({"split": more}, "it saw 500 real training images, more than the 200"),
        ({"split": foreign}, "it was trained on other images (imagefolder:mine)"),
        ({"synthetic": ("runs/set",)}, "was trained on synthetic images (runs/set)"),
        ({"class_names": tuple("abcdefghij")}, "is for images of 8 pixels, 1 channel(s) and the classes ['a'"),
    ]
    for number, (changes, message) in enumerate(cases):
        folder = saved_judge(tmp_path / f"judge{number}", digits_splits, **changes)
        with pytest.raises(InputError) as refused:
            open_judge(JudgingConfig(judge=folder), digits_splits, CPU)
        assert message in str(refused.value)
        assert str(folder) in str(refused.value)
    with pytest.raises(InputError, match="holds no classifier"):
        open_judge(JudgingConfig(judge=tmp_path / "none"), digits_splits, CPU)


def test_images_that_are_elsewhere_are_asked_for(digits_set: Path) -> None:
    [(where, plan)] = plans_of(digits_set)
    moved = plan.generator.split.model_copy(update={"source": "imagefolder:/nowhere/photos"})
    elsewhere = plan.model_copy(update={"generator": plan.generator.model_copy(update={"split": moved})})
    with pytest.raises(InputError, match=r"no such folder: /nowhere/photos.*give --reference SPEC"):
        open_real(JudgingConfig(), [(where, elsewhere)])
