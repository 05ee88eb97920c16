from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from synthaug.classifiers.finder import find_learning_rate, steepest
from synthaug.classifiers.networks import build_network
from synthaug.core.errors import TrainingError
from synthaug.data.datamodule import MixedDataModule
from synthaug.data.mixture import Mixture
from synthaug.data.splits import Splits
from tests.classifiers.trainings import CPU, RECIPE

RATES = np.logspace(-5, 1, 61)


def losses(middle: float) -> np.ndarray:
    """A loss that falls about `middle` and explodes three decades later."""
    decades = np.log10(RATES / middle)
    return 2.3 - 1.5 / (1 + np.exp(-4 * decades)) + np.exp(2 * (decades - 3))


@pytest.mark.parametrize("middle", [1e-4, 1e-3, 1e-2])
def test_the_middle_of_the_steepest_fall_is_chosen_and_not_the_lowest_loss(middle: float) -> None:
    found = losses(middle)
    place = steepest(RATES.tolist(), found.tolist())
    assert RATES[place] == pytest.approx(middle, rel=0.01)
    assert place < found.argmin()


def test_losses_that_are_no_numbers_are_left_out() -> None:
    found = losses(1e-3)
    found[-5:] = np.nan, np.inf, -np.inf, np.nan, np.nan
    assert RATES[steepest(RATES.tolist(), found.tolist())] == pytest.approx(1e-3, rel=0.01)


def test_a_loss_that_never_falls_gives_no_rate() -> None:
    with pytest.raises(TrainingError, match="saw no loss fall; give --learning-rate"):
        steepest(RATES.tolist(), np.linspace(1, 2, 61).tolist())


@pytest.mark.parametrize(("optimiser", "low", "high"), [("sgd", 3e-3, 1.0), ("adam", 3e-4, 0.1)])
def test_a_found_rate_suits_the_optimiser_and_leaves_the_network_alone(
    optimiser: str, low: float, high: float, digits_splits: Splits, tmp_path: Path
) -> None:
    network = build_network("cifarnet", channels=1, classes=10, seed=0)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    data = MixedDataModule(digits_splits, mixture=Mixture(batch_size=16))
    recipe = replace(RECIPE, optimiser=optimiser)
    found = find_learning_rate(network, data, recipe, runtime=CPU, root=tmp_path, steps=60)
    assert low < found.chosen < high
    assert found.chosen in found.rates
    assert len(found.rates) == len(found.losses)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name
    plot = cv2.imdecode(np.frombuffer(found.plot, np.uint8), cv2.IMREAD_COLOR)
    blue, green, red = (plot[..., channel].astype(int) for channel in range(3))
    assert ((red > 200) & (green < 60) & (blue < 60)).sum() > 50  # the chosen point
    assert not list(tmp_path.iterdir())
