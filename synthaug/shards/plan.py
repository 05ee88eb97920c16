"""Which sample goes where: shards, keys and batches as a pure function of the settings."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from synthaug.core.types import SplitRecord
from synthaug.shards.curation import CurationRecord, Positions, encode_kept, kept_positions

ImageFormat = Literal["png", "webp"]
#: Shard numbers have six digits.
MAX_SHARDS = 1_000_000


class GeneratorRecord(BaseModel):
    """The generator of a set, and what it learned from.

    Attributes:
        model: Name of the backend.
        checkpoint: Hash of its weights.
        preset: Name of its preset.
        parameters: Trainable numbers of the network.
        images_seen: Images shown to it in training.
        training_seconds: Time that took.
        image_size: Height and width in pixels.
        channels: 1 for grey, 3 for RGB.
        allows_flip: Whether a mirrored image still shows its class.
        split: What it was trained on and what was held out.
        ancestors: The same of the checkpoint from which its training began, and of that one's, newest first.
        sampling_version: Version of the code that drew the samples; another version draws other images.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    checkpoint: str
    preset: str
    parameters: int
    images_seen: int
    training_seconds: float
    image_size: int = Field(ge=1)
    channels: Literal[1, 3]
    allows_flip: bool
    split: SplitRecord
    ancestors: tuple[SplitRecord, ...]
    sampling_version: int


