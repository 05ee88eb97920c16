"""A training loop on a shard set with webdataset and PyTorch alone; synthaug need not be installed.

    WDS_SECURE=1 python examples/webdataset_loop.py SET

WDS_SECURE=1 keeps webdataset from unpickling or executing anything that a shard names. Shards are shared out among the
loader's workers, so each sample comes once per epoch; `empty_check=False` lets workers without a shard be idle.
"""

import argparse
import json
from collections import Counter
from pathlib import Path

import torch
import webdataset
from torch.utils.data import DataLoader


def loader_of(shards: list[str], epoch: int, batch_size: int, workers: int) -> DataLoader:
    """The batches of one epoch: all samples once, in an order that depends on the epoch's number alone."""
    samples = (
        webdataset.WebDataset(shards, shardshuffle=len(shards), seed=epoch, empty_check=False)
        .shuffle(1000, seed=epoch)
        .decode("torchrgb")  # float images in [0, 1], (3, height, width); class numbers as int
        .to_tuple("png;webp", "cls")
    )
    return DataLoader(samples, batch_size=batch_size, num_workers=workers)


def main() -> None:
    """Trains for some epochs and prints what was seen."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("set", type=Path, help="folder with the shards and manifest.json")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()

    manifest = json.loads((options.set / "manifest.json").read_text(encoding="utf-8"))
    class_names = manifest["plan"]["class_names"]
    shards = [str(options.set / shard["name"]) for shard in manifest["shards"]]
    torch.manual_seed(0)
    classifier = torch.nn.Sequential(
        torch.nn.Conv2d(3, 32, kernel_size=3, padding=1),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(32, len(class_names)),
    )
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=1e-3)
    for epoch in range(options.epochs):
        counts: Counter[str] = Counter()
        shapes, losses = set(), []
        for images, labels in loader_of(shards, epoch, options.batch_size, options.workers):
            loss = torch.nn.functional.cross_entropy(classifier(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            shapes.add(tuple(images.shape[1:]))
            counts.update(class_names[label] for label in labels.tolist())
        mean = sum(losses) / len(losses)
        print(f"epoch {epoch}: {counts.total()} images of shape {sorted(shapes)}, mean loss {mean:.3f}")
        print(f"per class: {json.dumps(dict(sorted(counts.items())), ensure_ascii=False)}")


if __name__ == "__main__":
    main()
