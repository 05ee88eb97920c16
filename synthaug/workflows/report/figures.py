"""The plots of the report, as SVG text with a description."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from synthaug.workflows.bench import BenchSummary

#: Distinguishable with common forms of colour blindness (Okabe and Ito 2008).
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
_INK = "#777777"


def accuracy_plot(summary: BenchSummary) -> str:
    """Test accuracy of every arm: the mean with its interval, and each seed as a dot."""

    def draw(axes: Axes) -> None:
        for row, arm in enumerate(summary.arms):
            estimate = arm.test_accuracy
            low = estimate.mean if estimate.low is None else estimate.low
            high = estimate.mean if estimate.high is None else min(100.0, estimate.high)
            axes.plot([max(0.0, low), high], [row, row], color=_COLOURS[row], linewidth=3, solid_capstyle="round")
            axes.plot(estimate.mean, row, "o", color=_COLOURS[row], markersize=9)
            axes.plot(arm.per_seed, [row + 0.22] * len(arm.per_seed), "|", color=_INK, markersize=8)
        axes.set_yticks(range(len(summary.arms)), [arm.name for arm in summary.arms])
        axes.set_ylim(len(summary.arms) - 0.5, -0.5)
        axes.set_xlabel("test accuracy, % (mean, 95 % interval; ticks: seeds)")

    text = "; ".join(f"{arm.name} {arm.test_accuracy.mean:.2f} %" for arm in summary.arms)
    return _svg(draw, f"Test accuracy: {text}", height=2.1)


def gain_plot(summary: BenchSummary) -> str:
    """Paired differences between arms with their intervals; the first one decides the verdict."""
    comparisons = [summary.gain, *summary.other_comparisons]

    def draw(axes: Axes) -> None:
        axes.axvline(0, color=_INK, linewidth=1)
        for row, comparison in enumerate(comparisons):
            difference = comparison.difference
            colour = _COLOURS[2] if row == 0 else _INK
            if difference.low is not None and difference.high is not None:
                axes.plot([difference.low, difference.high], [row, row], color=colour, linewidth=3)
            axes.plot(difference.mean, row, "o", color=colour, markersize=9)
            axes.plot(comparison.per_seed, [row + 0.22] * len(comparison.per_seed), "|", color=_INK, markersize=8)
        axes.set_yticks(range(len(comparisons)), [comparison.name for comparison in comparisons])
        axes.set_ylim(len(comparisons) - 0.5, -0.5)
        axes.set_xlabel("points of test accuracy, paired by seed (mean, 95 % interval)")

    text = "; ".join(f"{entry.name} {entry.difference.mean:+.2f} points" for entry in comparisons)
    return _svg(draw, f"Gains: {text}", height=2.1)


def curves_plot(summary: BenchSummary) -> str:
    """Mean validation accuracy of every arm during training."""

    def draw(axes: Axes) -> None:
        for colour, arm in zip(_COLOURS, summary.arms, strict=False):
            steps, accuracies = [point[0] for point in arm.curve], [point[1] for point in arm.curve]
            axes.plot(steps, accuracies, "o-", color=colour, label=arm.name, markersize=4)
        axes.set_xlabel("optimiser steps")
        axes.set_ylabel("validation accuracy, %")
        axes.legend(frameon=False, labelcolor=_INK)

    return _svg(draw, "Validation accuracy of each arm by optimiser steps", height=3.0)


def loss_plot(summary: BenchSummary) -> str:
    """Mean training loss of every arm, on a logarithmic scale."""

    def draw(axes: Axes) -> None:
        for colour, arm in zip(_COLOURS, summary.arms, strict=False):
            axes.plot([p[0] for p in arm.curve], [p[2] for p in arm.curve], "o-", color=colour, markersize=4)
        axes.set_yscale("log")
        axes.set_xlabel("optimiser steps")
        axes.set_ylabel("training loss")

    return _svg(draw, "Training loss of each arm by optimiser steps", height=3.0)


def _svg(draw: Callable[[Axes], None], description: str, *, height: float) -> str:
    figure = Figure(figsize=(6.4, height), layout="constrained")
    axes = figure.add_subplot()
    draw(axes)
    axes.tick_params(colors=_INK)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(_INK)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("bottom", "left"))
        spine.set_color(_INK)
    axes.grid(visible=True, axis="both", color=_INK, alpha=0.2)
    figure.patch.set_alpha(0)
    axes.patch.set_alpha(0)
    buffer = io.StringIO()
    with rc_context({"svg.hashsalt": description}):  # The same ids every time, and others in every plot of a page.
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    return re.sub(
        r'<svg ([^>]*?)width="[^"]*" height="[^"]*"', rf'<svg role="img" aria-label="{description}" \1', svg, count=1
    )
