"""Parts of a set: jobs that work side by side, and classes that are left out."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from synthaug.core.errors import DamageError, InputError
from synthaug.shards.manifest import MANIFEST_NAME
from synthaug.shards.reader import read_set
from synthaug.workflows.drawing import chosen_classes, chosen_shards
from synthaug.workflows.synthesize import generate, plan_generation
from tests.workflows.sets import MakeConfig, flip_a_bit, hashes_of, pixels_of, shards_in


@pytest.mark.parametrize(
    "tasks",
    [
        pytest.param(["0-1", "2-3", "4"], id="ranges in order"),
        pytest.param(["3,4", "1-2", "0"], id="ranges backwards"),
        pytest.param(["2/3", "0/3", "1/3"], id="shares"),
        pytest.param(["0-3", "1-4"], id="overlapping"),
        pytest.param(["5/7", "0/2", "6/7", "1/2"], id="with empty shares"),
    ],
)
def test_tasks_in_any_order_make_the_set_and_the_last_finishes_it(make_config: MakeConfig, tasks: list[str]) -> None:
    whole, shared = make_config("whole", per_class=6), make_config("shared", per_class=6)
    generate(whole)
    for task in tasks[:-1]:
        result = generate(make_config("shared", per_class=6, shards=task))
        assert result.missing_shards == 5 - len(shards_in(shared.out)) > 0
        assert (result.manifest, result.preview) == (None, None)
        assert not (Path(shared.out) / MANIFEST_NAME).exists()
    last = generate(make_config("shared", per_class=6, shards=tasks[-1]))
    assert (last.missing_shards, last.manifest) == (0, str(Path(shared.out) / MANIFEST_NAME))
    assert hashes_of(shared.out) == hashes_of(whole.out)


def test_task_makes_its_shards_only_and_counts_them(make_config: MakeConfig) -> None:
    config = make_config(per_class=6, shards="1,3-4")
    assert (plan_generation(config).shards, plan_generation(config).missing_shards) == (5, 3)
    result = generate(config)
    assert (result.images, result.new_images, result.shards, result.missing_shards) == (60, 36, 5, 2)
    assert shards_in(config.out) == ["train-000001.tar", "train-000003.tar", "train-000004.tar"]
    assert generate(config).new_images == 0


def test_whoever_comes_without_a_share_makes_what_is_missing(make_config: MakeConfig) -> None:
    generate(make_config(shards="1"))
    assert generate(make_config()).new_images == 18
    generate(make_config("whole"))
    assert hashes_of(make_config().out) == hashes_of(make_config("whole").out)


def test_last_task_does_not_vouch_for_the_damaged_shard_of_another(make_config: MakeConfig) -> None:
    out = Path(generate(make_config(shards="0-1")).out)
    flip_a_bit(out / "train-000001.tar", 700)
    with pytest.raises(DamageError, match=r"train-000001\.tar.*sample 0000010000"):
        generate(make_config(shards="2"))
    assert not (out / MANIFEST_NAME).exists()
    assert (out / "train-000002.tar").exists()


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        (None, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ("0-9", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ("4", [4]),
        ("7,0-2, 1-3", [0, 1, 2, 3, 7]),
        ("0/3", [0, 3, 6, 9]),
        ("2/3", [2, 5, 8]),
        ("11/12", []),
    ],
)
def test_shards_are_named_by_number_range_or_share(text: str | None, chosen: list[int]) -> None:
    assert list(chosen_shards(text, 10)) == chosen


@pytest.mark.parametrize("shares", [1, 2, 3, 7, 10, 13])
def test_shares_are_disjoint_and_cover_the_set(shares: int) -> None:
    chosen = [number for part in range(shares) for number in chosen_shards(f"{part}/{shares}", 10)]
    assert sorted(chosen) == list(range(10))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("10", r"0\.\.9, found '10'"),
        ("0-10", r"0\.\.9, found '0-10'"),
        ("5-3", r"begins with its smaller number, found '5-3'"),
        ("3/3", r"K must lie in 0\.\.N-1"),
        ("0/0", r"K must lie in 0\.\.N-1"),
        ("", "takes numbers like"),
        ("1,,2", "takes numbers like"),
        ("-1", "takes numbers like"),
        ("1/2/3", "takes numbers like"),
        ("all", "takes numbers like"),
    ],
)
def test_words_that_name_no_shards_are_refused(text: str, complaint: str) -> None:
    with pytest.raises(InputError, match=rf"^--shards.*{complaint}"):
        chosen_shards(text, 10)


NAMES = ("cat", "dog", "bird, small", "7", "frog", "fish", "newt", "ant")


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        (None, (0, 1, 2, 3, 4, 5, 6, 7)),
        ("0,2,5-6", (0, 2, 5, 6)),
        ("5-6, 2,0,2", (0, 2, 5, 6)),
        ("frog,cat", (0, 4)),
        ("dog,5-6", (1, 5, 6)),
        ("bird, small", (2,)),
        ("7", (3,)),  # the name of a class, whatever its label
        ("5-7", (3, 5, 6)),
    ],
)
def test_classes_are_named_by_number_range_or_name(text: str | None, chosen: tuple[int, ...]) -> None:
    assert chosen_classes(text, NAMES) == chosen


def test_classes_called_by_numbers_are_meant_by_their_names() -> None:
    names = ("0", "1", "10", "11", "2", "3", "4", "5", "6", "7", "8", "9", "10-11")  # as folders are sorted
    assert [names[label] for label in chosen_classes("10", names)] == ["10"]
    assert [names[label] for label in chosen_classes("2-4,11", names)] == ["11", "2", "3", "4"]
    assert [names[label] for label in chosen_classes("10-11", names)] == ["10-11"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("8", r"0\.\.7, found '8'"), ("2-8", r"0\.\.7, found '2-8'"), ("cow", "unknown class 'cow'; known: cat, dog")],
)
def test_words_that_name_no_class_are_refused(text: str, complaint: str) -> None:
    with pytest.raises(InputError, match=rf"^--classes.*{complaint}"):
        chosen_classes(text, NAMES)


@pytest.mark.parametrize("value", ["0,2,5-7", [0, 2, "5-7"]])
def test_set_of_some_classes_holds_these_with_their_labels_of_before(make_config: MakeConfig, value: object) -> None:
    some = make_config(classes=value)
    assert generate(some).images == 15
    images, manifest = read_set(some.out)
    assert images.class_counts() == tuple(3 * (label in (0, 2, 5, 6, 7)) for label in range(10))
    assert manifest.plan.classes == (0, 2, 5, 6, 7)
    assert pixels_of(some.out).keys() == {(label, index) for label in (0, 2, 5, 6, 7) for index in range(3)}


def test_tasks_of_an_array_may_begin_in_an_empty_or_missing_folder(make_config: MakeConfig) -> None:
    config = make_config(shards="2")
    generate(config)
    shutil.rmtree(config.out)
    Path(config.out).mkdir()
    assert generate(config).missing_shards == 2
