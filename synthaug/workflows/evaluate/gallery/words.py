"""Numbers and sentences of the gallery as words; a figure that is missing never becomes a number."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable

from synthaug.workflows.evaluate.records import Comparison, EvaluateResult, MemorisationVerdict, SetReport, Value

#: Writes one number.
Show = Callable[[float], str]
TONES: dict[MemorisationVerdict, str] = {
    "copies": "hurts",
    "some copies": "inconclusive",
    "no sign of copies": "helps",
}
_COPIES: dict[MemorisationVerdict, str] = {
    "copies": "it copies training images",
    "some copies": "some images are copies",
    "no sign of copies": "no sign of copies",
}
_FIRST_FIGURES = 3
_SHORT_REASON = 30


def is_known(number: float | None) -> bool:
    """Whether there is a number to show."""
    return number is not None and math.isfinite(number)


def decimals(number: float) -> int:
    """Decimals that show three significant digits, from none to five."""
    if number == 0:
        return 0
    return min(5, max(0, 2 - math.floor(math.log10(abs(number)))))


def plain(number: float, places: int | None = None) -> str:
    """A number with three significant digits, or so many decimals."""
    return f"{number:,.{decimals(number) if places is None else places}f}"


def percent(share: float, places: int | None = None) -> str:
    """A share in [0, 1] with its sign; one decimal, two if it is below 1 %."""
    return f"{100 * share:.{_percent_places(share) if places is None else places}f} %"


def points(difference: float, places: int | None = None) -> str:
    """A difference of shares, as percentage points with a sign."""
    return f"{100 * difference:+.{1 if places is None else places}f}"


def number_or_dash(number: float, places: int | None = None) -> str:
    """A number with three significant digits, or so many decimals; a dash for none."""
    return plain(number, places) if is_known(number) else "–"


def _percent_places(share: float) -> int:
    return 2 if 0 < abs(share) < 0.01 else 1


def interval(value: Value, kind: str) -> str:
    """The two ends of the interval with the decimals of the figure; nothing if there is none.

    Args:
        value: The figure.
        kind: "plain", "percent" or "points".
    """
    if value.value is None or value.low is None or value.high is None or not is_known(value.low + value.high):
        return ""
    if kind == "plain":
        places = decimals(value.value)
        return f"{plain(value.low, places)} to {plain(value.high, places)}"
    if kind == "percent":
        places = _percent_places(value.value)
        return f"{100 * value.low:.{places}f} to {percent(value.high, places)}"
    return f"{points(value.low)} to {points(value.high)}"


def reason(value: Value) -> str:
    """Why there is no figure, in one line."""
    return " ".join((value.reason or "not available").split())


def shortened(words: str) -> str:
    """The beginning of a reason, for a cell."""
    return textwrap.shorten(words, _SHORT_REASON, placeholder="…") if len(words) > _SHORT_REASON else words


def capitalised(words: str) -> str:
    """Words as the beginning of a line."""
    return words[:1].upper() + words[1:]


def sentence(words: str) -> str:
    """Words with a capital and a full stop."""
    line = " ".join(words.split())
    return capitalised(line) + ("" if line.endswith((".", "!", "?")) else ".")


def headline(report: SetReport) -> str:
    """Whether a set copies and is what it says, in a few words."""
    fidelity = report.fidelity.overall
    if fidelity.value is not None and is_known(fidelity.value):
        recognised = f"{percent(fidelity.value)} of {report.images:,} images are recognised as their label"
    else:
        recognised = f"{report.images:,} images; how many are recognised as their label is not known"
    return f"{recognised}; {_COPIES[report.memorisation.verdict]}"


def first_figures(report: SetReport) -> str:
    """The first figures of the first space that has any, as a sentence."""
    for comparison in report.comparisons:
        words = _figures_of(comparison)
        if words:
            return f"{words} ({comparison.space.name})."
    return ""


def _figures_of(comparison: Comparison) -> str:
    known = [figure for figure in comparison.figures if is_known(figure.overall.value)]
    return ", ".join(f"{figure.title} {plain(figure.overall.value or 0.0)}" for figure in known[:_FIRST_FIGURES])


def reference_sentences(result: EvaluateResult) -> str:
    """What the sets were compared with, and by whom they were recognised."""
    reference, judge = result.reference, result.judge
    compared = (
        f"Compared with {reference.images:,} real {reference.split} images of {reference.source}; copies were looked "
        f"for among its {reference.train:,} training images. Labels were judged by {judge.network} "
        f"({judge.origin}), which recognises {percent(judge.validation_accuracy)} of the validation images."
    )
    if reference.is_generators:
        return compared
    return f"{compared} The training images are not known to be those that the generators saw: copies may be missed."
