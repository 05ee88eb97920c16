"""Which real and which synthetic image fills each slot of each epoch; a pure function of (seed, epoch, slot)."""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from synthaug.core.seeding import generator_for
from synthaug.data.amounts import MOST_PARTS, FractionSchedule
from synthaug.data.order import ShuffledOrder

Batching = Literal["stratified", "random"]


class Slots(NamedTuple):
    """Which image fills each of some slots.

    Attributes:
        sources: 0 for real images, 1 and up for the synthetic sets in their order.
        indices: Position of each image in its source.
        positions: Number of each slot, counted from the first epoch on; differs in every slot of every epoch.
    """

    sources: Int64[Tensor, " n"]
    indices: Int64[Tensor, " n"]
    positions: Int64[Tensor, " n"]


@dataclass(frozen=True)
class MixturePlan:
    """The slots of one epoch after another, of `epoch_slots` each.

    Real images come from an endless sequence of passes, so none is seen twice before all have been seen; so do those of
    every synthetic set. Within an epoch, n slots in a row hold n times the synthetic share, rounded up or down
    (`stratified`), or what chance gives (`random`); the whole epoch holds its share in both, to the nearest image.

    Attributes:
        orders: Order of the real images, then of each synthetic set.
        weights: Share of each synthetic set among the synthetic images; their sum is 1.
        schedule: Synthetic share of each epoch.
        epochs: Number of epochs, if the share changes.
        epoch_slots: Slots in an epoch.
        batching: How slots are given to real and synthetic images.
        seed: Seed of all orders.
    """

    orders: tuple[ShuffledOrder, ...]
    weights: tuple[Fraction, ...]
    schedule: FractionSchedule
    epochs: int | None
    epoch_slots: int
    batching: Batching
    seed: int

    def synthetic_slots(self, epoch: int) -> int:
        """How many slots of an epoch are synthetic."""
        return _before(self.schedule.at(epoch, self.epochs), self.epoch_slots)

    def slots(self, epoch: int, place: Int64[Tensor, " n"]) -> Slots:
        """What fills the slots number `place`, in [0, epoch_slots), of an epoch."""
        if self.batching == "random":
            is_synthetic, synthetic = _shuffled(self.epoch_slots, self.synthetic_slots(epoch), self.seed, epoch)
            is_synthetic, synthetic = is_synthetic[place], synthetic[place]
        else:
            share = self.schedule.at(epoch, self.epochs)
            synthetic = _before_each(share, place)
            is_synthetic = _before_each(share, place + 1) > synthetic
        former = self._synthetic_before(epoch)
        sources = torch.zeros_like(place)
        ordinals = place - synthetic + (epoch * self.epoch_slots - former)  # of real images, over all epochs
        chosen = torch.nonzero(is_synthetic).flatten()
        sources[chosen], ordinals[chosen] = self._among_sets(synthetic[chosen] + former)
        indices = torch.empty_like(place)
        for number, order in enumerate(self.orders):
            chosen = torch.nonzero(sources == number).flatten()
            if len(chosen):
                indices[chosen] = order.at(ordinals[chosen])
        return Slots(sources, indices, place + epoch * self.epoch_slots)

    def _among_sets(self, synthetic: Int64[Tensor, " m"]) -> tuple[Int64[Tensor, " m"], Int64[Tensor, " m"]]:
        """Which source gives each of some synthetic images, and how many it has given before."""
        if len(self.weights) <= 1:
            return torch.ones_like(synthetic), synthetic
        pattern = _pattern(self.weights)
        period, place = synthetic // len(pattern.sets), synthetic % len(pattern.sets)
        sets = pattern.sets[place]
        return sets + 1, period * pattern.counts[sets] + pattern.ranks[place]

    def _synthetic_before(self, epoch: int) -> int:
        if self.schedule.is_constant:
            return epoch * self.synthetic_slots(0)
        return sum(self.synthetic_slots(former) for former in range(epoch))


class _Pattern(NamedTuple):
    """In which order sets give images, repeated for ever.

    Attributes:
        sets: Which set gives each image of a period.
        ranks: How many that set has given before in the period.
        counts: Images of each set in a period.
    """

    sets: Int64[Tensor, " period"]
    ranks: Int64[Tensor, " period"]
    counts: Int64[Tensor, " sets"]


@functools.lru_cache(maxsize=8)
def _pattern(weights: tuple[Fraction, ...]) -> _Pattern:
    """The sets by their weights, each as evenly spread as can be."""
    period = min(math.lcm(*(weight.denominator for weight in weights)), MOST_PARTS)
    ends = [round(sum(weights[: number + 1]) * period) for number in range(len(weights))]
    counts = [end - start for start, end in itertools.pairwise([0, *ends])]
    sets, ranks = torch.zeros(2, period, dtype=torch.int64)
    rest, left = torch.arange(period), period  # what the sets before have not taken
    for number, count in enumerate(counts):
        share, among = Fraction(count, max(1, left)), torch.arange(left)
        before = _before_each(share, among)
        is_taken = _before_each(share, among + 1) > before
        taken = rest[is_taken]
        sets[taken], ranks[taken] = number, before[is_taken]
        rest, left = rest[~is_taken], left - count
    return _Pattern(sets, ranks, torch.tensor(counts))


def _before(share: Fraction, slots: int) -> int:
    """How many of the first `slots` slots belong to a source with this share: the nearest whole number."""
    return (2 * slots * share.numerator + share.denominator) // (2 * share.denominator)


def _before_each(share: Fraction, slots: Int64[Tensor, " n"]) -> Int64[Tensor, " n"]:
    return (2 * share.numerator * slots + share.denominator) // (2 * share.denominator)


@functools.lru_cache(maxsize=2)
def _shuffled(
    slots: int, synthetic: int, seed: int, epoch: int
) -> tuple[Bool[Tensor, " slots"], Int64[Tensor, " slots"]]:
    """Which slots are synthetic in an epoch that is shuffled as a whole, and how many are before each."""
    order = torch.randperm(slots, generator=generator_for("slots", seed, epoch))
    is_synthetic = torch.zeros(slots, dtype=torch.bool)
    is_synthetic[order[:synthetic]] = True
    return is_synthetic, is_synthetic.cumsum(0) - is_synthetic.long()
