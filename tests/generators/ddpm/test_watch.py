"""Looking at a training: sample grids, figures of samples, and the stop of one that goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import lightning.pytorch as pl
import pytest
import torch
from PIL import Image
from torch import Tensor

from synthaug.core.errors import TrainingError
from synthaug.core.training import TrainingState
from synthaug.generators import watch
from synthaug.generators.checkpoint import CARD_NAME, read_card
from synthaug.generators.ddpm.backend import BACKEND
from synthaug.generators.ddpm.task import DDPMTask
from tests.generators.ddpm.conftest import BATCH, STEPS, MakeRequest, SpoilLosses, logged, read_state


@pytest.fixture
def save_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Saves the state after every step."""
    monkeypatch.setattr(TrainingState, "on_train_start", lambda self, *_: setattr(self, "every_seconds", -1.0))


@pytest.fixture
def save_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """`save_after(step)`: the time to save comes after that step."""

    def arrange(step: int) -> None:
        def on_train_batch_end(self: TrainingState, trainer: Any, *_: Any) -> None:
            if trainer.global_step == step:
                self._save(trainer)

        monkeypatch.setattr(TrainingState, "on_train_batch_end", on_train_batch_end)

    return arrange


def grids(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "grids").iterdir())


@pytest.mark.parametrize(
    ("every", "expected"),
    [(1000, [48]), (16, [16, 32, 48]), (20, [24, 40, 48])],
)
def test_grids_are_drawn_as_often_as_asked_and_at_the_end(
    make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch, every: int, expected: list[int]
) -> None:
    drawn: list[int] = []
    monkeypatch.setattr(watch, "_GRID_PER_CLASS", 1)
    monkeypatch.setattr(watch.Grids, "use", lambda self, trainer, task, *_: drawn.append(task.images_seen()))
    BACKEND.train(make_request(grid_every=every))
    assert drawn == expected


def test_grid_shows_eight_samples_of_each_of_ten_classes(make_request: MakeRequest) -> None:
    request = make_request(budget=BATCH)
    BACKEND.train(request)
    assert grids(request.out) == ["images-000000008.png"]
    with Image.open(request.out / "grids" / "images-000000008.png") as picture:
        cell = 8 * (32 // 8) + 1
        assert picture.size == (8 * cell + 1, 10 * cell + 1)


def test_grids_begin_from_the_same_noise(make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Tensor] = []
    monkeypatch.setattr(watch.Grids, "use", lambda self, trainer, task, images, labels: drawn.append(images))
    for name in ("one", "two"):
        BACKEND.train(make_request(name, budget=BATCH))
    assert torch.equal(drawn[0], drawn[1])


def test_monitor_sees_a_thousand_samples_of_all_classes_as_often_as_asked(
    make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_MONITORED_IMAGES", 30)
    assert_count, seen = 30, []

    def monitor(images: Tensor, labels: Tensor) -> dict[str, float]:
        assert images.shape == (assert_count, 1, 8, 8)
        assert images.dtype == torch.uint8
        assert torch.bincount(labels, minlength=10).tolist() == [3] * 10
        seen.append(images)
        return {"distance": 10.0 + len(seen)}

    request = make_request(monitor=monitor, monitor_every=2 * BATCH)
    BACKEND.train(request)
    assert len(seen) == STEPS // 2
    assert not torch.equal(seen[0], seen[-1])  # the weights have moved
    assert logged(request, "distance") == {2: 11.0, 4: 12.0, 6: 13.0}


def test_monitor_looks_at_a_thousand_samples() -> None:
    looking = watch.Monitoring(lambda images, labels: {}, 1, 7)
    labels = [label for label, _ in looking._samples]
    assert len(set(looking._samples)) == 1000
    assert max(labels.count(label) for label in range(7)) - min(labels.count(label) for label in range(7)) <= 1


def test_without_an_interval_the_monitor_is_never_asked(make_request: MakeRequest) -> None:
    def monitor(images: Tensor, labels: Tensor) -> dict[str, float]:
        raise AssertionError("asked")

    BACKEND.train(make_request(monitor=monitor, budget=BATCH))


@pytest.mark.usefixtures("save_often")
def test_loss_that_is_no_number_stops_the_training_with_its_last_good_state(
    make_request: MakeRequest, spoil_losses: SpoilLosses
) -> None:
    request = make_request(budget=30 * BATCH)
    spoil_losses(lambda step, loss: loss * float("nan") if step >= 12 else loss)
    with pytest.raises(TrainingError, match="no longer a number at step 20; lower the learning rate"):
        BACKEND.train(request)
    training = read_card(request.out).training
    assert training.steps == read_state(request)["global_step"] == 12
    assert not training.is_complete
    network = BACKEND.load(request.out, request.runtime).network
    assert all(weight.isfinite().all() for weight in network.parameters())


def test_diverging_training_stops_with_a_checkpoint_of_before(
    make_request: MakeRequest, spoil_losses: SpoilLosses, save_after: Callable[[int], None]
) -> None:
    request = make_request(budget=300 * 2, batch_size=2)
    save_after(70)
    spoil_losses(lambda step, loss: 1000 * loss if step >= 100 else loss)
    with pytest.raises(TrainingError, match="the training diverged at step 110: .* lower the learning rate"):
        BACKEND.train(request)
    card = read_card(request.out)
    assert card.training.steps == 70
    assert not card.training.is_complete
    assert BACKEND.load(request.out, request.runtime).spec.checkpoint == card.checkpoint


def test_loss_of_an_ordinary_training_may_rise(make_request: MakeRequest, spoil_losses: SpoilLosses) -> None:
    request = make_request(budget=120 * 2, batch_size=2)
    spoil_losses(lambda step, loss: 0 * loss + (3.0 if step >= 100 else 1.0))
    BACKEND.train(request)
    assert read_card(request.out).training.is_complete


@pytest.mark.parametrize(("loss", "is_sound"), [(0.9, True), (1.4, True), (1.6, False), (3.9, False)])
def test_state_is_not_worth_keeping_once_the_loss_has_risen_by_half(loss: float, is_sound: bool) -> None:
    stop = watch.StopOnDivergence()
    assert stop.is_sound()
    for step, mean in ((100, 1.0), (110, loss)):
        task = Mock(spec=DDPMTask, recent_loss=Mock(return_value=mean))
        stop.on_train_batch_end(Mock(spec=pl.Trainer, global_step=step), task, None, None, 0)
    assert stop.is_sound() == is_sound


@pytest.mark.usefixtures("save_often")
def test_state_that_is_not_sound_is_not_saved(make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch.StopOnDivergence, "is_sound", lambda _: False)
    saved: list[int] = []
    monkeypatch.setattr(TrainingState, "_save", lambda _, trainer: saved.append(trainer.global_step))
    BACKEND.train(make_request())
    assert saved == [STEPS]  # at the end only


def test_training_that_goes_wrong_before_any_state_leaves_no_checkpoint(
    make_request: MakeRequest, spoil_losses: SpoilLosses
) -> None:
    request = make_request()
    spoil_losses(lambda step, loss: loss * float("nan"))
    with pytest.raises(TrainingError, match="no longer a number"):
        BACKEND.train(request)
    assert not (request.out / CARD_NAME).exists()
