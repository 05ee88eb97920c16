"""The Frechet distance against closed forms and an independent matrix square root."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

from synthaug.core.errors import InputError
from synthaug.core.seeding import generator_for
from synthaug.metrics.frechet import (
    Gaussian,
    fit_gaussian,
    frechet_distance,
    frechet_estimate,
    gaussian_distance,
    influences,
)
from tests.metrics.sizes import LargestTensor


def normal(name: str, count: int, dimensions: int) -> Tensor:
    return torch.randn(count, dimensions, generator=generator_for(name), dtype=torch.float64)


def with_moments(name: str, mean: Tensor, covariance: Tensor, count: int = 50) -> Tensor:
    """Rows whose sample mean and sample covariance are exactly these."""
    values = normal(name, count, len(mean))
    values = values - values.mean(dim=0)
    whitened = values @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(values.T).reshape(len(mean), -1))).T
    return whitened @ torch.linalg.cholesky(covariance).T + mean


def by_matrix_square_root(first: Tensor, second: Tensor) -> float:
    """The formula as written in the paper, with scipy's square root of a matrix that is not symmetric."""
    one, two = first.numpy(), second.numpy()
    root = scipy.linalg.sqrtm(np.cov(one.T) @ np.cov(two.T)).real
    gap = one.mean(axis=0) - two.mean(axis=0)
    return float(gap @ gap + np.trace(np.cov(one.T) + np.cov(two.T) - 2 * root))


@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 1.0), (3.0, 1.0), (0.0, 4.0), (-2.0, 0.1)])
def test_one_feature_gives_the_closed_form(mean: float, deviation: float) -> None:
    """(mu_1 - mu_2)^2 + (s_1 - s_2)^2."""
    first = with_moments("one", torch.tensor([0.5], dtype=torch.float64), torch.tensor([[2.25]], dtype=torch.float64))
    other = torch.tensor([[deviation**2]], dtype=torch.float64)
    second = with_moments("two", torch.tensor([mean], dtype=torch.float64), other)
    expected = (mean - 0.5) ** 2 + (deviation - 1.5) ** 2
    assert frechet_distance(first, second) == pytest.approx(expected, abs=1e-9)


def test_independent_features_add_up() -> None:
    means = torch.tensor([[0.0, 1.0, -2.0], [0.5, 1.0, 3.0]], dtype=torch.float64)
    deviations = torch.tensor([[1.0, 2.0, 0.5], [3.0, 2.0, 0.1]], dtype=torch.float64)
    first, second = (
        with_moments(str(row), mean, torch.diag(deviation**2))
        for row, (mean, deviation) in enumerate(zip(means, deviations, strict=True))
    )
    expected = float((means[0] - means[1]).square().sum() + (deviations[0] - deviations[1]).square().sum())
    assert frechet_distance(first, second) == pytest.approx(expected, abs=1e-9)


def test_rotated_gaussian_gives_the_closed_form() -> None:
    """Covariances that commute: the axes of both are turned by 30 degrees."""
    cosine, sine = math.cos(math.pi / 6), math.sin(math.pi / 6)
    turn = torch.tensor([[cosine, -sine], [sine, cosine]], dtype=torch.float64)
    mean = torch.zeros(2, dtype=torch.float64)
    first = with_moments("a", mean, turn @ torch.diag(torch.tensor([4.0, 1.0]).double()) @ turn.T)
    second = with_moments("b", mean, turn @ torch.diag(torch.tensor([1.0, 9.0]).double()) @ turn.T)
    assert frechet_distance(first, second) == pytest.approx((2 - 1) ** 2 + (1 - 3) ** 2, abs=1e-9)


@pytest.mark.parametrize("dimensions", [2, 5, 20])
def test_correlated_features_agree_with_the_matrix_square_root(dimensions: int) -> None:
    mixing = normal("mixing", 2 * dimensions, dimensions)
    first = normal("first", 300, dimensions) @ mixing[:dimensions]
    second = 0.5 + normal("second", 200, dimensions) @ mixing[dimensions:]
    assert frechet_distance(first, second) == pytest.approx(by_matrix_square_root(first, second), rel=1e-7)


def test_distance_is_symmetric() -> None:
    first, second = normal("first", 40, 6), 2 * normal("second", 30, 6) + 1
    assert frechet_distance(first, second) == pytest.approx(frechet_distance(second, first), rel=1e-10)


@pytest.mark.parametrize("count", [5, 200])
def test_equal_sets_are_at_no_distance_in_any_order(count: int) -> None:
    features = normal("features", count, 16)
    assert frechet_distance(features, features.flip(0)) == pytest.approx(0.0, abs=1e-6)
    assert frechet_distance(features, features) >= 0


def test_shift_costs_the_square_of_its_length() -> None:
    features, shift = normal("features", 60, 4), torch.tensor([3.0, 0.0, -4.0, 0.0], dtype=torch.float64)
    assert frechet_distance(features, features + shift) == pytest.approx(25.0, abs=1e-9)


