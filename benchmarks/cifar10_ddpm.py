"""How good the images of a trained DDPM are: Frechet distance, precision, recall, coverage, and labels recognised.

    python benchmarks/cifar10_ddpm.py --data imagefolder:cifar10 --checkpoint runs/base [--per-class 100]

Draws images of each class with the default sampler and each `--guidance`, and compares them with the test images in the
features of a classifier of the training images. Writes results/cifar10_ddpm_PRESET.json, and grids beside it.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from harness import RESULTS, draw, write_result

from synthaug.core.pixels import encode_png, grid
from synthaug.core.runtime import Runtime
from synthaug.data.sources import load_source
from synthaug.data.splits import make_splits
from synthaug.generators.base import SamplerSettings, load_backend
from synthaug.generators.checkpoint import read_card
from synthaug.workflows.judge import Judge


def main() -> None:
    """Draws, compares and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="SPEC of CIFAR-10")
    parser.add_argument("--name", default="CIFAR-10 (JPEG q75)", help="what to call the images")
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--per-class", type=int, default=100)
    parser.add_argument("--guidance", type=float, nargs="*", default=[1.0, 1.5])
    parser.add_argument("--judge-steps", type=int, default=3000)
    options = parser.parse_args()
    runtime, card = Runtime.resolve(), read_card(options.checkpoint)
    splits = make_splits(load_source(options.data))
    judge = Judge.trained(splits, runtime, reference=splits.test, steps=options.judge_steps)
    generator = load_backend(card.model).load(options.checkpoint, runtime)
    count = options.per_class * len(card.class_names)
    default, training = generator.default_settings, card.training
    figures: dict[str, float] = {
        "images": count,
        "reference_images": len(splits.test),
        "judge_validation_accuracy": round(judge.validation_accuracy, 4),
        "training_images_seen": training.images_seen,
        "training_seconds": training.seconds,
        "parameters": training.parameters,
    }
    chosen = torch.randperm(len(splits.validation), generator=torch.Generator().manual_seed(0))[:count]
    runs = {"real": judge.figures(splits.validation.images[chosen], splits.validation.labels[chosen])}
    for guidance in options.guidance:
        settings = SamplerSettings(default.sampler, default.steps, guidance)
        started = time.perf_counter()
        images, labels = draw(generator, settings, count)
        name = f"guidance_{guidance:g}"
        figures[f"{name}_images_per_second"] = round(count / (time.perf_counter() - started), 1)
        runs[name] = judge.figures(images, labels)
        figures.update({f"{name}_{key}": round(value, 4) for key, value in runs[name].items()})
        picture = RESULTS / f"cifar10_ddpm_{card.preset}_{name}.png"
        picture.write_bytes(encode_png(grid(images[:80], 10, scale=2)))
    figures.update({f"real_{key}": round(value, 4) for key, value in runs["real"].items()})
    write_result(
        f"cifar10_ddpm_{card.preset}",
        f"{options.name}; checkpoint of preset {card.preset} ({card.settings['objective']}), trained on "
        f"{sum(card.split.class_counts)} images, {training.images_seen:,} shown in {training.seconds:.0f} s on "
        f"{training.hardware} in {training.precision}. {count} images, {default.sampler}, {default.steps} evaluations, "
        f"against the {len(splits.test)} test images in the features of a ResNet-20 trained on the training images "
        f"({options.judge_steps} steps). real: as many validation images.",
        figures,
        runs,
    )


if __name__ == "__main__":
    main()
