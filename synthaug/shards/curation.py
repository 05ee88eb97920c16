"""What a curated set says of itself: which samples of a drawn set it keeps, what chose them, and their scores."""

from __future__ import annotations

import base64
import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, TypeAlias

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from synthaug.core.types import SplitRecord

Positions: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]
#: A score that was not measured.
NOT_MEASURED = -1.0
_DECIMALS = 6
#: Selections whose positions stay in memory.
_SELECTIONS = 8


class FilterRecord(BaseModel):
    """One filter of a curation.

    Attributes:
        name: Its name on the command line.
        value: Its setting there; None if it has none.
        removed: Images removed, per class in label order.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    value: str | None
    removed: tuple[Annotated[int, Field(ge=0)], ...]

    @property
    def setting(self) -> str:
        """Name and value."""
        return self.name if self.value is None else f"{self.name} {self.value}"

    @property
    def summary(self) -> str:
        """What it removed, in words."""
        return f"{self.setting} removed {sum(self.removed)}"


class JudgeRecord(BaseModel):
    """The classifier that judged the samples of a set, and what it learned from.

    Attributes:
        network: Name of its network.
        weights_sha256: Of its weights.
        steps: Optimiser steps of its training.
        validation_accuracy: How well it classifies the validation images, in [0, 1].
        split: What it was trained on and what was held out.
        ancestors: The same of the classifiers from which its training began, newest first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: str
    weights_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    steps: int = Field(ge=0)
    validation_accuracy: float = Field(ge=0, le=1)
    split: SplitRecord
    ancestors: tuple[SplitRecord, ...]

    @property
    def summary(self) -> str:
        """What it is, how good it is and what it was trained on, in words."""
        first, *former = (
            f"{sum(split.class_counts)} images of {split.source} (split seed {split.seed})"
            for split in (self.split, *self.ancestors)
        )
        before = "".join(f", before that on {real}" for real in former)
        accuracy = f"validation accuracy {100 * self.validation_accuracy:.2f} %"
        return f"{self.network}, {self.steps} steps, {accuracy}, trained on {first}{before}"


class CurationRecord(BaseModel):
    """How some samples of a set were chosen.

    Attributes:
        source: The sha256 of the manifest of the set they were chosen from (see `set_key`).
        filters: What removed the others, in the order in which they were applied.
        judge: The classifier whose opinion they used.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(pattern=r"^[0-9a-f]{64}$")
    filters: tuple[FilterRecord, ...]
    judge: JudgeRecord

    @property
    def summary(self) -> str:
        """What its filters removed, in words."""
        return "; ".join(one.summary for one in self.filters) or "no filter"


@dataclass(frozen=True)
class Scores:
    """What a curation measured of one sample; -1 for what was not measured.

    Attributes:
        label_confidence: Probability in [0, 1] that the judge gives to its class.
        nearest_train_distance: Distance to the nearest real training image.
        relative_train_distance: The same relative to the largest distance that makes it a copy: at most 1 for a copy.
    """

    label_confidence: float = NOT_MEASURED
    nearest_train_distance: float = NOT_MEASURED
    relative_train_distance: float = NOT_MEASURED

    def __post_init__(self) -> None:
        if not all(math.isfinite(value) for value in vars(self).values()):
            raise ValueError(f"scores must be finite numbers, found {self}")

    def rounded(self) -> dict[str, float]:
        """The scores by name, to six decimals, as a sample's JSON holds them."""
        # The sum turns -0.0 into 0.0.
        return {name: round(float(value), _DECIMALS) + 0.0 for name, value in vars(self).items()}

    @classmethod
    def parse(cls, description: bytes) -> Scores:
        """The scores in the JSON of a sample.

        Raises:
            ValueError: If it does not hold exactly these, as finite numbers.
        """
        try:
            value = json.loads(description)
        except RecursionError as error:
            raise ValueError("too deep") from error
        found = value.get("scores") if isinstance(value, dict) else None
        if not isinstance(found, dict) or found.keys() != {field.name for field in dataclasses.fields(cls)}:
            raise ValueError("it has other scores")
        if any(type(score) is not float for score in found.values()):
            raise ValueError("a score is no number with a decimal point")
        return cls(**found)


def encode_kept(positions: Sequence[int] | Positions, count: int) -> str:
    """The bitmap of a selection: base64 of one bit per sample of the drawn set, the first one highest in its byte.

    Args:
        positions: Of the samples kept.
        count: Samples in the drawn set.
    """
    bits = np.zeros(count, dtype=np.uint8)
    bits[np.asarray(positions, dtype=np.int64)] = 1
    return base64.b64encode(np.packbits(bits).tobytes()).decode()


@lru_cache(maxsize=_SELECTIONS)
def kept_positions(kept: str, count: int) -> Positions:
    """The positions in the drawn set of the samples that a bitmap keeps, ascending.

    Args:
        kept: The bitmap.
        count: Samples in the drawn set.

    Raises:
        ValueError: If it is not the one bitmap of a selection of at least one sample.
    """
    if len(kept) != 4 * -(-count // 24):  # base64 has four letters for three bytes; checked before anything is decoded
        raise ValueError(f"kept must have a bit for each of {count} samples")
    bits = np.unpackbits(np.frombuffer(base64.b64decode(kept, validate=True), dtype=np.uint8))
    positions = np.flatnonzero(bits[:count])
    if len(bits) < count or encode_kept(positions, count) != kept:
        raise ValueError(f"kept must have a bit for each of {count} samples, and nothing else")
    if not len(positions):
        raise ValueError("kept must keep at least one sample")
    positions.flags.writeable = False
    return positions
