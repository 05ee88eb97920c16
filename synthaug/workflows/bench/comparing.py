"""Paired differences between arms, as pure functions of their finished cells."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import stdev
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor

from synthaug.workflows.bench.detectable import minimum_detectable_effect, seeds_needed
from synthaug.workflows.bench.record import RegimeRecord, View
from synthaug.workflows.bench.results import CellResult
from synthaug.workflows.bench.statistics import (
    bootstrap_interval,
    estimate,
    holm,
    permutation_p,
    t_p,
    two_way_interval,
    verdict,
)
from synthaug.workflows.bench.summary import Comparison

#: Finished cells of one arm by their seeds.
_BySeed = Mapping[int, CellResult]


@dataclass(frozen=True)
class Table:
    """The finished cells of a regime in one view, by arm and seed, seeds in order."""

    cells: dict[str, dict[int, CellResult]]

    @classmethod
    def of(cls, regime: RegimeRecord, done: Mapping[str, CellResult], view: View = "equal steps") -> Self:
        """Those of a view that are done."""
        found: dict[str, dict[int, CellResult]] = {}
        for cell in sorted(regime.cells, key=lambda cell: cell.seed):
            if cell.view == view and cell.key in done:
                found.setdefault(cell.arm, {})[cell.seed] = done[cell.key]
        return cls(found)

    def arm(self, name: str) -> _BySeed:
        """The cells of an arm; none if none is done."""
        return self.cells.get(name, {})

    def best_by_validation(self, names: Sequence[str]) -> str | None:
        """The arm that validates best on average, over the seeds that all of them have done; the later among equals.

        None if there is no such seed.
        """
        seeds = set.intersection(*({*self.arm(name)} for name in names)) if names else set()
        if not seeds:
            return None

        def validated(name: str) -> float:
            return math.fsum(self.arm(name)[seed].validation_accuracy for seed in seeds)

        return max(reversed(names), key=validated)


@dataclass(frozen=True)
class Pair:
    """Two arms to compare.

    Attributes:
        name: The one.
        one: Its cells.
        baseline: The other.
        other: Its cells.
    """

    name: str
    one: _BySeed
    baseline: str
    other: _BySeed

    @property
    def seeds(self) -> list[int]:
        """The seeds that both have done."""
        return sorted({*self.one} & {*self.other})

    def differences(self) -> list[float]:
        """In points of test accuracy, seed by seed."""
        return [100 * (self.one[seed].tested.accuracy - self.other[seed].tested.accuracy) for seed in self.seeds]

    def per_image(self) -> Float[Tensor, "seeds images"]:
        """The same for every test image: 100 where only the one is right, -100 where only the other is."""
        rows = [
            self.one[seed].tested.right_images.double() - self.other[seed].tested.right_images.double()
            for seed in self.seeds
        ]
        return 100 * torch.stack(rows)


def compare(pairs: Sequence[Pair]) -> list[Comparison]:
    """Compares arms that have a seed in common, with Holm's correction for looking at all of these.

    What could have been found is that of the test over seeds with the first step of this correction.
    """
    pairs = [pair for pair in pairs if pair.seeds]
    differences = [pair.differences() for pair in pairs]
    adjusted = holm([t_p(values) for values in differences])
    return [_compared(*entry, len(pairs)) for entry in zip(pairs, differences, adjusted, strict=True)]


def _compared(pair: Pair, differences: list[float], adjusted: float, comparisons: int) -> Comparison:
    difference = estimate(differences)
    beyond = two_way_interval(pair.per_image())
    deviation, seeds = deviation_of(differences), len(differences)
    return Comparison(
        arm=pair.name,
        baseline=pair.baseline,
        difference=difference,
        per_seed=differences,
        bootstrap=bootstrap_interval(differences),
        beyond=beyond,
        permutation_p=permutation_p(differences),
        p=t_p(differences),
        adjusted_p=adjusted,
        detectable=None if deviation is None else minimum_detectable_effect(deviation, seeds, comparisons=comparisons),
        seeds_for_a_point=None if deviation is None else seeds_needed(1.0, deviation, comparisons=comparisons),
        verdict=verdict(difference, p=adjusted, beyond=beyond),
    )


def deviation_of(values: Sequence[float]) -> float | None:
    """Sample standard deviation; None of fewer than two values, or of values that do not vary."""
    return (stdev(values) or None) if len(values) > 1 else None
