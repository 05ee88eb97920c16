"""The last step of a set: picture, card and description, then the manifest that makes it a set."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch

from synthaug.core.folders import Folder
from synthaug.core.pixels import encode_png, grid
from synthaug.shards.card import set_card
from synthaug.shards.croissant import CROISSANT_NAME, croissant
from synthaug.shards.find import ShardFile
from synthaug.shards.manifest import Manifest, ShardRecord
from synthaug.shards.plan import SetPlan
from synthaug.shards.reader import read_shards
from synthaug.shards.verify import check_contents
from synthaug.shards.writer import record_of

PREVIEW_NAME, CARD_NAME = "preview.png", "README.md"
#: What is written just before the manifest.
FINISHING_NAMES = (PREVIEW_NAME, CARD_NAME, CROISSANT_NAME)
_PREVIEW_CLASSES, _PREVIEW_PER_CLASS = 10, 10


def missing_shards(folder: Folder, plan: SetPlan) -> list[int]:
    """Numbers of the shards that do not stand in the folder yet."""
    present = set(folder.names())
    return [shard.number for shard in plan.shards() if shard.file_name not in present]


def short_shards(folder: Folder, plan: SetPlan, *, except_for: Collection[int] = ()) -> list[int]:
    """Numbers of the shards that stand there with fewer samples than planned, because the set was smaller before.

    Args:
        folder: The set.
        plan: Its plan.
        except_for: Numbers of shards that need not be read.

    Raises:
        DamageError: If a shard does not hold samples of the plan.
    """
    present = set(folder.names())
    shards = [shard for shard in plan.shards() if shard.file_name in present and shard.number not in except_for]
    return [shard.number for shard in shards if check_contents(folder, shard) < len(shard)]


def finish_set(
    folder: Folder, plan: SetPlan, records: Mapping[int, ShardRecord], checked: Collection[int] = ()
) -> list[int]:
    """Writes preview, card, Croissant description and, last, the manifest, if all shards are there.

    Args:
        folder: The set.
        plan: Its plan.
        records: What is already known of shards, by their number.
        checked: Numbers of other shards that hold what the plan says; the rest are read and checked.

    Returns:
        Numbers of the shards that are missing, or, if none is, shorter than planned; the set is finished if there is
        none of either.

    Raises:
        DamageError: If a shard does not hold the samples of the plan.
    """
    missing = missing_shards(folder, plan)
    if missing:
        return missing
    unknown = [shard for shard in plan.shards() if shard.number not in records and shard.number not in checked]
    short = [shard.number for shard in unknown if check_contents(folder, shard) < len(shard)]
    if short:
        return short
    manifest = Manifest(
        plan=plan, shards=tuple(records.get(shard.number) or record_of(folder, shard) for shard in plan.shards())
    )
    folder.write(PREVIEW_NAME, preview(folder, plan))
    folder.write(CARD_NAME, set_card(manifest).encode())
    folder.write(CROISSANT_NAME, croissant(manifest).encode())
    manifest.write(folder)
    return []


def preview(folder: Folder, plan: SetPlan, *, per_class: int = _PREVIEW_PER_CLASS) -> bytes:
    """A PNG with the first images of the first shard, a row for each class; shorter rows end in white."""
    first = ShardFile(folder, plan.shard(0).file_name)
    images = read_shards([first], name=str(first), class_names=plan.class_names, channels=plan.generator.channels)
    rows = [members[:per_class] for members in images.indices_by_class()]
    rows = [row for row in rows if len(row)][:_PREVIEW_CLASSES]
    columns = max(len(row) for row in rows)
    blank = torch.full_like(images.images[:columns], 255)
    shown = torch.cat([part for row in rows for part in (images.images[row], blank[: columns - len(row)])])
    return encode_png(grid(shown, columns, scale=max(1, 32 // images.image_size)))
