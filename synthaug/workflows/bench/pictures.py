"""Grids of what the classifiers were shown, a row for each class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Int64
from torch import Tensor

from synthaug.core.pixels import encode_png, grid
from synthaug.core.seeding import generator_for
from synthaug.core.storage import write_bytes
from synthaug.core.types import LabelledImages

REAL_PICTURE = "real.png"
_CLASSES, _PER_CLASS = 10, 8


def picture_names(count: int) -> list[str]:
    """File names of the grids of so many synthetic sets."""
    return ["synthetic.png"] if count == 1 else [f"synthetic-{number}.png" for number in range(1, count + 1)]


def pictures_folder(out: Path, regime: int, regimes: int) -> Path:
    """Where the grids of one number of real images are, of several."""
    return out if regimes == 1 else out / f"regime-{regime + 1}"


def write_pictures(out: Path, real: LabelledImages, synthetic: Sequence[LabelledImages]) -> None:
    """Writes the grid of the real training images and one of each synthetic set."""
    for name, images in zip([REAL_PICTURE, *picture_names(len(synthetic))], [real, *synthetic], strict=True):
        picture = grid(images.images[_rows(images)], _PER_CLASS, scale=max(1, 32 // images.image_size))
        write_bytes(out / name, encode_png(picture))


def _rows(images: LabelledImages) -> Int64[Tensor, " k"]:
    """Random images, a row for each of the first classes; a class with few repeats them, an empty one is left out."""
    rows = []
    for label, members in enumerate(list(images.indices_by_class())[:_CLASSES]):
        if len(members) == 0:
            continue
        order = members[torch.randperm(len(members), generator=generator_for("grid", label))]
        rows.append(order.repeat(-(-_PER_CLASS // len(order)))[:_PER_CLASS])
    return torch.cat(rows)
