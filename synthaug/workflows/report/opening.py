"""The first screen of a report: what was found, how surely, and what it took."""

from __future__ import annotations

from collections.abc import Sequence

from synthaug.core.durations import duration
from synthaug.workflows.bench.costs import BenchCosts
from synthaug.workflows.bench.record import Extension
from synthaug.workflows.bench.sentence import reservation, verdict_sentence
from synthaug.workflows.bench.summary import BenchSummary, RegimeSummary, SetResult
from synthaug.workflows.report import words
from synthaug.workflows.report.blocks import Banner, Block, Fact, Facts, Opening, Paragraph, Verdict, Verdicts
from synthaug.workflows.report.figures import verdict_plot


def opening(summary: BenchSummary, costs: BenchCosts, waiting: Sequence[str] = ()) -> list[Block]:
    """Warnings, the verdict, the gain with its interval, what it is worth and what it cost.

    Args:
        summary: What was found.
        costs: What it took.
        waiting: Numbers of real images with nothing to compare yet.
    """
    blocks: list[Block] = [*_unfinished(summary, waiting), *_broken_controls(summary), *_extensions(summary)]
    found = list(words.results(summary))
    if not found:
        return [*blocks, Verdicts((Verdict(verdict_sentence(summary), "no verdict"),))]
    plot = verdict_plot(summary)
    if words.is_single(summary):
        regime, one = found[0]
        sentence = Verdict(verdict_sentence(summary), one.verdict)
        facts = Facts((_cost_fact(costs, regime, one), *_worth_facts(one), _data_fact(summary, regime)))
        return [*blocks, Verdicts((sentence,)), Opening(plot, (facts,))]
    entries = tuple(_entry(summary, costs, regime, one) for regime, one in found)
    note = Paragraph(f"Points of test accuracy, 95 % intervals, {_seeds(summary)} paired seeds.", "note")
    return [*blocks, Opening(plot, (Verdicts(entries), note))]


def _unfinished(summary: BenchSummary, waiting: Sequence[str]) -> list[Banner]:
    if summary.is_complete:
        return []
    failed = [f"failed: {cell.arm}, seed {cell.seed} ({cell.regime}): {cell.reason}" for cell in summary.failed]
    state = f"{summary.done} of {summary.cells} trainings are done" + (f", {len(failed)} failed" if failed else "")
    retry = "retry those that failed and do the rest" if failed else "go on"
    nothing = [f"nothing to compare yet: {', '.join(waiting)}"] if waiting else []
    words_of = f"This bench is unfinished: {state}. Run the same command again to {retry}."
    return [Banner(words_of, (*failed, *nothing))]


def _broken_controls(summary: BenchSummary) -> list[Banner]:
    broken = [
        f"{control.name}{_with(summary, regime)}: {control.expectation}; found "
        f"{words.estimate(control.comparison.difference)} points, {control.comparison.verdict}"
        for regime in summary.regimes
        for control in regime.controls
        if control.is_as_expected is False
    ]
    warning = "A control came out otherwise than it must. Trust no verdict here before it is known why."
    return [Banner(warning, tuple(broken))] if broken else []


def _extensions(summary: BenchSummary) -> list[Banner]:
    if not summary.extensions:
        return []
    changes = ["added"] * any(one.is_addition for one in summary.extensions)
    changes += ["left out"] * any(one.left_out for one in summary.extensions)
    warning = (
        f"Seeds or arms were {' and '.join(changes)} when results were there. Intervals hold if these results had no "
        "say in it, and are too narrow if they had"
    )
    others = "; what was left out might have said otherwise." if "left out" in changes else "."
    return [Banner(warning + others, tuple(map(_extension, summary.extensions)))]


def _extension(one: Extension) -> str:
    changes = {"added": one.added, "left out": one.left_out}
    what = "; ".join(f"{change}: {', '.join(parts)}" for change, parts in changes.items() if parts)
    when = f"after {one.done} trainings, of a bench of {one.arms} arms and {one.seeds} seeds"
    return f"{when}; {what}" if what else when


def _with(summary: BenchSummary, regime: RegimeSummary) -> str:
    return f", {regime.name}" if len(summary.regimes) > 1 else ""


def _entry(summary: BenchSummary, costs: BenchCosts, regime: RegimeSummary, one: SetResult) -> Verdict:
    gain = words.estimate(one.gain.difference)
    took = words.costs_of(costs, regime, one.name)
    doubt = reservation(one.gain)
    details = [doubt] if doubt else []
    worth = words.worth_words(one.worth)
    details += [f"equals {worth}{_in_brackets(one)}"] if worth else []
    if took is not None:
        details.append(f"cost {words.at_least(took)}{duration(took.break_even.seconds)}: {words.break_even(took)}")
    return Verdict(f"{words.subject(summary, regime, one)}: {one.verdict}, {gain}", one.verdict, "; ".join(details))


def _in_brackets(one: SetResult) -> str:
    interval = words.worth_interval(one.worth)
    return f" ({interval.removeprefix('95 % interval ')})" if interval else ""


def _cost_fact(costs: BenchCosts, regime: RegimeSummary, one: SetResult) -> Fact:
    took = words.costs_of(costs, regime, one.name)
    if took is None:
        return Fact("What did it cost?", "not known")
    total = words.at_least(took) + duration(took.break_even.seconds)
    return Fact("What did it cost?", words.break_even(took), f"{words.cost_parts(took)} = {total}")


def _worth_facts(one: SetResult) -> list[Fact]:
    worth = words.worth_words(one.worth)
    return [Fact("What is it worth?", f"equals {worth}", words.worth_interval(one.worth))] if worth else []


def _data_fact(summary: BenchSummary, regime: RegimeSummary) -> Fact:
    counts = regime.counts
    return Fact(
        "With what?",
        f"{counts['train']:,} real and {counts['synthetic']:,} synthetic images",
        f"{summary.source}, {words.count(regime.images_per_class)} real images per class, {counts['test']:,} to test; "
        f"{regime.steps:,} steps of every arm",
    )


def _seeds(summary: BenchSummary) -> str:
    counts = sorted({one.gain.difference.count for _, one in words.results(summary)})
    return f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
