"""Maps as colours and explanations as words, for the page and the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from matplotlib import colormaps
from torch import Tensor

from synthaug.workflows.explain.records import ExplainedImage, Explanation

_SIGNED, _HEAT = "RdBu_r", "plasma"


@dataclass(frozen=True, eq=False)
class Maps:
    """What one classifier looks at in one image.

    Attributes:
        gradients: Integrated gradients of each pixel, all channels together.
        heat: Grad-CAM, enlarged.
    """

    gradients: Float[Tensor, "s s"]
    heat: Float[Tensor, "s s"]


@dataclass(frozen=True, eq=False)
class Row:
    """One explained image with its maps.

    Attributes:
        image: Its pixels.
        record: What is said of it.
        maps: Of each classifier.
    """

    image: UInt8[Tensor, "c s s"]
    record: ExplainedImage
    maps: tuple[Maps, ...]


def as_rgb(image: UInt8[Tensor, "c s s"]) -> UInt8[Tensor, "3 s s"]:
    """The same picture in RGB."""
    return image.expand(3, -1, -1).contiguous()


def signed_colours(values: Float[Tensor, "h w"]) -> UInt8[Tensor, "3 h w"]:
    """Red above 0, blue below, white at 0; full at the 99th percentile of the absolute values."""
    size = values.abs()
    scale = float(size.flatten().double().quantile(0.99)) or float(size.max()) or 1.0
    return _coloured((values / scale).clamp(-1, 1) / 2 + 0.5, _SIGNED)


def heat_over(image: UInt8[Tensor, "c h w"], heat: Float[Tensor, "h w"]) -> UInt8[Tensor, "3 h w"]:
    """A heat map from purple (0) to yellow (its maximum), as bright as the image under it."""
    brightness = 0.35 + 0.65 * image.float().mean(dim=0) / 255
    colours = _coloured(heat / (float(heat.max()) or 1.0), _HEAT)
    return (brightness * colours.float()).round().to(torch.uint8)


def _coloured(shares: Float[Tensor, "h w"], name: str) -> UInt8[Tensor, "3 h w"]:
    colours = colormaps[name](shares.numpy(), bytes=True)[..., :3]
    return torch.from_numpy(np.ascontiguousarray(colours.transpose(2, 0, 1)))


def verdict(explanation: Explanation, name: str | None = None) -> str:
    """What is predicted (by another name if one is given), how surely, and whether it is right."""
    judged = "right" if explanation.is_right else "wrong"
    return f"{name or explanation.predicted}, {100 * explanation.probability:.1f} %, {judged}"


def completeness(explanation: Explanation) -> list[str]:
    """What integrated gradients have to sum to, what they do, and how far that is from it; a line each."""
    gap, share = f"{explanation.gap:.2g} logits", explanation.relative_gap
    return [
        f"F(x) − F(x') = {explanation.output - explanation.baseline_output:.2f}",
        f"sum = {explanation.attribution_sum:.2f}",
        f"gap {gap if share is None else f'{100 * share:.2g} %'}{'' if explanation.is_complete else ', incomplete'}",
    ]


def flatness(explanation: Explanation, maps: Maps) -> list[str]:
    """Why Grad-CAM shows nothing, in short lines; none if it shows something."""
    if explanation.heat_size == (1, 1):
        return ["one position only:", "tells no places apart"]
    return [] if maps.heat.any() else ["0 everywhere: no region", "raises the logit"]
