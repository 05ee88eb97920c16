"""Five real digits of each class, noise to judge with them, and a bench that nothing has disturbed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from synthaug.data.sources import load_source
from synthaug.data.splits import Splits, make_splits
from synthaug.workflows.bench import BenchConfig, bench
from tests.workflows.benches import TWO_ARMS, noise_set, perceptron_in, quick


@pytest.fixture(scope="module")
def quick_network() -> Iterator[None]:
    """Makes a quick network known to all tests of a module."""
    with pytest.MonkeyPatch.context() as patch:
        perceptron_in(patch)
        yield


@pytest.fixture(scope="session")
def splits() -> Splits:
    """Five real digits of each class to train on."""
    return make_splits(load_source("digits"), per_class_real=5)


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory: pytest.TempPathFactory, splits: Splits) -> Path:
    """A set of noise, whose generator claims to have seen these."""
    return noise_set(tmp_path_factory.mktemp("synthetic") / "set", splits.record)


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory, synthetic: Path) -> BenchConfig:
    """A bench of two arms and three seeds that nothing has disturbed; shared, so copy its folder before changing it."""
    config = quick(synthetic, tmp_path_factory.mktemp("whole") / "out", seeds=3, arms=TWO_ARMS)
    with pytest.MonkeyPatch.context() as patch:
        perceptron_in(patch)
        bench(config)
    return config
