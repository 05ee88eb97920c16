"""TrivialAugment of whole uint8 batches on their device: one operation of one strength for each image."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64, UInt8
from torch import Tensor

from synthaug.data.geometry import affine, rotations

#: Uniforms per image that `trivial_augment` takes.
TRIVIAL_AUGMENT_DRAWS = 3

#: Strengths per operation.
BINS = 31

#: (images, strength of each) -> images.
Change = Callable[[UInt8[Tensor, "n c h w"], Float64[Tensor, " n"]], UInt8[Tensor, "n c h w"]]


@dataclass(frozen=True)
class Operation:
    """One of TrivialAugment's operations.

    Attributes:
        name: As torchvision spells it.
        change: What it does.
        weakest: First of `BINS` equally spaced strengths.
        strongest: Last of them.
        is_signed: Whether half of the strengths are negated.
    """

    name: str
    change: Change
    weakest: float = 0.0
    strongest: float = 0.0
    is_signed: bool = False


def trivial_augment(images: UInt8[Tensor, "n c h w"], uniforms: Float[Tensor, "n 3"]) -> UInt8[Tensor, "n c h w"]:
    """TrivialAugment with the wide space of operations, as `torchvision.transforms.v2.TrivialAugmentWide` defines it.

    Müller & Hutter 2021, "TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation", table 6. Nearest
    neighbours and zeros outside, torchvision's defaults. Images of one operation are changed together.

    Args:
        images: Square, grey or RGB.
        uniforms: In [0, 1): which operation, which strength, which sign.
    """
    operation = (uniforms[:, 0] * len(OPERATIONS)).long()
    strength_bin = (uniforms[:, 1] * BINS).long()
    is_positive = (uniforms[:, 2] >= 0.5).long()
    strengths = _strengths(str(images.device))[operation, is_positive, strength_bin]

    order = operation.argsort(stable=True)
    counts = torch.bincount(operation, minlength=len(OPERATIONS)).tolist()  # The only time a GPU is waited for.
    groups = zip(OPERATIONS, torch.split(images[order], counts), torch.split(strengths[order], counts), strict=True)
    changed = [each.change(group, strength) for each, group, strength in groups if len(group)]
    return torch.cat([images[:0], *changed])[order.argsort()]


@functools.lru_cache(maxsize=8)
def _strengths(device: str) -> Float64[Tensor, "operations 2 bins"]:
    """Strengths by operation, sign (negative first) and bin; spaced in single precision, as torchvision's."""
    rows = []
    for each in OPERATIONS:
        positive = torch.linspace(each.weakest, each.strongest, BINS).double()
        rows.append(torch.stack([-positive if each.is_signed else positive, positive]))
    return torch.stack(rows).to(device)


def _identity(images: UInt8[Tensor, "n c h w"], _: Float64[Tensor, " n"]) -> UInt8[Tensor, "n c h w"]:
    return images


def _shear_x(images: UInt8[Tensor, "n c h w"], slope: Float64[Tensor, " n"]) -> UInt8[Tensor, "n c h w"]:
    """Rows move in proportion to their distance from the top."""
    return affine(images, _identities(slope, x_by_y=slope, x=slope * (images.shape[-1] / 2)), "nearest")


def _shear_y(images: UInt8[Tensor, "n c h w"], slope: Float64[Tensor, " n"]) -> UInt8[Tensor, "n c h w"]:
    """Columns move in proportion to their distance from the left."""
    return affine(images, _identities(slope, y_by_x=slope, y=slope * (images.shape[-1] / 2)), "nearest")


def _translate_x(images: UInt8[Tensor, "n c h w"], pixels: Float64[Tensor, " n"]) -> UInt8[Tensor, "n c h w"]:
    return affine(images, _identities(pixels, x=-pixels.trunc()), "nearest")


def _translate_y(images: UInt8[Tensor, "n c h w"], pixels: Float64[Tensor, " n"]) -> UInt8[Tensor, "n c h w"]:
    return affine(images, _identities(pixels, y=-pixels.trunc()), "nearest")


def _identities(
    like: Float64[Tensor, " n"],
    *,
    x: Float64[Tensor, " n"] | None = None,
    y: Float64[Tensor, " n"] | None = None,
    x_by_y: Float64[Tensor, " n"] | None = None,
    y_by_x: Float64[Tensor, " n"] | None = None,
) -> Float64[Tensor, "n 2 3"]:
    """Identity matrices for `affine` with some of the entries replaced."""
    zero, one = torch.zeros_like(like), torch.ones_like(like)
    entries = [one, x_by_y, x, y_by_x, one, y]
    return torch.stack([zero if entry is None else entry for entry in entries], dim=1).view(-1, 2, 3)


def _rotate(images: UInt8[Tensor, "n c h w"], degrees: Float64[Tensor, " n"]) -> UInt8[Tensor, "n c h w"]:
    return affine(images, rotations(degrees), "nearest")


def _brightness(images: UInt8[Tensor, "n c h w"], strength: Float64[Tensor, " n"]) -> UInt8[Tensor, "n c h w"]:
    """Away from, or towards, black."""
    return _extrapolate(torch.zeros_like(images), images, strength)


