from fractions import Fraction
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from synthaug.data.amounts import FractionSchedule
from synthaug.data.mixing import MixturePlan, Slots
from synthaug.data.order import ShuffledOrder

SHARES = st.floats(0, 1)
WEIGHTS = st.lists(st.integers(1, 50), min_size=1, max_size=5)
BATCHINGS = st.sampled_from(["stratified", "random"])


def plan(
    counts: tuple[int, ...] = (10, 7), share: float | str = 0.5, weights: list[int] | None = None, **changes: Any
) -> MixturePlan:
    weights = weights or [1] * (len(counts) - 1)
    settings: dict[str, Any] = {"epochs": 4, "epoch_slots": 12, "batching": "stratified", "seed": 0, **changes}
    return MixturePlan(
        orders=tuple(ShuffledOrder((count,), settings["seed"], str(number)) for number, count in enumerate(counts)),
        weights=tuple(Fraction(weight, sum(weights)) for weight in weights),
        schedule=FractionSchedule.parse(share),
        **settings,
    )


def epoch_of(mixed: MixturePlan, epoch: int) -> Slots:
    return mixed.slots(epoch, torch.arange(mixed.epoch_slots))


@given(
    share=SHARES, weights=WEIGHTS, batch_size=st.integers(1, 40), batches=st.integers(1, 12), epoch=st.integers(0, 3)
)
def test_every_batch_holds_its_share_rounded_up_or_down_and_sums_never_drift(
    share: float, weights: list[int], batch_size: int, batches: int, epoch: int
) -> None:
    mixed = plan((30, *(9,) * len(weights)), share, weights, epoch_slots=batch_size * batches)
    slots = epoch_of(mixed, epoch)
    held = (slots.sources > 0).view(batches, batch_size).sum(1)
    assert (held - share * batch_size).abs().max() < 1 + 1e-3
    until_now = (slots.sources > 0).cumsum(0) - share * torch.arange(1, len(slots.sources) + 1)
    assert until_now.abs().max() <= 0.5 + 1e-3


@given(whole=st.integers(0, 16), batches=st.integers(1, 9))
def test_a_share_that_is_a_whole_number_of_images_is_the_same_in_every_batch(whole: int, batches: int) -> None:
    mixed = plan(share=whole / 16, epoch_slots=16 * batches)
    held = [(epoch_of(mixed, epoch).sources > 0).view(batches, 16).sum(1).tolist() for epoch in range(3)]
    assert held == [[whole] * batches] * 3


@given(weights=WEIGHTS, slots=st.integers(1, 400), share=st.floats(0.1, 1))
def test_synthetic_sets_share_the_synthetic_slots_by_their_weights(
    weights: list[int], slots: int, share: float
) -> None:
    mixed = plan((30, *(9,) * len(weights)), share, weights, epoch_slots=slots)
    sources = torch.cat([epoch_of(mixed, epoch).sources for epoch in range(3)])
    given_to = torch.bincount(sources, minlength=9)[1:].tolist()
    for number, weight in enumerate(weights):
        assert abs(given_to[number] - sum(given_to) * weight / sum(weights)) <= 1 + 1e-3


@given(share=SHARES, batching=BATCHINGS, slots=st.integers(1, 60), seed=st.integers(0, 9), schedule=st.booleans())
def test_no_image_is_seen_twice_before_all_of_its_source_were_seen(
    share: float, batching: str, slots: int, seed: int, schedule: bool
) -> None:
    changing = f"{share}:0.3" if schedule else share
    mixed = plan((13, 5, 8), changing, [2, 1], epoch_slots=slots, batching=batching, seed=seed)
    epochs = [epoch_of(mixed, epoch) for epoch in range(6)]
    for source, count in enumerate((13, 5, 8)):
        seen = torch.cat([slots.indices[slots.sources == source] for slots in epochs])
        for one_pass in seen.split(count):
            assert len(set(one_pass.tolist())) == len(one_pass)


@given(share=SHARES, batching=BATCHINGS, data=st.data())
def test_a_slot_holds_the_same_image_whatever_else_is_asked_for(
    share: float, batching: str, data: st.DataObject
) -> None:
    mixed = plan((13, 5, 8), share, batching=batching, epoch_slots=40)
    whole = epoch_of(mixed, 2)
    place = torch.tensor(data.draw(st.lists(st.integers(0, 39), max_size=15)), dtype=torch.int64)
    for part, column in zip(mixed.slots(2, place), whole, strict=True):
        assert torch.equal(part, column[place])


@pytest.mark.parametrize("batching", ["stratified", "random"])
def test_the_plan_depends_on_seed_and_epoch_only(batching: str) -> None:
    def as_lists(seed: int, epoch: int) -> list[list[int]]:
        return [column.tolist() for column in epoch_of(plan(batching=batching, seed=seed), epoch)]

    forwards = [as_lists(0, epoch) for epoch in range(3)]
    torch.manual_seed(1)
    assert [as_lists(0, epoch) for epoch in (2, 1, 0)] == forwards[::-1]
    assert forwards[0][1] != forwards[1][1] != forwards[2][1]
    assert as_lists(1, 0) != forwards[0]


def test_random_batching_is_exact_over_an_epoch_and_not_in_a_batch() -> None:
    mixed = plan(batching="random", epoch_slots=160)
    for epoch in range(3):
        held = (epoch_of(mixed, epoch).sources > 0).view(10, 16).sum(1)
        assert held.sum() == 80
        assert held.unique().numel() > 1


def test_every_slot_of_every_epoch_has_its_own_position() -> None:
    positions = torch.cat([epoch_of(plan(), epoch).positions for epoch in range(5)])
    assert positions.unique().numel() == positions.numel()


def test_a_share_that_changes_is_that_of_each_epoch() -> None:
    mixed = plan(share="0.75:0.0 linear", epoch_slots=40)
    assert [int((epoch_of(mixed, epoch).sources > 0).sum()) for epoch in range(5)] == [30, 20, 10, 0, 0]
    assert [mixed.synthetic_slots(epoch) for epoch in range(5)] == [30, 20, 10, 0, 0]


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (1.0, 1)])
def test_the_extremes_are_all_real_or_all_synthetic(share: float, expected: int) -> None:
    assert epoch_of(plan(share=share), 1).sources.tolist() == [expected] * 12


def test_a_batch_larger_than_a_source_repeats_whole_passes() -> None:
    slots = epoch_of(plan((3, 2), epoch_slots=16), 0)
    real, synthetic = (slots.indices[slots.sources == source] for source in (0, 1))
    assert torch.bincount(real[:6]).tolist() == [2, 2, 2]
    assert torch.bincount(synthetic).tolist() == [4, 4]


def test_real_images_alone_fill_each_epoch_with_one_pass() -> None:
    mixed = plan((12,), 0.0, epoch_slots=12)
    for epoch in range(3):
        assert sorted(epoch_of(mixed, epoch).indices.tolist()) == list(range(12))
