"""explained.png: all images with their maps in one picture."""

from __future__ import annotations

import io
from collections.abc import Sequence

from jaxtyping import UInt8
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from synthaug.workflows.explain.pictures import Row, as_rgb, completeness, flatness, heat_over, signed_colours, verdict

_RIGHT, _WRONG, _INK, _DIM, _EDGE = "#00704f", "#b34700", "#1c1e21", "#5f6368", "#d9dce0"
#: In inches: a picture, what is between them, the words below, and what stands above and below all.
_CELL, _GAP, _WORDS, _HEAD, _FOOT = 1.5, 0.16, 0.66, 0.55, 0.45
_LINE = 0.13
_LEGEND = (
    "Integrated gradients: red raises the logit of the predicted class, blue lowers it.",
    "Grad-CAM: from purple, 0, to yellow, its highest.",
)


class _Sheet:
    """A figure on which things are placed in inches from the left and from the top."""

    def __init__(self, wide: float, high: float) -> None:
        self.figure = Figure(figsize=(wide, high), facecolor="white")
        self._axes = self.figure.add_axes((0, 0, 1, 1))  # one for all: many take long
        self._axes.set_axis_off()
        self._limits = (wide, high)

    def place(self, left: float, top: float, pixels: UInt8[Tensor, "3 s s"]) -> None:
        """A picture, magnified without smoothing."""
        place = (left, left + _CELL, top + _CELL, top)
        self._axes.imshow(pixels.numpy().transpose(1, 2, 0), interpolation="nearest", extent=place)
        self._axes.add_patch(Rectangle((left, top), _CELL, _CELL, fill=False, edgecolor=_EDGE, linewidth=0.8))

    def write(self, left: float, top: float, *lines: str, size: int = 7, heading: str | None = None) -> None:
        """Words, a line below the other, bold if they are given the colour of a heading."""
        for number, words in enumerate(lines):
            self._axes.text(
                left,
                top + number * _LINE,
                words.replace("$", r"\$"),  # between two it would be a formula
                va="top",
                fontsize=size,
                color=heading or _DIM,
                fontweight="bold" if heading else "normal",
            )

    def png(self) -> bytes:
        """The file."""
        wide, high = self._limits
        self._axes.set(xlim=(0, wide), ylim=(high, 0), aspect="auto")  # pictures change them
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format="png", dpi=120)
        return buffer.getvalue()


def explained_picture(rows: Sequence[Row], names: Sequence[str]) -> bytes:
    """A PNG with a row for each image: the image, then both maps of each classifier.

    Args:
        rows: At least one.
        names: Of the classifiers.
    """
    lefts = [_GAP + column * (_CELL + _GAP) for column in range(1 + 2 * len(names))]
    high = _HEAD + len(rows) * (_CELL + _WORDS) + _FOOT
    sheet = _Sheet(lefts[-1] + _CELL + _GAP, high)
    sheet.write(lefts[0], 0.34, "test image")
    for number, name in enumerate(names):
        sheet.write(lefts[1 + 2 * number], 0.12, _short(name, 34), size=9, heading=_INK)
        sheet.write(lefts[1 + 2 * number], 0.34, "integrated gradients")
        sheet.write(lefts[2 + 2 * number], 0.34, "Grad-CAM")
    for number, row in enumerate(rows):
        _draw(sheet, lefts, _HEAD + number * (_CELL + _WORDS), row)
    sheet.write(lefts[0], high - 0.35, *_LEGEND)
    return sheet.png()


def _draw(sheet: _Sheet, lefts: Sequence[float], top: float, row: Row) -> None:
    below = top + _CELL + 0.04
    sheet.place(lefts[0], top, as_rgb(row.image))
    sheet.write(lefts[0], below, _short(row.record.true_class, 20), heading=_INK)
    sheet.write(lefts[0], below + _LINE, f"number {row.record.position}")
    for number, (said, maps) in enumerate(zip(row.record.explanations, row.maps, strict=True)):
        left, right = lefts[1 + 2 * number], lefts[2 + 2 * number]
        sheet.place(left, top, signed_colours(maps.gradients))
        sheet.place(right, top, heat_over(row.image, maps.heat))
        colour = _RIGHT if said.is_right else _WRONG
        sheet.write(left, below, verdict(said, _short(said.predicted, 14)), heading=colour)
        sheet.write(left, below + _LINE, *completeness(said))
        sheet.write(right, below + _LINE, *flatness(said, maps))


def _short(name: str, longest: int) -> str:
    name = " ".join(name.split())
    return name if len(name) <= longest else f"{name[: longest - 1]}…"
