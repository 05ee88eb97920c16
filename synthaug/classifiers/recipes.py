"""Named settings for training a classifier."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from synthaug.core.registry import Registry

OptimiserName = Literal["sgd", "adam"]


@dataclass(frozen=True)
class Recipe:
    """How to train a classifier.

    Attributes:
        purpose: What it is for.
        network: Name of the network.
        steps: Optimiser steps.
        batch_size: Images per step.
        optimiser: `sgd` (Nesterov momentum, cycled between 0.95 and 0.85 against the rate) or `adam`.
        learning_rate: Peak of the one-cycle schedule.
        weight_decay: L2 penalty.
        label_smoothing: Share of the target spread evenly over all classes.
    """

    purpose: str
    network: str
    steps: int
    batch_size: int
    optimiser: OptimiserName
    learning_rate: float
    weight_decay: float
    label_smoothing: float


RECIPES: Registry[Recipe] = Registry(
    "recipe",
    {
        "fast": Recipe(
            "ResNet-20; seconds on digits, minutes on CIFAR-10 with two CPU cores",
            network="resnet20", steps=400, batch_size=64,
            optimiser="sgd", learning_rate=0.1, weight_decay=5e-4, label_smoothing=0.0,
        ),
        "survey": Recipe(
            "ResNet-18, 50 epochs of CIFAR-10; a GPU",
            network="resnet18", steps=19_550, batch_size=128,
            optimiser="sgd", learning_rate=0.1, weight_decay=5e-4, label_smoothing=0.0,
        ),
    },
)  # fmt: skip


def recipe_settings(recipe: Recipe) -> dict[str, Any]:
    """The choices of a recipe, without its purpose."""
    return {name: value for name, value in asdict(recipe).items() if name != "purpose"}
