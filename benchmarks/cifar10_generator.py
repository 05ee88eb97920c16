"""How good the images of a trained generator are: Frechet distance, precision, recall, coverage, labels recognised.

    python benchmarks/cifar10_generator.py --data imagefolder:cifar10 --checkpoint runs/base [--per-class 100]

Draws images of each class with the default sampler (and each `--guidance`, for a DDPM), and compares them with the test
images in the features of a classifier of the training images. As many validation images show what real ones reach.
Writes results/cifar10_MODEL_PRESET.json, and grids beside it.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from harness import RESULTS, draw, within_class_diversity, write_result

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
    parser.add_argument("--guidance", type=float, nargs="*", default=[1.0], help="of a DDPM")
    parser.add_argument("--judge-steps", type=int, default=3000)
    options = parser.parse_args()
    runtime, card = Runtime.resolve(), read_card(options.checkpoint)
    splits = make_splits(load_source(options.data))
    judge = Judge.trained(splits, runtime, reference=splits.test, steps=options.judge_steps)
    generator = load_backend(card.model).load(options.checkpoint, runtime)
    count, test = options.per_class * len(card.class_names), splits.test
    default, training = generator.default_settings, card.training
    spread = within_class_diversity(test.images, test.labels)

    def measured(images: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
        diversity = within_class_diversity(images, labels) / spread
        return {**judge.figures(images, labels), "diversity": diversity}

    chosen = torch.randperm(len(splits.validation), generator=torch.Generator().manual_seed(0))[:count]
    runs = {"real": measured(splits.validation.images[chosen], splits.validation.labels[chosen])}
    speeds = {}
    for guidance in options.guidance:
        settings = SamplerSettings(default.sampler, default.steps, guidance)
        started = time.perf_counter()
        images, labels = draw(generator, settings, count)
        name = "generated" if guidance == 1.0 else f"guidance_{guidance:g}"
        speeds[f"{name}_images_per_second"] = round(count / (time.perf_counter() - started), 1)
        runs[name] = measured(images, labels)
        picture = RESULTS / f"cifar10_{card.model}_{card.preset}_{name}.png"
        picture.write_bytes(encode_png(grid(images[:80], 10, scale=2)))
    figures = {f"{name}_{key}": round(value, 4) for name, run in runs.items() for key, value in run.items()}
    write_result(
        f"cifar10_{card.model}_{card.preset}",
        f"{options.name}; checkpoint of {card.model}, preset {card.preset}, trained on "
        f"{sum(card.split.class_counts)} images, {training.images_seen:,} shown in {training.seconds:.0f} s on "
        f"{training.hardware} in {training.precision}. {count} images, {default.sampler}, evaluations: "
        f"{default.steps}, against the {len(test)} test images in the features of a ResNet-20 trained on the training "
        f"images ({options.judge_steps} steps). real: as many validation images. diversity: mean root-mean-square "
        "difference of two images of one class, as a share of that of the test images.",
        {
            "images": count,
            "reference_images": len(test),
            "judge_validation_accuracy": round(judge.validation_accuracy, 4),
            "training_images_seen": training.images_seen,
            "training_seconds": training.seconds,
            "parameters": training.parameters,
            **speeds,
            **figures,
        },
        {**runs, "settings": card.settings},
    )


if __name__ == "__main__":
    main()
