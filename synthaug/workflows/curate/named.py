"""The names of the filters of a curation, and reading them from the command line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from synthaug.core.registry import Registry
from synthaug.workflows.curate import filters
from synthaug.workflows.curate.filters import Filter


@dataclass(frozen=True)
class FilterKind:
    """A filter before it has its value.

    Attributes:
        make: From the value, if one is given, to the filter; raises InputError for a value that makes no sense.
        meaning: What it does, for the help.
    """

    make: Callable[[str | None], Filter]
    meaning: str


#: What `--filter` may name.
FILTERS: Registry[FilterKind] = Registry(
    "filter",
    {
        "mislabelled": FilterKind(filters.mislabelled, "recognised as another class (=P: label's probability below P)"),
        "duplicates": FilterKind(filters.duplicates, "near-equal to an earlier sample"),
        "memorised": FilterKind(filters.memorised, "copies of training images (=F: up to F times as far away)"),
        "outliers": FilterKind(filters.outliers, "in no real neighbourhood of its class (=SHARE: the farthest)"),
        "confidence": FilterKind(filters.confidence, "=SHARE keeps the most surely recognised of each class"),
        "target": FilterKind(filters.target, "=SHARE keeps the hardest of each class for a real-only model"),
        "diverse": FilterKind(filters.diverse, "=N|SHARE keeps the most different of each class (k-centre)"),
        "coverage": FilterKind(filters.coverage, "=N|SHARE keeps those that reach the most real neighbourhoods"),
        "quota": FilterKind(filters.quota, "=N, =cat:100,dog:50 or =balance keeps at most so many of each class"),
    },
)


@dataclass(frozen=True)
class NamedFilter:
    """A filter with its value.

    Attributes:
        name: Of `FILTERS`.
        value: As given.
        apply: The filter.
    """

    name: str
    value: str | None
    apply: Filter

    @classmethod
    def parse(cls, text: str) -> NamedFilter:
        """From NAME or NAME=VALUE.

        Raises:
            InputError: If there is no such filter, or the value makes no sense for it.
        """
        name, has_value, value = text.partition("=")
        given = value if has_value else None
        return cls(name, given, FILTERS.get(name).make(given))


def check_classes(chosen: Sequence[NamedFilter], class_names: tuple[str, ...]) -> None:
    """Refuses filters that name a class which the set does not have.

    Raises:
        InputError: Naming filter and class.
    """
    for one in chosen:
        if one.name == "quota" and one.value is not None:
            filters.check_quota(one.value, class_names)
