"""The tricks of a training, as settings of `classify` and of a bench; and what a classifier begins with."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision.models import resnet18

from synthaug.classifiers.saved import read_classifier
from synthaug.classifiers.task import predict
from synthaug.core.errors import InputError
from synthaug.core.runtime import Runtime
from synthaug.data.preparation import Preparation
from synthaug.data.sources import load_source
from synthaug.data.splits import Splits, make_splits
from synthaug.metrics.calibration import expected_calibration_error
from synthaug.workflows import classify as classify_module
from synthaug.workflows.bench import bench
from synthaug.workflows.bench.record import read_study
from synthaug.workflows.classify import ClassifyConfig, ClassifyResult, classify, plan_classification
from tests.workflows import benches
from tests.workflows.test_classify import figures, settings


@pytest.mark.parametrize(
    "change",
    [
        {"network": "resnet20"},
        {"network": "resnet20", "attention": "self", "attention_patch": 2, "attention_heads": 2},
        {"attention": "graph"},
        {"optimiser": "sgd", "learning_rate": 0.1},
        {"schedule": "cosine"},
        {"weight_decay": 0.1},
        {"label_smoothing": 0.2},
        {"gradient_clip": 0.01},
        {"accumulate": "2"},
        {"swa": 0.5},
        {"ema": 0.5},
        {"validations": 1},
        {"learning_rate": 0.01},
    ],
    ids=str,
)
def test_every_flag_changes_the_training_and_is_kept_with_the_classifier(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    plain = classify(settings(out=tmp_path / "plain", logger="csv", steps=8))
    changed = classify(settings(out=tmp_path / "out", logger="csv", steps=8, **change))
    assert figures(changed) != figures(plain) or weights_in(tmp_path / "out") != weights_in(tmp_path / "plain")
    saved = read_classifier(tmp_path / "out")[1].recipe
    for name, value in change.items():
        assert saved[name] == value


def weights_in(folder: Path) -> str:
    """The hash of a classifier's weights."""
    return read_classifier(folder)[1].weights_sha256


def test_early_stopping_and_length_in_epochs(digits_splits: Splits) -> None:
    few = {"per_class_real": 20, "epochs": 2, "batch_size": 50, "device": "cpu", "precision": "fp32"}
    assert classify(ClassifyConfig.resolve(few)).steps == 2 * len(digits_splits.train) // 50
    hopeless = classify(settings(steps=20, validations=20, early_stopping=2, learning_rate=1e-9))
    assert hopeless.steps < 20


def test_the_result_tells_what_is_confused_and_how_sure_it_was(digits_splits: Splits, tmp_path: Path) -> None:
    result = classify(settings(out=tmp_path / "out", steps=20, logger="csv"))
    counts = torch.tensor(result.confusion)
    assert counts.sum(dim=1).tolist() == list(digits_splits.test.class_counts())
    assert counts.diagonal().sum() / counts.sum() == pytest.approx(result.test.overall)
    network, card = read_classifier(tmp_path / "out")
    preparation = Preparation(**card.preparation.model_dump())
    probabilities = predict(network, digits_splits.test.images, Runtime("cpu", "fp32"), preparation=preparation)
    assert result.calibration_error == pytest.approx(
        expected_calibration_error(probabilities, digits_splits.test.labels), abs=1e-6
    )
    assert min(result.training_images_per_second, result.test_images_per_second) > 0
    assert (tmp_path / "out" / "confusion.png").read_bytes()[:4] == b"\x89PNG"


def test_metrics_are_logged_beside_the_classifier(tmp_path: Path) -> None:
    classify(settings(out=tmp_path / "out", logger="tensorboard"))
    [file] = (tmp_path / "out").glob("logs/*/metrics.csv")
    with file.open(newline="") as rows:
        assert any(row["validation_accuracy"] for row in csv.DictReader(rows))
    assert list((tmp_path / "out").glob("tensorboard/*/events*"))


def test_a_found_learning_rate_is_used_and_shown(tmp_path: Path) -> None:
    result = classify(settings(out=tmp_path / "out", find_lr=True, batch_size=16, network="cifarnet", logger="csv"))
    assert result.learning_rate != settings().resolved_recipe().learning_rate
    assert read_classifier(tmp_path / "out")[1].recipe["learning_rate"] == result.learning_rate
    assert (tmp_path / "out" / "learning_rate.png").read_bytes()[:4] == b"\x89PNG"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("classifier.json", "classifier.safetensors", "config.yaml", "confusion.png", "learning_rate.png", "logs"),
    }


