"""A small classifier of real images that judges generated ones."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from synthaug.classifiers.networks import ImageClassifier, build_network
from synthaug.classifiers.recipes import Recipe
from synthaug.classifiers.task import Preparation, TrainedClassifier, train_classifier
from synthaug.core.console import progress
from synthaug.core.pixels import to_network
from synthaug.core.runtime import Runtime
from synthaug.core.types import LabelledImages
from synthaug.data.datamodule import MixedDataModule
from synthaug.data.mixture import Mixture
from synthaug.data.preparation import Preparation as SetPreparation
from synthaug.data.splits import Splits
from synthaug.metrics.agreement import agreement
from synthaug.metrics.frechet import frechet_distance
from synthaug.metrics.prdc import prdc

_BATCH = 500
_NEIGHBOURS = 5
#: Fewer real images cannot be compared with.
MIN_REFERENCE = _NEIGHBOURS + 1
#: How judges are trained; no recipe of those that get better with time, as figures of different judges do not compare.
#: The only validation is that of the last weights: nothing is chosen by it, so that validation images stay unseen.
JUDGE_RECIPE = Recipe(
    "judging samples",
    "resnet20",
    batch_size=64,
    optimiser="sgd",
    learning_rate=0.1,
    weight_decay=5e-4,
    steps=400,
    validations=1,
)


@dataclass(frozen=True)
class Judge:
    """A ResNet trained on real training images only, and the real images that it compares with.

    Attributes:
        network: The classifier.
        validation_accuracy: How well it classifies the validation images, in [0, 1].
        reference: Features of the real images to compare with.
        preparation: From pixels to what the classifier sees.
    """

    network: ImageClassifier
    validation_accuracy: float
    reference: Float[Tensor, "n width"]
    preparation: Preparation = to_network

    @classmethod
    def of(
        cls,
        network: ImageClassifier,
        validation_accuracy: float,
        images: UInt8[Tensor, "n c h w"],
        preparation: Preparation = to_network,
    ) -> Judge:
        """A trained classifier as judge, which compares with these real images."""
        return cls(network, validation_accuracy, _features(network, images, preparation), preparation)

    @classmethod
    def trained(
        cls, splits: Splits, runtime: Runtime, *, reference: LabelledImages | None = None, steps: int | None = None
    ) -> Judge:
        """Trains a ResNet-20 on the training images.

        Args:
            splits: The real images.
            runtime: Device and precision.
            reference: Real images to compare with; the validation images if not given.
            steps: Optimiser steps; 400 if not given.
        """
        recipe = JUDGE_RECIPE if steps is None else replace(JUDGE_RECIPE, steps=steps)
        network, result, preparation = train_judge(splits, recipe, runtime)
        images = (splits.validation if reference is None else reference).images
        return cls.of(network, result.validation_accuracy, images, preparation)

    def features(self, images: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n width"]:
        """What the classifier's last layer sees of images."""
        return _features(self.network, images, self.preparation)

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


def train_judge(
    splits: Splits, recipe: Recipe, runtime: Runtime
) -> tuple[ImageClassifier, TrainedClassifier, SetPreparation]:
    """Trains a judge on the real training images.

    Args:
        splits: The real images.
        recipe: Network and training settings.
        runtime: Device and precision.

    Returns:
        The network on its device, how it was trained, and how images have to be prepared for it.
    """
    train = splits.train
    network = build_network(recipe.architecture, channels=train.channels, classes=len(train.class_names), seed=0)
    data = MixedDataModule(splits, mixture=Mixture(batch_size=recipe.batch_size, transform=recipe.transform))
    with tempfile.TemporaryDirectory() as scratch, progress("training the judge", recipe.steps or 0) as advance:
        trained = train_classifier(network, data, recipe, runtime=runtime, root=Path(scratch), on_step=advance)
    return network.to(runtime.device), trained, data.preparation


@torch.no_grad()
def _features(
    network: ImageClassifier, images: UInt8[Tensor, "n c h w"], preparation: Preparation
) -> Float[Tensor, "n width"]:
    """In float32, on the CPU."""
    device = next(network.parameters()).device
    network.eval()
    parts = []
    for start in range(0, len(images), _BATCH):
        block = preparation(images[start : start + _BATCH].to(device))
        parts.append(network.features(block.contiguous(memory_format=torch.channels_last)).cpu())
    return torch.cat(parts)
