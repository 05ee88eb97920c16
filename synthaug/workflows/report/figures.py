"""The plots of the report, each with its numbers in words."""

from __future__ import annotations

from collections.abc import Sequence

from synthaug.workflows.bench.arms import Arm
from synthaug.workflows.bench.statistics import Estimate, Interval
from synthaug.workflows.bench.summary import ArmSummary, BenchSummary, Comparison, RegimeSummary, SetResult
from synthaug.workflows.report import words
from synthaug.workflows.report.blocks import Plot
from synthaug.workflows.report.drawing import INK, TONES, Entry, Line, colour, curves_plot, rows_plot

_GAIN_AXIS = "points of test accuracy"


def verdict_plot(summary: BenchSummary) -> Plot:
    """The differences that decide the verdicts, in their colours."""
    named = [(_verdict_name(summary, regime, one), one.gain) for regime, one in words.results(summary)]
    caption = (
        "Gain over the real-only arm that validates best, paired by seed. Thick: 95 % interval for these test images; "
        "thin: also over other test images; ticks: seeds."
    )
    return _gains(named, caption, "Gain in test accuracy", [TONES[gain.verdict] for _, gain in named])


def comparisons_plot(regime: RegimeSummary) -> Plot:
    """All differences of a regime; those that decide a verdict in its colour."""
    every = [*regime.gains, *regime.comparisons]
    named = [(one.name, one) for one in every]
    colours = [TONES[one.verdict] if row < len(regime.sets) else INK for row, one in enumerate(every)]
    caption = "All differences, paired by seed; coloured are those that decide. Grey ones are for orientation."
    return _gains(named, caption, f"All differences with {words.regime_name(regime)}", colours)


def accuracy_plot(regime: RegimeSummary) -> Plot:
    """Test accuracy of every arm."""
    entries = []
    for row, arm in enumerate(regime.arms):
        estimate = arm.test_accuracy
        ends = None
        if estimate.low is not None and estimate.high is not None:
            ends = (max(0.0, estimate.low), min(100.0, estimate.high))
        entries.append(Entry(arm.name, f"{estimate.mean:.2f} %", estimate.mean, ends, None, arm.per_seed, colour(row)))
    text = "; ".join(
        f"{arm.name} {arm.test_accuracy.mean:.2f} %{_between(arm.test_accuracy, signed=False)}" for arm in regime.arms
    )
    text = f"Test accuracy with {words.regime_name(regime)}: {text}"
    drawing = rows_plot(entries, "test accuracy, %", text, has_zero=False)
    return Plot(drawing, text, "Test accuracy of every arm: mean, 95 % interval over seeds, ticks: seeds.")


def validation_plot(regime: RegimeSummary) -> Plot:
    """Mean validation accuracy of every arm during training."""
    lines = [_curve(arm, [accuracy for _, accuracy, _ in arm.curve]) for arm in regime.arms]
    ends = [f"{arm.name} {arm.curve[-1][1]:.2f} % at step {arm.curve[-1][0]}" for arm in regime.arms if arm.curve]
    text = f"Validation accuracy while training with {words.regime_name(regime)}, at the end: {'; '.join(ends)}"
    drawing = curves_plot(lines, ("optimiser steps", "validation accuracy, %"), text)
    return Plot(drawing, text, "Validation accuracy while training, mean over seeds.", is_in_tables=False)


def loss_plot(regime: RegimeSummary) -> Plot:
    """Mean training loss of every arm, on a logarithmic scale."""
    lines = [_curve(arm, [loss for *_, loss in arm.curve]) for arm in regime.arms]
    ends = [f"{arm.name} {arm.curve[-1][2]:.4g} at step {arm.curve[-1][0]}" for arm in regime.arms if arm.curve]
    text = f"Training loss with {words.regime_name(regime)}, at the end: {'; '.join(ends)}"
    is_log = (False, all(value > 0 for line in lines for value in line.y))
    drawing = curves_plot(lines, ("optimiser steps", "training loss"), text, is_log=is_log)
    caption = "Training loss, mean over seeds; of arms with other batches or labels it is another loss."
    return Plot(drawing, text, caption, is_in_tables=False)


