"""Writes one shard whole or not at all; knows nothing of where the images come from."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import TypedDict

from jaxtyping import UInt8
from torch import Tensor

from synthaug.core.pixels import encode_png
from synthaug.core.storage import atomic_file, sha256_file
from synthaug.shards.manifest import ShardRecord
from synthaug.shards.plan import SetPlan, ShardPlan


class Scores(TypedDict):
    """Judgements of a sample; -1 means not measured."""

    label_confidence: float
    nearest_train_distance: float


def write_shard(folder: Path, plan: SetPlan, shard: ShardPlan, images: UInt8[Tensor, "n c h w"]) -> ShardRecord:
    """Writes one shard under its final name, atomically, the same bytes every time.

    Args:
        folder: The shard set.
        plan: The settings of the set.
        shard: Which samples these are.
        images: Their pixels, in the order of `shard.samples`.

    Raises:
        StorageError: If the disk refuses; nothing appears under the final name.
    """
    path = folder / shard.file_name
    with atomic_file(path) as file, tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for position, ((label, index), image) in enumerate(zip(shard.samples, images, strict=True)):
            key = shard.key(position)
            _add(tar, f"{key}.png", encode_png(image))
            _add(tar, f"{key}.cls", str(label).encode())
            _add(tar, f"{key}.json", _description(plan, label, index))
    return record_of(path, plan, shard)


def record_of(path: Path, plan: SetPlan, shard: ShardPlan) -> ShardRecord:
    """The manifest's entry for a finished shard."""
    return ShardRecord(
        name=path.name,
        bytes=path.stat().st_size,
        sha256=sha256_file(path),
        samples=len(shard.samples),
        class_counts=tuple(shard.class_counts(len(plan.class_names))),
    )


def _description(plan: SetPlan, label: int, index: int) -> bytes:
    scores: Scores = {"label_confidence": -1.0, "nearest_train_distance": -1.0}
    value = {
        "class": plan.class_names[label],
        "label": label,
        "index": index,
        "seed": plan.seed,
        "model": plan.model,
        "checkpoint": plan.checkpoint,
        "sampler": plan.sampler,
        "steps": plan.steps,
        "guidance": plan.guidance,
        "scores": scores,
    }
    return json.dumps(value, ensure_ascii=False).encode()


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = len(data), 0o644, 0
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    tar.addfile(member, io.BytesIO(data))
