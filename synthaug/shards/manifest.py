"""What a finished shard set says of itself; written last, checked first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from synthaug.core.errors import DamageError, InputError
from synthaug.core.folders import Folder, folder_at, read_bytes
from synthaug.shards.plan import SetPlan

MANIFEST_NAME = "manifest.json"
PLAN_NAME = "plan.json"
FORMAT: Final = 5
#: Had no curated sets, and two scores in each sample's JSON; such sets are read and verified, and not added to.
FORMER_FORMAT: Final = 4


class ShardRecord(BaseModel):
    """One finished shard.

    Attributes:
        name: File name.
        bytes: File size.
        sha256: Of the file.
        samples: Images in it.
        class_counts: Images per class, in label order.
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
        shards: The shards in order.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[4, 5] = FORMAT
    plan: SetPlan
    shards: tuple[ShardRecord, ...]

    @model_validator(mode="after")
    def _fits_its_plan(self) -> Self:
        if self.format == FORMER_FORMAT and self.plan.is_curated:
            raise ValueError(f"format {FORMER_FORMAT} has no curated sets")
        if len(self.shards) != self.plan.shard_count:
            raise ValueError(f"the plan has {self.plan.shard_count} shards, listed are {len(self.shards)}")
        for shard, record in zip(self.plan.shards(), self.shards, strict=True):
            if record.name != shard.file_name or record.samples != len(shard):
                raise ValueError(f"{record.name} with {record.samples} samples is not the plan's {shard.file_name}")
            if record.class_counts != shard.class_counts():
                raise ValueError(f"the class counts of {record.name} are not those of the plan")
        return self

    @property
    def sample_count(self) -> int:
        """Images in the whole set."""
        return self.plan.sample_count

    def write(self, folder: Folder) -> None:
        """Writes manifest.json atomically."""
        folder.write(MANIFEST_NAME, _encode(self))

    @classmethod
    def read(cls, where: Folder | str | Path) -> Self:
        """Reads manifest.json.

        Args:
            where: The folder, or its path or URL.

        Raises:
            InputError: If the folder or the manifest is missing.
            DamageError: If it is not a manifest, or contradicts itself.
        """
        folder = folder_at(where) if isinstance(where, str | Path) else where
        if not folder.has(MANIFEST_NAME):
            if folder.has(PLAN_NAME):
                raise InputError(
                    f"{folder} is unfinished, it has no {MANIFEST_NAME}: run the same generate command again, or "
                    "synthaug verify --finish if all its shards are there"
                )
            raise InputError(f"no shard set at {folder}: it has no {MANIFEST_NAME}")
        data = read_bytes(folder, MANIFEST_NAME)
        try:
            value = json.loads(data)
            if isinstance(value, dict) and value.get("format") not in (FORMER_FORMAT, FORMAT):
                raise InputError(
                    f"{folder.where(MANIFEST_NAME)} has format {value.get('format')!r}, this version reads "
                    f"{FORMER_FORMAT} and {FORMAT}; make the set again, or read its shards with wds:DIR"
                )
            return cls.model_validate_json(data)
        except (ValidationError, ValueError, RecursionError) as error:
            reason = _first(error) if isinstance(error, ValidationError) else str(error)
            raise DamageError(
                f"{folder.where(MANIFEST_NAME)} is not a manifest: {reason}. synthaug verify --finish writes it again"
            ) from error


def write_plan(folder: Folder, plan: SetPlan) -> None:
    """Writes plan.json atomically."""
    folder.write(PLAN_NAME, _encode(plan))


def read_plan(folder: Folder) -> SetPlan | None:
    """Reads plan.json; None if the folder has none.

    Raises:
        DamageError: If it is not a plan.
    """
    if not folder.has(PLAN_NAME):
        return None
    try:
        return SetPlan.model_validate_json(read_bytes(folder, PLAN_NAME))
    except ValidationError as error:
        raise DamageError(
            f"{folder.where(PLAN_NAME)} is not a plan: {_first(error)}. Delete it if the manifest is whole: verify "
            "--finish writes it again; else generate with --mode overwrite"
        ) from error


def _encode(model: BaseModel) -> bytes:
    return (json.dumps(model.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n").encode()


def _first(error: ValidationError) -> str:
    detail = error.errors()[0]
    return f"{'.'.join(map(str, detail['loc'])) or 'contents'}: {detail['msg']}"
