"""The kernel distance against loops, closed forms and repeated draws."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from synthaug.core.errors import InputError
from synthaug.core.seeding import generator_for
from synthaug.metrics.kernel import kernel_distance
from tests.metrics.sizes import LargestTensor


def normal(name: str, count: int, dimensions: int = 8) -> Tensor:
    return torch.randn(count, dimensions, generator=generator_for(name), dtype=torch.float64)


def by_loops(real: Tensor, generated: Tensor) -> float:
    """The definition, pair by pair."""

    def kernel(one: list[float], other: list[float]) -> float:
        return (math.fsum(x * y for x, y in zip(one, other, strict=True)) / len(one) + 1) ** 3

    first, second = real.tolist(), generated.tolist()
    within = [[kernel(*pair) for pair in itertools.permutations(rows, 2)] for rows in (first, second)]
    between = [kernel(*pair) for pair in itertools.product(first, second)]
    means = [math.fsum(values) / len(values) for values in (*within, between)]
    return means[0] + means[1] - 2 * means[2]


@pytest.mark.parametrize(("real", "generated"), [(10, 10), (17, 12), (11, 30)])
def test_one_block_is_the_statistic_of_all_pairs(real: int, generated: int) -> None:
    first, second = normal("real", real, 3), 0.5 + 2 * normal("generated", generated, 3)
    assert kernel_distance(first, second).value == pytest.approx(by_loops(first, second), rel=1e-12)


def test_expectation_is_the_closed_form() -> None:
    """With one feature, the squared differences of the first three moments count 3, 3 and 1."""
    draws = [(normal(f"real {i}", 50, 1), 1 + normal(f"generated {i}", 40, 1)) for i in range(200)]
    values = [kernel_distance(*draw).value for draw in draws]
    expected = 3 * (1 - 0) ** 2 + 3 * (2 - 1) ** 2 + (4 - 0) ** 2
    assert np.mean(values) == pytest.approx(expected, abs=4 * np.std(values) / math.sqrt(200))


@pytest.mark.parametrize(("real", "generated", "block"), [(15, 15, 1000), (45, 40, 12), (70, 14, 12)])
def test_sets_of_one_kind_are_at_no_distance_on_average(real: int, generated: int, block: int) -> None:
    draws = [(normal(f"real {i}", real, 4), normal(f"generated {i}", generated, 4)) for i in range(150)]
    values = [kernel_distance(*draw, block=block, seed=i).value for i, draw in enumerate(draws)]
    assert np.mean(values) == pytest.approx(0, abs=4 * np.std(values) / math.sqrt(150))
    assert min(values) < 0 < max(values)


@pytest.mark.parametrize(("real", "generated"), [(400, 400), (400, 60)])
def test_blocks_estimate_what_all_pairs_do(real: int, generated: int) -> None:
    first, second = normal("real", real), 1 + normal("generated", generated)
    blocks, whole = kernel_distance(first, second, block=50), kernel_distance(first, second)
    assert blocks.value != whole.value
    assert blocks.value == pytest.approx(whole.value, abs=0.25 * (whole.high - whole.low))
    assert blocks.high - blocks.low == pytest.approx(whole.high - whole.low, rel=0.35)


@pytest.mark.parametrize(("real", "generated"), [(23, 21), (33, 12)])
def test_every_sample_counts(real: int, generated: int) -> None:
    sets = [normal("real", real, 2), normal("generated", generated, 2)]
    value = kernel_distance(*sets, block=10).value
    for which, features in enumerate(sets):
        for sample in range(len(features)):
            moved = [one.clone() for one in sets]
            moved[which][sample] += 3
            assert kernel_distance(*moved, block=10).value != pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize(("real", "generated"), [(1000, 1000), (1000, 50), (50, 1000)])
def test_kernel_values_of_all_pairs_are_never_held(real: int, generated: int) -> None:
    first, second = normal("real", real, 2), normal("generated", generated, 2)
    with LargestTensor() as tensors:
        kernel_distance(first, second, block=50)
    assert 50 * 50 <= tensors.elements <= 201 * 100


def test_distance_grows_with_the_distortion() -> None:
    real, generated, noise = normal("real", 300), normal("generated", 300), normal("noise", 300)
    values = [kernel_distance(real, generated + scale * noise).value for scale in (0.0, 0.7, 1.0, 2.0)]
    assert values == sorted(values)
    assert abs(values[0]) < 0.05 < values[1]


def test_distance_is_symmetric() -> None:
    first, second = normal("first", 40), 2 * normal("second", 30) + 1
    assert kernel_distance(first, second).value == pytest.approx(kernel_distance(second, first).value, rel=1e-10)


def test_order_of_the_samples_does_not_matter() -> None:
    first, second = normal("first", 80), normal("second", 60) + 0.3
    found, other = kernel_distance(first, second), kernel_distance(first.flip(0), second.flip(0), seed=5)
    assert other.value == pytest.approx(found.value, rel=1e-9)


def test_float32_features_are_compared_in_float64() -> None:
    first, second = (50 * normal("first", 100)).float(), (50 * normal("second", 100) + 1).float()
    assert kernel_distance(first, second).value == kernel_distance(first.double(), second.double()).value


def draw(number: int, count: int = 80) -> tuple[Tensor, Tensor]:
    """Sets from two distributions at a clear distance."""
    return normal(f"real {number}", count), 0.8 + normal(f"generated {number}", count)


@pytest.mark.parametrize("offset", [0.0, 2.0])
def test_interval_is_that_of_a_bootstrap_that_repeats_samples(offset: float) -> None:
    """Each resample is compared anew; pairs of copies of one sample are left out."""
    sets = [offset + one.numpy() for one in (normal("real", 50), 0.5 + normal("generated", 40))]
    random, resampled = np.random.default_rng(0), []
    for _ in range(2000):
        rows = [random.integers(len(one), size=len(one)) for one in sets]
        first, second = (one[chosen] for one, chosen in zip(sets, rows, strict=True))
        within = [
            ((one @ one.T / 8 + 1) ** 3)[chosen[:, None] != chosen].mean()
            for one, chosen in zip((first, second), rows, strict=True)
        ]
        resampled.append(sum(within) - 2 * ((first @ second.T / 8 + 1) ** 3).mean())
    low, high = np.quantile(resampled, [0.025, 0.975])
    found = kernel_distance(*(torch.from_numpy(one) for one in sets))
    assert found.low == pytest.approx(low, abs=0.12 * (high - low))
    assert found.high == pytest.approx(high, abs=0.12 * (high - low))


@pytest.mark.parametrize("block", [20, 1000])
def test_interval_is_as_wide_as_fresh_draws_differ(block: int) -> None:
    found = [kernel_distance(*draw(number), block=block, seed=number) for number in range(150)]
    expected = np.std([one.value for one in found])
    assert np.mean([one.high - one.low for one in found]) / 3.92 == pytest.approx(expected, rel=0.2)


def test_interval_holds_the_expectation() -> None:
    found = [kernel_distance(*draw(number), seed=number) for number in range(150)]
    expectation = np.mean([kernel_distance(*draw(1000 + number, 400)).value for number in range(25)])
    assert np.mean([one.low <= expectation <= one.high for one in found]) >= 0.9
    assert np.mean([one.low > 0 for one in found]) >= 0.9


def test_interval_of_sets_of_one_kind_holds_zero() -> None:
    """Also far from the origin, where kernel values are large and cancel only if resampled pairs are counted right."""
    found = [kernel_distance(2 + normal(f"real {i}", 40), 2 + normal(f"generated {i}", 40), seed=i) for i in range(100)]
    assert np.mean([one.low <= 0 <= one.high for one in found]) >= 0.95


def test_figure_depends_on_the_seed_alone() -> None:
    sets = normal("real", 50), normal("generated", 50)
    assert kernel_distance(*sets, block=10, seed=1) == kernel_distance(*sets, block=10, seed=1)
    assert kernel_distance(*sets, block=10, seed=1) != kernel_distance(*sets, block=10, seed=2)


@pytest.mark.parametrize(("real", "generated", "block"), [(9, 50, 1000), (50, 9, 1000), (50, 50, 9), (0, 50, 1000)])
def test_too_few_images_are_refused(real: int, generated: int, block: int) -> None:
    with pytest.raises(
        InputError, match=f"at least 10 images.*found {real} real and {generated} generated in blocks of {block}"
    ):
        kernel_distance(torch.zeros(real, 3), torch.zeros(generated, 3), block=block)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_features_that_are_no_numbers_are_refused(value: float) -> None:
    spoilt = torch.zeros(12, 3)
    spoilt[2, 1] = value
    for pair in ((spoilt, torch.zeros(12, 3)), (torch.zeros(12, 3), spoilt)):
        with pytest.raises(InputError, match="needs finite features"):
            kernel_distance(*pair)
