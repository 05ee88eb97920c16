"""What is known of a generator that a bench finds where it would train one: whether it may be used, and what to say."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthaug.core.errors import InputError
from synthaug.data.splits import Splits
from synthaug.generators.base import TrainPlan, TrainRequest, load_backend
from synthaug.generators.checkpoint import CheckpointCard, read_card
from synthaug.workflows.bench.settings import BenchConfig
from synthaug.workflows.train import TrainConfig

#: Kind and preset of a generator; the preset may be left to the size of the images.
Wanted = tuple[str, str | None]
#: Settings on a card that a plan does not tell; the settings file beside it tells whether they were chosen by hand.
_UNPLANNED = ("dropout", "ema_half_life", "label_dropout", "min_snr")


@dataclass(frozen=True)
class KeptGenerator:
    """A generator that is there.

    Attributes:
        remark: How it came to be, if not as this bench would train one; else nothing.
        goes_on: Whether its training is just that of this bench, and is to go on.
    """

    remark: str
    goes_on: bool


def judge_kept(config: BenchConfig, wanted: Wanted, folder: Path, splits: Splits, *, is_drawn: bool) -> KeptGenerator:
    """Compares a generator with the one that a bench would train.

    Settings of the training may differ, as whoever trained it by hand meant them to, if that is said.

    Args:
        config: The settings of the bench.
        wanted: Which generator it asks for.
        folder: The one that is there.
        splits: What it has to be trained on.
        is_drawn: Whether its set is there, so that it stays as it is.

    Raises:
        InputError: If it was trained on other images, or is of another kind, preset or number of images.
    """
    card, plan = read_card(folder), _plan(config, wanted, folder, splits)
    if card.split.train_fingerprint != splits.record.train_fingerprint:
        raise InputError(f"{folder} holds a generator trained on other images; choose another --generators")
    for what, found, asked in (("kind", card.model, wanted[0]), ("preset", card.preset, plan.preset)):
        if found != asked:
            raise InputError(
                f"{folder} holds a generator of {what} {found}, and this bench asks for {asked}; choose another "
                "--generators"
            )
    differing, training = _differing(config, card, plan, folder, splits), card.training
    is_own = not differing and card.settings.get("images") == plan.images
    goes_on = is_own and not training.is_complete and not is_drawn
    _check_images(config.generator_images, folder, card, is_whole=training.is_complete or goes_on)
    how = []
    if differing:
        how.append(f"trained with other settings than this bench would use ({', '.join(differing)})")
    if not training.is_complete:
        how.append(f"shown {training.images_seen:,} of {training.planned_images:,} images")
    return KeptGenerator(f"its generator was {' and '.join(how)}" if how else "", goes_on)


def _plan(config: BenchConfig, wanted: Wanted, folder: Path, splits: Splits) -> TrainPlan:
    """What this bench would do to train a generator, whatever is in the folder."""
    model, preset = wanted
    request = TrainRequest(
        images=splits.train,
        split=splits.record,
        allows_flip=splits.allows_flip,
        preset=preset,
        out=folder,
        runtime=config.runtime(),
        seed=config.seed,
        budget=config.generator_images,
    )
    return load_backend(model).plan(request)


def _differing(config: BenchConfig, card: CheckpointCard, plan: TrainPlan, folder: Path, splits: Splits) -> list[str]:
    """In which settings a training differs from the one that this bench would do."""
    here: dict[str, Any] = {
        **plan.options,
        "batch_size": plan.batch_size,
        "learning_rate": plan.learning_rate,
        "allows_flip": splits.allows_flip,
        "seed": config.seed,
        "init": "",
    }
    if config.generator_images is None:
        here["images"] = plan.images
    if config.precision != "auto":  # which depends on the machine
        here["precision"] = config.precision
    there = card.settings
    differing = [(name, there.get(name), _shown(value)) for name, value in here.items() if there.get(name) != value]
    with contextlib.suppress(InputError):  # no settings file, or that of a former version
        given = TrainConfig.resolve({}, folder / "config.yaml")
        chosen = [name for name in _UNPLANNED if name not in here and getattr(given, name) is not None]
        differing += [(name, there.get(name), "the preset's") for name in chosen]
    return [f"{name.replace('_', ' ')} {_shown(value)} instead of {other}" for name, value, other in differing]


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value in (None, ""):
        return "none"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _check_images(asked: int | None, folder: Path, card: CheckpointCard, *, is_whole: bool) -> None:
    """Refuses a training that does not come to the number of images that is asked for.

    Args:
        asked: Images; None leaves it open.
        folder: The generator.
        card: Its card.
        is_whole: Whether all images that were planned have been, or will be, shown.

    Raises:
        InputError: Saying which numbers can be asked for.
    """
    training = card.training
    planned = (training.planned_images, card.settings.get("images")) if is_whole else ()
    if asked is not None and asked not in (training.images_seen, *planned):
        raise InputError(
            f"{folder} holds a generator that was shown {training.images_seen:,} of {training.planned_images:,} "
            f"images, not {asked:,}; ask for as many with --generator-images, or choose another --generators"
        )
