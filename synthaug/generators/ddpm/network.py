"""The U-Net and the table of its presets."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthaug.core.errors import InputError
from synthaug.core.registry import Registry
from synthaug.generators import checkpoint
from synthaug.generators.checkpoint import CheckpointCard
from synthaug.generators.ddpm.process import ObjectiveName
from synthaug.generators.settings import check_class_count


@dataclass(frozen=True)
class Preset:
    """A network and the training that suits it.

    Attributes:
        purpose: What it is for.
        patch: Pixels on the side of a patch that the network sees as one (a pixel-unshuffle before it).
        widths: Channels at each resolution; every further entry halves the image once more.
        layers: Residual blocks per resolution.
        attention: How many of the lowest resolutions have self-attention.
        dropout: Probability of dropping an activation in a residual block, in training.
        objective: What the network predicts unless told otherwise.
        images: Images to show to the network in training.
        batch_size: Images per step.
        learning_rate: Peak learning rate of AdamW.
        ema_half_life: Half-life of the weight average, as a share of the images seen so far.
    """

    purpose: str
    patch: int
    widths: tuple[int, ...]
    layers: int
    attention: int
    dropout: float
    objective: ObjectiveName
    images: int
    batch_size: int
    learning_rate: float
    ema_half_life: float

    def levels(self, image_size: int) -> int:
        """Resolutions of the network for a size: as many as the preset has, fewer if the size is not divisible.

        Raises:
            InputError: If the size allows fewer than two.
        """
        side = image_size // self.patch
        levels = len(self.widths)
        while levels > 2 and side % 2 ** (levels - 1):
            levels -= 1
        if image_size % self.patch or side % 2 ** (levels - 1) or side < 2 ** (levels - 1):
            factor = 2 * self.patch
            raise InputError(
                f"this preset needs an image size divisible by {factor}, found {image_size}; give --image-size "
                f"{max(factor, round(image_size / factor) * factor)} or another --preset"
            )
        return levels


PRESETS: Registry[Preset] = Registry(
    "DDPM preset",
    {
        "digits": Preset(
            "8x8 to 16x16 images; a minute or two on two CPU cores",
            patch=1, widths=(32, 64), layers=1, attention=0, dropout=0.0, objective="epsilon",
            images=115_200, batch_size=64, learning_rate=2e-3, ema_half_life=0.05,
        ),
        "cpu": Preset(
            "32x32 images; an hour or more on two CPU cores",
            patch=2, widths=(64, 128, 128), layers=1, attention=0, dropout=0.0, objective="edm",
            images=500_000, batch_size=16, learning_rate=1e-3, ema_half_life=0.05,
        ),
        "small": Preset(
            "32x32 images; a GPU, or days on a CPU",
            patch=1, widths=(64, 128, 128), layers=2, attention=1, dropout=0.0, objective="edm",
            images=5_000_000, batch_size=128, learning_rate=5e-4, ema_half_life=0.05,
        ),
        "base": Preset(
            "32x32 images; a GPU",
            patch=1, widths=(128, 192, 256), layers=2, attention=1, dropout=0.1, objective="edm",
            images=10_000_000, batch_size=512, learning_rate=1e-3, ema_half_life=0.05,
        ),
        "large": Preset(
            "32x32 to 64x64 images; a large GPU",
            patch=1, widths=(128, 256, 256, 256), layers=2, attention=1, dropout=0.13, objective="edm",
            images=50_000_000, batch_size=512, learning_rate=1e-3, ema_half_life=0.05,
        ),
    },
)  # fmt: skip


def build_network(preset: Preset, *, image_size: int, channels: int, classes: int) -> Any:
    """A diffusers `UNet2DModel` with one extra class, the last, that stands for "no label".

    With patches of p pixels it takes and gives p^2 times the channels at 1/p of the size.

    Raises:
        InputError: If the preset cannot make images of this size, or there are too few or too many classes.
    """
    from diffusers import UNet2DModel

    check_class_count(classes)
    levels = preset.levels(image_size)
    attended = min(preset.attention, levels)
    return UNet2DModel(
        sample_size=image_size // preset.patch,
        in_channels=channels * preset.patch**2,
        out_channels=channels * preset.patch**2,
        block_out_channels=preset.widths[:levels],
        layers_per_block=preset.layers,
        down_block_types=("DownBlock2D",) * (levels - attended) + ("AttnDownBlock2D",) * attended,
        up_block_types=("AttnUpBlock2D",) * attended + ("UpBlock2D",) * (levels - attended),
        attention_head_dim=64,
        norm_num_groups=16,
        dropout=preset.dropout,
        num_class_embeds=classes + 1,
        add_attention=preset.attention > 0,
    )


def load_network(folder: Path, card: CheckpointCard) -> Any:
    """The U-Net of a checkpoint folder, after checking its hashes; nothing in it is executed.

    Raises:
        DamageError: If weights are not those of the card, or not those of the network.
    """
    from diffusers import UNet2DModel

    return checkpoint.load_network(UNet2DModel, folder, "unet", card)


def patch_size(network_channels: int) -> int:
    """The side of the patches of a network with so many input channels: p^2 for grey images, 3 p^2 for RGB."""
    for channels in (1, 3):
        patch = math.isqrt(network_channels // channels)
        if channels * patch**2 == network_channels:
            return patch
    raise InputError(f"a network with {network_channels} input channels makes neither grey nor RGB images")
