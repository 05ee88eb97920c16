"""All randomness as a pure function of named seeds; the global generators are at most lent, and put back."""

from __future__ import annotations

import contextlib
import functools
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed from the sha256 of `parts`: different parts give independent streams."""
    text = "\x1f".join([f"{type(part).__name__}:{part}" for part in parts])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator_for(*parts: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A torch generator seeded by `derive_seed(*parts)`."""
    generator = torch.Generator(device)
    generator.manual_seed(derive_seed(*parts))
    return generator


@contextlib.contextmanager
def global_stream(*parts: int | str, device: torch.device | str = "cpu") -> Iterator[None]:
    """Lets what asks the global generators, such as dropout, draw from the stream of `parts`; they are put back."""
    with torch.random.fork_rng(devices=[device] if torch.device(device).type == "cuda" else []):
        torch.manual_seed(derive_seed(*parts))
        yield


class SampleNoise:
    """Gaussian noise in which row i depends on (seed, class i, index i) and on nothing else.

    Each call of `draw` gives the next independent array, so a stochastic sampler's later noise is tied to the
    sample too; batch size, order and number of processes cannot change a sample.
    """

    def __init__(self, seed: int, samples: Sequence[tuple[int, int]], shape: tuple[int, int, int]) -> None:
        self._generators = [generator_for("sample", seed, label, index) for label, index in samples]
        self._shape = shape

    def __len__(self) -> int:
        return len(self._generators)

    def draw(self) -> Float[Tensor, "n c h w"]:
        """Standard normal float32 values on the CPU."""
        values = torch.empty(len(self), *self._shape)
        for row, generator in zip(values.unbind(), self._generators, strict=True):
            row.normal_(generator=generator)
        return values


@dataclass(frozen=True)
class IndexStream:
    """An endless sequence of indices: one permutation of range(count) after another.

    The permutation of each epoch depends on (seed, epoch) only, so any stretch can be computed on its own.

    Attributes:
        count: Number of items.
        seed: Seed of the order.
        name: Distinguishes streams with the same seed.
    """

    count: int
    seed: int
    name: str

    def epoch(self, epoch: int) -> Int64[Tensor, " count"]:
        """The permutation of one epoch."""
        return _permutation(self.count, self.seed, self.name, epoch).clone()

    def slice(self, start: int, length: int, *, device: torch.device | str = "cpu") -> Int64[Tensor, " length"]:
        """Elements start..start+length-1 of the endless sequence.

        A device gets whole permutations, not slices: it would have to wait for each.
        """
        if length == 0:
            return torch.empty(0, dtype=torch.int64, device=device)
        first, last = start // self.count, (start + length - 1) // self.count
        epochs, where = range(first, last + 1), str(device)
        joined = torch.cat([_permutation(self.count, self.seed, self.name, epoch, where) for epoch in epochs])
        offset = start - first * self.count
        return joined[offset : offset + length]


@functools.lru_cache(maxsize=8)
def _permutation(count: int, seed: int, name: str, epoch: int, device: str = "cpu") -> Int64[Tensor, " count"]:
    return torch.randperm(count, generator=generator_for("order", name, seed, epoch)).to(device)
