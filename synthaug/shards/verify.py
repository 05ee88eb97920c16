"""Proves a shard set: against its manifest byte for byte, against its plan sample for sample."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from synthaug.core.errors import DamageError
from synthaug.core.folders import Folder, folder_at, sha256_in
from synthaug.shards.curation import Scores
from synthaug.shards.find import ShardFile
from synthaug.shards.manifest import FORMAT, FORMER_FORMAT, Manifest, ShardRecord, read_plan
from synthaug.shards.plan import SetPlan, ShardPlan
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
        raise damage_error(folder, damaged, manifest.plan)
    return Verification(
        shards=len(manifest.shards),
        samples=manifest.sample_count,
        bytes=sum(shard.bytes for shard in manifest.shards),
        class_counts=manifest.plan.class_counts(),
        is_deep=deep,
    )


#: What to do about a curated set that is not whole.
CURATED_REMEDY = "It is a curated set: synthaug curate makes it again from the set it was taken from."


def damage_error(folder: Folder, damaged: list[ShardDamage], plan: SetPlan) -> DamageError:
    """The error that names all damage, and the remedy."""
    remedy = CURATED_REMEDY if plan.is_curated else "synthaug verify --repair makes these shards again."
    return DamageError(f"{folder} is damaged: {'; '.join(map(str, damaged))}. {remedy}")


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
    found = (_shard_damage(folder, shard, record, manifest.format, deep=deep) for shard, record in pairs)
    return [damage for damage in found if damage is not None]


def _shard_damage(
    folder: Folder, shard: ShardPlan, record: ShardRecord, set_format: int, *, deep: bool
) -> ShardDamage | None:
    reason = differs(folder, record)
    if reason is None and not deep:
        return None
    if reason == _MISSING:
        return ShardDamage(record.name, reason)
    detail = _first_damage(folder, shard, set_format)
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


def check_contents(folder: Folder, shard: ShardPlan, *, set_format: int = FORMAT) -> int:
    """Checks every sample of a shard against the plan, and decodes it.

    Args:
        folder: The set.
        shard: One of its shards.
        set_format: Version of the on-disk format.

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
            check_described(file, sample, shard.plan, shard.key(count), samples[count], set_format)
            _check_picture(file, sample, shard.plan)
            count += 1
    except DamageError as error:
        key = shard.key(min(count, len(samples) - 1))
        hint = "" if f"sample {key}" in str(error) else f" (at or right after sample {key})"
        raise DamageError(f"{error}{hint}") from error
    return count


def _first_damage(folder: Folder, shard: ShardPlan, set_format: int) -> str | None:
    try:
        count = check_contents(folder, shard, set_format=set_format)
    except DamageError as error:
        return str(error).removeprefix(f"{folder.where(shard.file_name)}: ")
    return None if count == len(shard) else f"it ends after sample {count} of {len(shard)}"


def check_described(
    file: ShardFile, sample: ShardSample, plan: SetPlan, key: str, expected: tuple[int, int], set_format: int
) -> None:
    """Checks all of a sample but its pixels against the plan.

    Args:
        file: Its shard.
        sample: The sample.
        plan: The set.
        key: The key it must have.
        expected: Class and index it must have.
        set_format: Version of the on-disk format.

    Raises:
        DamageError: If it is another one, or is described otherwise.
    """
    what = f"{file}: sample {sample.key}"
    label, index = expected
    if sample.key != key or sample.label != label:
        raise DamageError(f"{what} of class {sample.label} is not what the plan has there")
    try:
        scores = Scores.parse(sample.description) if plan.is_curated else Scores()
    except ValueError as error:
        raise DamageError(f"{what} has no proper scores: {error}") from error
    description = describe(plan, label, index, scores, set_format=set_format)
    if sample.suffix != plan.image_format or sample.description != description:
        former = describe(plan, label, index, set_format=FORMER_FORMAT)
        detail = f", but that of format {FORMER_FORMAT}" if sample.description == former else ""
        raise DamageError(f"{what} has another description than the plan's{detail}")


def _check_picture(file: ShardFile, sample: ShardSample, plan: SetPlan) -> None:
    what = f"{file}: sample {sample.key}"
    picture = sample.decode(file)
    size, channels = plan.generator.image_size, plan.generator.channels
    if picture.size != (size, size):
        raise DamageError(f"{what} is {picture.width}x{picture.height} instead of {size}x{size}")
    if plan.image_format == "png" and len(picture.getbands()) != channels:  # WebP knows no grey
        raise DamageError(f"{what} has {len(picture.getbands())} channel(s) instead of {channels}")
