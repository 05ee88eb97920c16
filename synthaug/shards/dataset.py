"""Streams shards into PyTorch loaders: each sample once over all processes and workers, however few the shards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from synthaug.core.errors import DamageError
from synthaug.core.pixels import from_pil
from synthaug.core.processes import place_among_processes
from synthaug.shards.find import ShardFile, shards_of
from synthaug.shards.reader import MAX_CLASSES, Damage, OnDamage, ShardSample, iterate_shard


class StreamedSample(NamedTuple):
    """One sample of a stream.

    Attributes:
        image: uint8 pixels.
        label: Class index.
        key: Its key in the set.
    """

    image: UInt8[Tensor, "c h w"]
    label: int
    key: str


class Piece(NamedTuple):
    """The samples of a shard whose number leaves `remainder` when divided by `divisor`."""

    shard: ShardFile
    divisor: int
    remainder: int

    def split(self, part: int, parts: int) -> Piece:
        """A part of these samples."""
        return Piece(self.shard, self.divisor * parts, self.remainder + self.divisor * part)


def share(pieces: list[Piece], part: int, parts: int) -> list[Piece]:
    """One of `parts` equal shares: whole pieces as far as they go round, the rest sample by sample."""
    whole = len(pieces) // parts * parts
    return [*pieces[part:whole:parts], *(piece.split(part, parts) for piece in pieces[whole:])]


class ShardDataset(IterableDataset[StreamedSample]):
    """The samples of a shard set, or of any WebDataset shards with images and classes, in order.

    Works with any number of processes and loader workers, also more than there are shards: every sample is given once.
    The processes' shares may differ in length by some samples.

    Attributes:
        class_names: In label order; None without a manifest.
        damage: What was skipped in the last pass, in this worker.
    """

    def __init__(
        self,
        where: str | Path,
        *,
        on_damage: OnDamage = "error",
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        """Finds the shards.

        Args:
            where: Folder or pattern, path or URL.
            on_damage: "skip" leaves damaged samples out, counts them in `damage` and says so on stderr.
            rank: This process's number; that of torch.distributed if not given.
            world_size: Number of processes; that of torch.distributed if not given.

        Raises:
            InputError: If there are no shards, or the rank is outside the world.
        """
        self._name = str(where)
        self._shards, self._manifest = shards_of(where)
        self.class_names = None if self._manifest is None else self._manifest.plan.class_names
        self.damage = Damage(on_damage)
        if torch.distributed.is_available() and torch.distributed.is_initialized():  # loader workers may not know it
            rank = torch.distributed.get_rank() if rank is None else rank
            world_size = torch.distributed.get_world_size() if world_size is None else world_size
        self._rank, self._world_size = rank, world_size
        self._pieces()

    def __len__(self) -> int:
        """Samples of this process, over all its workers, if nothing is damaged.

        Raises:
            TypeError: Without a manifest: shards do not say how many samples they hold.
        """
        if self._manifest is None:
            raise TypeError(f"{self._name} has no manifest, so the number of its samples is not known")
        return sum(len(range(remainder, shard.samples or 0, step)) for shard, step, remainder in self._pieces())

    def _pieces(self) -> list[Piece]:
        rank, world_size = place_among_processes(self._rank, self._world_size)
        return share([Piece(shard, 1, 0) for shard in self._shards], rank, world_size)

    def __iter__(self) -> Iterator[StreamedSample]:
        self.damage = Damage(self.damage.policy)
        worker = get_worker_info()
        pieces = self._pieces()
        if worker is not None:
            pieces = share(pieces, worker.id, worker.num_workers)
        channels = None if self._manifest is None else self._manifest.plan.generator.channels
        classes = MAX_CLASSES if self.class_names is None else len(self.class_names)
        for shard, divisor, remainder in pieces:
            for number, sample in enumerate(iterate_shard(shard, self.damage, classes=classes)):
                if number % divisor != remainder:
                    continue
                try:
                    pixels = _pixels(sample, shard, channels)
                except DamageError as error:
                    self.damage.found(error)
                    continue
                yield StreamedSample(pixels, sample.label, sample.key)
        self.damage.report(self._name)


def _pixels(sample: ShardSample, shard: ShardFile, channels: int | None) -> UInt8[Tensor, "c h w"]:
    if channels is not None:
        return sample.pixels(shard, channels)
    picture = sample.decode(shard)
    return from_pil(picture, len(picture.getbands()))
