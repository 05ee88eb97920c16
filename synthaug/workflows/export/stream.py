"""The samples of a shard set one after the other, ours or a stranger's, checked on their way out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from synthaug.core.errors import DamageError, InputError
from synthaug.shards.find import ShardFile, shards_of
from synthaug.shards.manifest import Manifest
from synthaug.shards.reader import MAX_CLASSES, Damage, OnDamage, ShardSample, iterate_shard


@dataclass(frozen=True)
class ShardStream:
    """The samples of a set, shard by shard; never more than one of them in memory.

    Attributes:
        name: What to call it.
        shards: Its shards.
        manifest: None for shards of others.
        damage: What to do with damage, and what was found.
    """

    name: str
    shards: list[ShardFile]
    manifest: Manifest | None
    damage: Damage

    @classmethod
    def of(cls, where: str, on_damage: OnDamage) -> ShardStream:
        """Finds the shards.

        Raises:
            InputError: If there is none, the set is unfinished, or two of its classes have the same name.
        """
        shards, manifest = shards_of(where)
        names = () if manifest is None else manifest.plan.class_names
        if repeated := [name for name, count in Counter(names).items() if count > 1]:
            raise InputError(f"{where}: several classes are called {repeated[0]!r}, which no export could tell apart")
        return cls(where, shards, manifest, Damage(on_damage))

    @property
    def classes(self) -> int:
        """How many classes there may be."""
        return MAX_CLASSES if self.manifest is None else len(self.manifest.plan.class_names)

    def class_name(self, label: int) -> str:
        """Name of a class: its number without a manifest."""
        return str(label) if self.manifest is None else self.manifest.plan.class_names[label]

    def named_counts(self, counts: Counter[int]) -> dict[str, int]:
        """Images per class name, in label order."""
        labels = sorted(counts) if self.manifest is None else range(self.classes)
        return {self.class_name(label): counts[label] for label in labels}

    def samples(self, number: int) -> Iterator[ShardSample]:
        """The samples of one shard whose images can be decoded.

        Raises:
            DamageError: At damage, or if they are not as many as the manifest says; unless it is to be skipped.
        """
        shard = self.shards[number]
        for sample in iterate_shard(shard, self.damage, classes=self.classes):
            try:
                sample.decode(shard)
            except DamageError as error:
                self.damage.found(error)
            else:
                yield sample
