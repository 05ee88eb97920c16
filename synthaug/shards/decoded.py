"""Whole sets in memory: decoded once, then kept in the cache as one array that later runs map instead of decoding."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from synthaug.core.console import log
from synthaug.core.errors import StorageError
from synthaug.core.folders import Folder
from synthaug.core.storage import atomic_file, cache_home, one_at_a_time
from synthaug.shards.index import IndexedSet, set_key
from synthaug.shards.manifest import Manifest
from synthaug.shards.reader import OnDamage

_CHUNK = 2048


class DecodedSet:
    """All samples of a finished shard set, with their pixels in memory.

    Attributes:
        manifest: Of the set.
        labels: The class of each sample, in the order of the shards.
        shard_sizes: Samples of each shard, without damaged ones that were skipped.
        pixels: The images, in the same order; pages of a file in the cache, where that can be written.
    """

    manifest: Manifest
    labels: Int64[Tensor, " n"]
    shard_sizes: tuple[int, ...]
    pixels: UInt8[Tensor, "n c h w"]

    def __init__(self, where: Folder | str | Path, *, on_damage: OnDamage = "error") -> None:
        """Takes a set from the cache, or decodes it with all processors and puts it there.

        Args:
            where: The set's folder, or its path or URL.
            on_damage: "skip" leaves damaged samples out and says so on stderr.

        Raises:
            InputError: If the set is unfinished or missing, or nothing of it is whole.
            DamageError: If a shard is not what the manifest promises.
        """
        self.manifest = Manifest.read(where)
        self.shard_sizes = tuple(record.samples for record in self.manifest.shards)
        kept = cache_home() / "decoded" / set_key(self.manifest)
        images, labels = kept / "images.npy", kept / "labels.npy"
        with one_at_a_time(kept):  # processes that train together need one to decode
            if not (images.is_file() and labels.is_file()):
                indexed = IndexedSet(where, on_damage=on_damage)
                if indexed.shard_sizes != self.shard_sizes or not _keep(indexed, images, labels):
                    self.shard_sizes, self.labels = indexed.shard_sizes, indexed.labels
                    self.pixels = torch.cat(list(_decoded(indexed)))
                    return
        self.pixels = torch.from_numpy(np.load(images, mmap_mode="c", allow_pickle=False))
        self.labels = torch.from_numpy(np.load(labels, allow_pickle=False))

    def __len__(self) -> int:
        return len(self.labels)

    def images(self, indices: Int64[Tensor, " k"]) -> UInt8[Tensor, "k c h w"]:
        """The samples at `indices`, in that order."""
        return self.pixels[indices]


def _decoded(indexed: IndexedSet) -> Iterator[UInt8[Tensor, "k c h w"]]:
    """All images in order, in pieces; decoding lets other threads go on."""

    def piece(indices: Int64[Tensor, " k"]) -> UInt8[Tensor, "k c h w"]:
        return copy.copy(indexed).images(indices)  # open files are not for other threads

    with ThreadPoolExecutor() as pool:
        yield from pool.map(piece, torch.split(torch.arange(len(indexed)), _CHUNK))


def _keep(indexed: IndexedSet, images: Path, labels: Path) -> bool:
    """Writes a set's pixels and classes to the cache; False if it cannot be written."""
    generator = indexed.manifest.plan.generator
    shape = (len(indexed), generator.channels, generator.image_size, generator.image_size)
    header: dict[str, Any] = {"descr": "|u1", "fortran_order": False, "shape": shape}
    try:
        with atomic_file(images) as file:
            np.lib.format.write_array_header_1_0(file, header)
            for pixels in _decoded(indexed):
                file.write(pixels.numpy().tobytes())
        with atomic_file(labels) as file:
            np.save(file, indexed.labels.numpy(), allow_pickle=False)
    except StorageError as error:
        log(f"warning: the decoded set is not kept for later runs: {error}")
        return False
    return True
