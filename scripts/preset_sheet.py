"""Draws docs/presets.png: what every preset of classic augmentation does, in both engines, to a few images.

    python scripts/preset_sheet.py [--out docs/presets.png]

One row per preset and engine: four images, each as it is and then augmented three times; the last two rows are mixup
and CutMix. The images are drawn by the packaged acgan-cifar10.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from synthaug.core.pixels import grid, to_network, to_pil, to_storage
from synthaug.core.runtime import Runtime
from synthaug.core.seeding import SampleNoise, sample_seeds, uniforms
from synthaug.data.batch_mixing import MIX_DRAWS, mix_batch
from synthaug.data.batch_transforms import TRANSFORMS
from synthaug.data.transforms import preset_transform
from synthaug.generators.base import load_backend
from synthaug.workflows.checkpoints import packaged_checkpoints

IMAGES, TIMES = 4, 3


def drawn() -> torch.Tensor:
    """One image of each of the first classes."""
    generator = load_backend("acgan").load(packaged_checkpoints()["acgan-cifar10"], Runtime("cpu", "fp32"))
    samples = [(label, 0) for label in range(IMAGES)]
    noise = SampleNoise(3, samples, generator.spec.noise_shape)
    return generator.sample(torch.arange(IMAGES), noise, generator.default_settings)


def main() -> None:
    """Draws the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "docs" / "presets.png")
    out = parser.parse_args().out
    images = drawn()
    repeated = images.repeat_interleave(TIMES, 0)
    seeds = sample_seeds(0, torch.arange(len(repeated)))
    rows = []
    for name, preset in TRANSFORMS.items():
        in_batch = preset.apply(repeated, uniforms(seeds, preset.draws), True)
        by_image = preset_transform(name, image_size=images.shape[-1], allows_flip=True)
        one_by_one = torch.stack([by_image(image, seed) for image, seed in zip(repeated, seeds.tolist(), strict=True)])
        rows += [in_batch, one_by_one]
    for parameters in ({"mixup": 1.0, "cutmix": 0.0}, {"mixup": 0.0, "cutmix": 1.0}):
        targets, weights = torch.eye(IMAGES).repeat_interleave(TIMES, 0), torch.ones(len(repeated))
        mixed, _, _ = mix_batch(to_network(repeated), targets, weights, uniforms(seeds, MIX_DRAWS), **parameters)
        rows.append(to_storage(mixed))
    cells = [
        image for row in rows for number in range(IMAGES) for image in (images[number], *row[number * TIMES :][:TIMES])
    ]
    sheet = grid(torch.stack(cells), columns=IMAGES * (1 + TIMES), scale=2)
    to_pil(sheet).save(out, optimize=True)
    print(out)


if __name__ == "__main__":
    main()
