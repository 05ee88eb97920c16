"""What classifiers look at, through the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import write_image_folder
from tests.e2e.commands import Run, assert_short_complaint
from tests.workflows.pages import Page

CLASSIFY = ("classify", "--data", "digits", "--per-class-real", 20, "--batch-size", 16, "--device", "cpu", "--quiet")
EXPLAIN = ("explain", "--data", "digits", "--per-class-real", 20, "--device", "cpu")


@pytest.fixture
def both(tmp_path: Path, digits_set: Path, run: Run) -> tuple[object, ...]:
    """Flags for a classifier of real images, and one that saw a synthetic set as well."""
    real, mixed = tmp_path / "real", tmp_path / "mixed"
    assert run(*CLASSIFY, "--steps", 10, "--out", real).code == 0
    assert run(*CLASSIFY, "--steps", 10, "--synthetic", digits_set, "--out", mixed).code == 0
    return "--checkpoint", real, "--checkpoint", mixed


def test_two_classifiers_are_explained_side_by_side(
    both: tuple[object, ...], tmp_path: Path, digits_set: Path, run: Run
) -> None:
    out = tmp_path / "explained"
    planned = run(*EXPLAIN, *both, "--count", 4, "--out", out, "--dry-run", "--json")
    assert planned.code == 0, planned.err
    plan = json.loads(planned.out)
    assert ([entry["name"] for entry in plan["classifiers"]], plan["images"]) == (["real", "mixed"], 4)
    assert not out.exists()
    done = run(*EXPLAIN, *both, "--count", 4, "--out", out, "--json")
    assert done.code == 0, done.err
    assert done.out.count("\n") == 1
    assert "4 of 359 test images of digits" in done.err
    found, written = json.loads(done.out), json.loads((out / "explained.json").read_text())
    assert found["images"] == written["images"]
    assert len(found["images"]) == 4
    for said in (said for image in found["images"] for said in image["explanations"]):
        difference = said["output"] - said["baseline_output"]
        assert said["attribution_sum"] == pytest.approx(difference, rel=0.011, abs=0.011)
    assert (out / "explained.png").read_bytes().startswith(b"\x89PNG")
    rows = Page((out / "explained.html").read_text(encoding="utf-8")).table("classifier", "trained on")
    assert [row[1] for row in rows] == ["200 real images, no synthetic set", f"200 real images, synthetic {digits_set}"]
    again = run("explain", "--config", out / "config.yaml", "--quiet")
    assert again.code == 0, again.err
    assert again.err == ""
    assert json.loads((out / "explained.json").read_text()) == written
    assert "real             " in again.out
    assert "real and mixed: rank correlation of integrated gradients" in again.out
    assert again.out.endswith(f"page: {out / 'explained.html'}\n")


def test_what_cannot_be_explained_is_refused_in_one_paragraph(
    both: tuple[object, ...], tmp_path: Path, run: Run
) -> None:
    out, [_, real, _, mixed] = tmp_path / "explained", both
    others = write_image_folder(tmp_path / "others")
    foreign = run("explain", *both, "--data", f"imagefolder:{others}", "--out", out, "--device", "cpu")
    assert_short_complaint(foreign, 2, f"--checkpoint {real}", "grey images of 8 pixels", "RGB images", "cat, dog")
    large = run(*EXPLAIN, *both, "--image-size", 16, "--out", out)
    assert_short_complaint(large, 2, "images of 8 pixels", "images of 16 pixels", "--image-size")
    assert_short_complaint(run(*EXPLAIN, "--out", out), 2, "--checkpoint is required")
    assert_short_complaint(
        run(*EXPLAIN, "--checkpoint", tmp_path / "none", "--out", out), 2, "holds no classifier", "synthaug classify"
    )
    assert_short_complaint(run(*EXPLAIN, *both, "--out", real), 2, "is not empty and holds no earlier explanation")
    damaged = tmp_path / "damaged"
    shutil.copytree(str(mixed), damaged)
    (damaged / "classifier.safetensors").write_bytes(b"damaged")
    assert_short_complaint(
        run(*EXPLAIN, "--checkpoint", damaged, "--out", out), 3, "classifier.safetensors is damaged", "sha256"
    )
    assert not out.exists()
