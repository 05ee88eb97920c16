"""How synthetic images compare with real ones that were held out, in the eyes of a classifier of the bench."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from synthaug.classifiers.networks import ImageClassifier
from synthaug.classifiers.task import Preparation, TrainedClassifier
from synthaug.core.pixels import to_network
from synthaug.core.types import LabelledImages, spread
from synthaug.workflows.judge import MIN_REFERENCE, Judge

#: Images of a set that a classifier judges.
MOST_JUDGED = 5000


@dataclass(frozen=True)
class Quality:
    """Figures in a classifier's features, with five neighbours; see `synthaug.metrics`.

    Attributes:
        frechet: Distance of the Gaussians fitted to synthetic and real images; on a scale of its own.
        precision: Share of synthetic images that are within a real one's neighbourhood.
        recall: Share of real images that are within a synthetic one's neighbourhood.
        density: Real neighbourhoods that hold a synthetic image, over those expected.
        coverage: Share of real images whose neighbourhood holds a synthetic one.
    """

    frechet: float
    precision: float
    recall: float
    density: float
    coverage: float


def measure_quality(
    trained: TrainedClassifier,
    real: LabelledImages,
    synthetic: Mapping[str, LabelledImages],
    preparation: Preparation = to_network,
) -> dict[str, Quality]:
    """Compares at most 5000 images of each set with at most 5000 real ones, in a classifier's features.

    Args:
        trained: The classifier.
        real: Images it was not trained on.
        synthetic: The sets by name.
        preparation: From pixels to what the classifier sees.

    Returns:
        The figures by name; nothing of sets with too few images, nor if there are too few real images.
    """
    if len(real) < MIN_REFERENCE:
        return {}
    network = cast(ImageClassifier, trained.network)
    judge = Judge.of(network, trained.validation_accuracy, _spread(real).images, preparation)
    measured = {}
    for name, images in synthetic.items():
        some = _spread(images)
        if len(some) >= MIN_REFERENCE:
            figures = judge.figures(some.images, some.labels)
            del figures["recognised"]  # the bench measures that of all images
            measured[name] = Quality(**figures)
    return measured


def _spread(images: LabelledImages) -> LabelledImages:
    """At most so many that a comparison does not take long."""
    return images if len(images) <= MOST_JUDGED else images.take(spread(images.labels, MOST_JUDGED))
