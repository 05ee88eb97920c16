"""The plots of the report, as SVG text with a description."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from html import escape

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from synthaug.workflows.bench import BenchSummary

#: Distinguishable with common forms of colour blindness (Okabe and Ito 2008).
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
_STYLES = ("-", "--", ":", "-.")
_INK = "#777777"
_REAL_ARMS = 2
_LONGEST_LABEL = 40


def accuracy_plot(summary: BenchSummary) -> str:
    """Test accuracy of every arm: the mean with its interval, and each seed as a dot."""

    def draw(axes: Axes) -> None:
        for row, arm in enumerate(summary.arms):
            estimate = arm.test_accuracy
            low = estimate.mean if estimate.low is None else estimate.low
            high = estimate.mean if estimate.high is None else min(100.0, estimate.high)
            axes.plot([max(0.0, low), high], [row, row], color=_colour(row), linewidth=3, solid_capstyle="round")
            axes.plot(estimate.mean, row, "o", color=_colour(row), markersize=9)
            axes.plot(arm.per_seed, [row + 0.22] * len(arm.per_seed), "|", color=_INK, markersize=8)
        axes.set_yticks(range(len(summary.arms)), [_label(arm.name) for arm in summary.arms])
        axes.set_ylim(len(summary.arms) - 0.5, -0.5)
        axes.set_xlabel("test accuracy, % (mean, 95 % interval; ticks: seeds)", loc="right")

    text = "; ".join(f"{arm.name} {arm.test_accuracy.mean:.2f} %" for arm in summary.arms)
    return _svg(draw, f"Test accuracy: {text}", height=_row_height(len(summary.arms)))


def gain_plot(summary: BenchSummary) -> str:
    """Paired differences between arms with their intervals; those that decide a verdict have the colour of the arm."""
    comparisons = summary.comparisons

    def draw(axes: Axes) -> None:
        axes.axvline(0, color=_INK, linewidth=1)
        for row, comparison in enumerate(comparisons):
            difference = comparison.difference
            colour = _colour(_REAL_ARMS + row) if row < len(summary.sets) else _INK
            if difference.low is not None and difference.high is not None:
                axes.plot([difference.low, difference.high], [row, row], color=colour, linewidth=3)
            axes.plot(difference.mean, row, "o", color=colour, markersize=9)
            axes.plot(comparison.per_seed, [row + 0.22] * len(comparison.per_seed), "|", color=_INK, markersize=8)
        axes.set_yticks(range(len(comparisons)), [_label(comparison.name) for comparison in comparisons])
        axes.set_ylim(len(comparisons) - 0.5, -0.5)
        axes.set_xlabel("points of test accuracy, paired by seed (mean, 95 % interval)", loc="right")

    text = "; ".join(f"{entry.name} {entry.difference.mean:+.2f} points" for entry in comparisons)
    return _svg(draw, f"Gains: {text}", height=_row_height(len(comparisons)))


def curves_plot(summary: BenchSummary) -> str:
    """Mean validation accuracy of every arm during training."""

    def draw(axes: Axes) -> None:
        for row, arm in enumerate(summary.arms):
            steps, accuracies = [point[0] for point in arm.curve], [point[1] for point in arm.curve]
            axes.plot(steps, accuracies, "o", ls=_style(row), color=_colour(row), label=_label(arm.name), markersize=4)
        axes.set_xlabel("optimiser steps")
        axes.set_ylabel("validation accuracy, %")
        axes.legend(frameon=False, labelcolor=_INK)

    return _svg(draw, "Validation accuracy of each arm by optimiser steps", height=_curve_height(summary))


def loss_plot(summary: BenchSummary) -> str:
    """Mean training loss of every arm, on a logarithmic scale."""

    def draw(axes: Axes) -> None:
        for row, arm in enumerate(summary.arms):
            steps, losses = [point[0] for point in arm.curve], [point[2] for point in arm.curve]
            axes.plot(steps, losses, "o", ls=_style(row), color=_colour(row), markersize=4)
        axes.set_yscale("log")
        axes.set_xlabel("optimiser steps")
        axes.set_ylabel("training loss")

    return _svg(draw, "Training loss of each arm by optimiser steps", height=_curve_height(summary))


def _colour(arm: int) -> str:
    return _COLOURS[arm % len(_COLOURS)]


def _style(arm: int) -> str:
    """Tells apart arms that have to share a colour."""
    return _STYLES[arm // len(_COLOURS) % len(_STYLES)]


def _label(name: str) -> str:
    """A name that leaves room for the plot, a long comparison in two lines; between two $ would be a formula."""
    lines = [name] if len(name) <= _LONGEST_LABEL else name.replace(" − ", "\n− ").split("\n")
    short = [line if len(line) <= _LONGEST_LABEL else f"{line[: _LONGEST_LABEL - 1]}…" for line in lines]
    return "\n".join(short).replace("$", r"\$")


def _row_height(rows: int) -> float:
    """Inches for a plot with so many rows."""
    return 0.9 + 0.4 * rows


def _curve_height(summary: BenchSummary) -> float:
    """Inches for a plot with a legend of all arms."""
    return max(3.0, 0.9 + 0.25 * len(summary.arms))


def _svg(draw: Callable[[Axes], None], description: str, *, height: float) -> str:
    buffer = io.StringIO()
    figure = Figure(figsize=(6.4, height), layout="constrained")
    axes = figure.add_subplot()
    draw(axes)
    _lighten(figure, axes)
    with rc_context({"svg.hashsalt": description}):  # The same ids every time, and others in every plot of a page.
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    opening = f'<svg role="img" aria-label="{escape(description)}" '
    return re.sub(r'<svg ([^>]*?)width="[^"]*" height="[^"]*"', lambda found: opening + found.group(1), svg, count=1)


def _lighten(figure: Figure, axes: Axes) -> None:
    """Grey marks on no ground, for pages that are light or dark."""
    axes.tick_params(colors=_INK)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(_INK)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("bottom", "left"))
        spine.set_color(_INK)
    axes.grid(visible=True, axis="both", color=_INK, alpha=0.2)
    figure.patch.set_alpha(0)
    axes.patch.set_alpha(0)
