"""Moves and cuts of whole uint8 batches on their device: where pixels come from, never what becomes of their values."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64, UInt8
from torch import Tensor

#: Uniforms per image that `crop_and_flip` and `cut_out` take.
CROP_AND_FLIP_DRAWS = 3
CUT_OUT_DRAWS = 2


def crop_and_flip(
    images: UInt8[Tensor, "n c h w"], uniforms: Float[Tensor, "n 3"], allows_flip: bool
) -> UInt8[Tensor, "n c h w"]:
    """Pads by an eighth of the size with zeros and crops at random; then mirrors half of the images, if allowed.

    An eighth is 4 pixels at 32x32, the common choice for CIFAR-10 (Lee et al. 2015, "Deeply-Supervised Nets"),
    and 1 pixel at 8x8.

    Args:
        images: Square.
        uniforms: In [0, 1): offset from the top, offset from the left, whether to mirror.
        allows_flip: Whether mirroring keeps the class.
    """
    count, channels, size, _ = images.shape
    if count == 0:
        return images
    padding = max(1, size // 8)
    width, device = size + 2 * padding, images.device
    top, left = (uniforms[:, :2] * (2 * padding + 1)).long().unbind(1)
    # Copying rows from a flat view is several times faster than gathering pixels, on the CPU.
    flat = F.pad(images, (padding,) * 4).flatten()
    area = width * width
    first = torch.arange(0, count * channels * area, channels * area, device=device) + top * width + left
    rows = torch.arange(0, channels * area, area, device=device)[:, None] + torch.arange(
        0, size * width, width, device=device
    )
    starts = first[:, None] + rows.flatten()
    cropped = flat.unfold(0, size, 1).index_select(0, starts.flatten()).view(images.shape)
    if not allows_flip:
        return cropped
    # No boolean index: a GPU would have to wait for it. Eight pixels are chosen at a time, where they come in eights.
    wide = torch.int64 if channels * size * size % 8 == 0 else torch.uint8
    mirrored, plain = (images.view(count, -1).view(wide) for images in (cropped.flip(-1), cropped))
    return torch.where(uniforms[:, 2:] < 0.5, mirrored, plain).view(torch.uint8).view(images.shape)


def affine(
    images: UInt8[Tensor, "n c h w"], matrices: Float64[Tensor, "n 2 3"], mode: Literal["nearest", "bilinear"]
) -> UInt8[Tensor, "n c h w"]:
    """Every image seen through a matrix of its own; zeros where that lies outside.

    Args:
        images: Square.
        matrices: Map a pixel (x, y, 1) of the result to the (x, y) it is taken from, both counted from the centre of
            the image, y downwards.
        mode: Interpolation.
    """
    size = images.shape[-1]
    centred = torch.arange(size, device=images.device) - (size - 1) / 2
    # From here on single precision and in this order, as torchvision; but no matrix product, which may be inexact.
    scaled = matrices.float()[..., None, None] / (size / 2)
    grid = scaled[:, :, 0] * centred + scaled[:, :, 1] * centred[:, None] + scaled[:, :, 2]
    moved = F.grid_sample(images.float(), grid.permute(0, 2, 3, 1), mode=mode, align_corners=False)
    return moved.round_().to(torch.uint8)


def rotations(degrees: Float64[Tensor, " n"]) -> Float64[Tensor, "n 2 3"]:
    """Matrices for `affine` that turn images counter-clockwise about their centre."""
    angles = degrees.deg2rad()
    cosine, sine, zero = angles.cos(), angles.sin(), torch.zeros_like(angles)
    return torch.stack([cosine, -sine, zero, sine, cosine, zero], dim=1).view(-1, 2, 3)


def cut_out(images: UInt8[Tensor, "n c h w"], uniforms: Float[Tensor, "n 2"]) -> UInt8[Tensor, "n c h w"]:
    """Cutout: sets one square of half the size to zero; its centre may be any pixel, so the border may clip it.

    DeVries & Taylor 2017, "Improved Regularization of Convolutional Neural Networks with Cutout" (16 pixels at 32x32).

    Args:
        images: Square.
        uniforms: In [0, 1): row and column of the centre.
    """
    size = images.shape[-1]
    side = size // 2
    starts = (uniforms * size).long() - side // 2
    offsets = torch.arange(size, device=images.device) - starts[..., None]
    rows, columns = ((offsets >= 0) & (offsets < side)).unbind(1)
    return images.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0)
