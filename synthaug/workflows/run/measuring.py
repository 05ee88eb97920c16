"""Measures how fast this machine is at each stage, by short trials that leave nothing behind; decides nothing."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from synthaug.classifiers.networks import build_network
from synthaug.classifiers.recipes import PROGRESSIVE_SHARE, Recipe
from synthaug.classifiers.task import TrainedClassifier, predict, train_classifier
from synthaug.core.console import stderr
from synthaug.core.runtime import Runtime, computing_threads
from synthaug.data.corruptions import CORRUPTIONS
from synthaug.data.datamodule import MixedDataModule
from synthaug.data.mixture import Mixture
from synthaug.data.splits import Splits
from synthaug.generators.base import TrainRequest, load_backend
from synthaug.generators.checkpoint import read_card
from synthaug.workflows.bench.tested import MOST_CORRUPTED
from synthaug.workflows.estimate import EstimateConfig, estimate

#: Steps that no trial comes to.
_ENDLESS = 1_000_000
#: Images that are classified to see how long one takes.
_CLASSIFIED = 256
#: Images drawn at once in a trial.
_DRAWN = 32
#: A judge looks at an image for its class, for its features, and beside its neighbours.
_LOOKS = 2.5


@dataclass(frozen=True)
class ClassifierSpeed:
    """How fast a classifier is.

    Attributes:
        step: Seconds of an optimiser step, the mean over a training.
        image: Seconds to classify an image.
        overhead: Seconds of a training besides steps and images classified.
    """

    step: float
    image: float
    overhead: float

    def cell(self, recipe: Recipe, splits: Splits) -> float:
        """Seconds of a training and its test besides its steps."""
        classified = recipe.validations * len(splits.validation) + len(splits.test)
        return self.overhead + classified * self.image

    def corruptions(self, splits: Splits) -> float:
        """Seconds of a test on corrupted images."""
        return len(CORRUPTIONS.names()) * min(MOST_CORRUPTED, len(splits.test)) * self.image

    @property
    def judging(self) -> float:
        """Seconds in which a classifier judges an image."""
        return _LOOKS * self.image


@dataclass(frozen=True)
class GeneratorSpeed:
    """How fast a generator is.

    Attributes:
        training: Images shown to it per second.
        drawing: Images drawn per second.
        preset_images: Images that its preset shows to it.
        is_watched: Whether it has a judge trained that watches its training.
    """

    training: float
    drawing: float
    preset_images: int
    is_watched: bool


def trial_seconds(budget: float) -> float:
    """How long one trial takes: a fiftieth of the budget, but a second at least and ten at most."""
    return min(10.0, max(1.0, budget / 50))


def measure_classifier(
    splits: Splits, recipe: Recipe, runtime: Runtime, seconds: float, *, threads: int | None = None
) -> ClassifierSpeed:
    """Trains a classifier for some seconds.

    Args:
        splits: The real images; those to test on are not touched.
        recipe: How it is trained.
        runtime: Device and precision.
        seconds: How long.
        threads: Processors that it may use; None leaves that as it is.
    """
    trial = replace(recipe, steps=_ENDLESS, validations=1, progressive=1.0)
    with _quiet(), computing_threads(threads):
        _train(splits, replace(trial, steps=2), runtime, seconds)  # compiles kernels, warms caches
        began = time.monotonic()
        trained = _train(splits, trial, runtime, seconds)
        wall = time.monotonic() - began
        image = _seconds_an_image(trained.network, splits, runtime)
    step = recipe.batch_size / max(1e-9, trained.images_per_second)
    overhead = max(0.0, wall - trained.steps * step - len(splits.validation) * image)
    # Half the pixels on each side are a quarter of the work, or a little more.
    small = PROGRESSIVE_SHARE * recipe.progressive**2 + 1 - PROGRESSIVE_SHARE
    return ClassifierSpeed(step * small, image, overhead)


def _train(splits: Splits, recipe: Recipe, runtime: Runtime, seconds: float) -> TrainedClassifier:
    train, mixture = splits.train, Mixture(batch_size=recipe.batch_size, transform=recipe.transform)
    network = build_network(recipe.architecture, channels=train.channels, classes=len(train.class_names), seed=0)
    data = MixedDataModule(replace(splits, test=splits.validation), mixture=mixture)
    with tempfile.TemporaryDirectory() as scratch:
        return train_classifier(
            network, data, recipe, runtime=runtime, root=Path(scratch), on_step=lambda _: None, max_time=seconds
        )


def _seconds_an_image(network: nn.Module, splits: Splits, runtime: Runtime) -> float:
    few = splits.validation.images[:_CLASSIFIED]
    few = few.repeat(-(-_CLASSIFIED // len(few)), 1, 1, 1)[:_CLASSIFIED]
    predict(network, few, runtime)  # compiles kernels, warms caches
    began = time.perf_counter()
    predict(network, few, runtime)
    return (time.perf_counter() - began) / _CLASSIFIED


def measure_generator(
    splits: Splits, model: str, preset: str | None, guidance: float | None, runtime: Runtime, seconds: float
) -> GeneratorSpeed:
    """Trains a generator for some seconds, and draws from it.

    Args:
        splits: The real images.
        model: Kind of generator.
        preset: Its preset; None leaves it to the generator.
        guidance: Guidance of its sampler; None likewise.
        runtime: Device and precision.
        seconds: How long it is trained.

    Raises:
        InputError: If there is no such generator, or it does not make such images.
    """
    with _quiet(), tempfile.TemporaryDirectory() as scratch:
        request = TrainRequest(
            images=splits.train,
            split=splits.record,
            allows_flip=splits.allows_flip,
            preset=preset,
            out=Path(scratch) / "trial",
            runtime=runtime,
            max_time=seconds,
            grid_every=1 << 40,
            logger="csv",
        )
        backend = load_backend(model)
        plan = backend.plan(request)
        folder = backend.train(request)
        drawn = estimate(
            EstimateConfig.resolve(
                {
                    "model": str(folder),
                    "per_class": _DRAWN,
                    "batch_size": _DRAWN,
                    "batches": 1,
                    "guidance": guidance,
                    "device": runtime.device,
                    "precision": runtime.precision,
                }
            )
        )
        training = read_card(folder).training
    return GeneratorSpeed(
        training=training.images_per_second,
        drawing=drawn.images_per_second,
        preset_images=plan.images,
        is_watched=plan.watch_every is not None,
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No progress of trials, which are none."""
    before, stderr.quiet = stderr.quiet, True
    try:
        yield
    finally:
        stderr.quiet = before
