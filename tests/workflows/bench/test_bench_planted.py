"""Truths that a bench must find, planted in its synthetic sets."""

from __future__ import annotations

import pytest

from synthaug.data.splits import Splits
from synthaug.workflows.bench import RegimeSummary, bench
from synthaug.workflows.bench.summary import SetResult
from tests.conftest import random_pixels
from tests.workflows.benches import (
    held_back,
    perceptron_in,
    planted,
    write_images_as_set,
)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, splits: Splits) -> RegimeSummary:
    """What one bench says of sets whose worth is known; their records claim a generator of the real images in use."""
    folder = tmp_path_factory.mktemp("planted")
    train, record = splits.train, splits.record
    contents = {
        "held back": held_back(splits),
        "noise": [random_pixels(60, 1, 8, 8, seed=label) for label in range(10)],
        "copies": [train.images[members] for members in train.indices_by_class()],
    }
    sets = [
        write_images_as_set(folder / name, pixels, record, seed=seed)
        for seed, (name, pixels) in enumerate(contents.items())
    ]
    short = {"seeds": 5, "steps": 30, "batch_size": 16, "learning_rate": 0.03, "synthetic_fraction": 0.5}
    with pytest.MonkeyPatch.context() as patch:
        network = perceptron_in(patch)
        [regime] = bench(planted(sets, folder / "out", network, arms=("real", "mixed"), **short)).regimes
    return regime


def set_called(name: str, found: RegimeSummary) -> SetResult:
    return next(one for one in found.sets if one.name == name)


def test_more_real_images_in_disguise_help(found: RegimeSummary) -> None:
    one = set_called("held back", found)
    assert one.verdict == "helps"
    assert one.gain.difference.mean > 3
    assert one.label_fidelity > 70


def test_noise_with_random_labels_hurts(found: RegimeSummary) -> None:
    one = set_called("noise", found)
    assert one.verdict == "hurts"
    assert one.gain.difference.mean < -1
    assert one.label_fidelity == pytest.approx(10, abs=5)


def test_copies_of_the_same_real_images_are_inconclusive(found: RegimeSummary) -> None:
    one = set_called("copies", found)
    assert one.verdict == "inconclusive"
    assert abs(one.gain.difference.mean) < 1.5
    assert one.label_fidelity > 95


def test_a_set_that_helps_is_better_than_one_that_hurts(found: RegimeSummary) -> None:
    between = next(one for one in found.comparisons if one.name == "mixed (noise) − mixed (held back)")
    assert between.verdict == "hurts"
    means = {name: set_called(name, found).gain.difference.mean for name in ("noise", "held back")}
    assert between.difference.mean == pytest.approx(means["noise"] - means["held back"])
