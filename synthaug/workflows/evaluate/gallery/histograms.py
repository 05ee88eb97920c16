"""The gallery's histograms, as SVG that says in words what it shows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import torch
from jaxtyping import Float
from torch import Tensor

from synthaug.workflows.evaluate.gallery import words
from synthaug.workflows.evaluate.records import CopySpace

_WIDTH, _HEIGHT = 360, 170
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 8, 20, 34
_PLOT_WIDTH, _PLOT_HEIGHT = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
_FLOOR = _TOP + _PLOT_HEIGHT
_BINS = 20


def distance_histogram(copies: CopySpace, *, of: str, name: str, images: int, real_images: int) -> str:
    """Relative distances to the nearest training image: of the set as bars, of the validation images as a line.

    Args:
        copies: Both histograms of one space.
        of: The set's name.
        name: Unlike that of any other plot on the page.
        images: Images of the set.
        real_images: Validation images.
    """
    top = max(0.01, *copies.histogram, *copies.real_histogram)
    end = copies.histogram_end
    threshold = _LEFT + _PLOT_WIDTH * min(1.0, max(0.0, copies.threshold / end))
    bars = _bars([share / top for share in copies.histogram])
    line = _steps([share / top for share in copies.real_histogram])
    words_of_threshold = f"copies: up to {copies.threshold:.3g}"
    side = "start" if threshold < _WIDTH / 2 else "end"
    parts = [
        *_levels([(0.0, "0"), (0.5, words.percent(top / 2, 0 if top >= 0.02 else 1)), (1.0, words.percent(top, 0))]),
        bars,
        line,
        f'<line class="edge" x1="{threshold:.1f}" x2="{threshold:.1f}" y1="{_TOP - 6}" y2="{_FLOOR}"/>',
        f'<text class="edge" x="{threshold + (4 if side == "start" else -4):.1f}" y="{_TOP - 8}" '
        f'text-anchor="{side}">{words_of_threshold}</text>',
        *_ticks([(share, f"{end * share:.3g}") for share in (0.0, 0.25, 0.5, 0.75, 1.0)]),
        _axis("relative distance to the nearest training image"),
    ]
    description = (
        f"Share of images by relative distance to their nearest training image, compared in {copies.space}. Median "
        f"{words.number_or_dash(copies.median)} for {of}, {words.number_or_dash(copies.real_median)} for validation "
        f"images. Up to {copies.threshold:.3g}, which makes a copy: {copies.copies:,} of {images:,} images of "
        f"{of}, {copies.real_copies:,} of {real_images:,} validation images."
    )
    return _svg(name, f"{of}: distance to training images in {copies.space}", description, parts)


def confidence_histogram(confidence: Float[Tensor, " n"], *, of: str, name: str) -> str:
    """Probabilities that the judge gives the labels; counts on a logarithmic scale, as most are near 1.

    Args:
        confidence: In [0, 1]; what is not a number is left out.
        of: The set's name.
        name: Unlike that of any other plot on the page.
    """
    known = confidence[confidence.isfinite()].to(torch.float64)
    counts = torch.histc(known.clamp(0, 1), _BINS, 0, 1).to(torch.int64).tolist()
    decades = max(1, math.ceil(math.log10(max(2, *counts))))
    bars = _bars([(0.3 + math.log10(count)) / (0.3 + decades) if count else 0.0 for count in counts])
    levels = [((0.3 + power) / (0.3 + decades), f"{10**power:,}") for power in range(decades + 1)]
    parts = [
        *_levels(levels),
        bars,
        *_ticks([(share, f"{share:.3g}") for share in (0.0, 0.25, 0.5, 0.75, 1.0)]),
        _axis("confidence of the label (counts: logarithmic)"),
    ]
    median = words.number_or_dash(float(known.median())) if len(known) else "–"
    description = (
        f"Number of images of {of} by the probability that the judge gives their label. Median {median}; below 0.5: "
        f"{int((known < 0.5).sum()):,} of {len(known):,} images."
    )
    return _svg(name, f"{of}: confidence of the label", description, parts)


def _svg(name: str, title: str, description: str, parts: Sequence[str]) -> str:
    return (
        f'<svg class="histogram" role="img" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'aria-labelledby="{name}-title {name}-desc"><title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-desc">{escape(description)}</desc>{"".join(parts)}</svg>'
    )


def _bars(heights: Sequence[float]) -> str:
    """Bars of heights in [0, 1], side by side."""
    width = _PLOT_WIDTH / len(heights)
    rectangles = (
        f'<rect x="{_LEFT + place * width:.1f}" y="{_FLOOR - height * _PLOT_HEIGHT:.1f}" '
        f'width="{max(0.5, width - 0.8):.1f}" height="{height * _PLOT_HEIGHT:.1f}"/>'
        for place, height in enumerate(heights)
        if height > 0
    )
    return f'<g class="bars">{"".join(rectangles)}</g>'


def _steps(heights: Sequence[float]) -> str:
    """The outline of such bars."""
    width = _PLOT_WIDTH / len(heights)
    levels = "".join(
        f"V{_FLOOR - height * _PLOT_HEIGHT:.1f}H{_LEFT + (place + 1) * width:.1f}"
        for place, height in enumerate(heights)
    )
    return f'<path class="real" d="M{_LEFT},{_FLOOR}{levels}V{_FLOOR}"/>'


def _levels(levels: Sequence[tuple[float, str]]) -> list[str]:
    """Horizontal lines at heights in [0, 1]."""
    lines = []
    for height, label in levels:
        y = _FLOOR - height * _PLOT_HEIGHT
        lines.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        lines.append(f'<text x="{_LEFT - 5}" y="{y + 3.5:.1f}" text-anchor="end">{label}</text>')
    return lines


def _ticks(ticks: Sequence[tuple[float, str]]) -> list[str]:
    """Numbers at places in [0, 1] along the floor."""
    return [
        f'<text x="{_LEFT + place * _PLOT_WIDTH:.1f}" y="{_FLOOR + 13}" '
        f'text-anchor="{"end" if place == 1 else "middle"}">{label}</text>'
        for place, label in ticks
    ]


def _axis(label: str) -> str:
    return f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 5}" text-anchor="end">{label}</text>'
