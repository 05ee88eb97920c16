"""What a report says of one number of real images."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Literal

from synthaug.workflows.bench.costs import BenchCosts
from synthaug.workflows.bench.summary import BenchSummary, RegimeSummary, SetResult
from synthaug.workflows.report import figures, tables, words
from synthaug.workflows.report.blocks import Beside, Block, Code, Heading, Paragraph, Picture, Table
from synthaug.workflows.report.making import making_blocks
from synthaug.workflows.report.provenance import Provenance

_GAINS = (
    "Columns: the mean over paired seeds with its 95 % interval (Student's t); intervals by bootstrap over seeds, and "
    "over seeds and other test images; p of the exact permutation test (with its floor for so many seeds); p of the "
    "paired t test, corrected (Holm); the smallest true difference that this test, so corrected, finds in 80 of 100 "
    "benches, and the seeds that one point would take. Luck with the test images, which more seeds do not remove, "
    "comes on top."
)
_LIKENESS = (
    "Classifiers of the real images judge the sets: recognised is the share of images that they classify as their "
    "label. Frechet distance, precision, recall, density and coverage compare a set with the validation images in "
    "their features, and mean something within this table only."
)


def regime_blocks(
    summary: BenchSummary,
    costs: BenchCosts,
    regime: RegimeSummary,
    pictures: tuple[Picture, ...],
    made: Sequence[Provenance],
) -> list[Block]:
    """All of it but a heading and its counts."""
    level: Literal[2, 3] = 2 if len(summary.regimes) == 1 else 3
    took = next((one for one in costs.regimes if one.name == regime.name), None)
    return [
        *_gains(regime, level),
        *_controls(regime, level),
        Heading("Arms", level),
        Table(tables.arm_rows(regime.arms, took)),
        *_classes(summary, regime, level),
        Heading("What the classifier was shown", level),
        Beside(pictures),
        Heading("While training", level),
        Beside((figures.validation_plot(regime), figures.loss_plot(regime))),
        *_secondary(regime, level),
        *_second_view(regime, level),
        *_sets(regime, level, made),
    ]


def counts_sentence(summary: BenchSummary, regime: RegimeSummary) -> str:
    """What was used."""
    counts, per_class = regime.counts, words.count(regime.images_per_class)
    missing = f" {regime.missing} trainings are still to be done." if regime.missing else ""
    return (
        f"{summary.source}: {counts['train']:,} real training images ({per_class} a class), {counts['synthetic']:,} "
        f"synthetic, {counts['validation']:,} to validate, {counts['test']:,} to test. Every arm took {regime.steps:,} "
        f"optimiser steps, in which real-only arms see each real image {regime.real_epochs:.1f} times, with seeds "
        f"{', '.join(map(str, summary.seeds))}. Baseline: {regime.baseline}.{missing}"
    )


def _gains(regime: RegimeSummary, level: Literal[2, 3]) -> list[Block]:
    every = [*regime.gains, *regime.comparisons]
    first = len(regime.gains)
    decide = "The first difference decides" if first == 1 else f"The first {first} differences decide"
    unsure = [words.detectable_words(one) for one in regime.gains if one.verdict not in ("helps", "hurts")]
    share = figures.share_plot(regime)
    plots = (figures.comparisons_plot(regime), figures.accuracy_plot(regime), *([share] if share else []))
    return [
        Heading("Gains", level),
        Paragraph(f"{decide}: the mixed arm of a set that validates best, over {regime.baseline}."),
        *(Paragraph(text) for text in unsure if text),
        Table(tables.gain_rows(every)),
        Paragraph(_GAINS, "note"),
        Beside(plots),
    ]


def _controls(regime: RegimeSummary, level: Literal[2, 3]) -> list[Block]:
    if not regime.controls:
        return []
    return [Heading("Controls", level), Table(tables.control_rows(regime.controls))]


def _classes(summary: BenchSummary, regime: RegimeSummary, level: Literal[2, 3]) -> list[Block]:
    blocks: list[Block] = [Heading("By class", level)]
    for one in regime.sets:
        if len(regime.sets) > 1:
            blocks.append(Paragraph(f"{one.name}: {one.gain.name}"))
        if one.classes:
            note = "Gains are on the test images, paired by seed; verdicts are corrected over the classes (Holm)."
            blocks += [Table(tables.class_gain_rows(one)), Paragraph(note, "note"), *_quotas(one)]
    return [*blocks, Paragraph("Test accuracy of every arm:"), Table(tables.class_accuracy_rows(summary, regime.arms))]


def _quotas(one: SetResult) -> list[Block]:
    """What makes a set of as many images of each class as are suggested, as far as there are so many.

    Nothing if the gains on the validation images are not known: a set that was chosen by the test images could not be
    judged by them.
    """
    if one.validated_classes is None or one.quotas is None:
        return []
    rows = [["class", "gain on validation images, points", "95 % interval", "reads as", "images", "suggested images"]]
    for found, images, quota in zip(one.validated_classes, one.per_class, one.quotas, strict=True):
        gain = "no images" if found.gain is None else words.points(found.gain.mean)
        rows.append([found.name, gain, words.interval(found.gain), found.verdict, f"{images:,}", f"{quota:,}"])
    return [
        Paragraph("For a next set, by the validation images; the test images stay unused for it, to judge it:"),
        Table(rows),
        *_choice(one, {found.name: quota for found, quota in zip(one.validated_classes, one.quotas, strict=True)}),
    ]


def _choice(one: SetResult, quotas: dict[str, int]) -> list[Block]:
    explained = (
        "Suggested are no images of a class that is hurt on the validation images, and twice as many of one that is "
        "helped there; these are few, so intervals are wide."
    )
    counts = dict(zip(quotas, one.per_class, strict=True))
    more = [name for name, quota in quotas.items() if quota > counts[name]]
    if more:
        explained += f" More have to be drawn of {', '.join(more)}."
    if not any(quota < counts[name] for name, quota in quotas.items()) or not any(quotas.values()):
        return [Paragraph(explained, "note")]
    if any("," in name or not name.isprintable() for name in quotas):
        return [Paragraph(f"{explained} No command can choose by these names of classes.", "note")]
    value = ",".join(f"{name}:{quota}" for name, quota in quotas.items())
    out = one.name.replace("/", "-") + "-chosen"
    command = shlex.join(["synthaug", "curate", one.where, "--filter", f"quota={value}", "--out", out])
    return [Paragraph(explained, "note"), Code(command)]


def _secondary(regime: RegimeSummary, level: Literal[2, 3]) -> list[Block]:
    blocks: list[Block] = [
        Heading("Calibration", level),
        Table(tables.calibration_rows(regime.arms)),
        Paragraph("How far the confidence of a classifier can be believed; both are better when smaller.", "note"),
    ]
    rows = tables.corruption_rows(regime.arms)
    if len(rows) > 1:
        explained = "Test accuracy when the test images are corrupted, each in one severity; mean: over all of these."
        blocks += [Heading("Corrupted images", level), Table(rows), Paragraph(explained, "note")]
    return blocks


def _second_view(regime: RegimeSummary, level: Literal[2, 3]) -> list[Block]:
    view = regime.equal_epochs
    if view is None:
        return []
    return [
        Heading("At equal real epochs", level),
        Paragraph(
            f"Here mixed arms take {view.steps:,} steps instead of {regime.steps:,}, so that they see each real image "
            "as often as real-only arms do; the baseline stands beside them with its own steps, and with as many."
        ),
        *([Table(tables.gain_rows(view.comparisons))] if view.comparisons else []),
        *([Table(tables.arm_rows(view.arms))] if view.arms else []),
    ]


def _sets(regime: RegimeSummary, level: Literal[2, 3], made: Sequence[Provenance]) -> list[Block]:
    return [
        Heading("Synthetic sets", level),
        *making_blocks(regime, made),
        Table(tables.set_rows(regime)),
        Paragraph(_LIKENESS, "note"),
    ]
