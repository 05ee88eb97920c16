"""Stopping and resuming a training: exactly, with the same settings only, from whole states only."""

from __future__ import annotations

import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from synthaug.core.errors import DamageError, InputError
from synthaug.core.runtime import Runtime
from synthaug.generators.base import TrainRequest
from synthaug.generators.checkpoint import CARD_NAME, read_card
from synthaug.generators.ddpm.backend import BACKEND
from tests.generators.ddpm.conftest import (
    BATCH,
    OBJECTIVES,
    STEPS,
    WEIGHTS,
    InterruptAt,
    MakeRequest,
    logged,
    read_state,
    state_of,
)

every_objective = pytest.mark.parametrize("objective", OBJECTIVES)


def assert_same_training(one: TrainRequest, two: TrainRequest) -> None:
    first, second = read_state(one), read_state(two)
    assert first["global_step"] == second["global_step"]
    weights, others = first["state_dict"], second["state_dict"]
    assert {name.split(".")[0] for name in weights} == {"network", "average"}
    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    moments, other_moments = (state["optimizer_states"][0]["state"] for state in (first, second))
    assert len(moments) > 10
    assert all(torch.equal(moments[i][name], other_moments[i][name]) for i in moments for name in moments[i])
    assert read_card(one.out).weights == read_card(two.out).weights