class SetPlan(BaseModel):
    """Everything that identifies the samples of a set; two sets with equal plans are equal.

    Sample number i of a drawn set is image `i // k` of class `classes[i % k]`, k being the number of classes drawn. A
    curated set is a selection of a drawn one: its sample number i is the i-th that was kept. Shard s holds samples
    `s * shard_size` to `(s + 1) * shard_size - 1`.

    Attributes:
        generator: What drew the samples.
        sampler: Name of the sampler.
        steps: Network evaluations per image (twice as many with guidance).
        guidance: Classifier-free guidance weight; 1 is none.
        guidance_interval: Lowest and highest noise level with guidance; None guides at all.
        truncation: Largest absolute value of a latent variable; None leaves them as they are.
        precision: Number format of its matrix products, "fp32" or "bf16".
        compiled: Whether its network was compiled, which rounds differently.
        seed: Seed of the samples.
        class_names: All classes of the generator in label order.
        classes: Labels of the classes drawn, ascending.
        per_class: Images per class drawn.
        shard_size: Images per shard, except in the last one.
        batch_size: Images sampled at once. Networks round differently in batches of different sizes, so it is a part
            of what a set is.
        image_format: "png", or "webp" (lossless).
        kept: Which samples of the drawn set are in a curated one (see `encode_kept`); None for all.
        curations: How they were chosen, oldest first; none if the set is as it was drawn.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    generator: GeneratorRecord
    sampler: str
    steps: int
    guidance: float
    guidance_interval: tuple[float, float] | None
    truncation: float | None
    precision: Literal["fp32", "bf16"]
    compiled: bool
    seed: int
    class_names: tuple[str, ...] = Field(min_length=1)
    classes: tuple[int, ...] = Field(min_length=1)
    per_class: int = Field(ge=1)
    shard_size: int = Field(ge=1, le=10_000)
    batch_size: int = Field(ge=1)
    image_format: ImageFormat
    # Equal bitmaps become one, so that looking up their positions need not compare them letter by letter.
    kept: Annotated[str, AfterValidator(sys.intern)] | None = None
    curations: tuple[CurationRecord, ...] = ()

    @model_validator(mode="after")
    def _has_ordered_classes(self) -> Self:
        if any(a >= b for a, b in itertools.pairwise(self.classes)):
            raise ValueError("classes must be ascending")
        if not 0 <= self.classes[0] <= self.classes[-1] < len(self.class_names):
            raise ValueError("classes must be labels of class_names")
        if (shards := -(-self.drawn_count // self.shard_size)) > MAX_SHARDS:
            raise ValueError(f"a set has at most {MAX_SHARDS} shards, not {shards}; choose larger ones")
        return self

    @model_validator(mode="after")
    def _says_how_it_was_selected(self) -> Self:
        if (self.kept is None) == self.is_curated:
            raise ValueError("kept is needed with curations, and only with them")
        if self.kept is not None:
            kept_positions(self.kept, self.drawn_count)
        filters = (one for curation in self.curations for one in curation.filters)
        if any(len(one.removed) != len(self.class_names) for one in filters):
            raise ValueError(f"curations: removed must have a number for each of {len(self.class_names)} classes")
        return self

    @property
    def is_curated(self) -> bool:
        """Whether it is a selection of a drawn set."""
        return bool(self.curations)

    @property
    def drawn_count(self) -> int:
        """Images that were drawn, kept or not."""
        return self.per_class * len(self.classes)

    @property
    def sample_count(self) -> int:
        """Images in the whole set."""
        return self.drawn_count if self.kept is None else len(kept_positions(self.kept, self.drawn_count))

    @property
    def shard_count(self) -> int:
        """Shards in the whole set."""
        return -(-self.sample_count // self.shard_size)

    def drawn_positions(self, start: int, stop: int) -> Positions:
        """Where samples `start` to `stop - 1` of the set stand in the drawn one."""
        if self.kept is None:
            return np.arange(start, stop)
        return kept_positions(self.kept, self.drawn_count)[start:stop]

    def sample(self, position: int) -> tuple[int, int]:
        """Class and index of the sample at a position of the set."""
        if self.kept is not None:
            position = int(kept_positions(self.kept, self.drawn_count)[position])
        return self.classes[position % len(self.classes)], position // len(self.classes)

    def shard(self, number: int) -> ShardPlan:
        """One shard."""
        start = number * self.shard_size
        return ShardPlan(self, number, start, min(start + self.shard_size, self.sample_count))

    def shards(self) -> Iterator[ShardPlan]:
        """The shards in order; every class is as evenly spread over those of a drawn set as can be."""
        return (self.shard(number) for number in range(self.shard_count))

    def class_counts(self) -> dict[str, int]:
        """Images per class name, in label order; 0 for classes that are not drawn, or have lost all their images."""
        return dict(zip(self.class_names, self.label_counts(), strict=True))

    def label_counts(self) -> tuple[int, ...]:
        """Images per class, in label order."""
        if self.kept is not None:
            return self.counted(0, self.sample_count)
        drawn = set(self.classes)
        return tuple(self.per_class if label in drawn else 0 for label in range(len(self.class_names)))

    def counted(self, start: int, stop: int) -> tuple[int, ...]:
        """How many of samples `start` to `stop - 1` each class has, in label order."""
        labels = np.array(self.classes)[self.drawn_positions(start, stop) % len(self.classes)]
        return tuple(np.bincount(labels, minlength=len(self.class_names)).tolist())

    def selected(self, positions: Sequence[int], curation: CurationRecord) -> SetPlan:
        """The plan of the set that a curation leaves of this one.

        Args:
            positions: Of the samples that stay, in this set, ascending.
            curation: How they were chosen.

        Raises:
            ValueError: If there are none, or they are not positions of this set in ascending order.
        """
        chosen = np.asarray(positions, dtype=np.int64)
        if np.any(chosen[:-1] >= chosen[1:]) or np.any((chosen < 0) | (chosen >= self.sample_count)):
            raise ValueError(f"positions must be ascending and lie in 0..{self.sample_count - 1}")
        kept = encode_kept(self.drawn_positions(0, self.sample_count)[chosen], self.drawn_count)
        return SetPlan.model_validate({**dict(self), "kept": kept, "curations": (*self.curations, curation)})


@dataclass(frozen=True)
class ShardPlan:
    """One shard before it is made.

    Attributes:
        plan: The set it belongs to.
        number: Its place in the set.
        start: Position of its first sample in the set.
        stop: Position after its last sample.
    """

    plan: SetPlan
    number: int
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def file_name(self) -> str:
        """Name of the tar."""
        return f"train-{self.number:06d}.tar"

    @property
    def samples(self) -> list[tuple[int, int]]:
        """(class, index) of each image, in order."""
        classes = self.plan.classes
        drawn = self.plan.drawn_positions(self.start, self.stop).tolist()
        return [(classes[position % len(classes)], position // len(classes)) for position in drawn]

    def key(self, position: int) -> str:
        """Key of the sample at `position` in this shard."""
        return f"{self.number:06d}{position:04d}"

    def batches(self) -> Iterator[range]:
        """Positions in the set that are sampled together, batch by batch.

        They are those of a full shard: what a short last shard does not hold is computed and dropped, so that its
        samples are the same bytes when a longer set goes on from there. A curated set, which nobody draws, goes on
        nowhere.
        """
        end = self.stop if self.plan.is_curated else self.start + self.plan.shard_size
        for first in range(self.start, self.stop, self.plan.batch_size):
            yield range(first, min(first + self.plan.batch_size, end))

    def class_counts(self) -> tuple[int, ...]:
        """Images per class in this shard, in label order."""
        return self.plan.counted(self.start, self.stop)
