"""A small classifier of real images that judges generated ones."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from synthaug.classifiers.recipes import RECIPES
from synthaug.classifiers.resnet import CifarResNet, build_network
from synthaug.classifiers.task import train_classifier
from synthaug.core.console import progress
from synthaug.core.pixels import to_network
from synthaug.core.runtime import Runtime
from synthaug.core.types import LabelledImages
from synthaug.data.datamodule import MixedDataModule
from synthaug.data.mixture import Mixture
from synthaug.data.splits import Splits
from synthaug.metrics.agreement import agreement
from synthaug.metrics.frechet import frechet_distance
from synthaug.metrics.prdc import prdc

_BATCH = 500
_NEIGHBOURS = 5
#: Fewer real images cannot be compared with.
MIN_REFERENCE = _NEIGHBOURS + 1


@dataclass(frozen=True)
class Judge:
    """A ResNet trained on real training images only, and the real images that it compares with.

    Attributes:
        network: The classifier.
        validation_accuracy: How well it classifies the validation images, in [0, 1].
        reference: Features of the real images to compare with.
    """

    network: CifarResNet
    validation_accuracy: float
    reference: Float[Tensor, "n 64"]

    @classmethod
    def of(cls, network: CifarResNet, validation_accuracy: float, images: UInt8[Tensor, "n c h w"]) -> Judge:
        """A trained classifier as judge, which compares with these real images."""
        return cls(network, validation_accuracy, _features(network, images))

    @classmethod
    def trained(
        cls, splits: Splits, runtime: Runtime, *, reference: LabelledImages | None = None, steps: int | None = None
    ) -> Judge:
        """Trains a ResNet-20 on the training images, with the recipe `fast`.

        Args:
            splits: The real images.
            runtime: Device and precision.
            reference: Real images to compare with; the validation images if not given.
            steps: Optimiser steps, instead of the recipe's.
        """
        recipe = RECIPES.get("fast")
        recipe = recipe if steps is None else replace(recipe, steps=steps)
        train = splits.train
        built = build_network("resnet20", channels=train.channels, classes=len(train.class_names), seed=0)
        network = cast(CifarResNet, built)
        data = MixedDataModule(splits, mixture=Mixture(batch_size=recipe.batch_size))
        with tempfile.TemporaryDirectory() as scratch, progress("training the judge", recipe.steps) as advance:
            result = train_classifier(network, data, recipe, runtime=runtime, root=Path(scratch), on_step=advance)
        network.to(runtime.device)
        images = (splits.validation if reference is None else reference).images
        return cls.of(network, result.validation_accuracy, images)

    def features(self, images: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n 64"]:
        """What the classifier's last layer sees of images."""
        return _features(self.network, images)

    def figures(self, images: UInt8[Tensor, "n c h w"], labels: Int64[Tensor, " n"]) -> dict[str, float]:
        """How generated images compare with the real ones, in this classifier's features (and on its scale).

        Returns:
            `frechet` (see `synthaug.metrics.frechet`), `recognised` (share that is classified as its label), and
            `precision`, `recall`, `density` and `coverage` with five neighbours (see `synthaug.metrics.prdc`).

        Raises:
            InputError: If there are too few images.
        """
        features = self.features(images)
        with torch.no_grad():
            device = next(self.network.parameters()).device
            predicted = self.network.head(features.to(device)).argmax(dim=1).cpu()
        compared = prdc(self.reference, features, neighbours=_NEIGHBOURS)
        return {
            "frechet": frechet_distance(features, self.reference),
            "recognised": agreement(predicted, labels.cpu(), self.network.head.out_features).overall,
            "precision": compared.precision,
            "recall": compared.recall,
            "density": compared.density,
            "coverage": compared.coverage,
        }


@torch.no_grad()
def _features(network: CifarResNet, images: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n 64"]:
    """In float32, on the CPU."""
    device = next(network.parameters()).device
    network.eval()
    parts = []
    for start in range(0, len(images), _BATCH):
        block = to_network(images[start : start + _BATCH].to(device))
        parts.append(network.features(block.contiguous(memory_format=torch.channels_last)).cpu())
    return torch.cat(parts)
