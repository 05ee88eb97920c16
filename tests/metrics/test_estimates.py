"""Bootstrap intervals against theory, scipy and repeated experiments."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from synthaug.core.errors import InputError
from synthaug.core.seeding import generator_for
from synthaug.metrics.estimates import RESAMPLES, bootstrap_mean, percentile_interval, resampled_means


def normal(name: str, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator_for(name), dtype=torch.float64)


def flags(count: int, ones: int) -> Tensor:
    return (torch.arange(count) < ones).double()


@pytest.mark.parametrize("kind", ["normal", "skewed", "share"])
def test_interval_holds_the_expectation_in_95_of_100_experiments(kind: str) -> None:
    experiments, count = 300, 150
    if kind == "normal":
        values, expectation = 3 + normal("experiments", experiments, count), 3.0
    elif kind == "skewed":
        values, expectation = normal("experiments", experiments, count).abs(), math.sqrt(2 / math.pi)
    else:
        uniform = torch.rand(experiments, count, generator=generator_for("experiments"))
        values, expectation = (uniform < 0.3).double(), 0.3
    estimates = [bootstrap_mean(row, seed=number) for number, row in enumerate(values)]
    held = sum(found.low <= expectation <= found.high for found in estimates)
    assert 0.92 <= held / experiments <= 0.98


def test_interval_is_that_of_scipy() -> None:
    values = normal("values", 80).exp()
    found = bootstrap_mean(values)
    other = stats.bootstrap(
        (values.numpy(),), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    assert found.value == pytest.approx(values.mean().item())
    width = other.high - other.low
    assert found.low == pytest.approx(other.low, abs=0.06 * width)
    assert found.high == pytest.approx(other.high, abs=0.06 * width)


@pytest.mark.parametrize(("count", "ones"), [(15, 6), (400, 12)])
def test_resampled_shares_are_binomial(count: int, ones: int) -> None:
    """Of few samples, that are drawn one by one, and of many equal ones, whose numbers are drawn at once."""
    found = (resampled_means(flags(count, ones)) * count).round().long()
    binomial = stats.binom(count, ones / count)
    edges = np.unique(binomial.ppf(np.linspace(0.1, 0.9, 9)).astype(int))
    observed = np.bincount(np.searchsorted(edges, found.numpy()), minlength=len(edges) + 1)
    expected = np.diff(np.concatenate([[0], binomial.cdf(edges), [1]])) * RESAMPLES
    assert stats.chisquare(observed, expected).pvalue > 0.01


@pytest.mark.parametrize("copies", [1, 50])
def test_resampled_means_vary_as_theory_says(copies: int) -> None:
    values = normal("values", 40).repeat(copies)
    means = resampled_means(values)
    error = values.std(correction=0).item() / math.sqrt(len(values))
    assert means.shape == (RESAMPLES,)
    assert means.mean().item() == pytest.approx(values.mean().item(), abs=4 * error / math.sqrt(RESAMPLES))
    assert means.std().item() == pytest.approx(error, rel=0.1)


@pytest.mark.parametrize("copies", [1, 50])
def test_numbers_of_one_sample_stay_together(copies: int) -> None:
    values = normal("values", 30).repeat(copies)
    means = resampled_means(torch.stack([values, 1 - values, torch.ones_like(values)], dim=1))
    assert means.shape == (RESAMPLES, 3)
    torch.testing.assert_close(means[:, 0] + means[:, 1], torch.ones(RESAMPLES, dtype=torch.float64))
    torch.testing.assert_close(means[:, 0], resampled_means(values))


def test_resamples_depend_on_the_seed_alone() -> None:
    for values in (normal("values", 20), flags(100, 50)):
        assert bootstrap_mean(values, seed=3) == bootstrap_mean(values, seed=3)
        assert bootstrap_mean(values, seed=3) != bootstrap_mean(values, seed=4)


def test_four_times_the_samples_halve_the_interval() -> None:
    few, many = (bootstrap_mean(normal("values", count)) for count in (500, 2000))
    assert (many.high - many.low) / (few.high - few.low) == pytest.approx(0.5, abs=0.08)


def test_equal_values_leave_no_doubt() -> None:
    found = bootstrap_mean(torch.full((30,), 0.25))
    assert (found.value, found.low, found.high) == (0.25, 0.25, 0.25)


def test_interval_holds_the_middle_of_the_resamples_and_the_figure() -> None:
    resampled = torch.linspace(0, 1, 1001, dtype=torch.float64)
    found = percentile_interval(0.5, resampled)
    assert (found.low, found.high) == (pytest.approx(0.025), pytest.approx(0.975))
    assert percentile_interval(-1.0, resampled).low == -1
    assert percentile_interval(2.0, resampled).high == 2


def test_what_has_no_mean_is_refused() -> None:
    with pytest.raises(InputError, match="at least one value"):
        bootstrap_mean(torch.zeros(0))
    with pytest.raises(InputError, match="finite values"):
        bootstrap_mean(torch.tensor([1.0, math.nan]))