def test_every_training_has_a_log_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    for name in ("first", "second"):
        classify(settings(out=tmp_path / name, logger="wandb"))
        assert list((tmp_path / name).glob("wandb/offline-run-*/*.wandb")), name


def test_without_an_account_it_is_said_what_to_do(tmp_path: Path) -> None:
    words = [
        "classify",
        "--data",
        "digits",
        "--per-class-real",
        "20",
        "--steps",
        "1",
        "--logger",
        "wandb",
        "--out",
        "o",
    ]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    away = {"HOME": str(tmp_path), "NETRC": str(tmp_path / "netrc"), "PYTHONPATH": str(Path.cwd())}  # no account there
    answer = subprocess.run(  # in a process of its own, as its settings hold for the whole of one
        [sys.executable, "-m", "synthaug", *words],
        check=False,
        cwd=tmp_path,
        env={**kept, **away},
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 2, answer.stderr
    assert "WANDB_MODE=offline" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_fast_is_accurate_on_digits() -> None:
    config = ClassifyConfig.resolve({"data": "digits", "recipe": "fast", "device": "cpu", "precision": "fp32"})
    assert classify(config).test.overall >= 0.985


def test_an_interrupted_training_may_be_repeated_and_a_finished_one_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> ClassifyResult:
        (tmp_path / "out" / "logs").mkdir(parents=True)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(classify_module, "train_classifier", interrupted)
        with pytest.raises(KeyboardInterrupt):
            classify(settings(out=tmp_path / "out"))
    classify(settings(out=tmp_path / "out"))
    with pytest.raises(InputError, match="already holds a classifier; choose another folder"):
        classify(settings(out=tmp_path / "out"))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"epochs": 1}, "--steps and --epochs both say how long to train"),
        ({"freeze": 0.5}, "--freeze is about pretrained weights: give --pretrained too"),
        ({"find_lr": True, "learning_rate": 0.1}, "give one of them"),
        ({"attention_heads": 2}, "--attention-heads is about attention"),
        ({"logger": "tensorboard"}, "writes beside the classifier: give --out too"),
        ({"accumulate": "1:2"}, "--accumulate needs a number for epoch 0"),
        ({"attention": "graph", "attention_heads": 5}, "heads"),
        ({"attention": "graph", "attention_patch": 2}, "patches of size 2 need maps .*, found 1x1"),
        ({"stem": "imagenet"}, "--stem imagenet is for resnet18 and resnet34"),
        ({"pretrained": "imagenet"}, "there are weights for resnet18 and resnet34, not"),
        ({"pretrained": "nowhere"}, "the folder of a classifier or a file of weights is needed"),
    ],
    ids=str,
)
def test_impossible_trainings_are_refused_by_a_run_and_by_its_plan(change: dict[str, Any], complaint: str) -> None:
    for do in (classify, plan_classification):
        with pytest.raises(InputError, match=complaint):
            do(settings(**change))


# --- pretrained ---


def test_a_trained_classifier_gets_new_attention_which_alone_learns(tmp_path: Path) -> None:
    classify(settings(out=tmp_path / "plain", steps=20, logger="csv"))
    more = {"pretrained": str(tmp_path / "plain"), "attention": "graph", "freeze": 1.0}
    classify(settings(out=tmp_path / "more", logger="csv", **more))
    before, after = (read_classifier(tmp_path / name)[0].state_dict() for name in ("plain", "more"))
    for name, value in before.items():
        assert torch.equal(value, after[name]), name
    new = after.keys() - before.keys()
    assert new
    assert all(name.startswith("attention.") for name in new)
    card = read_classifier(tmp_path / "more")[1]
    assert card.pretrained == str(tmp_path / "plain")
    assert [split.train_fingerprint for split in card.ancestors] == [card.split.train_fingerprint]


