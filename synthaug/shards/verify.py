"""Compares the files of a shard set with its manifest, byte for byte."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from synthaug.core.errors import DamageError
from synthaug.core.storage import sha256_file
from synthaug.shards.manifest import Manifest, ShardRecord
from synthaug.shards.plan import ShardPlan
from synthaug.shards.reader import iterate_shard


@dataclass(frozen=True)
class Verification:
    """What a check of a whole set found in order.

    Attributes:
        shards: Shards checked.
        samples: Samples in them.
        bytes: Their size.
        class_counts: Images per class name.
    """

    shards: int
    samples: int
    bytes: int
    class_counts: dict[str, int]


def check_contents(path: Path, shard: ShardPlan) -> None:
    """Checks that a shard holds exactly the samples of its plan; for sets that have no manifest yet.

    Raises:
        DamageError: If it is cut short, damaged, or holds other samples.
    """
    try:
        found = [(sample.key, sample.label) for sample in iterate_shard(path)]
    except DamageError as error:
        raise DamageError(f"{error}. Delete this shard and generate again.") from error
    if found != [(shard.key(position), label) for position, (label, _) in enumerate(shard.samples)]:
        raise DamageError(f"{path} holds other samples than the set's plan. Delete this shard and generate again.")


def shard_damage(folder: Path, shard: ShardRecord) -> str | None:
    """In what a shard differs from its record in the manifest; None if it does not."""
    path = folder / shard.name
    if not path.is_file():
        return f"{shard.name} is missing"
    if path.stat().st_size != shard.bytes:
        return f"{shard.name} has {path.stat().st_size} bytes instead of {shard.bytes}"
    if sha256_file(path) != shard.sha256:
        return f"{shard.name} has another sha256"
    return None


def verify_set(folder: Path) -> Verification:
    """Checks that every shard has the size and sha256 of the manifest.

    Raises:
        InputError: If the set has no manifest.
        DamageError: Naming every damaged shard.
    """
    manifest = Manifest.read(folder)
    damage = [found for shard in manifest.shards if (found := shard_damage(folder, shard))]
    totals = [sum(counts) for counts in zip(*(shard.class_counts for shard in manifest.shards), strict=True)]
    if damage:
        raise DamageError(f"{folder} is damaged: {'; '.join(damage)}. Delete these shards and generate again.")
    return Verification(
        shards=len(manifest.shards),
        samples=manifest.sample_count,
        bytes=sum(shard.bytes for shard in manifest.shards),
        class_counts=dict(zip(manifest.plan.class_names, totals, strict=True)),
    )
