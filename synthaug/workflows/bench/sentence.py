"""The verdict of a bench in words, the same on every page and terminal."""

from __future__ import annotations

from synthaug.workflows.bench.statistics import MINIMUM_SEEDS, SIGNIFICANT, VerdictName
from synthaug.workflows.bench.summary import BenchSummary, Comparison, SetResult

_OPENINGS: dict[VerdictName, str] = {
    "helps": "Synthetic data helps this classifier",
    "hurts": "Synthetic data hurts this classifier",
    "inconclusive": "Inconclusive: these runs do not show whether synthetic data helps this classifier",
    "no verdict": "No verdict: at least 3 seeds are needed",
}
_CLAUSES: dict[VerdictName, str] = {
    "helps": "helps this classifier",
    "hurts": "hurts this classifier",
    "inconclusive": "is inconclusive",
    "no verdict": "has no verdict",
}


def verdict_sentence(summary: BenchSummary) -> str:
    """The verdict with gain, interval and seeds; a clause for each set and number of real images.

    Of an unfinished bench it says so first, as the trainings to come may change it.
    """
    if not summary.regimes:
        return f"No verdict yet: {summary.done} of {summary.cells} trainings are done."
    so_far = "" if summary.is_complete else f"So far, with {summary.done} of {summary.cells} trainings: "
    if len(summary.regimes) == 1 and len(summary.regimes[0].sets) == 1:
        return so_far + _one_verdict(summary.regimes[0].sets[0].gain)
    by_regime = []
    for regime in summary.regimes:
        clauses = "; ".join(_clause(one, is_alone=len(regime.sets) == 1) for one in regime.sets)
        by_regime.append(clauses if len(summary.regimes) == 1 else f"With {regime.name} of the real images, {clauses}")
    counts = {comparison.difference.count for regime in summary.regimes for comparison in regime.gains}
    seeds = f"{min(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
    intervals = "" if min(counts) == 1 else " with 95 % intervals"
    lacking = f", at least {MINIMUM_SEEDS} are needed" if min(counts) < MINIMUM_SEEDS else ""
    return f"{so_far}{'. '.join(by_regime)}. Points of test accuracy{intervals}, {seeds} paired seeds{lacking}."


def reservation(comparison: Comparison) -> str:
    """Why seeds that agree are not enough for a verdict here; nothing if they do not, or are."""
    difference, beyond = comparison.difference, comparison.beyond
    if comparison.verdict != "inconclusive" or difference.low is None or difference.high is None:
        return ""
    if difference.low <= 0 <= difference.high:
        return ""
    reasons = []
    if comparison.adjusted_p >= SIGNIFICANT:
        reasons.append(f"p is {comparison.adjusted_p:.3f} after correction")
    if beyond is not None and beyond.low <= 0 <= beyond.high:
        reasons.append(f"other test images might give {beyond.low:+.2f} to {beyond.high:+.2f}")
    return f"the seeds agree, but {' and '.join(reasons)}" if reasons else ""


def _one_verdict(gain: Comparison) -> str:
    interval = _interval(gain, ", 95 % interval ")
    figures = f"{gain.difference.mean:+.2f} points of test accuracy{interval}"
    but = reservation(gain)
    return f"{_OPENINGS[gain.verdict]} ({figures}, {gain.difference.count} paired seeds{but and f'; {but}'})."


def _clause(one: SetResult, *, is_alone: bool) -> str:
    name = "synthetic data" if is_alone else one.name
    but = reservation(one.gain)
    interval = _interval(one.gain, ", ")
    return f"{name} {_CLAUSES[one.verdict]} ({one.gain.difference.mean:+.2f}{interval}{but and f'; {but}'})"


def _interval(gain: Comparison, opening: str) -> str:
    difference = gain.difference
    return "" if difference.low is None else f"{opening}{difference.low:+.2f} to {difference.high:+.2f}"
