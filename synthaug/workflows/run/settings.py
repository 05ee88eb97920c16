"""Settings of `synthaug run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import AfterValidator, BeforeValidator, Field

from synthaug.workflows.config import Count, DataConfig, parse_duration


def _check_duration(text: str) -> str:
    if not cast(float, parse_duration(text)) > 0:
        raise ValueError(f"a time above 0 is needed, found {text!r}")
    return text


#: A duration as it was given; a number is seconds.
_Budget = Annotated[
    str,
    BeforeValidator(lambda value: f"{value}" if isinstance(value, int | float) else value),
    AfterValidator(_check_duration),
]


class RunConfig(DataConfig):
    """Settings of `synthaug run`; the field descriptions are the help texts."""

    budget: _Budget = Field("30m", description="Time for all of it (90s, 30m, 2h); more of it later goes on.")
    out: Path = Field(Path("run"), description="Folder for all that is made; an unfinished run there is continued.")
    model: str = Field("auto", description="Kind of generator; auto takes what suits the images, device and time.")
    recipe: str = Field("fast", description="Your classifier: its network and training; see `synthaug models`.")
    steps: Count | None = Field(
        None, description="Optimiser steps of each training of the classifier, instead of the recipe's."
    )

    @property
    def seconds(self) -> float:
        """The budget."""
        return cast(float, parse_duration(self.budget))

    def common(self) -> dict[str, Any]:
        """What every step computes with."""
        return {"seed": self.seed, "device": self.device, "precision": self.precision}

    def real_images(self, image_size: int | None) -> dict[str, Any]:
        """What the training of the generator and that of classifiers say of the real images.

        Args:
            image_size: What to resize them to; None leaves them as they are.
        """
        names = ("data", "fraction", "per_class_real", "flip", "split_seed")
        return {"image_size": image_size, **{name: getattr(self, name) for name in names}}

    def decisive(self) -> dict[str, Any]:
        """What may not change when a run is continued."""
        return self.model_dump(mode="json", exclude={"budget", "out", "device"})
