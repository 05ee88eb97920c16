"""A network of few, wide layers, which processors train quicker than deep and narrow ones (Jordan 2024, airbench)."""

from __future__ import annotations

from typing import cast

from jaxtyping import Float
from torch import Tensor, nn


class CifarNetBackbone(nn.Module):
    """A 2x2 stem and three blocks of two 3x3 convolutions, the first of each pooled by its maximum.

    Args:
        channels: Channels of the images.
        widths: Channels of the stem and the three blocks.
    """

    def __init__(self, channels: int, widths: tuple[int, int, int, int] = (16, 32, 64, 128)) -> None:
        super().__init__()
        stem, *blocks = widths
        layers: list[nn.Module] = [nn.Conv2d(channels, stem, kernel_size=2, bias=False), *_norm(stem)]
        before = stem
        for width in blocks:
            layers += [
                nn.Conv2d(before, width, kernel_size=3, padding=1, bias=False),
                nn.MaxPool2d(2, ceil_mode=True),
                *_norm(width),
                nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False),
                *_norm(width),
            ]
            before = width
        self.layers = nn.Sequential(*layers)
        self.width = before

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n width y x"]:
        """Maps of an eighth of the images' size."""
        return cast(Tensor, self.layers(images))


def _norm(width: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
