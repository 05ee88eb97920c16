"""What a classifier learns from a set alone: trained on synthetic images, tested on real ones."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from synthaug.classifiers.networks import build_network
from synthaug.classifiers.recipes import Recipe
from synthaug.classifiers.task import predict, train_classifier
from synthaug.core.console import progress
from synthaug.core.runtime import Runtime
from synthaug.core.seeding import derive_seed
from synthaug.core.types import LabelledImages
from synthaug.data.datamodule import MixedDataModule
from synthaug.data.mixture import Mixture
from synthaug.data.splits import Splits
from synthaug.metrics.estimates import bootstrap_mean
from synthaug.workflows.evaluate.figures import measured
from synthaug.workflows.evaluate.records import AccuracyScore


def accuracy_scores(
    splits: Splits, sets: Mapping[str, LabelledImages], recipe: Recipe, seeds: range, runtime: Runtime, *, name: str
) -> dict[str, AccuracyScore]:
    """Trains on each set alone and on the real training images alone, for as many steps, and tests on real images.

    Validation, which chooses among the weights of a training, is of real images for all.

    Args:
        splits: The real images.
        sets: The synthetic ones by name.
        recipe: Network and training settings; its steps are those of the real training images.
        seeds: Of initialisation and order, the same for all.
        runtime: Device and precision.
        name: Of the recipe.
    """
    recipe = recipe.sized(len(splits.train))
    steps = recipe.steps or 0
    kinds: dict[str | None, Splits] = {None: splits}
    kinds |= {one: replace(splits, train=images) for one, images in sets.items()}
    right: dict[str | None, Float[Tensor, " n"]] = {}
    with progress("training on real, on synthetic images", len(kinds) * len(seeds) * steps) as advance:
        for number, (kind, parts) in enumerate(kinds.items()):
            done = number * len(seeds) * steps
            each = [
                _is_right(parts, recipe, seed, runtime, _after(advance, done + place * steps))
                for place, seed in enumerate(seeds)
            ]
            right[kind] = torch.stack(each).mean(dim=0)
    real = right[None]
    return {one: _score(real, right[one], splits, recipe, len(seeds), name) for one in sets}


def _after(advance: Callable[[int], None], base: int) -> Callable[[int], None]:
    return lambda done: advance(base + done)


def _is_right(
    splits: Splits, recipe: Recipe, seed: int, runtime: Runtime, on_step: Callable[[int], None]
) -> Float[Tensor, " n"]:
    """Which test images a classifier of these training images gets right: 1 or 0."""
    train = splits.train
    mixture = Mixture(batch_size=recipe.batch_size, transform=recipe.transform, seed=derive_seed("batches", seed))
    data = MixedDataModule(splits, None, mixture)
    network = build_network(
        recipe.architecture,
        channels=train.channels,
        classes=len(train.class_names),
        seed=derive_seed("initialise", seed),
    )
    with tempfile.TemporaryDirectory() as scratch:
        trained = train_classifier(network, data, recipe, runtime=runtime, root=Path(scratch), on_step=on_step)
    predicted = predict(trained.network, splits.test.images, runtime, preparation=data.preparation).argmax(dim=1)
    return (predicted == splits.test.labels).double()


def _score(
    real: Float[Tensor, " n"], synthetic: Float[Tensor, " n"], splits: Splits, recipe: Recipe, seeds: int, name: str
) -> AccuracyScore:
    test, gap = splits.test, real - synthetic
    groups = [gap, *(gap[test.labels == label] for label in range(len(test.class_names)))]
    values = [measured(partial(bootstrap_mean, group), len(group), len(group)) for group in groups]
    return AccuracyScore(
        recipe=name,
        steps=recipe.steps or 0,
        seeds=seeds,
        test=len(test),
        synthetic=float(synthetic.mean()),
        real=float(real.mean()),
        gap=values[0],
        per_class=tuple(values[1:]),
    )
