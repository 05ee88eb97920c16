"""The words and numbers of the report, shared by its HTML and its Markdown."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthaug.workflows.bench import BenchConfig, BenchSummary
from synthaug.workflows.bench.pictures import REAL_PICTURE, picture_names
from synthaug.workflows.bench.statistics import Estimate

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
    """Header and one row per comparison; the first ones, one for each synthetic set, decide the verdicts."""
    rows = [["comparison", "gain, points", "95 % interval", "reads as"]]
    for comparison in summary.comparisons:
        difference = comparison.difference
        rows.append([comparison.name, f"{difference.mean:+.2f}", _interval(difference), comparison.verdict])
    return rows


def class_rows(summary: BenchSummary) -> Rows:
    """Header and one row per class."""
    arms = [arm.name for arm in summary.arms]
    sets = ["synthetic"] if len(summary.sets) == 1 else [one.name for one in summary.sets]
    rows = [["class", *(f"{name} recognised, %" for name in sets), *(f"{name}, %" for name in arms)]]
    for label, name in enumerate(summary.class_names):
        fidelities = [_percent(one.label_fidelity_per_class[label]) for one in summary.sets]
        rows.append([name, *fidelities, *(_percent(arm.per_class[label]) for arm in summary.arms)])
    return rows


def generator_rows(summary: BenchSummary) -> Rows:
    """Header and one row per synthetic set: what it is worth, what it is like, what it took."""
    rows = [
        [
            "generator",
            "verdict",
            "gain, points",
            "recognised, %",
            "Frechet distance",
            "recall",
            "coverage",
            "training, s",
            "sampling, images/s",
            "images",
        ]
    ]
    for one in summary.sets:
        difference, quality = one.gain.difference, one.quality
        interval = "" if difference.low is None else f" ({_interval(difference)})"
        likeness = ["not measured"] * 3
        if quality is not None:
            likeness = [f"{quality.frechet:.3g}", f"{quality.recall:.3f}", f"{quality.coverage:.3f}"]
        rate = "not recorded" if one.cost is None else f"{one.cost.images_per_second:,.1f}"
        cost = [f"{one.training_seconds:,.0f}", rate, f"{one.images:,}"]
        gain = f"{difference.mean:+.2f}{interval}"
        rows.append([one.name, one.verdict, gain, _percent(one.label_fidelity), *likeness, *cost])
    return rows


def generators_sentence(summary: BenchSummary) -> str:
    """What the columns of the generators' table mean, in words."""
    machines = sorted({name for one in summary.sets if one.cost is not None for name in one.cost.hardware})
    speed = f" Sampling was timed per process on {'; '.join(machines)}." if machines else ""
    several = " Each interval is for itself, none is widened for looking at several." if len(summary.sets) > 1 else ""
    return (
        "Gain: test accuracy over the real-only arm that validates better, with 95 % interval. Classifiers trained on "
        "real images with classic augmentation judge the sets: recognised is the share of images that they classify as "
        "their label; Frechet distance, recall and coverage, in their features, compare the set with the validation "
        f"images, and mean something within this table only.{speed}{several}"
    )


def gains_sentence(summary: BenchSummary) -> str:
    """Which differences decide, in words."""
    baseline = "the real-only arm that validates better"
    if len(summary.sets) == 1:
        return f"The first difference decides the verdict: it is taken to {baseline}."
    return f"The first {len(summary.sets)} differences decide the verdicts: they are taken to {baseline}."


def headline(summary: BenchSummary) -> str:
    """The verdict in a word or two, or that there are several."""
    return summary.verdict if len(summary.sets) == 1 else f"{len(summary.sets)} synthetic sets compared"


def pictures(summary: BenchSummary) -> dict[str, str]:
    """Captions of the grids beside the report by their file names, the real images first."""
    names = [""] if len(summary.sets) == 1 else [f" of {one.name}" for one in summary.sets]
    captions = [f"Synthetic images{name}, one class a row" for name in names]
    files = [REAL_PICTURE, *picture_names(len(summary.sets))]
    return dict(zip(files, ["Real training images, one class a row", *captions], strict=True))


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
    """What the label fidelity means, in words; several sets have theirs in their table."""
    if len(summary.sets) > 1:
        return ""
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


def _interval(difference: Estimate) -> str:
    return "" if difference.low is None else f"{difference.low:+.2f} to {difference.high:+.2f}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
