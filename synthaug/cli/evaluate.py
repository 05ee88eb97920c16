"""`synthaug evaluate`."""

from __future__ import annotations

import typer

from synthaug.cli.verb import add_verb
from synthaug.workflows.evaluate import EvaluateConfig, EvaluateResult, evaluate, plan_evaluation
from synthaug.workflows.evaluate.records import Figure, SetReport, Value


def add(app: typer.Typer) -> None:
    """Adds the verb."""
    add_verb(
        app,
        "evaluate",
        EvaluateConfig,
        evaluate,
        _show,
        plan_evaluation,
        "synthaug evaluate synthetic curated --reference digits --out runs/evaluation",
    )


def _show(result: EvaluateResult) -> str:
    reference, judge = result.reference, result.judge
    lines = [
        f"compared with {reference.images} {reference.split} images of {reference.source}; recognised by a "
        f"{judge.network} with {100 * judge.validation_accuracy:.1f} % validation accuracy"
    ]
    for report in result.sets:
        lines.extend(_set_lines(report))
    lines.append(f"gallery: {result.page}")
    return "\n".join(lines)


def _set_lines(report: SetReport) -> list[str]:
    lines = [f"{report.name}: {report.images} images ({report.where})"]
    for comparison in report.comparisons:
        space = comparison.space
        lines.append(f"  by {space.name} ({space.backend}; resize: {space.resize}), {report.compared} images")
        lines.extend(f"    {_figure(figure)}" for figure in comparison.figures)
    lines.append(f"  {_figure(report.fidelity, scale=100.0)} %")
    score = report.accuracy_score
    if score is None:
        lines.append("  classification accuracy score: not measured (--cas-seeds 0)")
    else:
        lines.append(
            f"  classification accuracy score: {100 * score.synthetic:.2f} % after training on the set alone, "
            f"{100 * score.real:.2f} % on the real images; gap {_interval(score.gap, 100.0)} points (interval over "
            f"test images, not over trainings: {score.seeds} of each)"
        )
    lines.append(f"  memorisation: {report.memorisation.sentence}")
    again = report.duplicates
    lines.append(
        f"  duplicates: {again.near} of {report.images} images repeat another, {again.exact} of them pixel for pixel"
    )
    return lines


def _figure(figure: Figure, scale: float = 1.0) -> str:
    return f"{figure.title:<24} {_interval(figure.overall, scale)}"


def _interval(value: Value, scale: float = 1.0) -> str:
    if value.value is None or value.low is None or value.high is None:
        return f"refused: {value.reason}"
    return f"{scale * value.value:.4g} ({scale * value.low:.4g} to {scale * value.high:.4g})"
