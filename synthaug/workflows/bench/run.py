"""Runs the bench cell by cell; interrupted, it continues with the next missing cell."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from synthaug.classifiers.recipes import recipe_settings
from synthaug.core.console import log, progress
from synthaug.core.errors import DamageError, InputError
from synthaug.core.runtime import environment
from synthaug.core.storage import (
    append_json_line,
    check_folder,
    check_same_settings,
    read_json_lines,
    write_json,
)
from synthaug.workflows.bench.arms import Arm, arms_of
from synthaug.workflows.bench.cells import CellInputs, CellResult, run_cell
from synthaug.workflows.bench.pictures import write_pictures
from synthaug.workflows.bench.sets import SyntheticSet, open_sets
from synthaug.workflows.bench.summarise import summarise
from synthaug.workflows.bench.summary import BenchSummary
from synthaug.workflows.config import Locations
from synthaug.workflows.recipes import RecipeConfig

RESULTS_NAME = "results.jsonl"
_SETTINGS_NAME = "settings.json"


class BenchConfig(RecipeConfig):
    """Settings of `synthaug bench`; the field descriptions are the help texts."""

    synthetic: Locations = Field(
        min_length=1,
        description="The synthetic shard set to judge, a folder or URL; repeat the flag to compare several.",
    )
    out: Path = Field(description="Folder for results and report; an unfinished bench there is continued.")
    seeds: int = Field(5, description="Paired seeds; fewer than 3 give no verdict.")
    synthetic_fraction: float = Field(
        0.5, description="Share of each batch that is synthetic in mixed arms, in (0, 1]."
    )


@dataclass(frozen=True)
class BenchPlan:
    """What a bench would do.

    Attributes:
        arms: Names of the arms.
        cells: Trainings in all.
        missing_cells: Trainings still to be done.
        settings: Everything that decides the numbers.
    """

    arms: tuple[str, ...]
    cells: int
    missing_cells: int
    settings: dict[str, Any]


@dataclass(frozen=True)
class _Study:
    inputs: CellInputs
    sets: list[SyntheticSet]
    arms: tuple[Arm, ...]
    settings: dict[str, Any]
    pairs: list[tuple[Arm, int]]
    done: list[CellResult]

    @classmethod
    def of(cls, config: BenchConfig) -> _Study:
        if config.seeds < 1:
            raise InputError(f"--seeds must be at least 1, found {config.seeds}")
        if not 0.0 < config.synthetic_fraction <= 1.0:
            raise InputError(f"--synthetic-fraction must lie in (0, 1], found {config.synthetic_fraction}")
        recipe, runtime = config.resolved_recipe(), config.runtime()
        splits = config.splits()
        recipe = recipe.sized(len(splits.train))
        pretrained = config.pretrained_weights(recipe, splits)
        if pretrained is not None and pretrained.card is not None and pretrained.card.synthetic:
            raise InputError(
                f"--pretrained {pretrained.name} was trained on synthetic images ({pretrained.card.synthetic[0]}), so "
                "its real arms would have seen some; give a classifier of real images only"
            )
        sets = open_sets(config.synthetic, splits, accepts_init=config.accept_init)
        synthetic = {one.name: one.images for one in sets}
        inputs = CellInputs(
            splits,
            synthetic,
            config.synthetic_fraction,
            recipe,
            runtime,
            lambda seed: config.new_network(recipe, splits, seed, pretrained),
            has_imagenet_statistics=pretrained is not None and pretrained.is_imagenet,
        )
        settings = {
            "data": splits.record.model_dump(mode="json"),
            "flip": splits.allows_flip,
            "sets": list(synthetic),
            "synthetic": {one.name: one.plan.model_dump(mode="json") for one in sets},
            "synthetic_fingerprint": {one.name: one.images.fingerprint for one in sets},
            "synthetic_fraction": config.synthetic_fraction,
            "recipe": recipe_settings(recipe),
            "pretrained": config.pretrained,
            "pretrained_sha256": None if pretrained is None else pretrained.sha256(),
            "first_seed": config.seed,
            "device": inputs.runtime.device,
            "precision": inputs.runtime.precision,
            "compiled": inputs.runtime.compiled,
            "deterministic": inputs.runtime.deterministic,
        }
        arms = arms_of(list(synthetic))
        for arm in arms:
            data = inputs.datamodule(arm, config.seed)  # refuses now what could not be mixed later
        config.warn_of_preparation(pretrained, data.preparation)
        pairs = [(arm, config.seed + number) for number in range(config.seeds) for arm in arms]
        return cls(inputs, sets, arms, settings, pairs, _read_done(config.out, settings, pairs))

    def missing(self) -> list[tuple[Arm, int]]:
        finished = {(cell.arm, cell.seed) for cell in self.done}
        return [(arm, seed) for arm, seed in self.pairs if (arm.name, seed) not in finished]


def plan_bench(config: BenchConfig) -> BenchPlan:
    """What `bench` would do, without doing it.

    Raises:
        InputError: For anything that `bench` would refuse.
    """
    study = _Study.of(config)
    arms = tuple(arm.name for arm in study.arms)
    return BenchPlan(arms, len(study.pairs), len(study.missing()), study.settings)


def bench(config: BenchConfig) -> BenchSummary:
    """Measures the test accuracy gained by mixing synthetic sets into training, over real-only training.

    Every cell is one arm with one seed; all take the same number of steps. Finished cells are kept in results.jsonl.
    Every set has an arm of its own; all share the real-only arms.

    Raises:
        InputError: For impossible settings, a leaking or foreign set, or a folder with another bench.
        DamageError: If the shard set is damaged.
    """
    study = _Study.of(config)
    write_json(config.out / _SETTINGS_NAME, study.settings)
    config.save(config.out)
    cells = [*study.done, *_run_missing(study, config)]
    splits = study.inputs.splits
    write_pictures(config.out, splits.train, [one.images for one in study.sets])
    facts = [one.facts() for one in study.sets]
    summary = summarise(
        cells,
        sets=facts,
        class_names=splits.train.class_names,
        counts={
            "train": len(splits.train),
            "validation": len(splits.validation),
            "test": len(splits.test),
            "synthetic": sum(one.images for one in facts),
        },
        settings=study.settings,
        environment=environment(),
    )
    summary.write(config.out)
    return summary


def _run_missing(study: _Study, config: BenchConfig) -> list[CellResult]:
    missing, steps = study.missing(), study.inputs.recipe.steps or 0
    log(
        f"bench: {len(study.arms)} arms x {config.seeds} seeds, {len(missing)} of {len(study.pairs)} cells to do, "
        f"{steps} steps of {study.inputs.recipe.batch_size} each"
    )
    cells: list[CellResult] = []
    if missing:
        with progress("bench (steps)", len(missing) * steps) as advance:
            for number, (arm, seed) in enumerate(missing):
                cell = run_cell(study.inputs, arm, seed, _offset(advance, number * steps))
                append_json_line(config.out / RESULTS_NAME, cell.as_row())
                cells.append(cell)
    return cells


def _offset(advance: Callable[[int], None], base: int) -> Callable[[int], None]:
    return lambda done: advance(base + done)


def _read_done(out: Path, settings: dict[str, Any], pairs: list[tuple[Arm, int]]) -> list[CellResult]:
    check_folder(out, marker=_SETTINGS_NAME, kind="bench")
    path = out / _SETTINGS_NAME
    if not path.is_file():
        return []
    try:
        before = _flat(dict(json.loads(path.read_text(encoding="utf-8"))))
    except (ValueError, TypeError) as error:
        raise DamageError(f"{path} is damaged; choose another --out") from error
    check_same_settings(before, _flat(settings), f"the bench in {out}")
    wanted = {(arm.name, seed) for arm, seed in pairs}
    cells = {}
    for row in read_json_lines(out / RESULTS_NAME):
        try:
            cell = CellResult.model_validate(row)
        except ValidationError as error:
            raise InputError(f"{out / RESULTS_NAME} is not readable: {error.errors()[0]['msg']}") from error
        if (cell.arm, cell.seed) in wanted:
            cells[cell.arm, cell.seed] = cell
    return list(cells.values())


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings with dotted names, so that the one that differs can be named."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return flat
