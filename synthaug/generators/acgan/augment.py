"""Differentiable augmentation of what the discriminator sees (Zhao et al. 2020, "DiffAugment").

Real and generated images go through the same random changes, each image through its own; the generator learns through
them. All randomness comes from the generator given.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from synthaug.core.errors import InputError

Images = Float[Tensor, "n c h w"]
Change = Callable[[Images, torch.Generator], Images]


def _uniform(images: Images, generator: torch.Generator, low: float, high: float) -> Float[Tensor, "n 1 1 1"]:
    values = torch.rand(len(images), 1, 1, 1, generator=generator, device=images.device)
    return values * (high - low) + low


def colour(images: Images, generator: torch.Generator) -> Images:
    """Brightness shifted by -0.5 to 0.5, saturation scaled by 0 to 2, contrast by 0.5 to 1.5."""
    images = images + _uniform(images, generator, -0.5, 0.5)
    grey = images.mean(dim=1, keepdim=True)
    images = grey + (images - grey) * _uniform(images, generator, 0.0, 2.0)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (images - mean) * _uniform(images, generator, 0.5, 1.5)


def translation(images: Images, generator: torch.Generator) -> Images:
    """Shifted by up to an eighth of the size each way (at least a pixel); what comes into view is black."""
    size = images.shape[-1]
    most = max(1, round(size / 8))
    shifts = torch.randint(-most, most + 1, (2, len(images), 1), generator=generator, device=images.device)
    positions = torch.arange(size, device=images.device)[None]
    rows, columns = positions + shifts[0], positions + shifts[1]
    is_inside = ((rows >= 0) & (rows < size))[:, None, :, None] & ((columns >= 0) & (columns < size))[:, None, None]
    number = torch.arange(len(images), device=images.device)[:, None, None]
    moved = images.permute(0, 2, 3, 1)[number, rows.clamp(0, size - 1)[:, :, None], columns.clamp(0, size - 1)[:, None]]
    return torch.where(is_inside, moved.permute(0, 3, 1, 2), -torch.ones((), device=images.device, dtype=images.dtype))


def cutout(images: Images, generator: torch.Generator) -> Images:
    """A square of half the size made mid-grey, its middle anywhere in the image."""
    size = images.shape[-1]
    middles = torch.randint(0, size + 1, (2, len(images), 1), generator=generator, device=images.device)
    positions = torch.arange(size, device=images.device)[None]
    half = size // 4
    rows, columns = ((positions >= middle - half) & (positions < middle + half) for middle in middles)
    return images.masked_fill(rows[:, None, :, None] & columns[:, None, None, :], 0.0)


CHANGES: dict[str, Change] = {"colour": colour, "translation": translation, "cutout": cutout}


def policy(words: str) -> list[Change]:
    """The changes that a policy such as "colour,translation,cutout" names, in order; "none" is no change.

    Raises:
        InputError: If a name is unknown.
    """
    if words == "none":
        return []
    changes = []
    for word in (each.strip() for each in words.split(",")):
        if word not in CHANGES:
            known = ", ".join(CHANGES)
            raise InputError(f"--diffaugment takes none or a list of {known} with commas between them, found {words!r}")
        changes.append(CHANGES[word])
    return changes


def augment(images: Images, changes: list[Change], generator: torch.Generator) -> Images:
    """All changes one after the other."""
    for change in changes:
        images = change(images, generator)
    return images
