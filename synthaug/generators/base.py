"""What every generator backend offers, and how a backend is found by name."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from synthaug.core.errors import InputError, unknown_name
from synthaug.core.loggers import LoggerName
from synthaug.core.runtime import Runtime
from synthaug.core.types import LabelledImages, SplitRecord

ENTRY_POINTS = "synthaug.generators"
_BUILT_IN = {
    "acgan": "synthaug.generators.acgan.backend:BACKEND",
    "ddpm": "synthaug.generators.ddpm.backend:BACKEND",
}


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
        ancestors: What the checkpoint was trained on from which this one began, and that one's, newest first.
        sampling_version: Version of the backend's sampling code; another version draws other images.
        latent: Number of latent variables that an image is made from; None if it is made from noise of its own shape.
    """

    model: str
    class_names: tuple[str, ...]
    channels: int
    image_size: int
    checkpoint: str
    allows_flip: bool
    split: SplitRecord
    ancestors: tuple[SplitRecord, ...] = ()
    sampling_version: int = 1
    latent: int | None = None

    @property
    def noise_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the noise of one image."""
        return (self.channels, self.image_size, self.image_size) if self.latent is None else (self.latent, 1, 1)


@dataclass(frozen=True)
class SamplerSettings:
    """How to draw samples.

    Attributes:
        sampler: Name of the sampler.
        steps: Steps of the sampler; one network evaluation each, two with guidance.
        guidance: Classifier-free guidance weight w in F_null + w (F_class - F_null); 1 is plain conditioning.
        guidance_interval: Lowest and highest standard deviation of the noise at which to guide, images being in
            [-1, 1]; None guides everywhere.
        truncation: Largest absolute value of a latent variable, for generators that have them; None does not truncate.
    """

    sampler: str
    steps: int
    guidance: float
    guidance_interval: tuple[float, float] | None = None
    truncation: float | None = None


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


#: Figures of some generated images and their labels, by name; higher or lower is better, as the name says.
Monitor = Callable[[UInt8[Tensor, "n c h w"], Int64[Tensor, " n"]], Mapping[str, float]]


@dataclass(frozen=True)
class TrainRequest:
    """One training of a generator.

    Attributes:
        images: What to learn.
        split: Record of where they come from.
        allows_flip: Whether mirrored images may be shown to the network.
        preset: Name in the backend's table; None takes that of `init`, else the one that suits the image size.
        out: Folder of the checkpoint.
        runtime: Device, precision, and whether to compile.
        seed: Seed of initialisation, order and noise.
        budget: Images to show to the network in all; None takes the preset's.
        batch_size: Images per step; None takes the preset's.
        learning_rate: Peak learning rate; None takes the preset's.
        dropout: Probability of dropping an activation; None takes the preset's.
        ema_half_life: Half-life of the weight average, as a share of the images seen; None takes the preset's.
        options: Choices that only some backends have, by name.
        label_dropout: Probability with which a sample's label is hidden, for classifier-free guidance; None takes the
            backend's.
        init: Checkpoint folder to begin from.
        max_time: Seconds after which to stop between two steps.
        grid_every: Images between two sample grids; None for ten grids in all.
        monitor: Measures samples while training.
        monitor_every: Images between two measurements; None measures never.
        resume_from: State file to continue from; None starts anew.
        logger: Where metrics go besides CSV.
    """

    images: LabelledImages
    split: SplitRecord
    allows_flip: bool
    preset: str | None
    out: Path
    runtime: Runtime
    seed: int = 0
    budget: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    dropout: float | None = None
    ema_half_life: float | None = None
    options: Mapping[str, str | int | float] = field(default_factory=dict)
    label_dropout: float | None = None
    init: Path | None = None
    max_time: float | None = None
    grid_every: int | None = None
    monitor: Monitor | None = None
    monitor_every: int | None = None
    resume_from: Path | None = None
    logger: LoggerName = "auto"


@dataclass(frozen=True)
class TrainPlan:
    """What a training request comes to, before it runs.

    Attributes:
        preset: Name of the preset.
        parameters: Trainable numbers of the network.
        images: Images to show to the network in all.
        batch_size: Images per batch.
        learning_rate: Peak learning rate.
        options: The backend's own choices, resolved.
        batches_per_step: Batches that one step sees.
        watch_every: Images between two measurements of samples that this training needs, whatever the device.
    """

    preset: str
    parameters: int
    images: int
    batch_size: int
    learning_rate: float
    options: Mapping[str, str | int | float]
    batches_per_step: int = 1
    watch_every: int | None = None

    @property
    def steps(self) -> int:
        """Steps in all."""
        return -(-self.images // (self.batch_size * self.batches_per_step))


@runtime_checkable
class Backend(Protocol):
    """A kind of generator: how to train and how to load it. Registered under the entry point `synthaug.generators`."""

    @property
    def presets(self) -> Mapping[str, str]:
        """Names of the presets and what each is for."""

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
