"""Who may use a curated set: only those whose held-out images its judges have not seen, either."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from synthaug.core.errors import InputError
from synthaug.core.types import SplitRecord
from synthaug.data.splits import Splits
from tests.conftest import write_curated_set, write_shard_set
from tests.workflows.planted import balanced, write_set_of
from tests.workflows.test_init import DIGITS, consumers, record_of_others

KEPT = [place for place in range(40) if place % 4]


@pytest.fixture
def source(tmp_path: Path, digits_splits: Splits) -> Path:
    """Noise called digits, four of each, whose generator saw the training images only."""
    options: dict[str, Any] = {"class_names": DIGITS, "channels": 1, "shard_size": 40, "allows_flip": False}
    return write_shard_set(tmp_path / "source", split=digits_splits.record, **options)


def refuses(curated: Path, complaint: str, **changes: Any) -> None:
    """Classify and bench refuse the set, in their plans and when they run, and leave nothing."""
    out = curated.parent / "out"
    for consume in consumers(curated, out, **changes):
        with pytest.raises(InputError, match=complaint):
            consume()
    assert not out.exists()


def test_a_set_curated_by_a_classifier_of_the_training_images_is_used(
    source: Path, tmp_path: Path, digits_splits: Splits
) -> None:
    fewer = digits_splits.record.model_copy(update={"class_counts": (3,) * 10})
    curated = write_curated_set(tmp_path / "curated", source, KEPT, split=fewer, ancestors=(digits_splits.record,))
    plan_classification, classify, _, bench = consumers(curated, tmp_path / "out")
    assert plan_classification().synthetic == 30
    classify()
    assert bench().regimes[0].counts["synthetic"] == 30


LEAKS: list[tuple[dict[str, Any], str]] = [
    ({"held_out_fingerprint": "d" * 64, "seed": 7}, "was trained on a split with seed 7 .*has seen validation or test"),
    ({"class_counts": (21,) * 10}, "saw 210 real training images, more than the 200"),
    (
        {"source": "imagefolder:letters", "source_fingerprint": "a" * 64},
        r"was trained on other images \(imagefolder:le",
    ),
]


@pytest.mark.parametrize(("change", "complaint"), LEAKS, ids=["held out", "more", "others"])
def test_a_set_whose_judge_saw_what_it_must_not_is_never_used(
    source: Path, tmp_path: Path, digits_splits: Splits, change: dict[str, Any], complaint: str
) -> None:
    leaking = digits_splits.record.model_copy(update=change)
    curated = write_curated_set(tmp_path / "curated", source, KEPT, split=leaking)
    pattern = f"must not be used with this split: the classifier that curated it {complaint}.*Curate it again with the"
    refuses(curated, pattern)
    refuses(curated, pattern, accept_init=True)


@pytest.mark.parametrize("is_first", [True, False])
def test_every_curation_counts(source: Path, tmp_path: Path, digits_splits: Splits, is_first: bool) -> None:
    leaking = digits_splits.record.model_copy(update=LEAKS[0][0])
    judges = [leaking, digits_splits.record] if is_first else [digits_splits.record, leaking]
    once = write_curated_set(tmp_path / "once", source, KEPT, split=judges[0])
    refuses(write_curated_set(tmp_path / "twice", once, KEPT[:20], split=judges[1]), "the classifier that curated it")


@pytest.mark.parametrize(("change", "complaint"), LEAKS[:2], ids=["held out", "more"])
def test_what_its_judge_began_from_counts_too(
    source: Path, tmp_path: Path, digits_splits: Splits, change: dict[str, Any], complaint: str
) -> None:
    former = digits_splits.record.model_copy(update=change)
    curated = write_curated_set(tmp_path / "curated", source, KEPT, ancestors=(record_of_others(), former))
    refuses(curated, f"the classifier that curated it {complaint}", accept_init=True)


def test_a_judge_that_began_as_one_of_other_images_needs_to_be_accepted(source: Path, tmp_path: Path) -> None:
    curated = write_curated_set(tmp_path / "curated", source, KEPT, ancestors=(record_of_others(),))
    complaint = r"the classifier that curated it began as one of other images \(imagefolder:letters\).*--accept-init"
    refuses(curated, complaint)
    assert consumers(curated, tmp_path / "out", accept_init=True)[0]().synthetic == 30


def test_the_generator_of_a_curated_set_counts_as_before(tmp_path: Path, digits_splits: Splits) -> None:
    leaking: SplitRecord = digits_splits.record.model_copy(update=LEAKS[0][0])
    options: dict[str, Any] = {"class_names": DIGITS, "channels": 1, "shard_size": 40, "allows_flip": False}
    source = write_shard_set(tmp_path / "source", split=leaking, **options)
    curated = write_curated_set(tmp_path / "curated", source, KEPT, split=digits_splits.record)
    refuses(curated, "must not be used with this split: its generator was trained on a split.*Train a generator with")


def test_a_set_that_holds_test_images_is_not_benched_whatever_its_record_says(
    tmp_path: Path, digits_splits: Splits
) -> None:
    leaking = write_set_of(tmp_path / "leaking", balanced(digits_splits.test, 2), digits_splits)
    *_, plan, bench = consumers(leaking, tmp_path / "out")
    for consume in (plan, bench):
        with pytest.raises(InputError, match="20 of its 20 images are test images, pixel for pixel"):
            consume()
    assert not (tmp_path / "out").exists()
