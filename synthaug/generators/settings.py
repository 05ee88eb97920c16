"""What a training request comes to, whatever the backend: numbers in range, and what must stay when resuming."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from synthaug.core.errors import InputError
from synthaug.generators.base import TrainRequest
from synthaug.generators.checkpoint import CheckpointCard

MAX_CLASSES = 1000


@dataclass(frozen=True, kw_only=True)
class ResolvedTraining:
    """A request with everything filled in that it left open.

    Attributes:
        model: Name of the backend.
        preset_name: Name of the preset.
        images: Images to show to the network in all.
        batch_size: Images per batch.
        batches_per_step: Batches that one step sees.
        learning_rate: Peak learning rate.
        ema_half_life: Half-life of the weight average, as a share of the images seen.
        options: The backend's own choices.
        init: Card of the checkpoint to begin from.
    """

    model: str
    preset_name: str
    images: int
    batch_size: int
    learning_rate: float
    ema_half_life: float
    options: Mapping[str, str | int | float]
    init: CheckpointCard | None
    batches_per_step: int = 1

    @property
    def images_per_step(self) -> int:
        """Images that one step sees."""
        return self.batch_size * self.batches_per_step

    def settings(self, request: TrainRequest) -> dict[str, Any]:
        """What must be the same when the training is resumed; only `images` may grow."""
        return {
            "model": self.model,
            "preset": self.preset_name,
            **self.options,
            "images": self.images,
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate,
            "ema_half_life": self.ema_half_life,
            "allows_flip": request.allows_flip,
            "seed": request.seed,
            "precision": request.runtime.precision,
            "train_fingerprint": request.split.train_fingerprint,
            "init": "" if self.init is None else self.init.checkpoint,
        }


def given_numbers(request: TrainRequest, names: Mapping[str, str]) -> dict[str, Any]:
    """The numbers of a preset that a request replaces, by their names in the preset.

    Args:
        request: The request.
        names: Names in the preset by those in the request.
    """
    given = {field: getattr(request, name) for name, field in names.items()}
    return {field: value for field, value in given.items() if value is not None}


def check_request(request: TrainRequest, resolved: ResolvedTraining) -> None:
    """Checks what is the same for every backend.

    Raises:
        InputError: If a number is out of range, a class has no image, or a logger is not installed.
    """
    counts = {
        "--images": resolved.images,
        "--batch-size": resolved.batch_size,
        "--grid-every": request.grid_every,
        "--watch-every": request.monitor_every,
    }
    for flag, count in counts.items():
        if count is not None and count < 1:
            raise InputError(f"{flag} must be at least 1, found {count}")
    if not 0 < resolved.learning_rate < math.inf:
        raise InputError(f"--learning-rate must be positive, found {resolved.learning_rate}")
    if not 0 < resolved.ema_half_life < math.inf:
        raise InputError(f"--ema-half-life must be positive, found {resolved.ema_half_life}")
    if request.logger in ("tensorboard", "wandb") and importlib.util.find_spec(request.logger) is None:
        package = request.logger
        raise InputError(f"--logger {package} needs a package; install it with: pip install 'synthaug[{package}]'")
    names, counts_of = request.images.class_names, request.images.class_counts()
    check_class_count(len(names))
    if empty := [name for name, count in zip(names, counts_of, strict=True) if count == 0]:
        raise InputError(f"every class needs at least one training image, {empty[0]!r} has none")


def check_class_count(count: int) -> None:
    """Refuses a number of classes that no generator here can learn.

    Raises:
        InputError: If there are too few or too many.
    """
    if not 2 <= count <= MAX_CLASSES:
        raise InputError(f"a generator learns 2 to {MAX_CLASSES} classes, found {count}")


def check_options(model: str, request: TrainRequest, known: tuple[str, ...]) -> None:
    """Refuses options that a backend does not have.

    Raises:
        InputError: Naming the first of them.
    """
    if unknown := [name for name in request.options if name not in known]:
        flag, flags = (" ".join(f"--{name.replace('_', '-')}" for name in names) for names in (unknown[:1], known))
        raise InputError(f"{flag} is not for {model}, leave it out; its own choices are {flags}")
