"""Names that users choose from; an unknown one is answered with the known ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar

from synthaug.core.errors import unknown_name

T = TypeVar("T")


class Registry(Generic[T]):
    """A fixed table from names to values of one kind.

    Attributes:
        kind: What the values are, for messages ("network", "preset").
    """

    def __init__(self, kind: str, values: Mapping[str, T]) -> None:
        self.kind = kind
        self._values = dict(values)

    def get(self, name: str) -> T:
        """The value called `name`.

        Raises:
            InputError: If there is none; the message lists the known names.
        """
        if name not in self._values:
            raise unknown_name(self.kind, name, self.names())
        return self._values[name]

    def names(self) -> list[str]:
        """The known names in their order of registration."""
        return list(self._values)

    def items(self) -> list[tuple[str, T]]:
        """Names and values in their order of registration."""
        return list(self._values.items())
