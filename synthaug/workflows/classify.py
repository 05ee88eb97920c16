"""Trains one classifier, on real images alone or mixed with a synthetic set, and tests it once."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jaxtyping import Float
from lightning.pytorch.loggers import Logger
from pydantic import Field
from torch import Tensor

from synthaug.classifiers.finder import FoundLearningRate, find_learning_rate
from synthaug.classifiers.networks import ImageClassifier
from synthaug.classifiers.pretrained import PretrainedWeights
from synthaug.classifiers.recipes import Recipe, recipe_settings
from synthaug.classifiers.saved import CARD_NAME, ClassifierCard, PreparationRecord, weights_of, write_classifier
from synthaug.classifiers.task import TrainedClassifier, predict, train_classifier
from synthaug.classifiers.validation import CurvePoint
from synthaug.core.console import log, progress
from synthaug.core.errors import InputError
from synthaug.core.loggers import LoggerName, check_logger, loggers_in
from synthaug.core.runtime import Runtime, environment
from synthaug.core.storage import check_folder, write_bytes
from synthaug.data.datamodule import MixedDataModule
from synthaug.data.mixture import Mixture, Synthetic
from synthaug.data.opened import check_mixture
from synthaug.data.splits import Splits
from synthaug.metrics.agreement import Agreement, agreement
from synthaug.metrics.calibration import confusion_matrix, expected_calibration_error
from synthaug.workflows.config import Duration
from synthaug.workflows.confusion import confusion_picture
from synthaug.workflows.mixtures import MixtureConfig, open_sets_of


class ClassifyConfig(MixtureConfig):
    """Settings of `synthaug classify`; the field descriptions are the help texts."""

    out: Path | None = Field(None, description="Folder for the classifier; nothing is saved if not given.")
    early_stopping: int | None = Field(
        None, description="End after so many validations without a better one; 0 trains to the end."
    )
    find_lr: bool = Field(
        False, description="Find the peak learning rate first, where the loss falls most steeply as the rate rises."
    )
    max_time: Duration | None = Field(
        None, description="End after this long (90s, 9m, 1h), wherever the learning-rate schedule is then."
    )
    logger: LoggerName = Field(
        "auto", description="Where metrics go besides CSV, with --out; auto takes TensorBoard if it is installed."
    )


@dataclass(frozen=True)
class ClassifyPlan:
    """What `classify` would do.

    Attributes:
        recipe: Network and training settings.
        parameters: Numbers that the network learns.
        train: Real training images.
        synthetic: Synthetic images.
        test: Test images.
    """

    recipe: dict[str, Any]
    parameters: int
    train: int
    synthetic: int
    test: int


@dataclass(frozen=True)
class ClassifyResult:
    """A trained and tested classifier.

    Attributes:
        out: Folder of the classifier, its confusion matrix and its logs; None if nothing was saved.
        test: Agreement with the test labels.
        per_class: Test accuracy of each class by name.
        confusion: Test images of each class (rows) taken for each class (columns).
        calibration_error: Expected calibration error on the test images, in [0, 1].
        validation_accuracy: Of the weights kept.
        best_step: Step of those weights.
        steps: Optimiser steps taken.
        learning_rate: Peak of the schedule.
        seconds: Time for training and test.
        training_images_per_second: Images trained on in a second, validations aside.
        test_images_per_second: Images classified in a second.
        curve: All validations.
    """

    out: Path | None
    test: Agreement
    per_class: dict[str, float | None]
    confusion: tuple[tuple[int, ...], ...]
    calibration_error: float
    validation_accuracy: float
    best_step: int
    steps: int
    learning_rate: float
    seconds: float
    training_images_per_second: float
    test_images_per_second: float
    curve: list[CurvePoint]


@dataclass(frozen=True)
class _Inputs:
    recipe: Recipe
    splits: Splits
    sets: list[Synthetic]
    mixture: Mixture
    runtime: Runtime
    pretrained: PretrainedWeights | None

    @classmethod
    def of(cls, config: ClassifyConfig) -> _Inputs:
        recipe, runtime = config.resolved_recipe(), config.runtime()
        mixture = config.mixture(recipe)
        if config.out is None and config.logger != "auto":
            raise InputError(f"--logger {config.logger} writes beside the classifier: give --out too")
        check_logger(config.logger)
        if config.find_lr and config.learning_rate is not None:
            raise InputError("--find-lr finds what --learning-rate says: give one of them")
        if config.out is not None:
            if (config.out / CARD_NAME).exists():
                raise InputError(f"--out {config.out} already holds a classifier; choose another folder")
            check_folder(config.out, marker="logs", kind="unfinished classifier")
        splits = config.splits()
        recipe = recipe.sized(len(splits.train))
        pretrained = config.pretrained_weights(recipe, splits)
        if config.normalise is None and pretrained is not None and pretrained.is_imagenet:
            mixture = replace(mixture, normalise="imagenet")
        return cls(recipe, splits, open_sets_of(config, splits), mixture, runtime, pretrained)


def plan_classification(config: ClassifyConfig) -> ClassifyPlan:
    """What `classify` would do, without doing it.

    Raises:
        InputError: For anything that `classify` would refuse.
    """
    inputs = _Inputs.of(config)
    splits = inputs.splits
    synthetic = check_mixture(splits, inputs.sets, inputs.mixture)
    network, _ = config.new_network(inputs.recipe, splits, config.seed, inputs.pretrained)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return ClassifyPlan(recipe_settings(inputs.recipe), parameters, len(splits.train), synthetic, len(splits.test))


def classify(config: ClassifyConfig) -> ClassifyResult:
    """Train a classifier, keep weights by how they validate, and test it once.

    Raises:
        InputError: For impossible settings, or a leaking or foreign synthetic set.
        TrainingError: If the loss is no longer a number.
    """
    inputs = _Inputs.of(config)
    recipe, splits, runtime = inputs.recipe, inputs.splits, inputs.runtime
    datamodule = MixedDataModule(splits, inputs.sets, inputs.mixture)
    network, names = config.new_network(recipe, splits, config.seed, inputs.pretrained)
    log(
        f"{recipe.network}: {len(splits.train)} real and {datamodule.synthetic_count} synthetic images of "
        f"{len(splits.train.class_names)} classes, {recipe.steps} steps of {recipe.batch_size} on {runtime.device} in "
        f"{runtime.precision}"
    )
    config.warn_of_preparation(inputs.pretrained, datamodule.preparation)
    started = time.monotonic()
    found: FoundLearningRate | None = None
    with tempfile.TemporaryDirectory() as scratch, _loggers(config) as loggers:
        if config.find_lr:
            found = _found_rate(inputs, network, names, Path(scratch))
            recipe = replace(recipe, learning_rate=found.chosen)
        with progress("classifying", recipe.steps or 0) as advance:
            trained = train_classifier(
                network,
                datamodule,
                recipe,
                runtime=runtime,
                root=config.out or Path(scratch),
                on_step=advance,
                pretrained=names,
                max_time=config.max_time,
                loggers=loggers,
            )
    tested_at = time.monotonic()
    probabilities = predict(trained.network, splits.test.images, runtime, preparation=datamodule.preparation)
    test_seconds = time.monotonic() - tested_at
    result = _result(config.out, recipe, splits, trained, probabilities, (time.monotonic() - started, test_seconds))
    if config.out is not None:
        _save(config, replace(inputs, recipe=recipe), datamodule, network, result)
        if found is not None:
            write_bytes(config.out / "learning_rate.png", found.plot)
    return result


def _loggers(config: ClassifyConfig) -> contextlib.AbstractContextManager[list[Logger]]:
    return contextlib.nullcontext([]) if config.out is None else loggers_in(config.out, config.logger)


def _found_rate(inputs: _Inputs, network: ImageClassifier, pretrained: set[str], root: Path) -> FoundLearningRate:
    """The learning rate that the finder chooses, on batches of its own."""
    trial = MixedDataModule(inputs.splits, inputs.sets, inputs.mixture)
    frozen = pretrained if inputs.recipe.freeze > 0 else ()
    found = find_learning_rate(network, trial, inputs.recipe, runtime=inputs.runtime, root=root, frozen=frozen)
    log(f"learning rate {found.chosen:.3g}: where the loss fell most steeply of {len(found.rates)} rates")
    return found


def _result(
    out: Path | None,
    recipe: Recipe,
    splits: Splits,
    trained: TrainedClassifier,
    probabilities: Float[Tensor, "n k"],
    seconds: tuple[float, float],
) -> ClassifyResult:
    names, labels = splits.test.class_names, splits.test.labels
    predicted = probabilities.argmax(dim=1)
    test = agreement(predicted, labels, len(names))
    return ClassifyResult(
        out=out,
        test=test,
        per_class=dict(zip(names, test.per_class, strict=True)),
        confusion=confusion_matrix(predicted, labels, len(names)),
        calibration_error=expected_calibration_error(probabilities, labels),
        validation_accuracy=trained.validation_accuracy,
        best_step=trained.best_step,
        steps=trained.steps,
        learning_rate=recipe.learning_rate,
        seconds=round(seconds[0], 2),
        training_images_per_second=trained.images_per_second,
        test_images_per_second=round(len(labels) / max(1e-9, seconds[1]), 1),
        curve=trained.curve,
    )


def _save(
    config: ClassifyConfig,
    inputs: _Inputs,
    datamodule: MixedDataModule,
    network: ImageClassifier,
    result: ClassifyResult,
) -> None:
    out, train, pretrained = result.out or Path(), inputs.splits.train, inputs.pretrained
    origin = None if pretrained is None else pretrained.card
    weights = weights_of(network)
    card = ClassifierCard(
        architecture=inputs.recipe.architecture,
        class_names=train.class_names,
        channels=train.channels,
        image_size=train.image_size,
        preparation=PreparationRecord(**datamodule.preparation.settings()),
        recipe=recipe_settings(inputs.recipe),
        split=inputs.splits.record,
        synthetic=(*map(str, config.synthetic), *(() if origin is None else origin.synthetic)),
        pretrained=None if pretrained is None else pretrained.name,
        ancestors=() if origin is None else (origin.split, *origin.ancestors),
        steps=result.steps,
        validation_accuracy=result.validation_accuracy,
        test_accuracy=result.test.overall,
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        environment=environment(),
    )
    write_bytes(out / "confusion.png", confusion_picture(result.confusion, train.class_names))
    config.save(out)
    write_classifier(out, weights, card)
