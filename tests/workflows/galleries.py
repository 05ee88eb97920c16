"""Evaluations without any judge: made-up figures of hostile sets, and of digits that pass for synthetic ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from synthaug.core.seeding import generator_for
from synthaug.core.types import LabelledImages
from synthaug.data.sources import load_source
from synthaug.workflows.evaluate.gallery.contents import ShownSet
from synthaug.workflows.evaluate.gallery.html import gallery_page
from synthaug.workflows.evaluate.records import (
    AccuracyScore,
    Comparison,
    CopySpace,
    Duplicates,
    EvaluateResult,
    Figure,
    JudgeFacts,
    Memorisation,
    Reference,
    SetReport,
    Space,
    Value,
)

SPACES = (
    Space("classifier", "features of the resnet20 that recognises images", "kept at 8 x 8", 64, "0" * 64),
    Space("inception", "torch-fidelity's Inception v3 <2015>", "299 x 299, bilinear", 2048, "1" * 64),
)
REASON = "an Inception distance needs at least 2,048 images, found 200 in <b>this</b> set"
_BINS, _END = 40, 1.0
_THRESHOLD = 0.4


def value(number: float | None, width: float = 0.0, *, n: int = 200, n_reference: int = 100, **more: Any) -> Value:
    """A figure with an interval of a width around it."""
    if number is None:
        return Value(None, None, None, n, n_reference, **{"reason": REASON, **more})
    return Value(number, number - width / 2, number + width / 2, n, n_reference, **more)


def figure(name: str, better: Any, overall: Value, per_class: tuple[Value, ...] = ()) -> Figure:
    return Figure(name, name, better, overall, per_class, f"What {name} means & more.")


def comparisons(quality: float, classes: int) -> tuple[Comparison, ...]:
    """Figures in two spaces, which are better the higher the quality (in [0, 1]) is; some are refused."""
    by_class = tuple(value(None) if label == 1 else value(1 - quality / 2, 0.1) for label in range(classes))
    first = (
        figure("Fréchet distance", "lower", value(40.123 - 30 * quality, 2.0)),
        figure("precision", "higher", value(0.3 + 0.6 * quality, 0.05), by_class),
        figure("recall", "higher", value(0.5 + 0.01 * quality, 0.1)),
        figure("spread", "neither", value(3.0 - quality, 0.1)),
    )
    second = (
        figure("Fréchet distance", "lower", value(None)),
        figure("kernel distance", "lower", value(0.01234, 0.001)),
    )
    return Comparison(SPACES[0], first), Comparison(SPACES[1], second)


def report_of(name: str, one: ShownSet, *, verdict: Any = "no sign of copies", quality: float = 0.5) -> SetReport:
    """A report whose label fidelity, confusion and copies are those of the shown samples."""
    classes, labels = len(one.images.class_names), one.images.labels
    pairs = torch.bincount(labels * classes + one.predicted, minlength=classes**2).view(classes, classes)
    right = (one.predicted == labels).double()
    counts = one.images.class_counts()
    by_class = tuple(
        value(float(right[labels == label].mean()) if count else None, 0.1, n=count, n_reference=0)
        for label, count in enumerate(counts)
    )
    copies, n = int((one.relative_distance <= 1).sum()), len(labels)
    sentence = f"{verdict}: {copies} of {n} images are as close to a training image as copies are"
    spaces = tuple(_copy_space(space.name, one.relative_distance) for space in SPACES)
    return SetReport(
        name=name,
        where=f"/sets/{name}",
        images=n,
        class_counts=counts,
        made="20 steps of dpm++, guidance 1.5",
        comparisons=comparisons(quality, classes),
        compared=200,
        fidelity=figure("label fidelity", "higher", value(float(right.mean()), 0.02, n=n, n_reference=0), by_class),
        confusion=tuple(map(tuple, pairs.tolist())),
        accuracy_score=AccuracyScore(
            "fast", 500, 3, 360, 0.8, 0.95, value(0.15, 0.04, n=360, n_reference=0), (value(0.15, 0.1),) * classes
        ),
        memorisation=Memorisation(
            verdict, sentence, value(copies / n, 0.002, n=n), value(0.005, 0.002, n=100), 1, 0, spaces
        ),
        duplicates=Duplicates(2, 5, 0.001, value(5 / n, 0.001, n=n)),
    )


def _copy_space(name: str, distances: Tensor) -> CopySpace:
    relative = (_THRESHOLD * distances).clamp(max=_END).double()
    shares = torch.histc(relative, _BINS, 0, _END) / len(distances)
    real = torch.distributions.Normal(0.8, 0.08).log_prob(torch.linspace(0.0125, 0.9875, _BINS)).exp()
    return CopySpace(
        space=name,
        threshold=_THRESHOLD,
        real_median=0.8,
        median=float(relative.median()),
        copies=int((distances <= 1).sum()),
        real_copies=1,
        authenticity=0.75,
        real_authenticity=0.5,
        histogram=tuple(shares.tolist()),
        real_histogram=tuple((real / real.sum()).tolist()),
        histogram_end=_END,
    )


def result_of(reports: list[SetReport], class_names: tuple[str, ...], **changes: Any) -> EvaluateResult:
    """An evaluation with such reports."""
    result = EvaluateResult(
        out=Path("out"),
        page=Path("out/gallery.html"),
        class_names=class_names,
        reference=Reference("imagefolder:my <b>images</b>", "validation", 100, 600, 100, 360, 0, is_generators=True),
        judge=JudgeFacts("resnet20", 1000, 0.981, "trained here"),
        sets=tuple(reports),
        environment={"hardware": "an <i>abacus</i>", "torch": "2.x"},
        seconds=12.3,
    )
    return replace(result, **changes)


def shown_set(images: LabelledImages, *, seed: int = 0, training: int = 4) -> ShownSet:
    """Images with made-up facts: a fifth is taken for the next class, confidences and distances are all different."""
    count, classes = len(images), len(images.class_names)
    order = torch.randperm(count, generator=generator_for("gallery", seed))
    is_wrong = order < count // 5
    return ShownSet(
        images=images,
        keys=tuple(f"{place:010d}" for place in range(count)),
        predicted=torch.where(is_wrong, (images.labels + 1) % classes, images.labels),
        confidence=(order + 1).float() / (count + 1),
        relative_distance=0.5 + 3 * order.flip(0).float() / count,
        nearest=order % training,
    )


def digits_gallery() -> tuple[EvaluateResult, list[ShownSet], LabelledImages]:
    """Digits that pass for two synthetic sets: one of unseen ones with noise, one of noisy training images."""
    digits = load_source("digits").train
    real, unseen = digits.take(torch.arange(600)), digits.take(torch.arange(600, len(digits)))
    sets = [_judged(_noisy(unseen, 12.0), real), _judged(_noisy(real.take(torch.arange(0, 600, 2)), 25.0), real)]
    reports = [
        report_of("ddpm", sets[0], quality=0.9),
        report_of("acgan", sets[1], verdict="copies", quality=0.4),
    ]
    return (
        result_of(
            reports, digits.class_names, reference=Reference("digits", "validation", 100, 600, 100, 360, 0, True)
        ),
        sets,
        real,
    )


def _noisy(images: LabelledImages, deviation: float) -> LabelledImages:
    """More noise the later in the set."""
    noise = torch.randn(images.images.shape, generator=generator_for("gallery noise"))
    strength = torch.linspace(0, 3, len(images)).view(-1, 1, 1, 1) * deviation
    pixels = (images.images.float() + strength * noise).round().clamp(0, 255).to(torch.uint8)
    return LabelledImages.of(pixels, images.labels, images.class_names, "noisy digits")


def _judged(images: LabelledImages, real: LabelledImages) -> ShownSet:
    """Recognised by the nearest mean of a class; distances in pixels, relative to those of 50 neighbours."""
    flat, references = images.images.flatten(1).double() / 255, real.images.flatten(1).double() / 255
    means = torch.stack([references[real.labels == label].mean(0) for label in range(len(real.class_names))])
    chances = torch.softmax(-3 * torch.cdist(flat, means) ** 2, dim=1)
    found = torch.cdist(flat, references).topk(50, largest=False)
    relative = found.values[:, 0] / found.values.mean(1)
    return ShownSet(
        images=images,
        keys=tuple(f"{place // 256:06d}{place % 256:04d}" for place in range(len(images))),
        predicted=chances.argmax(1),
        confidence=chances.gather(1, images.labels[:, None])[:, 0].float(),
        relative_distance=(relative / _THRESHOLD).float(),
        nearest=found.indices[:, 0],
    )


def page_of(sets: Mapping[str, ShownSet], *, shown: int = 5000, **changes: Any) -> str:
    """The page of sets by their names; the training images are those of the first."""
    reports = [report_of(name, one) for name, one in sets.items()]
    first = next(iter(sets.values())).images
    return gallery_page(result_of(reports, first.class_names, **changes), list(sets.values()), first, shown=shown)
