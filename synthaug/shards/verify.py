"""Proves a shard set: against its manifest byte for byte, against its plan sample for sample."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from synthaug.core.errors import DamageError
from synthaug.core.folders import Folder, folder_at, sha256_in
from synthaug.shards.find import ShardFile
from synthaug.shards.manifest import Manifest, ShardRecord, read_plan
from synthaug.shards.plan import ShardPlan
from synthaug.shards.reader import ShardSample, iterate_shard
from synthaug.shards.writer import describe


@dataclass(frozen=True)
class Verification:
    """What a check of a whole set found in order.

    Attributes:
        shards: Shards checked.
        samples: Samples in them.
        bytes: Their size.
        class_counts: Images per class name.
        is_deep: Whether every image was decoded and every label and description compared with the plan.
    """

    shards: int
    samples: int
    bytes: int
    class_counts: dict[str, int]
    is_deep: bool


@dataclass(frozen=True)
class ShardDamage:
    """What is wrong with one shard.

    Attributes:
        shard: File name.
        reason: In what it differs from what was promised, and in which sample.
    """

    shard: str
    reason: str

    def __str__(self) -> str:
        return f"{self.shard} {self.reason}"


def verify_set(where: str | Path, *, deep: bool = False) -> Verification:
    """Checks sizes, sha256, counts and classes of a set against its manifest and plan.

    Args:
        where: Path or URL of the set.
        deep: Also decode every image, and compare every key, class and description with the plan.

    Raises:
        InputError: If the set has no manifest.
        DamageError: Naming every damaged shard and its first damaged sample.
    """
    folder = folder_at(where)
    manifest = Manifest.read(folder)
    damaged = find_damage(folder, manifest, deep=deep)
    if damaged:
        raise damage_error(folder, damaged)
    return Verification(
        shards=len(manifest.shards),
        samples=manifest.sample_count,
        bytes=sum(shard.bytes for shard in manifest.shards),
        class_counts=manifest.plan.class_counts(),
        is_deep=deep,
    )


def damage_error(folder: Folder, damaged: list[ShardDamage]) -> DamageError:
    """The error that names all damage, and the remedy."""
    return DamageError(
        f"{folder} is damaged: {'; '.join(map(str, damaged))}. synthaug verify --repair makes these shards again."
    )


def find_damage(folder: Folder, manifest: Manifest, *, deep: bool = False) -> list[ShardDamage]:
    """Everything in which a set differs from its manifest.

    Raises:
        DamageError: If plan.json is another plan than the manifest's, or a tar stands there that is not listed.
    """
    plan = read_plan(folder)
    if plan is not None and plan != manifest.plan:
        raise DamageError(f"{folder}: plan.json is not the plan of manifest.json; one of them was changed")
    listed = {record.name for record in manifest.shards}
    if strangers := [name for name in folder.names() if name.endswith(".tar") and name not in listed]:
        raise DamageError(f"{folder}: {', '.join(strangers)} is not in the manifest; take it out of the folder")
    pairs = zip(manifest.plan.shards(), manifest.shards, strict=True)
    found = (_shard_damage(folder, shard, record, deep=deep) for shard, record in pairs)
    return [damage for damage in found if damage is not None]


def _shard_damage(folder: Folder, shard: ShardPlan, record: ShardRecord, *, deep: bool) -> ShardDamage | None:
    reason = differs(folder, record)
    if reason is None and not deep:
        return None
    if reason == _MISSING:
        return ShardDamage(record.name, reason)
    detail = _first_damage(folder, shard)
    if reason is None:
        return None if detail is None else ShardDamage(record.name, f"does not hold what the plan says ({detail})")
    return ShardDamage(record.name, f"{reason} ({detail or 'all its samples can be read and are those of the plan'})")


_MISSING = "is missing"


def differs(folder: Folder, record: ShardRecord) -> str | None:
    """In what a shard differs from its record in the manifest; None if it does not."""
    if not folder.has(record.name):
        return _MISSING
    if (size := folder.size(record.name)) != record.bytes:
        return f"has {size} bytes instead of {record.bytes}"
    if sha256_in(folder, record.name) != record.sha256:
        return "has another sha256"
    return None


def check_contents(folder: Folder, shard: ShardPlan) -> int:
    """Checks every sample of a shard against the plan, and decodes it.

    Returns:
        How many samples it holds: fewer than planned if the set was smaller when the shard was made.

    Raises:
        DamageError: If it is damaged or holds something else, naming the sample.
    """
    file, count = ShardFile(folder, shard.file_name), 0
    samples = shard.samples
    try:
        for sample in iterate_shard(file):
            if count == len(samples):
                raise DamageError(f"{file}: sample {sample.key} is more than the plan has")
            _check_sample(file, sample, shard, count, *samples[count])
            count += 1
    except DamageError as error:
        key = shard.key(min(count, len(samples) - 1))
        hint = "" if f"sample {key}" in str(error) else f" (at or right after sample {key})"
        raise DamageError(f"{error}{hint}") from error
    return count


def _first_damage(folder: Folder, shard: ShardPlan) -> str | None:
    try:
        count = check_contents(folder, shard)
    except DamageError as error:
        return str(error).removeprefix(f"{folder.where(shard.file_name)}: ")
    return None if count == len(shard) else f"it ends after sample {count} of {len(shard)}"


def _check_sample(
    file: ShardFile, sample: ShardSample, shard: ShardPlan, position: int, label: int, index: int
) -> None:
    plan = shard.plan
    what = f"{file}: sample {sample.key}"
    if sample.key != shard.key(position) or sample.label != label:
        raise DamageError(f"{what} of class {sample.label} is not what the plan has there")
    if sample.suffix != plan.image_format or sample.description != describe(plan, label, index):
        raise DamageError(f"{what} has another description than the plan's")
    picture = sample.decode(file)
    size, channels = plan.generator.image_size, plan.generator.channels
    if picture.size != (size, size):
        raise DamageError(f"{what} is {picture.width}x{picture.height} instead of {size}x{size}")
    if plan.image_format == "png" and len(picture.getbands()) != channels:  # WebP knows no grey
        raise DamageError(f"{what} has {len(picture.getbands())} channel(s) instead of {channels}")
