"""Everything that can be chosen by name, and the checkpoints at hand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from synthaug.classifiers.networks import NETWORKS
from synthaug.classifiers.recipes import RECIPES, Recipe
from synthaug.data.batch_transforms import TRANSFORMS
from synthaug.data.sources import SOURCES
from synthaug.generators.base import backend_names, load_backend
from synthaug.generators.checkpoint import read_card
from synthaug.workflows.bench.arms import arm_meanings
from synthaug.workflows.checkpoints import local_checkpoints, packaged_checkpoints
from synthaug.workflows.curate.named import FILTERS


@dataclass(frozen=True)
class Catalogue:
    """Names and what they stand for.

    Attributes:
        generators: Backend name -> preset name -> purpose.
        checkpoints: Checkpoint (packaged name or folder) -> what it is.
        recipes: Classifier recipe -> purpose, and what to expect.
        filters: Filter of a curation -> what it removes or keeps.
        arms: Arm of a bench -> what its classifiers are trained on.
        networks: Classifier networks.
        transforms: Presets of classic augmentation.
        sources: Kinds of SPEC.
    """

    generators: dict[str, dict[str, str]]
    checkpoints: dict[str, str]
    recipes: dict[str, str]
    filters: dict[str, str]
    arms: dict[str, str]
    networks: list[str]
    transforms: list[str]
    sources: list[str]


def catalogue(below: Path) -> Catalogue:
    """Lists all names, and the checkpoints that are packaged or lie below a folder."""
    found = {**packaged_checkpoints(), **{str(path): path for path in local_checkpoints(below)}}
    return Catalogue(
        generators={name: dict(load_backend(name).presets) for name in backend_names()},
        checkpoints={name: _describe(path) for name, path in found.items()},
        recipes={name: _of_recipe(recipe) for name, recipe in RECIPES.items()},
        filters={name: kind.meaning for name, kind in FILTERS.items()},
        arms=arm_meanings(),
        networks=NETWORKS.names(),
        transforms=TRANSFORMS.names(),
        sources=SOURCES.names(),
    )


def _of_recipe(recipe: Recipe) -> str:
    return f"{recipe.purpose} ({recipe.expected})" if recipe.expected else recipe.purpose


def _describe(folder: Path) -> str:
    card = read_card(folder)
    size = f"{card.image_size}x{card.image_size}"
    return (
        f"{card.model} {card.preset}, {len(card.class_names)} classes at {size}, trained on "
        f"{sum(card.split.class_counts)} images of {card.split.source}, {card.training.steps} steps"
    )
