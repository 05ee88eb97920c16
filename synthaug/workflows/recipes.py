"""The settings that say how a classifier is trained: a recipe, and one flag for each of its numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, ClassVar

import torch
from pydantic import BeforeValidator, Field

from synthaug.classifiers.networks import AttentionName, ImageClassifier, build_network
from synthaug.classifiers.pretrained import IMAGENET, PretrainedWeights
from synthaug.classifiers.recipes import RECIPES, OptimiserName, Recipe, ScheduleName
from synthaug.classifiers.resnet import StemName
from synthaug.classifiers.task import progressive_size
from synthaug.core.console import log
from synthaug.core.errors import InputError
from synthaug.core.runtime import Runtime
from synthaug.core.seeding import derive_seed
from synthaug.core.types import SplitRecord
from synthaug.data.preparation import Preparation
from synthaug.data.splits import Splits, leak
from synthaug.workflows.config import DataConfig

#: A number, or text like 0:1,10:4.
_Factors = Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, int) else value)]
#: Networks that torchvision has weights for.
_OF_TORCHVISION = ("resnet18", "resnet34")
#: Below this many pixels, a stem that divides by four leaves a network nothing to see.
_LEAST_FOR_IMAGENET_STEM = 64


class RecipeConfig(DataConfig):
    """Settings of a workflow that trains classifiers: a recipe and what replaces its numbers."""

    panel: ClassVar = "Training"
    recipe: str = Field("fast", description="Network and training settings; see `synthaug models`.")
    network: str | None = Field(None, description="Network, instead of the recipe's; see `synthaug models`.")
    stem: StemName | None = Field(
        None,
        description="How resnet18 and resnet34 take images in: small keeps their size, imagenet divides it by four.",
    )
    attention: AttentionName | None = Field(
        None, description="Attention over the network's maps: graph (additive), self (classical) or none."
    )
    attention_patch: int | None = Field(None, description="Side of the patches of maps that attention sees.")
    attention_heads: int | None = Field(None, description="Heads of the attention.")
    pretrained: str | None = Field(
        None,
        description="Weights to begin with: imagenet (torchvision's, downloaded), the folder of a classifier, or a "
        "file of weights in torchvision's layout.",
    )
    freeze: float | None = Field(
        None,
        description="Share of the steps in which pretrained weights stay as they are; 1 trains new ones only (the last "
        "layer, if none is new).",
    )
    steps: int | None = Field(None, description="Optimiser steps, instead of the recipe's epochs.")
    epochs: float | None = Field(None, description="Passes through the real images, instead of the recipe's.")
    batch_size: int | None = Field(None, description="Images per step, instead of the recipe's.")
    optimiser: OptimiserName | None = Field(None, description="Optimiser, instead of the recipe's.")
    learning_rate: float | None = Field(None, description="Peak learning rate, instead of the recipe's.")
    schedule: ScheduleName | None = Field(None, description="Learning-rate schedule, instead of the recipe's.")
    weight_decay: float | None = Field(None, description="L2 penalty, instead of the recipe's.")
    label_smoothing: float | None = Field(None, description="Share of each target spread over all classes.")
    gradient_clip: float | None = Field(None, description="Largest norm of a gradient; 0 does not clip.")
    accumulate: _Factors | None = Field(
        None, description="Batches whose gradients make up a step: a number, or numbers from epochs on like 0:1,10:4."
    )
    swa: float | None = Field(
        None,
        description="Stochastic weight averaging: learning rate of the last quarter of the steps, over which weights "
        "are averaged; 0 is off.",
    )
    ema: float | None = Field(
        None, description="Decay of an exponential moving average of the weights, like 0.99; 0 is off."
    )
    progressive: float | None = Field(
        None, description="Train on images of this share of their size for three fifths of the steps; 1 is off."
    )
    validations: int | None = Field(None, description="Validations over the whole training.")
    deterministic: bool = Field(False, description="Refuse operations that are not repeatable bit by bit on a GPU.")
    compile: bool = Field(
        False,
        description="Compile the network first (torch.compile), which takes a minute; whether it pays depends on the "
        "machine.",
    )
    accept_init: bool = Field(
        False,
        description="Accept a generator, or a classifier given as --pretrained, that began with other images, known to "
        "hold none of these.",
    )

    def runtime(self) -> Runtime:
        """Device and precision, resolved."""
        return Runtime.resolve(self.device, self.precision, compiled=self.compile, deterministic=self.deterministic)

    def resolved_recipe(self) -> Recipe:
        """The recipe with the given numbers in place; its steps may still depend on the number of images.

        Raises:
            InputError: If a name is unknown or a number out of range.
        """
        recipe = RECIPES.get(self.recipe)
        names = [name for name in Recipe.__dataclass_fields__ if name in type(self).model_fields]
        chosen = {name: value for name in names if (value := getattr(self, name)) is not None}
        if self.steps is not None and self.epochs is not None:
            raise InputError(f"--steps and --epochs both say how long to train, found {self.steps} and {self.epochs}")
        if self.epochs is not None:
            chosen["least_steps"] = 1
        if self.pretrained is None and self.freeze:
            raise InputError("--freeze is about pretrained weights: give --pretrained too")
        recipe = replace(recipe, **chosen)
        if self.pretrained is not None and self._is_torchvision():
            if recipe.network not in _OF_TORCHVISION:
                raise InputError(
                    f"--pretrained {self.pretrained}: there are weights for {' and '.join(_OF_TORCHVISION)}, "
                    f"not for {recipe.network}; choose another --network"
                )
            recipe = recipe if self.stem is not None else replace(recipe, stem="imagenet")
        for name in ("attention_patch", "attention_heads"):
            if getattr(self, name) is not None and recipe.attention == "none":
                raise InputError(f"--{name.replace('_', '-')} is about attention: give --attention graph or self too")
        recipe.check()
        return recipe

    def pretrained_weights(self, recipe: Recipe, splits: Splits) -> PretrainedWeights | None:
        """The weights to begin with, if any, after checking that they have not seen images held out here.

        Raises:
            InputError: If there are none such, or nothing shows that they may be used.
            DamageError: If a file is damaged.
        """
        if self.pretrained is None:
            return None
        found = PretrainedWeights.find(self.pretrained, recipe.architecture)
        if found.card is not None:
            for seen in (found.card.split, *found.card.ancestors):
                self._check_origin(found.name, seen, splits.record)
        elif not found.is_known and not self.accept_init:
            raise InputError(
                f"--pretrained {found.name}: nothing shows what these weights were trained on, nor that it was no "
                "validation or test image of this split. If you know that it was none, give --accept-init."
            )
        if recipe.stem == "imagenet" and self._seen_size(splits) < _LEAST_FOR_IMAGENET_STEM:
            log(
                f"warning: the stem of ImageNet's networks leaves little of {self._seen_size(splits)} pixels; give "
                "larger images, or --stem small"
            )
        return found

    def new_network(
        self, recipe: Recipe, splits: Splits, seed: int, pretrained: PretrainedWeights | None
    ) -> tuple[ImageClassifier, set[str]]:
        """A network with its first weights, and the names of those that may be frozen: the pretrained ones.

        Raises:
            InputError: If pretrained weights are of another network, or images too small for it.
        """
        train = splits.train
        network = build_network(
            recipe.architecture,
            channels=train.channels,
            classes=len(train.class_names),
            seed=derive_seed("initialise", seed),
        )
        if recipe.attention != "none":  # refuses maps that cannot be cut into its patches
            full = self._seen_size(splits)
            with torch.no_grad():
                for size in {full, progressive_size(full, recipe.progressive, 0.0)}:
                    network.eval()(torch.zeros(1, train.channels, size, size))
            network.train()
        names = set() if pretrained is None else pretrained.load_into(network, train.class_names)
        if names == network.state_dict().keys():  # nothing else would be left to learn while they are frozen
            names = {name for name in names if not name.startswith("head.")}
        return network, names

    def _is_torchvision(self) -> bool:
        """Whether the weights to begin with are ImageNet's, or a file."""
        return self.pretrained == IMAGENET or (self.pretrained is not None and Path(self.pretrained).is_file())

    def _seen_size(self, splits: Splits) -> int:
        return getattr(self, "input_size", None) or splits.train.image_size

    def warn_of_preparation(self, pretrained: PretrainedWeights | None, preparation: Preparation) -> None:
        """Says so if pretrained weights have learned to see images otherwise than they are shown here."""
        if pretrained is None or pretrained.card is None:
            return
        before = Preparation(**pretrained.card.preparation.model_dump())
        if (before.mean is None) != (preparation.mean is None) or before.input_size != preparation.input_size:
            log(
                f"warning: {pretrained.name} was trained on images prepared otherwise ({before.settings()}) than here "
                f"({preparation.settings()}); see --normalise and --input-size"
            )

    def _check_origin(self, name: str, seen: SplitRecord, record: SplitRecord) -> None:
        if seen.source_fingerprint != record.source_fingerprint:
            if not self.accept_init:
                raise InputError(
                    f"--pretrained {name} was trained on other images ({seen.source}); nothing shows that they hold no "
                    "validation or test images of this split. If you know that they do not, give --accept-init."
                )
        elif reason := leak(seen, record, whose="it"):
            raise InputError(f"--pretrained {name} must not be used with this split: {reason}")
