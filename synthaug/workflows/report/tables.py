"""The tables of the report, shared by its HTML and its Markdown."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from synthaug.core.durations import duration
from synthaug.workflows.bench.costs import BenchCosts, RegimeCosts
from synthaug.workflows.bench.summary import ArmSummary, BenchSummary, Comparison, Control, RegimeSummary, SetResult
from synthaug.workflows.report import words
from synthaug.workflows.report.blocks import Rows
from synthaug.workflows.report.words import NOTHING

_HASH = re.compile("^[0-9a-f]{64}$")


def gain_rows(comparisons: Sequence[Comparison]) -> Rows:
    """One row per difference, with all that says how sure it is."""
    rows = [
        [
            "comparison",
            "gain, points",
            "95 % interval",
            "by bootstrap",
            "beyond these test images",
            "exact p (its floor)",
            "Holm-adjusted p",
            "reads as",
            "detectable, points",
            "seeds for 1 point",
        ]
    ]
    for one in comparisons:
        difference = one.difference
        rows.append(
            [
                one.name,
                words.points(difference.mean),
                words.interval(difference),
                words.interval(one.bootstrap),
                words.interval(one.beyond),
                f"{words.probability(one.permutation_p)} ({words.probability(2 / 2**difference.count)})",
                words.probability(one.adjusted_p),
                one.verdict,
                NOTHING if one.detectable is None else f"{one.detectable:.2f}",
                NOTHING if one.seeds_for_a_point is None else f"{one.seeds_for_a_point:,}",
            ]
        )
    return rows


def cost_rows(summary: BenchSummary, costs: BenchCosts) -> Rows:
    """One row per verdict: what the set is worth, and what it took."""
    rows = [
        [
            "real images",
            "set",
            "gain, points",
            "worth, real images per class",
            "its interval",
            "generator",
            "sampling",
            "training",
            "together",
            "per point",
        ]
    ]
    for regime, one in words.results(summary):
        row = [words.regime_name(regime), one.name, words.points(one.gain.difference.mean)]
        worth = words.worth_words(one.worth).removesuffix(" extra real images per class")
        interval = words.worth_interval(one.worth).removeprefix("95 % interval ")
        row += [worth or "not known", interval or NOTHING]
        took = words.costs_of(costs, regime, one.name)
        if took is None:
            row += [NOTHING] * 5
        else:
            per_point = took.break_even.seconds_per_point
            row += [
                duration(took.generator),
                "not recorded" if took.sampling is None else duration(took.sampling),
                words.signed_seconds(took.training),
                words.at_least(took) + duration(took.break_even.seconds),
                "no gain shown" if per_point is None else words.at_least(took) + duration(per_point),
            ]
        rows.append(row)
    return rows


def arm_rows(arms: Sequence[ArmSummary], costs: RegimeCosts | None = None) -> Rows:
    """One row per arm."""
    times = {} if costs is None else costs.arms
    rows = [["arm", "test accuracy, %", "95 % interval", "per seed", "validation, %", "a training", "what it is"]]
    for arm in arms:
        rows.append(
            [
                arm.name,
                f"{arm.test_accuracy.mean:.2f}",
                words.interval(arm.test_accuracy, signed=False),
                ", ".join(f"{value:.2f}" for value in arm.per_seed),
                f"{arm.validation_accuracy:.2f}",
                duration(times[arm.name]) if arm.name in times else NOTHING,
                arm.arm.meaning,
            ]
        )
    return rows


def calibration_rows(arms: Sequence[ArmSummary]) -> Rows:
    """One row per arm: how far its confidence can be believed."""
    rows = [["arm", "calibration error, points", "95 % interval", "negative log-likelihood, nats", "95 % interval"]]
    for arm in arms:
        error, likelihood = arm.calibration_error, arm.negative_log_likelihood
        rows.append(
            [
                arm.name,
                f"{error.mean:.2f}",
                words.interval(error, signed=False),
                f"{likelihood.mean:.3f}",
                NOTHING if likelihood.low is None else f"{likelihood.low:.3f} to {likelihood.high:.3f}",
            ]
        )
    return rows


def corruption_rows(arms: Sequence[ArmSummary]) -> Rows:
    """One row per arm: accuracy on corrupted test images; only the header if they were not looked at."""
    kinds = list(dict.fromkeys(kind for arm in arms for kind in arm.per_corruption))
    rows = [["arm", "corrupted, mean %", "95 % interval", *(f"{kind}, %" for kind in kinds)]]
    for arm in arms:
        if arm.corrupted_accuracy is None:
            continue
        mean = arm.corrupted_accuracy
        each = [words.percent(arm.per_corruption.get(kind)) for kind in kinds]
        rows.append([arm.name, f"{mean.mean:.2f}", words.interval(mean, signed=False), *each])
    return rows


def class_gain_rows(one: SetResult) -> Rows:
    """One row per class: what a set is worth to it."""
    rows = [["class", "gain, points", "95 % interval", "reads as", "recognised, %", "images"]]
    pairs = zip(one.classes, one.label_fidelity_per_class, one.per_class, strict=True)
    for found, recognised, images in pairs:
        gain = "not tested" if found.gain is None else words.points(found.gain.mean)
        facts = [words.percent(recognised), f"{images:,}"]
        rows.append([found.name, gain, words.interval(found.gain), found.verdict, *facts])
    return rows


def class_accuracy_rows(summary: BenchSummary, arms: Sequence[ArmSummary]) -> Rows:
    """One row per class: the accuracy of every arm on it."""
    rows = [["class", *(f"{arm.name}, %" for arm in arms)]]
    for label, name in enumerate(summary.class_names):
        rows.append([name, *(words.percent(arm.per_class[label]) for arm in arms)])
    return rows


def set_rows(regime: RegimeSummary) -> Rows:
    """One row per synthetic set: what it is like."""
    header = ["set", "images", "curated", "recognised, %", "Frechet distance", "precision", "recall", "density"]
    rows = [[*header, "coverage", "images shown to its generator"]]
    for one in regime.sets:
        quality = one.quality
        likeness = ["not measured"] * 5
        if quality is not None:
            likeness = [f"{quality.frechet:.3g}", f"{quality.precision:.3f}", f"{quality.recall:.3f}"]
            likeness += [f"{quality.density:.3f}", f"{quality.coverage:.3f}"]
        facts = [f"{one.images:,}", "yes" if one.is_curated else "no", words.percent(one.label_fidelity)]
        rows.append([one.name, *facts, *likeness, f"{one.images_seen:,}"])
    return rows


_AS_EXPECTED = {True: "yes", False: "NO", None: "too few seeds to tell"}


def control_rows(controls: Sequence[Control]) -> Rows:
    """One row per comparison whose outcome is known beforehand."""
    rows = [["control", "what must be so", "difference, points", "found", "as expected"]]
    for control in controls:
        found, is_so = control.comparison, _AS_EXPECTED[control.is_as_expected]
        difference = f"{found.name}: {words.estimate(found.difference)}"
        rows.append([control.name, control.expectation, difference, found.verdict, is_so])
    return rows


def setting_rows(values: Mapping[str, Any], prefix: str = "") -> Rows:
    """One row per setting; tables within are flattened with dots, hashes shortened."""
    rows = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            rows.extend(setting_rows(value, f"{prefix}{name}."))
        elif isinstance(value, list) and value and all(isinstance(entry, Mapping) for entry in value):
            for number, entry in enumerate(value):
                rows.append([f"{prefix}{name}.{entry.get('name', number)}", _pairs(entry)])
        else:
            rows.append([prefix + name, _value(value)])
    return rows


def _pairs(entry: Mapping[str, Any]) -> str:
    """What a table says, without its name and what it leaves out."""
    told = {name: value for name, value in entry.items() if name != "name" and value not in (None, "", [], {}, 0)}
    return ", ".join(f"{name}: {_value(value)}" for name, value in told.items())


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_value, value))
    return f"{value[:12]}…" if isinstance(value, str) and _HASH.match(value) else str(value)
