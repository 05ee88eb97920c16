import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from synthaug.shards.plan import SetPlan
from tests.conftest import plan_of


@st.composite
def plans(draw: st.DrawFn) -> SetPlan:
    """Plans of small sets, some of them of a few classes only."""
    count = draw(st.integers(1, 7))
    return plan_of(
        class_names=tuple(f"class {label}" for label in range(count)),
        classes=tuple(sorted(draw(st.sets(st.integers(0, count - 1), min_size=1)))),
        per_class=draw(st.integers(1, 30)),
        shard_size=draw(st.integers(1, 50)),
        batch_size=draw(st.integers(1, 20)),
    )


@given(plans())
def test_every_sample_is_planned_exactly_once(plan: SetPlan) -> None:
    samples = [sample for shard in plan.shards() for sample in shard.samples]
    assert len(samples) == plan.sample_count == len(plan.classes) * plan.per_class
    assert set(samples) == set(itertools.product(plan.classes, range(plan.per_class)))


@given(plans())
def test_the_shards_follow_each_other_and_all_but_the_last_are_full(plan: SetPlan) -> None:
    shards = list(plan.shards())
    assert [shard.number for shard in shards] == list(range(plan.shard_count))
    assert [shard.start for shard in shards] == [0, *(shard.stop for shard in shards[:-1])]
    assert {len(shard) for shard in shards[:-1]} <= {plan.shard_size}
    assert 1 <= len(shards[-1]) <= plan.shard_size
    assert sum(map(len, shards)) == plan.sample_count
    assert shards == [plan.shard(number) for number in range(plan.shard_count)]


@given(plans())
def test_classes_are_spread_evenly_over_the_shards(plan: SetPlan) -> None:
    totals = [0] * len(plan.class_names)
    for shard in plan.shards():
        counts = shard.class_counts()
        assert counts == tuple([label for label, _ in shard.samples].count(each) for each in range(len(counts)))
        drawn = [counts[label] for label in plan.classes]
        assert max(drawn) - min(drawn) <= 1
        assert sum(drawn) == sum(counts) == len(shard)
        totals = [total + count for total, count in zip(totals, counts, strict=True)]
    assert totals == list(plan.class_counts().values())


@given(plans())
def test_only_the_chosen_classes_are_counted(plan: SetPlan) -> None:
    expected = {name: plan.per_class * (label in plan.classes) for label, name in enumerate(plan.class_names)}
    assert plan.class_counts() == expected
    assert list(plan.class_counts()) == list(plan.class_names)


@given(plans())
def test_the_batches_of_a_shard_cover_it_in_order_and_never_leave_a_full_one(plan: SetPlan) -> None:
    for shard in plan.shards():
        batches = list(shard.batches())
        positions = [position for batch in batches for position in batch]
        assert positions == list(range(shard.start, positions[-1] + 1))
        assert shard.stop - 1 <= positions[-1] < shard.start + plan.shard_size
        assert {len(batch) for batch in batches[:-1]} <= {plan.batch_size}
        assert all(batch.start < shard.stop for batch in batches), "nothing is drawn only to be dropped"


@given(plan=plans(), more=st.integers(0, 30))
def test_a_longer_set_begins_with_the_same_shards_samples_and_batches(plan: SetPlan, more: int) -> None:
    longer = plan.model_copy(update={"per_class": plan.per_class + more})
    for shard in plan.shards():
        grown = longer.shard(shard.number)
        assert (grown.file_name, grown.start) == (shard.file_name, shard.start)
        assert grown.samples[: len(shard)] == shard.samples
        assert [grown.key(position) for position in range(len(shard))] == list(map(shard.key, range(len(shard))))
        batches = list(shard.batches())
        assert list(grown.batches())[: len(batches)] == batches
        if len(shard) == plan.shard_size:
            assert grown.samples == shard.samples


def test_names_and_keys_are_unique_sorted_and_without_dots() -> None:
    shards = list(plan_of(per_class=5001, shard_size=10_000).shards())
    assert [shard.file_name for shard in shards] == ["train-000000.tar", "train-000001.tar"]
    keys = [shard.key(position) for shard in shards for position in range(len(shard))]
    assert keys[0] == "0000000000"
    assert keys[-1] == "0000010001"
    assert len(set(keys)) == len(keys) == 10_002
    assert keys == sorted(keys)
    assert all(key.isdigit() and len(key) == 10 for key in keys)


def test_a_set_of_a_billion_images_is_planned_without_listing_them() -> None:
    plan = plan_of(per_class=500_000_000, shard_size=1000, batch_size=256)
    last = plan.shard(plan.shard_count - 1)
    assert plan.shard_count == 1_000_000
    assert last.file_name == "train-999999.tar"
    assert last.samples[-1] == (1, 499_999_999)


CHANGES: list[dict[str, Any]] = [
    {"sampler": "other"},
    {"steps": 2},
    {"guidance": 2.0},
    {"guidance_interval": (0.3, 5.0)},
    {"truncation": 0.7},
    {"precision": "bf16"},
    {"compiled": True},
    {"seed": 1},
    {"class_names": ("cat", "fox")},
    {"classes": (1,)},
    {"per_class": 5},
    {"shard_size": 4},
    {"batch_size": 3},
    {"image_format": "webp"},
    {"kept": "gA=="},
    {"curations": (None,)},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
def test_every_setting_distinguishes_a_plan(change: dict[str, Any]) -> None:
    assert plan_of() == plan_of()
    assert plan_of().model_copy(update=change) != plan_of()


def test_all_settings_were_tried() -> None:
    assert {name for change in CHANGES for name in change} | {"generator"} == set(SetPlan.model_fields)


@given(plans())
def test_a_plan_survives_json(plan: SetPlan) -> None:
    assert SetPlan.model_validate_json(plan.model_dump_json()) == plan


@pytest.mark.parametrize(
    "change",
    [
        {"per_class": 0},
        {"shard_size": 0},
        {"shard_size": 10_001},
        {"batch_size": 0},
        {"surprise": 1},
        {"steps": "many"},
        {"class_names": ()},
        {"precision": "fp8"},
        {"guidance_interval": (0.3,)},
        {"compiled": None},
        {"image_format": "gif"},
    ],
)
def test_impossible_plans_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(change))):
        SetPlan.model_validate({**plan_of().model_dump(), **change})


@pytest.mark.parametrize("classes", [(1, 0), (0, 0), (2,), (-1,), (-1, 0), ()])
def test_classes_must_be_labels_in_ascending_order(classes: tuple[int, ...]) -> None:
    with pytest.raises(ValidationError, match="classes"):
        SetPlan.model_validate({**plan_of().model_dump(), "classes": classes})
