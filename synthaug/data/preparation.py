"""From stored pixels to what networks see: the same for training, validation and test images, and in prediction."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from synthaug.core.pixels import channel_statistics, standardise, to_network


@dataclass(frozen=True)
class Preparation:
    """Resizes and maps pixels to floats.

    Attributes:
        mean: Mean of each channel in units of uint8, taken to 0; None maps [0, 255] to [-1, 1] instead.
        deviation: Standard deviation of each channel, taken to 1; None without a mean.
        input_size: Height and width of what networks see; None leaves it as it is.
    """

    mean: tuple[float, ...] | None = None
    deviation: tuple[float, ...] | None = None
    input_size: int | None = None

    @classmethod
    def of(cls, real: UInt8[Tensor, "n c h w"], *, normalise: bool, input_size: int | None) -> Preparation:
        """The preparation for networks that are trained on these real images, and on no others."""
        if not normalise:
            return cls(input_size=input_size)
        mean, deviation = channel_statistics(real)
        return cls(tuple(mean.tolist()), tuple(deviation.tolist()), input_size)

    def __call__(self, images: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n c s s"]:
        """float32 images for a network, on the device of the pixels."""
        if self.input_size is not None and self.input_size != images.shape[-1]:
            from torchvision.transforms.v2 import functional as transforms

            images = transforms.resize(images, [self.input_size, self.input_size], antialias=True)
        if self.mean is None or self.deviation is None:
            return to_network(images)
        mean, deviation = (_on(images.device, values) for values in (self.mean, self.deviation))
        return standardise(images, mean, deviation)

    def settings(self) -> dict[str, Any]:
        """What a saved classifier must know to be used again."""
        return dict(vars(self))


@functools.lru_cache(maxsize=16)
def _on(device: torch.device, values: tuple[float, ...]) -> Float[Tensor, " c"]:
    """Numbers on a device; kept, as a GPU would have to wait for them with every batch."""
    return torch.tensor(values, device=device)
