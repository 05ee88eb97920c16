"""Everything that a report says, in its order, whatever it is written in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from synthaug.core.durations import duration
from synthaug.core.errors import InputError
from synthaug.workflows.bench.costs import BenchCosts
from synthaug.workflows.bench.pictures import REAL_PICTURE, picture_names, pictures_folder
from synthaug.workflows.bench.summary import BenchSummary, RegimeSummary
from synthaug.workflows.report import words
from synthaug.workflows.report.blocks import Beside, Block, Code, Contents, Heading, Paragraph, Picture, Table
from synthaug.workflows.report.figures import real_images_plot
from synthaug.workflows.report.making import repeating_blocks
from synthaug.workflows.report.opening import opening
from synthaug.workflows.report.provenance import Provenance
from synthaug.workflows.report.regime import counts_sentence, regime_blocks
from synthaug.workflows.report.tables import cost_rows, setting_rows

_MEASURED = (
    "Arms differ in nothing but what their table says: same network, same number of optimiser steps, same batch size. "
    "Each seed fixes initialisation, order and augmentation for all arms, and differences are taken seed by seed.",
    "Validation images choose the baseline among the real-only arms, the arm that decides about a set among its mixed "
    "ones, and the weights that are kept of every training. The test images are used once per training, after all of "
    "that. {origin}",
    "The 95 % interval (Student's t) and the one by bootstrap are over seeds: what other seeds might have given with "
    "these test images. The one beyond these test images is over seeds and test images: what another test set of the "
    "same size might have given as well. Helps and hurts mean that the first and the last both exclude 0, and that the "
    "corrected p is below 0.05; below 3 seeds there is no verdict.",
    "The exact p is of the permutation test that flips the signs of the seeds' differences; with n seeds it cannot be "
    "below 2 / 2^n, its floor. Holm's correction is among the differences that decide about the sets, and separately "
    "among all others, each with one number of real images; there is none across numbers of real images.",
    "All of this is for one split of the data, and one generator of each kind.",
)


def content(
    summary: BenchSummary,
    costs: BenchCosts,
    folder: Path,
    names: dict[str, list[str]],
    command: str,
    made: Sequence[Provenance],
) -> list[Block]:
    """The whole report.

    Args:
        summary: What was found.
        costs: What it took.
        folder: Where the pictures are.
        names: The synthetic sets of all numbers of real images, also of those that have nothing to compare yet.
        command: What repeats the bench.
        made: How the sets were made, as far as that is known.

    Raises:
        InputError: If a picture is missing.
    """
    is_alone = len(summary.regimes) == 1
    found = {regime.name for regime in summary.regimes}
    blocks = opening(summary, costs, [name for name in names if name not in found])
    blocks += [Paragraph(counts_sentence(summary, summary.regimes[0]), "lead")] if is_alone else _contents(summary)
    blocks += _overall(summary, costs)
    for number, regime in enumerate(summary.regimes):
        if not is_alone:
            blocks.append(Heading(_heading(regime), anchor=f"regime-{number + 1}"))
            blocks.append(Paragraph(counts_sentence(summary, regime), "lead"))
        blocks += regime_blocks(summary, costs, regime, _pictures(regime, folder, names), made)
    return [
        *blocks,
        Heading("How it was measured", anchor="measured"),
        *(Paragraph(text.format(origin=_origin(summary))) for text in _MEASURED),
        Heading("To repeat it", anchor="settings"),
        *repeating_blocks(summary, made),
        Code(command),
        Table([["setting", "value"], *setting_rows(summary.settings)]),
        Paragraph(f"All trainings one after another: {duration(costs.seconds)}.", "note"),
        Heading("Environment"),
        Table([["what", "which"], *setting_rows(summary.environment)]),
    ]


def _origin(summary: BenchSummary) -> str:
    """What is known of what the generators have seen."""
    if summary.settings.get("accept_init"):
        return (
            "Generators or classifiers that began with other images were accepted (--accept-init); that these hold no "
            "validation or test image was not checked."
        )
    return "No generator saw a validation or test image, by the records that travel with the sets."


def _heading(regime: RegimeSummary) -> str:
    if regime.fraction is None:
        return f"With {regime.name}"
    return f"With {regime.name} of the real images ({words.count(regime.images_per_class)} a class)"


def _pictures(regime: RegimeSummary, folder: Path, names: dict[str, list[str]]) -> tuple[Picture, ...]:
    """The grids of what the classifiers were shown."""
    sets = names[regime.name]
    where = pictures_folder(folder, list(names).index(regime.name), len(names))
    captions = ["Real training images, one class a row"]
    captions += [f"Synthetic images{'' if len(sets) == 1 else f' of {name}'}, one class a row" for name in sets]
    pictures = []
    for file, caption in zip([REAL_PICTURE, *picture_names(len(sets))], captions, strict=True):
        path = where / file
        if not path.is_file():
            raise InputError(f"{path} is missing; run the same bench command again to restore it")
        alternative = "real training images" if file == REAL_PICTURE else "synthetic images"
        pictures.append(Picture(path, path.relative_to(folder).as_posix(), caption, alternative))
    return tuple(pictures)


def _contents(summary: BenchSummary) -> list[Block]:
    entries = [(words.regime_name(regime), f"regime-{number + 1}") for number, regime in enumerate(summary.regimes)]
    return [Contents((*entries, ("how it was measured", "measured"), ("to repeat it", "settings")))]


def _overall(summary: BenchSummary, costs: BenchCosts) -> list[Block]:
    if not any(True for _ in words.results(summary)):
        return []
    plot = real_images_plot(summary)
    machines = sorted({name for one in costs.regimes for took in one.sets.values() for name in took.hardware})
    drawn = f" Images were drawn on {'; '.join(machines)}." if machines else ""
    note = Paragraph(
        "Worth: so many extra real images per class would have gained the baseline as much, between the numbers of "
        "them that were tried; its interval stops at 0 and at the last of those, and beside that one it is not known. "
        "Training: one training of the arm that decides − one of the baseline. Together "
        f"with generator and sampling, over the points gained, they make the seconds per point.{drawn}",
        "note",
    )
    table = Table(cost_rows(summary, costs))
    return [Heading("What it is worth, and what it took"), table, note, *([Beside((plot,))] if plot else [])]
