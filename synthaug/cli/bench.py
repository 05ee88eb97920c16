"""`synthaug bench`."""

from __future__ import annotations

import typer

from synthaug.cli.verb import add_verb
from synthaug.workflows.bench import BenchConfig, RegimeSummary, plan_bench
from synthaug.workflows.report import ReportedBench, bench_and_report


def add(app: typer.Typer) -> None:
    """Adds the verb."""
    example = "synthaug bench --data digits --per-class-real 20 --synthetic synthetic --seeds 5 --out bench"
    add_verb(app, "bench", BenchConfig, bench_and_report, _show, plan_bench, example)


def _show(result: ReportedBench) -> str:
    summary = result.summary
    lines = [result.sentence]
    if summary.is_complete:
        for regime in summary.regimes:
            lines += _accuracies(regime, is_named=len(summary.regimes) > 1)
    else:
        lines.append(f"{summary.cells - summary.done} trainings are to be done yet, by the same command")
    return "\n".join([*lines, f"report: {result.report}"])


def _accuracies(regime: RegimeSummary, *, is_named: bool) -> list[str]:
    width = max(14, *(len(arm.name) for arm in regime.arms))
    title = [f"{regime.name} of the real images:"] if is_named else []
    return [*title, *(f"  {arm.name:<{width}} {arm.test_accuracy.mean:6.2f} %" for arm in regime.arms)]
