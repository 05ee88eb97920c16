"""What is found out about classifiers, as values; not how it is found or shown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ClassifierFacts:
    """A classifier that is explained.

    Attributes:
        name: What to call it: its folder's name, or the whole path where others have the same.
        folder: Where it is.
        network: Name of its backbone, and its attention if it has any.
        steps: Optimiser steps that it took.
        train: Real images in its training.
        synthetic: Synthetic sets in its training.
        validation_accuracy: In [0, 1].
        test_accuracy: On the test images of its own split, in [0, 1]; None if it was never tested.
    """

    name: str
    folder: str
    network: str
    steps: int
    train: int
    synthetic: tuple[str, ...]
    validation_accuracy: float
    test_accuracy: float | None


@dataclass(frozen=True)
class Explanation:
    """What one classifier says of one image, and how completely integrated gradients account for it.

    Attributes:
        classifier: Its name.
        predicted: Name of the class that it predicts, which is the one explained.
        probability: Of that class, in [0, 1].
        is_right: Whether it is the true class.
        output: F(x), the logit of that class.
        baseline_output: F(x'), the same for the baseline.
        attribution_sum: Sum of the integrated gradients, in logits.
        gap: How far that misses F(x) - F(x'), in logits.
        relative_gap: The same as a share of |F(x) - F(x')|; None if that is 0.
        is_complete: Whether the gap is at most 1 %, or 0.01 logits.
        steps: Points of the path at which gradients were taken.
        heat_size: Height and width of the maps that Grad-CAM looks at, before they are enlarged.
    """

    classifier: str
    predicted: str
    probability: float
    is_right: bool
    output: float
    baseline_output: float
    attribution_sum: float
    gap: float
    relative_gap: float | None
    is_complete: bool
    steps: int
    heat_size: tuple[int, int]


@dataclass(frozen=True)
class ExplainedImage:
    """One test image.

    Attributes:
        position: Its position in the test part.
        true_class: Name of its class.
        explanations: What each classifier says of it.
    """

    position: int
    true_class: str
    explanations: tuple[Explanation, ...]


@dataclass(frozen=True)
class Likeness:
    """How much two classifiers look at the same places: means over images of Spearman's correlation of their maps.

    Attributes:
        first: Name of a classifier.
        second: Of another.
        same_class: Images shown for which both predict the same class.
        gradients: Of the absolute integrated gradients of pixels that differ from the baseline; None without an image.
        gradient_images: Images that it is the mean of; maps that are the same everywhere have no correlation.
        heat: Of the Grad-CAM maps; None without an image.
        heat_images: Likewise.
    """

    first: str
    second: str
    same_class: int
    gradients: float | None
    gradient_images: int
    heat: float | None
    heat_images: int


@dataclass(frozen=True)
class ExplainPlan:
    """What `explain` would do.

    Attributes:
        classifiers: What would be explained.
        data: SPEC of the real images.
        test: Test images to choose from.
        images: Images that would be shown, at most.
        which: Among which of the test images they would be chosen.
        baseline: Where the path of integrated gradients would begin.
    """

    classifiers: tuple[ClassifierFacts, ...]
    data: str
    test: int
    images: int
    which: str
    baseline: str


@dataclass(frozen=True)
class ExplainResult:
    """What classifiers look at.

    Attributes:
        out: Folder of the page, the picture and the figures.
        page: explained.html.
        data: SPEC of the real images.
        test: Test images to choose from.
        which: Among which of them the images were chosen.
        baseline: Where the path of integrated gradients began.
        classifiers: What is explained.
        images: The images shown.
        likenesses: How much each two classifiers look at the same places.
    """

    out: Path
    page: Path
    data: str
    test: int
    which: str
    baseline: str
    classifiers: tuple[ClassifierFacts, ...]
    images: tuple[ExplainedImage, ...]
    likenesses: tuple[Likeness, ...]
