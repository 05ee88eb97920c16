"""Judging and curating sets through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from synthaug.core.types import LabelledImages
from synthaug.data.splits import Splits
from tests.conftest import random_pixels
from tests.e2e.commands import Run, assert_short_complaint
from tests.workflows.pages import Page
from tests.workflows.planted import balanced, write_set_of

FEW = ("--judge-steps", 20, "--device", "cpu", "--precision", "fp32")


@pytest.fixture
def real_set(tmp_path: Path, digits_splits: Splits) -> Path:
    """A set of validation images: real, and neither training nor test images."""
    return write_set_of(tmp_path / "real-set", balanced(digits_splits.validation, 10), digits_splits)


@pytest.fixture
def noise_set(tmp_path: Path, digits_splits: Splits) -> Path:
    """A set of noise with labels."""
    like = balanced(digits_splits.validation, 10)
    noise = LabelledImages.of(random_pixels(100, 1, 8, 8), like.labels, like.class_names, "noise")
    return write_set_of(tmp_path / "noise-set", noise, digits_splits, seed=1)


def test_sets_are_evaluated_side_by_side(real_set: Path, noise_set: Path, tmp_path: Path, run: Run) -> None:
    out = tmp_path / "out"
    words = ("evaluate", real_set, noise_set, "--reference", "digits", *FEW, "--out", out, "--cas-seeds", 0)
    planned = run(*words, "--dry-run", "--json")
    assert planned.code == 0, planned.err
    assert json.loads(planned.out)["sets"] == {"real-set": 100, "noise-set": 100}
    assert not out.exists()
    done = run(*words, "--json")
    assert done.code == 0, done.err
    assert done.out.count("\n") == 1
    found, written = json.loads(done.out), json.loads((out / "evaluation.json").read_text())
    assert found["sets"] == written["sets"]
    values = [
        {figure["name"]: figure["overall"]["value"] for figure in one["comparisons"][0]["figures"]}
        for one in found["sets"]
    ]
    assert values[0]["precision"] > values[1]["precision"]
    assert values[0]["kid"] < values[1]["kid"]
    assert {path.name for path in out.iterdir()} == {
        "config.yaml",
        "evaluation.json",
        "gallery.html",
        "samples_noise-set.csv",
        "samples_real-set.csv",
    }
    page = Page((out / "gallery.html").read_text(encoding="utf-8"))
    assert "noise-set" in (out / "gallery.html").read_text(encoding="utf-8")
    assert page.tables
    again = run("evaluate", "--config", out / "config.yaml", "--quiet")
    assert again.code == 0, again.err
    assert again.err == ""
    assert "real-set: 100 images" in again.out
    assert "label fidelity" in again.out
    assert "classification accuracy score: not measured (--cas-seeds 0)" in again.out
    assert "refused: " not in again.out.split("noise-set: ")[0].split("Fréchet")[1].splitlines()[0]
    assert again.out.endswith(f"gallery: {out / 'gallery.html'}\n")


def test_a_set_is_curated_inspected_and_mixed(real_set: Path, tmp_path: Path, run: Run) -> None:
    curated = tmp_path / "curated"
    words = ("curate", real_set, "--filter", "confidence=0.5", "--filter", "quota=3", *FEW, "--out", curated)
    planned = run(*words, "--dry-run", "--json")
    assert planned.code == 0, planned.err
    assert json.loads(planned.out) == {"images": 100, "filters": ["confidence=0.5", "quota=3"], "train": 200}
    done = run(*words, "--json")
    assert done.code == 0, done.err
    assert [step["left"] for step in json.loads(done.out)["steps"]] == [50, 30]
    assert run("verify", curated, "--deep").code == 0
    inspected = run("inspect", curated)
    assert "confidence" in inspected.out
    assert "quota" in inspected.out
    mixed = run(
        "classify", "--data", "digits", "--per-class-real", 20, "--steps", 3, "--batch-size", 16, "--device", "cpu",
        "--synthetic", curated, "--json",
    )  # fmt: skip
    assert mixed.code == 0, mixed.err
    shown = run("curate", real_set, *FEW, "--out", tmp_path / "other")
    assert shown.code == 0, shown.err
    assert "mislabelled" in shown.out
    assert "per class: 0 " in shown.out


def test_what_cannot_be_judged_is_refused_in_one_paragraph(
    digits_set: Path, digits_splits: Splits, tmp_path: Path, run: Run
) -> None:
    out = ("--out", tmp_path / "out", *FEW)
    assert_short_complaint(run("evaluate", tmp_path / "none", *out), 2, "no shard set at")
    assert_short_complaint(run("evaluate", *out), 2, "DIR is required")
    assert_short_complaint(run("curate", *out), 2, "DIR is required")
    assert_short_complaint(run("evaluate", digits_set, *out, "--metrics", "fid"), 2, "frechet")
    assert_short_complaint(run("evaluate", digits_set, *out, "--split-seed", 9), 2, "Leave --split-seed out")
    assert_short_complaint(run("evaluate", digits_set, *out, "--metrics", "frechet"), 2, "64")
    assert_short_complaint(run("evaluate", digits_set, *out, "--inception-weights", "x.pth"), 2, "--features inception")
    leaked = write_set_of(tmp_path / "leaked", balanced(digits_splits.test, 4), digits_splits)
    assert_short_complaint(run("evaluate", leaked, *out), 2, "holds test images of digits: 40 of 40")
    assert_short_complaint(run("curate", leaked, *out), 2, "holds test images of digits")
    assert_short_complaint(run("curate", digits_set, *out, "--filter", "best"), 2, "unknown filter 'best'; known:")
    assert_short_complaint(run("curate", digits_set, *out, "--filter", "quota=0"), 2, "leaves nothing of 40 samples")
    assert not (tmp_path / "out").exists()
