"""The confusion matrix of a classifier as a picture."""

from __future__ import annotations

import io
from collections.abc import Sequence

from matplotlib.figure import Figure

#: Above this, the numbers in the cells can no longer be read.
_MOST_NUMBERED = 20


def confusion_picture(matrix: Sequence[Sequence[int]], class_names: Sequence[str]) -> bytes:
    """A PNG: rows are true classes, columns predicted ones; a cell's colour is its share of the row.

    Args:
        matrix: Numbers of images.
        class_names: Names in label order.
    """
    count = len(class_names)
    side = max(4.0, min(16.0, 2.0 + 0.45 * count))
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.add_subplot()
    shares = [[100 * cell / max(1, sum(row)) for cell in row] for row in matrix]
    picture = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    names = [name if len(name) <= 16 else f"{name[:15]}…" for name in class_names]
    names = [name.replace("$", r"\$") for name in names]  # between two it would be a formula
    axes.set_xticks(range(count), names, rotation=90 if max(map(len, names)) > 2 else 0)
    axes.set_yticks(range(count), names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    if count <= _MOST_NUMBERED:
        for row, cells in enumerate(matrix):
            for column, cell in enumerate(cells):
                if cell:
                    colour = "white" if shares[row][column] > 50 else "black"
                    axes.text(column, row, str(cell), ha="center", va="center", color=colour, fontsize=8)
    figure.colorbar(picture, ax=axes, label="share of the class, %", shrink=0.8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
    return buffer.getvalue()
