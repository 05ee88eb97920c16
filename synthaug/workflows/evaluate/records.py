"""What an evaluation says: plain values that become JSON, a page and lines of text; nothing is computed here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from synthaug.metrics.estimates import Estimate
from synthaug.workflows.real_classifier import JudgeFacts

Better = Literal["lower", "higher", "neither"]
MemorisationVerdict = Literal["copies", "some copies", "no sign of copies"]


@dataclass(frozen=True)
class Value:
    """A figure with its 95 % interval, or the reason why there is none.

    Attributes:
        value: The figure.
        low: Lower end of the interval.
        high: Upper end.
        n: Synthetic images it was computed from.
        n_reference: Real images it was computed from.
        reason: Why there is no figure.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    n_reference: int
    reason: str | None = None

    @classmethod
    def of(cls, found: Estimate, n: int, n_reference: int) -> Value:
        """A figure that could be computed."""
        return cls(found.value, found.low, found.high, n, n_reference)


@dataclass(frozen=True)
class Figure:
    """One figure of a set, of all its images and of those of each class.

    Attributes:
        name: Short name, such as "frechet".
        title: For people.
        better: Which values are good.
        overall: Of all images.
        per_class: Of each class in label order; empty for figures that say nothing of a class alone.
        meaning: One sentence.
    """

    name: str
    title: str
    better: Better
    overall: Value
    per_class: tuple[Value, ...]
    meaning: str


@dataclass(frozen=True)
class Space:
    """What images are compared by.

    Attributes:
        name: "classifier", "inception", "dinov2", "efficientnet" or "pixels".
        backend: Implementation, and the weights' origin.
        resize: How images are brought to its size.
        width: Number of features.
        identity: sha256 of everything that decides the features.
    """

    name: str
    backend: str
    resize: str
    width: int
    identity: str


@dataclass(frozen=True)
class Reference:
    """The real images.

    Attributes:
        source: SPEC of the source.
        split: Which of its splits figures compare with: "train", "validation" or "test".
        images: Their number.
        train: Training images, with which copies are looked for.
        validation: Validation images: what real images that nobody trained on look like.
        test: Test images.
        split_seed: Seed of the split.
        is_generators: Whether the training images are exactly those that the sets' generators saw.
    """

    source: str
    split: str
    images: int
    train: int
    validation: int
    test: int
    split_seed: int
    is_generators: bool


@dataclass(frozen=True)
class Comparison:
    """The figures of a set in one space.

    Attributes:
        space: The space.
        figures: In a fixed order.
    """

    space: Space
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class AccuracyScore:
    """Classification accuracy score (Ravuri and Vinyals 2019): trained on one kind of images, tested on real ones.

    Attributes:
        recipe: Name of the recipe; all trainings take the same steps of it.
        steps: Optimiser steps.
        seeds: Trainings of each kind.
        test: Test images.
        synthetic: Test accuracy after training on synthetic images only, mean over seeds, in [0, 1].
        real: The same after training on the real training images only.
        gap: Real minus synthetic accuracy, with an interval over test images (and not over seeds).
        per_class: The gap of each class in label order.
    """

    recipe: str
    steps: int
    seeds: int
    test: int
    synthetic: float
    real: float
    gap: Value
    per_class: tuple[Value, ...]


@dataclass(frozen=True)
class CopySpace:
    """How copies show in one space.

    Attributes:
        space: Its name.
        threshold: Relative distances to the nearest training image up to this are copies.
        real_median: Median relative distance of the validation images.
        median: That of the synthetic images.
        copies: Synthetic images up to the threshold.
        real_copies: Validation images up to the threshold.
        authenticity: Share of synthetic images farther from their nearest training image than that is from its own
            nearest one (AuthPct, Alaa et al. 2022).
        real_authenticity: The same of the validation images.
        histogram: Share of synthetic images in each bin of relative distance, from 0 to `histogram_end`.
        real_histogram: The same of the validation images.
        histogram_end: Right end of the last bin.
    """

    space: str
    threshold: float
    real_median: float
    median: float
    copies: int
    real_copies: int
    authenticity: float
    real_authenticity: float
    histogram: tuple[float, ...]
    real_histogram: tuple[float, ...]
    histogram_end: float


@dataclass(frozen=True)
class Memorisation:
    """Whether a set copies the training data.

    Attributes:
        verdict: In a word or two.
        sentence: The verdict with its figures.
        share: Share of images that are copies in one space or the other, with its interval.
        expected: The same share of validation images, which nobody copied.
        exact: Images that equal a training image, pixel for pixel (mirrored ones too, where that keeps the class).
        near_test: Images that are nearly test images; more than a few are refused.
        spaces: Each space on its own.
    """

    verdict: MemorisationVerdict
    sentence: str
    share: Value
    expected: Value
    exact: int
    near_test: int
    spaces: tuple[CopySpace, ...]


@dataclass(frozen=True)
class Duplicates:
    """Images that are in a set more than once.

    Attributes:
        exact: Images that equal an earlier one of the set, pixel for pixel.
        near: Images that are as close to an earlier one, itself no repetition, as copies are to what they copy; exact
            ones included.
        real_near: The same share of the real training images.
        share: Share of the set's images that `near` counts.
    """

    exact: int
    near: int
    real_near: float
    share: Value


@dataclass(frozen=True)
class SetReport:
    """One synthetic set.

    Attributes:
        name: What the evaluation calls it.
        where: Its folder or URL.
        images: Images in it.
        class_counts: Of each class in label order.
        made: How it was made, in words.
        comparisons: Figures against real images, one entry for each space.
        compared: Images that they were computed from: as many of each set.
        fidelity: Share of images that the judge recognises as their label.
        confusion: Synthetic images of each class (rows) taken for each class (columns).
        accuracy_score: What a classifier learns from the set alone; None if not asked for.
        memorisation: Whether it copies training images.
        duplicates: Whether it repeats itself.
    """

    name: str
    where: str
    images: int
    class_counts: tuple[int, ...]
    made: str
    comparisons: tuple[Comparison, ...]
    compared: int
    fidelity: Figure
    confusion: tuple[tuple[int, ...], ...]
    accuracy_score: AccuracyScore | None
    memorisation: Memorisation
    duplicates: Duplicates


@dataclass(frozen=True)
class EvaluateResult:
    """What an evaluation found.

    Attributes:
        out: Its folder.
        page: The gallery.
        class_names: In label order.
        reference: The real images.
        judge: The classifier that recognises images.
        sets: The sets in the order given.
        environment: Hardware and versions.
        seconds: Time it took.
    """

    out: Path
    page: Path
    class_names: tuple[str, ...]
    reference: Reference
    judge: JudgeFacts
    sets: tuple[SetReport, ...]
    environment: dict[str, str]
    seconds: float
