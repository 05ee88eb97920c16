"""A shard set through synthaug's own ShardDataset: any number of workers and processes, damage found, URLs as well.

    python examples/synthaug_loader.py SET

Every sample comes once, also with more workers than shards; under torch.distributed each process gets its share.
"""

import argparse
import json
from collections import Counter

from torch.utils.data import DataLoader

from synthaug.shards.dataset import ShardDataset


def main() -> None:
    """Goes through the set once and prints what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("set", help="shard set: folder or URL (s3://, gs://, hf://, https://)")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    samples = ShardDataset(options.set, on_damage="error")
    counts: Counter[str] = Counter()
    shapes = set()
    for batch in DataLoader(samples, batch_size=64, num_workers=options.workers):
        shapes.add(tuple(batch.image.shape[1:]))  # uint8
        counts.update(samples.class_names[label] for label in batch.label.tolist())
    print(f"{counts.total()} of {len(samples)} images of shape {sorted(shapes)}")
    print(f"per class: {json.dumps(dict(sorted(counts.items())), ensure_ascii=False)}")


if __name__ == "__main__":
    main()
