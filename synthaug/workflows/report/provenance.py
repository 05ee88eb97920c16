"""How the sets of a bench were made: read from them once, and kept beside the report for when they are elsewhere."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from synthaug.core.errors import DamageError, InputError
from synthaug.core.folders import is_url
from synthaug.core.storage import write_json
from synthaug.generators.checkpoint import CARD_NAME, CheckpointCard, read_card
from synthaug.shards.manifest import Manifest
from synthaug.shards.plan import GeneratorRecord, SetPlan
from synthaug.workflows.bench import BenchConfig, BenchSummary
from synthaug.workflows.bench.summary import RegimeSummary, SetResult
from synthaug.workflows.checkpoints import packaged_checkpoints
from synthaug.workflows.curate.named import FILTERS
from synthaug.workflows.drawing import DEFAULT_BATCH_SIZE
from synthaug.workflows.report import words
from synthaug.workflows.train import TrainConfig

PROVENANCE_NAME = "provenance.json"
#: Sets that one was chosen from, one after another, that are looked at for where its generator is.
_MOST_STEPS = 8


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GeneratorCard(_Frozen):
    """What the card of a generator says of its training.

    Attributes:
        planned_images: Images that were to be shown to it.
        kept_after: Images seen when the weights kept were measured best; None for those at the end.
        began_elsewhere: Whether it began from another checkpoint.
        settings: Of `synthaug train`, all that are known there.
        packaged: What it is called if it comes with the package.
    """

    planned_images: int
    kept_after: int | None
    began_elsewhere: bool
    settings: dict[str, Any]
    packaged: str


class Provenance(_Frozen):
    """How one set was made.

    Attributes:
        where: Its folder.
        fingerprint: Of its pixels and labels.
        model: Kind of its generator.
        preset: Preset of that.
        real: Real images that it learned from, by class.
        images_seen: Images that were shown to it.
        seconds: Time that took.
        card: What its card says; None if that was not at hand.
        folder: Where its commands put the generator.
        train: Settings of `synthaug train` that say which real images; None where none of them can.
        generate: Settings of `synthaug generate` that are not its defaults, or that depend on the machine.
        drawn: What drew the images, in words.
        filters: Those of each curation, oldest first.
    """

    where: str
    fingerprint: str
    model: str
    preset: str
    real: tuple[int, ...]
    images_seen: int
    seconds: float
    card: GeneratorCard | None
    folder: str
    train: dict[str, Any] | None
    generate: dict[str, Any]
    drawn: str
    filters: list[list[str]]


class _Known(_Frozen):
    sets: list[Provenance]


def refresh_provenance(folder: Path, summary: BenchSummary, config: BenchConfig) -> list[Provenance]:
    """What is known of the sets of a bench, and writes it beside its report.

    What was known before of a set stays, so that neither its loss nor another set in its place changes it.

    Args:
        folder: Of the bench.
        summary: What it found.
        config: Its settings.

    Raises:
        InputError: If what was kept is not readable.
    """
    before = {(one.where, one.fingerprint): one for one in _read(folder)}
    found: dict[tuple[str, str], Provenance] = {}
    for regime, one in words.results(summary):
        key = one.where, one.fingerprint
        known = found.get(key) or before.get(key)
        if known is None or known.card is None:
            known = _of_set(summary, regime, one, config) or known
        if known is not None:
            found[key] = known
    write_json(folder / PROVENANCE_NAME, _Known(sets=list(found.values())).model_dump(mode="json"))
    return list(found.values())


def _read(folder: Path) -> list[Provenance]:
    path = folder / PROVENANCE_NAME
    if not path.is_file():
        return []
    try:
        return _Known.model_validate(json.loads(path.read_bytes())).sets
    except (ValidationError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is not readable; remove it, and it is made again from the sets") from error


def _of_set(summary: BenchSummary, regime: RegimeSummary, one: SetResult, config: BenchConfig) -> Provenance | None:
    """What manifest and card say; None if the set is not there, or another."""
    if is_url(one.where):
        return None  # a report asks no network
    try:
        plan = Manifest.read(one.where).plan
    except (InputError, DamageError):
        return None
    generator = plan.generator
    if (plan.label_counts(), generator.images_seen) != (one.per_class, one.images_seen):
        return None
    card, packaged = _card_of(plan, Path(one.where))
    return Provenance(
        where=one.where,
        fingerprint=one.fingerprint,
        model=generator.model,
        preset=generator.preset,
        real=generator.split.class_counts,
        images_seen=generator.images_seen,
        seconds=generator.training_seconds,
        card=None if card is None else _said_by(card, packaged),
        folder=_folder(one.where, config),
        train=_real_images(summary, regime, generator, config),
        generate=_drawing(plan),
        drawn=_drawn(plan),
        filters=[[_filter(entry.name, entry.value) for entry in curation.filters if entry.name in FILTERS.names()]
                 for curation in plan.curations],
    )  # fmt: skip


def _filter(name: str, value: str | None) -> str:
    return name if value is None else f"{name}={value}"


def _card_of(plan: SetPlan, where: Path) -> tuple[CheckpointCard | None, str]:
    """The card of the generator, and its name if it is packaged; by its hash, from where sets have it."""
    packaged = packaged_checkpoints()
    for name, folder in [*(("", hint) for hint in _hints(where)), *packaged.items()]:
        if (folder / CARD_NAME).is_file():
            with contextlib.suppress(InputError):
                card = read_card(folder)
                if card.checkpoint == plan.generator.checkpoint:
                    return card, name or next((one for one, path in packaged.items() if path == folder), "")
    return None, ""


def _hints(where: Path) -> Iterator[Path]:
    """Where the generator of a set may be."""
    yield where.parent / "generator"
    for _ in range(_MOST_STEPS):
        try:
            settings = yaml.safe_load((where / "config.yaml").read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            return
        if not isinstance(settings, dict):
            return
        if isinstance(settings.get("model"), str):
            yield Path(settings["model"])
        if not isinstance(settings.get("folder"), str):
            return
        where = Path(settings["folder"])


def _said_by(card: CheckpointCard, packaged: str) -> GeneratorCard:
    own = ("model", "preset", "images", "init", "out")
    settings = {
        name: value
        for name, value in card.settings.items()
        if name in TrainConfig.model_fields and name not in own and isinstance(value, str | int | float)
    }
    return GeneratorCard(
        planned_images=card.training.planned_images,
        kept_after=card.training.kept_after,
        began_elsewhere=bool(card.ancestors),
        settings=settings,
        packaged=packaged,
    )


def _folder(where: str, config: BenchConfig) -> str:
    """Where the bench keeps the generator of a set that it makes; else beside the set."""
    if config.generator_per_fraction and Path(where).name == f"synthetic-{config.per_class}":
        return str(Path(where).parent / "generator")
    return where.rstrip("/") + "-generator"


def _real_images(
    summary: BenchSummary, regime: RegimeSummary, generator: GeneratorRecord, config: BenchConfig
) -> dict[str, Any] | None:
    """The settings by which a generator learns from the real images that this one learned from."""
    split, data = generator.split, summary.settings.get("data", {})
    is_same = split.source_fingerprint == data.get("source_fingerprint")
    settings: dict[str, Any] = {"data": summary.source if is_same else split.source, "split_seed": split.seed}
    if is_same and config.image_size is not None:
        settings["image_size"] = config.image_size
    if config.flip is not None or generator.allows_flip != summary.settings.get("flip", generator.allows_flip):
        settings["flip"] = generator.allows_flip
    if is_same and regime.fraction is not None and sum(split.class_counts) == regime.counts["train"]:
        return settings | {"fraction": regime.fraction}
    if len(set(split.class_counts)) == 1:
        return settings | {"per_class_real": split.class_counts[0]}
    return None


def _drawing(plan: SetPlan) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "per_class": plan.per_class,
        "classes": _classes(plan),
        "sampler": plan.sampler,
        "steps": plan.steps,
        "guidance": plan.guidance,
        "guidance_interval": plan.guidance_interval,
        "truncation": plan.truncation,
        "seed": plan.seed,
        "precision": plan.precision,
        "compile": plan.compiled,
        "shard_size": plan.shard_size,
        "image_format": plan.image_format,
    }
    if plan.batch_size != min(DEFAULT_BATCH_SIZE, plan.shard_size, plan.drawn_count):
        settings["batch_size"] = plan.batch_size
    return {name: value for name, value in settings.items() if value is not None}


def _classes(plan: SetPlan) -> str | None:
    """What asks for the classes drawn; None if all are."""
    if len(plan.classes) == len(plan.class_names):
        return None
    names = [plan.class_names[label] for label in plan.classes]
    can_be_named = len(names) == 1 or all("," not in name and name == name.strip() for name in names)
    return ",".join(names if can_be_named else map(str, plan.classes))


def _drawn(plan: SetPlan) -> str:
    steps = "1 step" if plan.steps == 1 else f"{plan.steps} steps"
    parts = [f"sampler {plan.sampler}", steps, f"guidance {plan.guidance:g}"]
    if plan.guidance_interval is not None:
        parts.append("of noise {:g} to {:g}".format(*plan.guidance_interval))
    if plan.truncation is not None:
        parts.append(f"truncation {plan.truncation:g}")
    return ", ".join([*parts, f"seed {plan.seed}", plan.precision])