def _color(images: UInt8[Tensor, "n c h w"], strength: Float64[Tensor, " n"]) -> UInt8[Tensor, "n c h w"]:
    """Away from, or towards, the grey image."""
    return images if images.shape[1] == 1 else _extrapolate(_grey(images), images, strength)


def _contrast(images: UInt8[Tensor, "n c h w"], strength: Float64[Tensor, " n"]) -> UInt8[Tensor, "n c h w"]:
    """Away from, or towards, the mean of the grey image."""
    # Whole numbers in double precision: the sum is exact, whatever the number of images.
    mean = _grey(images).double().mean(dim=(1, 2, 3), keepdim=True).float()
    return _extrapolate(mean, images, strength)


def _grey(images: UInt8[Tensor, "n c h w"]) -> UInt8[Tensor, "n 1 h w"]:
    from torchvision.transforms.v2 import functional as kernels

    grey: Tensor = kernels.rgb_to_grayscale(images)
    return grey


def _extrapolate(
    start: Tensor, images: UInt8[Tensor, "n c h w"], strength: Float64[Tensor, " n"]
) -> UInt8[Tensor, "n c h w"]:
    """`start + (1 + strength) * (images - start)`, cut to [0, 255] and to whole numbers."""
    ratio = 1.0 + strength[:, None, None, None]
    return _sum(images * ratio.float(), start, 1.0 - ratio)


def _sum(base: Tensor, added: Tensor, factor: Float64[Tensor, "n 1 1 1"]) -> UInt8[Tensor, "n c h w"]:
    """`base + factor * added` of single numbers, rounded once to single precision, then cut to what uint8 holds.

    Rounded once as by the fused instructions behind torchvision's kernels. Shares of equal numbers must add up to that
    number again, and a sum a little below would be cut to the next lower one.
    """
    fused = torch.addcmul(base.double(), added.double(), factor.float().double()).float()
    return fused.clamp_(0, 255).to(torch.uint8)


def _sharpness(images: UInt8[Tensor, "n c h w"], strength: Float64[Tensor, " n"]) -> UInt8[Tensor, "n c h w"]:
    """Away from, or towards, the image smoothed by [[1, 1, 1], [1, 5, 1], [1, 1, 1]] / 13; the border stays."""
    inner = images[..., 1:-1, 1:-1].float()
    # Sums of whole numbers: exact, which a convolution on a GPU need not be.
    smooth = F.avg_pool2d(images.float(), 3, stride=1, divisor_override=1).add_(inner, alpha=4).div_(13).round_()
    factor = 1.0 - (1.0 + strength[:, None, None, None])
    changed = images.clone()
    changed[..., 1:-1, 1:-1] = _sum(inner, smooth - inner, factor)
    return changed


def _posterize(images: UInt8[Tensor, "n c h w"], bits: Float64[Tensor, " n"]) -> UInt8[Tensor, "n c h w"]:
    """Keeps the leading bits."""
    mask = 256 - 2 ** (8 - bits.round()).long()
    return images & mask.to(torch.uint8)[:, None, None, None]


def _solarize(images: UInt8[Tensor, "n c h w"], threshold: Float64[Tensor, " n"]) -> UInt8[Tensor, "n c h w"]:
    """Inverts what is at least as bright as the threshold, given in [0, 1]."""
    is_inverted = images >= (255.0 * threshold).float()[:, None, None, None]
    return torch.where(is_inverted, ~images, images)


def _auto_contrast(images: UInt8[Tensor, "n c h w"], _: Float64[Tensor, " n"]) -> UInt8[Tensor, "n c h w"]:
    from torchvision.transforms.v2 import functional as kernels

    changed: Tensor = kernels.autocontrast(images)
    return changed


def _equalize(images: UInt8[Tensor, "n c h w"], _: Float64[Tensor, " n"]) -> UInt8[Tensor, "n c h w"]:
    from torchvision.transforms.v2 import functional as kernels

    changed: Tensor = kernels.equalize(images)
    return changed


OPERATIONS = (
    Operation("Identity", _identity),
    Operation("ShearX", _shear_x, 0.0, 0.99, is_signed=True),
    Operation("ShearY", _shear_y, 0.0, 0.99, is_signed=True),
    Operation("TranslateX", _translate_x, 0.0, 32.0, is_signed=True),
    Operation("TranslateY", _translate_y, 0.0, 32.0, is_signed=True),
    Operation("Rotate", _rotate, 0.0, 135.0, is_signed=True),
    Operation("Brightness", _brightness, 0.0, 0.99, is_signed=True),
    Operation("Color", _color, 0.0, 0.99, is_signed=True),
    Operation("Contrast", _contrast, 0.0, 0.99, is_signed=True),
    Operation("Sharpness", _sharpness, 0.0, 0.99, is_signed=True),
    Operation("Posterize", _posterize, 8.0, 2.0),
    Operation("Solarize", _solarize, 1.0, 0.0),
    Operation("AutoContrast", _auto_contrast),
    Operation("Equalize", _equalize),
)
