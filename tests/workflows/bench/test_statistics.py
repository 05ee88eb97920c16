"""Intervals, p values and verdicts against scipy, closed forms and repeated experiments."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from synthaug.core.errors import InputError
from synthaug.core.seeding import generator_for
from synthaug.workflows.bench.detectable import minimum_detectable_effect, presumed_deviation, seeds_needed
from synthaug.workflows.bench.statistics import (
    MINIMUM_SEEDS,
    Estimate,
    Interval,
    bootstrap_interval,
    estimate,
    holm,
    permutation_p,
    resamples_of,
    t_p,
    two_way_interval,
    verdict,
    weighted_tails,
)

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
    draws = np.random.default_rng(count).normal(loc=1.5, scale=4.0, size=(2000, count))
    intervals = [estimate(study.tolist()) for study in draws]
    covered = sum(interval.low <= 1.5 <= interval.high for interval in intervals) / len(intervals)
    three_standard_errors = 3 * math.sqrt(0.95 * 0.05 / 2000)
    assert covered == pytest.approx(0.95, abs=three_standard_errors)


def test_seeds_that_gain_nothing_look_helpful_in_at_most_5_of_100_studies() -> None:
    draws = np.random.default_rng(0).normal(scale=4.0, size=(2000, 3))
    verdicts = [verdict(estimate(study.tolist())) for study in draws]
    assert 0.01 < verdicts.count("helps") / len(verdicts) < 0.05
    assert 0.01 < verdicts.count("hurts") / len(verdicts) < 0.05


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


def normal(name: str, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator_for(name), dtype=torch.float64)


def studies(
    count: int, seeds: int, images: int, *, of_seeds: float, of_images: float, shift: float
) -> tuple[Tensor, float]:
    """Differences 1, 0 or -1 of many studies, each with seeds and test images of its own, and their expectation.

    A difference is the sign of a standard normal number that seeds, images and chance make, if it is above 1.4.
    """
    rest = math.sqrt(1 - of_seeds**2 - of_images**2)
    name = f"{seeds} {images} {of_seeds} {of_images}"
    latent = of_seeds * normal(name + " seeds", count, seeds, 1) + of_images * normal(name, count, 1, images)
    latent += rest * normal(name + " cells", count, seeds, images) + shift
    expectation = float(stats.norm.sf(1.4 - shift) - stats.norm.sf(1.4 + shift))
    return ((latent > 1.4).double() - (latent < -1.4).double()), expectation


REGIMES = {
    "neither": {"of_seeds": 0.0, "of_images": 0.0},
    "images": {"of_seeds": 0.0, "of_images": 0.99},
    "both": {"of_seeds": 0.06, "of_images": 0.8},
    "seeds": {"of_seeds": 0.3, "of_images": 0.1},
}


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_two_way_interval_covers_what_other_seeds_and_images_would_give(seeds: int) -> None:
    covered = {}
    for name, regime in REGIMES.items():
        differences, expectation = studies(100, seeds, 200, shift=0.15, **regime)
        found = [two_way_interval(study, seed=number) for number, study in enumerate(differences)]
        covered[name] = sum(interval.low <= expectation <= interval.high for interval in found)
    assert min(covered.values()) >= 90
    assert 0.93 <= sum(covered.values()) / 400 <= 0.97


@pytest.mark.parametrize("seeds", [3, 10])
@pytest.mark.parametrize("regime", REGIMES)
def test_images_that_gain_nothing_look_helpful_in_at_most_5_of_100_studies(regime: str, seeds: int) -> None:
    """Seeds alone mistake the luck of these test images for a gain, which the interval over images sees through."""
    differences, _ = studies(300, seeds, 200, shift=0.0, **REGIMES[regime])
    of_seeds = [estimate(study.tolist()) for study in differences.mean(dim=2)]
    helpful = [number for number, found in enumerate(of_seeds) if verdict(found) == "helps"]
    still = [
        number
        for number in helpful
        if verdict(of_seeds[number], beyond=two_way_interval(differences[number], seed=number)) == "helps"
    ]
    assert len(still) <= 0.05 * 300
    if regime in {"neither", "seeds"}:
        assert len(helpful) <= 0.05 * 300
    if regime == "images":
        assert len(helpful) > 0.15 * 300


def test_two_way_interval_is_that_of_a_mixed_model_where_images_are_many_and_alike() -> None:
    """Without an effect of images it is Student's t over seeds; without one of seeds, the normal one over images."""
    of_seeds = normal("seeds", 5, 1).expand(5, 2000)
    found, student = two_way_interval(of_seeds), estimate(of_seeds[:, 0].tolist())
    assert (found.low, found.high) == (pytest.approx(student.low), pytest.approx(student.high))
    of_images = normal("images", 1, 2000).expand(5, 2000)
    found, half = two_way_interval(of_images), 1.96 * of_images[0].std().item() / math.sqrt(2000)
    assert found.high - of_images.mean().item() == pytest.approx(half, rel=0.1)
    assert of_images.mean().item() - found.low == pytest.approx(half, rel=0.1)


