"""Numbers and findings in words, the same wherever they stand."""

from __future__ import annotations

from collections.abc import Iterator

from synthaug.core.durations import duration
from synthaug.workflows.bench.costs import BenchCosts, SetCosts
from synthaug.workflows.bench.power import LUCK
from synthaug.workflows.bench.statistics import Estimate, Interval
from synthaug.workflows.bench.summary import BenchSummary, Comparison, RegimeSummary, SetResult
from synthaug.workflows.bench.worth import Worth

NOTHING = "–"
_LEAST_P = 0.001


def points(value: float) -> str:
    """Points of accuracy gained; what rounds to nothing has no sign."""
    return "±0.00" if f"{abs(value):.2f}" == "0.00" else f"{value:+.2f}"


def interval(value: Estimate | Interval | None, *, signed: bool = True) -> str:
    """Both ends; a dash if there is none."""
    if value is None or value.low is None or value.high is None:
        return NOTHING
    if signed:
        return f"{value.low:+.2f} to {value.high:+.2f}"
    return f"{value.low:.2f} to {value.high:.2f}"


def estimate(value: Estimate, *, signed: bool = True) -> str:
    """Mean and interval."""
    mean = points(value.mean) if signed else f"{value.mean:.2f}"
    return mean if value.low is None else f"{mean} ({interval(value, signed=signed)})"


def percent(value: float | None) -> str:
    """A share in percent; a dash if it was not measured."""
    return NOTHING if value is None else f"{value:.1f}"


def probability(value: float) -> str:
    """A p value."""
    return f"<{_LEAST_P}" if value < _LEAST_P else f"{value:.3f}"


def count(value: float) -> str:
    """A number of images, which may be a mean."""
    return f"{round(value):,}" if abs(value) >= 10 or value == round(value) else f"{value:.1f}"


def signed_seconds(value: float) -> str:
    """A difference of times."""
    if abs(value) < 0.05:
        return "±0 s"
    return ("+" if value > 0 else "-") + duration(abs(value))


def regime_name(regime: RegimeSummary) -> str:
    """A number of real images, also per class."""
    per_class = count(regime.images_per_class)
    return regime.name if regime.fraction is None else f"{regime.name} ({per_class} a class)"


def is_single(summary: BenchSummary) -> bool:
    """Whether the bench has one verdict."""
    return len(summary.regimes) == 1 and len(set_names(summary)) == 1


def set_names(summary: BenchSummary) -> list[str]:
    """The synthetic sets."""
    return list(dict.fromkeys(one.name for _, one in results(summary)))


def results(summary: BenchSummary) -> Iterator[tuple[RegimeSummary, SetResult]]:
    """What was found of each set with each number of real images."""
    for regime in summary.regimes:
        for one in regime.sets:
            yield regime, one


def subject(summary: BenchSummary, regime: RegimeSummary, one: SetResult) -> str:
    """What a verdict is about, as far as there are several."""
    parts = [regime.name] * (len(summary.regimes) > 1) + [one.name] * (len(set_names(summary)) > 1)
    return ", ".join(parts) or "synthetic data"


def headline(summary: BenchSummary) -> str:
    """The verdict in a word or two, or that there are several."""
    if not any(True for _ in results(summary)):
        return "no verdict yet"
    if not summary.is_complete:
        return "unfinished"
    if is_single(summary):
        return summary.regimes[0].sets[0].verdict
    sets, regimes = len(set_names(summary)), len(summary.regimes)
    compared = f"{sets} synthetic sets" if sets > 1 else "one synthetic set"
    return f"{compared} compared" if regimes == 1 else f"{compared}, {regimes} amounts of real images"


def costs_of(costs: BenchCosts, regime: RegimeSummary, name: str) -> SetCosts | None:
    """What a set took; None if it is not known."""
    return next((one.sets.get(name) for one in costs.regimes if one.name == regime.name), None)


def worth_words(worth: Worth | None) -> str:
    """How many real images would have done as much; nothing if that is not known."""
    if worth is None or (worth.is_at_least and worth.images_per_class == 0):
        return ""  # no larger number of real images was tried
    number = count(worth.images_per_class)
    if worth.is_at_most:
        return f"no more than {number} extra real images per class"
    return f"{'at least' if worth.is_at_least else 'about'} {number} extra real images per class"


def worth_interval(worth: Worth | None) -> str:
    """Its interval; nothing if there is none."""
    if worth is None or worth.low is None or worth.high is None or worth.low == worth.high:
        return ""
    return f"95 % interval {count(worth.low)} to {count(worth.high)}"


def break_even(costs: SetCosts) -> str:
    """Seconds per point gained, or that no gain was shown."""
    per_point = costs.break_even.seconds_per_point
    if per_point is None:
        return "no gain shown, so no break-even"
    return f"{at_least(costs)}{duration(per_point)} per point gained"


def at_least(costs: SetCosts) -> str:
    """What stands before sums of times of which one was not recorded."""
    return "at least " if costs.sampling is None else ""


def cost_parts(costs: SetCosts) -> str:
    """What making and using a set took, part by part."""
    sampling = "sampling not recorded" if costs.sampling is None else f"sampling {duration(costs.sampling)}"
    return f"generator {duration(costs.generator)} + {sampling} + training {signed_seconds(costs.training)}"


def detectable_words(comparison: Comparison) -> str:
    """What the test over so many seeds could have found; nothing for one seed."""
    seeds = comparison.difference.count
    if comparison.detectable is None:
        return ""
    words = (
        f"{comparison.name}: by the test over seeds, corrected for the number of sets (Holm), {seeds} seeds find a "
        f"true difference of {comparison.detectable:.2f} points in 80 of 100 benches"
    )
    if comparison.seeds_for_a_point is not None:
        words += f"; to find one point as surely takes {comparison.seeds_for_a_point} seeds"
    return f"{words}. {LUCK.capitalize()}."
