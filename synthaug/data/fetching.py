"""Which batches a process takes, and the reading of their pixels where those are not in memory."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from synthaug.core.seeding import derive_seed, sample_seeds
from synthaug.data.mixing import MixturePlan
from synthaug.data.opened import OpenMixture


@dataclass(frozen=True, eq=False)
class Share:
    """The batches of one of `world_size` processes: of as many batches in a row, each process takes its own."""

    opened: OpenMixture
    plan: MixturePlan
    rank: int
    world_size: int

    def __len__(self) -> int:
        return self.plan.epoch_slots // (self.opened.mixture.batch_size * self.world_size)

    def places(self, first: int, stop: int) -> Int64[Tensor, " n"]:
        """The slots of batches `first` to `stop - 1` of this process."""
        size = self.opened.mixture.batch_size
        starts = (torch.arange(first, stop) * self.world_size + self.rank) * size
        return (starts[:, None] + torch.arange(size)).flatten()


class Fetched(Dataset[Tensor]):
    """The pixels of an epoch's batches, read and augmented image by image; runs in worker processes."""

    def __init__(self, share: Share, epoch: int) -> None:
        self._share, self._epoch = share, epoch
        self._seed = derive_seed("transform", share.opened.mixture.seed)

    def __getitem__(self, number: int) -> UInt8[Tensor, "n c h w"]:
        share, opened = self._share, self._share.opened
        slots = share.plan.slots(self._epoch, share.places(number, number + 1))
        images = torch.empty((len(slots.sources), *opened.pools[0].shape), dtype=torch.uint8)
        for source, pool in enumerate(opened.pools):
            chosen = torch.nonzero(slots.sources == source).flatten()
            if len(chosen):
                images[chosen] = pool.read(slots.indices[chosen])
        if opened.sample_transforms is not None:
            both = opened.sample_transforms
            seeds = sample_seeds(self._seed, slots.positions).tolist()
            for row, (source, seed) in enumerate(zip(slots.sources.tolist(), seeds, strict=True)):
                images[row] = (both.synthetic if source else both.real)(images[row], seed)
        return images


def in_one_thread(_: int) -> None:
    """Keeps a worker to one thread; there is one worker for each processor already."""
    import cv2

    cv2.setNumThreads(0)
