"""An ACGAN through the workflows: trained in parts, measured by itself, and drawn from with truncation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from synthaug.core.errors import InputError
from synthaug.generators import watch
from synthaug.generators.acgan import sampler
from synthaug.shards.reader import read_set
from synthaug.workflows.judge import Judge
from synthaug.workflows.synthesize import GenerateConfig, generate
from synthaug.workflows.train import TrainConfig, TrainResult, train

STEPS, PER_STEP = 6, 8


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A judge of two steps and few images to measure."""
    original = Judge.trained
    monkeypatch.setattr(Judge, "trained", lambda splits, runtime, steps: original(splits, runtime, steps=2))
    monkeypatch.setattr(watch, "_MONITORED_IMAGES", 20)
    monkeypatch.setattr(sampler, "_BATCHES", 1)


def trained(out: Path, **changes: Any) -> TrainResult:
    settings = {"model": "acgan", "per_class_real": 5, "images": STEPS * PER_STEP, "batch_size": PER_STEP // 2}
    given = {**settings, "out": out, "device": "cpu", "precision": "fp32", "grid_every": "1M", **changes}
    return train(TrainConfig.resolve(given))


def test_it_stops_in_time_goes_on_measures_itself_and_keeps_the_best(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    first = trained(out, max_time="0.01s")
    assert not first.is_complete
    shown = " ".join(capsys.readouterr().err.split())
    assert f"{STEPS * PER_STEP} images to be shown in {STEPS} steps of {PER_STEP}" in shown
    last = trained(out, resume="auto")
    assert last.is_complete
    assert last.training.kept_after is not None
    assert [step for step, _ in last.loss_curve][-1] == STEPS - 1
    log = "".join(path.read_text() for path in sorted((out / "logs").glob("*/metrics.csv")))
    assert all(name in log for name in ("frechet", "diversity_lowest", "discriminator_accuracy", "class_loss"))


def test_a_training_that_was_interrupted_before_its_first_step_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any, **__: Any) -> Judge:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Judge, "trained", interrupt)
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path / "run")
    assert trained(tmp_path / "run", resume="auto").is_complete


def test_a_finished_training_trains_no_judge_when_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = trained(tmp_path / "run")
    monkeypatch.setattr(Judge, "trained", lambda *_, **__: pytest.fail("a judge was trained"))
    assert trained(tmp_path / "run", resume="auto").training == before.training


def test_a_set_is_drawn_with_the_truncation_asked_for(tmp_path: Path) -> None:
    trained(tmp_path / "run")
    sets = {}
    for name, limit in (("plain", None), ("typical", 0.01)):
        settings = {"model": str(tmp_path / "run"), "per_class": 4, "out": tmp_path / name, "truncation": limit}
        generate(GenerateConfig.resolve({**settings, "device": "cpu", "precision": "fp32"}))
        sets[name], manifest = read_set(tmp_path / name)
        assert manifest.plan.truncation == limit
    own = [list(sets["typical"].images[sets["typical"].labels == label].float()) for label in range(10)]
    spread = max(float((torch.stack(each) - each[0]).abs().max()) for each in own)
    assert spread <= 10  # all of a class are nearly one
    assert float((sets["plain"].images.float() - sets["typical"].images.float()).abs().max()) > 10
    with pytest.raises(InputError, match="--truncation must be a positive number, found 0"):
        generate(GenerateConfig.resolve({**settings, "out": tmp_path / "none", "truncation": 0.0}))
