"""The loader of mixed training batches, for plain loops as for Lightning."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from synthaug.core.errors import InputError
from synthaug.core.runtime import available_memory, processors
from synthaug.core.seeding import derive_seed, sample_seeds, uniforms
from synthaug.core.storage import sha256_json
from synthaug.data.batch_mixing import MIX_DRAWS, mix_batch
from synthaug.data.mixing import MixturePlan
from synthaug.data.mixture import Batch, Mixture, SyntheticImages
from synthaug.data.opened import OpenMixture
from synthaug.data.preparation import Preparation
from synthaug.data.splits import Splits

#: Slots that are planned at a time.
_PLANNED = 32_768
#: Images in memory that are augmented at a time.
_AUGMENTED = 512


class _Block(NamedTuple):
    """All that is known of some batches in a row before their pixels are fetched."""

    rows: Int64[Tensor, " n"]
    sources: Int64[Tensor, " n"]
    indices: Int64[Tensor, " n"]
    is_synthetic: Bool[Tensor, " n"]
    labels: Int64[Tensor, " n"]
    weights: Float[Tensor, " n"]
    uniforms: Float[Tensor, "n draws"]


@dataclass(frozen=True, eq=False)
class _Share:
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


class _Fetched(Dataset[Tensor]):
    """The pixels of an epoch's batches, read and augmented image by image; runs in worker processes."""

    def __init__(self, share: _Share, epoch: int) -> None:
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


def _alone(_: int) -> None:
    """Keeps a worker to one thread; there is one worker for each processor already."""
    import cv2

    cv2.setNumThreads(0)


