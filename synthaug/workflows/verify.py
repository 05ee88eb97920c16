"""Proves a shard set, finishes one whose makers have all gone, and makes damaged shards again."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass

from pydantic import Field

from synthaug.core.console import log
from synthaug.core.errors import DamageError, InputError, SynthaugError
from synthaug.core.folders import Folder, folder_at
from synthaug.core.runtime import DeviceName
from synthaug.shards.finish import finish_set, missing_shards, short_shards
from synthaug.shards.manifest import MANIFEST_NAME, Manifest, read_plan, write_plan
from synthaug.shards.verify import CURATED_REMEDY, ShardDamage, Verification, damage_error, find_damage, verify_set
from synthaug.workflows.config import Location, Settings
from synthaug.workflows.drawing import Drawing
from synthaug.workflows.synthesize import make_shard

_SHOWN = 10


class VerifyConfig(Settings):
    """Settings of `synthaug verify`; the field descriptions are the help texts."""

    folder: Location = Field(description="The shard set, a folder or URL.", json_schema_extra={"argument": "DIR"})
    deep: bool = Field(False, description="Also decode every image and compare every label and description.")
    repair: bool = Field(False, description="Make damaged and missing shards of a drawn set again, and nothing else.")
    finish: bool = Field(
        False,
        description="Write what is missing besides shards: the manifest (also one that cannot be read), the plan.",
    )
    model: str | None = Field(
        None, description="Checkpoint for --repair, if it is not found by the hash the set names."
    )
    device: DeviceName = Field("auto", description="Where to compute with --repair; take what made the set.")


@dataclass(frozen=True)
class VerifyResult:
    """What was found in order, and what was done for it.

    Attributes:
        folder: The set.
        verification: Counts of the check.
        repaired: Shards that were made again.
        is_newly_finished: Whether this run wrote the manifest.
    """

    folder: str
    verification: Verification
    repaired: tuple[str, ...]
    is_newly_finished: bool


def verify(config: VerifyConfig) -> VerifyResult:
    """Check every shard of a set against the sizes, sha256 and counts of its manifest.

    Raises:
        InputError: If there is no set, or it is unfinished.
        DamageError: Naming every damaged shard and its first damaged sample.
        SynthaugError: If a set that is to be finished lacks shards.
    """
    folder = folder_at(config.folder)
    is_newly_finished = config.finish and _finish(folder)
    repaired = _repair(folder, config) if config.repair else ()
    return VerifyResult(
        folder=config.folder,
        verification=verify_set(config.folder, deep=config.deep),
        repaired=repaired,
        is_newly_finished=is_newly_finished,
    )


def _finish(folder: Folder) -> bool:
    plan = read_plan(folder)
    if folder.has(MANIFEST_NAME):
        with contextlib.suppress(DamageError):
            manifest = Manifest.read(folder)
            if plan is None:
                write_plan(folder, manifest.plan)
            return False
    if plan is None:
        raise InputError(f"no shard set at {folder}: it has neither a plan nor a manifest that can be read")
    missing = sorted({*missing_shards(folder, plan), *short_shards(folder, plan)})
    if not missing:
        missing = finish_set(folder, plan, {}, range(plan.shard_count))
    if missing:
        if plan.is_curated:
            lack = f"{len(missing)} of {plan.shard_count} shards are missing or too short"
            raise SynthaugError(f"{folder} cannot be finished: {lack}. {CURATED_REMEDY}")
        shown = ",".join(map(str, missing[:_SHOWN])) + (",..." if len(missing) > _SHOWN else "")
        raise SynthaugError(
            f"{folder} cannot be finished: {len(missing)} of {plan.shard_count} shards are missing or too short. Make "
            f"them first: the same generate command, with --shards {shown} or without --shards"
        )
    return True


def _repair(folder: Folder, config: VerifyConfig) -> tuple[str, ...]:
    manifest = Manifest.read(folder)
    damaged = find_damage(folder, manifest, deep=config.deep)
    if not damaged:
        return ()
    if manifest.plan.is_curated:
        raise damage_error(folder, damaged, manifest.plan)
    drawing = Drawing.again(manifest.plan, model=config.model, folder=folder, device=config.device)
    records = {record.name: (number, record) for number, record in enumerate(manifest.shards)}
    lost: list[ShardDamage] = []
    for damage in damaged:
        number, record = records[damage.shard]
        log(f"{damage}; making it again")
        data = make_shard(drawing, manifest.plan.shard(number), set_format=manifest.format)
        if hashlib.sha256(data).hexdigest() == record.sha256:
            folder.write(record.name, data)
        else:
            lost.append(damage)
    if lost:
        raise DamageError(
            f"{damage_error(folder, lost, manifest.plan)} Here they come out different, as this is other hardware or "
            "other versions than made the set; left as they are. Repair it there, or make a new set."
        )
    return tuple(damage.shard for damage in damaged)
