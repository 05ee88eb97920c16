"""The networks that make images."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from jaxtyping import Float, Int64
from torch import Tensor, nn

from synthaug.generators.acgan.layers import SelfAttention, UpBlock, spectral

Family = Literal["classic", "resnet", "reacgan"]
Images = Float[Tensor, "n c h w"]
_SHARED = 64


def doublings(image_size: int) -> int:
    """How often a map of 4 to 7 pixels (more if the size demands it) is doubled to reach a size."""
    count = 0
    while image_size % 2 == 0 and image_size // 2 >= 4:
        image_size //= 2
        count += 1
    return count


class ACGANGenerator(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """Makes an image of a class from latent variables in one evaluation.

    `classic`: transposed convolutions on the latent variables with the class beside them (Odena et al. 2017, appendix
    A: 384, 192 and 96 channels for 32x32 images). `resnet`: residual blocks whose batch norms know the class (Miyato
    and Koyama 2018). `reacgan`: these blocks as in BigGAN, with a share of the latent variables and an embedding of the
    class in every norm (Brock et al. 2019, appendix B), as Kang et al. 2021 use them.

    Args:
        family: Which of them.
        image_size: Height and width.
        channels: 1 for grey, 3 for RGB.
        classes: Number of classes.
        latent: Number of latent variables.
        width: Channels at full size; twice as many at each half, up to `widest`. `classic` has no use for it.
        widest: Most channels; those of `classic` at the smallest size.
        attention: Size of the maps with self-attention, or the nearest there is below, else above; 0 for none.
        is_spectral: Whether weights carry spectral norm; exported ones do not need it.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        family: Family,
        image_size: int,
        channels: int,
        classes: int,
        latent: int,
        width: int,
        widest: int,
        attention: int = 0,
        is_spectral: bool = False,
    ) -> None:
        super().__init__()
        ups = doublings(image_size)
        widths = [min(widest, width * 2 ** (ups - level)) for level in range(ups + 1)]
        self._base = image_size // 2**ups
        self._has_shared = family == "reacgan"
        self._is_classic = family == "classic"
        if self._is_classic:
            widths = [max(1, widest // 2**level) for level in range(ups + 1)]
            self.first: nn.Module = nn.Linear(latent + classes, widths[0] * self._base**2)
            self.body: nn.Module = _transposed(widths, channels)
            self.apply(_initialise_classic)
            return
        chunk = latent // (ups + 1) if self._has_shared else latent
        self._chunk = chunk
        condition = chunk + _SHARED if self._has_shared else classes
        if self._has_shared:
            self.shared = nn.Embedding(classes, _SHARED)
        first = latent - ups * chunk if self._has_shared else latent
        self.first = spectral(nn.Linear(first, widths[0] * self._base**2), on=is_spectral)
        self.blocks = nn.ModuleList(
            UpBlock(widths[i], widths[i + 1], condition, is_spectral=is_spectral, shares=self._has_shared)
            for i in range(ups)
        )
        attended = ([i for i in range(ups) if self._base * 2 ** (i + 1) <= attention] or [0])[-1:] if attention else []
        self.attended = nn.ModuleDict({str(i): SelfAttention(widths[i + 1], is_spectral=is_spectral) for i in attended})
        self.norm = nn.BatchNorm2d(widths[-1])
        self.last = spectral(nn.Conv2d(widths[-1], channels, 3, padding=1), on=is_spectral)

    def forward(self, latents: Float[Tensor, "n z"], labels: Int64[Tensor, " n"]) -> Images:
        """Images in [-1, 1]."""
        classes = self.config.classes
        if self._is_classic:
            both = torch.cat([latents, F.one_hot(labels, classes).to(latents.dtype)], dim=1)
            return torch.tanh(self.body(self._square(self.first(both))))
        maps, conditions = self._begin(latents, labels)
        for i, (block, condition) in enumerate(zip(self.blocks, conditions, strict=True)):
            maps = block(maps, condition)
            if str(i) in self.attended:
                maps = self.attended[str(i)](maps)
        return torch.tanh(self.last(F.relu(self.norm(maps))))

    def _begin(self, latents: Float[Tensor, "n z"], labels: Int64[Tensor, " n"]) -> tuple[Tensor, list[Tensor]]:
        """The first maps, and what conditions each block."""
        ups = len(self.blocks)
        if not self._has_shared:
            onehot = F.one_hot(labels, self.config.classes).to(latents.dtype)
            return self._square(self.first(latents)), [onehot] * ups
        shared = self.shared(labels)
        begin, rest = latents[:, : -ups * self._chunk], latents[:, -ups * self._chunk :]
        conditions = [torch.cat([shared, chunk], dim=1) for chunk in rest.chunk(ups, dim=1)]
        return self._square(self.first(begin)), conditions

    def _square(self, values: Float[Tensor, "n k"]) -> Tensor:
        return values.reshape(len(values), -1, self._base, self._base)


def _transposed(widths: list[int], channels: int) -> nn.Module:
    """Batch norm, ReLU and a transposed convolution that doubles the size, for each doubling."""
    layers: list[nn.Module] = []
    for i, inputs in enumerate(widths[:-1]):
        is_last = i == len(widths) - 2
        outputs = channels if is_last else widths[i + 1]
        layers += [nn.BatchNorm2d(inputs), nn.ReLU()]
        layers.append(nn.ConvTranspose2d(inputs, outputs, 5, stride=2, padding=2, output_padding=1))
    return nn.Sequential(*layers)


def _initialise_classic(layer: Any) -> None:
    """Normal with deviation 0.02 (Odena et al. 2017, appendix A)."""
    if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, std=0.02)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
