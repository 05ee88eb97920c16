"""The noise-predicting U-Net and the table of its presets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from synthaug.core.errors import InputError
from synthaug.core.registry import Registry


@dataclass(frozen=True)
class Preset:
    """A network and the training that suits it.

    Attributes:
        purpose: What it is for.
        widths: Channels at each resolution; every further entry halves the image once more.
        layers: Residual blocks per resolution.
        attention: Whether the lowest resolution has self-attention.
        steps: Optimiser steps.
        batch_size: Images per step.
        learning_rate: Peak learning rate of AdamW.
        ema_decay: Decay of the weight average.
    """

    purpose: str
    widths: tuple[int, ...]
    layers: int
    attention: bool
    steps: int
    batch_size: int
    learning_rate: float
    ema_decay: float


PRESETS: Registry[Preset] = Registry(
    "DDPM preset",
    {
        "digits": Preset(
            "8x8 to 16x16 images; a minute or two on two CPU cores",
            widths=(32, 64), layers=1, attention=False,
            steps=1800, batch_size=64, learning_rate=2e-3, ema_decay=0.995,
        ),
        "cpu": Preset(
            "32x32 images; an hour or more on two CPU cores",
            widths=(32, 64, 128, 128), layers=1, attention=True,
            steps=7500, batch_size=32, learning_rate=1e-3, ema_decay=0.999,
        ),
        "small": Preset(
            "32x32 images; a GPU, or a day on a CPU",
            widths=(64, 128, 128), layers=2, attention=True,
            steps=100_000, batch_size=128, learning_rate=5e-4, ema_decay=0.9998,
        ),
    },
)  # fmt: skip


def build_network(preset: Preset, *, image_size: int, channels: int, classes: int) -> Any:
    """A diffusers `UNet2DModel` with one extra class, the last, that stands for "no label".

    Raises:
        InputError: If the image size cannot be halved as often as the preset needs.
    """
    from diffusers import UNet2DModel

    check_size(preset, image_size)
    levels = len(preset.widths)
    last_down = "AttnDownBlock2D" if preset.attention else "DownBlock2D"
    first_up = "AttnUpBlock2D" if preset.attention else "UpBlock2D"
    return UNet2DModel(
        sample_size=image_size,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=preset.widths,
        layers_per_block=preset.layers,
        down_block_types=("DownBlock2D",) * (levels - 1) + (last_down,),
        up_block_types=(first_up,) + ("UpBlock2D",) * (levels - 1),
        attention_head_dim=32,
        norm_num_groups=16,
        num_class_embeds=classes + 1,
        add_attention=preset.attention,
    )


def check_size(preset: Preset, image_size: int) -> None:
    """Raises InputError if the image size cannot be halved as often as the preset needs."""
    factor = 2 ** (len(preset.widths) - 1)
    if image_size % factor:
        raise InputError(
            f"this preset needs an image size divisible by {factor}, found {image_size}; give --image-size "
            f"{max(factor, round(image_size / factor) * factor)} or another --preset"
        )
