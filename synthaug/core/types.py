"""The values that travel between layers; not the code that makes them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Int64, UInt8
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from synthaug.core.errors import InputError


def fingerprint(images: UInt8[Tensor, "n c h w"], labels: Int64[Tensor, " n"]) -> str:
    """The sha256 of shape, pixels and labels in their order, as 64 hexadecimal digits."""
    digest = hashlib.sha256(repr(tuple(images.shape)).encode())
    for start in range(0, len(images), 4096):
        digest.update(images[start : start + 4096].contiguous().cpu().numpy().tobytes())
    digest.update(labels.contiguous().cpu().numpy().astype("<i8").tobytes())
    return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Square images and their classes, in a fixed order.

    Attributes:
        images: uint8 in [0, 255], grey (c = 1) or RGB (c = 3), height equal to width.
        labels: Class indices in [0, len(class_names)).
        class_names: Names in label order.
        name: Where the images come from, for messages and reports.
        fingerprint: The sha256 of pixels, labels and order.
    """

    images: UInt8[Tensor, "n c h w"]
    labels: Int64[Tensor, " n"]
    class_names: tuple[str, ...]
    name: str
    fingerprint: str

    @classmethod
    def of(
        cls,
        images: UInt8[Tensor, "n c h w"],
        labels: Int64[Tensor, " n"],
        class_names: tuple[str, ...],
        name: str,
    ) -> Self:
        """Checks the invariants and computes the fingerprint.

        Raises:
            InputError: If there are no images, they are not square uint8 grey or RGB, or a label has no class name.
        """
        if images.dtype != torch.uint8:
            detail = ", with values that are no numbers" if images.is_floating_point() and images.isnan().any() else ""
            raise InputError(f"{name}: images must be uint8 in 0..255, found {images.dtype}{detail}")
        count, channels, height, width = images.shape
        if count == 0:
            raise InputError(f"{name}: at least one image is needed, found none")
        if channels not in (1, 3) or height != width:
            raise InputError(f"{name}: square grey or RGB images are needed, found {channels}x{height}x{width}")
        if len(labels) != count:
            raise InputError(f"{name}: one label per image is needed, found {len(labels)} for {count} images")
        lowest, highest = int(labels.min()), int(labels.max())
        if lowest < 0 or highest >= len(class_names):
            raise InputError(f"{name}: labels must lie in 0..{len(class_names) - 1}, found {lowest}..{highest}")
        return cls(images, labels, class_names, name, fingerprint(images, labels))

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Int64[Tensor, " k"]) -> LabelledImages:
        """The images at `indices`, in that order, with a fingerprint of their own."""
        return LabelledImages.of(self.images[indices], self.labels[indices], self.class_names, self.name)

    @property
    def channels(self) -> int:
        """1 for grey, 3 for RGB."""
        return int(self.images.shape[1])

    @property
    def image_size(self) -> int:
        """Height and width in pixels."""
        return int(self.images.shape[2])

    def class_counts(self) -> tuple[int, ...]:
        """Images per class, in label order."""
        return tuple(torch.bincount(self.labels, minlength=len(self.class_names)).tolist())

    def indices_by_class(self) -> Iterator[Int64[Tensor, " m"]]:
        """For each class in label order, the positions of its images."""
        for label in range(len(self.class_names)):
            yield torch.nonzero(self.labels == label).flatten()


def spread(labels: Int64[Tensor, " n"], count: int) -> Int64[Tensor, " k"]:
    """So many positions, as even over classes as can be: the first of each class in turn, then the second, and so on.

    All positions in their order if there are no more.
    """
    if len(labels) <= count:
        return torch.arange(len(labels))
    rank = torch.empty(len(labels), dtype=torch.int64)
    for label in set(labels.tolist()):
        members = (labels == label).nonzero().flatten()
        rank[members] = torch.arange(len(members))
    return rank.argsort(stable=True)[:count]


class SplitRecord(BaseModel):
    """What a training saw and what was held out from it; travels with checkpoints and shard sets.

    Attributes:
        source: SPEC of the source.
        source_fingerprint: Fingerprint of all its images, before splitting.
        seed: Seed of the split.
        class_counts: Real training images in use, per class.
        train_fingerprint: Fingerprint of the training images in use.
        held_out_fingerprint: sha256 over the fingerprints of validation and test.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    source_fingerprint: str
    seed: int
    class_counts: tuple[int, ...]
    train_fingerprint: str
    held_out_fingerprint: str
