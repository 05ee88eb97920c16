"""Which size of images and which generator suit the images, the machine and the time; not how long anything takes."""

from __future__ import annotations

import contextlib
import statistics
import warnings
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from synthaug.core.durations import duration
from synthaug.data.sources import SUFFIXES, load_source

_LEAST, _USUAL, _MOST = 8, 32, 64
_STEP = 4
#: Up to this size, generators take minutes.
_SMALL = 16
#: Budgets from which on 64 pixels are worth it. At 32, training on CIFAR-10 took 121 minutes of a CPU and 7 of a GPU
#: (benchmarks/results/cifar10_acgan_*.json); four times as many pixels take four times as long, in less than half of
#: the budget.
_FOR_64_PIXELS = {"cpu": 18 * 3600.0, "cuda": 3600.0}
#: Share of the time for training a generator that may go into the judge which watches it.
_MOST_WATCHING = 0.4


@dataclass(frozen=True)
class Choice:
    """A choice and why it was made.

    Attributes:
        value: What was chosen.
        why: In words; empty if there was nothing to choose.
    """

    value: Any
    why: str


def found_sizes(spec: str) -> set[tuple[int, int]]:
    """Widths and heights of the images that a SPEC names; of an image folder without decoding any.

    Raises:
        InputError: If the SPEC is of another kind, and unknown or not readable.
    """
    kind, _, argument = spec.partition(":")
    if kind != "imagefolder":
        side = load_source(spec).train.image_size
        return {(side, side)}
    files = [path for path in Path(argument).rglob("*") if path.suffix.lower() in SUFFIXES]
    with warnings.catch_warnings(), ThreadPoolExecutor() as pool:
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # it is only asked how large they are
        return {size for size in pool.map(_size_of, files) if size is not None}


def _size_of(path: Path) -> tuple[int, int] | None:
    """Width and height; None for what cannot be read, of which whoever loads it will say more."""
    with contextlib.suppress(OSError, Image.DecompressionBombError), Image.open(path) as picture:
        return picture.size
    return None


def choose_size(sizes: Collection[tuple[int, int]], device: str, budget: float) -> Choice:
    """What to resize images to; None leaves them as they are.

    Generators make 8 to 64 pixels, divisible by four.

    Args:
        sizes: Their widths and heights.
        device: "cpu" or "cuda".
        budget: Seconds for all.
    """
    if not sizes:
        return Choice(None, "")
    enough = _FOR_64_PIXELS[device]
    most = _MOST if budget >= enough else _USUAL
    side = round(statistics.median(min(size) for size in sizes))
    size = min(most, max(_LEAST, _STEP * round(side / _STEP)))
    if set(sizes) == {(size, size)}:
        return Choice(None, "")
    low, high = min(map(min, sizes)), max(map(max, sizes))
    found = f"{low} pixels" if low == high else f"{low} to {high} pixels on a side"
    why = f"images of {found} are cropped to their centre and resized to {size}x{size}"
    if size == _USUAL < side:
        why += f"; for {min(_MOST, side)} pixels it takes a budget of {duration(enough)} on this kind of machine"
    return Choice(size, why)


def choose_model(asked: str, device: str, image_size: int, *, watching: float, training: float) -> Choice:
    """The kind of generator.

    Args:
        asked: What was asked for; `auto` leaves it to what was measured so far.
        device: "cpu" or "cuda".
        image_size: Height and width of the images.
        watching: Seconds to train the judge that an ACGAN is watched by; 0 if that is not known yet.
        training: Seconds for training a generator.
    """
    if asked != "auto":
        return Choice(asked, "as asked for")
    if device == "cuda":
        return Choice(
            "ddpm",
            "after minutes on a GPU, more of a guided DDPM's CIFAR-10 images were recognised than of an ACGAN's",
        )
    if watching > _MOST_WATCHING * training:
        return Choice(
            "ddpm",
            f"an ACGAN is watched by a judge, whose training would take {duration(watching)} of the "
            f"{duration(training)} for the generator",
        )
    if image_size <= _SMALL:
        return Choice(
            "acgan",
            "on digits, an ACGAN took less time than a DDPM, and hardly any of its images copied a training image",
        )
    return Choice(
        "acgan",
        "on a CPU, an ACGAN's photographs were recognised after two hours, and a DDPM takes longer",
    )


def preset_for(model: str, device: str, image_size: int) -> str | None:
    """The preset for a GPU, where those that generators choose by themselves are for CPUs; else None."""
    if device == "cpu" or image_size <= _SMALL:
        return None
    return {"ddpm": "small", "acgan": "reacgan-large"}.get(model)


def guidance_for(model: str, device: str, image_size: int) -> float | None:
    """The guidance that was better on CIFAR-10 for a DDPM trained on a GPU; else None, the generator's default."""
    return 1.5 if model == "ddpm" and device == "cuda" and image_size > _SMALL else None
