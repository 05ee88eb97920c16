"""Classic augmentation of whole uint8 batches on their device, drawn first and applied second."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import UInt8
from torch import Tensor

from synthaug.core.registry import Registry

#: A preset: (images, generator on the images' device, whether mirroring keeps the class) -> images.
BatchTransform = Callable[[UInt8[Tensor, "n c h w"], torch.Generator, bool], UInt8[Tensor, "n c h w"]]


def no_transform(
    images: UInt8[Tensor, "n c h w"],
    generator: torch.Generator,  # noqa: ARG001
    allows_flip: bool,  # noqa: ARG001
) -> UInt8[Tensor, "n c h w"]:
    """The images as they are."""
    return images


def basic(images: UInt8[Tensor, "n c h w"], generator: torch.Generator, allows_flip: bool) -> UInt8[Tensor, "n c h w"]:
    """Pads by an eighth of the size with zeros and crops at random; then mirrors half of the images, if allowed.

    An eighth is 4 pixels at 32x32, the common choice for CIFAR-10 (Lee et al. 2015, "Deeply-Supervised Nets"),
    and 1 pixel at 8x8.
    """
    count, _, size, _ = images.shape
    padding = max(1, size // 8)
    device = images.device
    shift = torch.randint(0, 2 * padding + 1, (2, count, 1, 1, 1), generator=generator, device=device)
    is_mirrored = torch.rand((count, 1, 1, 1), generator=generator, device=device) < (0.5 if allows_flip else 0.0)

    positions = torch.arange(size, device=device)
    rows = shift[0] + positions.view(1, 1, size, 1)
    columns = shift[1] + torch.where(is_mirrored, positions.flip(0).view(1, 1, 1, size), positions.view(1, 1, 1, size))
    padded = F.pad(images, (padding, padding, padding, padding))
    channels = torch.arange(images.shape[1], device=device).view(1, -1, 1, 1)
    members = torch.arange(count, device=device).view(-1, 1, 1, 1)
    return padded[members, channels, rows, columns]


TRANSFORMS: Registry[BatchTransform] = Registry("transform preset", {"none": no_transform, "basic": basic})
