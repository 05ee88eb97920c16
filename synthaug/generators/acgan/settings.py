"""What a training request comes to: the preset with the request's own numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from synthaug.core.errors import InputError
from synthaug.generators.acgan.augment import policy
from synthaug.generators.acgan.presets import PRESETS, Preset, check_image_size, default_preset
from synthaug.generators.base import TrainRequest
from synthaug.generators.settings import ResolvedTraining, check_options, check_request, given_numbers

_OPTIONS = ("discriminator_steps", "class_weight", "diffaugment", "r1")
_REPLACEABLE = {
    "budget": "images",
    "batch_size": "batch_size",
    "learning_rate": "learning_rate",
    "ema_half_life": "ema_half_life",
}


@dataclass(frozen=True, kw_only=True)
class Choices(ResolvedTraining):
    """A request, resolved.

    Attributes:
        preset: The preset with the request's own numbers in place.
    """

    preset: Preset


def resolve(request: TrainRequest) -> Choices:
    """Fills in what the request leaves open.

    Raises:
        InputError: If a name is unknown, a number is out of range, or something is asked for that an ACGAN has not.
    """
    if request.init is not None:
        raise InputError("an ACGAN cannot begin from a checkpoint, which keeps no discriminator; leave out --init")
    if request.dropout is not None:
        raise InputError("the ACGAN presets have no choice of dropout; leave out --dropout")
    if request.label_dropout is not None:
        raise InputError("an ACGAN always knows its labels; leave out --label-dropout")
    check_options("acgan", request, _OPTIONS)
    preset_name = request.preset or default_preset(request.images.image_size)
    preset = PRESETS.get(preset_name)
    own: dict[str, Any] = dict(request.options)
    preset = replace(preset, **given_numbers(request, _REPLACEABLE), **own)
    check_image_size(request.images.image_size)
    policy(preset.diffaugment)
    if preset.discriminator_steps < 1:
        raise InputError(f"--discriminator-steps must be at least 1, found {preset.discriminator_steps}")
    for name, value in (("--class-weight", preset.class_weight), ("--r1", preset.r1)):
        if not 0 <= value < math.inf:
            raise InputError(f"{name} must be at least 0, found {value}")
    if preset.batch_size < 2:
        raise InputError(f"--batch-size must be at least 2 (batch norm needs two), found {preset.batch_size}")
    choices = Choices(
        model="acgan",
        preset_name=preset_name,
        images=preset.images,
        batch_size=preset.batch_size,
        learning_rate=preset.learning_rate,
        ema_half_life=preset.ema_half_life,
        options={name: getattr(preset, name) for name in _OPTIONS},
        init=None,
        preset=preset,
        batches_per_step=preset.discriminator_steps,
    )
    check_request(request, choices)
    return choices