def test_two_way_interval_follows_the_skew_of_a_few_images() -> None:
    """8 images of 200 are gained by all seeds: about the exact interval of a Poisson count of 8, 3.5 to 15.8."""
    differences = (torch.arange(200) < 8).double().expand(3, 200)
    found = two_way_interval(differences)
    assert found.low * 200 < 8 - 1.9 * math.sqrt(8)
    assert found.high * 200 == pytest.approx(stats.chi2.ppf(0.975, 18) / 2, rel=0.15)


def test_two_way_interval_has_the_symmetries_of_its_subject() -> None:
    differences = studies(1, 4, 60, shift=0.3, of_seeds=0.2, of_images=0.5)[0][0]
    found = two_way_interval(differences)
    assert found == two_way_interval(differences.float())
    assert found == two_way_interval(differences, seed=0) != two_way_interval(differences, seed=1)
    assert two_way_interval(differences.flip(0)) == found
    points = two_way_interval(100 * differences)
    assert (points.low, points.high) == (pytest.approx(100 * found.low), pytest.approx(100 * found.high))
    assert found.low < differences.mean().item() < found.high


def test_two_way_interval_of_no_difference_has_no_width() -> None:
    assert two_way_interval(torch.zeros(3, 20)) == Interval(0.0, 0.0)


def test_seeds_that_agree_by_chance_are_no_certainty() -> None:
    """Each seed gains another image, so all gain the same."""
    found = two_way_interval(torch.eye(3, 100))
    assert found.high - found.low > 4 * 0.01 / math.sqrt(3)


@pytest.mark.parametrize("shape", [(2, 50), (1, 50), (3, 1), (3, 0)])
def test_two_way_interval_needs_three_seeds_and_two_images(shape: tuple[int, int]) -> None:
    assert two_way_interval(torch.ones(shape)) is None


@pytest.mark.parametrize("count", [3, 4, 5])
def test_bootstrap_interval_covers_the_truth_where_the_percentile_one_does_not(count: int) -> None:
    draws, (counts, shares) = normal("draws", 400, count), resamples_of(count)
    found = [bootstrap_interval(draw.tolist()) for draw in draws]
    covered = sum(interval.low <= 0 <= interval.high for interval in found) / len(found)
    percentile = [weighted_tails(counts @ draw / count, shares) for draw in draws]
    assert 0.93 <= covered <= 0.97
    assert sum(low <= 0 <= high for low, high in percentile) / len(found) < 0.88


def test_bootstrap_interval_follows_the_skew() -> None:
    values = [0.0, 0.1, 0.1, 0.2, 0.3, 0.5, 2.0]
    found, student = bootstrap_interval(values), estimate(values)
    assert found.high - student.mean > 1.2 * (student.high - student.mean)
    assert student.mean - found.low < student.mean - student.low


def test_bootstrap_interval_nears_the_normal_one_with_many_values() -> None:
    values = normal("many", 60)
    found, mean, half = bootstrap_interval(values.tolist()), values.mean().item(), 2 * values.std().item() / 60**0.5
    assert (found.low, found.high) == (
        pytest.approx(mean - half, abs=0.2 * half),
        pytest.approx(mean + half, abs=0.2 * half),
    )


@pytest.mark.parametrize("count", [3, 4, 5, 7, 12])
def test_bootstrap_interval_has_the_symmetries_of_its_subject(count: int) -> None:
    values = normal("symmetries", count).tolist()
    found = bootstrap_interval(values)
    mirrored = bootstrap_interval([-value for value in values])
    assert (mirrored.low, mirrored.high) == (pytest.approx(-found.high), pytest.approx(-found.low))
    moved = bootstrap_interval([3 * value + 7 for value in values])
    assert (moved.low, moved.high) == (pytest.approx(3 * found.low + 7), pytest.approx(3 * found.high + 7))
    assert bootstrap_interval(values) == found
    assert (bootstrap_interval(values, seed=1) == found) == (count <= 7)
    assert bootstrap_interval([2.5] * count) == Interval(2.5, 2.5)


def test_bootstrap_interval_needs_three_values() -> None:
    assert bootstrap_interval([1.0, 2.0]) is None


