"""Shows what a shard set holds, finished or not, ours or a stranger's; changes nothing in it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import Field

from synthaug.core.folders import folder_at
from synthaug.core.pixels import encode_png, fit_square, from_pil, grid
from synthaug.core.storage import write_bytes
from synthaug.shards.find import ShardFile, is_folder, resolve_shards
from synthaug.shards.finish import missing_shards
from synthaug.shards.manifest import MANIFEST_NAME, Manifest, read_plan
from synthaug.shards.plan import SetPlan
from synthaug.shards.reader import iterate_shard
from synthaug.workflows.config import Location, Settings

_GRID_CLASSES, _LARGEST_CELL = 20, 128


class InspectConfig(Settings):
    """Settings of `synthaug inspect`; the field descriptions are the help texts."""

    folder: Location = Field(
        description="The shard set, or a pattern of shards; paths or URLs.", json_schema_extra={"argument": "DIR"}
    )
    grid: Path | None = Field(None, description="PNG file for a picture of the first images of each class.")
    per_class: int = Field(10, ge=1, le=100, description="Images per class in the picture.")


@dataclass(frozen=True)
class InspectResult:
    """What a set holds.

    Attributes:
        folder: Where it is.
        state: "finished", "unfinished", or "foreign" for shards without a plan.
        samples: Images in it; in an unfinished set, those of the shards that are there.
        shards: Shards that are there.
        missing_shards: Shards that are not there yet, or not in their full length.
        bytes: Size of the shards that are there.
        class_counts: Images per class name: as promised by a manifest, else counted.
        settings: What identifies every sample; None for foreign shards.
        grid: The picture, if one was asked for.
    """

    folder: str
    state: str
    samples: int
    shards: int
    missing_shards: int
    bytes: int
    class_counts: dict[str, int]
    settings: SetPlan | None
    grid: Path | None


def inspect(config: InspectConfig) -> InspectResult:
    """Show what a shard set holds: counts, classes, settings and a picture.

    Raises:
        InputError: If there are no shards.
        DamageError: If a manifest, a plan or a shard that must be read is damaged.
    """
    plan = None
    if is_folder(config.folder):
        folder = folder_at(config.folder)
        plan = Manifest.read(folder).plan if folder.has(MANIFEST_NAME) else read_plan(folder)
    return _foreign(config) if plan is None else _ours(config, plan)


def _ours(config: InspectConfig, plan: SetPlan) -> InspectResult:
    folder = folder_at(config.folder)
    missing = set(missing_shards(folder, plan))
    present = [shard for shard in plan.shards() if shard.number not in missing]
    files = [ShardFile(folder, shard.file_name) for shard in present]
    if config.grid is not None:
        classes = sum(map(bool, plan.label_counts()))
        _write_grid(config.grid, files, classes, config.per_class, plan.generator.channels)
    is_finished = folder.has(MANIFEST_NAME)
    if is_finished:
        counts, short = plan.class_counts(), 0
    else:  # A shard may hold fewer samples than planned, if the set was smaller before.
        labels = [[sample.label for sample in iterate_shard(file, classes=len(plan.class_names))] for file in files]
        found = Counter(label for shard_labels in labels for label in shard_labels)
        counts = {name: found[label] for label, name in enumerate(plan.class_names)}
        short = sum(len(part) < len(shard) for part, shard in zip(labels, present, strict=True))
    return InspectResult(
        folder=config.folder,
        state="finished" if is_finished else "unfinished",
        samples=sum(counts.values()),
        shards=len(present),
        missing_shards=len(missing) + short,
        bytes=sum(folder.size(shard.file_name) for shard in present),
        class_counts=counts,
        settings=plan,
        grid=config.grid,
    )


def _foreign(config: InspectConfig) -> InspectResult:
    files = resolve_shards(config.folder)
    counts = Counter(sample.label for file in files for sample in iterate_shard(file))
    if config.grid is not None:
        _write_grid(config.grid, files, len(counts), config.per_class, None)
    return InspectResult(
        folder=config.folder,
        state="foreign",
        samples=counts.total(),
        shards=len(files),
        missing_shards=0,
        bytes=sum(file.folder.size(file.name) for file in files),
        class_counts={str(label): counts[label] for label in sorted(counts)},
        settings=None,
        grid=config.grid,
    )


def _write_grid(path: Path, files: list[ShardFile], classes: int, per_class: int, channels: int | None) -> None:
    """A row for each class, read from as few shards as need be, larger images made small at once."""
    rows: dict[int, list[torch.Tensor]] = {}
    size = 0
    wanted = min(classes, _GRID_CLASSES)
    for file in files:
        for sample in iterate_shard(file):
            if sample.label not in rows and len(rows) >= _GRID_CLASSES:
                continue
            row = rows.setdefault(sample.label, [])
            if len(row) < per_class:
                picture = sample.decode(file)
                size = size or min(_LARGEST_CELL, *picture.size)
                row.append(from_pil(fit_square(picture, size), channels or 3))
        if len(rows) >= wanted and all(len(row) == per_class for row in rows.values()):
            break
    if not rows:
        return
    chosen = [rows[label] for label in sorted(rows)[:_GRID_CLASSES]]
    columns = max(len(row) for row in chosen)
    blank = torch.full_like(chosen[0][0], 255)
    images = [image for row in chosen for image in (*row, *[blank] * (columns - len(row)))]
    write_bytes(path, encode_png(grid(torch.stack(images), columns, scale=max(1, 32 // size))))
