"""Generators trained on exactly the real images of each regime, and their sets; made once, kept, continued."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from synthaug.core.console import log
from synthaug.core.errors import InputError, TrainingError
from synthaug.core.storage import one_at_a_time
from synthaug.data.splits import Splits
from synthaug.generators.checkpoint import CARD_NAME
from synthaug.shards.manifest import MANIFEST_NAME
from synthaug.workflows.bench.kept import Wanted, judge_kept
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
    """Refuses now what could not be trained, or not be used, later.

    Raises:
        InputError: For an unknown generator, one that does not suit the images, another one than is asked for, or a
            share of the trainings before all sets are there.
    """
    for wanted, fraction, parts, generator, made in _all(config, splits):
        if (generator / CARD_NAME).is_file():
            judge_kept(config, wanted, generator, parts, is_drawn=is_finished(made))
        else:
            plan_training(_training(config, wanted, generator, fraction, None))
        if not is_finished(made):
            _refuse_side_by_side(config, made)


def make_sets(config: BenchConfig, splits: _Splits, deadline: float | None) -> dict[str, list[Path]]:
    """Trains what is not yet trained and draws what is not yet drawn.

    Args:
        config: The settings.
        splits: The splits of every regime by its name.
        deadline: When to stop, on the monotonic clock.

    Returns:
        The sets of every regime by its name.

    Raises:
        InputError: If a generator that is there is not the one that is asked for, or something is to be made while
            other jobs work on other shares of the trainings.
        TrainingError: If there was no time to finish one.
    """
    for wanted, fraction, parts, generator, made in _all(config, splits):
        with one_at_a_time(generator):
            _train(config, wanted, generator, fraction, parts, deadline, is_drawn=is_finished(made))
            _draw(config, generator, made, deadline)
    return made_sets(config, splits)


def remarks_on_sets(config: BenchConfig, splits: _Splits) -> dict[str, str]:
    """What has to be said of sets whose generators were not trained as this bench would do it, by their folders.

    Raises:
        InputError: If a generator that is there is not the one that is asked for.
    """
    return {
        str(made): judge_kept(config, wanted, generator, parts, is_drawn=True).remark
        for wanted, _, parts, generator, made in _all(config, splits)
        if (generator / CARD_NAME).is_file()
    }


def _all(config: BenchConfig, splits: _Splits) -> Iterator[tuple[Wanted, float | None, Splits, Path, Path]]:
    """Every generator: what it is, the share of the real images and the images, its folder and that of its set."""
    for name, made in made_sets(config, splits).items():
        fraction, parts = splits[name]
        for wanted, folder in zip(_wanted(config), made, strict=True):
            yield wanted, fraction, parts, folder.parent / "generator", folder


def _wanted(config: BenchConfig) -> list[Wanted]:
    return [
        (kind, preset or None) for kind, _, preset in (name.partition("/") for name in config.generator_per_fraction)
    ]


def _folder(config: BenchConfig, wanted: Wanted, fraction: float | None) -> Path:
    home = config.generators or config.out / GENERATORS_NAME
    amount = f"{config.per_class_real}-a-class" if fraction is None else f"{fraction:g}"
    return home / "-".join([part for part in wanted if part] + [amount])


def _refuse_side_by_side(config: BenchConfig, missing: Path) -> None:
    """Refuses to make anything in one of several jobs, which no lock tells apart if they run on several machines.

    Raises:
        InputError: Saying how to make it.
    """
    if config.share()[1] > 1:
        raise InputError(
            f"--cells {config.cells}: {missing} is still to be made, and jobs that work side by side would make it all "
            "at once. Run the same command without --cells first: it makes all generators and sets before any training "
            "of a classifier, and what it does of these counts; with --max-time it stops after that long"
        )


def _time_left(deadline: float | None, what: str) -> float | None:
    """Seconds until the deadline; None without one.

    Raises:
        TrainingError: If it has passed, so that nothing is begun.
    """
    left = None if deadline is None else deadline - time.monotonic()
    if left is not None and left <= 0:
        raise TrainingError(f"--max-time ended before {what}; the same command goes on from there")
    return left


def _train(
    config: BenchConfig,
    wanted: Wanted,
    folder: Path,
    fraction: float | None,
    splits: Splits,
    deadline: float | None,
    *,
    is_drawn: bool,
) -> None:
    if (folder / CARD_NAME).is_file():
        kept = judge_kept(config, wanted, folder, splits, is_drawn=is_drawn)
        if not kept.goes_on:
            if kept.remark:
                log(f"warning: {folder}: {kept.remark}")
            return
    _refuse_side_by_side(config, folder)
    left = _time_left(deadline, f"{folder} was trained")
    result = train(_training(config, wanted, folder, fraction, left))
    if not result.is_complete:
        raise TrainingError(
            f"--max-time ended while {folder} was being trained ({result.training.images_seen:,} of "
            f"{result.training.planned_images:,} images shown); the same command goes on from there"
        )


def _training(
    config: BenchConfig, wanted: Wanted, folder: Path, fraction: float | None, max_time: float | None
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
            "max_time": max_time,
        }
    )


def _draw(config: BenchConfig, generator: Path, out: Path, deadline: float | None) -> None:
    settings = GenerateConfig.resolve(
        {
            "model": str(generator),
            "per_class": config.per_class,
            "out": str(out),
            "seed": config.seed,
            "device": config.device,
            "precision": config.precision,
        }
    )
    if is_finished(out):
        generate(settings)  # which looks whether it is that set
        return
    _refuse_side_by_side(config, out)
    _time_left(deadline, f"{out} was drawn")
    log(f"drawing {config.per_class} images of each class with {generator}")
    result = generate(settings, may_begin=None if deadline is None else lambda: time.monotonic() < deadline)
    if result.missing_shards:
        raise TrainingError(
            f"--max-time ended while {out} was being drawn ({result.missing_shards} of {result.shards} shards are "
            "missing); the same command goes on from there"
        )
