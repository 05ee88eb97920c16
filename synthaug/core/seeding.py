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


def sample_seeds(seed: int, positions: Int64[Tensor, " n"]) -> Int64[Tensor, " n"]:
    """Independent 64-bit seeds for positions in the stream of `seed`: the same whatever else is asked for, and where.

    A counter-based generator (Salmon et al. 2011, "Parallel Random Numbers: As Easy as 1, 2, 3") whose bijection is
    the finaliser of SplitMix64 (Steele et al. 2014, "Fast Splittable Pseudorandom Number Generators").

    Args:
        seed: Any integer; only its last 64 bits count.
        positions: On any device; the seeds are made there.
    """
    start = _scramble(torch.tensor([_signed(seed)]))
    return _scramble((positions + 1).mul_(_GOLDEN).add_(int(start)))


def uniforms(seeds: Int64[Tensor, " n"], count: int) -> Float[Tensor, "n count"]:
    """Uniform float32 in [0, 1): the first `count` numbers of the SplitMix64 streams that start at `seeds`.

    Row i depends on seeds[i] alone and column j on j, so neither the other rows nor `count` change a number.
    """
    steps = torch.arange(1, count + 1, device=seeds.device).mul_(_GOLDEN)
    bits = _scramble(seeds[:, None] + steps)
    return (bits >> 40).bitwise_and_(2**24 - 1).to(torch.float32).mul_(2.0**-24)


def _signed(value: int) -> int:
    """The last 64 bits of an integer, as int64 holds them."""
    return (value + 2**63) % 2**64 - 2**63


_GOLDEN = _signed(0x9E3779B97F4A7C15)
_FACTORS = (_signed(0xBF58476D1CE4E5B9), _signed(0x94D049BB133111EB))


def _scramble(bits: Int64[Tensor, "*n"]) -> Int64[Tensor, "*n"]:
    """The finaliser of SplitMix64, in place; products wrap around, and the masks make the shifts logical."""
    bits.bitwise_xor_((bits >> 30).bitwise_and_(2**34 - 1)).mul_(_FACTORS[0])
    bits.bitwise_xor_((bits >> 27).bitwise_and_(2**37 - 1)).mul_(_FACTORS[1])
    return bits.bitwise_xor_((bits >> 31).bitwise_and_(2**33 - 1))


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
