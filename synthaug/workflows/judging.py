"""What synthetic sets are judged by: the real images that they are to stand beside, and a classifier of those alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch
from jaxtyping import Float, Int64, UInt8
from pydantic import Field
from torch import Tensor

from synthaug.classifiers.networks import ImageClassifier
from synthaug.classifiers.recipes import Recipe, recipe_settings
from synthaug.classifiers.saved import ClassifierCard, PreparationRecord, read_classifier, weights_of, write_classifier
from synthaug.core.console import log
from synthaug.core.errors import DamageError, InputError, StorageError
from synthaug.core.runtime import Runtime, environment
from synthaug.core.storage import cache_home, one_at_a_time, sha256_json
from synthaug.core.types import LabelledImages, SplitRecord
from synthaug.core.version import __version__
from synthaug.data.preparation import Preparation
from synthaug.data.sources import load_source
from synthaug.data.splits import Splits, leak, source_fingerprint
from synthaug.metrics.features import FeatureExtractor, extract
from synthaug.shards.plan import SetPlan
from synthaug.workflows.config import Count, WorkflowConfig, split_source
from synthaug.workflows.judge import JUDGE_RECIPE, train_judge

#: Passes through the real training images of a judge that nobody gave steps.
_EPOCHS = 6


class JudgingConfig(WorkflowConfig):
    """Settings of a workflow that judges synthetic sets by real images."""

    panel: ClassVar = "Real images"
    reference: str | None = Field(
        None,
        description="SPEC of the real images (digits, cifar10[:ROOT], imagefolder:PATH, wds:DIR); by default the set "
        "says what its generator learned from.",
    )
    fraction: float | None = Field(
        None, description="Share of the real training images in use, in (0, 1]; by default as the generator had."
    )
    per_class_real: int | None = Field(None, description="Real training images per class in use, likewise.")
    split_seed: int | None = Field(
        None, ge=0, description="Seed of the split into train, validation and test, likewise."
    )
    image_size: int | None = Field(None, description="Crop the centre and resize to this many pixels, likewise.")
    flip: bool | None = Field(
        None, description="Whether a mirrored image still shows its class; the source knows by default (digits: no)."
    )
    judge: Path | None = Field(
        None,
        description="Folder of a classifier of the real images alone (synthaug classify --out) to recognise images "
        "with; one is trained, and kept in the cache, if not given.",
    )
    judge_steps: Count | None = Field(
        None, description="Optimiser steps of a judge that is trained, instead of six passes and at least 400."
    )

    def splits_like(self, record: SplitRecord, image_size: int) -> Splits:
        """The real images, split as they were for a generator wherever the settings do not say otherwise.

        Args:
            record: The generator's split.
            image_size: Height and width of its images.
        """
        spec = record.source if self.reference is None else self.reference
        try:
            source = load_source(spec, image_size=self.image_size or image_size)
        except InputError as error:
            if self.reference is not None:
                raise
            raise InputError(
                f"{error}. The set names these images as those of its generator; give --reference SPEC"
            ) from error
        seed = record.seed if self.split_seed is None else self.split_seed
        is_same = source_fingerprint(source) == record.source_fingerprint
        numbers: int | tuple[int, ...] | None = self.per_class_real
        if numbers is None and self.fraction is None and is_same:
            numbers = record.class_counts
        return split_source(source, fraction=self.fraction or 1.0, per_class_real=numbers, seed=seed, flip=self.flip)


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
            identity=sha256_json(["classifier", 1, self.card.weights_sha256, self.card.preparation.model_dump()]),
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


def open_real(config: JudgingConfig, sets: Sequence[tuple[str, SetPlan]]) -> tuple[Splits, bool]:
    """The real images beside which sets are to stand.

    What the settings leave open is as it was for the generator of the first set: the source, the seed of the split and
    the training images in use.

    Args:
        config: The settings.
        sets: Where each set is, and its plan.

    Returns:
        The split, and whether its training images are exactly those that the generators saw.

    Raises:
        InputError: If sets do not match the real images, or their generators saw images that are held out here.
    """
    first = sets[0][1].generator
    splits = config.splits_like(first.split, first.image_size)
    for where, plan in sets:
        _check_matches(where, plan, splits)
    return splits, all(plan.generator.split.train_fingerprint == splits.record.train_fingerprint for _, plan in sets)


def _check_matches(where: str, plan: SetPlan, splits: Splits) -> None:
    train, generator = splits.train, plan.generator
    if plan.class_names != train.class_names:
        raise InputError(
            f"synthetic and real classes must be the same and in the same order: {where} has {list(plan.class_names)}, "
            f"{splits.record.source} has {list(train.class_names)}; give the real images as --reference"
        )
    shape = (generator.channels, generator.image_size)
    if shape != (train.channels, train.image_size):
        raise InputError(
            f"synthetic and real images must have the same channels and size: {where} has {shape}, "
            f"{splits.record.source} has {(train.channels, train.image_size)}"
        )
    if generator.split.source_fingerprint != splits.record.source_fingerprint:
        log(
            f"warning: the generator of {where} was trained on other images ({generator.split.source}), so copies of "
            f"those are not found: they are looked for among those of {splits.record.source}"
        )
    elif generator.split.held_out_fingerprint != splits.record.held_out_fingerprint:
        raise InputError(
            f"{where}: {leak(generator.split, splits.record)}; nothing could be compared with them. Leave --split-seed "
            "out to take its own"
        )
    elif generator.split.train_fingerprint != splits.record.train_fingerprint:
        log(
            f"warning: the generator of {where} was trained on {sum(generator.split.class_counts)} images, here "
            f"{len(train)} are in use: copies of the others are not found"
        )


def of_label(probabilities: Float[Tensor, "n k"], labels: Int64[Tensor, " n"]) -> Float[Tensor, " n"]:
    """The probability that each image is given of its label."""
    return probabilities.gather(1, labels[:, None])[:, 0]


def open_judge(config: JudgingConfig, splits: Splits, runtime: Runtime) -> RealClassifier:
    """The classifier that recognises images: the one given, or one trained on the real training images.

    Raises:
        InputError: If the one given is for other images, or has seen more than the real training images.
        DamageError: If a file of it is damaged.
    """
    if config.judge is not None:
        if config.judge_steps is not None:
            raise InputError("--judge-steps is about a judge that is trained: give it or --judge, not both")
        network, card = read_classifier(config.judge)
        check_judge(config.judge, card, splits)
        return RealClassifier(network.to(runtime.device), card, str(config.judge), runtime.device)
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
    return RealClassifier(network.to(runtime.device), card, "trained for this", runtime.device)


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
