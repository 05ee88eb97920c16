"""The classifier of real images by which synthetic ones are recognised: one that is given, or trained and kept."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from synthaug.classifiers.networks import ImageClassifier
from synthaug.classifiers.recipes import Recipe, recipe_settings
from synthaug.classifiers.saved import ClassifierCard, PreparationRecord, read_classifier, weights_of, write_classifier
from synthaug.core.console import log
from synthaug.core.errors import DamageError, InputError, StorageError
from synthaug.core.runtime import Runtime, environment
from synthaug.core.storage import cache_home, one_at_a_time, sha256_json
from synthaug.core.types import LabelledImages
from synthaug.core.version import __version__
from synthaug.data.preparation import Preparation
from synthaug.data.splits import Splits, leak
from synthaug.metrics.features import FeatureExtractor, extract
from synthaug.workflows.judge import JUDGE_RECIPE, train_judge
from synthaug.workflows.judging import JudgingConfig

#: Passes through the real training images of a judge that nobody gave steps.
_EPOCHS = 6
#: Validation accuracy of a judge below which a warning says so.
_POOR = 0.8


@dataclass(frozen=True, eq=False)
class RealClassifier:
    """A classifier that has seen real training images only.

    Attributes:
        network: In evaluation mode.
        card: What is known of it.
        origin: Where it comes from, in words.
        device: Where it computes.
    """

    network: ImageClassifier
    card: ClassifierCard
    origin: str
    device: str

    def extractor(self) -> FeatureExtractor:
        """What its last layer sees, and the class probabilities that it makes of it; always in float32."""
        preparation = Preparation(**self.card.preparation.model_dump())
        network = self.network.requires_grad_(False).to(self.device)
        size = preparation.input_size or self.card.image_size

        def features(images: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n width"]:
            block = preparation(images.to(self.device)).contiguous(memory_format=torch.channels_last)
            return network.features(block).float().cpu()

        return FeatureExtractor(
            name="classifier",
            backend=f"{self.card.architecture.network} of the real training images, weights "
            f"{self.card.weights_sha256[:12]}",
            resize=f"none ({size}x{size})" if size == self.card.image_size else f"antialiased to {size}x{size}",
            width=network.head.in_features,
            identity=sha256_json(
                ["classifier", 1, self.card.weights_sha256, self.card.preparation.model_dump(), self.device]
            ),
            features=features,
            probabilities=self.probabilities,
        )

    def recognised(self, images: LabelledImages) -> Float[Tensor, "n k"]:
        """The probabilities of each class for each image."""
        return self.probabilities(extract(self.extractor(), images.images, key=images.fingerprint))

    def facts(self) -> JudgeFacts:
        """What a report says of it."""
        card = self.card
        return JudgeFacts(card.architecture.network, card.steps, card.validation_accuracy, self.origin)

    def probabilities(self, features: Float[Tensor, "n width"]) -> Float[Tensor, "n k"]:
        """Of each class, in float64 on the CPU, from what its last layer sees."""
        with torch.no_grad():
            logits: Tensor = self.network.head(features.to(self.device))
        return logits.double().softmax(dim=1).cpu()


@dataclass(frozen=True)
class JudgeFacts:
    """The classifier that recognises images.

    Attributes:
        network: Name of its network.
        steps: Optimiser steps of its training.
        validation_accuracy: In [0, 1].
        origin: Where it comes from.
    """

    network: str
    steps: int
    validation_accuracy: float
    origin: str


def of_label(probabilities: Float[Tensor, "n k"], labels: Int64[Tensor, " n"]) -> Float[Tensor, " n"]:
    """The probability that each image is given of its label."""
    return probabilities.gather(1, labels[:, None])[:, 0]


def check_judging(config: JudgingConfig, splits: Splits) -> None:
    """Refuses what `open_judge` would refuse, before anything is computed.

    Raises:
        InputError: If the classifier given is missing, for other images, or has seen too much; or there is no such
            device.
        DamageError: If a file of it is damaged.
    """
    config.runtime()
    if config.judge is not None:
        if config.judge_steps is not None:
            raise InputError("--judge-steps is about a judge that is trained: give it or --judge, not both")
        check_judge(config.judge, read_classifier(config.judge)[1], splits)


def open_judge(config: JudgingConfig, splits: Splits, runtime: Runtime) -> RealClassifier:
    """The classifier that recognises images: the one given, or one trained on the real training images.

    Raises:
        InputError: If the one given is for other images, or has seen more than the real training images.
        DamageError: If a file of it is damaged.
    """
    check_judging(config, splits)
    if config.judge is not None:
        network, card = read_classifier(config.judge)
        return _warned(RealClassifier(network.to(runtime.device), card, str(config.judge), runtime.device))
    recipe = replace(
        JUDGE_RECIPE, steps=config.judge_steps, epochs=float(_EPOCHS), least_steps=JUDGE_RECIPE.steps or 1
    ).sized(len(splits.train))
    # Threads and precision round differently, but what is kept is the same classifier to all who ask for it.
    key = sha256_json([splits.record.model_dump(mode="json"), recipe_settings(recipe), __version__])
    kept = cache_home() / "judges" / key
    with one_at_a_time(kept):
        try:
            network, card = read_classifier(kept)
        except (InputError, DamageError):
            network, card = _trained(splits, recipe, runtime)
            try:
                write_classifier(kept, weights_of(network), card)
            except StorageError as error:
                log(f"warning: the judge is not kept for later runs: {error}")
    return _warned(RealClassifier(network.to(runtime.device), card, "trained for this", runtime.device))


def _warned(judge: RealClassifier) -> RealClassifier:
    accuracy = judge.card.validation_accuracy
    if accuracy < _POOR:
        log(
            f"warning: the judge recognises {100 * accuracy:.1f} % of the validation images only, so it errs about "
            "synthetic ones as well; give it more --judge-steps, or a better one as --judge"
        )
    return judge


def check_judge(folder: Path, card: ClassifierCard, splits: Splits) -> None:
    """Refuses a classifier that is for other images, or whose judgement would let something through to its consumers.

    Raises:
        InputError: Saying what.
    """
    train = splits.train
    wanted = (train.class_names, train.channels, train.image_size)
    if (card.class_names, card.channels, card.image_size) != wanted:
        raise InputError(
            f"--judge {folder} is for images of {card.image_size} pixels, {card.channels} channel(s) and the classes "
            f"{list(card.class_names)}; here are {train.image_size} pixels, {train.channels} channel(s) and "
            f"{list(train.class_names)}"
        )
    if card.synthetic:
        raise InputError(
            f"--judge {folder} was trained on synthetic images ({card.synthetic[0]}), whose faults it may share; give "
            "a classifier of real images only"
        )
    for seen in (card.split, *card.ancestors):
        if reason := leak(seen, splits.record, whose="it"):
            raise InputError(f"--judge {folder} must not judge here: {reason}")


def _trained(splits: Splits, recipe: Recipe, runtime: Runtime) -> tuple[ImageClassifier, ClassifierCard]:
    train = splits.train
    network, trained, preparation = train_judge(splits, recipe, runtime)
    log(f"the judge, a {recipe.network}, recognises {100 * trained.validation_accuracy:.1f} % of the validation images")
    card = ClassifierCard(
        architecture=recipe.architecture,
        class_names=train.class_names,
        channels=train.channels,
        image_size=train.image_size,
        preparation=PreparationRecord(**preparation.settings()),
        recipe=recipe_settings(recipe),
        split=splits.record,
        synthetic=(),
        pretrained=None,
        ancestors=(),
        steps=trained.steps,
        validation_accuracy=trained.validation_accuracy,
        test_accuracy=None,
        weights_sha256=hashlib.sha256(weights_of(network)).hexdigest(),
        environment=environment(),
    )
    return network, card
