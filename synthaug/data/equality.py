"""Which images are the same, pixel for pixel; likeness is the business of metrics."""

from __future__ import annotations

import hashlib

import torch
from jaxtyping import Bool, UInt8
from torch import Tensor


def digests(images: UInt8[Tensor, "n c h w"]) -> list[bytes]:
    """A hash of each image's pixels."""
    return [hashlib.blake2b(image.numpy().tobytes(), digest_size=16).digest() for image in images.contiguous()]


def equal_to_any(
    images: UInt8[Tensor, "n c h w"], others: UInt8[Tensor, "m c h w"], *, mirrored: bool
) -> Bool[Tensor, " n"]:
    """Which images equal one of the others pixel for pixel, or its mirror image if that counts."""
    known = set(digests(others)) | (set(digests(others.flip(-1))) if mirrored else set())
    return torch.tensor([digest in known for digest in digests(images)], dtype=torch.bool)
