"""Generators trained on exactly the real images of each regime, and their sets; made once, kept, continued."""

from __future__ import annotations

import time
from pathlib import Path

from synthaug.core.console import log
from synthaug.core.errors import InputError, TrainingError
from synthaug.core.storage import one_at_a_time
from synthaug.data.splits import Splits
from synthaug.generators.checkpoint import CARD_NAME, TrainingSummary, read_card
from synthaug.shards.manifest import MANIFEST_NAME
from synthaug.workflows.bench.settings import BenchConfig
from synthaug.workflows.synthesize import GenerateConfig, generate
from synthaug.workflows.train import TrainConfig, plan_training, train

#: Where generators are kept in a bench's folder, if nowhere else.
GENERATORS_NAME = "generators"
#: The splits of every regime by its name, with the share of the real training images that it uses.
_Splits = dict[str, tuple[float | None, Splits]]


def made_sets(config: BenchConfig, splits: _Splits) -> dict[str, list[Path]]:
    """Where the sets of every regime are, or will be, by its name."""
    return {
        name: [_folder(config, wanted, fraction) / f"synthetic-{config.per_class}" for wanted in _wanted(config)]
        for name, (fraction, _) in splits.items()
    }


def is_finished(folder: Path) -> bool:
    """Whether a set is there."""
    return (folder / MANIFEST_NAME).is_file()


def check_generators(config: BenchConfig, splits: _Splits) -> None:
    """Refuses now what could not be trained later.

    Raises:
        InputError: For an unknown generator, or one that does not suit the images.
    """
    for fraction, _ in splits.values():
        for wanted in _wanted(config):
            folder = _folder(config, wanted, fraction) / "generator"
            if not (folder / CARD_NAME).is_file():
                plan_training(_training(config, wanted, folder, fraction, None))


def make_sets(config: BenchConfig, splits: _Splits, deadline: float | None) -> dict[str, list[Path]]:
    """Trains what is not yet trained and draws what is not yet drawn.

    Args:
        config: The settings.
        splits: The splits of every regime by its name.
        deadline: When to stop, on the monotonic clock.

    Returns:
        The sets of every regime by its name.

    Raises:
        InputError: If a generator that is there was trained on other images.
        TrainingError: If there was no time to finish one.
    """
    sets = made_sets(config, splits)
    for name, (fraction, parts) in splits.items():
        for wanted, folder in zip(_wanted(config), sets[name], strict=True):
            generator = _folder(config, wanted, fraction) / "generator"
            with one_at_a_time(generator):
                _train(config, wanted, generator, fraction, parts, deadline, is_drawn=is_finished(folder))
                if not is_finished(folder):
                    log(f"drawing {config.per_class} images of each class with {generator}")
                _draw(config, generator, folder)
    return sets


def _wanted(config: BenchConfig) -> list[tuple[str, str | None]]:
    """Kind and preset of each generator."""
    return [
        (kind, preset or None) for kind, _, preset in (name.partition("/") for name in config.generator_per_fraction)
    ]


def _folder(config: BenchConfig, wanted: tuple[str, str | None], fraction: float | None) -> Path:
    home = config.generators or config.out / GENERATORS_NAME
    amount = f"{config.per_class_real}-a-class" if fraction is None else f"{fraction:g}"
    return home / "-".join([part for part in wanted if part] + [amount])


def _train(
    config: BenchConfig,
    wanted: tuple[str, str | None],
    folder: Path,
    fraction: float | None,
    splits: Splits,
    deadline: float | None,
    *,
    is_drawn: bool,
) -> None:
    if (folder / CARD_NAME).is_file():
        card = read_card(folder)
        if card.split.train_fingerprint != splits.record.train_fingerprint:
            raise InputError(f"{folder} holds a generator trained on other images; choose another --generators")
        if is_drawn and config.generator_images is None:
            return
        if _is_as_asked(card.training, config.generator_images, folder):
            return
    result = train(_training(config, wanted, folder, fraction, deadline))
    if not result.is_complete:
        raise TrainingError(
            f"--max-time ended while {folder} was being trained ({result.training.images_seen:,} of "
            f"{result.training.planned_images:,} images shown); the same command goes on from there"
        )


def _training(
    config: BenchConfig, wanted: tuple[str, str | None], folder: Path, fraction: float | None, deadline: float | None
) -> TrainConfig:
    model, preset = wanted
    return TrainConfig.resolve(
        {
            "model": model,
            "data": config.data,
            "fraction": 1.0 if fraction is None else fraction,
            "per_class_real": config.per_class_real,
            "image_size": config.image_size,
            "flip": config.flip,
            "split_seed": config.split_seed,
            "seed": config.seed,
            "device": config.device,
            "precision": config.precision,
            "preset": preset,
            "images": config.generator_images,
            "out": folder,
            "resume": "auto",
            "max_time": None if deadline is None else max(1.0, deadline - time.monotonic()),
        }
    )


def _is_as_asked(training: TrainingSummary, asked: int | None, folder: Path) -> bool:
    """Whether a training needs nothing more: it is complete, or ended where it is asked to end.

    Raises:
        InputError: If it was to be another one.
    """
    if asked is None or asked == training.planned_images:
        return training.images_seen >= training.planned_images
    if asked == training.images_seen:
        return True
    raise InputError(
        f"{folder} holds a generator that was shown {training.images_seen:,} of {training.planned_images:,} images, "
        f"not {asked:,}; ask for one of these numbers with --generator-images, or choose another --generators"
    )


def _draw(config: BenchConfig, generator: Path, out: Path) -> None:
    values = {
        "model": str(generator),
        "per_class": config.per_class,
        "out": str(out),
        "seed": config.seed,
        "device": config.device,
        "precision": config.precision,
    }
    generate(GenerateConfig.resolve(values))
