"""Classifiers on disk: `classifier.safetensors` beside `classifier.json`."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save

from synthaug.classifiers.networks import Architecture, ImageClassifier, build_network
from synthaug.core.errors import DamageError, InputError
from synthaug.core.storage import write_bytes, write_json
from synthaug.core.types import SplitRecord

WEIGHTS_NAME = "classifier.safetensors"
CARD_NAME = "classifier.json"


class PreparationRecord(BaseModel):
    """From stored pixels to what the network sees; see `synthaug.data.preparation`.

    Attributes:
        mean: Mean of each channel in units of uint8, taken to 0; None where [0, 255] goes to [-1, 1].
        deviation: Standard deviation of each channel, taken to 1; None without a mean.
        input_size: Height and width that images are resized to; None leaves them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: tuple[float, ...] | None = None
    deviation: tuple[float, ...] | None = None
    input_size: int | None = None


class ClassifierCard(BaseModel):
    """What must be known of a saved classifier to use it and to judge where it may be used.

    Attributes:
        architecture: What it is built of.
        class_names: Names in label order.
        channels: Channels of its images.
        image_size: Their height and width, before its preparation.
        preparation: From pixels to what it sees.
        recipe: How it was trained.
        split: What it was trained on, and what was held out.
        synthetic: The synthetic sets in its training, and in those of the classifiers it began from.
        pretrained: Where its weights began; None for new ones.
        ancestors: Splits of the classifiers it began from.
        steps: Optimiser steps taken.
        validation_accuracy: Of its weights.
        test_accuracy: Likewise; None if it was never tested.
        weights_sha256: Of the file of weights.
        environment: Hardware and versions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    architecture: Architecture
    class_names: tuple[str, ...]
    channels: int
    image_size: int
    preparation: PreparationRecord
    recipe: dict[str, Any]
    split: SplitRecord
    synthetic: tuple[str, ...]
    pretrained: str | None
    ancestors: tuple[SplitRecord, ...]
    steps: int
    validation_accuracy: float
    test_accuracy: float | None
    weights_sha256: str
    environment: dict[str, str]


def weights_of(network: ImageClassifier) -> bytes:
    """A network's weights as the contents of a safetensors file."""
    return save({name: value.cpu().contiguous() for name, value in network.state_dict().items()})


def write_classifier(folder: Path, weights: bytes, card: ClassifierCard) -> None:
    """Writes a classifier; the card comes last."""
    write_bytes(folder / WEIGHTS_NAME, weights)
    write_json(folder / CARD_NAME, card.model_dump(mode="json"))


def read_classifier(folder: Path) -> tuple[ImageClassifier, ClassifierCard]:
    """A saved classifier, in evaluation mode, on the CPU.

    Raises:
        InputError: If there is none.
        DamageError: If a file of it is damaged.
    """
    path = folder / CARD_NAME
    try:
        card = ClassifierCard.model_validate(json.loads(path.read_text(encoding="utf-8")))
        data = (folder / WEIGHTS_NAME).read_bytes()
    except OSError as error:
        raise InputError(
            f"{folder} holds no classifier ({CARD_NAME} and {WEIGHTS_NAME}); make one: synthaug classify --out DIR"
        ) from error
    except (ValueError, ValidationError) as error:
        raise DamageError(f"{path} is damaged or of another version; train the classifier again") from error
    if hashlib.sha256(data).hexdigest() != card.weights_sha256:
        raise DamageError(f"{folder / WEIGHTS_NAME} is damaged: its sha256 is not the one in {CARD_NAME}")
    try:
        network = build_network(card.architecture, channels=card.channels, classes=len(card.class_names), seed=0)
        network.load_state_dict(load(data))
    except (KeyError, RuntimeError, SafetensorError) as error:
        raise DamageError(f"{folder}: {CARD_NAME} and {WEIGHTS_NAME} are not of one classifier") from error
    return network.eval(), card
