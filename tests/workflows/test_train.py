"""Training as a workflow: what it is given, what it refuses, what it reports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from synthaug.core.errors import InputError, StorageError
from synthaug.data.splits import Splits
from synthaug.generators.base import TrainRequest, load_backend
from synthaug.generators.checkpoint import read_card
from synthaug.workflows.train import TrainConfig, plan_training, read_loss_curve, train


def tiny(out: Path, **changes: Any) -> TrainConfig:
    settings = {"out": out, "steps": 2, "batch_size": 4, "per_class_real": 5, "device": "cpu", "precision": "fp32"}
    return TrainConfig.resolve({**settings, **changes})


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
    assert (card.settings["steps"], card.settings["batch_size"]) == (5, 8)


def test_result_tells_steps_loss_and_curve(tmp_path: Path) -> None:
    result = train(tiny(tmp_path / "run", steps=20))
    assert result.is_complete
    assert result.training.steps == 20
    assert 0 < result.training.loss < 5
    steps = [step for step, _ in result.loss_curve]
    assert steps == sorted(steps)
    assert len(steps) == 2
    assert read_loss_curve(result.checkpoint) == result.loss_curve


def test_time_limit_leaves_an_incomplete_training_that_resume_auto_completes(tmp_path: Path) -> None:
    first = train(tiny(tmp_path / "run", max_time=1e-6, steps=3))
    assert not first.is_complete
    again = train(tiny(tmp_path / "run", steps=3, resume="auto"))
    assert again.is_complete
    assert again.training.steps == 3


def test_loss_curve_joins_all_runs_in_order_and_the_later_run_wins(tmp_path: Path) -> None:
    for number, rows in enumerate(["loss,step\n1.0,9\n0.9,19\n", "loss,step\n0.5,19\n,20\n0.4,29\n"]):
        folder = tmp_path / "logs" / f"version_{number}"
        folder.mkdir(parents=True)
        (folder / "metrics.csv").write_text(rows)
    assert read_loss_curve(tmp_path) == [(9, 1.0), (19, 0.5), (29, 0.4)]


def test_resume_auto_starts_anew_where_there_is_nothing(tmp_path: Path) -> None:
    assert train(tiny(tmp_path / "run", resume="auto")).training.steps == 2


def test_settings_are_saved_ready_for_another_run(tiny_checkpoint: Path) -> None:
    saved = TrainConfig.resolve({}, tiny_checkpoint / "config.yaml")
    assert (saved.steps, saved.batch_size, saved.out) == (5, 8, tiny_checkpoint)


def test_folder_with_a_training_is_refused_without_resume(tiny_checkpoint: Path) -> None:
    with pytest.raises(InputError, match="already holds a training; continue it with --resume auto"):
        plan_training(tiny(tiny_checkpoint))


def test_refused_resume_leaves_the_saved_settings_alone(tiny_checkpoint: Path) -> None:
    before = (tiny_checkpoint / "config.yaml").read_bytes()
    with pytest.raises(InputError, match="seed"):
        train(tiny(tiny_checkpoint, resume="auto", seed=5, batch_size=8, steps=5))
    assert (tiny_checkpoint / "config.yaml").read_bytes() == before
    assert yaml.safe_load(before)["seed"] == 0


@pytest.mark.parametrize("is_folder", [False, True])
def test_state_to_resume_may_be_named_by_file_or_checkpoint_folder(
    tiny_checkpoint: Path, tmp_path: Path, is_folder: bool
) -> None:
    named = tiny_checkpoint if is_folder else tiny_checkpoint / "training" / "state.ckpt"
    result = train(tiny(tmp_path / "longer", resume=str(named), steps=6, batch_size=8))
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
    assert (plan.preset, plan.steps, plan.batch_size) == ("digits", 2, 4)
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
