"""Classifiers on an accelerator: trained there, they are the same networks."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from synthaug.classifiers.networks import Architecture, build_network
from synthaug.classifiers.task import predict, train_classifier
from synthaug.core.runtime import Runtime
from synthaug.data.datamodule import MixedDataModule
from synthaug.data.mixture import Mixture
from synthaug.data.sources import load_source
from synthaug.data.splits import make_splits
from tests.classifiers.trainings import CPU, RECIPE, accuracy

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize(("optimiser", "rate"), [("sgd", 0.1), ("adamw", 0.01), ("muon", 0.03)])
@pytest.mark.parametrize("attention", ["none", "graph", "self"])
def test_digits_are_learned(optimiser: str, rate: float, attention: str, tmp_path: Path) -> None:
    splits, runtime = make_splits(load_source("digits")), Runtime("cuda", "bf16")
    network = build_network(Architecture("resnet20", attention=attention), channels=1, classes=10, seed=0)
    recipe = replace(RECIPE, steps=100, batch_size=48, optimiser=optimiser, learning_rate=rate, ema=0.9)
    data = MixedDataModule(splits, mixture=Mixture(batch_size=48))
    trained = train_classifier(network, data, recipe, runtime=runtime, root=tmp_path, on_step=lambda _: None)
    assert accuracy(trained.network, splits.test) > 0.8  # on the CPU
    here = predict(trained.network, splits.test.images, CPU)
    there = predict(trained.network, splits.test.images, Runtime("cuda", "fp32"))
    assert (here.argmax(dim=1) == there.argmax(dim=1)).float().mean() > 0.99


@pytest.mark.parametrize("compiled", [False, True])
def test_deterministic_trainings_are_equal_bit_by_bit(compiled: bool, tmp_path: Path) -> None:
    splits = make_splits(load_source("digits"), per_class_real=20)
    runtime = Runtime("cuda", "bf16", compiled=compiled, deterministic=True)
    weights = []
    for _ in range(2):
        network = build_network("cifarnet", channels=1, classes=10, seed=0)
        data = MixedDataModule(splits, mixture=Mixture(batch_size=16, transform="strong"))
        train_classifier(network, data, RECIPE, runtime=runtime, root=tmp_path, on_step=lambda _: None)
        weights.append(torch.cat([parameter.detach().flatten().cpu() for parameter in network.parameters()]))
    assert torch.equal(*weights)
