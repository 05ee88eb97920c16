"""What `explain` is asked for: its settings, and the classifiers and images that they name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
from jaxtyping import UInt8
from pydantic import BeforeValidator, Field
from torch import Tensor

from synthaug.classifiers.networks import ImageClassifier
from synthaug.classifiers.saved import ClassifierCard, read_classifier
from synthaug.core.console import log
from synthaug.core.errors import InputError
from synthaug.core.pixels import channel_statistics
from synthaug.core.runtime import Runtime
from synthaug.core.storage import check_folder
from synthaug.core.types import LabelledImages
from synthaug.data.preparation import Preparation
from synthaug.data.splits import Splits, leak
from synthaug.workflows.config import DataConfig
from synthaug.workflows.explain.records import ClassifierFacts

#: All figures; marks a folder as an explanation.
RECORD_NAME = "explained.json"
BaselineName = Literal["black", "grey", "mean"]
WhichName = Literal["spread", "wrong", "disagree"]
#: Folders; one may stand alone.
Folders = Annotated[
    tuple[Path, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str | Path) else value)
]


class ExplainConfig(DataConfig):
    """Settings of `synthaug explain`; the field descriptions are the help texts."""

    checkpoint: Folders = Field(min_length=1, description="Folder of a classifier; repeat the flag to compare several.")
    out: Path = Field(description="Folder for the page, the picture and the figures.")
    count: int = Field(12, ge=1, le=100, description="Test images to explain, of all classes as evenly as can be.")
    which: WhichName = Field(
        "spread",
        description="Any test images, those that the first classifier gets wrong, or those on which they disagree.",
    )
    baseline: BaselineName = Field(
        "black",
        description="Image that integrated gradients compare with: black, grey (128) or the mean of the real training "
        "images.",
    )
    integration_steps: int | None = Field(
        None, ge=1, description="Points on the way from that image; 32 to 512 if not given, until the sum is right."
    )
    precision: Literal["auto", "fp32"] = Field(
        "auto", description="Always fp32: the sums of integrated gradients need it."
    )

    def runtime(self) -> Runtime:
        """The device, in float32."""
        return Runtime.resolve(self.device, "fp32")


@dataclass(frozen=True, eq=False)
class Subject:
    """A classifier to explain.

    Attributes:
        name: What to call it.
        network: In evaluation mode.
        card: What is known of it.
        preparation: From pixels to what it sees.
    """

    name: str
    network: ImageClassifier
    card: ClassifierCard
    preparation: Preparation

    def facts(self, folder: Path) -> ClassifierFacts:
        """What the page says of it."""
        card, architecture = self.card, self.card.architecture
        attention = "" if architecture.attention == "none" else f" with {architecture.attention} attention"
        return ClassifierFacts(
            name=self.name,
            folder=str(folder),
            network=f"{architecture.network}{attention}",
            steps=card.steps,
            train=sum(card.split.class_counts),
            synthetic=card.synthetic,
            validation_accuracy=card.validation_accuracy,
            test_accuracy=card.test_accuracy,
        )


@dataclass(frozen=True, eq=False)
class Inputs:
    """Everything that is read before anything is computed.

    Attributes:
        subjects: The classifiers.
        facts: What is known of each.
        splits: The real images.
        runtime: Where to compute.
    """

    subjects: tuple[Subject, ...]
    facts: tuple[ClassifierFacts, ...]
    splits: Splits
    runtime: Runtime

    @classmethod
    def of(cls, config: ExplainConfig) -> Inputs:
        """Reads classifiers and images, and warns of classifiers that may have learned these test images.

        Raises:
            InputError: If a classifier is missing, or for other images than these.
            DamageError: If a file of a classifier is damaged.
        """
        if config.which == "disagree" and len(config.checkpoint) < 2:
            raise InputError("--which disagree needs at least two --checkpoint, found one")
        runtime = config.runtime()
        check_folder(config.out, marker=RECORD_NAME, kind="earlier explanation")
        names = _names(config.checkpoint)
        read = [read_classifier(folder) for folder in config.checkpoint]
        splits = config.splits()
        subjects = []
        for folder, name, (network, card) in zip(config.checkpoint, names, read, strict=True):
            _check_fits(folder, card, splits.test, config.data)
            _warn_of_leaks(folder, card, splits)
            preparation = Preparation(**card.preparation.model_dump())
            subjects.append(Subject(name, network.requires_grad_(False).to(runtime.device), card, preparation))
        facts = [subject.facts(folder) for subject, folder in zip(subjects, config.checkpoint, strict=True)]
        return cls(tuple(subjects), tuple(facts), splits, runtime)


def baseline_image(name: BaselineName, train: LabelledImages) -> UInt8[Tensor, "1 c s s"]:
    """An image of one colour.

    Args:
        name: black, grey (128), or the mean colour of the real training images, rounded.
        train: The real training images.
    """
    if name == "mean":
        colour = channel_statistics(train.images)[0].round()
    else:
        colour = torch.full((train.channels,), 0.0 if name == "black" else 128.0)
    size = train.image_size
    return colour.to(torch.uint8).view(1, -1, 1, 1).repeat(1, 1, size, size)


def _names(folders: Sequence[Path]) -> list[str]:
    """The folders' own names if they tell them apart, otherwise the whole paths."""
    places = [folder.absolute() for folder in folders]
    if len(set(places)) < len(places):
        raise InputError(f"--checkpoint: different classifiers are needed, found {', '.join(map(str, folders))}")
    short = [place.name for place in places]
    return short if len(set(short)) == len(short) else [str(folder) for folder in folders]


def _check_fits(folder: Path, card: ClassifierCard, images: LabelledImages, spec: str) -> None:
    def described(class_names: tuple[str, ...], channels: int, size: int) -> str:
        shown = ", ".join(class_names[:12]) + (", ..." if len(class_names) > 12 else "")
        return f"{'grey' if channels == 1 else 'RGB'} images of {size} pixels of {len(class_names)} classes ({shown})"

    own = (card.class_names, card.channels, card.image_size)
    given = (images.class_names, images.channels, images.image_size)
    if own != given:
        raise InputError(
            f"--checkpoint {folder} is a classifier of {described(*own)}; {spec} has {described(*given)}. Give the "
            "--data and --image-size that it was trained with"
        )


def _warn_of_leaks(folder: Path, card: ClassifierCard, splits: Splits) -> None:
    """A classifier may have seen more training images than these, but none of the test images."""
    for split, whose in ((card.split, "it"), *((split, "what it began from") for split in card.ancestors)):
        reason = leak(split, splits.record.model_copy(update={"class_counts": split.class_counts}), whose=whose)
        if reason is not None:
            log(f"warning: {folder}: {reason}; images that a classifier has learned may say little of new ones")
