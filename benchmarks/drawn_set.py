"""A shard set of images that a GPU drew elsewhere: what cifar10_generator.py --draw-only left in its --state.

    python benchmarks/drawn_set.py --model ddpm-cifar10 --drawn runs/drawn/1fad8ce4f13f-1.5.npz --guidance 1.5 --out set

The images are those that `synthaug generate` draws there with these settings, in batches of 250; on a CPU they come out
the same but for rounding.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from synthaug.core.folders import LocalFolder
from synthaug.core.storage import append_json_line
from synthaug.shards.finish import finish_set
from synthaug.shards.pipeline import publish_shards
from synthaug.shards.resume import prepare_folder
from synthaug.workflows.cost import COST_NAME, CostLine
from synthaug.workflows.drawing import Drawing
from synthaug.workflows.synthesize import GenerateConfig


def main() -> None:
    """Writes the set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="the checkpoint that drew them, or its packaged name")
    parser.add_argument("--drawn", type=Path, required=True, help="file of the images")
    parser.add_argument("--guidance", type=float, help="guidance that they were drawn with, if it was not its own")
    parser.add_argument("--precision", default="bf16", help="precision that they were drawn in")
    parser.add_argument("--per-class", type=int, default=500, help="how many of each class to take")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    with np.load(asked.drawn) as kept:
        images, labels = torch.from_numpy(kept["images"]), torch.from_numpy(kept["labels"])
        rate, machine = float(kept["images_per_second"]), str(kept["hardware"])
    drawing = Drawing.of(
        GenerateConfig.resolve(
            {
                "model": asked.model,
                "per_class": asked.per_class,
                "guidance": asked.guidance,
                "precision": asked.precision,
                "batch_size": 250,
                "out": str(asked.out),
            }
        )
    )
    plan, folder = drawing.plan, LocalFolder(asked.out)
    expected = f"{plan.generator.checkpoint[:12]}-{plan.guidance:g}"
    if asked.drawn.stem != expected:
        raise SystemExit(f"{asked.drawn} is not of {asked.model} with guidance {plan.guidance:g}, which is {expected}")
    classes = len(plan.class_names)
    if labels.tolist() != [row % classes for row in range(len(labels))]:
        raise SystemExit(f"{asked.drawn} does not hold the classes in turn")

    def drawn(positions: range) -> torch.Tensor:
        rows = [index * classes + label for label, index in map(plan.sample, positions)]
        return images[rows]

    work = prepare_folder(folder, plan, range(plan.shard_count), is_new=False)
    records = publish_shards(folder, plan, work.shards, drawn)
    cost = CostLine(images=plan.sample_count, seconds=plan.sample_count / rate, device="cuda", hardware=machine)
    append_json_line(asked.out / COST_NAME, cost.model_dump())
    finish_set(folder, plan, records, set(work.shards))
    print(f"{plan.sample_count} images in {asked.out}")


if __name__ == "__main__":
    main()
