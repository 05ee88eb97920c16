"""What a training request comes to: the preset with the request's own numbers, the process, and both as settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from synthaug.core.errors import InputError
from synthaug.generators.base import TrainRequest
from synthaug.generators.checkpoint import CheckpointCard, read_card
from synthaug.generators.ddpm.network import PRESETS, Preset
from synthaug.generators.ddpm.process import Process, build_process
from synthaug.generators.settings import ResolvedTraining, check_options, check_request, given_numbers

#: Numbers of a preset that a request may replace, by their names in the request.
_REPLACEABLE = {
    "budget": "images",
    "batch_size": "batch_size",
    "learning_rate": "learning_rate",
    "dropout": "dropout",
    "ema_half_life": "ema_half_life",
}
_LABEL_DROPOUT = 0.1
_OPTIONS = ("objective", "schedule", "min_snr")


@dataclass(frozen=True, kw_only=True)
class Choices(ResolvedTraining):
    """A request, resolved.

    Attributes:
        preset: The preset with the request's own numbers in place.
        label_dropout: Probability of hiding a label.
    """

    preset: Preset
    label_dropout: float

    @property
    def process(self) -> Process:
        """The noise process."""
        return process_of(self.options)

    def settings(self, request: TrainRequest) -> dict[str, Any]:
        """What must be the same when the training is resumed; only `images` may grow."""
        shares = {"dropout": self.preset.dropout, "label_dropout": self.label_dropout}
        return {**super().settings(request), **shares}


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
    preset = replace(preset, **given_numbers(request, _REPLACEABLE))
    levels = preset.levels(request.images.image_size)
    if init is not None and levels != (before := preset.levels(init.image_size)):
        raise InputError(
            f"--init {request.init} has a network of {before} resolutions, {request.images.image_size} pixels allow "
            f"{levels}; give --image-size {init.image_size}"
        )
    choices = Choices(
        model="ddpm",
        preset_name=name,
        images=preset.images,
        batch_size=preset.batch_size,
        learning_rate=preset.learning_rate,
        ema_half_life=preset.ema_half_life,
        options=_options(request, preset, init),
        init=init,
        preset=preset,
        label_dropout=_LABEL_DROPOUT if request.label_dropout is None else request.label_dropout,
    )
    check_request(request, choices)
    for flag, share in {"--label-dropout": choices.label_dropout, "--dropout": preset.dropout}.items():
        if not 0.0 <= share < 1.0:
            raise InputError(f"{flag} must lie in [0, 1), found {share}")
    return choices


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


def _options(request: TrainRequest, preset: Preset, init: CheckpointCard | None) -> dict[str, str | int | float]:
    check_options("ddpm", request, _OPTIONS)
    before = {} if init is None else {name: init.settings[name] for name in _OPTIONS[:2] if name in init.settings}
    options: dict[str, str | int | float] = {"objective": preset.objective, **before, **request.options}
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
