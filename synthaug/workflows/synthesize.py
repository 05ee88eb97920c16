"""Draws a labelled set from a generator into shards; the only module that knows both."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import UInt8
from pydantic import Field
from torch import Tensor

from synthaug.core.console import log, progress
from synthaug.core.errors import DamageError, InputError
from synthaug.core.pixels import encode_png, grid
from synthaug.core.seeding import SampleNoise
from synthaug.core.storage import check_folder, check_same_settings, write_bytes, write_text
from synthaug.generators.base import Generator, SamplerSettings, load_backend
from synthaug.shards.manifest import MANIFEST_NAME, PLAN_NAME, Manifest, read_plan, write_plan
from synthaug.shards.plan import SetPlan, ShardPlan
from synthaug.shards.reader import read_shards
from synthaug.shards.verify import check_contents, shard_damage
from synthaug.shards.writer import record_of, write_shard
from synthaug.workflows.checkpoints import FoundCheckpoint, find_checkpoint
from synthaug.workflows.config import WorkflowConfig
from synthaug.workflows.set_card import set_card

_PREVIEW_CLASSES, _PREVIEW_PER_CLASS = 10, 10


class GenerateConfig(WorkflowConfig):
    """Settings of `synthaug generate`; the field descriptions are the help texts."""

    model: str = Field(
        "ddpm",
        description="Kind of generator (takes your newest checkpoint, else the packaged), or a checkpoint folder.",
    )
    per_class: int = Field(description="Images to make of each class.")
    out: Path = Field(description="Folder for the shard set; an unfinished set there is continued.")
    sampler: str | None = Field(None, description="Sampler; the generator's default if not given.")
    steps: int | None = Field(None, description="Sampling steps; the generator's default if not given.")
    guidance: float | None = Field(None, description="Classifier-free guidance weight; 1 is none.")
    shard_size: int = Field(1000, description="Images per shard.")
    batch_size: int = Field(256, description="Images sampled at once; at most a shard.")


@dataclass(frozen=True)
class GeneratePlan:
    """What `generate` would do.

    Attributes:
        checkpoint: The checkpoint it takes.
        reason: Why that one.
        settings: The settings that identify every sample.
        images: Images in the whole set.
        shards: Shards in the whole set.
        missing_shards: Those still to be made.
    """

    checkpoint: Path
    reason: str
    settings: SetPlan
    images: int
    shards: int
    missing_shards: int


@dataclass(frozen=True)
class GenerateResult:
    """A finished shard set.

    Attributes:
        out: Its folder.
        checkpoint: The checkpoint it was drawn from.
        reason: Why that one.
        images: Images in the whole set.
        shards: Shards in the whole set.
        new_images: Images made by this run.
        seconds: Time this run took for sampling and writing.
        images_per_second: Of this run; 0 if nothing was left to make.
        manifest: Its manifest file.
        preview: Its preview picture.
    """

    out: Path
    checkpoint: Path
    reason: str
    images: int
    shards: int
    new_images: int
    seconds: float
    images_per_second: float
    manifest: Path
    preview: Path


@dataclass(frozen=True)
class _Work:
    found: FoundCheckpoint
    generator: Generator
    plan: SetPlan
    settings: SamplerSettings

    @classmethod
    def of(cls, config: GenerateConfig) -> _Work:
        for flag, value in {"--per-class": config.per_class, "--batch-size": config.batch_size}.items():
            if value < 1:
                raise InputError(f"{flag} must be at least 1, found {value}")
        if not 1 <= config.shard_size <= 10_000:
            raise InputError(f"--shard-size must lie in 1..10000, found {config.shard_size}")
        found = find_checkpoint(config.model)
        generator = load_backend(found.card.model).load(found.folder, config.runtime())
        default = generator.default_settings
        settings = SamplerSettings(
            sampler=default.sampler if config.sampler is None else config.sampler,
            steps=default.steps if config.steps is None else config.steps,
            guidance=default.guidance if config.guidance is None else config.guidance,
        )
        generator.check_settings(settings)
        plan = SetPlan(
            model=generator.spec.model,
            checkpoint=generator.spec.checkpoint,
            sampler=settings.sampler,
            steps=settings.steps,
            guidance=settings.guidance,
            seed=config.seed,
            class_names=generator.spec.class_names,
            per_class=config.per_class,
            shard_size=config.shard_size,
        )
        _check_folder(config.out, plan)
        return cls(found, generator, plan, settings)

    def missing(self, out: Path) -> list[ShardPlan]:
        return [shard for shard in self.plan.shards() if not (out / shard.file_name).is_file()]


def plan_generation(config: GenerateConfig) -> GeneratePlan:
    """What `generate` would do, without doing it.

    Raises:
        InputError: For any setting that `generate` would refuse.
    """
    work = _Work.of(config)
    return GeneratePlan(
        checkpoint=work.found.folder,
        reason=work.found.reason,
        settings=work.plan,
        images=work.plan.sample_count,
        shards=len(work.plan.shards()),
        missing_shards=len(work.missing(config.out)),
    )


def generate(config: GenerateConfig) -> GenerateResult:
    """Draw a labelled set from a generator into shards; run again, it makes only what is missing.

    Raises:
        InputError: For impossible settings, or a folder that holds something else.
        StorageError: If the disk refuses; finished shards stay.
        DamageError: If a shard is not the one in the manifest; it is left as it is.
    """
    work = _Work.of(config)
    _check_kept_shards(config.out, work.plan)
    log(f"checkpoint {work.found.folder} ({work.found.reason})")
    config.out.mkdir(parents=True, exist_ok=True)
    write_plan(config.out, work.plan)
    config.save(config.out)
    started = time.monotonic()
    shards, missing = work.plan.shards(), work.missing(config.out)
    total = sum(len(shard.samples) for shard in missing)
    if missing:
        (config.out / MANIFEST_NAME).unlink(missing_ok=True)  # It would promise shards that are not there.
        done = 0
        with progress(f"generating {work.plan.model}", total) as advance:
            for shard in missing:
                images = _sample_shard(work, shard, config.batch_size, advance, done)
                write_shard(config.out, work.plan, shard, images)
                done += len(shard.samples)
    seconds = time.monotonic() - started
    _finish(config.out, work, shards)
    return GenerateResult(
        out=config.out,
        checkpoint=work.found.folder,
        reason=work.found.reason,
        images=work.plan.sample_count,
        shards=len(shards),
        new_images=total,
        seconds=round(seconds, 2),
        images_per_second=round(total / seconds, 1) if total else 0.0,
        manifest=config.out / MANIFEST_NAME,
        preview=config.out / "preview.png",
    )


def _check_folder(out: Path, plan: SetPlan) -> None:
    check_folder(out, marker=PLAN_NAME, kind="shard set")
    existing = read_plan(out)
    if existing is not None:
        check_same_settings(existing.model_dump(), plan.model_dump(), f"the set in {out}")


def _check_kept_shards(out: Path, plan: SetPlan) -> None:
    if not (out / MANIFEST_NAME).is_file():
        for shard in plan.shards():
            if (out / shard.file_name).is_file():
                check_contents(out / shard.file_name, shard)
        return
    kept = [shard for shard in Manifest.read(out).shards if (out / shard.name).is_file()]
    damaged = [found for shard in kept if (found := shard_damage(out, shard))]
    if damaged:
        raise DamageError(f"{out} is damaged: {'; '.join(damaged)}. Delete these shards and generate again.")


def _sample_shard(
    work: _Work, shard: ShardPlan, batch_size: int, advance: Callable[[int], None], done: int
) -> UInt8[Tensor, "n c h w"]:
    batches = []
    for start in range(0, len(shard.samples), batch_size):
        samples = shard.samples[start : start + batch_size]
        labels = torch.tensor([label for label, _ in samples])
        noise = SampleNoise(work.plan.seed, samples, work.generator.spec.noise_shape)
        batches.append(work.generator.sample(labels, noise, work.settings))
        advance(done + start + len(samples))
    return torch.cat(batches)


def _finish(out: Path, work: _Work, shards: list[ShardPlan]) -> None:
    spec = work.generator.spec
    manifest = Manifest(
        plan=work.plan,
        image_size=spec.image_size,
        channels=1 if spec.channels == 1 else 3,
        allows_flip=spec.allows_flip,
        split=spec.split,
        shards=tuple(record_of(out / shard.file_name, work.plan, shard) for shard in shards),
    )
    _write_preview(out, shards)
    write_text(out / "README.md", set_card(manifest, work.found.card))
    manifest.write(out)


def _write_preview(out: Path, shards: list[ShardPlan]) -> None:
    images = read_shards([out / shards[0].file_name], name=str(out))
    rows = [members[:_PREVIEW_PER_CLASS] for members in images.indices_by_class()]
    rows = [row for row in rows if len(row)][:_PREVIEW_CLASSES]
    columns = min(len(row) for row in rows)
    chosen = torch.cat([row[:columns] for row in rows])
    picture = grid(images.images[chosen], columns, scale=max(1, 32 // images.image_size))
    write_bytes(out / "preview.png", encode_png(picture))
