"""How much of each source an epoch takes, however it is said: fractions, schedules, proportions or numbers."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from synthaug.core.errors import InputError

Mode = Literal["replace", "add"]
#: Shares are fractions with at most this denominator, so that products with slot numbers stay exact in 64 bits.
MOST_PARTS = 1 << 20
_SCHEDULE = re.compile(r"^\s*([0-9.eE+-]+)\s*:\s*([0-9.eE+-]+)(?:\s+(linear|cosine|step))?\s*$")


def coerce(settings: object, *, whole: Sequence[str] = (), real: Sequence[str] = ()) -> None:
    """Makes plain numbers of those that other libraries have types of their own for, in a frozen dataclass.

    Raises:
        InputError: If one is no number, or no whole number.
    """
    for name in (*whole, *real):
        value = getattr(settings, name)
        if value is None:
            continue
        try:
            if isinstance(value, bool | str):
                raise TypeError
            number = operator.index(value) if name in whole else float(value)
        except (TypeError, ValueError) as error:
            kind = "a whole number" if name in whole else "a number"
            raise InputError(f"--{name.replace('_', '-')} must be {kind}, found {value!r}") from error
        object.__setattr__(settings, name, number)


@dataclass(frozen=True)
class Amount:
    """How much of a source an epoch takes: one of three ways to say it, or none.

    Attributes:
        proportion: Its weight relative to the other sources that have one.
        repeat: Its own size, times this.
        choose: So many images.
    """

    proportion: float | None = None
    repeat: float | None = None
    choose: int | None = None

    def __post_init__(self) -> None:
        coerce(self, whole=("choose",), real=("proportion", "repeat"))
        given = {name: value for name, value in vars(self).items() if value is not None}
        if len(given) > 1:
            raise InputError(f"one of proportion, repeat and choose can be given for a source, found {given}")
        for name, value in given.items():
            if not 0 < value < math.inf:
                raise InputError(f"--{name} must be a positive number, found {value}")

    def images(self, count: int) -> int | None:
        """Images of a source of `count` that this asks for; None if it asks for no number."""
        if self.choose is not None:
            return self.choose
        return None if self.repeat is None else max(1, round(self.repeat * count))


@dataclass(frozen=True)
class FractionSchedule:
    """The synthetic share of each epoch's batches, from the first epoch to the last.

    Attributes:
        first: Share in the first epoch, in [0, 1].
        last: Share in the last epoch, and in any after it.
        shape: `linear`, `cosine` (slow at both ends), or `step` (all at once, after half of the epochs).
    """

    first: float
    last: float
    shape: Literal["linear", "cosine", "step"] = "linear"

    def __post_init__(self) -> None:
        coerce(self, real=("first", "last"))
        if not (0.0 <= self.first <= 1.0 and 0.0 <= self.last <= 1.0):
            found = self.first if self.is_constant else f"{self.first}:{self.last}"
            raise _no_share(found)
        if self.shape not in ("linear", "cosine", "step"):
            raise InputError(f"--synthetic-fraction changes in the shape linear, cosine or step, found {self.shape!r}")

    @classmethod
    def parse(cls, value: float | str | FractionSchedule) -> FractionSchedule:
        """Reads 0.5, "0.5" or "0.7:0.0 linear".

        Raises:
            InputError: If it is none of these, or a share is outside [0, 1].
        """
        if isinstance(value, FractionSchedule):
            return value
        match = _SCHEDULE.match(value) if isinstance(value, str) else None
        try:
            if isinstance(value, bool):
                raise TypeError
            first, last = (float(match[1]), float(match[2])) if match else (float(value), float(value))
        except (TypeError, ValueError) as error:
            raise _no_share(value) from error
        shape: Any = (match[3] or "linear") if match else "linear"
        return cls(first, last, shape)

    @property
    def is_constant(self) -> bool:
        """Whether every epoch has the same share."""
        return self.first == self.last

    def at(self, epoch: int, epochs: int | None) -> Fraction:
        """The share of one epoch of `epochs`.

        Raises:
            InputError: If the share changes and the number of epochs is not known.
        """
        if self.is_constant:
            return simple_fraction(self.first)
        if epochs is None:
            raise InputError("a synthetic fraction that changes needs the number of epochs: give Mixture(epochs=N)")
        progress = 1.0 if epoch >= epochs - 1 else epoch / (epochs - 1)
        if epochs == 1:
            progress = 0.0
        if self.shape == "step":
            progress = float(2 * epoch >= epochs)
        if self.shape == "cosine":
            progress = (1 - math.cos(math.pi * progress)) / 2
        return simple_fraction(self.first + (self.last - self.first) * progress)


def _no_share(found: object) -> InputError:
    return InputError(
        "--synthetic-fraction must lie in [0, 1], or go from one share to another like '0.7:0.0 linear' (or cosine, or "
        f"step), found {found}"
    )


def simple_fraction(value: float | Fraction) -> Fraction:
    """The nearest fraction whose denominator is small enough for exact sums."""
    return Fraction(value).limit_denominator(MOST_PARTS)


@dataclass(frozen=True)
class EpochShares:
    """What an epoch is made of, before it is cut into batches.

    Attributes:
        images: Images in an epoch.
        schedule: Synthetic share of each epoch.
        weights: Share of each synthetic set among the synthetic images.
    """

    images: int
    schedule: FractionSchedule
    weights: tuple[Fraction, ...] = ()


def epoch_shares(
    real_count: int,
    synthetic_counts: Sequence[int],
    *,
    real: Amount,
    synthetic: Sequence[Amount],
    synthetic_fraction: float | str | FractionSchedule | None,
    mode: Mode,
    epoch_size: int | None,
) -> EpochShares:
    """Works out the length of an epoch and the shares of its sources.

    With `replace` an epoch has as many images as the real set alone (or its `real` amount); with `add` the synthetic
    images come on top of those. The synthetic share is `synthetic_fraction`; or follows from the proportions of all
    sources, if the real one has one too; or from the numbers that `repeat` or `choose` of the synthetic sets give; else
    it is a half. `epoch_size` sets the length instead.

    Args:
        real_count: Real training images.
        synthetic_counts: Images of each synthetic set.
        real: How much of the real images an epoch takes.
        synthetic: The same of each synthetic set.
        synthetic_fraction: Synthetic share of every batch, constant or changing.
        mode: `replace` or `add`.
        epoch_size: Images in an epoch.

    Raises:
        InputError: If these contradict each other or cannot be had.
    """
    if real_count == 0:
        raise InputError("at least one real training image is needed, found none")
    if epoch_size is not None and epoch_size < 1:
        raise InputError(f"--epoch-size must be at least 1, found {epoch_size}")
    base = real.images(real_count) or real_count
    if not synthetic_counts:
        if synthetic_fraction is not None and FractionSchedule.parse(synthetic_fraction) != FractionSchedule(0.0, 0.0):
            raise InputError("a synthetic fraction above 0 needs a synthetic set, found none")
        return EpochShares(epoch_size or base, FractionSchedule(0.0, 0.0))
    if 0 in synthetic_counts:
        raise InputError("a synthetic set needs at least one image, found none")
    numbers = [amount.images(count) for amount, count in zip(synthetic, synthetic_counts, strict=True)]
    asked = [number for number in numbers if number is not None]
    if asked:
        if len(asked) < len(numbers) or real.proportion is not None:
            raise InputError(
                "give all synthetic sets a repeat or choose, or all a proportion; relative and absolute amounts do not "
                "mix"
            )
        if synthetic_fraction is not None or epoch_size is not None:
            raise InputError(
                "repeat and choose of synthetic sets already say how many images an epoch takes; leave out the "
                "synthetic fraction and the epoch size, or give proportions"
            )
        return _in_numbers(base, asked, mode)
    proportions = [1.0 if amount.proportion is None else amount.proportion for amount in synthetic]
    weights = tuple(Fraction(share) / sum(map(Fraction, proportions)) for share in proportions)
    schedule = _share_of(real, proportions, synthetic_fraction)
    length = epoch_size or _length(base, schedule, mode)
    if schedule.is_constant and schedule.first > 0 and round(length * schedule.at(0, None)) == 0:
        raise InputError(
            f"a synthetic fraction of {schedule.first} is less than one of the {length} images of an epoch; give a "
            "larger one"
        )
    return EpochShares(length, schedule, weights)


def _in_numbers(base: int, asked: Sequence[int], mode: Mode) -> EpochShares:
    total = sum(asked)
    if mode == "replace" and total > base:
        raise InputError(
            f"{total} synthetic images cannot replace some of the {base} images of an epoch; ask for fewer, or add "
            "them (mode add)"
        )
    length = base if mode == "replace" else base + total
    schedule = FractionSchedule(total / length, total / length)
    return EpochShares(length, schedule, tuple(Fraction(number, total) for number in asked))


def _share_of(
    real: Amount, proportions: Sequence[float], synthetic_fraction: float | str | FractionSchedule | None
) -> FractionSchedule:
    if real.proportion is None:
        return FractionSchedule.parse(0.5 if synthetic_fraction is None else synthetic_fraction)
    if synthetic_fraction is not None:
        raise InputError("the synthetic fraction and a proportion of the real images say the same; give one of them")
    share = sum(proportions) / (sum(proportions) + real.proportion)
    return FractionSchedule(share, share)


def _length(base: int, schedule: FractionSchedule, mode: Mode) -> int:
    if mode == "replace":
        return base
    if not schedule.is_constant:
        raise InputError(
            "synthetic images of a share that changes cannot be added to an epoch, as its length would change too; let "
            "them replace real ones (mode replace), or give an epoch size"
        )
    share = schedule.at(0, None)
    if share == 1:
        raise InputError("synthetic images cannot be all of an epoch and be added to real ones; use mode replace")
    return round(base / (1 - share))
