"""Settings of `synthaug bench`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from synthaug.core.errors import InputError
from synthaug.workflows.bench.arms import DEFAULT_ARMS
from synthaug.workflows.config import Count, Duration, Locations
from synthaug.workflows.recipes import RecipeConfig


def _split(value: object) -> object:
    """Values apart that stand between commas; one may stand alone."""
    if isinstance(value, str | int | float):
        value = [value]
    if not isinstance(value, list | tuple):
        return value
    return [part.strip() if isinstance(part, str) else part for entry in value for part in _parts(entry)]


def _parts(entry: object) -> list[Any]:
    return entry.split(",") if isinstance(entry, str) else [entry]


Numbers = Annotated[tuple[float, ...], BeforeValidator(_split)]
Names = Annotated[tuple[str, ...], BeforeValidator(_split)]
Arms = Annotated[tuple[str | dict[str, Any], ...], BeforeValidator(_split)]
_SHARE = re.compile(r"^(\d+)/(\d+)$")


class BenchConfig(RecipeConfig):
    """Settings of `synthaug bench`; the field descriptions are the help texts."""

    synthetic: Locations = Field(
        (), description="The synthetic shard set to judge, a folder or URL; repeat the flag to compare several."
    )
    out: Path = Field(description="Folder for results and report; an unfinished bench there is continued.")
    seeds: int = Field(5, description="Paired seeds; fewer than 3 give no verdict.")
    synthetic_fraction: float = Field(
        0.5, description="Share of each batch that is synthetic in mixed arms, in (0, 1]."
    )
    synthetic_fractions: Numbers = Field(
        (), description="More of these shares to try with mixed+classic, like 0.25,0.75."
    )
    arms: Arms = Field(
        DEFAULT_ARMS,
        description="What to compare: names like real,mixed+classic,mixed+classic@0.75, or all; see `synthaug models`. "
        "In a file of --config also tables.",
    )
    fractions: Numbers = Field(
        (), description="Shares of the real training images to do all of it with, like 0.01,0.1,1."
    )
    generator_per_fraction: Names = Field(
        (),
        description="Train such generators (ddpm, acgan, or with a preset: acgan/resnet) on exactly the real images in "
        "use, and judge their sets.",
    )
    generator_images: Count | None = Field(
        None, description="Images to show to each of these generators, instead of the preset's."
    )
    per_class: int = Field(500, ge=1, description="Images of each class to draw from each of these generators.")
    generators: Path | None = Field(
        None,
        description="Folder where these generators and their sets are kept, also for other benches; by default in "
        "--out.",
    )
    equal_epochs: bool = Field(
        False,
        description="Train mixed arms a second time with more steps, so that they see each real image as often as "
        "real-only arms do.",
    )
    robustness: bool = Field(True, description="Also test on corrupted test images.")
    cells: str | None = Field(
        None,
        description="Do only a share K/N of the trainings, such as 3/16, for jobs that work side by side; sets have to "
        "be there.",
    )
    max_time: Duration | None = Field(
        None, description="Stop after this long (90s, 9m, 1h); the same command goes on from there."
    )
    jobs: int | None = Field(
        None, ge=1, description="Trainings at once; as many as there are processors (on a GPU: one) if not given."
    )
    threads: int = Field(1, ge=1, description="Processors for each training; results differ by rounding.")

    def check(self) -> None:
        """Refuses what no bench can be made of, as far as that can be seen without any image.

        Raises:
            InputError: If a number is out of range, or two settings contradict each other.
        """
        if not self.synthetic and not self.generator_per_fraction:
            raise InputError("nothing to judge: give --synthetic DIR, or --generator-per-fraction ddpm or acgan")
        if self.seeds < 1:
            raise InputError(f"--seeds must be at least 1, found {self.seeds}")
        shares = {"--synthetic-fraction": (self.synthetic_fraction,), "--synthetic-fractions": self.synthetic_fractions}
        for flag, values in shares.items():
            for share in values:
                if not 0.0 < share <= 1.0:
                    raise InputError(f"{flag} must lie in (0, 1], found {share}")
        if self.fractions and (self.fraction != 1.0 or self.per_class_real is not None):
            raise InputError("give --fractions alone, without --fraction or --per-class-real")
        if repeated := [share for share in self.fractions if self.fractions.count(share) > 1]:
            raise InputError(f"--fractions: {repeated[0]:g} is given twice")
        if self.equal_epochs and self.synthetic_fraction == 1:
            raise InputError("--equal-epochs needs real images in mixed batches, found --synthetic-fraction 1")
        self.share()

    def share(self) -> tuple[int, int]:
        """Which share of the cells is to be done: (number from 1 on, of so many).

        Raises:
            InputError: If `cells` is none.
        """
        match = _SHARE.match(self.cells or "1/1")
        number, of = (int(match[1]), int(match[2])) if match else (0, 0)
        if not 1 <= number <= of:
            raise InputError(f"--cells takes a share K/N with K from 1 to N, such as 3/16; found {self.cells}")
        return number, of

    def flags(self) -> list[str]:
        """The command-line words that give these settings; a file, where words cannot."""
        if all(isinstance(arm, str) for arm in self.arms):
            return super().flags()
        return ["--config", str(self.out / "config.yaml")]

    def lasting(self) -> BenchConfig:
        """These settings without what is said of one run only."""
        return self.model_copy(update={"cells": None, "max_time": None, "jobs": None})