def test_where_nothing_is_new_the_last_layer_learns(tmp_path: Path) -> None:
    classify(settings(out=tmp_path / "before", logger="csv"))
    classify(settings(out=tmp_path / "after", logger="csv", pretrained=str(tmp_path / "before"), freeze=1.0))
    before, after = (read_classifier(tmp_path / name)[0].state_dict() for name in ("before", "after"))
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed == {"head.weight", "head.bias"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"split_seed": 1}, "it was trained on a split with seed 0 .*here 1.*has seen validation or test images"),
        ({"per_class_real": 19}, "it saw 200 real training images, more than the 190"),
    ],
)
def test_weights_that_saw_too_much_are_refused(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    classify(settings(out=tmp_path / "first", logger="csv"))
    classify(settings(out=tmp_path / "second", logger="csv", pretrained=str(tmp_path / "first")))
    for name in ("first", "second"):
        with pytest.raises(InputError, match=f"--pretrained .*{name} must not be used with this split: {reason}"):
            plan_classification(settings(pretrained=str(tmp_path / name), **change))


def test_weights_of_other_images_have_to_be_accepted(tmp_path: Path, digits_splits: Splits) -> None:
    classify(settings(out=tmp_path / "digits", logger="csv"))
    larger = {"data": "digits", "image_size": 16, "pretrained": str(tmp_path / "digits")}
    with pytest.raises(InputError, match="was trained on other images .*--accept-init"):
        plan_classification(settings(**larger))
    plan_classification(settings(**larger, accept_init=True))


def test_weights_of_imagenet_see_images_by_its_statistics(tmp_path: Path) -> None:
    torch.save(resnet18(num_classes=1000).state_dict(), tmp_path / "weights.pth")
    few = {"network": "resnet18", "pretrained": str(tmp_path / "weights.pth"), "input_size": 33, "steps": 1}
    with pytest.raises(InputError, match="nothing shows what these weights were trained on"):
        plan_classification(settings(**few))
    few["accept_init"] = True
    classify(settings(out=tmp_path / "out", logger="csv", **few))
    card = read_classifier(tmp_path / "out")[1]
    assert card.architecture.stem == "imagenet"
    assert card.preparation.mean == pytest.approx([(123.675 + 116.28 + 103.53) / 3])
    assert card.preparation.input_size == 33
    classify(settings(out=tmp_path / "own", logger="csv", **few, normalise=False))
    assert read_classifier(tmp_path / "own")[1].preparation.mean is None


# --- the bench ---


def test_a_bench_takes_the_same_flags(digits_splits: Splits, tmp_path: Path) -> None:
    splits = make_splits(load_source("digits"), per_class_real=5)
    made = benches.noise_set(tmp_path / "set", splits.record)
    tricks = {"attention": "graph", "ema": 0.5, "gradient_clip": 1.0, "accumulate": "2", "schedule": "cosine"}
    summary = bench(benches.settings(made, tmp_path / "out", **tricks))
    for name, value in tricks.items():
        assert summary.settings["recipe"][name] == value
    plain = bench(benches.settings(made, tmp_path / "plain"))
    [tricky], [regime] = summary.regimes, plain.regimes
    assert [arm.curve for arm in tricky.arms] != [arm.curve for arm in regime.arms]


def test_arms_of_a_bench_may_begin_with_pretrained_weights(tmp_path: Path) -> None:
    splits = make_splits(load_source("digits"), per_class_real=5)
    made = benches.noise_set(tmp_path / "set", splits.record)
    classify(settings(out=tmp_path / "good", per_class_real=5, steps=60, batch_size=25, logger="csv"))
    few = {"learning_rate": 1e-6, "pretrained": str(tmp_path / "good")}
    begun = bench(benches.settings(made, tmp_path / "begun", **few))
    del few["pretrained"]
    new = bench(benches.settings(made, tmp_path / "new", **few))
    accuracy, accuracy_of_new = (one.regimes[0].arm("real").test_accuracy.mean for one in (begun, new))
    assert accuracy > accuracy_of_new + 20
    classify(settings(out=tmp_path / "saw", logger="csv"))  # of 20 a class
    with pytest.raises(InputError, match="it saw 200 real training images"):
        bench(benches.settings(made, tmp_path / "refused", pretrained=str(tmp_path / "saw")))
    assert read_study(tmp_path / "begun").settings["pretrained"] == str(tmp_path / "good")
    shutil.rmtree(tmp_path / "good")
    classify(settings(out=tmp_path / "good", per_class_real=5, seed=1, logger="csv"))  # another one at the same place
    with pytest.raises(InputError, match="pretrained_sha256"):
        bench(benches.settings(made, tmp_path / "begun", **few, pretrained=str(tmp_path / "good"), seeds=2))


def test_no_arm_begins_with_weights_that_saw_synthetic_images(tmp_path: Path) -> None:
    splits = make_splits(load_source("digits"), per_class_real=5)
    made = benches.noise_set(tmp_path / "set", splits.record)
    few = {"per_class_real": 5, "logger": "csv"}
    classify(settings(out=tmp_path / "mixed", synthetic=str(made), **few))
    classify(settings(out=tmp_path / "after", pretrained=str(tmp_path / "mixed"), **few))
    for name in ("mixed", "after"):
        with pytest.raises(
            InputError, match="was trained on synthetic images .* give a classifier of real images only"
        ):
            bench(benches.settings(made, tmp_path / "out", pretrained=str(tmp_path / name)))
