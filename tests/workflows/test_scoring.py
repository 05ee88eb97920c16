"""Copies of real training images hidden among fresh ones: how many are found, and how many fresh ones are accused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from synthaug.core.runtime import Runtime
from synthaug.core.seeding import generator_for
from synthaug.core.types import LabelledImages
from synthaug.data.sources import load_source
from synthaug.data.splits import Splits, make_splits
from synthaug.metrics.features import pixels_extractor
from synthaug.workflows.judging import JudgingConfig
from synthaug.workflows.real_classifier import open_judge
from synthaug.workflows.scoring import CopyDetector, find_copies
from tests.workflows.planted import noisy, recompressed

#: One in twenty of a set.
COPIES = 18


@pytest.fixture(scope="module")
def splits() -> Splits:
    """All digits; mirrored ones count as the same, so that mirrored copies are looked for."""
    return make_splits(replace(load_source("digits"), allows_flip=True))


@pytest.fixture
def detectors(splits: Splits, quick_judge: None) -> list[CopyDetector]:
    """Of pixels and of a judge's features."""
    judge = open_judge(JudgingConfig(judge_steps=150), splits, Runtime.resolve("cpu", "fp32"))
    return [CopyDetector.of(space, splits) for space in (pixels_extractor(1, 8), judge.extractor())]


def hidden(splits: Splits, copies: Tensor) -> LabelledImages:
    """Copies before fresh images of the test split."""
    images = torch.cat([copies, splits.test.images])
    return LabelledImages.of(images, torch.zeros(len(images), dtype=torch.int64), splits.train.class_names, "hidden")


KINDS: dict[str, tuple[Callable[[Tensor], Tensor], float]] = {
    "exact": (lambda images: images, 0.95),
    "noisy": (noisy, 0.95),
    "mirrored": (lambda images: images.flip(-1), 0.95),
    "recompressed": (recompressed, 0.9),
}


@pytest.mark.parametrize("kind", KINDS)
def test_hidden_copies_are_found_and_fresh_images_are_not_accused(
    splits: Splits, detectors: list[CopyDetector], kind: str
) -> None:
    change, least = KINDS[kind]
    chosen = torch.randperm(len(splits.train), generator=generator_for("chosen"))[:COPIES]
    found = find_copies(hidden(splits, change(splits.train.images[chosen])), detectors, splits)
    assert found.is_copy[:COPIES].double().mean() >= least
    assert found.is_copy[COPIES:].double().mean() <= 0.01
    by_nearest = found.nearest[:COPIES][found.is_copy[:COPIES]]
    assert set(by_nearest.tolist()) <= set(chosen.tolist())
    assert found.is_exact[:COPIES].all() == (kind in ("exact", "mirrored"))
    assert not found.is_exact[COPIES:].any()


def test_copies_are_where_the_relative_distance_is_at_most_one(splits: Splits, detectors: list[CopyDetector]) -> None:
    found = find_copies(hidden(splits, noisy(splits.train.images[:COPIES])), detectors, splits)
    assert torch.equal(found.is_copy, found.relative <= 1)
    assert torch.isfinite(found.relative).all()
    by_any = torch.stack(
        [each.closest.relative <= detector.threshold for each, detector in zip(found.views, detectors, strict=True)]
    ).any(dim=0)
    assert torch.equal(by_any, found.is_copy)


def test_level_distance_is_in_units_of_uint8(splits: Splits, detectors: list[CopyDetector]) -> None:
    moved = splits.train.images[:4].int().clamp(max=250).to(torch.uint8)
    moved[0, 0, 3, 3] += 4  # one of 64 values by 4: half a level in the root of the mean square
    base = splits.train.images[:4].clone()
    assert int((moved[0].int() - base[0].int()).abs().sum()) >= 4
    found = find_copies(hidden(splits, moved), detectors, splits)
    expected = (moved.double() - base.double()).square().flatten(1).mean(dim=1).sqrt()
    assert found.level_distance[:4].tolist() == pytest.approx(expected.tolist(), abs=1e-4)


def test_few_validation_images_are_joined_by_the_training_images(quick_judge: None) -> None:
    few = make_splits(load_source("digits"), per_class_real=20)
    few = replace(few, validation=few.validation.take(torch.arange(6)))
    detector = CopyDetector.of(pixels_extractor(1, 8), few)
    assert len(detector.held_out.closest.nearest) == 6
    fresh = detector.measure(few.test).closest
    assert (fresh.relative <= detector.threshold).double().mean() <= 0.01
    copies = detector.measure(few.train.take(torch.arange(20))).closest
    assert (copies.relative <= detector.threshold).all()
