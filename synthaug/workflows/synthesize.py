"""Draws a labelled set from a generator into shards; the only module that knows both."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import UInt8
from pydantic import Field
from torch import Tensor

from synthaug.core.console import log
from synthaug.core.errors import InputError
from synthaug.core.folders import Folder, LocalFolder, folder_at
from synthaug.core.processes import Processes
from synthaug.core.seeding import SampleNoise
from synthaug.shards.finish import PREVIEW_NAME, finish_set, missing_shards, short_shards
from synthaug.shards.manifest import FORMAT, MANIFEST_NAME, ShardRecord
from synthaug.shards.pipeline import publish_shards
from synthaug.shards.plan import SetPlan, ShardPlan
from synthaug.shards.resume import Mode, Work, check_continues, existing_plan, kept_images, prepare_folder
from synthaug.shards.writer import encode_images, pack_shard
from synthaug.workflows.config import Location
from synthaug.workflows.cost import COST_NAME, record_cost
from synthaug.workflows.drawing import DEFAULT_BATCH_SIZE, DrawConfig, Drawing, Numbers, chosen_shards


class GenerateConfig(DrawConfig):
    """Settings of `synthaug generate`; the field descriptions are the help texts."""

    out: Location = Field(description="Folder for the shard set, or a URL (s3://, gs://, hf://).")
    mode: Mode = Field(
        "incremental",
        description="With a set already there: incremental finishes it and refuses other settings, extend adds to it "
        "up to a larger --per-class, overwrite replaces it.",
    )
    shards: Numbers | None = Field(
        None,
        description="Make these shards only, like 0-99, or share K/N such as 3/16, for jobs that work side by side; "
        "whoever makes the last one finishes the set.",
    )


@dataclass(frozen=True)
class GeneratePlan:
    """What `generate` would do.

    Attributes:
        checkpoint: The checkpoint it takes.
        reason: Why that one.
        settings: The settings that identify every sample.
        images: Images in the whole set.
        shards: Shards in the whole set.
        missing_shards: Those of the chosen ones still to be made.
    """

    checkpoint: Path
    reason: str
    settings: SetPlan
    images: int
    shards: int
    missing_shards: int


@dataclass(frozen=True)
class GenerateResult:
    """A shard set, or the part of it that was asked for.

    Attributes:
        out: Its folder.
        checkpoint: The checkpoint it was drawn from.
        reason: Why that one.
        images: Images in the whole set.
        shards: Shards in the whole set.
        missing_shards: Those that others have still to make; 0 if the set is finished.
        new_images: Images made by this run.
        seconds: Time this run took for sampling and writing.
        images_per_second: Of this run; 0 if nothing was left to make.
        manifest: Its manifest file; None while shards are missing.
        preview: Its preview picture; None while shards are missing.
    """

    out: str
    checkpoint: Path
    reason: str
    images: int
    shards: int
    missing_shards: int
    new_images: int
    seconds: float
    images_per_second: float
    manifest: str | None
    preview: str | None


def plan_generation(config: GenerateConfig) -> GeneratePlan:
    """What `generate` would do, without doing it.

    Raises:
        InputError: For any setting that `generate` would refuse.
    """
    folder = folder_at(config.out)
    drawing = _open(config, folder)
    plan = drawing.plan
    chosen = chosen_shards(config.shards, plan.shard_count)
    missing = chosen if config.mode == "overwrite" else set(missing_shards(folder, plan)).intersection(chosen)
    return GeneratePlan(
        checkpoint=drawing.found.folder,
        reason=drawing.found.reason,
        settings=plan,
        images=plan.sample_count,
        shards=plan.shard_count,
        missing_shards=len(missing),
    )


def generate(config: GenerateConfig, *, may_begin: Callable[[], bool] | None = None) -> GenerateResult:
    """Draw a labelled set from a generator into shards; run again, it makes only what is missing.

    Under torchrun or accelerate launch, the processes share the work; the set does not depend on how many there are.

    Args:
        config: The settings.
        may_begin: Asked before each shard; with the first that may not begin, the work ends. None makes all.

    Raises:
        InputError: For impossible settings, or a folder that holds something else.
        StorageError: If the disk or store refuses; finished shards stay.
        DamageError: If a shard is not the one in the manifest or the plan; it is left as it is.
    """
    folder = folder_at(config.out)
    processes = Processes.join(config.runtime().device, is_part=config.shards is not None)
    drawing = _open(config, folder)
    plan = drawing.plan
    chosen = chosen_shards(config.shards, plan.shard_count)
    work = Work([], 0)
    if processes.is_main:
        log(f"checkpoint {drawing.found.folder} ({drawing.found.reason})")
        work = _prepare(folder, config, plan, chosen)
        if 0 < len(work.shards) < processes.world_size:
            log(
                f"warning: {len(work.shards)} shard(s) for {processes.world_size} processes, some will be idle; "
                "a smaller --shard-size gives all of them work"
            )
    is_finished, new_images, *numbers = processes.agree([int(work.is_finished), work.images, *work.shards])
    started = time.monotonic()
    mine = numbers[processes.rank :: processes.world_size]
    records = _publish(folder, drawing, mine, config.runtime().device, may_begin)
    new_images -= sum(_lacking(folder, plan.shard(number)) for number in mine if number not in records)
    processes.agree([])
    seconds = time.monotonic() - started
    missing: list[int] = []
    if processes.is_main and not is_finished:
        made = {*work.checked, *(numbers if may_begin is None else records)}
        missing = finish_set(folder, plan, records, made)
        if missing and config.mode == "extend":  # Some of those that are there may be too short.
            missing = sorted({*missing, *short_shards(folder, plan, except_for=made)})
    missing = processes.agree(missing)
    return GenerateResult(
        out=config.out,
        checkpoint=drawing.found.folder,
        reason=drawing.found.reason,
        images=plan.sample_count,
        shards=plan.shard_count,
        missing_shards=len(missing),
        new_images=new_images,
        seconds=round(seconds, 2),
        images_per_second=round(new_images / seconds, 1) if new_images else 0.0,
        manifest=None if missing else folder.where(MANIFEST_NAME),
        preview=None if missing else folder.where(PREVIEW_NAME),
    )


def make_shard(drawing: Drawing, shard: ShardPlan, *, set_format: int = FORMAT) -> bytes:
    """The bytes of one shard, drawn anew.

    Args:
        drawing: The generator and the plan.
        shard: Which one.
        set_format: Version of the on-disk format of its set.
    """
    images = [image for batch in shard.batches() for image in draw_images(drawing, batch)]
    return pack_shard(shard, images[: len(shard)], set_format=set_format)


def draw_images(drawing: Drawing, positions: range) -> list[bytes]:
    """The image files of one batch.

    Args:
        drawing: The generator and the plan.
        positions: Which samples of the set.
    """
    return encode_images(_sample(drawing, positions), drawing.plan.image_format)


def packed_size(plan: SetPlan, images: Sequence[bytes]) -> int:
    """Bytes of these first images of a set in shards."""
    return len(pack_shard(ShardPlan(plan, 0, 0, len(images)), images))


def _open(config: GenerateConfig, folder: Folder) -> Drawing:
    """Loads the generator, and refuses a folder whose set does not go together with these settings."""
    if config.mode == "overwrite" and config.shards is not None:
        raise InputError("--mode overwrite makes the whole set anew, it cannot be combined with --shards")
    before = existing_plan(folder, is_to_go=config.mode == "overwrite")
    drawing = Drawing.of(config, before)
    if before is not None:
        check_continues(folder, before, drawing.plan, config.mode)
        _warn_of_small_batches(config, drawing.plan)
    return drawing


def _warn_of_small_batches(config: GenerateConfig, plan: SetPlan) -> None:
    usual = min(DEFAULT_BATCH_SIZE, plan.shard_size)
    if config.batch_size is None and plan.batch_size < min(usual, plan.sample_count):
        log(
            f"warning: this set was begun in batches of {plan.batch_size} and goes on in them, maybe slowly; a new "
            f"set would be drawn in batches of {usual}"
        )


def _publish(
    folder: Folder, drawing: Drawing, numbers: Sequence[int], device: str, may_begin: Callable[[], bool] | None
) -> dict[int, ShardRecord]:
    """Makes the shards of this process, all at once, or one by one if it may have to stop."""
    if may_begin is None:
        return _publish_part(folder, drawing, numbers, device)
    records: dict[int, ShardRecord] = {}
    for number in numbers:
        if not may_begin():
            break
        records |= _publish_part(folder, drawing, [number], device)
    return records


def _publish_part(folder: Folder, drawing: Drawing, numbers: Sequence[int], device: str) -> dict[int, ShardRecord]:
    """Makes some shards; beside a set on a disk, notes what that took."""
    plan, images = drawing.plan, 0
    if isinstance(folder, LocalFolder):
        images = sum(_lacking(folder, plan.shard(number)) for number in numbers)
    started = time.monotonic()
    records = publish_shards(folder, plan, numbers, lambda positions: _sample(drawing, positions))
    if isinstance(folder, LocalFolder) and images:
        record_cost(folder, images, time.monotonic() - started, device)
    return records


def _lacking(folder: Folder, shard: ShardPlan) -> int:
    """Images of a shard that do not stand in the folder yet."""
    return len(shard) - len(kept_images(folder, shard))


def _prepare(folder: Folder, config: GenerateConfig, plan: SetPlan, chosen: Sequence[int]) -> Work:
    if config.mode == "overwrite":
        folder.remove(COST_NAME)
    work = prepare_folder(folder, plan, chosen, is_new=config.mode == "overwrite")
    if work.is_finished:
        return work
    # So that the file makes the same set again, whoever started this run and however the work is shared.
    names = ("sampler", "steps", "guidance", "guidance_interval", "truncation", "precision", "batch_size")
    resolved = {name: getattr(plan, name) for name in names}
    whole = config.model_copy(update={"mode": "incremental", "shards": None, **resolved})
    folder.write("config.yaml", whole.to_yaml().encode())
    return work


def _sample(drawing: Drawing, positions: range) -> UInt8[Tensor, "n c h w"]:
    samples = [drawing.plan.sample(position) for position in positions]
    labels = torch.tensor([label for label, _ in samples])
    noise = SampleNoise(drawing.plan.seed, samples, drawing.generator.spec.noise_shape)
    return drawing.generator.sample(labels, noise, drawing.settings)
