"""How good the images of trained generators are: Frechet distance, precision, recall, coverage, labels recognised.

    python benchmarks/cifar10_generator.py --data imagefolder:cifar10 --checkpoint runs/base [--checkpoint runs/acgan]

Draws images of all classes with the default sampler (and each `--guidance`, for a DDPM), and compares them with the
test images in the features of one classifier of the training images. As many validation images show what real ones
reach. Writes results/cifar10_MODEL_PRESET.json for each checkpoint, and grids beside it.

Drawing wants a GPU, judging less so: what was drawn, and the judge, stay in `--state`, so that `--draw-only` on one
machine and the rest on another do the same.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import RESULTS, draw, within_class_diversity, write_result

from synthaug.classifiers.networks import build_network
from synthaug.core.pixels import encode_png, grid
from synthaug.core.runtime import Runtime, hardware
from synthaug.core.types import LabelledImages
from synthaug.data.sources import load_source
from synthaug.data.splits import Splits, make_splits
from synthaug.generators.base import SamplerSettings, load_backend
from synthaug.generators.checkpoint import CheckpointCard, read_card
from synthaug.metrics.efficientnet import efficientnet_extractor
from synthaug.metrics.features import FeatureExtractor, extract
from synthaug.metrics.frechet import frechet_distance
from synthaug.workflows.judge import Judge


def drawn(checkpoint: Path, card: CheckpointCard, guidance: float, options: argparse.Namespace) -> dict[str, Any]:
    """Images, labels, rate and machine: from `--state`, else drawn now and kept there."""
    file = options.state / f"{card.checkpoint[:12]}-{guidance:g}.npz"
    if not file.is_file():
        generator = load_backend(card.model).load(checkpoint, Runtime.resolve())
        default, count = generator.default_settings, options.per_class * len(card.class_names)
        started = time.perf_counter()
        images, labels = draw(generator, SamplerSettings(default.sampler, default.steps, guidance), count)
        rate = count / (time.perf_counter() - started)
        options.state.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(file, images=images, labels=labels, images_per_second=rate, hardware=hardware())
    with np.load(file) as kept:
        return {
            "images": torch.from_numpy(kept["images"]),
            "labels": torch.from_numpy(kept["labels"]),
            "images_per_second": round(float(kept["images_per_second"]), 1),
            "hardware": str(kept["hardware"]),
        }


def trained_judge(splits: Splits, options: argparse.Namespace) -> Judge:
    """The judge of these images that `--state` holds, else one trained now and kept there."""
    file = options.state / f"judge-{splits.record.train_fingerprint[:12]}-{options.judge_steps}.pt"
    if not file.is_file():
        judge = Judge.trained(splits, Runtime.resolve(), reference=splits.test, steps=options.judge_steps)
        options.state.mkdir(parents=True, exist_ok=True)
        torch.save({"weights": judge.network.state_dict(), "accuracy": judge.validation_accuracy}, file)
    kept = torch.load(file, weights_only=True, map_location="cpu")
    network = build_network("resnet20", channels=splits.test.channels, classes=len(splits.test.class_names), seed=0)
    network.load_state_dict(kept["weights"])
    network.to(Runtime.resolve().device, memory_format=torch.channels_last)
    return Judge.of(network, kept["accuracy"], splits.test.images)


class Comparison:
    """Figures of sets of images against the test images.

    Args:
        splits: The real images.
        options: Steps of the judge, and images to compare.
    """

    def __init__(self, splits: Splits, options: argparse.Namespace) -> None:
        self.count = options.compare
        self.judge = trained_judge(splits, options)
        self._spread = within_class_diversity(splits.test.images, splits.test.labels)
        self._others = efficientnet_extractor(None, device=Runtime.resolve().device) if options.efficientnet else None
        self._reference = None if self._others is None else self._seen(self._others, splits.test.images)
        chosen = torch.randperm(len(splits.validation), generator=torch.Generator().manual_seed(0))
        self.real = self.figures(splits.validation.images[chosen], splits.validation.labels[chosen])

    def figures(self, images: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
        """Of the first images; the Frechet distance of all of them besides, if there are more."""
        some, their_labels = images[: self.count], labels[: self.count]
        figures: dict[str, float] = {"images": len(some), **self.judge.figures(some, their_labels)}
        figures["diversity"] = within_class_diversity(some, their_labels) / self._spread
        if len(images) > len(some):
            distance = frechet_distance(self.judge.features(images), self.judge.reference)
            figures[f"frechet_of_{len(images)}"] = distance
        if self._others is not None and self._reference is not None:
            figures["efficientnet_frechet"] = frechet_distance(self._seen(self._others, some), self._reference)
        return figures

    def _seen(self, extractor: FeatureExtractor, images: torch.Tensor) -> torch.Tensor:
        """Features in the cache, or computed now, which takes minutes on a CPU."""
        fingerprint = LabelledImages.of(
            images, torch.zeros(len(images), dtype=torch.int64), ("any",), "any"
        ).fingerprint
        return extract(extractor, images, key=fingerprint)


def measure(checkpoint: Path, comparison: Comparison, options: argparse.Namespace) -> None:
    """Compares what a checkpoint draws and writes its result."""
    card = read_card(checkpoint)
    name, training = f"{card.model}_{card.preset}", card.training
    runs, speeds, machines = {"real": comparison.real}, {}, set()
    for guidance in options.guidance if card.model == "ddpm" else [1.0]:
        found = drawn(checkpoint, card, guidance, options)
        key = "generated" if guidance == 1.0 else f"guidance_{guidance:g}"
        runs[key] = comparison.figures(found["images"], found["labels"])
        speeds[f"{key}_images_per_second"] = found["images_per_second"]
        machines.add(found["hardware"])
        (RESULTS / f"cifar10_{name}_{key}.png").write_bytes(encode_png(grid(found["images"][:80], 10, scale=2)))
    kept = "" if training.kept_after is None else f", the weights after {training.kept_after:,} kept"
    write_result(
        f"cifar10_{name}",
        f"{options.name}; checkpoint of {card.model}, preset {card.preset}, trained on {sum(card.split.class_counts)} "
        f"images, {training.images_seen:,} shown in {training.seconds:.0f} s on {training.hardware} in "
        f"{training.precision}{kept}. {options.note}Images drawn with the default sampler on "
        f"{' and '.join(sorted(machines))}, compared with the {len(comparison.judge.reference)} test images in the "
        f"features of a ResNet-20 trained on the training images ({options.judge_steps} steps; not Inception's, so no "
        "FID). real: validation images. diversity: mean root-mean-square difference of two images of one class, as a "
        "share of that of the test images.",
        {
            "judge_validation_accuracy": round(comparison.judge.validation_accuracy, 4),
            "training_images_seen": training.images_seen,
            "training_seconds": training.seconds,
            "parameters": training.parameters,
            **speeds,
            **{f"{key}_{figure}": round(value, 4) for key, run in runs.items() for figure, value in run.items()},
        },
        {**runs, "settings": card.settings, "checkpoint": card.checkpoint},
    )


def main() -> None:
    """Draws, compares and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="SPEC of CIFAR-10")
    parser.add_argument("--name", default="CIFAR-10 (JPEG q75)", help="what to call the images")
    parser.add_argument("--note", default="", help="a sentence to add to the method")
    parser.add_argument("--checkpoint", type=Path, action="append", required=True)
    parser.add_argument("--per-class", type=int, default=500)
    parser.add_argument("--compare", type=int, default=5000, help="images for all figures but one Frechet distance")
    parser.add_argument("--guidance", type=float, nargs="*", default=[1.0], help="of a DDPM")
    parser.add_argument("--judge-steps", type=int, default=3000)
    parser.add_argument("--efficientnet", action="store_true", help="also a distance in EfficientNet-Lite0's features")
    parser.add_argument("--state", type=Path, default=Path("runs/drawn"))
    parser.add_argument("--draw-only", action="store_true")
    options = parser.parse_args()
    if options.draw_only:
        for checkpoint in options.checkpoint:
            card = read_card(checkpoint)
            for guidance in options.guidance if card.model == "ddpm" else [1.0]:
                drawn(checkpoint, card, guidance, options)
        return
    comparison = Comparison(make_splits(load_source(options.data)), options)
    for checkpoint in options.checkpoint:
        measure(checkpoint, comparison, options)


if __name__ == "__main__":
    main()
