import base64
import copy
import pickle
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from synthaug.core.seeding import generator_for
from synthaug.core.types import LabelledImages
from synthaug.data.corruptions import CORRUPTIONS, corrupted
from synthaug.metrics.calibration import brier_score, expected_calibration_error, negative_log_likelihood

# As a module: its names begin as those of tests do.
from synthaug.workflows.bench import BenchConfig, tested
from synthaug.workflows.bench.sealed import SealedTest
from tests.workflows.benches import rows

THREE = ("cat", "dog", "eel")


class Guesser:
    """Probabilities that depend on an image's pixels alone; remembers what it was asked."""

    def __init__(self, classes: int = 3) -> None:
        self.classes = classes
        self.asked: list[Tensor] = []

    def __call__(self, images: Tensor) -> Tensor:
        self.asked.append(images)
        light = images.double().mean((1, 2, 3))
        return torch.stack([(light * (place + 1)).sin() for place in range(self.classes)], dim=1).softmax(1).float()


def record(**changes: Any) -> dict[str, Any]:
    """A valid test result of 10 images, 3 of them right."""
    bits = base64.b64encode(bytes([0b10010000, 0b01000000])).decode()
    values = {"accuracy": 0.3, "per_class": (0.5, None), "count": 10, "right": bits}
    return {**values, "calibration_error": 0.1, "nll": 1.0, "brier": 0.5, "corrupted": {"jpeg": 0.2}, **changes}


