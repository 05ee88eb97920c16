"""The moving average of weights against its recursion."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from synthaug.generators.ema import averaged_copy, decay_at, update_average


def test_average_equals_the_recursion_written_out_by_hand() -> None:
    network = nn.Linear(3, 2)
    average = averaged_copy(network)
    expected = network.weight.detach().double()
    for step, decay in enumerate([0.1, 0.5, 0.9, 0.99]):
        with torch.no_grad():
            network.weight.copy_(torch.full((2, 3), float(step)) + torch.arange(6.0).view(2, 3))
        update_average(average, network, decay)
        expected = decay * expected + (1 - decay) * network.weight.detach().double()
    torch.testing.assert_close(average.weight.double(), expected, rtol=1e-6, atol=1e-6)


def test_buffers_are_copied_rather_than_averaged() -> None:
    network = nn.BatchNorm1d(2)
    average = averaged_copy(network)
    network.running_mean.fill_(7.0)
    network.num_batches_tracked.fill_(3)
    update_average(average, network, 0.9)
    assert average.running_mean.tolist() == [7.0, 7.0]
    assert average.num_batches_tracked == 3


def test_average_is_frozen_in_evaluation_mode_and_shares_no_memory_with_the_network() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Dropout()).train()
    average = averaged_copy(network)
    before = average[0].weight.clone()
    with torch.no_grad():
        network[0].weight.add_(1.0)
    assert not average.training
    assert not average[1].training
    assert network.training
    assert not any(weight.requires_grad for weight in average.parameters())
    assert torch.equal(average[0].weight, before)


@pytest.mark.parametrize(("seen", "batch", "half_life", "expected"), [(800, 8, 0.01, 0.5), (100, 25, 0.125, 0.25)])
def test_decay_halves_once_for_every_half_life_in_the_batch(
    seen: int, batch: int, half_life: float, expected: float
) -> None:
    assert decay_at(seen, batch, half_life) == pytest.approx(expected)


@pytest.mark.parametrize("batch", [1, 16, 100])
def test_weight_of_the_past_falls_with_the_power_of_the_images_seen(batch: int) -> None:
    """What was there after t images has the share (t / T)^(ln 2 / half-life) of the average after T of them."""
    share = math.prod(decay_at(seen, batch, 0.05) for seen in range(20_000 + batch, 40_001, batch))
    assert math.log(share) == pytest.approx(math.log(0.5) / 0.05 * math.log(40_000 / 20_000), rel=0.01)


def test_half_life_is_a_share_of_the_images_seen() -> None:
    share = math.prod(decay_at(seen, 1, 0.01) for seen in range(100_000, 101_000))
    assert share == pytest.approx(0.5, abs=0.005)


def test_average_forgets_the_first_weights_at_once() -> None:
    assert decay_at(64, 64, 0.05) < 1e-5
