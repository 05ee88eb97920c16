"""The whole study in small: it stops in the middle, goes on, and leaves everything that is to be taken home."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import headline
import pytest
import study
from staged import Ledger
from study import SHARES

from synthaug.core.errors import InputError, TrainingError
from synthaug.core.runtime import Runtime
from synthaug.generators.base import load_backend
from synthaug.generators.checkpoint import read_card
from synthaug.workflows.run.measuring import GeneratorSpeed


def run_slice(folder: Path, monkeypatch: pytest.MonkeyPatch, max_time: str) -> None:
    words = ["--smoke", "--state", str(folder / "state"), "--out", str(folder / "home"), "--max-time", max_time]
    monkeypatch.setattr(sys, "argv", ["headline.py", *words])
    headline.main()


def result_of(folder: Path) -> dict[str, dict]:
    return json.loads((folder / "home" / "headline.json").read_text())


def test_the_study_goes_on_where_it_stopped_and_brings_everything_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_slice(tmp_path, monkeypatch, "6s")
    said, first = capsys.readouterr().out, result_of(tmp_path)
    assert "ddpm to do" in said
    assert "run it again to go on" in said
    assert 0 < read_card(tmp_path / "home" / "ddpm").training.images_seen == first["figures"]["ddpm_images_seen"]
    run_slice(tmp_path, monkeypatch, "10m")
    said = capsys.readouterr().out
    assert "all stages are done" in said
    assert all(f"{name} done" in said for name in SHARES)

    result, home = result_of(tmp_path), tmp_path / "home"
    figures = result["figures"]
    assert figures["ddpm_images_seen"] > first["figures"]["ddpm_images_seen"]
    assert {"ddpm_evaluation_frechet", "acgan_evaluation_cas_gap", "ddpm_evaluation_copies"} <= figures.keys()
    assert {"ddpm_gain_points", "acgan curated_gain_points", "fractions_gain_points"} <= figures.keys()
    arms = set(result["runs"]["bench"]["per_seed"])
    assert {"real+classic", "mixed-together+classic", "mixed+classic (acgan)", "mixed+classic (ddpm curated)"} <= arms
    for name in ("bench", "fractions"):
        assert (home / "reports" / name / "report.html").is_file()
    for model in ("ddpm", "acgan"):
        assert (home / f"{model}.png").stat().st_size > 1000
        load_backend(model).load(home / model, Runtime("cpu", "fp32"))
    assert max(path.stat().st_size for path in home.rglob("*.safetensors")) < 16 * 2**20


def test_as_many_images_are_shown_as_fit_into_the_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["headline.py", "--smoke", "--state", str(tmp_path), "--out", str(tmp_path)])
    options = headline.parsed()
    options.total = 10_000.0
    trial = GeneratorSpeed(training=50.0, drawing=1.0, preset_images=1, is_watched=False)
    monkeypatch.setattr(study, "measure_generator", lambda *_, **__: trial)
    images = study.Study(options, Ledger.open(tmp_path / "study.json", {})).images_that_fit("ddpm", "digits")
    assert 0.8 * SHARES["ddpm"] * 10_000 * 50 < images < SHARES["ddpm"] * 10_000 * 50


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> study.Study:
    """A study of which nothing is done."""
    monkeypatch.setattr(sys, "argv", ["headline.py", "--smoke", "--state", str(tmp_path), "--out", str(tmp_path)])
    return study.Study(headline.parsed(), Ledger.open(tmp_path / "study.json", {}))


def fails(*_: object, **__: object) -> None:
    raise TrainingError("the discriminator has won")


def test_a_training_that_went_wrong_is_over_if_there_is_something_to_keep(
    small: study.Study, monkeypatch: pytest.MonkeyPatch, tiny_checkpoint: Path
) -> None:
    monkeypatch.setattr(study, "train", fails)
    with pytest.raises(TrainingError):
        small.trained("acgan", 10.0)
    shutil.copytree(tiny_checkpoint, small.root / "acgan")
    assert small.trained("acgan", 10.0)
    assert "the discriminator has won" in small.ledger.notes["acgan_ended"]


def test_generators_of_parts_that_there_was_no_time_for_are_made_in_the_next_slice(
    small: study.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "bench_and_report", fails)
    assert not small.benched_in_parts(10.0)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--ddpm", "acgan-digits"], "is of kind acgan"),
        (["--ddpm", "no/such/folder"], "no/such/folder"),
        (
            ["--data", "imagefolder:photos", "--name", "CIFAR-10", "--ddpm", "ddpm-digits", "--acgan", "acgan-digits"],
            "JPEG",
        ),
    ],
)
def test_what_would_be_refused_in_hours_is_refused_now(
    words: list[str], complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["h", "--smoke", "--state", str(tmp_path), "--out", str(tmp_path), *words])
    with pytest.raises((SystemExit, InputError), match=complaint):
        headline.main()


def test_shares_are_of_the_whole_time() -> None:
    assert sum(SHARES.values()) == pytest.approx(1)