@pytest.fixture
def count_corruptions(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The corruptions made from now on, and of how many images."""
    made: list[tuple[str, int]] = []

    def counted(images: Tensor, name: str) -> Tensor:
        made.append((name, len(images)))
        return corrupted(images, name)

    monkeypatch.setattr(tested, "corrupted", counted)
    return made


def test_images_are_handed_out_once(make_images) -> None:
    images = make_images(class_names=THREE)
    sealed = SealedTest(images)
    assert sealed.class_count == 3
    assert sealed.open() is images
    for _ in range(2):
        with pytest.raises(RuntimeError, match="the test images of this cell have been used"):
            sealed.open()
    assert sealed.class_count == 3


def test_a_seal_is_not_passed_by_a_copy_or_by_its_names(make_images) -> None:
    sealed = SealedTest(make_images())
    for copied in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="copied"):
            copied(sealed)
    assert not hasattr(sealed, "__dict__")
    public = {name: getattr(sealed, name) for name in dir(sealed) if not name.startswith("_")}
    assert set(public) == {"open", "class_count"}
    with pytest.raises(AttributeError):
        sealed.images = make_images()
    assert isinstance(sealed.open(), LabelledImages)


def test_a_test_opens_the_seal_even_if_it_fails(make_images) -> None:
    def fail(images: Tensor) -> Tensor:
        raise OSError("the disk is full")

    sealed = SealedTest(make_images(class_names=THREE))
    with pytest.raises(OSError, match="disk"):
        tested.open_and_test(fail, sealed, corruptions=False)
    with pytest.raises(RuntimeError, match="have been used"):
        tested.open_and_test(Guesser(), sealed, corruptions=False)


def test_what_is_found_is_what_the_definitions_give(make_images) -> None:
    images, guesser = make_images(per_class=30, class_names=(*THREE, "emu")), Guesser(4)
    images = images.take(torch.nonzero(images.labels != 2).flatten())
    found = tested.open_and_test(guesser, SealedTest(images), corruptions=False)
    assert len(guesser.asked) == 1
    probabilities = guesser(images.images)
    right = probabilities.argmax(1) == images.labels
    assert torch.equal(found.right_images, right)
    assert found.count == 90
    assert found.accuracy == pytest.approx(right.double().mean().item())
    assert 0 < found.accuracy < 1
    assert found.per_class[2] is None
    assert found.per_class[3] == pytest.approx(right[images.labels == 3].double().mean().item())
    assert found.calibration_error == expected_calibration_error(probabilities, images.labels)
    assert found.nll == negative_log_likelihood(probabilities, images.labels)
    assert found.brier == brier_score(probabilities, images.labels)
    assert found.corrupted == {}


def test_corrupted_images_are_tested_on_if_asked_for(make_images) -> None:
    images, guesser = make_images(per_class=20, class_names=THREE, size=16), Guesser()
    found = tested.open_and_test(guesser, SealedTest(images), corruptions=True)
    assert list(found.corrupted) == CORRUPTIONS.names()
    for name, accuracy in found.corrupted.items():
        predicted = guesser(corrupted(images.images, name)).argmax(1)
        assert accuracy == pytest.approx((predicted == images.labels).double().mean().item())
    assert len(set(found.corrupted.values())) > 1


def test_only_some_are_corrupted_and_evenly_over_classes(
    make_images, monkeypatch: pytest.MonkeyPatch, count_corruptions: list[tuple[str, int]]
) -> None:
    monkeypatch.setattr(tested, "MOST_CORRUPTED", 12)
    images = make_images(per_class=20, class_names=THREE)
    images = images.take(images.labels.argsort(stable=True))
    guesser = Guesser()
    found = tested.open_and_test(guesser, SealedTest(images), corruptions=True)
    assert [len(asked) for asked in guesser.asked] == [60] + [12] * len(CORRUPTIONS.names())
    assert dict(count_corruptions) == dict.fromkeys(CORRUPTIONS.names(), 12)
    firsts = images.take(torch.tensor([0, 20, 40, 1, 21, 41, 2, 22, 42, 3, 23, 43]))
    predicted = guesser(corrupted(firsts.images, "contrast")).argmax(1)
    assert found.corrupted["contrast"] == pytest.approx((predicted == firsts.labels).double().mean().item())


def test_corrupting_is_done_once_for_all_cells_of_a_test_set(
    make_images, count_corruptions: list[tuple[str, int]]
) -> None:
    every = len(CORRUPTIONS.names())
    first, second = Guesser(), Guesser()
    results = [
        tested.open_and_test(guesser, SealedTest(make_images(class_names=THREE, seed=5)), corruptions=True)
        for guesser in (first, second)
    ]
    assert len(count_corruptions) == every
    assert results[0] == results[1]
    assert all(torch.equal(one, other) for one, other in zip(first.asked, second.asked, strict=True))
    for seed in (6, 7):
        tested.open_and_test(Guesser(), SealedTest(make_images(class_names=THREE, seed=seed)), corruptions=True)
    assert len(count_corruptions) == 3 * every


def test_the_corrupted_of_only_the_last_test_sets_stay_in_memory(
    make_images, count_corruptions: list[tuple[str, int]]
) -> None:
    every = len(CORRUPTIONS.names())
    for seed in range(10, 11 + tested.KEPT_SETS):
        tested.open_and_test(Guesser(), SealedTest(make_images(class_names=THREE, seed=seed)), corruptions=True)
    tested.open_and_test(Guesser(), SealedTest(make_images(class_names=THREE, seed=10)), corruptions=True)
    assert len(count_corruptions) == (2 + tested.KEPT_SETS) * every


def test_each_training_says_how_the_weights_that_are_tested_validate_by_class(whole: BenchConfig) -> None:
    """Their mean over all images is the accuracy by which they were kept."""
    counts = torch.tensor(whole.splits().validation.class_counts())
    for row in rows(whole.out):
        shares = torch.tensor(row["validation_per_class"], dtype=torch.float64)
        assert ((shares * counts - (shares * counts).round()).abs() < 1e-9).all()
        assert (shares * counts).sum() / counts.sum() == pytest.approx(row["validation_accuracy"], abs=1e-6)
        assert row["validation_per_class"] != row["tested"]["per_class"]


@given(st.integers(1, 40), st.integers(0, 5))
def test_which_are_right_survives_a_row_of_json(count: int, seed: int) -> None:
    generator = generator_for("rows", seed)
    images = torch.randint(0, 256, (count, 1, 8, 8), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, 2, (count,), generator=generator)
    right = torch.rand(count, generator=generator) < 0.5
    probabilities = F.one_hot(torch.where(right, labels, 1 - labels), 2).float()
    sealed = SealedTest(LabelledImages.of(images, labels, ("a", "b"), "rows"))
    row = tested.open_and_test(lambda _: probabilities, sealed, corruptions=False).model_dump_json()
    read = tested.Tested.model_validate_json(row)
    assert torch.equal(read.right_images, right)
    assert read.model_dump_json() == row


def test_bits_are_in_the_order_of_the_images() -> None:
    assert tested.Tested(**record()).right_images.nonzero().flatten().tolist() == [0, 3, 9]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"accuracy": 0.4}, "share of bits set is 0.3"),
        ({"count": 9}, "one bit for each of 9 images"),
        ({"count": 17}, "one bit for each of 17 images"),
        ({"count": 8, "accuracy": 0.25}, "one bit for each of 8 images"),
        ({"count": 0}, "greater than 0"),
        ({"right": "not base64!"}, "base64"),
        ({"accuracy": 30.0}, "less than or equal to 1"),
        ({"nll": float("nan")}, "finite"),
        ({"nll": -0.1}, "greater than or equal to 0"),
        ({"per_class": (0.5, 50.0)}, "less than or equal to 1"),
        ({"corrupted": {"jpeg": 20.0}}, "less than or equal to 1"),
        ({"loss": 1.0}, "Extra inputs"),
    ],
)
def test_a_record_that_cannot_be_true_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        tested.Tested(**record(**changes))
