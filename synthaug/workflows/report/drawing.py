"""How plots are drawn: as SVG text that fits a phone and a sheet of paper, is light or dark, and says its numbers."""

from __future__ import annotations

import functools
import hashlib
import io
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Literal

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import ScaledTranslation

#: Distinguishable with common forms of colour blindness (Okabe and Ito 2008).
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
TONES = {"helps": "#009E73", "hurts": "#D55E00", "inconclusive": "#E69F00", "no verdict": "#E69F00"}
#: Grey in a drawing on its own; on a page, the page's colour of words.
INK = "#777777"
#: The ground of words that stand on lines; on a page, the page's.
_PAPER = "#fefefe"
#: Points; a plot is drawn so narrow that they stay legible on a phone.
FONT_SIZE = 10.0
WIDTH = 5.2
#: What room is measured with; it is wider than most.
_FONT = "DejaVu Sans"
_STYLES = ("-", "--", ":", "-.")
_MARKERS = ("o", "s", "^", "D")
_TAG = re.compile("<[^<>]*>")
_POINTS = 72
_ASIDE = 3.0
_LEGEND_ROW = 0.2
_LEGEND_HANDLE = 40.0
#: Inches of the plot left and right of what is drawn, about.
_MARGIN = 0.3


@dataclass(frozen=True)
class Entry:
    """A row of a plot of rows.

    Attributes:
        name: What it is of.
        value: The number, in words.
        mean: Where its dot is.
        ends: Of the thick line.
        outer: Of the thin line around it.
        ticks: Values of each seed.
        colour: Of dot and line.
    """

    name: str
    value: str
    mean: float
    ends: tuple[float, float] | None
    outer: tuple[float, float] | None
    ticks: Sequence[float]
    colour: str


