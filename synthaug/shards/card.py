"""The dataset cards of a shard set and of what is exported from it: README.md with Hub metadata, from the manifest."""

from __future__ import annotations

from typing import Any

import yaml

from synthaug.shards.manifest import Manifest
from synthaug.shards.plan import SetPlan

#: The Hub's names of sizes, each with the count it ends before.
_SIZES = (
    (10**3, "n<1K"),
    (10**4, "1K<n<10K"),
    (10**5, "10K<n<100K"),
    (10**6, "100K<n<1M"),
    (10**7, "1M<n<10M"),
    (10**8, "10M<n<100M"),
    (10**9, "100M<n<1B"),
    (10**10, "1B<n<10B"),
)
_SHOWN_CLASSES = 20


def set_card(manifest: Manifest) -> str:
    """The text of README.md: what the set is, where it comes from, how to load it."""
    plan = manifest.plan
    title = _title(manifest)
    last = f"{len(manifest.shards) - 1:06d}"
    return f"""{_front_matter(title, manifest.sample_count, "train-*.tar", ["webdataset", "croissant"], manifest)}
# {title}

![preview](preview.png)

{_summary(manifest)}

{_origin(manifest)}
| shards | {len(manifest.shards)} WebDataset tars, listed with sha256 in `manifest.json` |

Each sample has a `{plan.image_format}`, a `cls` (class index) and a `json` with its class, index, seed and origin.
Every image carries the XMP mark `DigitalSourceType = trainedAlgorithmicMedia`. `croissant.json` describes the set for
machines; with mlcroissant, give each set a `CROISSANT_CACHE` of its own, as it unpacks shards by their names.

```python
import webdataset
samples = webdataset.WebDataset("train-{{000000..{last}}}.tar", shardshuffle=False).decode("pil")
```

```python
import datasets
samples = datasets.load_dataset("webdataset", data_files="train-*.tar", split="train")
```
"""


def parquet_card(manifest: Manifest | None, name: str, sample_count: int) -> str:
    """The text of README.md beside Parquet files `data/train-*`.

    Args:
        manifest: Of the set they were exported from, if it has one.
        name: What to call the images without a manifest.
        sample_count: Rows in all files together.
    """
    title = name if manifest is None else _title(manifest)
    about = "" if manifest is None else f"{_summary(manifest)}\n\n{_origin(manifest)}\n\n"
    return f"""{_front_matter(title, sample_count, "data/train-*", [], manifest)}
# {title}

{about}{sample_count} rows with `image`, `label`, `key` and, where known, how each image was made.

```python
import datasets
samples = datasets.load_dataset("parquet", data_files="data/train-*", split="train")
```
"""


def _title(manifest: Manifest) -> str:
    return f"Synthetic images after {manifest.plan.generator.split.source}"


def _front_matter(title: str, count: int, files: str, tags: list[str], manifest: Manifest | None) -> str:
    """The metadata block that the Hub reads; of a foreign set nothing is claimed but its size and task."""
    metadata: dict[str, Any] = {"pretty_name": title, "task_categories": ["image-classification"]}
    if manifest is not None:
        metadata |= {
            "tags": ["synthetic", *tags, "image"],
            "annotations_creators": ["machine-generated"],
            "source_datasets": [f"extended|{_hub_name(manifest.plan.generator.split.source)}"],
        }
    metadata |= {
        "size_categories": [next((name for bound, name in _SIZES if count < bound), "10B<n<100B")],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": files}]}],
    }
    return f"---\n{yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True).strip()}\n---"


def _summary(manifest: Manifest) -> str:
    plan = manifest.plan
    size = plan.generator.image_size
    counts = plan.label_counts()
    left = [name for name, count in zip(plan.class_names, counts, strict=True) if count]
    names = ", ".join(left[:_SHOWN_CLASSES]) + (" and more" if len(left) > _SHOWN_CLASSES else "")
    fewest, most = min(filter(None, counts)), max(counts)
    amount = f"{most}" if fewest == most else f"{fewest} to {most}"
    kept = f" They are what was kept of {plan.drawn_count}." if plan.is_curated else ""
    return (
        f"{manifest.sample_count} images of {size}x{size} pixels, {amount} for each of\n"
        f"{len(left)} classes ({names}), all made by a machine.{kept}"
    )


def _origin(manifest: Manifest) -> str:
    plan, generator = manifest.plan, manifest.plan.generator
    first, *former = (
        f"{sum(split.class_counts)} images of {split.source} (split seed {split.seed})"
        for split in (generator.split, *generator.ancestors)
    )
    before = "".join(f"\n| before that on | {real} |" for real in former)
    interval = plan.guidance_interval
    guidance = f"{plan.guidance:g}" + (f" at noise levels {interval[0]:g} to {interval[1]:g}" if interval else "")
    truncation = "" if plan.truncation is None else f"truncation {plan.truncation:g}, "
    precision = plan.precision + (", compiled" if plan.compiled else "")
    return f"""| | |
| --- | --- |
| generator | {generator.model}, preset {generator.preset}, {generator.parameters:,} parameters |
| checkpoint | `{generator.checkpoint}` |
| trained on | {first}, {generator.images_seen:,} images seen |{before}
| sampler | {plan.sampler}, {plan.steps} steps, guidance {guidance}, {truncation}{precision}, seed {plan.seed} |{
        _curations(plan)
    }"""


def _curations(plan: SetPlan) -> str:
    """Rows of the table for what chose among the images drawn."""
    return "".join(
        f"\n| curated | {curation.summary} |\n| by the judgement of | {curation.judge.summary} |"
        for curation in plan.curations
    )


def _hub_name(source: str) -> str:
    """The Hub's name of a well-known source; others are just that."""
    return {"digits": "other-digits", "cifar10": "cifar10"}.get(source.partition(":")[0], "other")
