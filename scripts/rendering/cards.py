"""Model cards in the Hub's format, with a model index."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import Any

import yaml

from rendering.card_evaluation import evaluation_section, grid_section, measurements, quality_in_words
from rendering.results import duration
from synthaug.generators.base import SamplerSettings, load_backend
from synthaug.generators.checkpoint import CheckpointCard

KINDS = {"ddpm": "A class-conditional DDPM", "acgan": "An auxiliary-classifier GAN"}
_COPY = "JPEG q75"


def model_card(name: str, card: CheckpointCard) -> str:
    """The whole card."""
    size, kind = f"{card.image_size}x{card.image_size}", "grey" if card.channels == 1 else "RGB"
    sections = {
        "What it is": f"{KINDS[card.model]} for {size} {kind} images of {len(card.class_names)} classes: "
        f"{', '.join(card.class_names)}. An image is drawn for the class that is asked for.",
        "Data": data_section(card),
        "Training": training_section(card),
        "Sampler": sampler_section(name, card),
        "Evaluation": evaluation_section(name, card),
        "Grid": grid_section(name, card),
        "Intended use": INTENDED,
        "Limits": limits_section(name, card),
        "Licence": licence_section(card),
    }
    metadata = yaml.safe_dump(card_metadata(name, card), sort_keys=False, allow_unicode=True, width=120)
    body = "\n\n".join(f"## {title}\n\n{text}" for title, text in sections.items())
    return f"---\n{metadata}---\n# {name}\n\n{body}\n"


def card_metadata(name: str, card: CheckpointCard) -> dict[str, Any]:
    """What the Hub reads of it."""
    identifier, title = data_set(card)
    results = [
        {
            "task": {"type": found.task[0], "name": found.task[1]},
            "dataset": {"type": identifier, "name": title, "split": found.split},
            "metrics": [
                {"type": metric.type, "name": metric.full_name, "value": metric.value} for metric in found.metrics
            ],
        }
        for found in measurements(name, card)
    ]
    index = {"model-index": [{"name": name, "results": results}]} if results else {}
    return {
        "license": "apache-2.0",
        "library_name": "diffusers" if card.model == "ddpm" else "synthaug",
        "pipeline_tag": "unconditional-image-generation",
        "tags": ["class-conditional", card.model, "synthaug"],
        "datasets": [identifier],
        **index,
    }


def data_set(card: CheckpointCard) -> tuple[str, str]:
    """Identifier and name of what a checkpoint was trained on."""
    title = card.split.source.rpartition(":")[2]
    if title == "digits":
        return title, "scikit-learn's digits"
    return "cifar10" if title.lower().replace("-", "").startswith("cifar10") else title, title


def data_section(card: CheckpointCard) -> str:
    """What it was trained on, and what it never saw."""
    split, (_, title) = card.split, data_set(card)
    counts = sorted(set(split.class_counts))
    each = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    text = (
        f"{sum(split.class_counts)} training images of {title}, {each} of each class (split seed {split.seed}); "
        "validation and test images were never seen. "
        f"{'Mirrored images were shown too.' if card.allows_flip else 'No mirrored images were shown.'}"
    )
    if _COPY in title:
        text += (
            " These are not the original images but a copy of them as JPEG of quality 75: figures are lower than on "
            "the originals, and not comparable with those of others."
        )
    if card.ancestors:
        began = " and ".join(f"{sum(one.class_counts)} images of {one.source}" for one in card.ancestors)
        text += f" Its training began with weights that were trained on {began}."
    return text


def training_section(card: CheckpointCard) -> str:
    """What the training was."""
    training, settings = card.training, card.settings
    seen = f"{training.images_seen:,}"
    if not training.is_complete:
        seen += f" of {training.planned_images:,} planned"
    if training.kept_after is not None:
        seen += f"; the weights after {training.kept_after:,} kept, which were measured best"
    rows = {
        "preset": f"`{card.preset}`",
        "parameters": f"{training.parameters:,}",
        "images seen": seen,
        "steps": f"{training.steps:,}",
        "images a batch": f"{settings['batch_size']}",
        "time": duration(training.seconds),
        "hardware": training.hardware,
        "precision": training.precision,
        "objective": settings.get("objective"),
        "peak learning rate": f"{settings['learning_rate']:g}",
        "final loss": f"{training.loss:.4f}",
        "checkpoint": f"`{card.checkpoint}`",
    }
    return "\n".join(
        ["| | |", "| --- | --- |", *(f"| {key} | {value} |" for key, value in rows.items() if value is not None)]
    )


def backend_defaults(model: str, guidance: float | None) -> SamplerSettings:
    """The sampler settings of a backend; with other guidance, if a checkpoint names it."""
    backend = importlib.import_module(type(load_backend(model)).__module__)
    default: SamplerSettings = backend.sampler.DEFAULT_SETTINGS
    return default if guidance is None else replace(default, guidance=guidance)


def evaluations(settings: SamplerSettings) -> int:
    """Network evaluations for an image: guidance takes two a step."""
    return settings.steps * (1 if settings.guidance == 1.0 else 2)


def sampler_section(name: str, card: CheckpointCard) -> str:
    """How it draws, and the command."""
    default = backend_defaults(card.model, card.guidance)
    guidance = "no guidance" if default.guidance == 1.0 else f"guidance {default.guidance:g}"
    if card.guidance is not None:
        guidance += " (the checkpoint's own choice)"
    count = evaluations(default)
    text = (
        f"Unless told otherwise: `{default.sampler}`, {default.steps} step{'s' * (default.steps != 1)}, {guidance}: "
        f"{count} network evaluation{'s' * (count != 1)} for an image."
    )
    flags = "`--sampler`, `--steps` and `--guidance`" if card.model == "ddpm" else "`--sampler` and `--truncation`"
    return f"{text} {flags} change that.\n\n    synthaug generate --model {name} --per-class 50 --out synthetic"


INTENDED = (
    "Training data for classifiers of the same classes, mixed with the real images of the same split, and trying out "
    "what this package does. Not a source of test images, of facts about the classes, or of pictures for people."
)


def limits_section(name: str, card: CheckpointCard) -> str:
    """What not to expect."""
    total, (identifier, title) = sum(card.split.class_counts), data_set(card)
    text = (
        f"It knows {total} images of {title} and nothing else. {quality_in_words(name, card)} A bench accepts its sets "
        "only with the images and the split that it was trained on. One training, with one seed; another may turn out "
        "better or worse."
    )
    if identifier == "digits":
        text += " So few training images may be repeated: this is not a source of new handwriting."
    return text


def licence_section(card: CheckpointCard) -> str:
    """Of the weights, and of what they learnt from."""
    terms = {
        "cifar10": "CIFAR-10 (Krizhevsky 2009) comes without a licence of its own; whoever uses the images that this "
        "draws should know the terms under which they may use it.",
        "digits": "The digits are scikit-learn's copy of a data set of the UCI repository (Alpaydin and Kaynak), which "
        "is under CC BY 4.0.",
    }
    return f"Weights: Apache-2.0, as all of synthaug. {terms.get(data_set(card)[0], '')}".strip()
