"""Makes a better set of a synthetic set: judges its samples, filters them in order, writes what stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Bool
from pydantic import BeforeValidator, Field
from torch import Tensor

from synthaug.core.console import log
from synthaug.core.errors import InputError
from synthaug.core.folders import folder_at
from synthaug.core.types import LabelledImages
from synthaug.data.splits import Splits
from synthaug.metrics.features import extract, pixels_extractor
from synthaug.shards.curation import CurationRecord, FilterRecord, JudgeRecord, Scores
from synthaug.shards.index import set_key
from synthaug.shards.manifest import Manifest
from synthaug.shards.reader import read_set
from synthaug.shards.select import write_selection
from synthaug.shards.verify import verify_set
from synthaug.workflows.config import Location
from synthaug.workflows.curate.filters import Scored
from synthaug.workflows.curate.named import FILTERS, NamedFilter, check_classes
from synthaug.workflows.judging import JudgingConfig, open_real
from synthaug.workflows.place import appearing, empty_place
from synthaug.workflows.real_classifier import RealClassifier, check_judging, of_label, open_judge
from synthaug.workflows.scoring import CopyDetector, find_copies, refuse_test_images

_DEFAULT = ("mislabelled", "duplicates", "memorised")


class CurateConfig(JudgingConfig):
    """Settings of `synthaug curate`; the field descriptions are the help texts."""

    folder: Location = Field(
        description="The synthetic shard set, a folder or URL.", json_schema_extra={"argument": "DIR"}
    )
    out: Location = Field(description="Folder for the new set; it must be empty or not exist.")
    filter: Annotated[tuple[str, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)] = (
        Field(
            _DEFAULT,
            min_length=1,
            description="NAME or NAME=VALUE; repeat the flag, they work in the order given; see `synthaug models`: "
            f"{', '.join(FILTERS.names())}.",
        )
    )

    def filters(self) -> list[NamedFilter]:
        """The filters in order.

        Raises:
            InputError: If one is unknown, or its value makes no sense.
        """
        return [NamedFilter.parse(text) for text in self.filter]


@dataclass(frozen=True)
class CuratePlan:
    """What `curate` would do.

    Attributes:
        images: Images of the set.
        filters: What would be applied, in order.
        train: Real training images that it would be judged by.
    """

    images: int
    filters: tuple[str, ...]
    train: int


@dataclass(frozen=True)
class FilterStep:
    """What one filter did.

    Attributes:
        filter: Its name and value.
        removed: Samples removed.
        removed_per_class: The same of each class in label order.
        left: Samples left after it.
    """

    filter: str
    removed: int
    removed_per_class: tuple[int, ...]
    left: int


@dataclass(frozen=True)
class CurateResult:
    """A curated set.

    Attributes:
        out: Its folder.
        images: Images in it.
        of: Images of the set that it was chosen from.
        class_counts: Of each class by name.
        steps: What each filter did, in order.
        judge: Network of the judge.
        validation_accuracy: Its validation accuracy, in [0, 1].
        manifest: The manifest.
    """

    out: str
    images: int
    of: int
    class_counts: dict[str, int]
    steps: tuple[FilterStep, ...]
    judge: str
    validation_accuracy: float
    manifest: str


def plan_curation(config: CurateConfig) -> CuratePlan:
    """What `curate` would do, without reading a shard.

    Raises:
        InputError: For anything that `curate` would refuse before that.
    """
    empty_place(config.out, kind="shard set")
    filters = config.filters()
    plan = Manifest.read(config.folder).plan
    check_classes(filters, plan.class_names)
    splits, _ = open_real(config, [(config.folder, plan)])
    check_judging(config, splits)
    return CuratePlan(plan.sample_count, tuple(map(_called, filters)), len(splits.train))


def curate(config: CurateConfig) -> CurateResult:
    """Choose the samples of a synthetic set that are worth having, and write them as a set of their own.

    The judge is a classifier of the real training images only. The new set says of itself what it was chosen from, how,
    and by whom; every sample keeps its bytes, and has its scores.

    Raises:
        InputError: For an unknown filter, a set for other images, or one that holds test images; if nothing is left.
        DamageError: If the set is damaged.
        StorageError: If the disk refuses; nothing appears then.
    """
    out, filters = empty_place(config.out, kind="shard set"), config.filters()
    source = Manifest.read(config.folder)
    check_classes(filters, source.plan.class_names)
    splits, _ = open_real(config, [(config.folder, source.plan)])
    verify_set(config.folder)
    images, _ = read_set(config.folder)
    judge = open_judge(config, splits, config.runtime())
    scored = _scored(config, images, splits, judge)
    filters = [*_decontamination(scored), *filters]
    kept, steps = _filtered(scored, filters)
    positions = kept.nonzero().flatten()
    curation = CurationRecord(
        source=set_key(source),
        filters=tuple(
            FilterRecord(name=one.name, value=one.value, removed=step.removed_per_class)
            for one, step in zip(filters, steps, strict=True)
        ),
        judge=_record(judge),
    )
    plan = source.plan.selected(positions.tolist(), curation)
    with appearing(out) as folder:
        write_selection(folder_at(folder), config.folder, plan, positions.tolist(), _scores(scored, positions.tolist()))
        config.save(folder)
    counts = plan.class_counts()
    if emptied := [name for name, count in counts.items() if not count]:
        log(f"warning: nothing is left of {len(emptied)} class(es): {', '.join(emptied[:10])}")
    return CurateResult(
        out=str(config.out),
        images=len(positions),
        of=len(images),
        class_counts=counts,
        steps=tuple(steps),
        judge=judge.card.architecture.network,
        validation_accuracy=judge.card.validation_accuracy,
        manifest=str(out / "manifest.json"),
    )


def _decontamination(scored: Scored) -> list[NamedFilter]:
    """What comes before all other filters: nothing that is nearly a test image stays."""
    if not scored.copies.is_test.any():
        return []
    return [NamedFilter("test_images", None, lambda scored, kept: kept & ~scored.copies.is_test)]


def _called(one: NamedFilter) -> str:
    return one.name if one.value is None else f"{one.name}={one.value}"


def _scored(config: CurateConfig, images: LabelledImages, splits: Splits, judge: RealClassifier) -> Scored:
    extractor, train = judge.extractor(), splits.train
    pixels = pixels_extractor(images.channels, images.image_size)
    detectors = [CopyDetector.of(space, splits) for space in (pixels, extractor)]
    copies = find_copies(images, detectors, splits)
    refuse_test_images(config.folder, images, copies, splits)
    features = extract(extractor, images.images, key=images.fingerprint)
    probabilities = judge.probabilities(features)
    return Scored(
        labels=images.labels,
        class_names=images.class_names,
        predicted=probabilities.argmax(dim=1),
        confidence=of_label(probabilities, images.labels),
        features=features,
        copies=copies,
        real=extract(extractor, train.images, key=train.fingerprint),
        real_labels=train.labels,
    )


def _filtered(scored: Scored, filters: Sequence[NamedFilter]) -> tuple[Bool[Tensor, " n"], list[FilterStep]]:
    kept = torch.ones_like(scored.labels, dtype=torch.bool)
    steps = []
    for one in filters:
        stays = one.apply(scored, kept) & kept
        gone = torch.bincount(scored.labels[kept & ~stays], minlength=len(scored.class_names)).tolist()
        step = FilterStep(_called(one), sum(gone), tuple(gone), int(stays.sum()))
        if not step.left:
            raise InputError(f"--filter {step.filter} leaves nothing of {int(kept.sum())} samples; choose it milder")
        steps.append(step)
        kept = stays
    return kept, steps


def _scores(scored: Scored, positions: Sequence[int]) -> list[Scores]:
    copies = scored.copies
    columns = (scored.confidence, copies.level_distance, copies.relative)
    return [Scores(*(float(column[place]) for column in columns)) for place in positions]


def _record(judge: RealClassifier) -> JudgeRecord:
    card = judge.card
    return JudgeRecord(
        network=card.architecture.network,
        weights_sha256=card.weights_sha256,
        steps=card.steps,
        validation_accuracy=card.validation_accuracy,
        split=card.split,
        ancestors=card.ancestors,
    )
