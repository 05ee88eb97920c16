"""Classifiers trained on mixtures, through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from synthaug.data.splits import Splits
from tests.conftest import write_shard_set
from tests.e2e.commands import Run, assert_short_complaint

FEW = ("classify", "--data", "digits", "--per-class-real", 20, "--steps", 4, "--batch-size", 16, "--device", "cpu")


@pytest.fixture
def sets(tmp_path: Path, digits_splits: Splits) -> list[Path]:
    options = {"split": digits_splits.record, "class_names": tuple("0123456789"), "channels": 1, "allows_flip": False}
    return [write_shard_set(tmp_path / name, seed=seed, **options) for seed, name in enumerate(("first", "second"))]


def test_flags_say_what_is_mixed_and_how(sets: list[Path], tmp_path: Path, run: Run) -> None:
    mixed = ["--synthetic", sets[0], "--synthetic", sets[1], "--proportion", 3, "--proportion", 1]
    ways = ["--synthetic-fraction", "0.75:0.25 linear", "--batching", "random", "--synthetic-loss-weight", 0.5]
    classic = ["--transform", "strong", "--mixup", 0.2, "--cutmix", 1, "--loading", "streaming", "--workers", 0]
    done = run(*FEW, *mixed, *ways, *classic, "--normalise", "--out", tmp_path / "out", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["steps"] == 4
    assert "200 real and 80 synthetic images" in done.err
    again = run("classify", "--config", tmp_path / "out" / "config.yaml", "--out", tmp_path / "again", "--json")
    assert again.code == 0, again.err
    first, second = (json.loads(answer.out) for answer in (done, again))
    for point in (*first["curve"], *second["curve"]):
        assert point.pop("seconds") > 0
    assert (first["curve"], first["test"]) == (second["curve"], second["test"])


def test_a_file_of_pipelines_augments_real_and_synthetic_images_apart(
    sets: list[Path], tmp_path: Path, run: Run
) -> None:
    (tmp_path / "t.yaml").write_text("real: basic\nsynthetic: none\n")
    assert run(*FEW, "--synthetic", sets[0], "--transform", tmp_path / "t.yaml", "--workers", 0, "--quiet").code == 0


def test_what_cannot_be_mixed_is_refused_before_anything_is_trained(
    sets: list[Path], tmp_path: Path, digits_splits: Splits, run: Run
) -> None:
    named = write_shard_set(tmp_path / "named", split=digits_splits.record, class_names=("cat", "dog"), channels=1)
    large = write_shard_set(
        tmp_path / "large", split=digits_splits.record, class_names=tuple("0123456789"), channels=1, size=16
    )
    (tmp_path / "t.yaml").write_text("reel: basic\n")
    for words, *found in (
        (["--synthetic", named], "same order", "['cat', 'dog']"),
        (["--synthetic", large], "(1, 16, 16)", "(1, 8, 8)"),
        (["--synthetic", tmp_path / "none"], "no shard set at"),
        (["--synthetic", sets[0], "--transform", tmp_path / "t.yaml"], "reel"),
        (["--synthetic", sets[0], "--synthetic-fraction", "most"], "--synthetic-fraction", "most"),
        (["--synthetic", sets[0], "--choose", 300], "300 synthetic images cannot replace"),
        (["--mixup", "much"], "--mixup"),
    ):
        answer = run(*FEW, *words)
        assert answer.code == 2, words
        for part in found:
            assert part in answer.err
        assert "Traceback" not in answer.err
    (sets[0] / "train-000001.tar").unlink()
    assert_short_complaint(run(*FEW, "--synthetic", sets[0]), 3, "train-000001.tar is missing")


def test_every_technique_is_a_flag(tmp_path: Path, run: Run) -> None:
    network = ["--network", "resnet20", "--attention", "graph", "--attention-heads", 2, "--attention-patch", 2]
    steps = ["--optimiser", "muon", "--learning-rate", 0.02, "--schedule", "cosine", "--weight-decay", 0.01]
    averaged = ["--ema", 0.9, "--gradient-clip", 0.5, "--accumulate", "0:2,1:1", "--label-smoothing", 0.1]
    others = ["--validations", 2, "--early-stopping", 5, "--progressive", 0.5, "--deterministic", "--logger", "csv"]
    flags = [*network, *steps, *averaged, *others]
    done = run(*FEW, *flags, "--out", tmp_path / "out", "--json")
    assert done.code == 0, done.err
    result = json.loads(done.out)
    assert result["steps"] == 4
    assert len(result["curve"]) == 2
    assert sum(map(sum, result["confusion"])) == result["test"]["count"]
    assert 0 <= result["calibration_error"] <= 1
    for name in ("classifier.json", "classifier.safetensors", "config.yaml", "confusion.png", "logs"):
        assert (tmp_path / "out" / name).exists(), name
    more = ["--pretrained", tmp_path / "out", "--network", "resnet20", "--freeze", 1, "--swa", 0.01, "--epochs", 0.1]
    begun = run("classify", "--data", "digits", "--per-class-real", 20, "--batch-size", 16, *more)
    assert begun.code == 0, begun.err
    assert "expected calibration error" in begun.out


def test_techniques_that_cannot_be_combined_are_refused(tmp_path: Path, run: Run) -> None:
    for words, *found in (
        (["--swa", 0.1, "--ema", 0.9], "--swa or --ema"),
        (["--find-lr", "--learning-rate", 0.1], "--find-lr"),
        (["--accumulate", "some"], "--accumulate", "some"),
        (["--pretrained", tmp_path / "nothing"], "--pretrained", "nothing"),
        (["--schedule", "sometimes"], "--schedule"),
    ):
        answer = run(*FEW, *words)
        assert answer.code == 2, words
        for part in found:
            assert part in answer.err
        assert "Traceback" not in answer.err
