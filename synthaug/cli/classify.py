"""`synthaug classify`."""

from __future__ import annotations

import typer

from synthaug.cli.verb import add_verb
from synthaug.workflows.classify import ClassifyConfig, ClassifyResult, classify, plan_classification


def add(app: typer.Typer) -> None:
    """Adds the verb."""
    add_verb(
        app,
        "classify",
        ClassifyConfig,
        classify,
        _show,
        plan_classification,
        "synthaug classify --data digits --out runs/real",
    )


def _show(result: ClassifyResult) -> str:
    lines = [
        f"test accuracy {100 * result.test.overall:.2f} % on {result.test.count} images "
        f"(validation {100 * result.validation_accuracy:.2f} % at step {result.best_step} of {result.steps}, "
        f"{result.seconds:.1f} s)",
        f"expected calibration error {100 * result.calibration_error:.2f} %; {result.training_images_per_second:,.0f} "
        f"images/s in training, {result.test_images_per_second:,.0f} in the test",
    ]
    for name, accuracy in result.per_class.items():
        lines.append(f"  {name:<16} " + ("no test image" if accuracy is None else f"{100 * accuracy:6.2f} %"))
    if result.out is not None:
        lines.append(f"classifier: {result.out}")
    return "\n".join(lines)
