"""The one command from a folder of images to a verdict, with a budget of seconds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from synthaug.core.pixels import to_pil
from synthaug.data.sources import load_source
from synthaug.shards.verify import verify_set
from synthaug.workflows.run.record import RECORD_NAME
from tests.e2e.commands import Run, assert_short_complaint

_CLASSES, _PER_CLASS = 3, 15


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of three kinds of digits."""
    images = load_source("digits").train
    for label in range(_CLASSES):
        folder = tmp_path / "photos" / f"digit {label}"
        folder.mkdir(parents=True)
        for number, place in enumerate((images.labels == label).nonzero().flatten()[:_PER_CLASS].tolist()):
            to_pil(images.images[place]).save(folder / f"{number}.png")
    return tmp_path / "photos"


def test_a_folder_and_a_budget_are_enough(photos: Path, tmp_path: Path, run: Run) -> None:
    out = tmp_path / "run"
    words = ["run", "--data", f"imagefolder:{photos}", "--no-flip", "--budget", "20s", "--out", out, "--steps", 4]
    words += ["--model", "ddpm", "--device", "cpu", "--precision", "fp32"]
    answer = run(*words, "--json")
    assert answer.code == 0, answer.err
    result = json.loads(answer.out)
    assert result["raw"] == str(out / "synthetic")
    assert verify_set(out / "synthetic", deep=True).samples > 0
    assert set(result["seconds"]) >= {"measuring", "training", "drawing"}
    assert result["left_out"]
    assert all(f"{stage}/5" in answer.err for stage in (1, 2, 3))
    record = json.loads((out / RECORD_NAME).read_text())
    assert record["result"] == result
    covered = record["covered"]
    if covered is None or covered["seeds"] < 3:  # as slow a machine may have it
        assert result["sentence"].startswith("No verdict")
        assert "--budget" in result["sentence"]
    if result["report"] is not None:
        assert "<html" in Path(result["report"]).read_text()
    for_people = run(*words)
    assert for_people.code == 0, for_people.err
    assert for_people.out.splitlines()[0] == result["sentence"]
    assert "left out: training: " in for_people.out
    assert_short_complaint(run(*words, "--seed", 3), 2, "was started with other settings", "seed is 0 there and 3 now")