def test_resamples_of_a_few_values_are_all_there_are() -> None:
    counts, shares = resamples_of(3)
    drawn = [tuple(np.bincount(draw, minlength=3)) for draw in itertools.product(range(3), repeat=3)]
    assert {tuple(row): share for row, share in zip(counts.int().tolist(), shares.tolist(), strict=True)} == {
        row: pytest.approx(drawn.count(row) / 27) for row in drawn
    }


DIFFERENCES = st.lists(st.integers(-6, 6).map(lambda steps: steps / 3.6), min_size=1, max_size=8)


@given(DIFFERENCES)
def test_permutation_p_is_the_share_of_sign_flips_as_extreme(differences: list[float]) -> None:
    steps = [round(3.6 * difference) for difference in differences]
    sums = [sum(signs) for signs in itertools.product(*[(step, -step) for step in steps])]
    assert permutation_p(differences) == sum(abs(total) >= abs(sum(steps)) for total in sums) / len(sums)


def test_permutation_p_is_that_of_scipy() -> None:
    differences = (normal("flips", 9) + 0.5).numpy()
    other = stats.permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=np.inf).pvalue
    assert permutation_p(differences.tolist()) == pytest.approx(other)


@pytest.mark.parametrize("count", [1, 3, 5, 10, 16])
def test_permutation_p_cannot_be_less_than_two_of_all_flips(count: int) -> None:
    assert permutation_p([1.0 + number for number in range(count)]) == 2 / 2**count


def test_permutation_p_of_many_differences_nears_the_t_test() -> None:
    differences = (normal("many flips", 40) + 0.3).tolist()
    assert permutation_p(differences) == pytest.approx(t_p(differences), rel=0.1)
    assert permutation_p(differences) == permutation_p(differences)
    assert 0 < permutation_p([1.0] * 40) <= 3 / 2**16


@pytest.mark.parametrize("test", [t_p, permutation_p])
def test_p_values_refuse_what_is_no_difference(test: object) -> None:
    for wrong in ([], [1.0, math.nan]):
        with pytest.raises(InputError, match="at least one difference, and finite"):
            test(wrong)


@given(DIFFERENCES)
def test_t_p_is_that_of_scipy_and_agrees_with_the_interval(differences: list[float]) -> None:
    found = t_p(differences)
    if len(differences) == 1:
        assert found == 1
    elif len(set(differences)) == 1:
        assert found == (1 if differences[0] == 0 else 0)
    else:
        assert found == pytest.approx(stats.ttest_1samp(differences, 0).pvalue, abs=1e-9)
        interval = estimate(differences)
        if abs(found - 0.05) > 1e-6:
            assert (found < 0.05) == (interval.low > 0 or interval.high < 0)


