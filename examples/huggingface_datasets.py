"""A shard set in Hugging Face datasets, once as an indexed table and once streaming; synthaug need not be installed.

    python examples/huggingface_datasets.py SET

Nothing is downloaded, and with HF_HUB_OFFLINE=1 the loading is not counted on the network either. The indexed
form copies the set into a cache, here one that is removed at the end.
"""

import argparse
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import datasets


def main() -> None:
    """Loads the set in both ways and prints what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("set", type=Path, help="folder with the shards")
    options = parser.parse_args()
    shards = sorted(map(str, options.set.glob("train-*.tar")))

    with tempfile.TemporaryDirectory() as cache:
        table = datasets.load_dataset("webdataset", data_files=shards, split="train", cache_dir=cache)
        image = next(name for name in ("png", "webp") if name in table.features)
        print(f"table: {len(table)} images, first of {table[0][image].size} pixels")
        print(f"fields: {', '.join(sorted(table.features))}; json: {', '.join(sorted(table.features['json']))}")
        print(f"per class: {counted(sample['class'] for sample in table['json'])}")

    stream = datasets.load_dataset("webdataset", data_files=shards, split="train", streaming=True)
    samples = [(sample["json"]["class"], sample[image].size) for sample in stream]
    print(f"stream: {len(samples)} images of {sorted({size for _, size in samples})} pixels")
    print(f"per class: {counted(name for name, _ in samples)}")


def counted(names: Iterable[str]) -> str:
    """How often each name occurs, as JSON."""
    return json.dumps(dict(sorted(Counter(names).items())), ensure_ascii=False)


if __name__ == "__main__":
    main()
