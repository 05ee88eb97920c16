"""`synthaug export`."""

from __future__ import annotations

import typer

from synthaug.cli.verb import add_verb
from synthaug.workflows.export import ExportConfig, ExportResult, export


def add(app: typer.Typer) -> None:
    """Adds the verb."""
    add_verb(
        app, "export", ExportConfig, export, _show, None, "synthaug export synthetic --to imagefolder --out images"
    )


def _show(result: ExportResult) -> str:
    counts = ", ".join(f"{name} {count}" for name, count in result.class_counts.items())
    skipped = f", {result.skipped} damaged piece(s) skipped" if result.skipped else ""
    summary = f"{result.out}: {result.samples} images in {result.files} {result.to} file(s){skipped}"
    return f"{summary}\nper class: {counts}"
