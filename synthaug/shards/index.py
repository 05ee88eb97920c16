"""Random access to the samples of a finished set: where each lies in its shard, and reading it from there."""

from __future__ import annotations

import hashlib
import io
import os
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from synthaug.core.console import log
from synthaug.core.errors import DamageError, InputError, StorageError
from synthaug.core.folders import Folder, LocalFolder, folder_at, sha256_in
from synthaug.core.pixels import decode_pixels
from synthaug.core.storage import atomic_file, cache_home, read_array, sha256_json, write_bytes
from synthaug.shards.find import ShardFile, promised_shards
from synthaug.shards.manifest import Manifest, ShardRecord
from synthaug.shards.reader import FORMATS, Damage, OnDamage, iterate_shard

#: Shards that one process keeps open.
_OPEN_FILES = 128
_BLOCK = 1 << 20


def set_key(manifest: Manifest) -> str:
    """The sha256 of a manifest's contents: names what is kept of its set in the cache."""
    return sha256_json(manifest.model_dump(mode="json"))


#: Offset, length and class of each image of a shard.
_Rows = np.ndarray[Any, np.dtype[np.int64]]


class IndexedSet:
    """The samples of a finished shard set, read one by one, in any order, from shards that stay on disk.

    Shards of a set at a URL are copied to the cache once. All of a set's bytes are checked before the first sample is
    read; what was found of them is kept in the cache beside the copies.

    Attributes:
        manifest: Of the set.
        labels: The class of each sample, in the order of the shards.
        shard_sizes: Samples of each shard, without damaged ones that were skipped.
    """

    def __init__(self, where: Folder | str | Path, *, on_damage: OnDamage = "error") -> None:
        """Opens a set.

        Args:
            where: The set's folder, or its path or URL.
            on_damage: "skip" leaves damaged samples out and says so on stderr.

        Raises:
            InputError: If the set is unfinished or missing, or nothing of it is whole.
            DamageError: If a shard is not what the manifest promises.
        """
        self.manifest = Manifest.read(where)
        folder = folder_at(where) if isinstance(where, str | Path) else where
        damage = Damage(on_damage)
        local = folder if isinstance(folder, LocalFolder) else _copied(folder, self.manifest, damage)
        self._shards = promised_shards(local, self.manifest)
        self._paths = [local.path / shard.name for shard in self._shards]
        rows = _rows_of(self._shards, self._paths, self.manifest, damage)
        damage.report(str(where))
        self.shard_sizes = tuple(map(len, rows))
        joined = np.concatenate(rows)
        if not len(joined):
            raise InputError(f"{where}: at least one whole sample is needed, found none")
        self._shard_of = np.repeat(np.arange(len(rows), dtype=np.int32), self.shard_sizes)
        self._offsets, self._lengths = np.ascontiguousarray(joined[:, 0]), np.ascontiguousarray(joined[:, 1])
        self.labels: Int64[Tensor, " n"] = torch.from_numpy(np.ascontiguousarray(joined[:, 2]))
        self._open: OrderedDict[int, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self.labels)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": OrderedDict()}  # open files are not for other processes

    def images(self, indices: Int64[Tensor, " k"]) -> UInt8[Tensor, "k c h w"]:
        """Reads and decodes the samples at `indices`, in that order.

        Raises:
            DamageError: If an image is damaged.
            StorageError: If the disk refuses.
        """
        generator = self.manifest.plan.generator
        shape = (generator.channels, generator.image_size, generator.image_size)
        images = torch.empty((len(indices), *shape), dtype=torch.uint8)
        wanted, rows = indices.numpy(), images.numpy()
        columns = (self._shard_of[wanted], self._offsets[wanted], self._lengths[wanted])
        for row, (number, offset, length) in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
            try:
                data = os.pread(self._file(number), length, offset)
                pixels = decode_pixels(data, generator.channels, name="", formats=FORMATS)
            except OSError as error:
                raise StorageError(f"could not read {self._shards[number]}: {error.strerror or error}") from error
            except InputError as error:
                raise DamageError(f"{self._shards[number]}: image {wanted[row]}{error}") from error
            if pixels.shape != shape:
                found = f"{shape} pixels are promised, found {tuple(pixels.shape)}"
                raise DamageError(f"{self._shards[number]}: image {wanted[row]}: {found}")
            rows[row] = pixels.numpy()
        return images

    def _file(self, number: int) -> int:
        """The descriptor of a shard, opened if need be; the longest unused is closed for it."""
        if number in self._open:
            self._open.move_to_end(number)
            return self._open[number]
        if len(self._open) >= _OPEN_FILES:
            os.close(self._open.popitem(last=False)[1])
        descriptor = os.open(self._paths[number], os.O_RDONLY)
        if hasattr(os, "posix_fadvise"):  # the samples of a shard are wanted soon after one another, in any order
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_WILLNEED)
        self._open[number] = descriptor
        return descriptor

    def close(self) -> None:
        """Closes the open shards; they are opened again when needed."""
        while self._open:
            os.close(self._open.popitem()[1])

    def __del__(self) -> None:
        if hasattr(self, "_open"):
            self.close()


