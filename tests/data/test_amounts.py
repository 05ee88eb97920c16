from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from synthaug.core.errors import InputError
from synthaug.data.amounts import Amount, EpochShares, FractionSchedule, epoch_shares


def shares(*sets: Amount, real: Amount | None = None, sizes: tuple[int, ...] = (), **changes: Any) -> EpochShares:
    """An epoch of 1000 real images and synthetic sets of 500 images each."""
    settings: dict[str, Any] = {"synthetic_fraction": None, "mode": "replace", "epoch_size": None, **changes}
    counts = sizes or (500,) * len(sets)
    return epoch_shares(1000, counts, real=real or Amount(), synthetic=sets, **settings)


@pytest.mark.parametrize(
    ("mode", "fraction", "images"),
    [("replace", 0.5, 1000), ("replace", 1.0, 1000), ("add", 0.5, 2000), ("add", 0.2, 1250), ("add", 0.0, 1000)],
)
def test_replace_keeps_the_length_of_the_real_set_and_add_lengthens_it(mode: str, fraction: float, images: int) -> None:
    found = shares(Amount(), mode=mode, synthetic_fraction=fraction)
    assert (found.images, found.schedule.at(0, None)) == (images, Fraction(str(fraction)))


def test_without_a_word_half_is_synthetic_and_without_a_set_nothing_is() -> None:
    assert shares(Amount()).schedule.at(0, None) == Fraction(1, 2)
    assert shares() == EpochShares(1000, FractionSchedule(0.0, 0.0), ())


def test_proportions_weigh_the_sets_among_one_another() -> None:
    found = shares(Amount(proportion=3.0), Amount(), synthetic_fraction=0.4)
    assert found.weights == (Fraction(3, 4), Fraction(1, 4))
    assert found.schedule.at(0, None) == Fraction(2, 5)


def test_proportions_of_all_sources_say_the_synthetic_share() -> None:
    found = shares(Amount(proportion=1.0), Amount(proportion=2.0), real=Amount(proportion=7.0))
    assert (found.images, found.schedule.at(0, None)) == (1000, Fraction(3, 10))
    assert found.weights == (Fraction(1, 3), Fraction(2, 3))


@pytest.mark.parametrize(("mode", "images", "share"), [("replace", 1000, (3, 4)), ("add", 1750, (3, 7))])
def test_repeat_and_choose_say_how_many_images_an_epoch_takes(mode: str, images: int, share: tuple[int, int]) -> None:
    found = shares(Amount(repeat=0.5), Amount(choose=500), mode=mode)
    assert (found.images, found.schedule.at(0, None)) == (images, Fraction(*share))
    assert found.weights == (Fraction(1, 3), Fraction(2, 3))


@pytest.mark.parametrize(("real", "images"), [(Amount(repeat=2.0), 2000), (Amount(choose=50), 50)])
def test_the_real_amount_is_the_length_that_synthetic_images_replace_or_are_added_to(real: Amount, images: int) -> None:
    assert shares(Amount(), real=real, synthetic_fraction=0.5).images == images
    assert shares(Amount(), real=real, synthetic_fraction=0.5, mode="add").images == 2 * images
    assert shares(real=real).images == images


def test_the_epoch_size_wins_over_the_mode_and_keeps_the_share() -> None:
    for mode in ("replace", "add"):
        found = shares(Amount(), mode=mode, synthetic_fraction="0.7:0.1 linear", epoch_size=64)
        assert (found.images, found.schedule) == (64, FractionSchedule(0.7, 0.1))


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (0.25, [0.25] * 5),
        ("0.25", [0.25] * 5),
        ("0.8:0.0 linear", [0.8, 0.6, 0.4, 0.2, 0.0]),
        ("0:1", [0.0, 0.25, 0.5, 0.75, 1.0]),
        ("1:0 cosine", [1.0, 0.853553, 0.5, 0.146447, 0.0]),
        ("1:0 step", [1.0, 1.0, 1.0, 0.0, 0.0]),
    ],
)
def test_a_share_may_change_over_the_epochs(spec: float | str, expected: list[float]) -> None:
    schedule = FractionSchedule.parse(spec)
    assert [float(schedule.at(epoch, 5)) for epoch in range(5)] == pytest.approx(expected, abs=1e-5)
    assert float(schedule.at(9, 5)) == pytest.approx(expected[-1])
    assert float(schedule.at(0, 1)) == pytest.approx(expected[0])


