"""The words and numbers of the report, shared by its HTML and its Markdown."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthaug.workflows.bench import BenchConfig, BenchSummary

Rows = list[list[str]]


def arm_rows(summary: BenchSummary) -> Rows:
    """Header and one row per arm."""
    rows = [["arm", "test accuracy, %", "95 % interval", "per seed", "seconds per training", "what it is"]]
    for arm in summary.arms:
        estimate = arm.test_accuracy
        interval = "" if estimate.low is None else f"{estimate.low:.2f} to {estimate.high:.2f}"
        seeds = ", ".join(f"{value:.2f}" for value in arm.per_seed)
        rows.append([arm.name, f"{estimate.mean:.2f}", interval, seeds, f"{arm.seconds:.1f}", arm.meaning])
    return rows


def gain_rows(summary: BenchSummary) -> Rows:
    """Header and one row per comparison; the first decides the verdict."""
    rows = [["comparison", "gain, points", "95 % interval", "reads as"]]
    for comparison in (summary.gain, *summary.other_comparisons):
        difference = comparison.difference
        interval = "" if difference.low is None else f"{difference.low:+.2f} to {difference.high:+.2f}"
        rows.append([comparison.name, f"{difference.mean:+.2f}", interval, comparison.verdict])
    return rows


def class_rows(summary: BenchSummary) -> Rows:
    """Header and one row per class."""
    arms = [arm.name for arm in summary.arms]
    rows = [["class", "synthetic recognised, %", *(f"{name}, %" for name in arms)]]
    for label, name in enumerate(summary.class_names):
        fidelity = _percent(summary.label_fidelity_per_class[label])
        rows.append([name, fidelity, *(_percent(arm.per_class[label]) for arm in summary.arms)])
    return rows


def setting_rows(values: Mapping[str, Any], prefix: str = "") -> Rows:
    """One row per setting; tables within are flattened with dots, hashes shortened."""
    rows = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            rows.extend(setting_rows(value, f"{prefix}{name}."))
        elif isinstance(value, list):
            rows.append([prefix + name, ", ".join(map(str, value))])
        else:
            is_hash = isinstance(value, str) and len(value) == 64
            rows.append([prefix + name, f"{value[:12]}…" if is_hash else str(value)])
    return rows


def fidelity_sentence(summary: BenchSummary) -> str:
    """What the label fidelity means, in words."""
    return (
        f"Classifiers trained on real images with classic augmentation recognise {summary.label_fidelity:.1f} % of the "
        "synthetic images as their label."
    )


def counts_sentence(summary: BenchSummary) -> str:
    """What was used, in words."""
    counts, data = summary.counts, summary.settings["data"]
    return (
        f"{data['source']}: {counts['train']} real training images, {counts['synthetic']} synthetic, "
        f"{counts['validation']} to validate, {counts['test']} to test; every arm took {summary.steps} optimiser steps "
        f"with seeds {', '.join(map(str, summary.seeds))}."
    )


def command_line(folder: Path) -> str:
    """The command that repeats this bench."""
    return shlex.join(["synthaug", "bench", *BenchConfig.resolve({}, folder / "config.yaml").flags()])


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
