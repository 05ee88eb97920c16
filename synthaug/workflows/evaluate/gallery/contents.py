"""What the gallery shows besides figures: the images of each set and what is known of every one."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float, Int64
from torch import Tensor

from synthaug.core.types import LabelledImages


@dataclass(frozen=True, eq=False)
class ShownSet:
    """The images of one set, all of them, in the order of its shards.

    Attributes:
        images: Pixels and labels.
        keys: Key of each sample in its shard.
        predicted: The class the judge takes each for.
        confidence: The probability that the judge gives its label, in [0, 1].
        relative_distance: Distance to the nearest training image, relative to the largest that makes a copy; at most 1:
            a copy.
        nearest: Position of that training image.
    """

    images: LabelledImages
    keys: tuple[str, ...]
    predicted: Int64[Tensor, " n"]
    confidence: Float[Tensor, " n"]
    relative_distance: Float[Tensor, " n"]
    nearest: Int64[Tensor, " n"]
