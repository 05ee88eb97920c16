"""The presets of classic augmentation as albumentations pipelines for one image; `batch_transforms` is for batches."""

from __future__ import annotations

import importlib
import math
import os
from collections.abc import Callable
from typing import Any

import torch

from synthaug.core.registry import Registry
from synthaug.data.trivial_augment import BINS, OPERATIONS, Operation

#: A preset: (side of the images in pixels, whether mirroring keeps the class) -> albumentations transforms in order.
Preset = Callable[[int, bool], list[Any]]


def import_albumentations() -> Any:
    """The albumentations package, kept from asking the network for a newer version of itself."""
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    return importlib.import_module("albumentations")


def none(size: int, allows_flip: bool) -> list[Any]:  # noqa: ARG001
    """The image as it is."""
    return []


def basic(size: int, allows_flip: bool) -> list[Any]:
    """Pads by an eighth of the size with zeros and crops at random; then mirrors half of the images, if allowed."""
    A = import_albumentations()  # noqa: N806 - the name its users know it by
    cropped = [A.Pad(padding=max(1, size // 8), fill=0, p=1), A.RandomCrop(size, size, p=1)]
    return [*cropped, A.HorizontalFlip(p=0.5)] if allows_flip else cropped


def survey(size: int, allows_flip: bool) -> list[Any]:
    """`basic`, then a rotation about the centre by up to 15 degrees either way: bilinear, zeros outside."""
    A = import_albumentations()  # noqa: N806
    return [*basic(size, allows_flip), A.Affine(rotate=(-15, 15), interpolation=_BILINEAR, fill=0, p=1)]


def strong(size: int, allows_flip: bool) -> list[Any]:
    """`basic`, then TrivialAugmentWide (Müller & Hutter 2021), then cutout (DeVries & Taylor 2017) of half the side."""
    A = import_albumentations()  # noqa: N806
    trivial = [A.OneOf(operation, p=1) for operation in trivial_operations(size).values()]
    return [*basic(size, allows_flip), A.OneOf(trivial, p=1), *cutout(size)]


def cutout(size: int) -> list[Any]:
    """One square of zeros with half the side, centred at any pixel; the image's border clips it."""
    A = import_albumentations()  # noqa: N806
    side = size // 2
    # Room for the square beyond the borders: its first row and column then have `size` places each.
    before, after = side // 2, side - 1 - side // 2
    return [
        A.Pad(padding=(before, before, after, after), fill=0, p=1),
        A.CoarseDropout((1, 1), hole_height_range=(side, side), hole_width_range=(side, side), fill=0, p=1),
        A.Crop(before, before, before + size, before + size, p=1),
    ]


def trivial_operations(size: int) -> dict[str, list[Any]]:
    """TrivialAugmentWide: by the name of the operation, a transform for each of its strengths.

    Strengths are those of `trivial_augment.OPERATIONS`, negative ones first. Nine operations give its pixels, but for
    nearest neighbours at a tie. The others are as near as albumentations comes: `Color`, `Contrast` and `Sharpness`
    round in other places (up to 2 levels), and `Sharpness` changes the outermost pixels too; `AutoContrast` rounds, and
    takes for the brightest pixel the brightest below 255; `Equalize` counts a level's own pixels to those below it, so
    that images are a little, and large black areas clearly brighter.
    """
    A = import_albumentations()  # noqa: N806
    # torchvision shears about the upper left corner: made the centre for as long as it takes.
    cornered = A.Pad(padding=(size, size, 0, 0), fill=0, p=1), A.Crop(size, size, 2 * size, 2 * size, p=1)

    def affine(**options: Any) -> Any:
        return A.Affine(**options, interpolation=_NEAREST, fill=0, p=1)

    def shear(x: float, y: float) -> Any:
        degrees = {"x": math.degrees(math.atan(x)), "y": math.degrees(math.atan(y))}
        return A.Sequential([cornered[0], affine(shear=degrees), cornered[1]], p=1)

    def jitter(name: str, strength: float) -> Any:
        factors = {"brightness": (1, 1), "contrast": (1, 1), "saturation": (1, 1), "hue": (0, 0)}
        return A.ColorJitter(**{**factors, name: (1 + strength, 1 + strength)}, p=1)

    def sharpen(strength: float) -> Any:
        transform = A.Sharpen(alpha=(0, 0), lightness=(1, 1), p=1)
        # Its kernel, I + alpha * Laplacian, is the blend with [[1 1 1] [1 5 1] [1 1 1]] / 13 for this alpha; below zero
        # it smooths, which only the check of the constructor forbids.
        transform.alpha = (strength / 13, strength / 13)
        return transform

    def solarize(threshold: float) -> Any:
        # Half a level below the darkest that is inverted, so that no rounding can move it.
        between = (math.ceil(torch.tensor(255 * threshold).item()) - 0.5) / 255
        return A.Solarize((max(0, between), max(0, between)), p=1)

    make: dict[str, Callable[[float], Any]] = {
        "Identity": lambda _: A.NoOp(p=1),
        "ShearX": lambda slope: shear(slope, 0.0),
        "ShearY": lambda slope: shear(0.0, slope),
        "TranslateX": lambda pixels: affine(translate_px={"x": int(pixels), "y": 0}),
        "TranslateY": lambda pixels: affine(translate_px={"x": 0, "y": int(pixels)}),
        "Rotate": lambda degrees: affine(rotate=(degrees, degrees)),
        "Brightness": lambda strength: jitter("brightness", strength),
        "Color": lambda strength: jitter("saturation", strength),
        "Contrast": lambda strength: jitter("contrast", strength),
        "Sharpness": sharpen,
        "Posterize": lambda bits: A.Posterize((round(bits), round(bits)), p=1),
        "Solarize": solarize,
        "AutoContrast": lambda _: A.AutoContrast(method="pil", p=1),
        "Equalize": lambda _: A.Equalize(mode="pil", p=1),
    }
    return {each.name: [make[each.name](strength) for strength in strengths_of(each)] for each in OPERATIONS}


def strengths_of(operation: Operation) -> list[float]:
    """All that an operation may draw, each as likely as the others; in single precision, as torchvision's."""
    if operation.weakest == operation.strongest:
        return [operation.weakest]
    positive: list[float] = torch.linspace(operation.weakest, operation.strongest, BINS).tolist()
    return [*(-strength for strength in positive), *positive] if operation.is_signed else positive


#: OpenCV's numbers.
_NEAREST, _BILINEAR = 0, 1

PRESETS: Registry[Preset] = Registry(
    "transform preset", {"none": none, "basic": basic, "survey": survey, "strong": strong}
)
