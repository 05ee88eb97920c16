import hashlib

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from synthaug.core.seeding import IndexStream, SampleNoise, derive_seed, generator_for

SHAPE = (1, 4, 4)


def test_a_seed_is_a_63_bit_piece_of_a_sha256() -> None:
    digest = hashlib.sha256(b"str:a\x1fint:1").digest()
    assert derive_seed("a", 1) == int.from_bytes(digest[:8], "big") >> 1
    assert 0 <= derive_seed("a", 1) < 2**63


def test_different_parts_give_different_seeds() -> None:
    parts = [("a", 1), ("a", "1"), (1, "a"), ("a1",), ("a",), ("a", 1, 0), ("a", 11), ("a", 1, 1)]
    assert len({derive_seed(*each) for each in parts}) == len(parts)


def test_generators_of_the_same_parts_give_the_same_numbers() -> None:
    first, second = (torch.rand(8, generator=generator_for("x", 1)) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, torch.rand(8, generator=generator_for("x", 2)))


def test_the_global_generator_is_neither_read_nor_written() -> None:
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = SampleNoise(0, [(0, 0)], SHAPE).draw()
    order = IndexStream(9, 0, "x").epoch(0)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(SampleNoise(0, [(0, 0)], SHAPE).draw(), first)
    assert torch.equal(IndexStream(9, 0, "x").epoch(0), order)


def test_a_samples_noise_does_not_depend_on_its_batch() -> None:
    samples = [(label, index) for label in range(3) for index in range(4)]
    together = SampleNoise(7, samples, SHAPE)
    assert len(together) == 12
    first, second = together.draw(), together.draw()
    for position, sample in reversed(list(enumerate(samples))):
        alone = SampleNoise(7, [sample], SHAPE)
        assert torch.equal(alone.draw()[0], first[position])
        assert torch.equal(alone.draw()[0], second[position])


@pytest.mark.parametrize("shape", [SHAPE, (3, 5, 7), (2, 1, 1)])
def test_a_samples_noise_is_what_a_generator_of_its_own_gives(shape: tuple[int, int, int]) -> None:
    samples = [(label, index) for label in range(2) for index in range(3)]
    noise = SampleNoise(7, samples, shape)
    generators = [generator_for("sample", 7, *sample) for sample in samples]
    for _ in range(2):
        expected = torch.stack([torch.randn(shape, generator=generator) for generator in generators])
        assert torch.equal(noise.draw(), expected)


def test_noise_differs_between_draws_seeds_classes_and_indices() -> None:
    noise = SampleNoise(0, [(0, 0), (0, 1), (1, 0)], SHAPE)
    rows = [*noise.draw(), *noise.draw(), *SampleNoise(1, [(0, 0)], SHAPE).draw()]
    assert len({tuple(row.flatten().tolist()) for row in rows}) == len(rows)


def test_noise_is_standard_normal() -> None:
    noise = SampleNoise(0, [(0, index) for index in range(200)], (1, 16, 16)).draw()
    assert noise.dtype == torch.float32
    count = noise.numel()
    assert abs(noise.mean()) < 5 / count**0.5
    assert abs(noise.var() - 1) < 5 * (2 / count) ** 0.5
    between_samples = noise[:, 0, 0, 0]
    assert abs(between_samples.mean()) < 5 / 200**0.5


@given(count=st.integers(1, 40), seed=st.integers(0, 2**31), epoch=st.integers(0, 5))
def test_every_epoch_is_a_permutation(count: int, seed: int, epoch: int) -> None:
    assert IndexStream(count, seed, "x").epoch(epoch).sort().values.tolist() == list(range(count))


def test_the_order_depends_on_seed_epoch_and_name_only() -> None:
    order = IndexStream(50, 1, "x").epoch(2)
    assert torch.equal(order, IndexStream(50, 1, "x").epoch(2))
    others = [IndexStream(50, 2, "x").epoch(2), IndexStream(50, 1, "x").epoch(3), IndexStream(50, 1, "y").epoch(2)]
    assert not any(torch.equal(order, other) for other in others)


@given(count=st.integers(1, 12), start=st.integers(0, 60), length=st.integers(0, 40))
def test_any_stretch_equals_that_part_of_the_joined_epochs(count: int, start: int, length: int) -> None:
    stream = IndexStream(count, 3, "x")
    joined = torch.cat([stream.epoch(epoch) for epoch in range((start + length) // count + 1)])
    assert torch.equal(stream.slice(start, length), joined[start : start + length])


def test_a_stretch_can_be_made_on_another_device() -> None:
    stretch = IndexStream(4, 0, "x").slice(3, 9, device="meta")
    assert (stretch.device.type, len(stretch)) == ("meta", 9)


@pytest.mark.parametrize("start", [0, 5])
def test_an_empty_stretch_is_empty(start: int) -> None:
    stretch = IndexStream(4, 0, "x").slice(start, 0)
    assert stretch.dtype == torch.int64
    assert len(stretch) == 0
