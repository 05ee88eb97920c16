"""What only a GPU shows: batches gathered and augmented there are those of the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from synthaug.data.loader import mixed_loader
from synthaug.data.mixture import Mixture
from synthaug.data.splits import Splits


@pytest.mark.gpu
@pytest.mark.parametrize(
    "settings",
    [
        {"transform": "basic", "loading": "memory"},
        {"transform": "basic", "loading": "streaming", "workers": 2},
        {"transform": "survey", "loading": "memory"},
        {"transform": "strong", "loading": "memory"},
        {"transform": "none", "loading": "memory", "mixup": 0.2, "cutmix": 1.0},
    ],
    ids=str,
)
def test_batches_are_those_of_the_cpu(digits_set: Path, digits_splits: Splits, settings: dict[str, Any]) -> None:
    mixture = Mixture(synthetic_fraction=0.3, batch_size=32, **settings)
    there, here = (mixed_loader(digits_splits, digits_set, mixture, device=device) for device in ("cuda", "cpu"))
    for got, wanted in zip(there, here, strict=True):
        assert {value.device.type for value in got} == {"cuda"}
        for name in ("labels", "sources", "indices", "is_synthetic", "weights"):
            assert torch.equal(getattr(got, name).cpu(), getattr(wanted, name))
        torch.testing.assert_close(got.targets.cpu(), wanted.targets)
        changed = (got.images.cpu() - wanted.images).abs() > (1.5 / 127.5 if settings["transform"] != "none" else 1e-4)
        assert changed.float().mean() < 0.01  # nearest pixels at a tie may be others
