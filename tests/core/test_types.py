import hashlib
import inspect
import math
from typing import Any

import jaxtyping
import pytest
import torch

from synthaug.core.errors import InputError
from synthaug.core.types import LabelledImages, SplitRecord, fingerprint


def test_shapes_are_checked_while_the_tests_run() -> None:
    with pytest.raises(jaxtyping.TypeCheckError, match="fingerprint"):
        fingerprint(torch.zeros(2, 3, 4, 4), torch.zeros(2, dtype=torch.int64))
    with pytest.raises(jaxtyping.TypeCheckError, match="fingerprint"):
        fingerprint(torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64))


def test_the_fingerprint_is_the_sha256_of_shape_pixels_and_labels(make_pixels) -> None:
    images, labels = make_pixels(5000, 1, 2, 2), torch.arange(5000)
    expected = hashlib.sha256(b"(5000, 1, 2, 2)" + images.numpy().tobytes() + labels.numpy().tobytes())
    assert fingerprint(images, labels) == expected.hexdigest()


def test_the_fingerprint_sees_pixels_labels_order_and_shape(make_images) -> None:
    images = make_images()
    changed_pixels, changed_labels = images.images.clone(), images.labels.clone()
    changed_pixels[0, 0, 0, 0] ^= 1
    changed_labels[0] ^= 1
    variants = [
        (images.images, images.labels),
        (changed_pixels, images.labels),
        (images.images, changed_labels),
        (images.images.flip(0), images.labels.flip(0)),
        (images.images.reshape(8, 1, 8, 24), images.labels),
    ]
    assert len({fingerprint(pixels, labels) for pixels, labels in variants}) == len(variants)


def test_the_fingerprint_does_not_depend_on_memory_layout(make_images) -> None:
    images = make_images()
    channels_last = images.images.contiguous(memory_format=torch.channels_last)
    assert channels_last.stride() != images.images.stride()
    assert fingerprint(channels_last, images.labels) == images.fingerprint


def test_labelled_images_know_their_size_channels_and_class_counts(make_images) -> None:
    images = make_images(per_class=3, class_names=("a", "b"), size=8, channels=1)
    assert (len(images), images.channels, images.image_size) == (6, 1, 8)
    assert images.class_counts() == (3, 3)


def test_a_class_without_images_counts_zero(make_pixels) -> None:
    images = LabelledImages.of(make_pixels(2, 1, 4, 4), torch.tensor([0, 2]), ("a", "b", "c"), "gap")
    assert images.class_counts() == (1, 0, 1)
    assert [members.tolist() for members in images.indices_by_class()] == [[0], [], [1]]


def test_taking_gives_those_images_in_that_order_under_a_new_fingerprint(make_images) -> None:
    images = make_images()
    taken = images.take(torch.tensor([5, 0]))
    assert torch.equal(taken.images, images.images[[5, 0]])
    assert taken.labels.tolist() == [images.labels[5], images.labels[0]]
    assert taken.class_names == images.class_names
    assert taken.fingerprint != images.take(torch.tensor([0, 5])).fingerprint


@pytest.mark.parametrize(
    ("shape", "labels", "message"),
    [
        ((0, 3, 4, 4), [], "at least one image is needed"),
        ((2, 3, 4, 6), [0, 1], "square grey or RGB images are needed, found 3x4x6"),
        ((2, 2, 4, 4), [0, 1], "square grey or RGB images are needed, found 2x4x4"),
        ((2, 3, 4, 4), [0, 2], r"labels must lie in 0..1, found 0..2"),
        ((2, 3, 4, 4), [-1, 0], r"labels must lie in 0..1, found -1..0"),
    ],
)
def test_impossible_images_are_refused_with_what_was_found(shape, labels, message, make_pixels) -> None:
    with pytest.raises(InputError, match=f"^shelf: .*{message}"):
        LabelledImages.of(make_pixels(*shape), torch.tensor(labels, dtype=torch.int64), ("a", "b"), "shelf")


def test_a_split_record_survives_json_and_refuses_unknown_fields() -> None:
    record = SplitRecord(
        source="digits",
        source_fingerprint="a",
        seed=3,
        class_counts=(1, 2),
        train_fingerprint="b",
        held_out_fingerprint="c",
    )
    assert SplitRecord.model_validate_json(record.model_dump_json()) == record
    with pytest.raises(ValueError, match="extra"):
        SplitRecord.model_validate({**record.model_dump(), "extra": 1})


@pytest.mark.parametrize("value", [0.5, float("nan")])
def test_images_of_another_type_are_refused_and_numbers_that_are_none_named(value: float) -> None:
    images: Any = torch.full((2, 3, 8, 8), value)
    unchecked = inspect.unwrap(LabelledImages.of.__func__)  # as it is outside the tests, without checks of shapes
    with pytest.raises(InputError, match=r"mine: images must be uint8 in 0..255, found torch.float32") as refusal:
        unchecked(LabelledImages, images, torch.tensor([0, 1]), ("cat", "dog"), "mine")
    assert ("no numbers" in str(refusal.value)) == math.isnan(value)
