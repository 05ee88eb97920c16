"""How many planted copies of training images are found, and how many fresh real images are taken for copies.

    python benchmarks/copies.py --data digits --per-class-real 20 --name digits
    python benchmarks/copies.py --data imagefolder:CIFAR --name cifar10

The fresh images are those of the test split, which neither the judge nor a threshold has seen. Writes
results/copies_NAME.json.
"""

from __future__ import annotations

import argparse
import io

import torch
from harness import write_result
from PIL import Image
from torch import Tensor

from synthaug.core.pixels import from_pil, to_pil
from synthaug.core.seeding import generator_for
from synthaug.core.types import LabelledImages
from synthaug.data.sources import load_source
from synthaug.data.splits import Splits, make_splits
from synthaug.metrics.features import pixels_extractor
from synthaug.workflows.judging import JudgingConfig
from synthaug.workflows.real_classifier import open_judge
from synthaug.workflows.scoring import CopyDetector, find_copies


def noisy(images: Tensor) -> Tensor:
    """Every value moved by -1, 0 or 1."""
    noise = torch.randint(-1, 2, images.shape, generator=generator_for("noise of copies"))
    return (images.int() + noise).clamp(0, 255).to(torch.uint8)


def recompressed(images: Tensor, quality: int) -> Tensor:
    """As JPEG and back."""
    found = []
    for image in images:
        buffer = io.BytesIO()
        to_pil(image).save(buffer, format="JPEG", quality=quality)
        with Image.open(io.BytesIO(buffer.getvalue())) as picture:
            found.append(from_pil(picture, image.shape[0]))
    return torch.stack(found)


def planted_in(splits: Splits, copies: Tensor, fresh: Tensor) -> LabelledImages:
    """Copies first, then fresh images; all of one class, as labels do not matter here."""
    images = torch.cat([copies, fresh])
    return LabelledImages.of(images, torch.zeros(len(images), dtype=torch.int64), splits.train.class_names, "planted")


def main() -> None:
    """Plants, looks and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--per-class-real", type=int)
    parser.add_argument("--judge-steps", type=int)
    parser.add_argument("--name", required=True)
    parser.add_argument("--count", type=int, default=100, help="copies of each kind")
    parser.add_argument("--fresh", type=int, default=1900, help="fresh images beside them")
    asked = parser.parse_args()
    splits = make_splits(load_source(asked.data), per_class_real=asked.per_class_real)
    config = JudgingConfig(judge_steps=asked.judge_steps)
    judge = open_judge(config, splits, config.runtime())
    train = splits.train
    spaces = (pixels_extractor(train.channels, train.image_size), judge.extractor())
    detectors = [CopyDetector.of(space, splits) for space in spaces]
    generator = generator_for("copies")
    chosen = train.images[torch.randperm(len(train), generator=generator)[: asked.count]]
    fresh = splits.test.images[torch.randperm(len(splits.test), generator=generator)[: asked.fresh]]
    kinds = {
        "exact": chosen,
        "noise": noisy(chosen),
        "jpeg75": recompressed(chosen, 75),
        "jpeg30": recompressed(chosen, 30),
        "mirrored": chosen.flip(-1),
    }
    figures: dict[str, float] = {"train": len(train), "validation": len(splits.validation), "fresh": len(fresh)}
    figures |= {"copies": len(chosen), "judge_validation_accuracy": round(judge.card.validation_accuracy, 4)}
    for detector in detectors:
        figures[f"{detector.extractor.name}_threshold"] = round(detector.threshold, 4)
    for kind, copies in kinds.items():
        found = find_copies(planted_in(splits, copies, fresh), detectors, splits)
        figures[f"{kind}_found_percent"] = round(100 * found.is_copy[: len(chosen)].double().mean().item(), 2)
        for detector, distances in zip(detectors, found.views, strict=True):
            by = distances.closest.relative[: len(chosen)] <= detector.threshold
            figures[f"{kind}_found_by_{detector.extractor.name}_percent"] = round(100 * by.double().mean().item(), 2)
        is_false = found.is_copy[len(chosen) :]
        figures["false_alarms_percent"] = round(100 * is_false.double().mean().item(), 3)
        for detector, distances in zip(detectors, found.views, strict=True):
            by = distances.closest.relative[len(chosen) :] <= detector.threshold
            figures[f"false_alarms_by_{detector.extractor.name}_percent"] = round(100 * by.double().mean().item(), 3)
    mirrors = (
        "mirrored copies count" if splits.allows_flip else "mirrored copies are other images here, and not looked for"
    )
    data = "CIFAR-10 (JPEG q75)" if "cifar" in asked.name else asked.data
    method = (
        f"{data}: copies of training images beside fresh ones of the test split; a copy is found if its relative "
        "distance to the nearest training image is at most the threshold in pixels or in the features of a judge of "
        f"the training images ({judge.card.architecture.network}, {judge.card.steps} steps). Thresholds come from the "
        f"validation images. {mirrors}."
    )
    write_result(f"copies_{asked.name}", method, figures, [])


if __name__ == "__main__":
    main()
