import hashlib

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from synthaug.core.seeding import IndexStream, SampleNoise, derive_seed, generator_for, sample_seeds, uniforms

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


def split_mix(state: int) -> int:
    """The finaliser of SplitMix64, in plain whole numbers."""
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) % 2**64
    return state ^ (state >> 31)


GOLDEN = 0x9E3779B97F4A7C15


@given(seed=st.integers(-(2**70), 2**70), positions=st.lists(st.integers(0, 2**40), min_size=1, max_size=5))
def test_sample_seeds_are_those_of_plain_whole_numbers(seed: int, positions: list[int]) -> None:
    expected = [split_mix((split_mix(seed % 2**64) + (position + 1) * GOLDEN) % 2**64) for position in positions]
    assert [found % 2**64 for found in sample_seeds(seed, torch.tensor(positions)).tolist()] == expected


@given(seeds=st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=5), count=st.integers(0, 5))
def test_uniforms_are_those_of_plain_whole_numbers(seeds: list[int], count: int) -> None:
    expected = [
        [(split_mix((seed + step * GOLDEN) % 2**64) >> 40) / 2**24 for step in range(1, count + 1)] for seed in seeds
    ]
    assert uniforms(torch.tensor(seeds), count).tolist() == expected


def test_the_first_uniforms_are_the_published_numbers_of_splitmix64() -> None:
    published = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]  # of the seed 0
    assert uniforms(torch.tensor([0]), 3).tolist() == [[(number >> 40) / 2**24 for number in published]]


def test_frozen_seeds_and_uniforms() -> None:
    seeds = sample_seeds(1, torch.tensor([0, 5]))
    assert seeds.tolist() == [-4616330145664149646, -7456765501708208026]
    assert (uniforms(seeds, 2) * 2**24).long().tolist() == [[5621081, 16483759], [10717497, 9310081]]


def test_seeds_and_uniforms_do_not_depend_on_what_else_is_asked_for() -> None:
    positions = torch.arange(100)
    seeds = sample_seeds(3, positions)
    numbers = uniforms(seeds, 8)
    chosen = torch.tensor([99, 4, 4, 50])
    assert torch.equal(sample_seeds(3, positions[chosen]), seeds[chosen])
    assert torch.equal(uniforms(seeds[chosen], 8), numbers[chosen])
    assert torch.equal(uniforms(seeds, 3), numbers[:, :3])
    assert torch.equal(positions, torch.arange(100))


def test_seeds_differ_between_positions_and_between_seeds() -> None:
    positions = torch.arange(2000)
    seeds = torch.cat([sample_seeds(seed, positions) for seed in (0, 1, 2, -1)])
    assert len(seeds.unique()) == 8000


@pytest.mark.parametrize(
    "seeds", [sample_seeds(0, torch.arange(20_000)), torch.arange(20_000)], ids=["drawn", "0, 1.."]
)
def test_uniforms_are_uniform_and_unrelated(seeds: torch.Tensor) -> None:
    numbers = uniforms(seeds, 6)
    assert numbers.dtype == torch.float32
    assert numbers.min() >= 0
    assert numbers.max() < 1
    count = numbers.numel()
    assert abs(numbers.mean() - 0.5) < 5 * (1 / 12 / count) ** 0.5
    assert abs(numbers.var() - 1 / 12) < 5 * (1 / 180 / count) ** 0.5
    per_bin = torch.histc(numbers, 64, 0, 1)
    assert ((per_bin - count / 64) ** 2 / (count / 64)).sum() < 63 + 5 * (2 * 63) ** 0.5
    neighbours = torch.cat([numbers[:-1], numbers[1:]], dim=1)
    correlations = torch.corrcoef(neighbours.T)[torch.triu(torch.ones(12, 12), 1) == 1]
    # A column and itself moved by one row are among the pairs: so are equal columns, twice.
    assert correlations.abs().max() < 5 / 20_000**0.5


def test_uniforms_of_neighbouring_seeds_are_unrelated() -> None:
    positions = torch.arange(20_000)
    columns = torch.cat([uniforms(sample_seeds(seed, positions), 1) for seed in range(4)], dim=1)
    correlations = torch.corrcoef(columns.T) - torch.eye(4)
    assert correlations.abs().max() < 5 / 20_000**0.5


def test_seeds_and_uniforms_are_made_where_the_positions_are() -> None:
    seeds = sample_seeds(0, torch.empty(4, dtype=torch.int64, device="meta"))
    assert uniforms(seeds, 3).device.type == "meta"
