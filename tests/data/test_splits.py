import itertools
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from synthaug.core.errors import InputError
from synthaug.core.types import LabelledImages
from synthaug.data.sources import Source
from synthaug.data.splits import Splits, leak, make_splits


def numbered(counts: tuple[int, ...], *, has_test: bool = False, offset: int = 0) -> Source:
    """A source whose images each carry their own number in their pixels."""
    total = sum(counts)
    numbers = torch.arange(offset, offset + total)
    pixels = torch.zeros(total, 1, 2, 2, dtype=torch.uint8)
    pixels[:, 0, 0, 0], pixels[:, 0, 0, 1] = (numbers % 256).to(torch.uint8), (numbers // 256).to(torch.uint8)
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    shuffled = torch.randperm(total, generator=torch.Generator().manual_seed(0))
    names = tuple(f"class{label}" for label in range(len(counts)))
    images = LabelledImages.of(pixels[shuffled], labels[shuffled], names, "numbered")
    test = numbered((2,) * len(counts), offset=10_000).train if has_test else None
    return Source("numbered", images, test, allows_flip=True)


def numbers(images: LabelledImages) -> list[int]:
    corner = images.images.long()[:, 0, 0]
    return (corner[:, 0] + 256 * corner[:, 1]).tolist()


@given(
    counts=st.lists(st.integers(3, 40), min_size=2, max_size=4).map(tuple),
    fraction=st.floats(0.01, 1.0),
    seed=st.integers(0, 1000),
    has_test=st.booleans(),
)
def test_no_image_is_in_two_parts(counts: tuple[int, ...], fraction: float, seed: int, has_test: bool) -> None:
    splits = make_splits(numbered(counts, has_test=has_test), fraction=fraction, seed=seed)
    parts = [*numbers(splits.train), *numbers(splits.validation), *numbers(splits.test)]
    assert len(set(parts)) == len(parts)
    assert min(splits.train.class_counts()) >= 1
    assert min(splits.validation.class_counts()) >= 1
    if fraction == 1.0:
        assert len(parts) == sum(counts) + (2 * len(counts) if has_test else 0)


def test_every_class_is_shared_out_by_the_documented_shares() -> None:
    splits = make_splits(numbered((100, 50)))
    assert splits.test.class_counts() == (20, 10)
    assert splits.validation.class_counts() == (8, 4)
    assert splits.train.class_counts() == (72, 36)


def test_an_official_test_set_is_used_as_it_is() -> None:
    source = numbered((20, 20), has_test=True)
    splits = make_splits(source, seed=5)
    assert splits.test is source.test
    assert splits.validation.class_counts() == (2, 2)
    assert splits.train.class_counts() == (18, 18)


def test_labels_stay_with_their_images() -> None:
    source = numbered((30, 20, 10))
    label_of = dict(zip(numbers(source.train), source.train.labels.tolist(), strict=True))
    splits = make_splits(source, fraction=0.5)
    for part in (splits.train, splits.validation, splits.test):
        assert [label_of[number] for number in numbers(part)] == part.labels.tolist()


def test_the_split_is_a_pure_function_of_the_seed() -> None:
    source = numbered((30, 30))
    first = make_splits(source, seed=1)
    torch.manual_seed(99)
    assert make_splits(source, seed=1).record == first.record
    other = make_splits(source, seed=2)
    assert set(numbers(other.test)) != set(numbers(first.test))
    assert set(numbers(other.validation)) != set(numbers(first.validation))


def test_smaller_fractions_are_subsets_of_larger_ones() -> None:
    source = numbered((40, 25))
    chosen = [set(numbers(make_splits(source, fraction=fraction).train)) for fraction in (0.01, 0.1, 0.5, 0.9, 1.0)]
    assert all(smaller < larger for smaller, larger in itertools.pairwise(chosen))


def test_validation_and_test_do_not_depend_on_how_much_is_trained_on() -> None:
    source = numbered((40, 25))
    variants = [make_splits(source), make_splits(source, fraction=0.1), make_splits(source, per_class_real=3)]
    assert len({splits.validation.fingerprint for splits in variants}) == 1
    assert len({splits.test.fingerprint for splits in variants}) == 1
    assert len({splits.train.fingerprint for splits in variants}) == 3


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.0001, float("nan")])
def test_a_fraction_outside_its_range_is_refused(fraction: float) -> None:
    with pytest.raises(InputError, match=r"--fraction must lie in \(0, 1\], found"):
        make_splits(numbered((9, 9)), fraction=fraction)


def test_the_smallest_fraction_keeps_one_image_of_each_class() -> None:
    assert make_splits(numbered((30, 9)), fraction=1e-9).train.class_counts() == (1, 1)


def test_real_images_per_class_are_counted_exactly() -> None:
    source = numbered((100, 50))
    assert make_splits(source, per_class_real=1).train.class_counts() == (1, 1)
    assert make_splits(source, per_class_real=36).train.class_counts() == (36, 36)


