"""Presets of classic augmentation for whole uint8 batches on their device, drawn first and applied second."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float, UInt8
from torch import Tensor

from synthaug.core.registry import Registry
from synthaug.data.geometry import CROP_AND_FLIP_DRAWS, CUT_OUT_DRAWS, affine, crop_and_flip, cut_out, rotations
from synthaug.data.trivial_augment import TRIVIAL_AUGMENT_DRAWS, trivial_augment

#: (images, uniforms, whether mirroring keeps the class) -> images.
Apply = Callable[[UInt8[Tensor, "n c h w"], Float[Tensor, "n draws"], bool], UInt8[Tensor, "n c h w"]]


@dataclass(frozen=True)
class BatchTransform:
    """A preset: an image's result depends on the image and its own row of uniforms, not on its batch.

    Attributes:
        draws: Uniforms in [0, 1) needed per image.
        apply: Changes square grey or RGB images of at least 4 pixels; its inputs stay as they are.
        normalises: Whether the preset also standardises by the statistics of the training images (done elsewhere).
    """

    draws: int
    apply: Apply
    normalises: bool = False


def none(
    images: UInt8[Tensor, "n c h w"],
    uniforms: Float[Tensor, "n 0"],  # noqa: ARG001
    allows_flip: bool,  # noqa: ARG001
) -> UInt8[Tensor, "n c h w"]:
    """The images as they are."""
    return images


def survey(
    images: UInt8[Tensor, "n c h w"], uniforms: Float[Tensor, "n 4"], allows_flip: bool
) -> UInt8[Tensor, "n c h w"]:
    """Crops and mirrors as `basic`, then rotates by up to 15 degrees either way (bilinear, zeros outside)."""
    cropped = crop_and_flip(images, uniforms[:, :CROP_AND_FLIP_DRAWS], allows_flip)
    degrees = (uniforms[:, CROP_AND_FLIP_DRAWS].double() - 0.5) * (2 * MOST_DEGREES)
    return affine(cropped, rotations(degrees), "bilinear")


def strong(
    images: UInt8[Tensor, "n c h w"], uniforms: Float[Tensor, "n 8"], allows_flip: bool
) -> UInt8[Tensor, "n c h w"]:
    """Crops and mirrors as `basic`, then TrivialAugment, then Cutout.

    TrivialAugment moves images by up to 32 pixels, whatever their size: of smaller ones nothing may be left.
    """
    changed = crop_and_flip(images, uniforms[:, :CROP_AND_FLIP_DRAWS], allows_flip)
    changed = trivial_augment(changed, uniforms[:, CROP_AND_FLIP_DRAWS:-CUT_OUT_DRAWS])
    return cut_out(changed, uniforms[:, -CUT_OUT_DRAWS:])


#: Largest rotation of `survey`.
MOST_DEGREES = 15.0

TRANSFORMS: Registry[BatchTransform] = Registry(
    "transform preset",
    {
        "none": BatchTransform(0, none),
        "basic": BatchTransform(CROP_AND_FLIP_DRAWS, crop_and_flip),
        "survey": BatchTransform(CROP_AND_FLIP_DRAWS + 1, survey, normalises=True),
        "strong": BatchTransform(CROP_AND_FLIP_DRAWS + TRIVIAL_AUGMENT_DRAWS + CUT_OUT_DRAWS, strong),
    },
)
