"""The training conditions that the bench compares."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Arm:
    """One training condition; everything else is equal between arms.

    Attributes:
        name: Short name in the field's notation.
        is_mixed: Whether batches hold synthetic images.
        transform: Preset of classic augmentation.
        meaning: One sentence for the report.
    """

    name: str
    is_mixed: bool
    transform: str
    meaning: str


REAL = Arm("real", False, "none", "real images as they are")
REAL_CLASSIC = Arm(
    "real+classic",
    False,
    "basic",
    "real images with classic augmentation (shifts, and mirroring where it keeps the class)",
)
MIXED_CLASSIC = Arm(
    "mixed+classic", True, "basic", "real and synthetic images in each batch, with the same classic augmentation"
)

ARMS = (REAL, REAL_CLASSIC, MIXED_CLASSIC)
