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
from synthaug.core.storage import atomic_file, cache_home, one_at_a_time, read_array
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

        What is in the cache was whole when it was put there; the shards are not read again.

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
            if not self._map(images, labels):
                indexed = IndexedSet(where, on_damage=on_damage)
                is_whole = indexed.shard_sizes == self.shard_sizes
                if not (is_whole and _keep(indexed, images, labels) and self._map(images, labels)):
                    self.shard_sizes, self.labels = indexed.shard_sizes, indexed.labels
                    self.pixels = torch.cat(list(_decoded(indexed)))

    def _map(self, images: Path, labels: Path) -> bool:
        """Takes the set from the cache, if it is there."""
        generator, count = self.manifest.plan.generator, self.manifest.sample_count
        shape = (count, generator.channels, generator.image_size, generator.image_size)
        pixels, numbers = read_array(images, "uint8", shape, is_mapped=True), read_array(labels, "int64", (count,))
        if pixels is None or numbers is None:
            return False
        self.pixels, self.labels = torch.from_numpy(pixels), torch.from_numpy(numbers)
        return True

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
