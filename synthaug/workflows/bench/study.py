"""A bench made ready: its regimes open and checked, its cells known, nothing trained yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthaug.classifiers.recipes import recipe_settings
from synthaug.core.errors import InputError
from synthaug.core.runtime import environment
from synthaug.core.storage import check_folder, check_same_settings
from synthaug.data.splits import Splits
from synthaug.workflows.bench.arms import Arm
from synthaug.workflows.bench.cells import Cell, CellInputs
from synthaug.workflows.bench.generators import GENERATORS_NAME, remarks_on_sets
from synthaug.workflows.bench.record import (
    STUDY_NAME,
    CellRecord,
    Extension,
    RegimeRecord,
    StudyRecord,
    View,
    read_study,
)
from synthaug.workflows.bench.regimes import Regime, open_regimes
from synthaug.workflows.bench.results import read_results
from synthaug.workflows.bench.sets import SyntheticSet
from synthaug.workflows.bench.settings import BenchConfig


@dataclass(frozen=True)
class Study:
    """A bench that can be run.

    Attributes:
        inputs: What all cells share.
        regimes: The numbers of real images.
        cells: All cells, in the order in which they are run: seed by seed, so that a part of them can be compared. Of
            arms that come to the same, one.
        record: What is written beside the results.
    """

    inputs: CellInputs
    regimes: list[Regime]
    cells: list[Cell]
    record: StudyRecord

    @classmethod
    def of(
        cls,
        config: BenchConfig,
        splits: dict[str, tuple[float | None, Splits]],
        given: list[SyntheticSet],
        made: dict[str, list[Path]],
        *,
        was_planned: bool = False,
    ) -> Study:
        """Opens and checks everything, so that a bench that has begun finds nothing amiss.

        Args:
            config: The settings.
            splits: The splits of every regime by its name.
            given: Sets for every regime, which have been checked.
            made: Sets that were made for a regime, by its name.
            was_planned: Whether it was settled before there were results that it would be extended to this.

        Raises:
            InputError: For impossible settings, a leaking or foreign set, or a folder with another bench.
            DamageError: If a set or the folder is damaged.
        """
        regimes = open_regimes(config, splits, given, made)
        first = regimes[0]
        pretrained = config.pretrained_weights(first.recipe, first.splits)
        if pretrained is not None and pretrained.card is not None and pretrained.card.synthetic:
            raise InputError(
                f"--pretrained {pretrained.name} was trained on synthetic images ({pretrained.card.synthetic[0]}), so "
                "its real arms would have seen some; give a classifier of real images only"
            )
        for regime in regimes[1:]:
            config.pretrained_weights(regime.recipe, regime.splits)
        inputs = CellInputs(config, config.runtime(), pretrained)
        cells = [
            inputs.cell(regime, view, arm, config.seed + number)
            for number in range(config.seeds)
            for regime in regimes
            for view, arm in _conditions(config, regime)
        ]
        for cell in cells[: len(cells) // config.seeds]:
            data = inputs.datamodule(cell)  # refuses now what could not be mixed later
        config.warn_of_preparation(pretrained, data.preparation)
        settings, remarks = _settings(config, inputs, first), remarks_on_sets(config, splits)
        records = [_regime_record(regime, cells, remarks) for regime in regimes]
        record = _record(config, first, records, settings, was_planned=was_planned)
        return cls(inputs, regimes, _once(cells), record)


def _once(cells: list[Cell]) -> list[Cell]:
    """One cell of each key: one that judges, if there is one."""
    found: dict[str, Cell] = {}
    for cell in cells:
        if cell.key not in found or cell.judged:
            found[cell.key] = cell
    return list(found.values())


def check_bench_folder(out: Path) -> None:
    """Refuses a folder that holds something else than a bench, or generators for one.

    Raises:
        InputError: Saying what is in the way.
    """
    has_generators = (out / GENERATORS_NAME).is_dir()
    check_folder(out, marker=GENERATORS_NAME if has_generators else STUDY_NAME, kind="bench")


def has_second_view(arm: Arm, config: BenchConfig) -> bool:
    """Whether an arm is trained again in the second view, whose steps suit the usual synthetic share only."""
    is_mixed = arm.role == "mixed" and arm.synthetic_fraction == config.synthetic_fraction
    return is_mixed or arm.role == "real"


def _conditions(config: BenchConfig, regime: Regime) -> list[tuple[View, Arm]]:
    """What is trained with every seed."""
    conditions: list[tuple[View, Arm]] = [("equal steps", arm) for arm in regime.arms]
    if regime.longer is not None:
        conditions += [("equal real epochs", arm) for arm in regime.arms if has_second_view(arm, config)]
    return conditions


def _settings(config: BenchConfig, inputs: CellInputs, regime: Regime) -> dict[str, Any]:
    """What may not change when a bench is continued; arms, sets, seeds and fractions may."""
    data = regime.splits.record
    return {
        "data": {
            "source": data.source,
            "source_fingerprint": data.source_fingerprint,
            "split_seed": data.seed,
            "held_out_fingerprint": data.held_out_fingerprint,
            "per_class_real": config.per_class_real,
        },
        "flip": regime.splits.allows_flip,
        "synthetic_fraction": config.synthetic_fraction,
        "recipe": recipe_settings(config.resolved_recipe()),
        "first_seed": config.seed,
        "accept_init": config.accept_init,
        **inputs.shared_settings(),
    }


def _record(
    config: BenchConfig, first: Regime, regimes: list[RegimeRecord], settings: dict[str, Any], *, was_planned: bool
) -> StudyRecord:
    check_bench_folder(config.out)
    here, extensions = environment(), list[Extension]()
    if (config.out / STUDY_NAME).is_file():
        before = read_study(config.out)
        check_same_settings(before.settings, settings, f"the bench in {config.out}")
        here, extensions = before.environment, _former_extensions(before, regimes)
        if not was_planned:
            extensions += _extension(config, before, regimes)
    return StudyRecord(
        source=first.splits.record.source,
        class_names=list(first.splits.train.class_names),
        seeds=[config.seed + number for number in range(config.seeds)],
        regimes=regimes,
        settings=settings,
        environment=here,
        extensions=extensions,
        was_planned=was_planned,
    )


def _former_extensions(before: StudyRecord, regimes: list[RegimeRecord]) -> list[Extension]:
    """Those that there were; what is asked for again is no longer left out."""
    asked, kept = _asked(regimes), []
    for one in before.extensions:
        left_out = tuple(words for words in one.left_out if words not in asked)
        if left_out or one.is_addition:
            kept.append(one.model_copy(update={"left_out": left_out}))
    return kept


def _extension(config: BenchConfig, before: StudyRecord, regimes: list[RegimeRecord]) -> list[Extension]:
    """What this bench adds to one with results, or leaves out of it; nothing if it does neither.

    Other numbers of real images have verdicts of their own. What had been left out before is not added.
    """
    cells = [*before.cells, *(cell for regime in regimes for cell in regime.cells)]
    # Whether a training has judged all sets does not matter here: its result could be seen.
    done = read_results(config.out, [cell.model_copy(update={"judged": ()}) for cell in cells]).done
    seen = {cell.key for cell in before.cells} & done.keys()
    pairs = [(old, new) for old in before.regimes for new in regimes if old.name == new.name]
    added = [words for old, new in pairs for cell, words in _only_in(new, old) if cell.key not in done]
    gone = [words for old, new in pairs for cell, words in _only_in(old, new) if cell.key in done]
    if before.was_planned:  # by time, and what there was no time for in full goes
        gone = []
    asked, returned = _asked(regimes), {words for one in before.extensions for words in one.left_out}
    extension = Extension(
        done=len(seen),
        seeds=len(before.seeds),
        arms=len({arm.name for regime in before.regimes for arm in regime.arms}),
        added=tuple(words for words in dict.fromkeys(added) if words not in returned),
        left_out=tuple(f"{words}, as it was" if words in asked else words for words in dict.fromkeys(gone)),
    )
    return [extension] if seen and (extension.added or extension.left_out) else []


def _asked(regimes: list[RegimeRecord]) -> set[str]:
    """All words for what a bench asks for."""
    cells = [(regime, cell) for regime in regimes for cell in regime.cells]
    arms = {_arm_words(regime, cell, with_sets=with_sets) for regime, cell in cells for with_sets in (False, True)}
    return arms | {_seed_words(cell) for _, cell in cells}


def _only_in(one: RegimeRecord, other: RegimeRecord) -> Iterator[tuple[CellRecord, str]]:
    """Trainings that the other lacks, each with the words for what it belongs to: its seed, or its arm."""
    keys, seeds = {cell.key for cell in other.cells}, {cell.seed for cell in other.cells}
    names = {(cell.arm, cell.view) for cell in other.cells}
    for cell in one.cells:
        if cell.key not in keys:
            is_known = (cell.arm, cell.view) in names
            yield cell, _arm_words(one, cell, with_sets=is_known) if cell.seed in seeds else _seed_words(cell)


def _seed_words(cell: CellRecord) -> str:
    return f"seed {cell.seed}"


def _arm_words(regime: RegimeRecord, cell: CellRecord, *, with_sets: bool) -> str:
    name = cell.arm if cell.view == "equal steps" else f"{cell.arm}, {cell.view}"
    sets = next(arm.sets for arm in regime.arms if arm.name == cell.arm)
    where = " and ".join(one.where for one in regime.sets if one.name in sets)
    return f"{name} with {where}" if with_sets and where else name


def _regime_record(regime: Regime, cells: list[Cell], remarks: Mapping[str, str]) -> RegimeRecord:
    splits, sets = regime.splits, [one.record() for one in regime.sets]
    sets = [one.model_copy(update={"remark": remarks.get(one.where, "")}) for one in sets]
    return RegimeRecord(
        name=regime.name,
        fraction=regime.fraction,
        images_per_class=regime.images_per_class,
        counts={
            "train": len(splits.train),
            "validation": len(splits.validation),
            "test": regime.test.count,
            "synthetic": sum(one.images for one in sets),
        },
        steps=regime.recipe.steps or 0,
        longer_steps=None if regime.longer is None else regime.longer.steps,
        real_epochs=regime.real_epochs,
        arms=list(regime.arms),
        sets=sets,
        cells=[cell.record() for cell in cells if cell.regime is regime],
    )