@pytest.mark.parametrize(
    "spec", [True, "half", "0.5:x", "1.5", -0.1, "0.2:1.2 linear", float("nan"), "0.5:0.2 sudden", "0.5:0.2:0.1"]
)
def test_a_share_that_is_none_is_refused(spec: float | str) -> None:
    with pytest.raises(InputError, match="--synthetic-fraction"):
        FractionSchedule.parse(spec)


def test_a_schedule_is_checked_however_it_is_made() -> None:
    for first, last in ((1.5, 1.5), (0.5, -0.1), (float("nan"), 0.5)):
        with pytest.raises(InputError, match=r"--synthetic-fraction must lie in \[0, 1\]"):
            FractionSchedule(first, last)


def test_a_share_that_changes_needs_the_number_of_epochs() -> None:
    with pytest.raises(InputError, match=r"needs the number of epochs: give Mixture\(epochs=N\)"):
        FractionSchedule.parse("0.5:0.2").at(1, None)


@pytest.mark.parametrize(
    ("sets", "changes", "message"),
    [
        ((Amount(choose=5), Amount(proportion=1.0)), {}, "relative and absolute amounts do not mix"),
        ((Amount(choose=5), Amount()), {}, "relative and absolute amounts do not mix"),
        ((Amount(choose=5),), {"real": Amount(proportion=1.0)}, "relative and absolute amounts do not mix"),
        ((Amount(choose=5),), {"synthetic_fraction": 0.5}, "already say how many images"),
        ((Amount(repeat=1.0),), {"epoch_size": 10}, "already say how many images"),
        ((Amount(choose=1001),), {}, "1001 synthetic images cannot replace some of the 1000"),
        ((Amount(),), {"real": Amount(proportion=1.0), "synthetic_fraction": 0.5}, "say the same; give one"),
        ((Amount(),), {"mode": "add", "synthetic_fraction": 1.0}, "cannot be all of an epoch"),
        ((Amount(),), {"mode": "add", "synthetic_fraction": "0.5:0.2"}, "cannot be added .* its length would change"),
        ((Amount(),), {"epoch_size": 0}, "--epoch-size must be at least 1, found 0"),
        ((Amount(),), {"sizes": (0,)}, "a synthetic set needs at least one image"),
        ((), {"synthetic_fraction": 0.5}, "needs a synthetic set, found none"),
    ],
)
def test_amounts_that_contradict_each_other_are_refused(
    sets: tuple[Amount, ...], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        shares(*sets, **changes)


def test_real_images_are_needed() -> None:
    with pytest.raises(InputError, match="at least one real training image is needed"):
        epoch_shares(0, [], real=Amount(), synthetic=[], synthetic_fraction=None, mode="add", epoch_size=None)


def test_numbers_of_other_libraries_are_taken_and_what_is_none_is_refused() -> None:
    amount, schedule = object.__new__(Amount), object.__new__(FractionSchedule)
    for settings, values in ((amount, (np.float32(2.0), None, None)), (schedule, (np.float64(0.5), 1, "linear"))):
        for name, value in zip(settings.__dataclass_fields__, values, strict=True):
            object.__setattr__(settings, name, value)
        settings.__post_init__()
    assert type(amount.proportion) is type(schedule.last) is float
    for name, value, kind in (
        ("choose", 2.5, "a whole number"),
        ("choose", True, "a whole"),
        ("repeat", "2", "a number"),
    ):
        wrong = Amount()
        object.__setattr__(wrong, name, value)
        with pytest.raises(InputError, match=f"--{name} must be {kind}.*, found {value!r}"):
            wrong.__post_init__()


@pytest.mark.parametrize(
    ("amount", "message"),
    [
        ({"proportion": 1.0, "repeat": 2.0}, "one of proportion, repeat and choose"),
        ({"proportion": 0.0}, "--proportion must be a positive number, found 0"),
        ({"repeat": float("nan")}, "--repeat must be a positive number, found nan"),
        ({"choose": -3}, "--choose must be a positive number, found -3"),
    ],
)
def test_an_amount_is_one_positive_number(amount: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Amount(**amount)
