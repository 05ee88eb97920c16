"""The dataset card of a shard set: README.md with Hub metadata, made from the manifest alone."""

from __future__ import annotations

import yaml

from synthaug.generators.checkpoint import CheckpointCard
from synthaug.shards.manifest import Manifest

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def set_card(manifest: Manifest, checkpoint: CheckpointCard) -> str:
    """The text of README.md: what the set is, where it comes from, how to load it."""
    plan, split = manifest.plan, manifest.split
    metadata = {
        "task_categories": ["image-classification"],
        "tags": ["synthetic", "webdataset"],
        "annotations_creators": ["machine-generated"],
        "size_categories": [next((name for bound, name in _SIZES if manifest.sample_count < bound), "n>1M")],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "train-*.tar"}]}],
    }
    names = ", ".join(plan.class_names[:20]) + (" and more" if len(plan.class_names) > 20 else "")
    origin = f"{sum(split.class_counts)} images of {split.source} (split seed {split.seed})"
    pattern = f"train-{{000000..{len(manifest.shards) - 1:06d}}}.tar"
    return f"""---
{yaml.safe_dump(metadata, sort_keys=False).strip()}
---
# Synthetic images after {split.source}

![preview](preview.png)

{manifest.sample_count} images of {manifest.image_size}x{manifest.image_size} pixels, {plan.per_class} for each of
{len(plan.class_names)} classes ({names}), all made by a machine.

| | |
| --- | --- |
| generator | {plan.model}, preset {checkpoint.preset}, {checkpoint.training.parameters:,} parameters |
| checkpoint | `{plan.checkpoint}` |
| trained on | {origin}, {checkpoint.training.images_seen:,} images seen |
| sampler | {plan.sampler}, {plan.steps} steps, guidance {plan.guidance:g}, seed {plan.seed} |
| shards | {len(manifest.shards)} WebDataset tars, listed with sha256 in `manifest.json` |

Each sample has a `png`, a `cls` (class index) and a `json` with its class, index, seed and origin.

```python
import webdataset
samples = webdataset.WebDataset("{pattern}", shardshuffle=False).decode("pil")
```
"""
