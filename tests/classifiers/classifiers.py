"""Saved classifiers that nobody trained."""

import hashlib
from pathlib import Path
from typing import Any

from synthaug.classifiers.networks import Architecture, ImageClassifier
from synthaug.classifiers.saved import ClassifierCard, PreparationRecord, weights_of, write_classifier
from synthaug.data.sources import load_source
from synthaug.data.splits import make_splits


def save(network: ImageClassifier, architecture: Architecture, folder: Path, **changes: Any) -> ClassifierCard:
    """Writes a classifier of digits with a card that says so, and gives that."""
    weights = weights_of(network)
    settings = {
        "architecture": architecture.settings(),
        "class_names": tuple("0123456789"),
        "channels": 1,
        "image_size": 8,
        "preparation": PreparationRecord(),
        "recipe": {"steps": 1},
        "split": make_splits(load_source("digits"), per_class_real=20).record,
        "synthetic": (),
        "pretrained": None,
        "ancestors": (),
        "steps": 1,
        "validation_accuracy": 0.5,
        "test_accuracy": 0.5,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "environment": {},
    }
    card = ClassifierCard(**{**settings, **changes})
    write_classifier(folder, weights, card)
    return card
