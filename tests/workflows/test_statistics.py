import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from synthaug.core.errors import InputError
from synthaug.workflows.bench.statistics import MINIMUM_SEEDS, Estimate, estimate, verdict

ACCURACIES = st.lists(
    st.tuples(st.integers(0, 360), st.integers(0, 360)).map(lambda pair: (pair[0] / 3.6, pair[1] / 3.6)),
    min_size=3,
    max_size=12,
)


@given(ACCURACIES)
def test_interval_and_verdict_are_those_of_the_paired_t_test(pairs: list[tuple[float, float]]) -> None:
    with_synthetic, without = np.array(pairs).T
    differences = with_synthetic - without
    if np.ptp(differences) < 1e-6:
        return  # scipy has no answer where the differences do not vary
    result = estimate(differences.tolist())
    test = stats.ttest_rel(with_synthetic, without)
    low, high = test.confidence_interval(0.95)
    assert result.mean == pytest.approx(differences.mean())
    assert (result.low, result.high) == (pytest.approx(low, abs=1e-6), pytest.approx(high, abs=1e-6))
    if abs(test.pvalue - 0.05) > 1e-6:
        assert (verdict(result) == "inconclusive") == (test.pvalue > 0.05)


def test_interval_of_three_values_is_the_one_in_the_table() -> None:
    # t(0.975, 2) = 4.303; mean 2, s = 1.
    result = estimate([1.0, 2.0, 3.0])
    assert (result.mean, result.count) == (2.0, 3)
    assert result.high == pytest.approx(2 + 4.303 / math.sqrt(3), abs=1e-3)
    assert result.low == pytest.approx(2 - 4.303 / math.sqrt(3), abs=1e-3)


def test_single_value_has_no_interval() -> None:
    assert estimate([0.7]) == Estimate(0.7, None, None, 1)


def test_estimate_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="at least one value"):
        estimate([])


def test_mean_survives_values_that_cancel() -> None:
    assert estimate([1e16, 1.0, -1e16]).mean == pytest.approx(1 / 3)


@pytest.mark.parametrize("count", [2, 3, 5, 10])
def test_interval_covers_the_truth_in_95_of_100_studies(count: int) -> None:
    draws = np.random.default_rng(count).normal(loc=1.5, scale=4.0, size=(4000, count))
    intervals = [estimate(study.tolist()) for study in draws]
    covered = sum(interval.low <= 1.5 <= interval.high for interval in intervals) / len(intervals)
    three_standard_errors = 3 * math.sqrt(0.95 * 0.05 / 4000)
    assert covered == pytest.approx(0.95, abs=three_standard_errors)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.1, 2.0, "helps"),
        (-2.0, -0.1, "hurts"),
        (-1.0, 1.0, "inconclusive"),
        (0.0, 2.0, "inconclusive"),
        (-2.0, 0.0, "inconclusive"),
        (0.0, 0.0, "inconclusive"),
    ],
)
def test_verdict_needs_an_interval_without_zero(low: float, high: float, expected: str) -> None:
    assert verdict(Estimate((low + high) / 2, low, high, 5)) == expected


@pytest.mark.parametrize("values", [[5.0], [5.0, 5.1]])
def test_fewer_than_three_seeds_give_no_verdict_however_clear_they_are(values: list[float]) -> None:
    assert MINIMUM_SEEDS == 3
    assert verdict(estimate(values)) == "no verdict"
    assert verdict(estimate([*values, *[5.05] * (3 - len(values))])) == "helps"