def real_images_plot(summary: BenchSummary) -> Plot | None:
    """Accuracy against real images per class: baseline and deciding arm of each set; None for one number of them."""
    found: dict[str, list[tuple[float, ArmSummary]]] = {}
    for regime in summary.regimes:
        names = {"real only": regime.baseline}
        names |= {f"with {one.name}": one.gain.arm for one in regime.sets}
        arms = {arm.name: arm for arm in regime.arms}
        for line, name in names.items():
            if name in arms:
                found.setdefault(line, []).append((regime.images_per_class, arms[name]))
    numbers = sorted({at for points in found.values() for at, _ in points})
    if len(numbers) < 2:
        return None
    ordered = {name: sorted(points, key=lambda point: point[0]) for name, points in found.items()}
    lines = [_line(name, [(at, arm.test_accuracy) for at, arm in points]) for name, points in ordered.items()]
    text = "; ".join(
        f"{name}: " + ", ".join(f"{arm.test_accuracy.mean:.2f} % with {words.count(at)}" for at, arm in points)
        for name, points in ordered.items()
    )
    text = f"Test accuracy by real images per class: {text}"
    labels = ("real images per class", "test accuracy, %")
    drawing = curves_plot(lines, labels, text, is_log=(numbers[0] > 0, False), ticks=numbers)
    caption = (
        "Test accuracy by real images per class: the real-only arm that validates best, and the arm that decides about "
        "each set. Bars: 95 % intervals over seeds."
    )
    return Plot(drawing, text, caption, is_in_tables=False)


def share_plot(regime: RegimeSummary) -> Plot | None:
    """Gain against the share of each batch that is synthetic; None if no arms differ in that alone."""
    gains = {one.arm: one for one in [*regime.gains, *regime.comparisons] if one.baseline == regime.baseline}
    by_condition: dict[object, list[Arm]] = {}
    for summary in regime.arms:
        arm = summary.arm
        if arm.sets and 0 < arm.synthetic_fraction < 1 and arm.name in gains:
            condition = arm.sets, arm.transform, arm.labels, arm.pretrains
            by_condition.setdefault(condition, []).append(arm)
    groups = [sorted(arms, key=lambda arm: arm.synthetic_fraction) for arms in by_condition.values() if len(arms) > 1]
    if not groups:
        return None
    lines, texts = [], []
    for arms in groups:
        name = min((arm.name for arm in arms), key=len)
        lines.append(_line(name, [(100 * arm.synthetic_fraction, gains[arm.name].difference) for arm in arms]))
        told = [f"{words.points(gains[arm.name].difference.mean)} at {arm.synthetic_fraction:.0%}" for arm in arms]
        texts.append(f"{name}: {', '.join(told)}")
    text = f"Gain by share of synthetic images with {words.regime_name(regime)}: {'; '.join(texts)}"
    ticks = sorted({x for line in lines for x in line.x})
    labels = ("synthetic share of each batch, %", f"gain over {regime.baseline}, points")
    drawing = curves_plot(lines, labels, text, ticks=ticks, has_zero=True)
    caption = "Gain by the share of each batch that is synthetic; all else is equal. Bars: 95 % intervals over seeds."
    return Plot(drawing, text, caption)


def run_plot(named: Sequence[tuple[str, Comparison]]) -> Plot:
    """The differences that decide the verdicts of several runs, in their colours."""
    return _gains(
        named, "Gain of each run. Thick: 95 % interval for its test images; thin: also over other ones; ticks: seeds.",
        "Gain in test accuracy", [TONES[gain.verdict] for _, gain in named],
    )  # fmt: skip


def _gains(named: Sequence[tuple[str, Comparison]], caption: str, title: str, colours: Sequence[str]) -> Plot:
    entries = []
    for (name, comparison), shade in zip(named, colours, strict=True):
        difference = comparison.difference
        value = words.estimate(difference)
        ends, outer = _ends(difference), _ends(comparison.beyond)
        entries.append(Entry(name, value, difference.mean, ends, outer, comparison.per_seed, shade))
    told = [f"{name} {words.points(one.difference.mean)} points{_between(one.difference)}" for name, one in named]
    text = f"{title}: {'; '.join(told)}"
    return Plot(rows_plot(entries, _GAIN_AXIS, text, has_zero=True), text, caption)


def _verdict_name(summary: BenchSummary, regime: RegimeSummary, one: SetResult) -> str:
    return one.gain.name if words.is_single(summary) else words.subject(summary, regime, one)


def _curve(arm: ArmSummary, values: list[float]) -> Line:
    return Line(arm.name, [float(step) for step, *_ in arm.curve], values)


def _line(name: str, found: Sequence[tuple[float, Estimate]]) -> Line:
    ends = [_ends(estimate) or (estimate.mean, estimate.mean) for _, estimate in found]
    return Line(name, [at for at, _ in found], [estimate.mean for _, estimate in found], ends)


def _ends(value: Estimate | Interval | None) -> tuple[float, float] | None:
    return None if value is None or value.low is None or value.high is None else (value.low, value.high)


def _between(value: Estimate, *, signed: bool = True) -> str:
    return "" if value.low is None else f" ({words.interval(value, signed=signed)})"
