"""What a report says of how the sets were made, and the commands that make them again."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from synthaug.core.durations import duration
from synthaug.core.errors import InputError
from synthaug.workflows.bench.summary import BenchSummary, RegimeSummary
from synthaug.workflows.report import words
from synthaug.workflows.report.blocks import Block, Code, Paragraph, Rows, Table
from synthaug.workflows.report.provenance import GeneratorCard, Provenance
from synthaug.workflows.report.words import NOTHING
from synthaug.workflows.synthesize import GenerateConfig
from synthaug.workflows.train import TrainConfig

_NO_CARD = "not in its manifest, and the card of its generator was not at hand"


def making_blocks(regime: RegimeSummary, known: Sequence[Provenance]) -> list[Block]:
    """How the sets of one number of real images were made, and what has to be said of them."""
    rows = _rows(regime, known)
    blocks: list[Block] = [Table(rows)] if len(rows) > 1 else []
    return [*blocks, *(Paragraph(f"{one.name}: {one.remark}.") for one in regime.sets if one.remark)]


def repeating_blocks(summary: BenchSummary, known: Sequence[Provenance]) -> list[Block]:
    """The commands that make the sets, as far as manifests and cards know them."""
    blocks: list[Block] = []
    seen = set()
    for regime, one in words.results(summary):
        if (one.where, one.fingerprint) in seen:
            continue
        seen.add((one.where, one.fingerprint))
        found = _of(known, one.where, one.fingerprint)
        name = one.name if len(summary.regimes) == 1 else f"{one.name}, {regime.name}"
        if found is None:
            blocks.append(Paragraph(f"How {name} was made was not recorded: no manifest of it was at hand."))
            continue
        lines, doubts = commands(found)
        blocks.append(
            Paragraph(" ".join([f"To make {name}, as far as its records tell{'.' if doubts else ':'}", *doubts]))
        )
        blocks.append(Code("\n".join(map(shlex.join, lines))))
    return [*blocks, Paragraph("To bench:")] if blocks else []


def commands(one: Provenance) -> tuple[list[list[str]], list[str]]:
    """What makes a set again, and in sentences what is not sure about that.

    Returns:
        The words of each command, and the sentences.
    """
    lines, doubts = [], []
    model = one.card.packaged if one.card is not None and one.card.packaged else one.folder
    if model != one.folder:
        doubts.append("Its generator comes with the package.")
    else:
        train, doubts = _training(one)
        lines += [train] if train else []
    place = one.where + "-drawn" * bool(one.filters)
    drawing = GenerateConfig.resolve({"model": model, **one.generate, "out": place})
    lines.append(["synthaug", "generate", *drawing.flags()])
    for number, chosen in enumerate(one.filters, 1):
        out = one.where if number == len(one.filters) else f"{one.where}-chosen-{number}"
        filters = [word for text in chosen for word in ("--filter", text)]
        lines.append(["synthaug", "curate", place, *filters, "--out", out])
        place = out
    if one.filters:
        doubts.append("Its records do not tell how its judge was trained; the command takes the usual one.")
    return lines, doubts


def _training(one: Provenance) -> tuple[list[str], list[str]]:
    """The command that trains the generator, none if there cannot be one, and what is not sure about it."""
    card, doubts = one.card, _doubts(one)
    if one.train is None:
        return [], doubts
    values = {
        "model": one.model,
        "preset": one.preset,
        **one.train,
        "images": one.images_seen if card is None else card.planned_images,
        **({} if card is None else card.settings),
        "out": one.folder,
    }
    try:
        return ["synthaug", "train", *TrainConfig.resolve(values).flags()], doubts
    except InputError:
        return [], [*doubts, "Its settings are none that `synthaug train` of this version takes."]


def _doubts(one: Provenance) -> list[str]:
    doubts, card = [], one.card
    if one.train is None:
        doubts.append(f"No setting asks for the {sum(one.real):,} real images that its generator learned from.")
    if card is None:
        doubts.append(
            "With what settings its generator was trained, and how many images were planned, is "
            f"{_NO_CARD}; the command takes those of the preset."
        )
        return doubts
    if one.images_seen < card.planned_images:
        doubts.append(
            f"The training of its generator ended early: {one.images_seen:,} of {card.planned_images:,} images were "
            f"shown, in {duration(one.seconds)}; the command shows all, unless --max-time ends it."
        )
    if card.began_elsewhere:
        doubts.append("Its generator began from another checkpoint, which the command has to be given with --init.")
    return doubts


def _rows(regime: RegimeSummary, known: Sequence[Provenance]) -> Rows:
    rows = [["set", "generator", "learned from", "images shown", "weights kept", "trained with", "drawn with"]]
    for one in regime.sets:
        found = _of(known, one.where, one.fingerprint)
        if found is None:
            continue
        shown = f"{found.images_seen:,}"
        card = found.card
        if card is not None and found.images_seen < card.planned_images:
            shown += f" of {card.planned_images:,} planned"
        facts = [f"{found.model}, preset {found.preset}", f"{sum(found.real):,} real images", shown]
        rows.append([one.name, *facts, _kept(card), _settings(card), found.drawn])
    return rows


def _kept(card: GeneratorCard | None) -> str:
    if card is None:
        return NOTHING
    return "the last" if card.kept_after is None else f"after {card.kept_after:,} images"


def _settings(card: GeneratorCard | None) -> str:
    if card is None:
        return _NO_CARD
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in card.settings.items())


def _of(known: Sequence[Provenance], where: str, fingerprint: str) -> Provenance | None:
    return next((one for one in known if (one.where, one.fingerprint) == (where, fingerprint)), None)
