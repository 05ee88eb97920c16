"""One cell of the bench: one arm with one seed, trained, selected on validation and tested once."""

from __future__ import annotations

import functools
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from synthaug.classifiers.pretrained import PretrainedWeights
from synthaug.classifiers.recipes import recipe_settings
from synthaug.classifiers.task import TrainedClassifier, predict, train_classifier
from synthaug.core.errors import InputError, TrainingError
from synthaug.core.runtime import Runtime, computing_threads
from synthaug.core.seeding import derive_seed, generator_for
from synthaug.core.storage import sha256_json
from synthaug.core.types import LabelledImages, spread
from synthaug.data.batch_transforms import TRANSFORMS
from synthaug.data.datamodule import MixedDataModule
from synthaug.data.mixture import Mixture
from synthaug.metrics.agreement import Agreement, agreement
from synthaug.workflows.bench.arms import Arm, judging_arm
from synthaug.workflows.bench.quality import MOST_JUDGED, measure_quality
from synthaug.workflows.bench.record import CellRecord, View
from synthaug.workflows.bench.regimes import Regime
from synthaug.workflows.bench.results import CellResult
from synthaug.workflows.bench.settings import BenchConfig
from synthaug.workflows.bench.tested import open_and_test

#: Changes whenever equal settings would come to other numbers.
_VERSION = 3


class OutOfTimeError(Exception):
    """A cell was ended before it was done; nothing of it counts."""


@dataclass(frozen=True)
class Cell:
    """One training.

    Attributes:
        regime: Its number of real images.
        view: Which steps it takes.
        arm: Its arm.
        seed: Seed of initialisation, order and augmentation.
        key: Hash of everything that decides its numbers.
        judged: Fingerprints of the sets that its classifier has to judge.
    """

    regime: Regime
    view: View
    arm: Arm
    seed: int
    key: str
    judged: tuple[str, ...]

    def names(self) -> dict[str, Any]:
        """What a row says of it, whatever came of it."""
        return {
            "key": self.key,
            "regime": self.regime.name,
            "view": self.view,
            "arm": self.arm.name,
            "seed": self.seed,
        }

    def record(self) -> CellRecord:
        """What the study's file says of it."""
        return CellRecord(key=self.key, judged=self.judged, view=self.view, arm=self.arm.name, seed=self.seed)


