"""`synthaug demo`."""

from __future__ import annotations

import typer

from synthaug.cli.verb import add_verb
from synthaug.workflows.demo import DemoConfig, DemoResult, demo, plan_demo


def add(app: typer.Typer) -> None:
    """Adds the verb."""
    add_verb(app, "demo", DemoConfig, demo, _show, plan_demo, "synthaug demo --out demo")


def _show(result: DemoResult) -> str:
    return (
        f"{result.sentence}\n{result.label_fidelity:.1f} % of the synthetic digits are recognised as their label; "
        f"{result.seconds:.0f} s in all\nset: {result.synthetic}\nreport: {result.report}"
    )
