"""The filters of a curation: each says which of the samples that are left stay; none knows of the others."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from synthaug.core.errors import InputError
from synthaug.metrics.memorisation import first_alike
from synthaug.metrics.neighbours import nearest
from synthaug.metrics.selection import greedy_cover, k_centre
from synthaug.workflows.scoring import Copies

_NEIGHBOURS = 5


@dataclass(frozen=True, eq=False)
class Scored:
    """What filters know of the samples of a set.

    Attributes:
        labels: Class of each.
        class_names: In label order.
        predicted: What the judge takes each for.
        confidence: The probability that it gives the label.
        features: What it sees of each.
        copies: What each may be a copy of.
        real: What it sees of the real training images.
        real_labels: Their classes.
    """

    labels: Int64[Tensor, " n"]
    class_names: tuple[str, ...]
    predicted: Int64[Tensor, " n"]
    confidence: Float[Tensor, " n"]
    features: Float[Tensor, "n d"]
    copies: Copies
    real: Float[Tensor, "m d"]
    real_labels: Int64[Tensor, " m"]

    def by_class(self, kept: Bool[Tensor, " n"]) -> list[Int64[Tensor, " k"]]:
        """Positions of the samples of each class that are left."""
        return [(kept & (self.labels == label)).nonzero().flatten() for label in range(len(self.class_names))]


#: From what is known and what is left to what stays.
Filter = Callable[[Scored, Bool[Tensor, " n"]], Bool[Tensor, " n"]]


def confidence(value: str | None) -> Filter:
    """Keeps the share of each class in which the judge recognises the label most surely."""
    share = _share("confidence", value)
    return lambda scored, kept: _top(scored, kept, scored.confidence, share)


def target(value: str | None) -> Filter:
    """Keeps the share of each class that a model of the real images finds hardest.

    After targeted augmentation (TADA, Nguyen et al. 2025): what a model has learned already teaches it little. Wrongly
    labelled samples are hard as well: remove them first.
    """
    share = _share("target", value)
    return lambda scored, kept: _top(scored, kept, -scored.confidence, share)


def mislabelled(value: str | None) -> Filter:
    """Removes what the judge takes for another class, or, with a value, gives its label less than this probability."""
    if value is None:
        return lambda scored, kept: kept & (scored.predicted == scored.labels)
    least = _number("mislabelled", value, 0.0, 1.0)
    return lambda scored, kept: kept & (scored.confidence >= least)


def duplicates(value: str | None) -> Filter:
    """Removes what is as close to a sample before it, that stays, as copies are to what they copy."""
    _no_value("duplicates", value)

    def apply(scored: Scored, kept: Bool[Tensor, " n"]) -> Bool[Tensor, " n"]:
        places = kept.nonzero().flatten()
        first = first_alike(scored.copies.pixels[places], scored.copies.reach[places])
        stays = torch.zeros_like(kept)
        stays[places[first == torch.arange(len(places))]] = True
        return stays

    return apply


def memorised(value: str | None) -> Filter:
    """Removes copies of training images; a value above 1 removes also what is up to so many times as far away."""
    limit = 1.0 if value is None else _number("memorised", value, 1.0, 1000.0)
    return lambda scored, kept: kept & (scored.copies.relative > limit)


def outliers(value: str | None) -> Filter:
    """Removes what lies in no neighbourhood of a real image of its class; with a value, the farthest share of each.

    Neighbourhoods reach to the fifth nearest real image of the class, as in the figure precision; the far ones are
    those with the least realism (Kynkaanniemi et al. 2019, section 5).
    """
    share = None if value is None else _share("outliers", value)
    if share == 1:
        raise InputError("--filter outliers=1 would leave nothing: a share below 1 is needed")

    def apply(scored: Scored, kept: Bool[Tensor, " n"]) -> Bool[Tensor, " n"]:
        realism = _realism(scored, kept)
        return kept & (realism >= 1) if share is None else _top(scored, kept, realism, 1 - share)

    return apply


def diverse(value: str | None) -> Filter:
    """Keeps so many of each class, as different from each other as can be (k-centre), or a share of it."""
    amount = _amount("diverse", value)

    def apply(scored: Scored, kept: Bool[Tensor, " n"]) -> Bool[Tensor, " n"]:
        return _chosen(scored, kept, amount, lambda members, _, count: k_centre(scored.features[members], count))

    return apply


def coverage(value: str | None) -> Filter:
    """Keeps so many of each class, or a share of it, that reach the most real neighbourhoods of the class (greedy)."""
    amount = _amount("coverage", value)

    def apply(scored: Scored, kept: Bool[Tensor, " n"]) -> Bool[Tensor, " n"]:
        def choose(members: Int64[Tensor, " k"], label: int, count: int) -> Int64[Tensor, " j"]:
            return greedy_cover(_within(scored, members, label), count)

        return _chosen(scored, kept, amount, choose)

    return apply


def quota(value: str | None) -> Filter:
    """Keeps at most so many of each class, the first ones; `balance` as many as the smallest class has left."""
    if value is None:
        raise InputError("--filter quota needs a value: a number, class:number pairs, or balance")
    numbers = None if value == "balance" else _quotas(value)

    def apply(scored: Scored, kept: Bool[Tensor, " n"]) -> Bool[Tensor, " n"]:
        members = scored.by_class(kept)
        drawn = scored.labels.bincount(minlength=len(members)) > 0
        smallest = min(len(found) for found, is_drawn in zip(members, drawn.tolist(), strict=True) if is_drawn)
        stays = torch.zeros_like(kept)
        for name, found in zip(scored.class_names, members, strict=True):
            if isinstance(numbers, dict):
                most = numbers.get(name, len(found))
            else:
                most = smallest if numbers is None else numbers
            stays[found[:most]] = True
        return stays

    return apply


def check_quota(value: str, class_names: tuple[str, ...]) -> None:
    """Refuses a quota of a class that there is not.

    Raises:
        InputError: Naming the class.
    """
    numbers = {} if value == "balance" else _quotas(value)
    if isinstance(numbers, dict) and (unknown := [name for name in numbers if name not in class_names]):
        raise InputError(f"--filter quota={value}: there is no class {unknown[0]!r}")


def _share(name: str, value: str | None) -> float:
    if value is None:
        raise InputError(f"--filter {name} needs a share of each class: {name}=0.2")
    return _number(name, value, 0.0, 1.0)


def _number(name: str, value: str, low: float, high: float) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not low < number <= high or not math.isfinite(number):
        raise InputError(f"--filter {name}={value}: a number above {low:g}, up to {high:g} is needed")
    return number


def _amount(name: str, value: str | None) -> int | float:
    """A number of samples (500), or a share below 1 (0.5)."""
    if value is None:
        raise InputError(f"--filter {name} needs a number of each class or a share of it: {name}=500 or {name}=0.5")
    if value.isascii() and value.isdigit() and int(value) > 0:
        return int(value)
    return _number(name, value, 0.0, 1.0)


def _no_value(name: str, value: str | None) -> None:
    if value is not None:
        raise InputError(f"--filter {name} takes no value, found {value!r}")


def _quotas(value: str) -> int | dict[str, int]:
    if value.isascii() and value.isdigit():
        return int(value)
    pairs = [entry.rpartition(":") for entry in value.split(",")]
    if not all(name and number.isascii() and number.isdigit() for name, _, number in pairs):
        raise InputError(
            f"--filter quota={value}: a number, class:number pairs like cat:100,dog:50, or balance is needed"
        )
    names = [name for name, _, _ in pairs]
    if len(set(names)) < len(names):
        raise InputError(f"--filter quota={value}: a class is named twice")
    return {name: int(number) for name, _, number in pairs}


def _top(scored: Scored, kept: Bool[Tensor, " n"], scores: Float[Tensor, " n"], share: float) -> Bool[Tensor, " n"]:
    """The share of each class that has the highest scores, rounded up; earlier ones first among equals."""
    stays = torch.zeros_like(kept)
    for members in scored.by_class(kept):
        count = math.ceil(round(share * len(members), 6))
        stays[members[scores[members].argsort(descending=True, stable=True)[:count]]] = True
    return stays


def _chosen(
    scored: Scored,
    kept: Bool[Tensor, " n"],
    amount: int | float,
    choose: Callable[[Int64[Tensor, " k"], int, int], Int64[Tensor, " j"]],
) -> Bool[Tensor, " n"]:
    stays = torch.zeros_like(kept)
    for label, members in enumerate(scored.by_class(kept)):
        count = amount if isinstance(amount, int) else math.ceil(round(amount * len(members), 6))
        if len(members) <= count:
            stays[members] = True
        else:
            stays[members[choose(members, label, count)]] = True
    return stays


def _real_of(scored: Scored, label: int) -> tuple[Float[Tensor, "m d"], Float[Tensor, " m"]]:
    """The real images of a class and how far their neighbourhoods reach."""
    real = scored.real[scored.real_labels == label]
    neighbours = min(_NEIGHBOURS, len(real) - 1)
    if neighbours < 1:
        raise InputError(
            f"neighbourhoods take at least two real images of a class, found {len(real)} of "
            f"{scored.class_names[label]!r}; leave out the filters outliers and coverage"
        )
    return real, nearest(real, real, neighbours, excludes_self=True).distances[:, -1]


def _within(scored: Scored, members: Int64[Tensor, " k"], label: int) -> Bool[Tensor, "k m"]:
    real, reach = _real_of(scored, label)
    parts = torch.split(members, 1000)
    return torch.cat([torch.cdist(scored.features[part].double(), real.double()) <= reach for part in parts])


def _realism(scored: Scored, kept: Bool[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Largest ratio of a real neighbourhood's reach to the distance from its centre; at least 1 within one."""
    realism = torch.zeros(len(kept), dtype=torch.float64)
    for label, members in enumerate(scored.by_class(kept)):
        if len(members):
            real, reach = _real_of(scored, label)
            for part in torch.split(members, 1000):
                distance = torch.cdist(scored.features[part].double(), real.double())
                realism[part] = (reach / distance.clamp(min=1e-12)).amax(dim=1)
    return realism
