"""Named settings for training a classifier; every trick is one of their numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from synthaug.classifiers.networks import NETWORKS, Architecture, AttentionName
from synthaug.classifiers.resnet import StemName
from synthaug.core.errors import InputError
from synthaug.core.registry import Registry

OptimiserName = Literal["sgd", "adam", "adamw", "muon"]
ScheduleName = Literal["onecycle", "cosine", "linear", "step", "constant"]
_FACTORS = re.compile(r"^\d+(?::\d+(?:,\d+:\d+)*)?$")


@dataclass(frozen=True)
class Recipe:
    """How to train a classifier.

    Attributes:
        purpose: What it is for.
        network: Name of the network.
        batch_size: Images per step (per backward pass, where gradients are accumulated).
        optimiser: `sgd` (Nesterov momentum), `adam`, `adamw` or `muon` (AdamW for what is no matrix).
        learning_rate: Peak of the schedule.
        weight_decay: L2 penalty; decoupled from the gradient for `adamw` and `muon`.
        epochs: Passes through the real training images; decides the steps unless these are given.
        least_steps: Steps at least, for sets that are passed through quickly.
        steps: Optimiser steps, whatever the number of images; None leaves it to `epochs`.
        expected: Accuracy and time to expect, and on what.
        stem: How the network takes images in.
        attention: Attention over the network's maps: `graph`, `self` or `none`.
        attention_patch: Side of the patches of maps that attention sees.
        attention_heads: Heads of the attention.
        schedule: `onecycle` (up and down, momentum of sgd and adam against it), `cosine` or `linear` (down to 0),
            `step` (a tenth after half, a hundredth after three quarters of the steps) or `constant`.
        label_smoothing: Share of the target spread evenly over all classes.
        gradient_clip: Largest norm of the gradient; 0 does not clip.
        accumulate: Backward passes per step: a number, or numbers from epochs on like `0:4,5:1`.
        swa: Learning rate of the last quarter of the steps, over which weights are averaged; 0 does not average.
        ema: Decay of an exponential moving average of the weights; 0 does not average.
        early_stopping: Validations without a better one after which the training ends; 0 trains to the end.
        validations: Validations over the whole training.
        progressive: Size of the images in the first `PROGRESSIVE_SHARE` of the steps, as a share of the full one; 1 is
            off.
        freeze: Share of the steps in which pretrained weights stay as they are; 1 trains new ones only.
        transform: Classic augmentation.
    """

    purpose: str
    network: str
    batch_size: int
    optimiser: OptimiserName
    learning_rate: float
    weight_decay: float
    epochs: float = 1.0
    least_steps: int = 1
    steps: int | None = None
    expected: str = ""
    stem: StemName = "small"
    attention: AttentionName = "none"
    attention_patch: int = 1
    attention_heads: int = 4
    schedule: ScheduleName = "onecycle"
    label_smoothing: float = 0.0
    gradient_clip: float = 0.0
    accumulate: str = "1"
    swa: float = 0.0
    ema: float = 0.0
    early_stopping: int = 0
    validations: int = 8
    progressive: float = 1.0
    freeze: float = 0.0
    transform: str = "basic"

    @property
    def architecture(self) -> Architecture:
        """What the network is built of."""
        return Architecture.of(asdict(self))

    def sized(self, images: int) -> Recipe:
        """The recipe with its number of steps, for so many real training images."""
        if self.steps is not None:
            return self
        batches = max(1, images // self.batch_size)
        factors = accumulation(self.accumulate)
        steps, whole = 0.0, math.ceil(self.epochs)
        for epoch in range(whole):
            part = min(1.0, self.epochs - epoch)
            steps += part * -(-batches // factor_at(factors, epoch))
        return replace(self, steps=max(self.least_steps, math.ceil(steps)))

    def check(self) -> None:
        """Refuses what no training can be made of.

        Raises:
            InputError: If a name is unknown or a number out of range.
        """
        NETWORKS.get(self.network)
        accumulation(self.accumulate)
        least = {"steps": 1, "epochs": 0, "batch_size": 2, "learning_rate": 0, "weight_decay": 0, "gradient_clip": 0}
        least |= {"swa": 0, "early_stopping": 0, "validations": 1, "attention_patch": 1, "attention_heads": 1}
        for name, lowest in least.items():
            value = getattr(self, name)
            is_open = name in ("epochs", "learning_rate")
            if value is not None and (not lowest <= value < math.inf or (is_open and value == lowest)):
                wanted = "a positive number" if is_open else f"at least {lowest}"
                wanted += " (batch norm needs two)" if name == "batch_size" else ""
                raise InputError(f"--{name.replace('_', '-')} must be {wanted}, found {value}")
        for name, (low, high) in {"label_smoothing": (0, 0.99), "ema": (0, 0.99999), "freeze": (0, 1)}.items():
            if not low <= getattr(self, name) <= high:
                raise InputError(f"--{name.replace('_', '-')} must lie in {low}..{high}, found {getattr(self, name)}")
        if not 0.25 <= self.progressive <= 1:
            raise InputError(f"--progressive must lie in 0.25..1, found {self.progressive}")
        if self.swa and self.ema:
            raise InputError("weights are averaged in one way: give --swa or --ema, not both")


def accumulation(text: str) -> dict[int, int]:
    """Backward passes per step from each epoch on, from `4` or `0:1,10:4`.

    Raises:
        InputError: If it is neither, a number is 0, or nothing is said of epoch 0.
    """
    if not _FACTORS.match(text):
        raise InputError(f"--accumulate takes a number like 4, or numbers from epochs on like 0:1,10:4; found {text!r}")
    pairs = (pair.split(":") for pair in (text if ":" in text else f"0:{text}").split(","))
    factors = {int(epoch): int(factor) for epoch, factor in pairs}
    if 0 not in factors or min(factors.values()) < 1:
        raise InputError(f"--accumulate needs a number for epoch 0, and none below 1; found {text!r}")
    return factors


def factor_at(factors: Mapping[int, int], epoch: int) -> int:
    """Backward passes per step in an epoch."""
    return factors[max(start for start in factors if start <= epoch)]


#: Share of the steps after which images have their full size.
PROGRESSIVE_SHARE = 0.6


RECIPES: Registry[Recipe] = Registry(
    "recipe",
    {
        "fast": Recipe(
            "a small network, seconds on digits and minutes on CIFAR-10 with two CPU cores",
            network="cifarnet", batch_size=64, optimiser="muon", learning_rate=0.03, weight_decay=1e-3,
            epochs=10.0, least_steps=400, schedule="linear", label_smoothing=0.1, progressive=0.625,
            expected="digits: 99 % in half a minute; CIFAR-10 (JPEG q75): 81 % with --epochs 6, in 6 minutes of two "
            "processors without bfloat16",
        ),
        "survey-50": Recipe(
            "ResNet-18, 50 epochs, as in a survey of techniques for image classification; a GPU",
            network="resnet18", batch_size=128, optimiser="sgd", learning_rate=0.1, weight_decay=5e-4,
            epochs=50.0, transform="survey",
            expected="0.926 on CIFAR-10 is what the survey reports; not measured here yet",
        ),
        "strong": Recipe(
            "ResNet-18, 50 epochs, with what is known to help: strong augmentation, label smoothing, averaging; a GPU",
            network="resnet18", batch_size=128, optimiser="sgd", learning_rate=0.2, weight_decay=5e-4,
            epochs=50.0, transform="strong", label_smoothing=0.1, ema=0.999,
            expected="not measured here yet; DeVries and Taylor 2017 report 96.01 % on CIFAR-10 with cutout after 200 "
            "epochs",
        ),
    },
)  # fmt: skip


def recipe_settings(recipe: Recipe) -> dict[str, Any]:
    """The choices of a recipe, without what it says of itself."""
    return {name: value for name, value in asdict(recipe).items() if name not in ("purpose", "expected")}
