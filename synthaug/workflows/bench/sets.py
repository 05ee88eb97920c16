"""The synthetic sets of one bench: opened one by one, told apart by short names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from synthaug.core.errors import InputError
from synthaug.core.folders import is_url
from synthaug.core.types import LabelledImages
from synthaug.data.splits import Splits
from synthaug.shards.plan import SetPlan
from synthaug.workflows.bench.summary import SetFacts
from synthaug.workflows.cost import read_cost
from synthaug.workflows.mixtures import open_synthetic


@dataclass(frozen=True)
class SyntheticSet:
    """One synthetic set.

    Attributes:
        name: What the bench calls it.
        where: Its folder or URL.
        images: Its images.
        plan: Its plan.
    """

    name: str
    where: str
    images: LabelledImages
    plan: SetPlan

    def facts(self) -> SetFacts:
        """What the summary says of it besides measurements."""
        generator = self.plan.generator
        return SetFacts(
            name=self.name,
            images=len(self.images),
            training_seconds=generator.training_seconds,
            images_seen=generator.images_seen,
            cost=read_cost(self.where),
        )


def open_sets(locations: Sequence[str], splits: Splits, *, accepts_init: bool) -> list[SyntheticSet]:
    """Reads and checks every set on its own, and names them.

    Raises:
        InputError: For a leaking or foreign set, or one that is given twice.
        DamageError: If a set is damaged.
    """
    opened = [(where, *open_synthetic(where, splits, accepts_init=accepts_init)) for where in locations]
    plans = [manifest.plan for _, _, manifest in opened]
    for number, plan in enumerate(plans):
        if plan in plans[:number]:
            first = locations[plans.index(plan)]
            raise InputError(
                f"--synthetic {first} and --synthetic {locations[number]} hold the same set (their plans are equal); "
                "give each set once"
            )
    names = set_names([plan.generator.model for plan in plans], locations)
    return [
        SyntheticSet(name, where, images, manifest.plan)
        for name, (where, images, manifest) in zip(names, opened, strict=True)
    ]


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