def test_holm_is_as_worked_by_hand() -> None:
    # 0.01 x 4; 0.02 x 3; 0.03 x 2, not below 0.06; 0.9 x 1.
    assert holm([0.03, 0.01, 0.9, 0.02]) == pytest.approx([0.06, 0.04, 0.9, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([0.04]) == [0.04]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_the_closed_test_of_bonferroni(p_values: list[float]) -> None:
    """A hypothesis is rejected if every set of hypotheses that holds it is (Marcus et al. 1976)."""
    indices = range(len(p_values))
    sets = [chosen for size in indices for chosen in itertools.combinations(indices, size + 1)]
    of_sets = {chosen: min(1.0, len(chosen) * min(p_values[index] for index in chosen)) for chosen in sets}
    assert holm(p_values) == pytest.approx([max(of_sets[held] for held in sets if index in held) for index in indices])


@pytest.mark.parametrize("seeds", [3, 5, 20])
def test_minimum_detectable_effect_is_found_as_often_as_promised(seeds: int) -> None:
    effect = minimum_detectable_effect(2.0, seeds)
    draws = np.random.default_rng(seeds).normal(effect, 2.0, size=(20_000, seeds))
    assert (stats.ttest_1samp(draws, 0, axis=1).pvalue < 0.05).mean() == pytest.approx(0.8, abs=0.01)


def test_minimum_detectable_effect_is_as_theory_says() -> None:
    assert minimum_detectable_effect(1.0, 1000) == pytest.approx((1.95996 + 0.84162) / math.sqrt(1000), rel=2e-3)
    assert minimum_detectable_effect(6.0, 4) == pytest.approx(3 * minimum_detectable_effect(2.0, 4))
    assert minimum_detectable_effect(1.0, 4, power=0.9) > minimum_detectable_effect(1.0, 4)
    assert minimum_detectable_effect(1.0, 1) == math.inf
    assert minimum_detectable_effect(0.0, 3) == 0
    effects = [minimum_detectable_effect(1.0, seeds) for seeds in range(2, 30)]
    assert effects == sorted(effects, reverse=True)


@pytest.mark.parametrize("comparisons", [2, 5])
@pytest.mark.parametrize("seeds", [3, 5, 20])
def test_an_effect_among_several_comparisons_has_to_pass_the_first_step_of_holm(seeds: int, comparisons: int) -> None:
    effect = minimum_detectable_effect(2.0, seeds, comparisons=comparisons)
    draws = np.random.default_rng(seeds).normal(effect, 2.0, size=(20_000, seeds))
    p_values = stats.ttest_1samp(draws, 0, axis=1).pvalue
    assert (p_values < 0.05 / comparisons).mean() == pytest.approx(0.8, abs=0.01)
    assert effect > minimum_detectable_effect(2.0, seeds, comparisons=comparisons - 1)
    assert seeds_needed(effect + 1e-6, 2.0, comparisons=comparisons) == seeds
    assert seeds_needed(effect - 1e-6, 2.0, comparisons=comparisons) == seeds + 1


@pytest.mark.parametrize("seeds", [2, 3, 5, 8, 30, 300])
def test_minimum_detectable_effect_grows_with_the_comparisons_however_many_they_are(seeds: int) -> None:
    effects = [minimum_detectable_effect(1.0, seeds, comparisons=count) for count in (1, 2, 3, 10, 30, 60, 100)]
    assert effects == sorted(effects)
    assert math.isfinite(effects[-1])


@pytest.mark.parametrize(
    ("deviation", "power", "comparisons"),
    [(-1.0, 0.8, 1), (math.nan, 0.8, 1), (1.0, 1.0, 1), (1.0, 0.05, 1), (1.0, 0.8, 0)],
)
def test_impossible_powers_are_refused(deviation: float, power: float, comparisons: int) -> None:
    with pytest.raises(InputError, match="power in"):
        minimum_detectable_effect(deviation, 3, power=power, comparisons=comparisons)


@pytest.mark.parametrize("effect", [0.5, 1.0, 1.7])
def test_seeds_needed_are_the_fewest_that_find_the_effect(effect: float) -> None:
    seeds = seeds_needed(effect, 1.0)
    assert minimum_detectable_effect(1.0, seeds) <= effect < minimum_detectable_effect(1.0, seeds - 1)


def test_seeds_needed_are_at_least_3_and_at_most_1000() -> None:
    assert seeds_needed(50.0, 1.0) == MINIMUM_SEEDS
    assert seeds_needed(0.001, 1.0) == seeds_needed(0.0, 1.0) == 1000


def test_presumed_deviation_is_that_of_two_independent_classifiers() -> None:
    numbers = np.random.default_rng(0)
    right = numbers.binomial(400, 0.9, size=(2, 20_000)) / 4
    assert presumed_deviation(400) == pytest.approx(np.std(right[0] - right[1]), rel=0.02)
    assert presumed_deviation(400, 0.5) > presumed_deviation(400)
    assert presumed_deviation(10**6) == 0.5
    with pytest.raises(InputError, match="found 0 and 0.9"):
        presumed_deviation(0)


@pytest.mark.parametrize(
    ("difference", "p", "beyond", "expected"),
    [
        ((0.1, 2.0), 0.049, (0.1, 3.0), "helps"),
        ((0.1, 2.0), 0.05, (0.1, 3.0), "inconclusive"),
        ((0.1, 2.0), 0.01, (-0.1, 3.0), "inconclusive"),
        ((0.1, 2.0), 0.01, (-3.0, -0.1), "inconclusive"),
        ((-1.0, 2.0), 0.01, (0.1, 3.0), "inconclusive"),
        ((-2.0, -0.1), 0.01, (-3.0, -0.1), "hurts"),
        ((-2.0, -0.1), 0.2, None, "inconclusive"),
        ((-2.0, -0.1), None, (-3.0, 0.0), "inconclusive"),
        ((0.1, 2.0), None, None, "helps"),
    ],
)
def test_verdict_needs_all_that_is_known_to_agree(
    difference: tuple[float, float], p: float | None, beyond: tuple[float, float] | None, expected: str
) -> None:
    found = Estimate(sum(difference) / 2, *difference, 5)
    assert verdict(found, p=p, beyond=None if beyond is None else Interval(*beyond)) == expected


def test_no_interval_or_p_value_makes_up_for_missing_seeds() -> None:
    assert verdict(estimate([5.0, 5.1]), p=0.0, beyond=Interval(1.0, 2.0)) == "no verdict"
