"""`synthaug explain`."""

from __future__ import annotations

import typer

from synthaug.cli.verb import add_verb
from synthaug.workflows.explain import ExplainConfig, ExplainResult, explain, plan_explanation


def add(app: typer.Typer) -> None:
    """Adds the verb."""
    add_verb(
        app,
        "explain",
        ExplainConfig,
        explain,
        _show,
        plan_explanation,
        "synthaug explain --checkpoint runs/real --checkpoint runs/mixed --data digits --out runs/explained",
    )


def _show(result: ExplainResult) -> str:
    lines = [f"{len(result.images)} of {result.test} test images of {result.data}"]
    for number, facts in enumerate(result.classifiers):
        said = [image.explanations[number] for image in result.images]
        right, worst = sum(entry.is_right for entry in said), max(said, key=lambda entry: entry.gap)
        share = "" if worst.relative_gap is None else f" ({100 * worst.relative_gap:.2g} %)"
        lines.append(
            f"  {facts.name:<16} {right} right; largest completeness gap {worst.gap:.2g} logits{share} "
            f"with {worst.steps} steps"
        )
    for entry in result.likenesses:
        values = [_value(entry.gradients), _value(entry.heat)]
        lines.append(
            f"  {entry.first} and {entry.second}: rank correlation of integrated gradients {values[0]}, of Grad-CAM "
            f"{values[1]}"
        )
    lines.append(f"page: {result.page}")
    return "\n".join(lines)


def _value(correlation: float | None) -> str:
    return "not defined" if correlation is None else f"{correlation:.2f}"