def test_distance_grows_with_the_distortion() -> None:
    features = normal("features", 200, 8)
    noise = normal("noise", 200, 8)
    distances = [frechet_distance(features, features + scale * noise) for scale in (0.1, 0.3, 1.0, 3.0)]
    assert distances == sorted(distances)
    assert distances[0] > 0


def test_features_that_depend_on_each_other_are_no_trouble() -> None:
    """Fewer images than features, so that covariances have no inverse."""
    first, second = normal("first", 5, 12), normal("second", 4, 12) + 2
    assert frechet_distance(first, second) == pytest.approx(by_matrix_square_root(first, second), rel=1e-4)


@pytest.mark.parametrize(("first", "second"), [(10, 100), (100, 10), (10, 8), (39, 40), (40, 41)])
def test_fewer_images_than_features_are_at_the_distance_of_their_gaussians(first: int, second: int) -> None:
    """Whether the distance comes from the samples or from their covariances, which are singular."""
    one, two = normal("one", first, 40), 2 * normal("two", second, 40) + 1
    expected = gaussian_distance(fit_gaussian(one), fit_gaussian(two))
    assert frechet_distance(one, two) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(two, one) == pytest.approx(expected, rel=1e-6)


def test_features_that_repeat_others_count_once_more() -> None:
    """Covariances of many images without an inverse: a feature given twice has twice the variance."""
    first, second = normal("first", 80, 5), 2 * normal("second", 60, 5) + 1
    doubled = [torch.cat([one, one[:, :1], torch.ones(len(one), 1)], dim=1) for one in (first, second)]
    scaled = [one * torch.tensor([math.sqrt(2), 1, 1, 1, 1], dtype=torch.float64) for one in (first, second)]
    assert frechet_distance(*doubled) == pytest.approx(frechet_distance(*scaled), rel=1e-6)


def test_float32_features_are_compared_in_float64() -> None:
    features = normal("features", 100, 3).float() * 1e-3 + 1000
    assert frechet_distance(features, features) < 1e-9
    assert frechet_distance(features, features + 0.25) == pytest.approx(3 / 16, abs=1e-9)


@pytest.mark.parametrize(("first", "second"), [(1, 5), (5, 1), (0, 5)])
def test_too_few_images_are_refused(first: int, second: int) -> None:
    with pytest.raises(InputError, match=f"at least two images of each kind, found {min(first, second)}"):
        frechet_distance(torch.zeros(first, 3), torch.zeros(second, 3))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_features_that_are_no_numbers_are_refused(value: float) -> None:
    spoilt = torch.zeros(4, 3)
    spoilt[2, 1] = value
    for pair in ((spoilt, torch.zeros(4, 3)), (torch.zeros(4, 3), spoilt)):
        with pytest.raises(InputError, match="needs finite features"):
            frechet_distance(*pair)


def test_order_of_the_images_does_not_matter() -> None:
    first, second = normal("first", 5000, 6), 2 * normal("second", 4500, 6) + 1
    orders = [torch.randperm(len(features), generator=generator_for("order")) for features in (first, second)]
    assert frechet_distance(first[orders[0]], second[orders[1]]) == pytest.approx(
        frechet_distance(first, second), rel=1e-9
    )


@pytest.mark.parametrize("count", [2, 1024, 1025, 5000])
def test_moments_are_those_of_numpy_for_any_number_of_blocks(count: int) -> None:
    features = (100 + normal("features", count, 3) @ normal("mixing", 3, 3)).float()
    found = fit_gaussian(features)
    values = features.numpy().astype(np.float64)
    assert found.count == count
    np.testing.assert_allclose(found.mean.numpy(), values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.covariance.numpy(), np.cov(values.T), rtol=1e-9)


@pytest.mark.parametrize("dimensions", [127, 128, 300])
def test_covariance_of_any_number_of_column_blocks_is_whole_and_symmetric(dimensions: int) -> None:
    features = normal("features", 50, dimensions) @ normal("mixing", dimensions, dimensions)
    found = fit_gaussian(features).covariance
    np.testing.assert_allclose(found.numpy(), np.cov(features.numpy().T), rtol=1e-9, atol=1e-9)
    assert torch.equal(found, found.T)


def test_features_are_left_as_they_were() -> None:
    for kind in (torch.float32, torch.float64):
        features = normal("features", 30, 4).to(kind)
        before = features.clone()
        frechet_distance(features, features + 1)
        assert torch.equal(features, before)


def test_features_are_never_all_in_float64() -> None:
    features = normal("features", 20_000, 4).float()
    with LargestTensor() as tensors:
        fit_gaussian(features)
    assert 0 < tensors.elements <= 5000 * 4


def test_fitted_sets_are_at_the_distance_of_the_sets() -> None:
    first, second = normal("first", 90, 5), 2 * normal("second", 70, 5) + 1
    assert gaussian_distance(fit_gaussian(first), fit_gaussian(second)) == frechet_distance(first, second)


