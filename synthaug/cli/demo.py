"""`synthaug demo`."""

from __future__ import annotations

import typer

from synthaug.cli.verb import add_verb
from synthaug.workflows.demo import DemoConfig, DemoResult, demo, plan_demo


def add(app: typer.Typer) -> None:
    """Adds the verb."""
    add_verb(app, "demo", DemoConfig, demo, _show, plan_demo, "synthaug demo --out demo")


def _show(result: DemoResult) -> str:
    shares = " and ".join(f"{share:.1f} % ({model})" for model, share in result.label_fidelity.items())
    lines = [
        result.sentence,
        f"{shares} of the synthetic digits are recognised as their label; {result.seconds:.0f} s in all",
        *(f"set: {folder}" for folder in result.synthetic.values()),
        f"report: {result.report}",
    ]
    return "\n".join(lines)
