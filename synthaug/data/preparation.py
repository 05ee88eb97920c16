"""From stored pixels to what networks see: the same for training, validation and test images, and in prediction."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from synthaug.core.pixels import channel_statistics, standardise, to_network

#: Statistics of ImageNet that torchvision's weights expect, in units of uint8.
_IMAGENET_MEAN = (123.675, 116.28, 103.53)
_IMAGENET_DEVIATION = (58.395, 57.12, 57.375)


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
    def of(
        cls, real: UInt8[Tensor, "n c h w"], *, normalise: bool | Literal["imagenet"], input_size: int | None
    ) -> Preparation:
        """The preparation for networks that are trained on these real images, and on no others.

        Args:
            real: The real training images.
            normalise: Whether they are standardised, by their own statistics or by ImageNet's.
            input_size: Height and width of what networks see; None leaves it as it is.
        """
        if normalise is False:
            return cls(input_size=input_size)
        if normalise == "imagenet":
            is_grey = real.shape[1] == 1
            mean, deviation = (
                (sum(values) / len(values),) if is_grey else values for values in (_IMAGENET_MEAN, _IMAGENET_DEVIATION)
            )
            return cls(mean, deviation, input_size)
        means, deviations = channel_statistics(real)
        return cls(tuple(means.tolist()), tuple(deviations.tolist()), input_size)

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
