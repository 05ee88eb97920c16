"""Many small pictures in few files: thumbnails on sheets, each of which the page decodes once."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.nn import functional as F

from synthaug.core.pixels import encode_webp, grid

#: Larger images are shrunk, so that the page stays small.
LARGEST_THUMBNAIL = 64
#: Largest height and width of a sheet: a view of samples from all over the set needs many sheets decoded.
_SHEET_SIDE = 512
_BATCH = 256


def thumbnails(images: UInt8[Tensor, "n c h w"], *, largest: int = LARGEST_THUMBNAIL) -> UInt8[Tensor, "n c side side"]:
    """The images, those above the largest size shrunk to it; every pixel is the mean of the area that it covers."""
    if images.shape[-1] <= largest:
        return images
    small = [F.adaptive_avg_pool2d(batch.to(torch.float32), largest).round_() for batch in torch.split(images, _BATCH)]
    return torch.cat(small).to(torch.uint8)


def columns_of(side: int) -> int:
    """Thumbnails in a row of a sheet; it holds as many rows at most."""
    return max(1, _SHEET_SIDE // side)


def sheets(pictures: UInt8[Tensor, "n c side side"]) -> Iterator[bytes]:
    """Lossless WebP files with the thumbnails row by row, without gaps, in their order."""
    columns = columns_of(pictures.shape[-1])
    for part in torch.split(pictures, columns * columns):
        yield encode_webp(grid(part, columns, gap=0))
