"""What `evaluate` is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from synthaug.core.errors import InputError
from synthaug.metrics.extractors import PRETRAINED_EXTRACTORS
from synthaug.metrics.features import FeatureExtractor, pixels_extractor
from synthaug.workflows.config import Count, Locations
from synthaug.workflows.evaluate.figures import METRICS
from synthaug.workflows.judging import JudgingConfig
from synthaug.workflows.real_classifier import RealClassifier

SpaceName = Literal["classifier", "inception", "dinov2", "efficientnet", "pixels"]
MetricName = Literal["frechet", "kid", "precision", "recall", "density", "coverage", "inception_score"]


def _several(value: object) -> object:
    return (value,) if isinstance(value, str) else value


class EvaluateConfig(JudgingConfig):
    """Settings of `synthaug evaluate`; the field descriptions are the help texts."""

    folders: Locations = Field(
        min_length=1,
        description="The synthetic shard sets, folders or URLs; several are compared side by side.",
        json_schema_extra={"argument": "DIR"},
    )
    out: Path = Field(description="Folder for the figures, the scores of every sample and the gallery.")
    against: Literal["train", "validation", "test"] = Field(
        "train",
        description="Real images that figures compare with; train, as is usual, flatters a set that copies them.",
    )
    features: Annotated[tuple[SpaceName, ...], BeforeValidator(_several)] = Field(
        ("classifier",),
        min_length=1,
        description="What images are compared by; repeat the flag for several: classifier (the judge's features), "
        "inception or dinov2 (downloaded, if no file is given), efficientnet (comes with its package, no download), "
        "pixels.",
    )
    inception_weights: Path | None = Field(None, description="File of Inception's weights, as torch-fidelity has it.")
    dinov2_weights: Path | None = Field(None, description="File of DINOv2's weights, as timm has it.")
    metrics: Annotated[tuple[MetricName, ...], BeforeValidator(_several)] = Field(
        (),
        description=f"Figures that must be computed, or it is an error: {', '.join(METRICS)}. By default all that can.",
    )
    count: Count | None = Field(
        None,
        description="Images of each set to compare; by default as many as the smallest set has, as figures depend on "
        "their number.",
    )
    cas_seeds: int = Field(
        1,
        ge=0,
        description="Trainings on each set alone, and on the real images alone, for the classification accuracy score; "
        "0 leaves it out.",
    )
    recipe: str = Field("fast", description="Recipe of those trainings; see `synthaug models`.")
    steps: Count | None = Field(None, description="Their optimiser steps, instead of the recipe's.")
    gallery_samples: Count = Field(5000, description="Samples of each set that the gallery shows.")

    def check_weights(self) -> None:
        """Refuses files of weights that are missing, or for features that are not wanted.

        Raises:
            InputError: Naming the flag.
        """
        for name, path in self._weights().items():
            if path is not None and name not in self.features:
                raise InputError(f"--{name}-weights is for --features {name}: give that too")
            if path is not None and not path.is_file():
                raise InputError(f"--{name}-weights {path}: there is no such file")

    def _weights(self) -> dict[str, Path | None]:
        return {"inception": self.inception_weights, "dinov2": self.dinov2_weights, "efficientnet": None}

    def pretrained(self, device: str) -> dict[str, FeatureExtractor]:
        """Those of the spaces wanted that others trained, by name.

        Raises:
            InputError: If weights cannot be had.
        """
        weights = self._weights()
        names = [name for name in self.features if name in PRETRAINED_EXTRACTORS]
        return {name: PRETRAINED_EXTRACTORS[name](weights[name], device=device) for name in names}

    def extractors(
        self, judge: RealClassifier, pretrained: Mapping[str, FeatureExtractor]
    ) -> dict[str, FeatureExtractor]:
        """The spaces wanted, by name."""
        found: dict[str, FeatureExtractor] = {}
        for name in self.features:
            if name == "classifier":
                found[name] = judge.extractor()
            elif name == "pixels":
                found[name] = pixels_extractor(judge.card.channels, judge.card.image_size)
            else:
                found[name] = pretrained[name]
        return found
