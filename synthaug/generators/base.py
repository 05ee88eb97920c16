"""What every generator backend offers, and how a backend is found by name."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from synthaug.core.errors import InputError, unknown_name
from synthaug.core.runtime import Runtime
from synthaug.core.types import LabelledImages, SplitRecord

ENTRY_POINTS = "synthaug.generators"
LoggerName = Literal["auto", "csv", "tensorboard", "wandb"]
_BUILT_IN = {"ddpm": "synthaug.generators.ddpm.backend:BACKEND"}


@dataclass(frozen=True)
class GeneratorSpec:
    """What a loaded generator makes.

    Attributes:
        model: Name of the backend.
        class_names: Classes it can be asked for, in label order.
        channels: 1 for grey, 3 for RGB.
        image_size: Height and width in pixels.
        checkpoint: Hash of its weights.
        allows_flip: Whether a mirrored image still shows its class.
        split: What it was trained on.
    """

    model: str
    class_names: tuple[str, ...]
    channels: int
    image_size: int
    checkpoint: str
    allows_flip: bool
    split: SplitRecord

    @property
    def noise_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the noise of one image."""
        return (self.channels, self.image_size, self.image_size)


@dataclass(frozen=True)
class SamplerSettings:
    """How to draw samples.

    Attributes:
        sampler: Name of the sampler.
        steps: Steps of the sampler; one network evaluation each, two with guidance.
        guidance: Classifier-free guidance weight w in eps_null + w (eps_class - eps_null); 1 is plain conditioning.
    """

    sampler: str
    steps: int
    guidance: float


@runtime_checkable
class Noise(Protocol):
    """A source of per-sample Gaussian noise; each call gives the next independent array."""

    def draw(self) -> Float[Tensor, "n c h w"]:
        """Standard normal float32 values on the CPU."""


@runtime_checkable
class Generator(Protocol):
    """A trained generator."""

    @property
    def spec(self) -> GeneratorSpec:
        """What it makes."""

    @property
    def default_settings(self) -> SamplerSettings:
        """The sampler settings to use unless told otherwise."""

    def check_settings(self, settings: SamplerSettings) -> None:
        """Raises InputError for settings that this generator cannot sample with."""

    def sample(self, labels: Int64[Tensor, " n"], noise: Noise, settings: SamplerSettings) -> UInt8[Tensor, "n c h w"]:
        """Draws one image per label; all randomness comes from `noise`. The images are on the CPU."""


@dataclass(frozen=True)
class TrainRequest:
    """One training of a generator.

    Attributes:
        images: What to learn.
        split: Record of where they come from.
        allows_flip: Whether mirrored images may be shown to the network.
        preset: Name in the backend's table.
        out: Folder of the checkpoint.
        runtime: Device and precision.
        seed: Seed of initialisation, order and noise.
        steps: Optimiser steps in all; None takes the preset's.
        batch_size: Images per step; None takes the preset's.
        learning_rate: Peak learning rate; None takes the preset's.
        label_dropout: Probability with which a sample's label is hidden, for classifier-free guidance.
        max_time: Seconds after which to stop between two steps.
        grid_every: Steps between two sample grids.
        resume_from: State file to continue from; None starts anew.
        logger: Where metrics go besides CSV.
    """

    images: LabelledImages
    split: SplitRecord
    allows_flip: bool
    preset: str
    out: Path
    runtime: Runtime
    seed: int = 0
    steps: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    label_dropout: float = 0.1
    max_time: float | None = None
    grid_every: int = 500
    resume_from: Path | None = None
    logger: LoggerName = "auto"


@dataclass(frozen=True)
class TrainPlan:
    """What a training request comes to, before it runs.

    Attributes:
        preset: Name of the preset.
        parameters: Trainable numbers of the network.
        steps: Optimiser steps in all.
        batch_size: Images per step.
        learning_rate: Peak learning rate.
    """

    preset: str
    parameters: int
    steps: int
    batch_size: int
    learning_rate: float


@runtime_checkable
class Backend(Protocol):
    """A kind of generator: how to train and how to load it. Registered under the entry point `synthaug.generators`."""

    @property
    def presets(self) -> Mapping[str, str]:
        """Names of the presets and what each is for."""

    def default_preset(self, image_size: int) -> str:
        """The preset to use for a size when none is named."""

    def plan(self, request: TrainRequest) -> TrainPlan:
        """What `train` would do. Raises InputError for impossible requests."""

    def train(self, request: TrainRequest) -> Path:
        """Trains and writes a checkpoint folder; returns it."""

    def load(self, folder: Path, runtime: Runtime) -> Generator:
        """Loads a checkpoint folder."""


def backend_names() -> list[str]:
    """All known backends: the built-in ones and those of other installed packages."""
    return sorted({*_BUILT_IN, *(point.name for point in importlib.metadata.entry_points(group=ENTRY_POINTS))})


def load_backend(name: str) -> Backend:
    """The backend called `name`.

    Raises:
        InputError: If there is none (the known ones are listed), or its package does not provide a backend.
    """
    reference = _BUILT_IN.get(name)
    if reference is None:
        points = [point for point in importlib.metadata.entry_points(group=ENTRY_POINTS) if point.name == name]
        if not points:
            raise unknown_name("model", name, backend_names())
        reference = points[0].value
    module, _, attribute = reference.partition(":")
    try:
        backend = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(f"the entry point {name!r} ({reference}) cannot be loaded: {error}") from error
    if not isinstance(backend, Backend):
        raise InputError(f"the entry point {name!r} ({reference}) does not provide a generator backend")
    return backend
