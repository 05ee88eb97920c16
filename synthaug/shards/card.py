"""The dataset card of a shard set: README.md with Hub metadata, made from the manifest alone."""

from __future__ import annotations

import yaml

from synthaug.shards.manifest import Manifest

_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
)
_SHOWN_CLASSES = 20


def set_card(manifest: Manifest) -> str:
    """The text of README.md: what the set is, where it comes from, how to load it."""
    plan, generator = manifest.plan, manifest.plan.generator
    split = generator.split
    metadata = {
        "pretty_name": f"Synthetic images after {split.source}",
        "task_categories": ["image-classification"],
        "tags": ["synthetic", "webdataset", "croissant", "image"],
        "annotations_creators": ["machine-generated"],
        "source_datasets": [f"extended|{_hub_name(split.source)}"],
        "size_categories": [next((name for bound, name in _SIZES if manifest.sample_count < bound), "n>10M")],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "train-*.tar"}]}],
    }
    drawn = [plan.class_names[label] for label in plan.classes]
    names = ", ".join(drawn[:_SHOWN_CLASSES]) + (" and more" if len(drawn) > _SHOWN_CLASSES else "")
    origin = f"{sum(split.class_counts)} images of {split.source} (split seed {split.seed})"
    last = f"{len(manifest.shards) - 1:06d}"
    pattern = f"train-{{000000..{last}}}.tar"
    return f"""---
{yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True).strip()}
---
# Synthetic images after {split.source}

![preview](preview.png)

{manifest.sample_count} images of {generator.image_size}x{generator.image_size} pixels, {plan.per_class} for each of
{len(drawn)} classes ({names}), all made by a machine.

| | |
| --- | --- |
| generator | {generator.model}, preset {generator.preset}, {generator.parameters:,} parameters |
| checkpoint | `{generator.checkpoint}` |
| trained on | {origin}, {generator.images_seen:,} images seen |
| sampler | {plan.sampler}, {plan.steps} steps, guidance {plan.guidance:g}, {plan.precision}, seed {plan.seed} |
| shards | {len(manifest.shards)} WebDataset tars, listed with sha256 in `manifest.json` |

Each sample has a `{plan.image_format}`, a `cls` (class index) and a `json` with its class, index, seed and origin.
Every image carries the XMP mark `DigitalSourceType = trainedAlgorithmicMedia`. `croissant.json` describes the set for
machines.

```python
import webdataset
samples = webdataset.WebDataset("{pattern}", shardshuffle=False).decode("pil")
```

```python
import datasets
samples = datasets.load_dataset("webdataset", data_files="{pattern.replace(f"{{000000..{last}}}", "*")}", split="train")
```
"""


def _hub_name(source: str) -> str:
    """The Hub's name of a well-known source; others are just that."""
    return {"digits": "other-digits", "cifar10": "cifar10"}.get(source.partition(":")[0], "other")
