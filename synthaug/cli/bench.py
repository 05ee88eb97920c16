"""`synthaug bench`."""

from __future__ import annotations

import typer

from synthaug.cli.verb import add_verb
from synthaug.workflows.bench import BenchConfig, plan_bench
from synthaug.workflows.report import ReportedBench, bench_and_report


def add(app: typer.Typer) -> None:
    """Adds the verb."""
    example = "synthaug bench --data digits --per-class-real 20 --synthetic synthetic --seeds 5 --out bench"
    add_verb(app, "bench", BenchConfig, bench_and_report, _show, plan_bench, example)


def _show(result: ReportedBench) -> str:
    arms = result.summary.arms
    width = max(14, *(len(arm.name) for arm in arms))
    rows = [f"  {arm.name:<{width}} {arm.test_accuracy.mean:6.2f} %" for arm in arms]
    return "\n".join([result.summary.sentence(), *rows, f"report: {result.report}"])
