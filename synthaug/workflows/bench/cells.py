"""One cell of the bench: one arm with one seed, trained, selected on validation and tested once."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from synthaug.classifiers.networks import ImageClassifier
from synthaug.classifiers.recipes import Recipe
from synthaug.classifiers.task import predict, train_classifier
from synthaug.classifiers.validation import CurvePoint
from synthaug.core.runtime import Runtime
from synthaug.core.seeding import derive_seed
from synthaug.core.types import LabelledImages
from synthaug.data.batch_transforms import TRANSFORMS
from synthaug.data.datamodule import MixedDataModule
from synthaug.data.mixture import Mixture
from synthaug.data.splits import Splits
from synthaug.metrics.agreement import Agreement, agreement
from synthaug.workflows.bench.arms import REAL_CLASSIC, Arm
from synthaug.workflows.bench.quality import Quality, measure_quality


class CellResult(BaseModel):
    """One row of results.jsonl.

    Attributes:
        arm: Name of the arm.
        seed: Seed of initialisation, order and augmentation; the same for all arms of a pair.
        steps: Optimiser steps taken.
        best_step: Step of the weights that were kept.
        validation_accuracy: Of those weights.
        test: Their agreement with the test labels.
        label_fidelity: Agreement with the labels of each synthetic set, by name; only from arms that saw none.
        quality: Each set against the validation images in this classifier's features, by name; only from the real-only
            arm with classic augmentation, and if the network gives features.
        curve: All validations.
        seconds: Time for the cell.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    arm: str
    seed: int
    steps: int
    best_step: int
    validation_accuracy: float
    test: Agreement
    label_fidelity: dict[str, Agreement]
    quality: dict[str, Quality]
    curve: list[CurvePoint]
    seconds: float

    def as_row(self) -> dict[str, Any]:
        """A JSON object."""
        return self.model_dump(mode="json")


@dataclass(frozen=True)
class CellInputs:
    """What all cells share.

    Attributes:
        splits: The real images.
        synthetic: The synthetic sets by name.
        synthetic_fraction: Its share of each batch in mixed arms.
        recipe: Network and training settings.
        runtime: Device and precision.
        new_network: From a seed to a network and the names of its pretrained weights.
        has_imagenet_statistics: Whether networks expect images standardised by ImageNet's statistics.
    """

    splits: Splits
    synthetic: Mapping[str, LabelledImages]
    synthetic_fraction: float
    recipe: Recipe
    runtime: Runtime
    new_network: Callable[[int], tuple[ImageClassifier, set[str]]]
    has_imagenet_statistics: bool = False

    def datamodule(self, arm: Arm, seed: int) -> MixedDataModule:
        """What a cell trains on.

        Raises:
            InputError: If the images of an arm cannot be mixed.
        """
        classic = self.recipe.transform
        mixture = Mixture(
            synthetic_fraction=self.synthetic_fraction if arm.is_mixed else None,
            batch_size=self.recipe.batch_size,
            transform=classic if arm.transform is None else arm.transform,
            normalise="imagenet" if self.has_imagenet_statistics else TRANSFORMS.get(classic).normalises,
            seed=derive_seed("batches", seed),
        )
        synthetic = None if arm.synthetic is None else self.synthetic[arm.synthetic]
        return MixedDataModule(self.splits, synthetic, mixture)


def run_cell(inputs: CellInputs, arm: Arm, seed: int, on_step: Callable[[int], None]) -> CellResult:
    """Trains one arm with one seed. The test images are used once, with the weights that were kept."""
    started = time.monotonic()
    splits, recipe, runtime = inputs.splits, inputs.recipe, inputs.runtime
    datamodule = inputs.datamodule(arm, seed)
    classes = len(splits.train.class_names)
    network, pretrained = inputs.new_network(seed)
    with tempfile.TemporaryDirectory() as scratch:
        trained = train_classifier(
            network, datamodule, recipe, runtime=runtime, root=Path(scratch), on_step=on_step, pretrained=pretrained
        )
    preparation = datamodule.preparation
    tested = predict(trained.network, splits.test.images, runtime, preparation=preparation).argmax(dim=1)
    fidelity = {}
    if not arm.is_mixed:
        for name, images in inputs.synthetic.items():
            recognised = predict(trained.network, images.images, runtime, preparation=preparation).argmax(dim=1)
            fidelity[name] = agreement(recognised, images.labels, classes)
    measured = {}
    if arm == REAL_CLASSIC:
        measured = measure_quality(trained, splits.validation, inputs.synthetic, preparation)
    return CellResult(
        arm=arm.name,
        seed=seed,
        steps=trained.steps,
        best_step=trained.best_step,
        validation_accuracy=trained.validation_accuracy,
        test=agreement(tested, splits.test.labels, classes),
        label_fidelity=fidelity,
        quality=measured,
        curve=trained.curve,
        seconds=round(time.monotonic() - started, 2),
    )
