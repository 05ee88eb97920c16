"""What synthetic sets are judged by: the real images that they are to stand beside, and a classifier of those alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from synthaug.core.console import log
from synthaug.core.errors import InputError
from synthaug.core.types import SplitRecord
from synthaug.data.sources import load_source
from synthaug.data.splits import Splits, leak, source_fingerprint
from synthaug.shards.plan import SetPlan
from synthaug.workflows.config import Count, WorkflowConfig, split_source


class JudgingConfig(WorkflowConfig):
    """Settings of a workflow that judges synthetic sets by real images."""

    panel: ClassVar = "Real images"
    reference: str | None = Field(
        None,
        description="SPEC of the real images (digits, cifar10[:ROOT], imagefolder:PATH, wds:DIR); by default the set "
        "says what its generator learned from.",
    )
    fraction: float | None = Field(
        None, description="Share of the real training images in use, in (0, 1]; by default as the generator had."
    )
    per_class_real: int | None = Field(None, description="Real training images per class in use, likewise.")
    split_seed: int | None = Field(
        None, ge=0, description="Seed of the split into train, validation and test, likewise."
    )
    image_size: int | None = Field(None, description="Crop the centre and resize to this many pixels, likewise.")
    flip: bool | None = Field(
        None, description="Whether a mirrored image still shows its class; the source knows by default (digits: no)."
    )
    judge: Path | None = Field(
        None,
        description="Folder of a classifier of the real images alone (synthaug classify --out) to recognise images "
        "with; one is trained, and kept in the cache, if not given.",
    )
    judge_steps: Count | None = Field(
        None, description="Optimiser steps of a judge that is trained, instead of six passes and at least 400."
    )

    def splits_like(self, record: SplitRecord, image_size: int) -> Splits:
        """The real images, split as they were for a generator wherever the settings do not say otherwise.

        Args:
            record: The generator's split.
            image_size: Height and width of its images.
        """
        spec = record.source if self.reference is None else self.reference
        try:
            source = load_source(spec, image_size=image_size if self.image_size is None else self.image_size)
        except InputError as error:
            if self.reference is not None:
                raise
            raise InputError(
                f"{error}. The set names these images as those of its generator; give --reference SPEC"
            ) from error
        seed = record.seed if self.split_seed is None else self.split_seed
        is_same = source_fingerprint(source) == record.source_fingerprint
        numbers: int | tuple[int, ...] | None = self.per_class_real
        if numbers is None and self.fraction is None and is_same:
            numbers = record.class_counts
        fraction = 1.0 if self.fraction is None else self.fraction
        return split_source(source, fraction=fraction, per_class_real=numbers, seed=seed, flip=self.flip)


def open_real(config: JudgingConfig, sets: Sequence[tuple[str, SetPlan]]) -> tuple[Splits, bool]:
    """The real images beside which sets are to stand.

    What the settings leave open is as it was for the generator of the first set: the source, the seed of the split and
    the training images in use.

    Args:
        config: The settings.
        sets: Where each set is, and its plan.

    Returns:
        The split, and whether its training images are exactly those that the generators saw.

    Raises:
        InputError: If sets do not match the real images, or their generators saw images that are held out here.
    """
    first = sets[0][1].generator
    splits = config.splits_like(first.split, first.image_size)
    for where, plan in sets:
        _check_matches(where, plan, splits)
    return splits, all(plan.generator.split.train_fingerprint == splits.record.train_fingerprint for _, plan in sets)


def _check_matches(where: str, plan: SetPlan, splits: Splits) -> None:
    train, generator = splits.train, plan.generator
    if plan.class_names != train.class_names:
        raise InputError(
            f"synthetic and real classes must be the same and in the same order: {where} has {list(plan.class_names)}, "
            f"{splits.record.source} has {list(train.class_names)}; give the real images as --reference"
        )
    shape = (generator.channels, generator.image_size)
    if shape != (train.channels, train.image_size):
        raise InputError(
            f"synthetic and real images must have the same channels and size: {where} has {shape}, "
            f"{splits.record.source} has {(train.channels, train.image_size)}"
        )
    record = splits.record
    if generator.split.source_fingerprint != record.source_fingerprint:
        log(
            f"warning: the generator of {where} was trained on other images ({generator.split.source}), so copies of "
            f"those are not found: they are looked for among those of {record.source}"
        )
    by_generator = (generator.split, *generator.ancestors)
    judges = [curation.judge for curation in plan.curations]
    by_judges = [seen for judge in judges for seen in (judge.split, *judge.ancestors)]
    for whose, records in (("its generator", by_generator), ("what curated it", by_judges)):
        for seen in records:  # of other sources, those judge who train on the set
            is_same = seen.source_fingerprint == record.source_fingerprint
            if is_same and seen.held_out_fingerprint != record.held_out_fingerprint:
                raise InputError(
                    f"{where}: {leak(seen, record, whose=whose)}; nothing could be compared with them. Leave "
                    "--split-seed out to take its own"
                )
    if generator.split.source_fingerprint == record.source_fingerprint:
        _warn_of_other_training_images(where, generator.split, record)


def _warn_of_other_training_images(where: str, seen: SplitRecord, record: SplitRecord) -> None:
    if seen.train_fingerprint == record.train_fingerprint:
        return
    before, here = sum(seen.class_counts), sum(record.class_counts)
    said = f"warning: the generator of {where} was trained on {before} images, here {here} are in use"
    if any(one > other for one, other in zip(seen.class_counts, record.class_counts, strict=True)):
        log(f"{said}: copies of the others are not found")
    else:
        log(f"{said}: the judge sees more than it, so a set that it curates is refused where only {before} may be used")