@dataclass(frozen=True)
class CellInputs:
    """What all cells share.

    Attributes:
        config: The settings.
        runtime: Device and precision.
        pretrained: Weights to begin with, if any.
    """

    config: BenchConfig
    runtime: Runtime
    pretrained: PretrainedWeights | None

    def shared_settings(self) -> dict[str, Any]:
        """What decides the numbers of every cell, besides its images, its arm and its seed."""
        config, runtime = self.config, self.runtime
        return {
            "pretrained": config.pretrained,
            "pretrained_sha256": None if self.pretrained is None else self.pretrained.sha256(),
            "robustness": config.robustness,
            "threads": config.threads,
            **asdict(runtime),
        }

    def cell(self, regime: Regime, view: View, arm: Arm, seed: int) -> Cell:
        """A cell with its key."""
        judges = arm == judging_arm(regime.arms) and view == "equal steps"
        prints = {one.name: one.images.fingerprint for one in regime.sets}
        decisive = {
            "version": _VERSION,
            "data": regime.splits.record.model_dump(mode="json", exclude={"source"}),
            "flip": regime.splits.allows_flip,
            "sets": [prints[name] for name in arm.sets],
            "arm": arm.model_dump(mode="json", exclude={"name", "meaning", "role", "sets"}),
            "recipe": recipe_settings(regime.recipe_of(view)),
            "seed": seed,
            **self.shared_settings(),
        }
        judged = tuple(prints.values()) if judges else ()
        return Cell(regime, view, arm, seed, sha256_json(decisive)[:16], judged)

    def datamodule(self, cell: Cell) -> MixedDataModule:
        """What a cell trains on; the test images are no part of it.

        Raises:
            InputError: If the images of an arm cannot be mixed.
        """
        regime, arm = cell.regime, cell.arm
        recipe, splits = regime.recipe_of(cell.view), regime.splits
        has_imagenet_statistics = self.pretrained is not None and self.pretrained.is_imagenet
        share: float | str | None = arm.synthetic_fraction or None
        if arm.pretrains:
            epochs = (recipe.steps or 0) / -(-len(splits.train) // recipe.batch_size)
            if epochs < 2:
                raise InputError(
                    f"{arm.name} needs two epochs at least, one for each kind of images; found {epochs:.1f}"
                )
            share = f"{arm.synthetic_fraction}:0 step"
        mixture = Mixture(
            synthetic_fraction=share,
            batch_size=recipe.batch_size,
            transform=recipe.transform if arm.transform is None else arm.transform,
            normalise="imagenet" if has_imagenet_statistics else TRANSFORMS.get(recipe.transform).normalises,
            seed=derive_seed("batches", cell.seed),
        )
        sets = [one.images for one in regime.sets if one.name in arm.sets]
        if arm.repeats_real:
            sets = [splits.train]
        if arm.labels == "wrong":
            sets = [_wrongly_labelled(images) for images in sets]
        return MixedDataModule(splits, sets or None, mixture)


def run_cell(
    inputs: CellInputs, cell: Cell, on_step: Callable[[int], None], *, max_time: float | None = None
) -> CellResult:
    """Trains one arm with one seed. The test images are used once, with the weights that were kept.

    Args:
        inputs: What all cells share.
        cell: The cell.
        on_step: Called with the number of steps done, after each.
        max_time: Seconds after which it is given up.

    Raises:
        OutOfTimeError: If it was given up.
        TrainingError: If it took other steps than all cells have to take, or its loss is no longer a number.
    """
    started = time.monotonic()
    regime, recipe = cell.regime, cell.regime.recipe_of(cell.view)
    with computing_threads(inputs.config.threads):
        datamodule = inputs.datamodule(cell)
        trained = _train(inputs, cell, datamodule, on_step, max_time)
        if trained.steps != recipe.steps:
            if max_time is not None and time.monotonic() - started >= max_time:
                raise OutOfTimeError
            raise TrainingError(f"{cell.arm.name} took {trained.steps} steps, where all arms take {recipe.steps}")

        def probabilities(images: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
            return predict(trained.network, images, inputs.runtime, preparation=datamodule.preparation)

        tested = open_and_test(probabilities, regime.test.seal(cell.key), corruptions=inputs.config.robustness)
        seconds = time.monotonic() - started
        validated = _agreement(probabilities, regime.splits.validation)
        judged = _judge(regime, cell, trained, probabilities, datamodule)
    return CellResult(
        **cell.names(),
        steps=trained.steps,
        best_step=trained.best_step,
        validation_accuracy=trained.validation_accuracy,
        validation_per_class=validated.per_class,
        tested=tested,
        **judged,
        curve=trained.curve,
        seconds=round(seconds, 2),
    )


def _train(
    inputs: CellInputs,
    cell: Cell,
    datamodule: MixedDataModule,
    on_step: Callable[[int], None],
    max_time: float | None,
) -> TrainedClassifier:
    regime, recipe = cell.regime, cell.regime.recipe_of(cell.view)
    network, pretrained = inputs.config.new_network(recipe, regime.splits, cell.seed, inputs.pretrained)
    with tempfile.TemporaryDirectory() as scratch:
        return train_classifier(
            network,
            datamodule,
            recipe,
            runtime=inputs.runtime,
            root=Path(scratch),
            on_step=on_step,
            pretrained=pretrained,
            max_time=max_time,
        )


def _judge(
    regime: Regime,
    cell: Cell,
    trained: TrainedClassifier,
    probabilities: Callable[[UInt8[Tensor, "n c h w"]], Float[Tensor, "n k"]],
    datamodule: MixedDataModule,
) -> Mapping[str, Any]:
    """What a classifier of real images only makes of the synthetic sets; nothing from other arms."""
    sets = {
        one.images.fingerprint: one.images.take(spread(one.images.labels, MOST_JUDGED))
        for one in regime.sets
        if one.images.fingerprint in cell.judged
    }
    return {
        "label_fidelity": {name: _agreement(probabilities, images) for name, images in sets.items()},
        "quality": measure_quality(trained, regime.splits.validation, sets, datamodule.preparation),
    }


def _agreement(
    probabilities: Callable[[UInt8[Tensor, "n c h w"]], Float[Tensor, "n k"]], images: LabelledImages
) -> Agreement:
    """How often a classifier's predictions are the labels."""
    return agreement(probabilities(images.images).argmax(dim=1), images.labels, len(images.class_names))


@functools.lru_cache(maxsize=4)
def _wrongly_labelled(images: LabelledImages) -> LabelledImages:
    """The same images, each with a label that is not its own."""
    classes = len(images.class_names)
    offsets = torch.randint(1, classes, (len(images),), generator=generator_for("wrong labels", images.fingerprint))
    return LabelledImages.of(
        images.images, (images.labels + offsets) % classes, images.class_names, f"{images.name}, wrong labels"
    )
