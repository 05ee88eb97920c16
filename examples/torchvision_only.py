"""A shard set with tarfile, Pillow and torchvision alone: a map-style dataset. Nothing else need be installed.

    python examples/torchvision_only.py SET

A shard is a plain tar: per sample one image (KEY.png or KEY.webp), its class number (KEY.cls) and a description
(KEY.json). Members are found once and then read at random, so that any sampler works.
"""

import argparse
import io
import json
import tarfile
from collections import Counter
from pathlib import Path

import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms.v2 import functional as transforms


class TarShards(Dataset):
    """The samples of some shards: float images in [0, 1] and class numbers."""

    def __init__(self, shards: list[Path]) -> None:
        self.places: list[tuple[Path, int, int]] = []  # shard, first byte and size of each image
        self.labels: list[int] = []
        for shard in shards:
            with tarfile.open(shard, "r:") as tar:
                for member in tar:
                    if member.name.endswith((".png", ".webp")):
                        self.places.append((shard, member.offset_data, member.size))
                    elif member.name.endswith(".cls"):
                        self.labels.append(int(tar.extractfile(member).read()))
        if len(self.places) != len(self.labels):
            raise ValueError("every sample must have one image and one class; is a shard cut short?")

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        shard, start, size = self.places[index]
        with shard.open("rb") as file:
            file.seek(start)
            picture = Image.open(io.BytesIO(file.read(size)), formats=["PNG", "WEBP"])
        return transforms.to_dtype(transforms.pil_to_tensor(picture), scale=True), self.labels[index]


def main() -> None:
    """Goes through the set once and prints what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("set", type=Path, help="folder with the shards and manifest.json")
    options = parser.parse_args()
    class_names = json.loads((options.set / "manifest.json").read_text(encoding="utf-8"))["plan"]["class_names"]
    samples = TarShards(sorted(options.set.glob("train-*.tar")))
    counts: Counter[str] = Counter()
    shapes = set()
    for images, labels in DataLoader(samples, batch_size=64, shuffle=True):
        shapes.add(tuple(images.shape[1:]))
        counts.update(class_names[label] for label in labels.tolist())
    print(f"{len(samples)} images of shape {sorted(shapes)}")
    print(f"per class: {json.dumps(dict(sorted(counts.items())), ensure_ascii=False)}")


if __name__ == "__main__":
    main()
