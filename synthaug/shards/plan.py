"""Which sample goes where: shards and keys as a pure function of the settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from pydantic import BaseModel, ConfigDict, Field


class SetPlan(BaseModel):
    """Everything that identifies the samples of a set; two sets with equal plans are equal.

    Attributes:
        model: Name of the generator backend.
        checkpoint: Hash of its weights.
        sampler: Name of the sampler.
        steps: Network evaluations per image (twice as many with guidance).
        guidance: Classifier-free guidance weight; 1 is none.
        seed: Seed of the samples.
        class_names: Classes in label order.
        per_class: Images per class.
        shard_size: Images per shard, except in the last one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    checkpoint: str
    sampler: str
    steps: int
    guidance: float
    seed: int
    class_names: tuple[str, ...]
    per_class: int = Field(ge=1)
    shard_size: int = Field(ge=1, le=10_000)

    @property
    def sample_count(self) -> int:
        """Images in the whole set."""
        return self.per_class * len(self.class_names)

    def shards(self) -> list[ShardPlan]:
        """The shards in order; every class is as evenly spread over them as can be."""
        starts = range(0, self.sample_count, self.shard_size)
        return [ShardPlan.of(self, number, start) for number, start in enumerate(starts)]


@dataclass(frozen=True)
class ShardPlan:
    """One shard before it is made.

    Attributes:
        number: Position in the set.
        samples: (class, index) of each image, in order.
    """

    number: int
    samples: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, plan: SetPlan, number: int, start: int) -> Self:
        """The shard that begins with sample `start` of `plan`."""
        classes = len(plan.class_names)
        stop = min(start + plan.shard_size, plan.sample_count)
        return cls(number, tuple((position % classes, position // classes) for position in range(start, stop)))

    @property
    def file_name(self) -> str:
        """Name of the tar."""
        return f"train-{self.number:06d}.tar"

    def key(self, position: int) -> str:
        """Key of the sample at `position` in this shard."""
        return f"{self.number:06d}{position:04d}"

    def class_counts(self, classes: int) -> list[int]:
        """Images per class in this shard."""
        counts = [0] * classes
        for label, _ in self.samples:
            counts[label] += 1
        return counts
