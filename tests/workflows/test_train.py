"""Training as a workflow: what it is given, what it refuses, what it reports."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from synthaug.classifiers.networks import build_network
from synthaug.core.errors import InputError, StorageError
from synthaug.data.splits import Splits
from synthaug.generators import watch
from synthaug.generators.base import TrainRequest, load_backend
from synthaug.generators.checkpoint import read_card
from synthaug.workflows import train as module
from synthaug.workflows.checkpoints import packaged_checkpoints
from synthaug.workflows.judge import Judge
from synthaug.workflows.train import TrainConfig, plan_training, read_loss_curve, train


def tiny(out: Path, **changes: Any) -> TrainConfig:
    """Two steps of four images, with one sample grid."""
    few = {"images": 8, "batch_size": 4, "per_class_real": 5, "grid_every": 1000}
    return TrainConfig.resolve({**few, "out": out, "device": "cpu", "precision": "fp32", **changes})


def test_generator_sees_the_training_part_of_the_split_and_its_card_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[TrainRequest] = []

    class Watched(Exception):  # noqa: N818 - it is no error
        pass

    def watch(_: object, request: TrainRequest) -> Path:
        seen.append(request)
        raise Watched

    monkeypatch.setattr(type(load_backend("ddpm")), "train", watch)
    config = tiny(tmp_path / "run", split_seed=3)
    with pytest.raises(Watched):
        train(config)
    splits: Splits = config.splits()
    assert seen[0].images.fingerprint == splits.train.fingerprint
    assert seen[0].split == splits.record
    held_out = {bytes(image.numpy()) for part in (splits.validation, splits.test) for image in part.images}
    assert held_out.isdisjoint(bytes(image.numpy()) for image in seen[0].images.images)


def test_card_tells_split_and_settings(tiny_checkpoint: Path) -> None:
    card = read_card(tiny_checkpoint)
    assert card.split == tiny(tiny_checkpoint).splits().record
    assert card.split.class_counts == (5,) * 10
    assert (card.image_size, card.channels, card.allows_flip) == (8, 1, False)
    assert (card.settings["images"], card.settings["batch_size"]) == (40, 8)


def test_result_tells_images_steps_loss_and_curve(tmp_path: Path) -> None:
    result = train(tiny(tmp_path / "run", images=80))
    assert result.is_complete
    assert (result.training.images_seen, result.training.planned_images, result.training.steps) == (80, 80, 20)
    assert 0 < result.training.loss < 5
    steps = [step for step, _ in result.loss_curve]
    assert steps == sorted(steps)
    assert len(steps) == 2
    assert read_loss_curve(result.checkpoint) == result.loss_curve


def test_time_limit_leaves_an_incomplete_training_that_resume_auto_completes(tmp_path: Path) -> None:
    first = train(tiny(tmp_path / "run", max_time=1e-6, images=12))
    assert not first.is_complete
    assert (first.training.images_seen, first.training.planned_images) == (4, 12)
    again = train(tiny(tmp_path / "run", images=12, resume="auto"))
    assert again.is_complete
    assert again.training.images_seen == 12


def test_loss_curve_joins_all_runs_in_order_and_the_later_run_wins(tmp_path: Path) -> None:
    for number, rows in enumerate(["loss,step\n1.0,9\n0.9,19\n", "loss,step\n0.5,19\n,20\n0.4,29\n"]):
        folder = tmp_path / "logs" / f"version_{number}"
        folder.mkdir(parents=True)
        (folder / "metrics.csv").write_text(rows)
    assert read_loss_curve(tmp_path) == [(9, 1.0), (19, 0.5), (29, 0.4)]


def test_resume_auto_starts_anew_where_there_is_nothing(tmp_path: Path) -> None:
    assert train(tiny(tmp_path / "run", resume="auto")).training.images_seen == 8


def test_settings_are_saved_ready_for_another_run(tiny_checkpoint: Path) -> None:
    saved = TrainConfig.resolve({}, tiny_checkpoint / "config.yaml")
    assert (saved.images, saved.batch_size, saved.out) == (40, 8, tiny_checkpoint)


def test_folder_with_a_training_is_refused_without_resume(tiny_checkpoint: Path) -> None:
    with pytest.raises(InputError, match="already holds a training; continue it with --resume auto"):
        plan_training(tiny(tiny_checkpoint))


def test_refused_resume_leaves_the_saved_settings_alone(tiny_checkpoint: Path) -> None:
    before = (tiny_checkpoint / "config.yaml").read_bytes()
    with pytest.raises(InputError, match="seed"):
        train(tiny(tiny_checkpoint, resume="auto", seed=5, batch_size=8, images=40))
    assert (tiny_checkpoint / "config.yaml").read_bytes() == before
    assert yaml.safe_load(before)["seed"] == 0


@pytest.mark.parametrize("is_folder", [False, True])
def test_state_to_resume_may_be_named_by_file_or_checkpoint_folder(
    tiny_checkpoint: Path, tmp_path: Path, is_folder: bool
) -> None:
    named = tiny_checkpoint if is_folder else tiny_checkpoint / "training" / "state.ckpt"
    result = train(tiny(tmp_path / "longer", resume=str(named), images=48, batch_size=8))
    assert result.training.steps == 6
    assert result.training.images_seen == 48


def test_state_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--resume .*gone: no training state there"):
        plan_training(tiny(tmp_path / "run", resume=str(tmp_path / "gone")))


def test_output_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(InputError, match="is a file; a folder is needed"):
        plan_training(tiny(tmp_path / "run"))


def test_unknown_model_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"unknown model 'vae'; known: .*ddpm"):
        plan_training(tiny(tmp_path / "run", model="vae"))


def test_plan_writes_nothing_and_tells_what_training_would_do(tmp_path: Path) -> None:
    plan = plan_training(tiny(tmp_path / "run"))
    assert (plan.preset, plan.images, plan.batch_size, plan.steps) == ("digits", 8, 4, 2)
    assert plan.options == {"objective": "epsilon", "schedule": "cosine"}
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("flip", "expected"), [(None, False), (True, True)])
def test_images_are_mirrored_only_where_the_source_or_the_user_allows_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flip: bool | None, expected: bool
) -> None:
    requests: list[TrainRequest] = []
    backend = type(load_backend("ddpm"))
    original = backend.plan
    monkeypatch.setattr(backend, "plan", lambda self, request: (requests.append(request), original(self, request))[1])
    plan_training(tiny(tmp_path / "run", flip=flip))
    assert requests[0].allows_flip is expected


def test_folder_with_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("mine")
    with pytest.raises(InputError, match="is not empty and holds no training"):
        train(tiny(tmp_path))
    assert (tmp_path / "config.yaml").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_grid_that_cannot_be_written_does_not_cost_the_training(tmp_path: Path) -> None:
    out = tmp_path / "run"
    (out / "training").mkdir(parents=True)
    (out / "grids").write_text("in the way")
    with pytest.raises(StorageError, match="could not write"):
        train(tiny(out))
    assert (out / "training" / "state.ckpt").is_file()


def test_short_trainings_have_a_loss_curve_too(tmp_path: Path) -> None:
    assert [step for step, _ in train(tiny(tmp_path / "run")).loss_curve] == [1]


def test_images_that_do_not_fill_the_last_batch_are_rounded_up_to_a_whole_one(tmp_path: Path) -> None:
    assert plan_training(tiny(tmp_path / "run", images=9)).steps == 3
    result = train(tiny(tmp_path / "run", images=9))
    assert (result.training.images_seen, result.training.planned_images, result.is_complete) == (12, 12, True)


@pytest.mark.parametrize(
    ("change", "options"),
    [
        ({"objective": "v", "schedule": "linear"}, {"objective": "v", "schedule": "linear"}),
        ({"min_snr": 5}, {"objective": "epsilon", "schedule": "cosine", "min_snr": 5}),
        ({"objective": "edm"}, {"objective": "edm"}),
    ],
)
def test_objective_schedule_and_weighting_reach_the_training_and_its_card(
    tmp_path: Path, change: dict[str, Any], options: dict[str, Any]
) -> None:
    config = tiny(tmp_path / "run", dropout=0.25, ema_half_life=0.125, **change)
    assert plan_training(config).options == options
    settings = read_card(train(config).checkpoint).settings
    assert {name: settings[name] for name in options} == options
    assert (settings["dropout"], settings["ema_half_life"]) == (0.25, 0.125)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"objective": "edm", "schedule": "linear"}, "--schedule belongs to epsilon and v"),
        ({"objective": "edm", "min_snr": 5}, "--min-snr weighs epsilon and v"),
        ({"objective": "x0"}, "--objective: .*'epsilon', 'v' or 'edm'"),
        ({"schedule": "sigmoid"}, "--schedule: .*'cosine' or 'linear'"),
        ({"min_snr": 0}, "--min-snr must be positive, found 0"),
        ({"dropout": 1.0}, r"--dropout must lie in \[0, 1\), found 1"),
        ({"ema_half_life": 0}, "--ema-half-life must be positive, found 0"),
        ({"grid_every": "0"}, "--grid-every: .* found"),
        ({"watch_every": "never"}, "--watch-every: a count like 50000, 500k or 2M is needed, found 'never'"),
    ],
)
def test_impossible_choices_are_refused_by_their_flag(tmp_path: Path, change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        plan_training(tiny(tmp_path / "run", **change))


def test_grids_come_every_so_many_images_and_after_the_last(tmp_path: Path) -> None:
    train(tiny(tmp_path / "run", images=20, grid_every=8))
    names = sorted(path.name for path in (tmp_path / "run" / "grids").iterdir())
    assert names == ["images-000000008.png", "images-000000016.png", "images-000000020.png"]


def test_samples_are_measured_every_so_many_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Judge.trained
    monkeypatch.setattr(Judge, "trained", lambda splits, runtime, steps: original(splits, runtime, steps=2))
    monkeypatch.setattr(watch, "_MONITORED_IMAGES", 20)
    train(tiny(tmp_path / "run", images=20, watch_every=8))
    [log] = (tmp_path / "run" / "logs").glob("*/metrics.csv")
    with log.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["frechet"]]
    assert [int(row["step"]) for row in rows] == [2, 4, 5]
    assert all(float(row["frechet"]) >= 0 for row in rows)
    assert all(0 <= float(row[name]) <= 1 for row in rows for name in ("recognised", "precision", "recall", "coverage"))


def test_samples_are_not_measured_where_there_are_too_few_validation_images(
    tmp_path: Path, make_image_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {"data": f"imagefolder:{make_image_folder(per_class=4)}", "per_class_real": None}
    with pytest.raises(InputError, match=r"--watch-every needs at least 6 validation images, found \d"):
        plan_training(tiny(tmp_path / "asked", watch_every=8, **few))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert module._Job.of(tiny(tmp_path / "gpu", device="cuda", **few)).request.monitor_every is None


def test_nothing_is_measured_on_a_cpu_unless_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Judge, "trained", lambda *_: pytest.fail("a judge was trained"))
    train(tiny(tmp_path / "run"))


@pytest.mark.parametrize(("images", "compiles"), [("1M", True), ("1k", False)])
def test_long_trainings_on_a_gpu_are_compiled_and_measured_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: str, compiles: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    given: list[TrainRequest] = []
    monkeypatch.setattr(type(load_backend("ddpm")), "train", lambda _, request: given.append(request))
    monkeypatch.setattr(module, "read_card", lambda _: read_card(packaged_checkpoints()["ddpm-digits"]))
    judge = Judge(build_network("resnet20", channels=1, classes=10, seed=0), 0.9, torch.zeros(1, 64))
    steps: list[int] = []

    def trained(*_: object, **asked: int) -> Judge:
        steps.append(asked["steps"])
        return judge

    monkeypatch.setattr(Judge, "trained", trained)
    for out, chosen in (("auto", {}), ("off", {"compile": False}), ("on", {"compile": True, "watch_every": "10"})):
        train(tiny(tmp_path / out, images=images, device="cuda", **chosen))
    assert [request.runtime.compiled for request in given] == [compiles, False, True]
    assert [request.monitor_every for request in given] == [given[0].budget // 20, given[0].budget // 20, 10]
    assert all(request.monitor == judge.figures for request in given)
    assert steps == [2000] * 3  # a GPU can afford a better judge