def _copied(folder: Folder, manifest: Manifest, damage: Damage) -> LocalFolder:
    """A folder in the cache with the shards of a set at a URL; those already there are not fetched again."""
    copy = LocalFolder(cache_home() / "shards" / set_key(manifest))
    copy.prepare()
    missing = [record for record in manifest.shards if not copy.has(record.name) and folder.has(record.name)]
    if missing:
        log(f"copying {len(missing)} shard(s) of {folder} to {copy}")

    def fetch(record: ShardRecord) -> None:
        digest = hashlib.sha256()
        with folder.open(record.name) as source, atomic_file(copy.path / record.name) as target:
            while block := source.read(_BLOCK):
                digest.update(block)
                target.write(block)
            if digest.hexdigest() != record.sha256 and damage.policy == "error":  # and so no copy is kept
                raise _not_promised(folder.where(record.name))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(fetch, missing))
    return copy


def _not_promised(where: str) -> DamageError:
    return DamageError(f"{where} is not the shard that its manifest promises; synthaug verify says what is damaged")


def _rows_of(shards: list[ShardFile], paths: list[Path], manifest: Manifest, damage: Damage) -> list[_Rows]:
    """The rows of all shards; kept in the cache for as long as nobody writes to a shard."""
    sizes = [record.samples for record in manifest.shards]
    stamps = [(path.stat().st_size, path.stat().st_mtime_ns) if path.is_file() else None for path in paths]
    kept = cache_home() / "indices" / f"{sha256_json([set_key(manifest), stamps])}.npy"
    if (table := read_array(kept, "int64", (sum(sizes), 3))) is not None:
        return np.split(table, np.cumsum(sizes)[:-1])
    with ThreadPoolExecutor() as pool:
        hashes = list(pool.map(_sha256, shards))
    rows = []
    for shard, found, record in zip(shards, hashes, manifest.shards, strict=True):
        is_whole = found == record.sha256
        if damage.policy == "error" and not is_whole and found is not None:
            raise _not_promised(str(shard))
        rows.append(_index(shard, manifest, damage, is_whole=is_whole))
    if not damage.messages:
        stored = io.BytesIO()
        np.save(stored, np.concatenate(rows))
        try:
            write_bytes(kept, stored.getvalue())
        except StorageError as error:
            log(f"warning: where the samples lie is not kept for later runs: {error}")
    return rows


def _sha256(shard: ShardFile) -> str | None:
    return sha256_in(shard.folder, shard.name) if shard.folder.has(shard.name) else None


def _index(shard: ShardFile, manifest: Manifest, damage: Damage, *, is_whole: bool) -> _Rows:
    """The rows of one shard; images are decoded only where its hash does not vouch for them."""
    rows = []
    for sample in iterate_shard(shard, damage, classes=len(manifest.plan.class_names)):
        try:
            if not is_whole:
                sample.pixels(shard, manifest.plan.generator.channels)
        except DamageError as error:
            damage.found(error)
        else:
            rows.append((sample.offset, len(sample.image), sample.label))
    return np.array(rows, dtype=np.int64).reshape(-1, 3)