@every_objective
def test_stopped_and_resumed_training_equals_an_uninterrupted_one_bit_for_bit(
    make_request: MakeRequest, interrupt_at: InterruptAt, objective: str
) -> None:
    whole, parts = (
        make_request(name, options={"objective": objective}, dropout=0.1, allows_flip=True)
        for name in ("whole", "parts")
    )
    BACKEND.train(whole)
    interrupt_at(2, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        BACKEND.train(parts)
    assert read_state(parts)["global_step"] == 3
    assert not (parts.out / CARD_NAME).exists()
    torch.rand(5)  # Dropout must not draw from whatever state a new process has.
    BACKEND.train(replace(parts, resume_from=state_of(parts)))
    assert_same_training(whole, parts)
    assert read_card(parts.out).training.steps == STEPS


def test_termination_signal_leaves_a_state_to_continue_from(
    make_request: MakeRequest, interrupt_at: InterruptAt
) -> None:
    whole, parts = make_request("whole"), make_request("parts")
    BACKEND.train(whole)
    interrupt_at(2, signal.SIGTERM)
    with pytest.raises(SystemExit) as stopped:
        BACKEND.train(parts)
    assert stopped.value.code == 143
    BACKEND.train(replace(parts, resume_from=state_of(parts)))
    assert_same_training(whole, parts)


@every_objective
def test_losses_logged_after_resuming_are_those_of_the_uninterrupted_training(
    make_request: MakeRequest, interrupt_at: InterruptAt, objective: str
) -> None:
    whole, parts = (
        make_request(name, budget=20 * 4, batch_size=4, options={"objective": objective}) for name in ("whole", "parts")
    )
    BACKEND.train(whole)
    interrupt_at(6, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        BACKEND.train(parts)
    BACKEND.train(replace(parts, resume_from=state_of(parts)))
    for name in ("loss", *(f"loss_noise_{group}_of_4" for group in (1, 2, 3, 4))):
        expected = logged(whole, name)
        assert set(expected) == {9, 19}
        found = logged(parts, name)
        assert {step: found[step] for step in expected} == expected
    assert read_card(parts.out).training.loss == read_card(whole.out).training.loss


def test_training_stopped_in_its_last_step_becomes_a_checkpoint_when_resumed(
    make_request: MakeRequest, interrupt_at: InterruptAt
) -> None:
    whole, parts = make_request("whole", budget=2 * BATCH), make_request("parts", budget=2 * BATCH)
    BACKEND.train(whole)
    interrupt_at(1, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        BACKEND.train(parts)
    assert not (parts.out / CARD_NAME).exists()
    BACKEND.train(replace(parts, resume_from=state_of(parts)))
    assert_same_training(whole, parts)
    assert read_card(parts.out).training.loss == read_card(whole.out).training.loss


def test_resuming_a_finished_training_changes_nothing(make_request: MakeRequest) -> None:
    request = make_request(budget=2 * BATCH)
    BACKEND.train(request)
    before = {path: path.stat().st_mtime_ns for path in (request.out / CARD_NAME, request.out / WEIGHTS)}
    BACKEND.train(replace(request, resume_from=state_of(request)))
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_time_limit_stops_between_two_steps_with_a_checkpoint_to_continue(make_request: MakeRequest) -> None:
    request = make_request(max_time=1e-6)
    BACKEND.train(request)
    training = read_card(request.out).training
    assert 1 <= training.steps < STEPS
    assert training.planned_images == STEPS * BATCH
    assert training.images_seen == training.steps * BATCH
    assert not training.is_complete
    BACKEND.train(replace(request, max_time=None, resume_from=state_of(request)))
    assert read_card(request.out).training.images_seen == STEPS * BATCH
    assert read_card(request.out).training.is_complete


def test_training_can_be_made_longer(make_request: MakeRequest) -> None:
    request = make_request(budget=2 * BATCH)
    BACKEND.train(request)
    before = read_card(request.out).checkpoint
    BACKEND.train(replace(request, budget=3 * BATCH, resume_from=state_of(request)))
    assert read_card(request.out).training.images_seen == 3 * BATCH
    assert read_card(request.out).checkpoint != before


def test_fewer_images_than_were_shown_are_refused(make_request: MakeRequest) -> None:
    request = make_request(budget=3 * BATCH)
    BACKEND.train(request)
    shorter = replace(request, budget=2 * BATCH, resume_from=state_of(request))
    with pytest.raises(InputError, match=f"--images {2 * BATCH} is fewer than the {3 * BATCH} that this training"):
        BACKEND.plan(shorter)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"runtime": Runtime("cpu", "bf16")}, "precision"),
        ({"preset": "small"}, "preset"),
        ({"batch_size": 9}, "batch_size"),
        ({"learning_rate": 1.0}, "learning_rate"),
        ({"dropout": 0.2}, "dropout"),
        ({"ema_half_life": 0.5}, "ema_half_life"),
        ({"label_dropout": 0.3}, "label_dropout"),
        ({"allows_flip": True}, "allows_flip"),
        ({"seed": 1}, "seed"),
        ({"options": {"objective": "v"}}, "objective"),
        ({"options": {"objective": "edm"}}, "objective"),
        ({"options": {"schedule": "linear"}}, "schedule"),
        ({"options": {"min_snr": 5.0}}, "min_snr"),
    ],
)
def test_resuming_with_another_setting_is_refused_by_name(
    tiny_checkpoint: Path, make_request: MakeRequest, change: dict[str, Any], named: str
) -> None:
    split = read_card(tiny_checkpoint).split
    same = make_request(split=split, resume_from=tiny_checkpoint / "training" / "state.ckpt")
    BACKEND.plan(same)
    for refuse in (BACKEND.plan, BACKEND.train):
        with pytest.raises(InputError, match=rf"\b{named}\b"):
            refuse(replace(same, **change))
    assert not same.out.exists()


def test_resuming_on_other_images_is_refused(tiny_checkpoint: Path, make_request: MakeRequest) -> None:
    with pytest.raises(InputError, match="train_fingerprint"):
        BACKEND.plan(make_request(resume_from=tiny_checkpoint / "training" / "state.ckpt"))


def test_state_without_its_settings_is_refused(tmp_path: Path, make_request: MakeRequest) -> None:
    (tmp_path / "state.ckpt").write_bytes(b"")
    with pytest.raises(InputError, match=r"cannot be resumed: settings.json is missing"):
        BACKEND.train(make_request(resume_from=tmp_path / "state.ckpt"))


@pytest.mark.parametrize("name", ["state.ckpt", "settings.json"])
def test_damaged_state_is_damage(tiny_checkpoint: Path, tmp_path: Path, make_request: MakeRequest, name: str) -> None:
    folder = shutil.copytree(tiny_checkpoint / "training", tmp_path / "training")
    (folder / name).write_bytes((folder / name).read_bytes()[:50])
    request = make_request(split=read_card(tiny_checkpoint).split, resume_from=folder / "state.ckpt")
    with pytest.raises(DamageError, match=rf"{name} is damaged"):
        BACKEND.train(request)
