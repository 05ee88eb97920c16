"""Settings of quick generations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from synthaug.classifiers.networks import NETWORKS
from synthaug.core.types import LabelledImages
from synthaug.data.sources import load_source
from synthaug.data.splits import Splits, make_splits
from synthaug.generators.ddpm.backend import DDPMGenerator
from synthaug.workflows.judge import JUDGE_RECIPE
from synthaug.workflows.synthesize import GenerateConfig
from tests.workflows.perceptron import Hidden
from tests.workflows.planted import balanced
from tests.workflows.sets import MakeConfig


@pytest.fixture
def make_config(tiny_checkpoint: Path, tmp_path: Path) -> MakeConfig:
    """`make_config(out_name, **changes)`: 3 images of each digit in shards of 12 (the last has 6)."""

    def make(out: str = "set", **changes: Any) -> GenerateConfig:
        settings = {
            "model": str(tiny_checkpoint),
            "out": tmp_path / out,
            "per_class": 3,
            "shard_size": 12,
            "steps": 2,
            "device": "cpu",
            "precision": "fp32",
        }
        return GenerateConfig.resolve({**settings, **changes})

    return make


@pytest.fixture
def batch_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets every image show the batch it was drawn in; real networks do so by rounding, but rarely."""
    original = DDPMGenerator.sample

    def sample(self: DDPMGenerator, labels: Tensor, *arguments: Any) -> Tensor:
        images = original(self, labels, *arguments)
        images[:, 0, 0, 0] = len(labels)
        images[:, 0, 0, 1] = torch.arange(len(labels))
        images[:, 0, 0, 2:] = (labels * torch.arange(len(labels))).sum() % 251
        return images

    monkeypatch.setattr(DDPMGenerator, "sample", sample)


@pytest.fixture
def perceptron(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a network that trains much quicker than the others."""
    builders = dict(NETWORKS.items())
    builders["perceptron"] = lambda channels, stem: Hidden(channels)
    monkeypatch.setattr(NETWORKS, "_values", builders)
    return "perceptron"


@pytest.fixture
def quick_judge(perceptron: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the judges of sets be networks that train much quicker."""
    monkeypatch.setattr("synthaug.workflows.real_classifier.JUDGE_RECIPE", replace(JUDGE_RECIPE, network=perceptron))


@pytest.fixture(scope="session")
def fresh_digits(digits_splits: Splits) -> LabelledImages:
    """40 real digits of each class that are in no part of `digits_splits`."""
    whole = make_splits(load_source("digits")).train
    known = {image.numpy().tobytes() for image in digits_splits.train.images}
    unused = [place for place, image in enumerate(whole.images) if image.numpy().tobytes() not in known]
    return balanced(whole.take(torch.tensor(unused)), 40)
