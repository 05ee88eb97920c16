"""The order in which a source's images are seen: pass after pass, a pure function of (seed, pass)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from synthaug.core.seeding import generator_for

#: Images that are shuffled among one another; about how many a streamed set has in use at a time.
WINDOW = 65_536


@dataclass(frozen=True)
class ShuffledOrder:
    """An endless sequence of a source's indices, in which each pass holds every index once.

    Every pass puts the blocks (shards) in a new order and shuffles windows of about `window` images. A source of one
    block, or one smaller than a window, is shuffled as a whole; larger ones on disk are read shard by shard.

    Attributes:
        blocks: Sizes of consecutive runs of indices that lie together on disk.
        seed: Seed of the order.
        name: Distinguishes sources with the same seed.
        window: Images that are shuffled among one another, at least.
    """

    blocks: tuple[int, ...]
    seed: int
    name: str
    window: int = WINDOW

    @property
    def count(self) -> int:
        """Images in one pass."""
        return sum(self.blocks)

    def at(self, ordinals: Int64[Tensor, " n"]) -> Int64[Tensor, " n"]:
        """The indices at some places of the endless sequence; `ordinals` need not be sorted."""
        return _by_value(ordinals // self.count, ordinals, self._at)

    def _at(self, number: int, ordinals: Int64[Tensor, " k"]) -> Int64[Tensor, " k"]:
        places = ordinals - number * self.count
        starts = _windows(self, number)[0]

        def in_window(window: int, places: Int64[Tensor, " j"]) -> Int64[Tensor, " j"]:
            return _permutation(self, number, window)[places - starts[window]]

        return _by_value(torch.searchsorted(starts, places, right=True) - 1, places, in_window)


def _by_value(
    values: Int64[Tensor, " n"],
    places: Int64[Tensor, " n"],
    of: Callable[[int, Int64[Tensor, " k"]], Int64[Tensor, " k"]],
) -> Int64[Tensor, " n"]:
    """`of(value, places)` for each value and its places, in the order of the places; mostly there is one value."""
    if not len(values):
        return places
    lowest, highest = map(int, values.aminmax())
    if lowest == highest:
        return of(lowest, places)
    found = torch.empty_like(places)
    for value in torch.unique(values).tolist():
        chosen = torch.nonzero(values == value).flatten()
        found[chosen] = of(value, places[chosen])
    return found


@functools.lru_cache(maxsize=64)
def _windows(order: ShuffledOrder, number: int) -> tuple[Int64[Tensor, " w"], list[list[int]]]:
    """Where the windows of a pass begin, and the blocks of each."""
    shuffled = torch.randperm(len(order.blocks), generator=generator_for("order", order.name, order.seed, number))
    starts: list[int] = []
    members: list[list[int]] = []
    position = 0
    for block in shuffled.tolist():
        if not members or position - starts[-1] >= order.window:
            starts.append(position)
            members.append([])
        members[-1].append(block)
        position += order.blocks[block]
    return torch.tensor(starts), members


@functools.lru_cache(maxsize=64)
def _permutation(order: ShuffledOrder, number: int, window: int) -> Int64[Tensor, " m"]:
    """The indices of one window of a pass, shuffled."""
    first = _first_of(order.blocks)
    spans = [
        torch.arange(first[block], first[block] + order.blocks[block]) for block in _windows(order, number)[1][window]
    ]
    joined = torch.cat(spans)
    generator = generator_for("window", order.name, order.seed, number, window)
    return joined[torch.randperm(len(joined), generator=generator)]


@functools.lru_cache(maxsize=64)
def _first_of(blocks: tuple[int, ...]) -> list[int]:
    """The first index of each block."""
    return [0, *torch.tensor(blocks).cumsum(0).tolist()[:-1]]
