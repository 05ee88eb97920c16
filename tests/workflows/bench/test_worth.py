"""What a gain is worth, by hand, by independent references and by repeated experiments."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import isotonic_regression

from synthaug.core.errors import InputError
from synthaug.workflows.bench.results import CellResult, Results
from synthaug.workflows.bench.statistics import estimate, holm, t_p
from synthaug.workflows.bench.summarise import summarise
from synthaug.workflows.bench.worth import (
    BreakEven,
    ClassGain,
    RealPoint,
    Worth,
    break_even,
    class_gains,
    class_quotas,
    extra_real_images,
)
from tests.workflows.benches import results_of, study_of


def curve_of(accuracies: dict[float, Sequence[float]]) -> list[RealPoint]:
    return [RealPoint(float(images), tuple(per_seed)) for images, per_seed in accuracies.items()]


def level(accuracies: dict[float, float], seeds: int = 3) -> list[RealPoint]:
    """A curve whose seeds all agree."""
    return curve_of({images: [accuracy] * seeds for images, accuracy in accuracies.items()})


@pytest.mark.parametrize("images", [20.0, 35.0, 50.0, 80.0, 300.0])
def test_known_curve_gives_back_the_images_that_were_added(images: float) -> None:
    """Accuracy 50 + 10 ln(images) is linear over log images, so interpolation is exact wherever the points are."""
    known = {count: 50 + 10 * math.log(count) for count in (10.0, 20.0, 60.0, 500.0)}
    found = extra_real_images(level(known), 20.0, [50 + 10 * math.log(images)] * 3)
    assert found is not None
    assert (found.images_per_class, found.low, found.high) == pytest.approx((images - 20,) * 3, abs=1e-6)
    assert (found.is_at_least, found.is_at_most) == (False, images == 20)


def test_half_way_between_two_points_is_their_geometric_mean() -> None:
    found = extra_real_images(level({10: 60.0, 40: 70.0}), 10.0, [65.0] * 3)
    assert found is not None
    assert found.images_per_class == pytest.approx(20 - 10)


def test_order_of_the_points_does_not_matter() -> None:
    points = level({10: 60.0, 40: 70.0, 90: 75.0})
    assert extra_real_images(points[::-1], 10.0, [72.0] * 3) == extra_real_images(points, 10.0, [72.0] * 3)


def test_more_than_the_curve_reaches_is_at_least_its_end() -> None:
    points = level({10: 60.0, 40: 70.0})
    assert extra_real_images(points, 10.0, [71.0] * 3) == Worth(30.0, 30.0, 30.0, is_at_least=True, is_at_most=False)
    assert extra_real_images(points, 40.0, [71.0] * 3) == Worth(0.0, 0.0, 0.0, is_at_least=True, is_at_most=False)
    reached = extra_real_images(points, 10.0, [70.0] * 3)
    assert reached is not None
    assert (reached.images_per_class, reached.is_at_least) == (pytest.approx(30), False)


@pytest.mark.parametrize("accuracy", [60.0, 59.0, 30.0])
def test_no_gain_is_worth_nothing(accuracy: float) -> None:
    found = extra_real_images(level({10: 50.0, 20: 60.0, 40: 70.0}), 20.0, [accuracy] * 3)
    assert found == Worth(0.0, 0.0, 0.0, is_at_least=False, is_at_most=True)


def test_arm_below_its_own_real_images_is_worth_nothing_whatever_the_rest_of_the_curve_says() -> None:
    """More real images that did worse pull the curve below the real images in use."""
    found = extra_real_images(level({20: 70.0, 40: 60.0, 80: 75.0}), 20.0, [69.0] * 3)
    assert found is not None
    assert (found.images_per_class, found.is_at_most) == (0.0, True)


def test_level_stretch_counts_with_its_fewest_images() -> None:
    found = extra_real_images(level({10: 50.0, 20: 60.0, 40: 60.0, 80: 70.0}), 10.0, [60.0] * 3)
    assert found is not None
    assert found.images_per_class == pytest.approx(20 - 10)


@given(st.lists(st.integers(0, 40), min_size=2, max_size=6), st.integers(0, 50))
def test_worth_is_read_from_the_isotonic_regression(accuracies: list[int], accuracy: int) -> None:
    images = (10.0 * 2.0 ** np.arange(len(accuracies))).tolist()
    points = level(dict(zip(images, map(float, accuracies), strict=True)), 1)
    found, fitted = extra_real_images(points, 10.0, [float(accuracy)]), isotonic_regression(np.array(accuracies) + 0.0)
    assert found is not None
    assert found.is_at_most == (accuracy <= max(fitted[0], accuracies[0]))
    if not found.is_at_most:
        assert found.is_at_least == (accuracy > fitted[-1])
        reached = np.interp(math.log(10 + found.images_per_class), np.log(images), fitted)
        assert reached == pytest.approx(min(accuracy, fitted[-1]), abs=1e-6)


def test_interval_holds_the_true_worth_and_shrinks_with_seeds() -> None:
    """Seeds whose luck all arms share, so that pairing leaves little of it."""
    numbers, widths, held = np.random.default_rng(0), {}, 0
    for seeds in (5, 20):
        for _ in range(40):
            luck = numbers.normal(0, 3, seeds)
            noise = numbers.normal(0, 1, (4, seeds))
            images = (10.0, 30.0, 100.0)
            points = {
                count: 50 + 10 * math.log(count) + luck + own for count, own in zip(images, noise[:3], strict=True)
            }
            found = extra_real_images(curve_of(points), 10.0, (50 + 10 * math.log(40) + luck + noise[3]).tolist())
            assert found is not None
            assert found.low is not None
            assert found.high is not None
            assert found.low <= found.images_per_class <= found.high
            widths.setdefault(seeds, []).append(found.high - found.low)
            held += found.low <= 30 <= found.high
    assert np.mean(widths[20]) < 0.7 * np.mean(widths[5])
    assert 0.8 <= held / 80 <= 0.98


def test_seeds_are_resampled_together() -> None:
    """Luck that all arms share moves no crossing, however large it is; a straight curve shifts along itself."""
    luck = [0.0, 5.0, -3.0, 9.0]
    points = {count: [10 * math.log(count) + own for own in luck] for count in (10.0, 30.0, 100.0)}
    found = extra_real_images(curve_of(points), 10.0, [10 * math.log(50) + own for own in luck])
    assert found is not None
    assert (found.low, found.high) == pytest.approx((found.images_per_class,) * 2)


@pytest.mark.parametrize("seeds", [1, 2])
def test_fewer_than_three_seeds_give_no_interval(seeds: int) -> None:
    found = extra_real_images(level({10: 60.0, 40: 70.0}, seeds), 10.0, [65.0] * seeds)
    assert found is not None
    assert (found.low, found.high) == (None, None)
    assert found.images_per_class == pytest.approx(10)


def test_no_curve_gives_no_worth() -> None:
    assert extra_real_images([], 10.0, [65.0] * 3) is None
    assert extra_real_images(level({10: 60.0}), 10.0, [65.0] * 3) is None
    assert extra_real_images(level({10: 60.0, 40: 70.0}), 20.0, [65.0] * 3) is None


@pytest.mark.parametrize(
    ("points", "with_synthetic", "message"),
    [
        (level({10: 60.0, 40: 70.0}), [65.0] * 4, "same seeds"),
        (level({10: 60.0}) + level({40: 70.0}, 2), [65.0] * 3, "same seeds"),
        (level({10: 60.0, 40: 70.0}, 0), [], "same seeds"),
        (level({10: 60.0}) * 2, [65.0] * 3, "each once"),
        (level({0: 20.0, 10: 60.0}), [65.0] * 3, "above 0"),
    ],
)
def test_curves_that_do_not_fit_are_refused(points: list[RealPoint], with_synthetic: list[float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        extra_real_images(points, 10.0, with_synthetic)


def test_break_even_is_seconds_for_each_point() -> None:
    assert break_even(600.0, 3.0) == BreakEven(600.0, 3.0, 200.0)
    assert break_even(600.0, 0.0).seconds_per_point is None
    assert break_even(600.0, -1.0) == BreakEven(600.0, -1.0, None)


GAINS = {"cat": [9.0, 10.0, 11.0], "dog": [-11.0, -10.0, -9.5], "owl": [-1.0, 2.0, 0.5], "fox": [1.0, 3.0, 2.0]}


def gains_of(gains: dict[str, Sequence[float | None]]) -> list[ClassGain]:
    """Class gains of the given differences, above 70 % for the first seed, 71 % for the second and so on."""
    after = [
        [None if gain is None else 70.0 + seed + gain for gain in row]
        for seed, row in enumerate(zip(*gains.values(), strict=True))
    ]
    without = [[70.0 + seed] * len(gains) for seed in range(len(after))]
    return class_gains(list(gains), after, without)


def test_classes_that_are_helped_get_twice_as_many_and_those_that_are_hurt_none() -> None:
    found = gains_of(GAINS)
    verdicts = {"cat": "helps", "dog": "hurts", "owl": "inconclusive", "fox": "inconclusive"}
    assert {one.name: one.verdict for one in found} == verdicts
    assert class_quotas(found, [100, 50, 30, 7]) == [200, 0, 30, 7]


def test_quotas_are_chosen_by_validation_images_whatever_the_test_images_say() -> None:
    """The test images say that the first class is hurt and the second helped; the validation images the opposite."""
    study = study_of(("real+classic", "mixed+classic"))
    known = results_of(study, {"real+classic": (0.5,) * 3, "mixed+classic": (0.6,) * 3})
    done = {key: of_classes(cell) for key, cell in known.done.items()}
    [one] = summarise(study, Results(done, {})).regimes[0].sets
    assert [found.verdict for found in one.classes] == ["hurts", "helps"]
    assert one.validated_classes is not None
    assert [found.verdict for found in one.validated_classes] == ["helps", "hurts"]
    assert one.quotas == [40, 0]
    former = next(cell for cell in done.values() if cell.arm == "real+classic")
    done[former.key] = former.model_copy(update={"validation_per_class": None})
    [one] = summarise(study, Results(done, {})).regimes[0].sets
    assert (one.validated_classes, one.quotas) == (None, None)


def of_classes(cell: CellResult) -> CellResult:
    """A cell of two classes; with synthetic images the one gains ten points on test images that the other loses."""
    gain, luck = 0.1 * (cell.arm == "mixed+classic"), 0.01 * (cell.seed - 1) * (cell.arm == "mixed+classic")
    tested = cell.tested.model_copy(update={"per_class": (0.5 - gain + luck, 0.5 + gain + luck)})
    return cell.model_copy(update={"tested": tested, "validation_per_class": (0.5 + gain + luck, 0.5 - gain + luck)})


def test_class_gains_are_paired_by_seed() -> None:
    for one in gains_of(GAINS):
        expected = estimate(GAINS[one.name])
        assert one.gain is not None
        found = (one.gain.mean, one.gain.low, one.gain.high, one.gain.count)
        assert found == pytest.approx((expected.mean, expected.low, expected.high, 3))


def test_class_verdicts_are_corrected_for_the_number_of_classes() -> None:
    """3.0, 3.5 and 4.5 points in 3 seeds have p = 0.014: enough for one class, not for one of ten."""
    gain, nothing = [3.0, 3.5, 4.5], [1.0, -2.0, 1.5]
    assert holm([t_p(gain)])[0] < 0.05 < holm([t_p(gain)] + [t_p(nothing)] * 9)[0]
    assert gains_of({"cat": gain})[0].verdict == "helps"
    assert gains_of({"cat": gain} | {f"dog {number}": nothing for number in range(9)})[0].verdict == "inconclusive"


def test_class_without_test_images_has_no_gain_and_does_not_count_against_others() -> None:
    gain = [3.0, 3.5, 4.5]
    found = gains_of({"cat": gain} | {f"dog {number}": [None] * 3 for number in range(9)})
    assert found[0].verdict == "helps"
    assert found[1] == ClassGain("dog 0", None, "no verdict")


def test_seeds_without_a_class_are_left_out() -> None:
    found = gains_of({"cat": [3.0, None, 4.0, 5.0], "dog": [1.0, None, None, 2.0]})
    assert [one.gain.count for one in found if one.gain is not None] == [3, 2]
    assert [one.verdict for one in found] == ["helps", "no verdict"]


def test_seeds_that_agree_by_chance_borrow_the_deviation_of_other_classes() -> None:
    found = gains_of({"cat": [2.0, 2.0, 2.0], "dog": [-3.0, 1.0, 2.0], "owl": [4.0, -1.0, 0.0]})
    typical = math.sqrt((np.var([-3, 1, 2], ddof=1) + np.var([4, -1, 0], ddof=1)) / 3)
    half = 4.302653 * typical / math.sqrt(3)
    assert found[0].gain is not None
    assert (found[0].gain.low, found[0].gain.high) == pytest.approx((2 - half, 2 + half), rel=1e-5)
    assert found[0].verdict == "inconclusive"


@pytest.mark.parametrize("test_images", [10, 36, 100])
def test_nothing_gained_is_rarely_seen_in_any_class(test_images: int) -> None:
    """Accuracies of few test images come in steps, so that seeds agree by chance."""
    right = np.random.default_rng(0).binomial(test_images, 0.95, size=(2, 150, 3, 10)) * (100 / test_images)
    names = [str(number) for number in range(10)]
    studies = [class_gains(names, *both) for both in right.swapaxes(0, 1).tolist()]
    seen = sum(any(one.verdict in {"helps", "hurts"} for one in study) for study in studies)
    assert seen / len(studies) <= 0.05


@pytest.mark.parametrize(
    ("with_synthetic", "without"),
    [
        ([[1.0, 2.0]] * 3, [[1.0, 2.0]] * 2),
        ([[1.0]] * 3, [[1.0]] * 3),
        ([[1.0, 2.0]] * 3, [[1.0]] * 3),
    ],
)
def test_gains_that_do_not_fit_are_refused(with_synthetic: list[list[float]], without: list[list[float]]) -> None:
    with pytest.raises(InputError, match="same seeds and 2 classes"):
        class_gains(["cat", "dog"], with_synthetic, without)
