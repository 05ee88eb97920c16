"""The export of a shard set: its settings, its result, and the one function that does it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from synthaug.core.errors import InputError
from synthaug.shards.reader import OnDamage
from synthaug.workflows.config import Location, Settings
from synthaug.workflows.export.imagefolder import write_image_folder
from synthaug.workflows.export.parquet import write_parquet
from synthaug.workflows.export.stream import ShardStream
from synthaug.workflows.place import appearing, empty_place

_WRITERS = {"imagefolder": write_image_folder, "parquet": write_parquet}


class ExportConfig(Settings):
    """Settings of `synthaug export`; the field descriptions are the help texts."""

    folder: Location = Field(
        description="The shard set, or a pattern of shards; paths or URLs.", json_schema_extra={"argument": "DIR"}
    )
    to: Literal["imagefolder", "parquet"] = Field(
        description="imagefolder: a folder of image files per class; parquet: a table per shard, as the Hub has it."
    )
    out: Location = Field(description="Folder for the result; it must be empty or not exist.")
    on_damage: OnDamage = Field("error", description="With damaged samples: stop, or skip and count them.")


@dataclass(frozen=True)
class ExportResult:
    """What was exported.

    Attributes:
        out: The folder.
        to: Its format.
        samples: Images in it.
        class_counts: Images per class name, in label order.
        files: Image or Parquet files.
        skipped: Damaged pieces that were left out.
    """

    out: Path
    to: str
    samples: int
    class_counts: dict[str, int]
    files: int
    skipped: int


def export(config: ExportConfig) -> ExportResult:
    """Export a shard set to a folder of images per class, or to Parquet files with class names.

    `imagefolder` writes `OUT/CLASS/KEY.png`, which torchvision's ImageFolder and the source `imagefolder:OUT` load.
    Both number the classes in the order of their folder names, which need not be that of the set: `OUT/classes.json`
    has the label and class name of each folder. A class folder is called like the class. What a file name cannot hold
    is percent-encoded as in URLs, also a `%`, a leading dot, and the first letter of `train`, which would pass for a
    split; names of more than 255 bytes end in a hash.

    `parquet` writes `OUT/data/train-00000-of-00008.parquet`, one for each shard, with columns image, label and key, and
    those fields of the samples' JSON that are known here. Hugging Face `datasets` sees images and class names in them.

    The folder appears when it is complete. Of shards without a manifest, only those for training are exported, classes
    are called by their numbers, and for Parquet they are read twice.

    Raises:
        InputError: If there is no set, the folder is not empty, no image is left, or pyarrow is missing.
        DamageError: At the first damage, unless it is to be skipped.
        StorageError: If the disk refuses; nothing appears then.
    """
    out = empty_place(config.out, kind="export")
    stream = ShardStream.of(config.folder, config.on_damage)
    with appearing(out) as folder:
        counts = _WRITERS[config.to](stream, folder)
        if not counts:
            raise InputError(f"{config.folder}: at least one image is needed, found none")
    stream.damage.report(config.folder)
    return ExportResult(
        out=out,
        to=config.to,
        samples=counts.total(),
        class_counts=stream.named_counts(counts),
        files=counts.total() if config.to == "imagefolder" else len(stream.shards),
        skipped=len(stream.damage.messages),
    )
