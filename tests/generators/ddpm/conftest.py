"""Trainings of a few steps, and what they leave behind."""

from __future__ import annotations

import csv
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from synthaug.core.runtime import Runtime
from synthaug.data.splits import Splits
from synthaug.generators.base import TrainRequest
from synthaug.generators.ddpm.task import DDPMTask

CPU = Runtime("cpu", "fp32")
BATCH = 8
STEPS = 6
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
OBJECTIVES = ("epsilon", "v", "edm")
MakeRequest = Callable[..., TrainRequest]
InterruptAt = Callable[[int, signal.Signals], None]
SpoilLosses = Callable[[Callable[[int, torch.Tensor], torch.Tensor]], None]


@pytest.fixture
def make_request(tmp_path: Path, digits_splits: Splits) -> MakeRequest:
    """`make_request(out_name, **changes)`: a training of a few steps on 200 digits."""

    def make(out: str = "checkpoint", **changes: Any) -> TrainRequest:
        request = TrainRequest(
            images=digits_splits.train,
            split=digits_splits.record,
            allows_flip=False,
            preset="digits",
            out=tmp_path / out,
            runtime=CPU,
            budget=STEPS * BATCH,
            batch_size=BATCH,
            grid_every=1_000_000,
            logger="csv",
        )
        return replace(request, **changes)

    return make


@pytest.fixture
def interrupt_at(monkeypatch: pytest.MonkeyPatch) -> InterruptAt:
    """`interrupt_at(step, signal)`: this process gets the signal once, while it computes that step (0-based)."""
    original = DDPMTask.training_step

    def arrange(step: int, number: signal.Signals) -> None:
        def training_step(self: DDPMTask, batch: Any, batch_idx: int) -> torch.Tensor:
            if self.global_step == step:
                monkeypatch.setattr(DDPMTask, "training_step", original)
                signal.raise_signal(number)
            return original(self, batch, batch_idx)

        monkeypatch.setattr(DDPMTask, "training_step", training_step)

    return arrange


@pytest.fixture
def spoil_losses(monkeypatch: pytest.MonkeyPatch) -> SpoilLosses:
    """`spoil_losses(f)`: the loss of every step (0-based) becomes f(step, loss), also where it is remembered."""
    original = DDPMTask.training_step

    def arrange(change: Callable[[int, torch.Tensor], torch.Tensor]) -> None:
        def training_step(self: DDPMTask, batch: Any, batch_idx: int) -> torch.Tensor:
            loss = change(self.global_step, original(self, batch, batch_idx))
            self._recent_losses[-1] = loss.detach()
            return loss

        monkeypatch.setattr(DDPMTask, "training_step", training_step)

    return arrange


def state_of(request: TrainRequest) -> Path:
    """The file to resume from."""
    return request.out / "training" / "state.ckpt"


def read_state(request: TrainRequest) -> dict[str, Any]:
    """Its contents."""
    state: dict[str, Any] = torch.load(state_of(request), weights_only=True)
    return state


def logged(request: TrainRequest, name: str) -> dict[int, float]:
    """The values of one figure by step, over all runs in the folder."""
    values = {}
    for path in sorted(request.out.glob("logs/version_*/metrics.csv")):
        with path.open(newline="") as file:
            values |= {int(row["step"]): float(row[name]) for row in csv.DictReader(file) if row.get(name)}
    return values