def weighted(features: Tensor, weights: Tensor) -> Gaussian:
    """The Gaussian of a set whose samples have these shares."""
    mean = weights @ features
    centred = features - mean
    return Gaussian(mean, (weights[:, None] * centred).T @ centred, len(features))


def test_influence_is_the_derivative_by_a_samples_share() -> None:
    first, second = normal("first", 40, 3) @ normal("mixing", 3, 3), normal("second", 30, 3) + 1
    other, shares = fit_gaussian(second), torch.full((40,), 1 / 40, dtype=torch.float64)
    found, step = influences(first, weighted(first, shares), other), 1e-5

    def moved(sample: int, amount: float) -> float:
        gain = amount * (torch.arange(40) == sample).double()
        return gaussian_distance(weighted(first, (1 - amount) * shares + gain), other)

    slopes = [(moved(sample, step) - moved(sample, -step)) / (2 * step) for sample in range(40)]
    torch.testing.assert_close(found, torch.tensor(slopes, dtype=torch.float64), rtol=1e-6, atol=1e-6)


def draw(number: int, real: int = 300, generated: int = 200) -> tuple[Tensor, Tensor]:
    """Sets from two Gaussians at a clear distance."""
    mixing = torch.eye(3) + 0.5 * normal("mixing", 3, 3)
    return normal(f"real {number}", real, 3), normal(f"generated {number}", generated, 3) @ mixing + 0.6


def error_of(real: Tensor, generated: Tensor) -> float:
    """The standard error that the interval stands for."""
    found = frechet_estimate(real, generated)
    return (found.high - found.low) / (2 * 1.96)


def test_interval_is_as_wide_as_fresh_draws_differ() -> None:
    expected = np.std([frechet_distance(*draw(number)) for number in range(400)])
    assert np.mean([error_of(*draw(number)) for number in range(20)]) == pytest.approx(expected, rel=0.15)


def test_interval_is_as_wide_as_that_of_a_bootstrap_of_the_distance() -> None:
    real, generated = draw(0)
    generator, distances = generator_for("bootstrap"), []
    for _ in range(400):
        rows = [torch.randint(len(one), (len(one),), generator=generator) for one in (real, generated)]
        distances.append(frechet_distance(real[rows[0]], generated[rows[1]]))
    assert error_of(real, generated) == pytest.approx(float(np.std(distances)), rel=0.2)


def test_interval_surrounds_the_distance_and_shrinks_with_more_images() -> None:
    widths = []
    for factor in (1, 4):
        real, generated = draw(0, 300 * factor, 200 * factor)
        found = frechet_estimate(real, generated)
        assert found.value == frechet_distance(real, generated)
        assert found.low < found.value < found.high
        widths.append(found.high - found.low)
    assert widths[1] / widths[0] == pytest.approx(0.5, abs=0.1)


def test_sets_in_a_like_order_are_as_uncertain_as_shuffled_ones() -> None:
    """The noise of both sets is independent, though sample i of either may be of the same class."""
    real, generated = draw(0, 250, 250)
    ordered = [one[one[:, 0].argsort()] for one in (real, generated)]
    assert error_of(*ordered) == pytest.approx(error_of(real, generated), rel=0.1)


def test_features_that_repeat_others_or_never_vary_change_no_width() -> None:
    real, generated = draw(0)
    padded = [torch.cat([one, torch.full((len(one), 2), 5.0), one[:, :1]], dim=1) for one in (real, generated)]
    doubled = [torch.cat([one, one[:, :1]], dim=1) for one in (real, generated)]
    scaled = [one * torch.tensor([math.sqrt(2), 1, 1], dtype=torch.float64) for one in (real, generated)]
    for other in (padded, doubled):
        assert error_of(*other) == pytest.approx(error_of(*scaled), rel=1e-4)


def test_interval_stays_above_zero() -> None:
    found = frechet_estimate(normal("one", 30, 2), normal("two", 30, 2))
    assert 0 <= found.low <= found.value <= found.high


def test_resamples_depend_on_the_seed() -> None:
    real, generated = draw(0)
    assert frechet_estimate(real, generated, seed=1) == frechet_estimate(real, generated, seed=1)
    assert frechet_estimate(real, generated, seed=1) != frechet_estimate(real, generated, seed=2)


@pytest.mark.parametrize(("real", "generated"), [(8, 50), (50, 8), (2, 2)])
def test_interval_of_fewer_images_than_features_is_refused(real: int, generated: int) -> None:
    with pytest.raises(
        InputError, match=f"8 features needs at least 9 images.*found {real} real and {generated} generated.*singular"
    ):
        frechet_estimate(normal("real", real, 8), normal("generated", generated, 8))
    assert frechet_distance(normal("real", real, 8), normal("generated", generated, 8)) > 0
