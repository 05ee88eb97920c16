"""Common corruptions (Hendrycks & Dietterich 2019), one severity each, to test a classifier on; not augmentation.

The strengths are of the paper's severity 3 of 5, as its authors chose them for CIFAR-10. Its weather is left out:
albumentations has none for grey images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from synthaug.core.registry import Registry
from synthaug.core.seeding import derive_seed, sample_seeds
from synthaug.data.transform_presets import import_albumentations
from synthaug.data.transforms import SampleTransform


@dataclass(frozen=True)
class Corruption:
    """One way in which images get worse.

    Attributes:
        strength: How much.
        unit: What that is a number of.
        transform: From the strength and the side of the images in pixels to an albumentations transform.
    """

    strength: float
    unit: str
    transform: Callable[[float, int], Any]


def corrupted(images: UInt8[Tensor, "n c s s"], name: str, *, seed: int = 0) -> UInt8[Tensor, "n c s s"]:
    """The images made worse; each by its own draw, which depends on the seed, the name and its position only.

    Args:
        images: On the CPU, grey or RGB.
        name: Of a corruption.
        seed: Any integer.

    Raises:
        InputError: If there is no such corruption.
    """
    corruption = CORRUPTIONS.get(name)
    if len(images) == 0:
        return images.clone()
    transforms = [corruption.transform(corruption.strength, images.shape[-1])]
    transform = SampleTransform(import_albumentations().Compose(transforms))
    seeds = sample_seeds(derive_seed("corruption", name, seed), torch.arange(len(images))).tolist()
    return torch.stack([transform(image, own_seed) for image, own_seed in zip(images, seeds, strict=True)])


def _gaussian_noise(deviation: float, size: int) -> Any:  # noqa: ARG001
    return import_albumentations().GaussNoise(std_range=(deviation, deviation), p=1)


def _shot_noise(photons: float, size: int) -> Any:  # noqa: ARG001
    # albumentations counts photons of linear light y = x^2.2, the paper those of x. The deviation at mid-grey is the
    # paper's if sqrt(y scale) / (dy/dx) = sqrt(x / photons): x is 0.5.
    scale = (2.2 * 0.5**1.2) ** 2 * 0.5 / (photons * 0.5**2.2)
    return import_albumentations().ShotNoise(scale_range=(scale, scale), p=1)


def _gaussian_blur(sigma: float, size: int) -> Any:
    own_sigma = max(_LEAST_SIGMA, sigma * size / _SIDE)
    return import_albumentations().GaussianBlur(blur_limit=(0, 0), sigma_limit=(own_sigma, own_sigma), p=1)


def _motion_blur(length: float, size: int) -> Any:
    """A line of any direction about each pixel."""
    zoom = _zoom(size)
    kernel = _odd(zoom * max(_LEAST_LENGTH, length * size / _SIDE))
    blur = import_albumentations().MotionBlur((kernel, kernel), allow_shifted=False, direction_range=(0, 0), p=1)
    return _enlarged(blur, size)


def _brightness(offset: float, size: int) -> Any:  # noqa: ARG001
    return import_albumentations().RandomBrightnessContrast((offset, offset), (0, 0), p=1)


def _contrast(factor: float, size: int) -> Any:  # noqa: ARG001
    factors = {"brightness": (1, 1), "contrast": (factor, factor), "saturation": (1, 1), "hue": (0, 0)}
    return import_albumentations().ColorJitter(**factors, p=1)


def _pixelate(share: float, size: int) -> Any:
    side = _zoom(size) * size
    exact = round(share * side) / side  # any other would cut off or leave over a part of a pixel
    interpolations = {"downscale": _AREA, "upscale": _NEAREST_EXACT}
    larger = import_albumentations().Downscale(scale_range=(exact, exact), interpolation_pair=interpolations, p=1)
    return _enlarged(larger, size)


def _jpeg(quality: float, size: int) -> Any:  # noqa: ARG001
    # It hands RGB to an encoder of BGR: of the colours, red and not blue loses most.
    return import_albumentations().ImageCompression(quality_range=(round(quality), round(quality)), p=1)


def _zoom(size: int) -> int:
    """How many times as large an image must be to have `_SIDE` pixels."""
    return -(-_SIDE // size)


def _enlarged(transform: Any, size: int) -> Any:
    """The transform on an enlarged image: of a small one, whole pixels are too much to lose."""
    if _zoom(size) == 1:
        return transform
    A = import_albumentations()  # noqa: N806
    side = _zoom(size) * size
    larger = A.Resize(side, side, interpolation=_NEAREST, p=1)
    return A.Sequential([larger, transform, A.Resize(size, size, interpolation=_AREA, p=1)], p=1)


def _odd(value: float) -> int:
    return max(3, 2 * round((value - 1) / 2) + 1)


#: Side, in pixels, of the images that lengths in the table are about; others are blurred in proportion.
_SIDE = 32
#: In pixels: less would change nothing.
_LEAST_SIGMA, _LEAST_LENGTH = 0.5, 1.75
#: OpenCV's numbers.
_NEAREST, _AREA, _NEAREST_EXACT = 0, 3, 6

CORRUPTIONS: Registry[Corruption] = Registry(
    "corruption",
    {
        "gaussian-noise": Corruption(0.08, "standard deviation, of white", _gaussian_noise),
        "shot-noise": Corruption(100.0, "photons in a white pixel", _shot_noise),
        "gaussian-blur": Corruption(0.7, "standard deviation, in pixels of 32", _gaussian_blur),
        "motion-blur": Corruption(5.0, "length, in pixels of 32", _motion_blur),
        "brightness": Corruption(0.15, "added, of white", _brightness),
        "contrast": Corruption(0.4, "of the difference from the mean", _contrast),
        "pixelate": Corruption(0.85, "of the side's pixels", _pixelate),
        "jpeg": Corruption(58.0, "quality", _jpeg),
    },
)