@dataclass(frozen=True)
class Line:
    """A line of a plot of curves.

    Attributes:
        name: For the legend.
        x: Where its points are.
        y: Their values.
        ends: Interval of each point; nothing if there are none.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    ends: Sequence[tuple[float, float]] = ()


def colour(number: int) -> str:
    """The colour of the arm of this number; later ones share it with a line of another kind."""
    return COLOURS[number % len(COLOURS)]


def rows_plot(entries: Sequence[Entry], label: str, description: str, *, has_zero: bool) -> str:
    """Rows with a name above each: however long it is, it takes nothing from the drawing."""

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        if has_zero:
            axes.axvline(0, color=INK, linewidth=1)
        for row, entry in enumerate(entries):
            if entry.outer is not None:
                axes.plot(entry.outer, [row, row], color=entry.colour, linewidth=1)
            if entry.ends is not None:
                axes.plot(entry.ends, [row, row], color=entry.colour, linewidth=3.5, solid_capstyle="butt")
            axes.plot(entry.mean, row, "o", color=entry.colour, markersize=8)
            axes.plot(entry.ticks, [row + 0.24] * len(entry.ticks), "|", color=INK, markersize=6)
            _row_label(axes, row, entry)
        axes.set_yticks([])
        axes.set_ylim(len(entries) - 0.5, -0.75)
        axes.set_xlabel(label, loc="right")
        _lighten(axes, sides=("bottom",), grid="x")

    return svg(draw, description, height=0.65 + 0.5 * len(entries))


def curves_plot(
    lines: Sequence[Line],
    labels: tuple[str, str],
    description: str,
    *,
    is_log: tuple[bool, bool] = (False, False),
    ticks: Sequence[float] = (),
    has_zero: bool = False,
) -> str:
    """Curves with a legend below.

    Args:
        lines: The curves.
        labels: Of the axes.
        description: The text alternative.
        is_log: Whether each axis is logarithmic.
        ticks: Where the horizontal axis has numbers; matplotlib chooses if there are none.
        has_zero: Whether there is a line at 0.
    """
    names = [shortened(line.name, WIDTH * _POINTS - 2 * _LEGEND_HANDLE) for line in lines]
    widest = max((_width(name) for name in names), default=0.0) + _LEGEND_HANDLE
    columns = max(1, min(3, len(names), int(WIDTH * _POINTS // widest)))

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        if has_zero:
            axes.axhline(0, color=INK, linewidth=1)
        for number, line in enumerate(lines):
            _curve(figure, axes, line, number, aside=_ASIDE * (number - (len(lines) - 1) / 2) if line.ends else 0.0)
        if is_log[0]:
            axes.set_xscale("log")
        if is_log[1]:
            _make_logarithmic(axes)
        if ticks:
            axes.set_xticks(ticks, [f"{tick:,.4g}" for tick in ticks])
            axes.minorticks_off()
        axes.set_xlabel(labels[0], loc="right")
        axes.set_title(labels[1], loc="left", fontsize=FONT_SIZE, color=INK)
        _lighten(axes, sides=("bottom", "left"), grid="both")
        handles = [
            Line2D([], [], color=colour(number), ls=_style(number), marker=_marker(number), markersize=4)
            for number in range(len(names))
        ]
        legend = figure.legend(
            handles, names, loc="outside lower left", ncols=columns, frameon=False, labelcolor=INK, handlelength=2.4
        )
        for text in legend.get_texts():
            text.set_parse_math(False)

    return svg(draw, description, height=2.7 + _LEGEND_ROW * -(-len(names) // columns))


def shortened(name: str, room: float) -> str:
    """A name that is no wider than so many points; names often differ at their ends, so its middle is left out."""
    line = " ".join(name.split())
    width = _width(line)
    if width <= room:
        return line
    kept = min(len(line) - 1, int(1.2 * len(line) * room / width) + 1)
    while kept > 2 and _width(_without_middle(line, kept)) > room:
        kept -= 1
    return _without_middle(line, kept)


def svg(draw: Callable[[Figure], None], description: str, *, height: float) -> str:
    """A drawing as an element of a page, with its description; the same bytes every time.

    Args:
        draw: What is drawn.
        description: The text alternative.
        height: Inches.
    """
    buffer = io.StringIO()
    settings: Any = {
        "svg.hashsalt": description,
        "svg.fonttype": "none",  # words that a browser finds, copies, and writes in the page's letters
        "font.size": FONT_SIZE,
        "font.family": _FONT,
    }
    with rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from", category=UserWarning)
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        draw(figure)
        figure.patch.set_alpha(0)
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = buffer.getvalue()
    prefix = "p" + hashlib.sha256(description.encode()).hexdigest()[:8] + "-"
    # Words stand between tags, where any of this may be a part of a name.
    text = _TAG.sub(lambda tag: _of_page(tag[0], prefix), text[text.index("<svg") :])
    opening = f'<svg role="img" aria-label="{escape(description)}" '
    return re.sub(r'<svg ([^>]*?)width="[^"]*" height="[^"]*"', lambda found: opening + found.group(1), text, count=1)


def _of_page(tag: str, prefix: str) -> str:
    """A tag with the colours and letters of the page, and with names that no other plot of it has."""
    tag = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{prefix}", tag)
    tag = tag.replace(INK, f"var(--dim, {INK})").replace(_PAPER, f"var(--paper, {_PAPER})")
    return re.sub(f"(font[^;\"]*?)'{_FONT}'", r"\1system-ui, sans-serif", tag)


def _row_label(axes: Axes, row: int, entry: Entry) -> None:
    room = (WIDTH - _MARGIN) * _POINTS - _width(entry.value) - FONT_SIZE
    ground = {"facecolor": _PAPER, "edgecolor": "none", "pad": 0.5}
    where: dict[str, Any] = {
        "xycoords": ("axes fraction", "data"),
        "va": "center",
        "color": INK,
        "parse_math": False,
        "bbox": ground,
    }
    axes.annotate(shortened(entry.name, room), (0, row - 0.36), ha="left", **where)
    axes.annotate(entry.value, (1, row - 0.36), ha="right", **where)


def _curve(figure: Figure, axes: Axes, line: Line, number: int, *, aside: float) -> None:
    """A curve, moved aside by so many points so that its intervals do not hide others."""
    shade = colour(number)
    drawn = axes.plot(line.x, line.y, color=shade, ls=_style(number), marker=_marker(number), markersize=4)
    for x, (low, high) in zip(line.x, line.ends, strict=False):
        drawn += axes.plot([x, x], [low, high], color=shade, linewidth=1)
    moved = axes.transData + ScaledTranslation(aside / _POINTS, 0, figure.dpi_scale_trans)
    for one in drawn:
        one.set_transform(moved)  # afterwards, for the axes take no notice of what is drawn with another one


def _make_logarithmic(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _style(number: int) -> str:
    return _STYLES[number // len(COLOURS) % len(_STYLES)]


def _marker(number: int) -> str:
    return _MARKERS[number // len(COLOURS) % len(_MARKERS)]


def _without_middle(line: str, kept: int) -> str:
    front = (kept + 1) // 2
    return f"{line[:front].rstrip()}…{line[len(line) - (kept - front) :].lstrip()}"


def _width(words: str) -> float:
    """Points that words take, about."""
    return sum(map(_advance, words))


@functools.cache
def _advance(character: str) -> float:
    font = get_font(findfont(_FONT))
    font.set_size(FONT_SIZE, _POINTS)
    if not font.get_char_index(ord(character)):
        return FONT_SIZE  # as wide as what another font may have for it
    return float(font.load_char(ord(character)).linearHoriAdvance) / 65536


def _lighten(axes: Axes, *, sides: tuple[str, ...], grid: Literal["x", "both"]) -> None:
    """Grey marks on no ground, for pages that are light or dark."""
    axes.tick_params(colors=INK, which="both")
    axes.xaxis.label.set_color(INK)
    for side, spine in axes.spines.items():
        spine.set_visible(side in sides)
        spine.set_color(INK)
    axes.grid(visible=True, axis=grid, color=INK, alpha=0.2)
    axes.patch.set_alpha(0)