@pytest.mark.parametrize("per_class_real", [0, -1])
def test_less_than_one_real_image_per_class_is_refused(per_class_real: int) -> None:
    with pytest.raises(InputError, match=f"--per-class-real must be at least 1, found {per_class_real}"):
        make_splits(numbered((9, 9)), per_class_real=per_class_real)


def test_more_real_images_than_a_class_has_is_refused_naming_the_class() -> None:
    with pytest.raises(InputError, match="--per-class-real 37 is more than the 36 training images that class 'class1'"):
        make_splits(numbered((100, 50)), per_class_real=37)


def test_fraction_and_images_per_class_exclude_each_other() -> None:
    with pytest.raises(InputError, match="not both"):
        make_splits(numbered((9, 9)), fraction=0.5, per_class_real=2)


@pytest.mark.parametrize(("has_test", "needed"), [(False, 3), (True, 2)])
def test_a_class_too_small_to_split_is_named(has_test: bool, needed: int) -> None:
    make_splits(numbered((9, needed), has_test=has_test))
    with pytest.raises(InputError, match=rf"class 'class1' has {needed - 1} image\(s\); at least {needed} are needed"):
        make_splits(numbered((9, needed - 1), has_test=has_test))


def test_a_class_name_without_images_is_named() -> None:
    with pytest.raises(InputError, match=r"class 'class1' has 0 image\(s\)"):
        make_splits(numbered((9, 0, 9)))


def test_one_class_is_not_enough() -> None:
    with pytest.raises(InputError, match=r"numbered: at least two classes are needed, found \['class0'\]"):
        make_splits(numbered((9,)))


def test_the_record_describes_the_split() -> None:
    source = numbered((30, 20))
    splits = make_splits(source, fraction=0.5, seed=4)
    assert splits.record.source == "numbered"
    assert splits.record.seed == 4
    assert splits.record.class_counts == splits.train.class_counts()
    assert splits.record.train_fingerprint == splits.train.fingerprint
    assert splits.allows_flip is source.allows_flip
    assert make_splits(replace(source, allows_flip=False)).allows_flip is False


def test_the_record_changes_with_an_official_test_set() -> None:
    source = numbered((30, 20), has_test=True)
    assert source.test is not None
    changed = replace(source, test=source.test.take(torch.arange(len(source.test) - 1)))
    first, second = make_splits(source).record, make_splits(changed).record
    assert first.source_fingerprint != second.source_fingerprint
    assert first.held_out_fingerprint != second.held_out_fingerprint


class TestLeak:
    @pytest.fixture
    def consumer(self) -> Splits:
        return make_splits(numbered((40, 40)), per_class_real=10, seed=0)

    def test_the_same_split_is_allowed(self, consumer: Splits) -> None:
        assert leak(consumer.record, consumer.record) is None

    def test_a_generator_that_saw_fewer_images_of_the_split_is_allowed(self, consumer: Splits) -> None:
        generator = make_splits(numbered((40, 40)), per_class_real=4, seed=0)
        assert set(numbers(generator.train)) <= set(numbers(consumer.train))
        assert leak(generator.record, consumer.record) is None

    def test_a_renamed_source_with_the_same_images_is_allowed(self, consumer: Splits) -> None:
        assert leak(consumer.record.model_copy(update={"source": "imagefolder:moved"}), consumer.record) is None

    def test_other_images_are_refused_naming_their_source(self, consumer: Splits) -> None:
        generator = make_splits(replace(numbered((40, 40), offset=1), spec="elsewhere"), per_class_real=10, seed=0)
        assert "trained on other images (elsewhere)" in (leak(generator.record, consumer.record) or "")

    def test_another_seed_is_refused_because_it_saw_held_out_images(self, consumer: Splits) -> None:
        generator = make_splits(numbered((40, 40)), per_class_real=10, seed=3)
        held_out = {*numbers(consumer.validation), *numbers(consumer.test)}
        assert held_out & set(numbers(generator.train))
        reason = leak(generator.record, consumer.record) or ""
        assert "seed 3 (here 0)" in reason
        assert "validation or test images" in reason

    def test_a_generator_that_saw_more_images_is_refused_with_both_counts(self, consumer: Splits) -> None:
        generator = make_splits(numbered((40, 40)), per_class_real=11, seed=0)
        assert "saw 22 real training images, more than the 20" in (leak(generator.record, consumer.record) or "")

    def test_more_of_one_class_alone_is_refused(self, consumer: Splits) -> None:
        generator = consumer.record.model_copy(update={"class_counts": (1, 11)})
        assert "saw 12 real training images" in (leak(generator, consumer.record) or "")


def test_images_on_both_sides_of_the_split_are_counted(digits_splits) -> None:
    assert digits_splits.repeated() == 0
    leaky = replace(digits_splits, test=digits_splits.train.take(torch.arange(7)))
    assert leaky.repeated() == 7
