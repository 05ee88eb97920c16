"""What a training request comes to: the preset with the request's own numbers, the process, and both as settings."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from synthaug.core.errors import InputError
from synthaug.generators.base import TrainRequest
from synthaug.generators.checkpoint import CheckpointCard, read_card
from synthaug.generators.ddpm.network import MAX_CLASSES, PRESETS, Preset
from synthaug.generators.ddpm.process import Process, build_process

#: Numbers of a preset that a request may replace, by their names in the request.
_REPLACEABLE = {
    "budget": "images",
    "batch_size": "batch_size",
    "learning_rate": "learning_rate",
    "dropout": "dropout",
    "ema_half_life": "ema_half_life",
}
_OPTIONS = ("objective", "schedule", "min_snr")


@dataclass(frozen=True)
class Choices:
    """A request, resolved.

    Attributes:
        preset_name: Name of the preset.
        preset: The preset with the request's own numbers in place.
        options: Objective, and where they apply schedule and min_snr.
        init: Card of the checkpoint to begin from.
    """

    preset_name: str
    preset: Preset
    options: Mapping[str, str | float]
    init: CheckpointCard | None

    @property
    def process(self) -> Process:
        """The noise process."""
        return process_of(self.options)

    def settings(self, request: TrainRequest) -> dict[str, Any]:
        """What must be the same when the training is resumed; only `images` may grow."""
        return {
            "model": "ddpm",
            "preset": self.preset_name,
            **self.options,
            "images": self.preset.images,
            "batch_size": self.preset.batch_size,
            "learning_rate": self.preset.learning_rate,
            "dropout": self.preset.dropout,
            "ema_half_life": self.preset.ema_half_life,
            "label_dropout": request.label_dropout,
            "allows_flip": request.allows_flip,
            "seed": request.seed,
            "precision": request.runtime.precision,
            "train_fingerprint": request.split.train_fingerprint,
            "init": "" if self.init is None else self.init.checkpoint,
        }


def process_of(settings: Mapping[str, Any]) -> Process:
    """The process that the settings of a training name.

    Raises:
        InputError: If the names are unknown or do not go together.
    """
    min_snr = settings.get("min_snr")
    return build_process(str(settings["objective"]), str(settings.get("schedule", "cosine")), min_snr)


def resolve(request: TrainRequest) -> Choices:
    """Fills in what the request leaves open.

    Raises:
        InputError: If a name is unknown, the preset does not suit the images, or a number is out of range.
    """
    init = None if request.init is None else _card_to_begin_from(request.init, request.images.channels)
    name = request.preset or (init.preset if init is not None else default_preset(request.images.image_size))
    if init is not None and init.preset != name:
        raise InputError(f"--init {request.init} has the network of preset {init.preset}; leave out --preset {name}")
    preset = PRESETS.get(name)
    given = {field: getattr(request, name) for name, field in _REPLACEABLE.items()}
    preset = replace(preset, **{field: value for field, value in given.items() if value is not None})
    _check_numbers(request, preset)
    levels = preset.levels(request.images.image_size)
    if init is not None and levels != (before := preset.levels(init.image_size)):
        raise InputError(
            f"--init {request.init} has a network of {before} resolutions, {request.images.image_size} pixels allow "
            f"{levels}; give --image-size {init.image_size}"
        )
    classes = len(request.images.class_names)
    if not 2 <= classes <= MAX_CLASSES:
        raise InputError(f"a DDPM learns 2 to {MAX_CLASSES} classes, found {classes}")
    if empty := [
        name
        for name, count in zip(request.images.class_names, request.images.class_counts(), strict=True)
        if count == 0
    ]:
        raise InputError(f"every class needs at least one training image, {empty[0]!r} has none")
    return Choices(name, preset, _options(request, preset, init), init)


def default_preset(image_size: int) -> str:
    """`digits` up to 16 pixels, `cpu` above."""
    return "digits" if image_size <= 16 else "cpu"


def _card_to_begin_from(folder: Path, channels: int) -> CheckpointCard:
    card = read_card(folder)
    if card.model != "ddpm":
        raise InputError(f"--init {folder} is a checkpoint of {card.model}, not of ddpm")
    if card.channels != channels:
        kinds = {1: "grey", 3: "RGB"}
        raise InputError(f"--init {folder} makes {kinds[card.channels]} images, these are {kinds[channels]}")
    return card


def _options(request: TrainRequest, preset: Preset, init: CheckpointCard | None) -> dict[str, str | float]:
    if unknown := [name for name in request.options if name not in _OPTIONS]:
        raise InputError(f"the ddpm backend has no option {unknown[0]!r}; known: {', '.join(_OPTIONS)}")
    before = {} if init is None else {name: init.settings[name] for name in _OPTIONS[:2] if name in init.settings}
    options: dict[str, str | float] = {"objective": preset.objective, **before, **request.options}
    if options["objective"] == "edm":
        if "schedule" in request.options:
            raise InputError("--schedule belongs to epsilon and v; the edm objective has noise levels of its own")
        options.pop("schedule", None)
    else:
        options.setdefault("schedule", "cosine")
    for name, value in before.items():
        if options.get(name) != value:
            raise InputError(f"--init {request.init} was trained with {name} {value}; leave out --{name}")
    process_of(options)
    return options


def _check_numbers(request: TrainRequest, preset: Preset) -> None:
    counts = {"--images": preset.images, "--batch-size": preset.batch_size}
    if request.grid_every is not None:
        counts["--grid-every"] = request.grid_every
    if request.monitor_every is not None:
        counts["--watch-every"] = request.monitor_every
    for flag, count in counts.items():
        if count < 1:
            raise InputError(f"{flag} must be at least 1, found {count}")
    if not 0 < preset.learning_rate < math.inf:
        raise InputError(f"--learning-rate must be positive, found {preset.learning_rate}")
    if not 0 < preset.ema_half_life < math.inf:
        raise InputError(f"--ema-half-life must be positive, found {preset.ema_half_life}")
    for flag, share in {"--label-dropout": request.label_dropout, "--dropout": preset.dropout}.items():
        if not 0.0 <= share < 1.0:
            raise InputError(f"{flag} must lie in [0, 1), found {share}")
    if request.logger in ("tensorboard", "wandb") and importlib.util.find_spec(request.logger) is None:
        package = request.logger
        raise InputError(f"--logger {package} needs a package; install it with: pip install 'synthaug[{package}]'")
