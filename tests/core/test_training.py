import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor

from synthaug.core.errors import InputError, TrainingError
from synthaug.core.runtime import Runtime
from synthaug.core.training import TrainingState, fit


def nothing(step: int) -> None:
    """Does nothing."""


class Descent(pl.LightningModule):
    """Moves one weight towards 1; `at_step` may interfere and scales the loss."""

    def __init__(self, at_step: Callable[[int], float | None] = nothing) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen: list[Any] = []
        self._at_step = at_step

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.seen.append(int(batch))
        scale = self._at_step(self.global_step)
        return (self.weight - 1).square().sum() * (1.0 if scale is None else scale)


def train(
    module: pl.LightningModule, root: Path, *, steps: int, on_step: Callable[[int], None] = nothing, **options: Any
) -> pl.Trainer:
    return fit(module, [0, 1, 2], runtime=Runtime("cpu", "fp32"), steps=steps, root=root, on_step=on_step, **options)


def after(step: int, action: Callable[[], None]) -> Callable[[int], None]:
    def act(now: int) -> None:
        if now == step:
            action()

    return act


def test_training_takes_exactly_the_steps_and_repeats_the_batches(tmp_path: Path) -> None:
    module, told = Descent(), []
    trainer = train(module, tmp_path, steps=7, on_step=told.append)
    assert trainer.global_step == 7
    assert module.seen == [0, 1, 2, 0, 1, 2, 0]
    assert told == [1, 2, 3, 4, 5, 6, 7]
    # Gradient descent on (w - 1)^2 from 0 with rate 0.1 has the closed form w = 1 - 0.8^steps.
    assert module.weight.item() == pytest.approx(1 - 0.8**7)


@pytest.mark.parametrize("steps", [0, -1])
def test_fewer_than_one_step_is_refused(tmp_path: Path, steps: int) -> None:
    with pytest.raises(InputError, match=f"at least one training step is needed, found {steps}"):
        train(Descent(), tmp_path, steps=steps)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_a_number_ends_the_training(tmp_path: Path, bad: float) -> None:
    module = Descent(lambda step: bad if step >= 12 else 1.0)
    with pytest.raises(TrainingError, match="no longer a number at step 20"):
        train(module, tmp_path, steps=1000)
    assert len(module.seen) == 20


def test_a_loss_that_breaks_in_the_last_steps_is_not_saved_as_a_success(tmp_path: Path) -> None:
    state = tmp_path / "state.ckpt"
    with pytest.raises(TrainingError, match="no longer a number at step 25"):
        train(
            Descent(lambda step: float("nan") if step >= 22 else 1.0),
            tmp_path,
            steps=25,
            callbacks=[TrainingState(state)],
        )
    assert not state.exists()


def test_the_time_limit_ends_the_training_before_its_steps(tmp_path: Path) -> None:
    assert train(Descent(), tmp_path, steps=1000, max_time=0.0).global_step < 1000


def test_the_time_limit_counts_for_each_run_anew(tmp_path: Path) -> None:
    state = tmp_path / "state.ckpt"
    first = train(Descent(), tmp_path, steps=1000, max_time=0.0, callbacks=[TrainingState(state)]).global_step
    second = train(Descent(), tmp_path, steps=1000, max_time=0.0, resume_from=state).global_step
    assert 0 < first < second < 1000


def test_the_state_is_saved_at_the_end_and_loads_without_pickle(tmp_path: Path) -> None:
    state = tmp_path / "state.ckpt"
    module = Descent()
    train(module, tmp_path, steps=4, callbacks=[TrainingState(state)])
    loaded = torch.load(state, weights_only=True)
    assert loaded["global_step"] == 4
    assert torch.equal(loaded["state_dict"]["weight"], module.weight.data)
    assert [path.name for path in tmp_path.iterdir()] == ["state.ckpt"]


def test_the_state_is_saved_during_the_training_too(tmp_path: Path) -> None:
    state = tmp_path / "state.ckpt"
    saved_steps = []

    def look(step: int) -> None:
        if state.exists():
            saved_steps.append(torch.load(state, weights_only=True)["global_step"])

    train(Descent(), tmp_path, steps=4, on_step=look, callbacks=[TrainingState(state, every_seconds=-1.0)])
    assert saved_steps == [1, 2, 3]


def test_a_long_interval_saves_only_at_the_end(tmp_path: Path) -> None:
    state = tmp_path / "state.ckpt"
    existed = []
    train(
        Descent(),
        tmp_path,
        steps=3,
        on_step=lambda step: existed.append(state.exists()),
        callbacks=[TrainingState(state, every_seconds=1e9)],
    )
    assert existed == [False, False, False]
    assert state.exists()


def test_continuing_gives_the_same_weights_as_training_in_one_go(tmp_path: Path) -> None:
    state = tmp_path / "state.ckpt"
    train(Descent(), tmp_path, steps=3, callbacks=[TrainingState(state)])
    continued, whole = Descent(), Descent()
    trainer = train(continued, tmp_path, steps=8, resume_from=state)
    train(whole, tmp_path, steps=8)
    assert trainer.global_step == 8
    assert len(continued.seen) == 5
    assert torch.equal(continued.weight, whole.weight)


def test_a_state_file_with_foreign_objects_is_refused(tmp_path: Path) -> None:
    ran = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (ran,))

    state = tmp_path / "state.ckpt"
    torch.save({"state_dict": Evil()}, state)
    with pytest.raises(Exception, match="weights_only"):
        train(Descent(), tmp_path, steps=3, resume_from=state)
    assert not ran.exists()


@pytest.mark.parametrize(
    ("number", "outcome"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)], ids=["INT", "TERM"]
)
def test_a_signal_ends_after_the_step_with_the_state_saved(tmp_path: Path, number: signal.Signals, outcome) -> None:
    state = tmp_path / "state.ckpt"
    module = Descent(after(3, lambda: signal.raise_signal(number)))
    with pytest.raises(outcome) as caught:
        train(module, tmp_path, steps=1000, callbacks=[TrainingState(state)])
    if outcome is SystemExit:
        assert caught.value.code == 143
    assert torch.load(state, weights_only=True)["global_step"] == 4
    assert module.weight.item() == pytest.approx(1 - 0.8**4)


def test_a_second_interrupt_ends_at_once_and_is_still_an_interrupt(tmp_path: Path) -> None:
    def interrupt_twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    module = Descent(after(3, interrupt_twice))
    with pytest.raises(KeyboardInterrupt):
        train(module, tmp_path, steps=1000)
    assert module.weight.item() == pytest.approx(1 - 0.8**3)


def test_signal_handlers_are_put_back(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    train(Descent(), tmp_path, steps=1)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    with pytest.raises(KeyboardInterrupt):
        train(Descent(after(1, lambda: signal.raise_signal(signal.SIGINT))), tmp_path, steps=9)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_an_error_in_a_step_reaches_the_caller(tmp_path: Path) -> None:
    def fail() -> None:
        raise ValueError("in the step")

    with pytest.raises(ValueError, match="in the step"):
        train(Descent(after(2, fail)), tmp_path, steps=9)


def test_training_leaves_the_warning_filters_as_they_were(tmp_path: Path) -> None:
    before = list(warnings.filters)
    train(Descent(), tmp_path, steps=1)
    assert warnings.filters == before
