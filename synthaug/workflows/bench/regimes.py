"""The numbers of real images that a bench is done with, each with its splits, its sets and its arms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from synthaug.classifiers.recipes import Recipe, accumulation, factor_at
from synthaug.core.errors import InputError
from synthaug.data.sources import Source
from synthaug.data.splits import Splits
from synthaug.workflows.bench.arms import Arm, arms_of, counterpart_of
from synthaug.workflows.bench.record import View
from synthaug.workflows.bench.sealed import TestImages
from synthaug.workflows.bench.sets import SyntheticSet, named_apart, read_sets
from synthaug.workflows.bench.settings import BenchConfig
from synthaug.workflows.config import split_source
from synthaug.workflows.mixtures import check_synthetic


@dataclass(frozen=True)
class Regime:
    """One number of real images.

    Attributes:
        name: Like "10 %", or "20 a class".
        fraction: Share of the real training images in use; None if a number per class was asked for.
        splits: The real images, with the validation images in place of the test images, which no training may see.
        test: The test images.
        sets: The synthetic sets.
        arms: What is compared.
        recipe: Network and training settings, with the number of steps that all arms take.
        longer: The same with the steps of the second view; None without one.
    """

    name: str
    fraction: float | None
    splits: Splits
    test: TestImages
    sets: list[SyntheticSet]
    arms: tuple[Arm, ...]
    recipe: Recipe
    longer: Recipe | None

    def recipe_of(self, view: View) -> Recipe:
        """The recipe with the steps that every cell of a view takes."""
        return self.longer if view == "equal real epochs" and self.longer is not None else self.recipe

    @property
    def images_per_class(self) -> float:
        """Real training images per class in use, the mean over classes."""
        return len(self.splits.train) / len(self.splits.train.class_names)

    @property
    def real_epochs(self) -> float:
        """How often real-only arms see each real image."""
        return epochs_of(self.recipe, len(self.splits.train))


def epochs_of(recipe: Recipe, images: int) -> float:
    """Passes through so many images that the steps of a recipe come to."""
    factors, batches = accumulation(recipe.accumulate), images / recipe.batch_size
    left, epoch = float(recipe.steps or 0), 0
    while left > 0:
        steps = batches / factor_at(factors, epoch)
        if left < steps or len(factors) == 1:
            return epoch + left / steps
        left, epoch = left - steps, epoch + 1
    return float(epoch)


def split_by_fractions(config: BenchConfig, source: Source) -> dict[str, tuple[float | None, Splits]]:
    """The splits of every regime by its name, with the share of the real training images that it uses.

    Raises:
        InputError: If a share is out of range, or two come to the same.
    """
    if not config.fractions:
        splits = config.split(source)
        if config.per_class_real is not None:
            return {f"{config.per_class_real} a class": (None, splits)}
        return {_percent(config.fraction): (config.fraction, splits)}
    found: dict[str, tuple[float | None, Splits]] = {}
    for share in config.fractions:
        splits = split_source(source, fraction=share, per_class_real=None, seed=config.split_seed, flip=config.flip)
        for name, (other, known) in found.items():
            if known.record.train_fingerprint == splits.record.train_fingerprint or name == _percent(share):
                raise InputError(f"--fractions {other:g} and {share:g} come to the same images or name; give one")
        found[_percent(share)] = (share, splits)
    return found


def _percent(share: float) -> str:
    return f"{100 * share:.4g} %"


def check_given(config: BenchConfig, splits: dict[str, tuple[float | None, Splits]]) -> list[SyntheticSet]:
    """Reads the sets that `--synthetic` names, and refuses those that do not belong to the images of every regime.

    Raises:
        InputError: For a missing, leaking or foreign set.
        DamageError: If a set is damaged.
    """
    sets = read_sets(config.synthetic)
    for name, (_, parts) in splits.items():
        _check(config, sets, parts, f" (with {name} of the real images)" if len(splits) > 1 else "")
    return sets


def _check(config: BenchConfig, sets: list[SyntheticSet], splits: Splits, where: str) -> None:
    for one in sets:
        try:
            check_synthetic(one.where, one.images, one.plan, splits, accepts_init=config.accept_init)
        except InputError as error:
            raise InputError(f"{error}{where}") from error


def open_regimes(
    config: BenchConfig,
    splits: dict[str, tuple[float | None, Splits]],
    given: list[SyntheticSet],
    made: dict[str, list[Path]],
) -> list[Regime]:
    """Brings the images of every regime, their sets and their arms together.

    Args:
        config: The settings.
        splits: The splits of every regime by its name.
        given: Sets for every regime, which have been checked.
        made: Sets that were made for a regime, by its name.

    Raises:
        InputError: For impossible settings, or a leaking or foreign set.
        DamageError: If a set is damaged.
    """
    regimes = []
    for name, (fraction, parts) in splits.items():
        own = read_sets([str(folder) for folder in made.get(name, [])])
        _check(config, own, parts, "")
        sets = named_apart([*given, *own])
        arms = checked_arms(config, [one.name for one in sets])
        recipe = config.resolved_recipe().sized(len(parts.train))
        longer = None
        if config.equal_epochs:
            longer = replace(recipe, steps=round((recipe.steps or 0) / (1 - config.synthetic_fraction)))
        seen = replace(parts, test=parts.validation)
        regimes.append(Regime(name, fraction, seen, TestImages(parts.test), sets, arms, recipe, longer))
    return regimes


def checked_arms(config: BenchConfig, sets: Sequence[str]) -> tuple[Arm, ...]:
    """What is compared, of sets with these names.

    Raises:
        InputError: If a name is unknown, a table makes no sense, or an arm has no counterpart without synthetic images.
    """
    arms = arms_of(config.arms, sets, synthetic_fraction=config.synthetic_fraction, sweep=config.synthetic_fractions)
    usual = config.resolved_recipe().transform
    for arm in arms:
        if (arm.role == "mixed" or arm.is_control) and counterpart_of(arm, arms, usual) is None:
            augmentation = arm.transform or usual
            raise InputError(
                f"--arms: {arm.name} needs a real-only arm with the same augmentation ({augmentation}), or what that "
                f"gains would be put down to other differences; add {_real_arm(augmentation, usual)}"
            )
    return arms


def _real_arm(augmentation: str, usual: str) -> str:
    """What to ask for to have a real-only arm with this augmentation."""
    named = {"none": "real", "strong": "real+strong", usual: "real+classic"}
    return named.get(augmentation, f"an arm of your own with role: real and transform: {augmentation}")
