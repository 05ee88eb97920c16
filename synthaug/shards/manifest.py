"""What a finished shard set says of itself; written last, checked first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from synthaug.core.errors import InputError
from synthaug.core.storage import write_text
from synthaug.core.types import SplitRecord
from synthaug.shards.plan import SetPlan

MANIFEST_NAME = "manifest.json"
PLAN_NAME = "plan.json"


class ShardRecord(BaseModel):
    """One finished shard.

    Attributes:
        name: File name.
        bytes: File size.
        sha256: Of the file.
        samples: Images in it.
        class_counts: Images per class.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+\.tar$")
    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    samples: int = Field(ge=1)
    class_counts: tuple[int, ...]


class Manifest(BaseModel):
    """The contents of a shard set.

    Attributes:
        format: Version of the on-disk format.
        plan: The settings that identify every sample.
        image_size: Height and width in pixels.
        channels: 1 for grey, 3 for RGB.
        allows_flip: Whether a mirrored image still shows its class.
        split: What the generator was trained on and what was held out.
        shards: The shards in order.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    plan: SetPlan
    image_size: int
    channels: Literal[1, 3]
    allows_flip: bool
    split: SplitRecord
    shards: tuple[ShardRecord, ...]

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        for shard in self.shards:
            if len(shard.class_counts) != len(self.plan.class_names) or sum(shard.class_counts) != shard.samples:
                raise ValueError(f"the class counts of {shard.name} do not fit its samples or the classes")
        return self

    @property
    def sample_count(self) -> int:
        """Images in the whole set."""
        return sum(shard.samples for shard in self.shards)

    def write(self, folder: Path) -> None:
        """Writes manifest.json atomically."""
        write_text(
            folder / MANIFEST_NAME, json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"
        )

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads manifest.json.

        Raises:
            InputError: If the folder or the manifest is missing, or is not one.
        """
        path = folder / MANIFEST_NAME
        if not folder.is_dir():
            raise InputError(f"no such folder: {folder.absolute()}")
        if not path.is_file():
            unfinished = (folder / PLAN_NAME).is_file()
            advice = "run the same generate command again to finish it" if unfinished else "give a shard set"
            raise InputError(f"{folder} has no {MANIFEST_NAME}: {advice}")
        try:
            return cls.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise InputError(f"{path} is not a manifest: {_first(error)}") from error


def write_plan(folder: Path, plan: SetPlan) -> None:
    """Writes plan.json atomically."""
    write_text(folder / PLAN_NAME, json.dumps(plan.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n")


def read_plan(folder: Path) -> SetPlan | None:
    """Reads plan.json; None if the folder has none.

    Raises:
        InputError: If it is not a plan.
    """
    path = folder / PLAN_NAME
    if not path.is_file():
        return None
    try:
        return SetPlan.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise InputError(f"{path} is not a plan: {_first(error)}") from error


def _first(error: ValidationError) -> str:
    detail = error.errors()[0]
    return f"{'.'.join(map(str, detail['loc'])) or 'contents'}: {detail['msg']}"
