"""Generators of CIFAR-10 that were measured here, and what others report of theirs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from rendering.cards import backend_defaults, evaluations
from rendering.measured import EFFICIENTNET, Setting, draws_of, evaluation, evaluation_setting
from rendering.results import RESULTS, ROOT, Found, table
from synthaug.generators.checkpoint import CheckpointCard, read_card
from synthaug.workflows.checkpoints import packaged_checkpoints

REFERENCES = ROOT / "benchmarks" / "references.json"
_HARDWARE = re.compile(r"shown in \d+ s on (?P<hardware>.+?) in (?:bf16|fp32)")
_MEASURES = ("recognised", "precision", "recall", "coverage")


def field_section() -> str:
    """Ours, then theirs."""
    found = measured_generators()
    parts = [ours(found)] if found else ["None of ours was measured yet."]
    parts += [
        "What others report, below, is FID: the Fréchet distance in Inception's features, of models of the lossless "
        "images. It cannot be compared with ours, above, in other features, of models of a copy of the images: FID "
        "needs Inception's weights, which were not at hand.",
        references_table("generator"),
    ]
    return "\n\n".join(parts)


def measured_generators() -> list[Found]:
    """The results of trained generators, of whichever preset."""
    results = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("cifar10_*.json"))]
    return [found for found in results if "training_images_seen" in found["figures"]]


def ours(results: list[Found]) -> str:
    """One row for each way in which each of them was drawn from, and one of real images.

    Raises:
        ValueError: If one does not say that its images are the copy, or they were not judged alike.
    """
    for found in results:
        if "JPEG" not in found["method"]:
            raise ValueError("a generator's result does not say that its images are the JPEG copy, as its page does")
    header = [
        "generator",
        "parameters",
        "images seen",
        "trained for",
        "on",
        "evaluations",
        "samples",
        "Fréchet distance",
    ]
    header += ["in EfficientNet's features", *_MEASURES]
    setting = Setting.shared(results)
    rows = [row for found in results for row in rows_of(found)]
    real = results[0]["runs"]["real"]
    rows.append(["real validation images", *[""] * 5, f"{real['images']:,}", *figures_of_draw(real)])
    return "\n\n".join(
        [
            f"Fréchet distance, precision, recall and coverage are in the features of {setting.judge}, against "
            f"{setting.reference}; recognised is the share of samples that it gives their label. EfficientNet's "
            f"features are those of {EFFICIENTNET}, of the same images unless others are named; empty where not "
            "measured.",
            table(header, rows),
        ]
    )


def rows_of(found: Found) -> list[list[str]]:
    """One for each way in which a generator was drawn from."""
    figures, runs, settings = found["figures"], found["runs"], found["runs"]["settings"]
    name, card = packaged_as(runs["checkpoint"])
    title = f"`{name}`" if name else f"{settings['model']} `{settings['preset']}`, not packaged"
    hardware = match["hardware"] if (match := _HARDWARE.search(found["method"])) else ""
    rows = []
    for key, how in draws_of(found).items():
        guidance = float(key.removeprefix("guidance_")) if key.startswith("guidance_") else 1.0
        rows.append(
            [
                f"{title}{how and ', '}{how}{' (its default)' if how and is_default(card, guidance) else ''}",
                f"{figures['parameters']:,}",
                f"{figures['training_images_seen']:,}",
                f"{figures['training_seconds']:,.0f} s",
                hardware,
                f"{evaluations(backend_defaults(settings['model'], guidance))}",
                f"{runs[key]['images']:,}",
                *figures_of_draw(runs[key], evaluated(name, card, guidance)),
            ]
        )
    return rows


def evaluated(name: str, card: CheckpointCard | None, guidance: float) -> str:
    """EfficientNet's distance of `synthaug evaluate`, with its samples, where they were drawn so too."""
    if card is None or not is_default(card, guidance) or (found := evaluation(name, card)) is None:
        return ""
    if "efficientnet_frechet" not in found["figures"]:
        return ""
    setting = evaluation_setting(found)
    return f"{found['figures']['efficientnet_frechet']:.3f}, {setting.samples} against {setting.reference}"


def figures_of_draw(draw: Mapping[str, float], by_efficientnet: str = "") -> list[str]:
    """The distances and shares of one way of drawing, with EfficientNet's distance of others where it has none."""
    own = {one: f"{draw[one]:.3f}" for one in ("frechet", "efficientnet_frechet", *_MEASURES) if one in draw}
    shown = {"efficientnet_frechet": by_efficientnet, **own}
    return [shown.get(one, "") for one in ("frechet", "efficientnet_frechet", *_MEASURES)]


def is_default(card: CheckpointCard | None, guidance: float) -> bool:
    """Whether a packaged generator is drawn from so unless told otherwise."""
    return card is not None and guidance == (card.guidance or 1.0)


def packaged_as(checkpoint: str) -> tuple[str, CheckpointCard | None]:
    """Name and card of the packaged checkpoint with this hash."""
    cards = {name: read_card(folder) for name, folder in packaged_checkpoints().items()}
    return next(((name, card) for name, card in cards.items() if card.checkpoint == checkpoint), ("", None))


def references_table(kind: str) -> str:
    """What others report."""
    references = json.loads(REFERENCES.read_text(encoding="utf-8"))["references"]
    rows = [
        [
            one["what"],
            ", ".join(figure_in_words(name, value) for name, value in one["figures"].items()),
            one["source"],
        ]
        for one in references
        if one["kind"] == kind
    ]
    return table(["theirs", "figures", "source"], rows)


def figure_in_words(name: str, value: float) -> str:
    """A figure, in millions if it is that large, with the unit that its name ends in."""
    number = f"{value / 1e6:g} M" if value >= 1e6 else f"{value:g}"
    return f"{name.removesuffix(' (%)')} {number}{' %' if name.endswith(' (%)') else ''}"
