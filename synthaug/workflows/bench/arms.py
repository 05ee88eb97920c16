"""The training conditions that the bench compares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Arm:
    """One training condition; everything else is equal between arms.

    Attributes:
        name: Short name in the field's notation.
        synthetic: Name of the synthetic set whose images are in its batches; None for real images only.
        transform: Preset of classic augmentation; None for the recipe's.
        meaning: One sentence for the report.
    """

    name: str
    synthetic: str | None
    transform: str | None
    meaning: str

    @property
    def is_mixed(self) -> bool:
        """Whether batches hold synthetic images."""
        return self.synthetic is not None


REAL = Arm("real", None, "none", "real images as they are")
REAL_CLASSIC = Arm(
    "real+classic",
    None,
    None,
    "real images with the recipe's classic augmentation",
)
_MIXED = "mixed+classic"


def mixed_arms(sets: Sequence[str]) -> tuple[Arm, ...]:
    """One arm for each synthetic set, given by name; the only one needs no name in its own."""
    if len(sets) == 1:
        meaning = "real and synthetic images in each batch, with the same classic augmentation"
        return (Arm(_MIXED, sets[0], None, meaning),)
    return tuple(
        Arm(
            f"{_MIXED} ({name})",
            name,
            None,
            f"real images and synthetic ones of {name} in each batch, with the same classic augmentation",
        )
        for name in sets
    )


def arms_of(sets: Sequence[str]) -> tuple[Arm, ...]:
    """All arms of a bench of these synthetic sets: the real-only ones, then one for each set."""
    return REAL, REAL_CLASSIC, *mixed_arms(sets)
