"""Building blocks of the generators and discriminators."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm

Maps = Float[Tensor, "n c h w"]
NewMaps = Float[Tensor, "n c2 h2 w2"]
#: The layout in which these networks are fastest, on CPUs too.
MEMORY_FORMAT = torch.channels_last


def spectral(layer: nn.Module, *, on: bool = True) -> nn.Module:
    """The layer with its largest singular value held at 1 by power iteration (Miyato et al. 2018), if `on`.

    It begins with orthogonal weights and no biases (Brock et al. 2019, section 3): random biases would drown the few
    latent variables that a layer sees, and with them the variety within a class.
    """
    for name, values in layer.named_parameters():
        (nn.init.zeros_ if name == "bias" else nn.init.orthogonal_)(values)
    return spectral_norm(layer, eps=1e-6) if on else layer


def without_spectral_norm(network: nn.Module) -> None:
    """Makes the normalised weights plain weights, in place."""
    for layer in network.modules():
        if parametrize.is_parametrized(layer, "weight"):
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)


class ConditionalBatchNorm(nn.Module):
    """Batch norm whose gain and bias follow from a condition (de Vries et al. 2017): 1 + W_g c and W_b c.

    Args:
        channels: Of the maps.
        condition: Length of the condition, such as a class in one-hot form.
    """

    def __init__(self, channels: int, condition: int, *, is_spectral: bool) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        gains = nn.Linear(condition, 2 * channels, bias=False)
        self.gains = spectral(gains, on=is_spectral)
        if not is_spectral:
            nn.init.zeros_(gains.weight)

    def forward(self, maps: Maps, condition: Float[Tensor, "n d"]) -> Maps:
        """Normalises, then scales and shifts."""
        both: Maps = self.gains(condition)[:, :, None, None]
        gain, bias = both.chunk(2, dim=1)
        normal: Maps = self.norm(maps)
        return normal * (1.0 + gain) + bias


class UpBlock(nn.Module):
    """A residual block of a generator that doubles the size (Miyato and Koyama 2018; Brock et al. 2019)."""

    def __init__(self, inputs: int, outputs: int, condition: int, *, is_spectral: bool, shares: bool) -> None:
        super().__init__()
        self.norm1 = ConditionalBatchNorm(inputs, condition, is_spectral=is_spectral and shares)
        self.norm2 = ConditionalBatchNorm(outputs, condition, is_spectral=is_spectral and shares)
        self.conv1 = spectral(nn.Conv2d(inputs, outputs, 3, padding=1), on=is_spectral)
        self.conv2 = spectral(nn.Conv2d(outputs, outputs, 3, padding=1), on=is_spectral)
        self.skip = spectral(nn.Conv2d(inputs, outputs, 1), on=is_spectral)

    def forward(self, maps: Maps, condition: Float[Tensor, "n d"]) -> NewMaps:
        """Maps of twice the size."""
        inner: NewMaps = F.relu(self.norm1(maps, condition))
        inner = self.conv1(F.interpolate(inner, scale_factor=2.0, mode="nearest"))
        inner = self.conv2(F.relu(self.norm2(inner, condition)))
        # A 1x1 convolution and nearest-neighbour upsampling commute; in this order it costs a quarter.
        outer: NewMaps = F.interpolate(self.skip(maps), scale_factor=2.0, mode="nearest")
        return inner + outer


class DownBlock(nn.Module):
    """A residual block of a discriminator that may halve the size; the first takes images (Miyato et al. 2018)."""

    def __init__(self, inputs: int, outputs: int, *, halves: bool, is_first: bool = False) -> None:
        super().__init__()
        self.conv1 = spectral(nn.Conv2d(inputs, outputs, 3, padding=1))
        self.conv2 = spectral(nn.Conv2d(outputs, outputs, 3, padding=1))
        needs_skip = halves or is_first or inputs != outputs
        self.skip = spectral(nn.Conv2d(inputs, outputs, 1)) if needs_skip else nn.Identity()
        self._halves = halves
        self._is_first = is_first

    def forward(self, maps: Maps) -> NewMaps:
        """Maps of half the size, or of the same."""
        inner: NewMaps = self.conv1(maps if self._is_first else F.relu(maps))
        inner = self.conv2(F.relu(inner))
        if self._halves:  # averaging and a 1x1 convolution commute
            inner, maps = F.avg_pool2d(inner, 2), F.avg_pool2d(maps, 2)
        outer: NewMaps = self.skip(maps)
        return inner + outer


class SelfAttention(nn.Module):
    """Self-attention over positions, added with a weight that begins at 0 (Zhang et al. 2019, "SAGAN", section 3)."""

    def __init__(self, channels: int, *, is_spectral: bool) -> None:
        super().__init__()
        inner = max(1, channels // 8)
        self.query = spectral(nn.Conv2d(channels, inner, 1, bias=False), on=is_spectral)
        self.key = spectral(nn.Conv2d(channels, inner, 1, bias=False), on=is_spectral)
        self.value = spectral(nn.Conv2d(channels, channels // 2, 1, bias=False), on=is_spectral)
        self.out = spectral(nn.Conv2d(channels // 2, channels, 1, bias=False), on=is_spectral)
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, maps: Maps) -> Maps:
        """Every position sees all others, of a picture half as large."""
        keys, values = F.max_pool2d(self.key(maps), 2), F.max_pool2d(self.value(maps), 2)
        query, key, value = (part.flatten(2).transpose(1, 2) for part in (self.query(maps), keys, values))
        seen = F.scaled_dot_product_attention(query, key, value, scale=1.0)
        attended: Maps = self.out(seen.transpose(1, 2).reshape(len(maps), -1, *maps.shape[2:]))
        return maps + self.weight * attended
