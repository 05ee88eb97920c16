import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from synthaug.core.errors import InputError
from synthaug.data.mixing import BatchPlan, MixedBatches


def batches(**changes: float) -> MixedBatches:
    settings = {"real_count": 10, "synthetic_count": 7, "batch_size": 4, "synthetic_fraction": 0.5, "seed": 0}
    return MixedBatches(**{**settings, **changes})


def epoch_of(mixed: MixedBatches, epoch: int) -> list[BatchPlan]:
    mixed.set_epoch(epoch)
    return list(mixed)


def as_lists(plans: list[BatchPlan]) -> list[tuple[list[int], list[int], int]]:
    return [(plan.real.tolist(), plan.synthetic.tolist(), plan.transform_seed) for plan in plans]


@given(
    real_count=st.integers(1, 60),
    synthetic_count=st.integers(1, 60),
    batch_size=st.integers(1, 40),
    synthetic_fraction=st.floats(0, 1),
    epoch=st.integers(0, 3),
)
def test_every_batch_has_exactly_the_same_composition(
    real_count: int, synthetic_count: int, batch_size: int, synthetic_fraction: float, epoch: int
) -> None:
    assume(synthetic_fraction == 0 or round(batch_size * synthetic_fraction) > 0)
    mixed = batches(
        real_count=real_count,
        synthetic_count=synthetic_count,
        batch_size=batch_size,
        synthetic_fraction=synthetic_fraction,
    )
    plans = epoch_of(mixed, epoch)
    assert len(plans) == len(mixed) == -(-real_count // batch_size)
    assert abs(mixed.synthetic_per_batch - batch_size * synthetic_fraction) <= 0.5
    for plan in plans:
        assert len(plan.synthetic) == mixed.synthetic_per_batch
        assert len(plan.real) == mixed.real_per_batch == batch_size - mixed.synthetic_per_batch
        assert set(plan.real.tolist()) <= set(range(real_count))
        assert set(plan.synthetic.tolist()) <= set(range(synthetic_count))


@given(
    real_count=st.integers(1, 30),
    synthetic_count=st.integers(1, 30),
    batch_size=st.integers(2, 20),
    seed=st.integers(0, 99),
)
def test_no_image_is_seen_twice_before_all_of_its_kind_were_seen(
    real_count: int, synthetic_count: int, batch_size: int, seed: int
) -> None:
    mixed = batches(real_count=real_count, synthetic_count=synthetic_count, batch_size=batch_size, seed=seed)
    plans = [plan for epoch in range(4) for plan in epoch_of(mixed, epoch)]
    for count, stream in (
        (real_count, torch.cat([plan.real for plan in plans])),
        (synthetic_count, torch.cat([plan.synthetic for plan in plans])),
    ):
        for permutation in stream.split(count):
            assert len(set(permutation.tolist())) == len(permutation)


def test_the_plan_depends_on_seed_and_epoch_only() -> None:
    mixed = batches()
    forwards = [as_lists(epoch_of(mixed, epoch)) for epoch in range(3)]
    torch.manual_seed(1)
    backwards = [as_lists(epoch_of(batches(), epoch)) for epoch in (2, 1, 0)]
    assert forwards == backwards[::-1]
    assert forwards[0] != forwards[1]
    assert as_lists(epoch_of(batches(seed=1), 0)) != forwards[0]


def test_a_batch_can_be_asked_for_alone() -> None:
    mixed = batches()
    joined = [plan for epoch in range(3) for plan in epoch_of(mixed, epoch)]
    assert as_lists([mixed.batch(position) for position in range(len(joined))]) == as_lists(joined)


def test_every_batch_of_every_epoch_has_its_own_transform_seed() -> None:
    mixed = batches()
    seeds = [plan.transform_seed for epoch in range(5) for plan in epoch_of(mixed, epoch)]
    assert len(set(seeds)) == len(seeds)


def test_fraction_zero_is_real_only_and_needs_no_synthetic_set() -> None:
    plans = epoch_of(batches(synthetic_fraction=0.0, synthetic_count=0), 0)
    assert all(len(plan.synthetic) == 0 and len(plan.real) == 4 for plan in plans)
    seen = torch.cat([plan.real for plan in plans])
    assert sorted(seen[:10].tolist()) == list(range(10))


def test_fraction_one_is_synthetic_only_with_the_same_number_of_batches() -> None:
    plans = epoch_of(batches(synthetic_fraction=1.0), 0)
    assert len(plans) == 3
    assert all(len(plan.synthetic) == 4 and len(plan.real) == 0 for plan in plans)


def test_the_epoch_is_as_long_whatever_is_mixed_in() -> None:
    assert {len(batches(synthetic_fraction=fraction)) for fraction in (0.0, 0.25, 0.5, 1.0)} == {3}


def test_a_batch_larger_than_the_source_repeats_whole_permutations() -> None:
    (plan,) = epoch_of(batches(real_count=3, synthetic_count=2, batch_size=16), 0)
    assert torch.bincount(plan.real[:6]).tolist() == [2, 2, 2]
    assert torch.bincount(plan.synthetic).tolist() == [4, 4]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "batch size must be at least 1, found 0"),
        ({"synthetic_fraction": -0.1}, r"--synthetic-fraction must lie in \[0, 1\], found -0.1"),
        ({"synthetic_fraction": 1.1}, r"--synthetic-fraction must lie in \[0, 1\], found 1.1"),
        ({"synthetic_fraction": float("nan")}, r"--synthetic-fraction must lie in \[0, 1\], found nan"),
        ({"synthetic_count": 0}, "needs a synthetic set, found none"),
        ({"real_count": 0}, "at least one real training image is needed"),
    ],
)
def test_impossible_mixtures_are_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        batches(**changes)


def test_a_fraction_that_comes_to_no_image_is_refused() -> None:
    with pytest.raises(InputError, match="less than one synthetic image per batch"):
        batches(real_count=10, synthetic_count=10, batch_size=8, synthetic_fraction=0.01)
