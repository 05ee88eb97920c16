"""The networks that others trained and images may be compared by, by name."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from synthaug.metrics.dinov2 import dinov2_extractor
from synthaug.metrics.efficientnet import efficientnet_extractor
from synthaug.metrics.features import FeatureExtractor
from synthaug.metrics.inception import inception_extractor


class PretrainedExtractor(Protocol):
    """Builds an extractor from a file of weights, or from those that its network is known by."""

    def __call__(self, weights: Path | None, *, device: str) -> FeatureExtractor:
        """An extractor that computes on `device`; None downloads the weights, unless they come in a package."""
        ...


PRETRAINED_EXTRACTORS: dict[str, PretrainedExtractor] = {
    "inception": inception_extractor,
    "dinov2": dinov2_extractor,
    "efficientnet": efficientnet_extractor,
}
