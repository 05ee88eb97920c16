"""The synthetic sets of one bench: read once, told apart by short names, checked against every split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from synthaug.core.errors import InputError
from synthaug.core.folders import is_url
from synthaug.core.types import LabelledImages
from synthaug.shards.manifest import Manifest
from synthaug.shards.plan import SetPlan
from synthaug.workflows.bench.record import SetRecord
from synthaug.workflows.cost import read_cost
from synthaug.workflows.mixtures import read_synthetic


@dataclass(frozen=True)
class SyntheticSet:
    """One synthetic set.

    Attributes:
        name: What the bench calls it.
        where: Its folder or URL.
        images: Its images.
        manifest: What it says of itself.
    """

    name: str
    where: str
    images: LabelledImages
    manifest: Manifest

    @property
    def plan(self) -> SetPlan:
        """Its plan."""
        return self.manifest.plan

    def record(self) -> SetRecord:
        """What is known of it without any measurement."""
        generator = self.plan.generator
        return SetRecord(
            name=self.name,
            where=self.where,
            images=len(self.images),
            per_class=self.images.class_counts(),
            is_curated=self.plan.is_curated,
            training_seconds=generator.training_seconds,
            images_seen=generator.images_seen,
            fingerprint=self.images.fingerprint,
            cost=read_cost(self.where),
        )


def read_sets(locations: Sequence[str]) -> list[SyntheticSet]:
    """Reads every set, and calls it by the kind of its generator.

    Raises:
        InputError: For a set that is missing or given twice.
        DamageError: If a set is damaged.
    """
    opened = [(where, *read_synthetic(where)) for where in locations]
    plans = [manifest.plan for _, _, manifest in opened]
    for number, plan in enumerate(plans):
        if plan in plans[:number]:
            first = locations[plans.index(plan)]
            raise InputError(
                f"--synthetic {first} and --synthetic {locations[number]} hold the same set (their plans are equal); "
                "give each set once"
            )
    return named_apart(
        [
            SyntheticSet(f"{plan.generator.model} curated" if plan.is_curated else plan.generator.model, *entry)
            for plan, entry in zip(plans, opened, strict=True)
        ]
    )


def named_apart(sets: Sequence[SyntheticSet]) -> list[SyntheticSet]:
    """The sets with names that tell them apart."""
    names = set_names([one.name for one in sets], [one.where for one in sets])
    return [replace(one, name=name) for one, name in zip(sets, names, strict=True)]


def set_names(models: Sequence[str], locations: Sequence[str]) -> list[str]:
    """A short name for each set: its generator's model, its folder's name if others share that, else a number."""
    names = [
        model if models.count(model) == 1 else _last_name(where) for model, where in zip(models, locations, strict=True)
    ]
    if len(set(names)) == len(names):
        return names
    return [f"set {number}" for number in range(1, len(names) + 1)]


def _last_name(where: str) -> str:
    return where.rstrip("/").rpartition("/")[2] if is_url(where) else Path(where).resolve().name