class MixedLoader:
    """Mixed, augmented training batches, in an order that depends on (seed, epoch) only.

    Iterating gives one epoch; the next iteration gives the next one. Every process gets as many batches, all of them
    full. Where all images are in memory they are held on the device as one array, gathered and augmented there;
    otherwise workers read them. The composition of each batch, its images and their augmentation are the same.

    Attributes:
        epoch: The epoch in progress, or the next one before it is begun.
    """

    def __init__(
        self,
        opened: OpenMixture,
        *,
        device: torch.device | str = "cpu",
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        """Takes one process's share of a mixture.

        Args:
            opened: The mixture.
            device: Where batches are wanted.
            rank: This process's number; that of torch.distributed if not given.
            world_size: Number of processes; that of torch.distributed if not given.

        Raises:
            InputError: If the rank is outside the world, or the mixture has no synthetic image in an epoch.
        """
        is_distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        if rank is None:
            rank = torch.distributed.get_rank() if is_distributed else 0
        if world_size is None:
            world_size = torch.distributed.get_world_size() if is_distributed else 1
        if not 0 <= rank < world_size:
            raise InputError(f"the rank must lie in 0..{world_size - 1}, found {rank}")
        self.epoch = 0
        self._opened, self._device = opened, torch.device(device)
        self._share = _Share(opened, opened.plan(world_size), rank, world_size)
        self._is_begun = False
        self._done = self._synthetic = 0
        pools, mixture = opened.pools, opened.mixture
        self._first_row = torch.tensor([0, *(len(pool) for pool in pools[:-1])]).cumsum(0)
        self._labels = torch.cat([pool.labels for pool in pools])
        certain, smoothing = torch.eye(opened.class_count), mixture.synthetic_label_smoothing
        smoothed = certain * (1 - smoothing) + smoothing / opened.class_count
        self._targets = torch.cat([certain, smoothed]).to(self._device)
        self._transform_seed = derive_seed("transform", mixture.seed)
        self._mixes = mixture.mixup > 0 or mixture.cutmix > 0
        self._draws = opened.batch_transform.draws + (MIX_DRAWS if self._mixes else 0)
        self._resident = self._held()

    def _held(self) -> UInt8[Tensor, "n c h w"] | None:
        """All images as one array on the device, if they are in memory and fit there."""
        pixels = [pool.pixels for pool in self._opened.pools]
        held = [one for one in pixels if one is not None]
        if len(held) < len(pixels) or self._opened.sample_transforms is not None:
            return None
        if self._device.type != "cpu" and 2 * sum(one.nbytes for one in held) > available_memory(self._device):
            return None
        if len(held) == 1:
            return held[0].to(self._device)
        joined = torch.empty((len(self._labels), *held[0].shape[1:]), dtype=torch.uint8, device=self._device)
        for part, one in zip(torch.split(joined, [len(one) for one in held]), held, strict=True):
            part.copy_(one)
        return joined

    def __len__(self) -> int:
        """Batches of an epoch, the same in all processes."""
        return len(self._share)

    @property
    def preparation(self) -> Preparation:
        """From pixels to what networks see, for validation images and all others."""
        return self._opened.preparation

    @property
    def observed_fraction(self) -> float:
        """Synthetic share of the images given in the epoch in progress, or in the last one; nan before any."""
        return self._synthetic / (self._done * self._opened.mixture.batch_size) if self._done else math.nan

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch that the next iteration gives, from its beginning."""
        self.epoch, self._done, self._synthetic, self._is_begun = epoch, 0, 0, False

    def state_dict(self) -> dict[str, Any]:
        """Where the loader is, after the last batch it gave."""
        world_size, size = self._share.world_size, self._opened.mixture.batch_size
        return {
            "plan": self._fingerprint(),
            "epoch": self.epoch,
            "images": self._done * world_size * size,
            "synthetic_fraction": self.observed_fraction,
            "images_per_step": world_size * size,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where a loader was: the next iteration gives the rest of its epoch.

        The number of processes may be another if as many images as before are trained on in a step.

        Raises:
            InputError: If the state is that of another mixture, or of another number of images in a step.
        """
        together = self._share.world_size * self._opened.mixture.batch_size
        if state["images_per_step"] != together:
            raise InputError(
                f"the training to be resumed took {state['images_per_step']} images in a step, this one takes "
                f"{self._share.world_size} x {self._opened.mixture.batch_size} = {together}; change the batch size so "
                "that processes times batch size is the same, and no image is lost or seen twice"
            )
        if state["plan"] != self._fingerprint():
            raise InputError("the training to be resumed mixed other images, or in another way; repeat its settings")
        self.epoch, self._done, self._is_begun = state["epoch"], state["images"] // together, False
        images = self._done * self._opened.mixture.batch_size
        self._synthetic = round(state["synthetic_fraction"] * images) if images else 0

    def _fingerprint(self) -> str:
        """Names everything that decides which image comes when, and how it is augmented."""
        mixture, plan = self._opened.mixture, self._share.plan
        facts = [repr(plan.orders), repr(plan.weights), repr(plan.schedule), plan.epochs, plan.epoch_slots]
        return sha256_json([*facts, plan.batching, plan.seed, str(mixture.transform), mixture.mixup, mixture.cutmix])

    def __iter__(self) -> Iterator[Batch]:
        # Nothing happens before the first batch is asked for: Lightning makes iterators that it does not use.
        if self._is_begun or self._done >= len(self):
            self.set_epoch(self.epoch + 1)
        self._is_begun = True
        size = self._opened.mixture.batch_size
        fetched: Iterator[Tensor] = iter(self._fetching() if self._resident is None else ())
        step = max(1, _PLANNED // size)
        for first in range(self._done, len(self), step):
            planned = self._planned(first, min(first + step, len(self)))
            synthetic = planned.is_synthetic.view(-1, size).sum(1).tolist()
            block = _Block._make(column.to(self._device) for column in planned)
            parts = map(_Block._make, zip(*(torch.split(column, size) for column in block), strict=True))
            for part, pixels, count in zip(parts, self._augmented(block, fetched), synthetic, strict=True):
                batch = self._finished(pixels, part)
                self._done += 1  # before it is given away: a state taken while it is trained on counts it
                self._synthetic += count
                yield batch

    def _augmented(self, block: _Block, fetched: Iterator[Tensor]) -> Iterator[UInt8[Tensor, "n c h w"]]:
        """The pixels of a block's batches; those held in memory are augmented several batches at a time."""
        opened, size, held = self._opened, self._opened.mixture.batch_size, self._resident
        transform = opened.batch_transform
        together = size if held is None else size * max(1, _AUGMENTED // size)
        for rows, drawn in zip(torch.split(block.rows, together), torch.split(block.uniforms, together), strict=True):
            pixels = next(fetched) if held is None else held.index_select(0, rows)
            pixels = pixels.to(self._device, non_blocking=True)
            yield from torch.split(transform.apply(pixels, drawn[:, : transform.draws], opened.allows_flip), size)

    def _fetching(self) -> DataLoader[Tensor]:
        workers = self._opened.mixture.workers
        return DataLoader(
            _Fetched(self._share, self.epoch),
            batch_size=None,
            sampler=range(self._done, len(self)),
            num_workers=processors() if workers is None else workers,
            worker_init_fn=_alone,
            pin_memory=self._device.type == "cuda",
            generator=torch.Generator(),  # or it would draw from the global one
        )

    def _planned(self, first: int, stop: int) -> _Block:
        slots = self._share.plan.slots(self.epoch, self._share.places(first, stop))
        rows = self._first_row[slots.sources] + slots.indices
        is_synthetic, labels = slots.sources > 0, self._labels[rows]
        weights = torch.where(is_synthetic, self._opened.mixture.synthetic_loss_weight, 1.0)
        drawn = uniforms(sample_seeds(self._transform_seed, slots.positions), self._draws)
        return _Block(rows, slots.sources, slots.indices, is_synthetic, labels, weights, drawn)

    def _finished(self, pixels: UInt8[Tensor, "n c h w"], part: _Block) -> Batch:
        opened, mixture = self._opened, self._opened.mixture
        images, weights = opened.preparation(pixels), part.weights
        targets = self._targets.index_select(0, part.labels + opened.class_count * part.is_synthetic)
        if self._mixes:
            mixed = part.uniforms[:, opened.batch_transform.draws :]
            images, targets, weights = mix_batch(
                images, targets, weights, mixed, mixup=mixture.mixup, cutmix=mixture.cutmix
            )
        return Batch(images, part.labels, targets, weights, part.is_synthetic, part.sources, part.indices)


def mixed_loader(
    splits: Splits,
    synthetic: SyntheticImages | Sequence[SyntheticImages] | None = None,
    mixture: Mixture | None = None,
    *,
    device: torch.device | str = "cpu",
    rank: int | None = None,
    world_size: int | None = None,
) -> MixedLoader:
    """Mixed training batches for a plain training loop.

    Args:
        splits: The real images.
        synthetic: Images in memory or shard sets, one or several, with or without amounts (`Synthetic`).
        mixture: How they are mixed, augmented and weighed.
        device: Where batches are wanted.
        rank: This process's number; that of torch.distributed if not given.
        world_size: Number of processes; that of torch.distributed if not given.

    Raises:
        InputError: If sets do not match the real images, amounts contradict each other, or a transform is unknown.
        DamageError: If a set is damaged.
    """
    opened = OpenMixture.of(splits, synthetic, mixture or Mixture())
    return MixedLoader(opened, device=device, rank=rank, world_size=world_size)
