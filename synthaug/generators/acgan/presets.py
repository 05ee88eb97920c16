"""The table of networks and the trainings that suit them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from synthaug.core.errors import InputError
from synthaug.core.registry import Registry
from synthaug.generators.acgan.generators import ACGANGenerator, Family

_SIZES = (8, 64)


@dataclass(frozen=True)
class Preset:
    """Two networks and their training.

    Attributes:
        purpose: What it is for.
        family: Kind of networks and losses.
        latent: Latent variables.
        width: Channels of the generator at full size (not of `classic`), and of the discriminator's first block.
        widest: Most channels; in `classic` those of the generator's smallest maps, which fall by half.
        attention: Size of the maps with self-attention, or the nearest there is below, else above; 0 for none.
        images: Real images to show to the discriminator in training.
        batch_size: Real images per update of the discriminator.
        discriminator_steps: Updates of the discriminator per update of the generator.
        learning_rate: Of Adam, in both networks.
        betas: Of Adam.
        class_weight: Weight of the class loss.
        ema_half_life: Half-life of the weight average, as a share of the images seen so far.
        diffaugment: Changes that the discriminator sees its images through.
        r1: Gamma of the penalty on its slopes at real images; 0 for none.
    """

    purpose: str
    family: Family
    latent: int
    width: int
    widest: int
    attention: int
    images: int
    batch_size: int
    discriminator_steps: int
    learning_rate: float
    betas: tuple[float, float]
    class_weight: float
    ema_half_life: float
    diffaugment: str
    r1: float

    @property
    def images_per_step(self) -> int:
        """Real images per update of the generator."""
        return self.batch_size * self.discriminator_steps


PRESETS: Registry[Preset] = Registry(
    "ACGAN preset",
    {
        "digits": Preset(
            "8x8 to 16x16 images; a minute or two on two CPU cores (networks and losses of reacgan)",
            family="reacgan", latent=32, width=32, widest=64, attention=0,
            images=64_000, batch_size=32, discriminator_steps=2, learning_rate=1e-3, betas=(0.0, 0.9),
            class_weight=0.5, ema_half_life=0.05, diffaugment="translation", r1=0.0,
        ),
        "classic": Preset(
            "the ACGAN of 2017, known to collapse: for comparison (Odena et al.: Adam, 2e-4, 0.5)",
            family="classic", latent=100, width=16, widest=384, attention=0,
            images=2_000_000, batch_size=100, discriminator_steps=1, learning_rate=2e-4, betas=(0.5, 0.999),
            class_weight=1.0, ema_half_life=0.05, diffaugment="none", r1=0.0,
        ),
        "resnet": Preset(
            "32x32 images; an hour or two on a CPU (Miyato et al. 2018; short runs want small batches and high rates)",
            family="resnet", latent=128, width=32, widest=128, attention=0,
            images=1_000_000, batch_size=32, discriminator_steps=2, learning_rate=4e-4, betas=(0.0, 0.9),
            class_weight=0.1, ema_half_life=0.05, diffaugment="none", r1=0.0,
        ),
        "reacgan": Preset(
            "the same networks as in BigGAN, with D2D-CE; on a CPU behind resnet so far (Kang et al. 2021)",
            family="reacgan", latent=80, width=32, widest=128, attention=0,
            images=1_000_000, batch_size=32, discriminator_steps=2, learning_rate=4e-4, betas=(0.5, 0.999),
            class_weight=0.1, ema_half_life=0.05, diffaugment="none", r1=0.0,
        ),
        "reacgan-large": Preset(
            "32x32 to 64x64 images; a GPU (Kang et al. 2021: 0.5, 0.999, weight 0.5; 2.8e-4 for half the batch)",
            family="reacgan", latent=80, width=128, widest=256, attention=16,
            images=20_000_000, batch_size=128, discriminator_steps=2, learning_rate=4e-4, betas=(0.5, 0.999),
            class_weight=0.5, ema_half_life=0.05, diffaugment="none", r1=0.0,
        ),
    },
)  # fmt: skip


def default_preset(image_size: int) -> str:
    """`digits` up to 16 pixels, `resnet` above."""
    return "digits" if image_size <= 16 else "resnet"


def check_image_size(size: int) -> None:
    """Refuses sizes that the networks do not make.

    Raises:
        InputError: If a size is out of range or not divisible by 4.
    """
    low, high = _SIZES
    if not low <= size <= high or size % 4:
        nearest = min(high, max(low, 4 * round(size / 4)))
        raise InputError(
            f"an ACGAN makes images of {low} to {high} pixels, divisible by 4, found {size}; give --image-size "
            f"{nearest}"
        )


def build_generator(preset: Preset, *, image_size: int, channels: int, classes: int) -> Any:
    """A generator with spectral norm where its family has it.

    Raises:
        InputError: If the image size is not one that it makes.
    """
    check_image_size(image_size)
    return ACGANGenerator(
        family=preset.family,
        image_size=image_size,
        channels=channels,
        classes=classes,
        latent=preset.latent,
        width=preset.width,
        widest=preset.widest,
        attention=preset.attention,
        is_spectral=preset.family != "classic",
    )
