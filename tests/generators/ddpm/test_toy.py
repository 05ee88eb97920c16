"""Two classes that anybody can tell apart: after a short training, samples carry their label."""

from __future__ import annotations

from pathlib import Path

import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from synthaug.core.runtime import Runtime
from synthaug.core.seeding import SampleNoise, generator_for
from synthaug.core.types import LabelledImages
from synthaug.data.splits import Splits
from synthaug.generators.base import SamplerSettings, TrainRequest
from synthaug.generators.ddpm.backend import BACKEND

PER_CLASS = 64
IMAGES_SHOWN = 9_600


def halves(seed: int, labels: Tensor) -> LabelledImages:
    """Noisy 8x8 images that are bright on the left (class 0) or on the right (class 1), more or less."""
    generator = generator_for("halves", seed)
    count = len(labels)
    bright = 0.6 + 0.3 * torch.rand(count, 1, 1, 1, generator=generator)
    dark = 0.1 + 0.2 * torch.rand(count, 1, 1, 1, generator=generator)
    is_left = (torch.arange(8) < 4).expand(count, 1, 8, 8)
    is_bright = is_left == (labels == 0).view(-1, 1, 1, 1)
    pixels = torch.where(is_bright, bright, dark) + 0.05 * torch.randn(count, 1, 8, 8, generator=generator)
    return LabelledImages.of((pixels.clamp(0, 1) * 255).to(torch.uint8), labels, ("left", "right"), "halves")


REAL = halves(0, torch.arange(2 * PER_CLASS) % 2)


def share_that_carries_its_label(images: LabelledImages, splits: Splits, out: Path) -> float:
    """Of 200 unguided samples of a generator trained on `images`, as a classifier of the real images sees them."""
    runtime = Runtime("cpu", "fp32")
    request = TrainRequest(
        images=images,
        split=splits.record,
        allows_flip=False,
        preset="digits",
        out=out,
        runtime=runtime,
        budget=IMAGES_SHOWN,
        batch_size=64,
        grid_every=10 * IMAGES_SHOWN,
        logger="csv",
    )
    generator = BACKEND.load(BACKEND.train(request), runtime)
    samples = [(index % 2, index // 2) for index in range(200)]
    labels = torch.tensor([label for label, _ in samples])
    made = generator.sample(labels, SampleNoise(0, samples, (1, 8, 8)), SamplerSettings("dpmpp", 10, 1.0))
    judge = LogisticRegression(max_iter=1000).fit(REAL.images.flatten(1) / 255, REAL.labels)
    unseen = halves(1, torch.arange(200) % 2)
    assert judge.score(unseen.images.flatten(1) / 255, unseen.labels) == 1.0
    return float(judge.score(made.flatten(1) / 255, labels))


def test_samples_carry_the_label_they_were_asked_for(digits_splits: Splits, tmp_path: Path) -> None:
    assert share_that_carries_its_label(REAL, digits_splits, tmp_path / "true") >= 0.99


def test_labels_that_mean_nothing_teach_nothing(digits_splits: Splits, tmp_path: Path) -> None:
    order = torch.randperm(2 * PER_CLASS, generator=generator_for("shuffled labels"))
    shuffled = LabelledImages.of(REAL.images, REAL.labels[order], REAL.class_names, "shuffled")
    assert share_that_carries_its_label(shuffled, digits_splits, tmp_path / "shuffled") < 0.8
