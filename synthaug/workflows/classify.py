"""Trains one classifier, on real images alone or mixed with a synthetic set, and tests it once."""

from __future__ import annotations

import math
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import Field
from safetensors.torch import save

from synthaug.classifiers.recipes import RECIPES, OptimiserName, Recipe, recipe_settings
from synthaug.classifiers.resnet import NETWORKS, build_network
from synthaug.classifiers.task import CurvePoint, predict, train_classifier
from synthaug.core.console import log, progress
from synthaug.core.errors import InputError
from synthaug.core.runtime import Runtime, environment
from synthaug.core.seeding import derive_seed
from synthaug.core.storage import check_folder, write_bytes, write_json
from synthaug.data.datamodule import MixedDataModule
from synthaug.data.mixture import Mixture, Synthetic
from synthaug.data.opened import check_mixture
from synthaug.data.splits import Splits
from synthaug.metrics.agreement import Agreement, agreement
from synthaug.workflows.config import DataConfig
from synthaug.workflows.mixtures import MixtureConfig, open_sets_of


class RecipeConfig(DataConfig):
    """Settings of a workflow that trains classifiers: a recipe and what replaces its numbers."""

    recipe: str = Field("fast", description="Network and training settings; see `synthaug models`.")
    network: str | None = Field(None, description="Network, instead of the recipe's; see `synthaug models`.")
    steps: int | None = Field(None, description="Optimiser steps, instead of the recipe's.")
    batch_size: int | None = Field(None, description="Images per step, instead of the recipe's.")
    optimiser: OptimiserName | None = Field(None, description="Optimiser, instead of the recipe's.")
    learning_rate: float | None = Field(None, description="Peak learning rate, instead of the recipe's.")

    def resolved_recipe(self) -> Recipe:
        """The recipe with the given numbers in place.

        Raises:
            InputError: If a name is unknown or a number out of range.
        """
        recipe = RECIPES.get(self.recipe)
        names = ("network", "steps", "batch_size", "optimiser", "learning_rate")
        chosen = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        recipe = replace(recipe, **chosen)
        NETWORKS.get(recipe.network)
        if recipe.steps < 1:
            raise InputError(f"--steps must be at least 1, found {recipe.steps}")
        if recipe.batch_size < 2:
            raise InputError(f"--batch-size must be at least 2 (batch norm needs two), found {recipe.batch_size}")
        if not 0 < recipe.learning_rate < math.inf:
            raise InputError(f"--learning-rate must be a positive number, found {recipe.learning_rate}")
        return recipe


class ClassifyConfig(RecipeConfig, MixtureConfig):
    """Settings of `synthaug classify`; the field descriptions are the help texts."""

    out: Path | None = Field(None, description="Folder for the classifier; nothing is saved if not given.")


@dataclass(frozen=True)
class ClassifyPlan:
    """What `classify` would do.

    Attributes:
        recipe: Network and training settings.
        train: Real training images.
        synthetic: Synthetic images.
        test: Test images.
    """

    recipe: dict[str, Any]
    train: int
    synthetic: int
    test: int


@dataclass(frozen=True)
class ClassifyResult:
    """A trained and tested classifier.

    Attributes:
        out: Folder of `classifier.safetensors` and `classifier.json`; None if nothing was saved.
        test: Agreement with the test labels.
        per_class: Test accuracy of each class by name.
        validation_accuracy: Of the weights kept.
        best_step: Step of those weights.
        steps: Optimiser steps taken.
        seconds: Time for training and test.
        curve: All validations.
    """

    out: Path | None
    test: Agreement
    per_class: dict[str, float | None]
    validation_accuracy: float
    best_step: int
    steps: int
    seconds: float
    curve: list[CurvePoint]


@dataclass(frozen=True)
class _Inputs:
    recipe: Recipe
    splits: Splits
    sets: list[Synthetic]
    mixture: Mixture
    runtime: Runtime

    @classmethod
    def of(cls, config: ClassifyConfig) -> _Inputs:
        recipe, runtime = config.resolved_recipe(), config.runtime()
        mixture = config.mixture(recipe.batch_size)
        if config.out is not None:
            check_folder(config.out, marker=None, kind="unfinished classifier")
        splits = config.splits()
        return cls(recipe, splits, open_sets_of(config, splits), mixture, runtime)


def plan_classification(config: ClassifyConfig) -> ClassifyPlan:
    """What `classify` would do, without doing it.

    Raises:
        InputError: For anything that `classify` would refuse.
    """
    inputs = _Inputs.of(config)
    splits = inputs.splits
    synthetic = check_mixture(splits, inputs.sets, inputs.mixture)
    return ClassifyPlan(recipe_settings(inputs.recipe), len(splits.train), synthetic, len(splits.test))


def classify(config: ClassifyConfig) -> ClassifyResult:
    """Train a classifier, keep the weights that validate best, and test it once.

    Raises:
        InputError: For impossible settings, or a leaking or foreign synthetic set.
        TrainingError: If the loss is no longer a number.
    """
    inputs = _Inputs.of(config)
    recipe, splits, runtime = inputs.recipe, inputs.splits, inputs.runtime
    datamodule = MixedDataModule(splits, inputs.sets, inputs.mixture)
    names = splits.train.class_names
    network = build_network(
        recipe.network,
        channels=splits.train.channels,
        classes=len(names),
        seed=derive_seed("initialise", config.seed),
    )
    log(
        f"{recipe.network}: {len(splits.train)} real and {datamodule.synthetic_count} synthetic images of "
        f"{len(names)} classes, {recipe.steps} steps of {recipe.batch_size} on {runtime.device} in {runtime.precision}"
    )
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch, progress("classifying", recipe.steps) as advance:
        trained = train_classifier(network, datamodule, recipe, runtime=runtime, root=Path(scratch), on_step=advance)
    preparation = datamodule.preparation
    predicted = predict(trained.network, splits.test.images, runtime, preparation=preparation).argmax(dim=1)
    test = agreement(predicted, splits.test.labels, len(names))
    result = ClassifyResult(
        out=config.out,
        test=test,
        per_class=dict(zip(names, test.per_class, strict=True)),
        validation_accuracy=trained.validation_accuracy,
        best_step=trained.best_step,
        steps=trained.steps,
        seconds=round(time.monotonic() - started, 2),
        curve=trained.curve,
    )
    if config.out is not None:
        weights = {name: value.cpu().contiguous() for name, value in trained.network.state_dict().items()}
        write_bytes(config.out / "classifier.safetensors", save(weights))
        description = {
            "class_names": list(names),
            "channels": splits.train.channels,
            "image_size": splits.train.image_size,
            "preparation": preparation.settings(),
            "recipe": recipe_settings(recipe),
            "split": splits.record.model_dump(mode="json"),
            "test_accuracy": test.overall,
            "validation_accuracy": trained.validation_accuracy,
            "environment": environment(),
        }
        write_json(config.out / "classifier.json", description)
        config.save(config.out)
    return result
