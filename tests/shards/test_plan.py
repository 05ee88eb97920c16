import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from synthaug.shards.plan import SetPlan

SETTINGS = {
    "model": "ddpm",
    "checkpoint": "a" * 64,
    "sampler": "ddim",
    "steps": 10,
    "guidance": 1.5,
    "seed": 3,
    "class_names": ("cat", "dog", "emu"),
    "per_class": 5,
    "shard_size": 4,
}


def plan_of(**changes) -> SetPlan:
    return SetPlan.model_validate({**SETTINGS, **changes})


@given(classes=st.integers(1, 7), per_class=st.integers(1, 30), shard_size=st.integers(1, 50))
def test_every_sample_is_planned_exactly_once(classes: int, per_class: int, shard_size: int) -> None:
    names = tuple(str(label) for label in range(classes))
    plan = plan_of(class_names=names, per_class=per_class, shard_size=shard_size)
    shards = plan.shards()
    samples = [sample for shard in shards for sample in shard.samples]
    assert len(samples) == plan.sample_count == classes * per_class
    assert set(samples) == {(label, index) for label in range(classes) for index in range(per_class)}
    assert [len(shard.samples) for shard in shards[:-1]] == [shard_size] * (len(shards) - 1)
    assert 1 <= len(shards[-1].samples) <= shard_size


@given(classes=st.integers(1, 7), per_class=st.integers(1, 30), shard_size=st.integers(1, 50))
def test_classes_are_spread_evenly_over_the_shards(classes: int, per_class: int, shard_size: int) -> None:
    names = tuple(str(label) for label in range(classes))
    plan = plan_of(class_names=names, per_class=per_class, shard_size=shard_size)
    totals = [0] * classes
    for shard in plan.shards():
        counts = shard.class_counts(classes)
        assert counts == [[label for label, _ in shard.samples].count(each) for each in range(classes)]
        assert max(counts) - min(counts) <= 1
        totals = [total + count for total, count in zip(totals, counts, strict=True)]
    assert totals == [per_class] * classes


def test_names_and_keys_are_unique_sorted_and_without_dots() -> None:
    shards = plan_of(per_class=5000, shard_size=10_000).shards()
    assert [shard.file_name for shard in shards] == ["train-000000.tar", "train-000001.tar"]
    keys = [shard.key(position) for shard in shards for position in range(len(shard.samples))]
    assert keys[0] == "0000000000"
    assert keys[-1] == "0000014999"
    assert len(set(keys)) == len(keys)
    assert keys == sorted(keys)
    assert not any("." in key for key in keys)


def test_equal_settings_give_equal_plans_and_different_ones_do_not() -> None:
    assert plan_of() == plan_of()
    assert plan_of().shards() == plan_of().shards()
    changed = {
        "model": "other",
        "checkpoint": "b" * 64,
        "sampler": "ddpm",
        "steps": 11,
        "guidance": 1.0,
        "seed": 4,
        "class_names": ("cat", "dog", "fox"),
        "per_class": 6,
        "shard_size": 5,
    }
    assert changed.keys() == SetPlan.model_fields.keys()
    assert all(plan_of(**{name: value}) != plan_of() for name, value in changed.items())


def test_more_images_per_class_extend_the_whole_shards_unchanged() -> None:
    assert plan_of(per_class=8).shards()[:3] == plan_of(per_class=5).shards()[:3]


def test_a_plan_survives_json() -> None:
    assert SetPlan.model_validate_json(plan_of().model_dump_json()) == plan_of()


@pytest.mark.parametrize(
    "changes", [{"per_class": 0}, {"shard_size": 0}, {"shard_size": 10_001}, {"surprise": 1}, {"steps": "many"}]
)
def test_impossible_plans_are_refused(changes) -> None:
    with pytest.raises(ValidationError, match=next(iter(changes))):
        plan_of(**changes)
