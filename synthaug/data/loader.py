"""The loader of mixed training batches, for plain loops as for Lightning."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor
from torch.utils.data import DataLoader

from synthaug.core.errors import InputError
from synthaug.core.processes import place_among_processes, waits_for_others
from synthaug.core.runtime import available_memory, processors
from synthaug.core.seeding import derive_seed, sample_seeds, uniforms
from synthaug.core.storage import sha256_json
from synthaug.data.batch_mixing import MIX_DRAWS, mix_batch
from synthaug.data.fetching import Fetched, Share, in_one_thread
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


class MixedLoader:
    """Mixed, augmented training batches, in an order that depends on (seed, epoch) only.

    Iterating gives one epoch; the next iteration gives the next one, also if this one was left early (after a look at
    the first batch, `set_epoch(0)` goes back). Every process gets as many batches, all of them full. Where all images
    are in memory they are held on the device as one array, gathered and augmented there; otherwise workers read them.
    The composition of each batch, its images and their augmentation are the same.

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
        ends_after: int | None = None,
        is_fixed: bool = False,
    ) -> None:
        """Takes one process's share of a mixture.

        Args:
            opened: The mixture.
            device: Where batches are wanted.
            rank: This process's number; that of torch.distributed if not given.
            world_size: Number of processes; that of torch.distributed if not given.
            ends_after: Batches after which its user ends an epoch, if before the last.
            is_fixed: Whether every iteration gives the same epoch.

        Raises:
            InputError: If the rank is outside the world or not known yet, or the synthetic share changes over an
                unknown number of epochs.
        """
        if rank is None and world_size is None and waits_for_others():
            raise InputError(
                "a launcher started several processes, and torch.distributed does not know of them yet: make the "
                "loader after torch.distributed.init_process_group, give it rank and world_size, or use a "
                "MixedDataModule"
            )
        rank, world_size = place_among_processes(rank, world_size)
        plan = opened.plan(world_size)
        plan.schedule.at(0, plan.epochs)  # refuses a share that changes over nobody knows how many epochs
        self.epoch = 0
        self._opened, self._device = opened, torch.device(device)
        self._share = Share(opened, plan, rank, world_size)
        self._ends_after = len(self._share) if ends_after is None else max(1, ends_after)
        self._is_fixed, self._is_begun = is_fixed, False
        self._iteration = object()  # stands for the newest one
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
            "mixture": self._fingerprint(),
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
        if not self.state_dict().keys() <= state.keys():
            raise InputError(f"the state of a loader of mixed images is needed, found one with the keys {[*state]}")
        if state["images_per_step"] != together:
            raise InputError(
                f"the training to be resumed took {state['images_per_step']} images in a step, this one takes "
                f"{self._share.world_size} x {self._opened.mixture.batch_size} = {together}; change the batch size so "
                "that processes times batch size is the same, and no image is lost or seen twice"
            )
        if state["mixture"] != self._fingerprint():
            raise InputError("the training to be resumed mixed other images, or in another way; repeat its settings")
        self.set_epoch(state["epoch"])
        done = state["images"] // together
        if done >= self._ends_after:
            self.set_epoch(self.epoch + 1)
        elif done:
            self._done = done
            self._synthetic = round(state["synthetic_fraction"] * done * self._opened.mixture.batch_size)

    def _fingerprint(self) -> str:
        """Names everything that decides what is in which batch."""
        opened, plan = self._opened, self._share.plan
        names = ("mixup", "cutmix", "synthetic_loss_weight", "synthetic_label_smoothing")
        return sha256_json(
            {
                "images": [pool.identity for pool in opened.pools],
                "plan": repr(plan),
                "augmentation": [opened.augmentation, opened.allows_flip, opened.mixture.seed],
                "preparation": opened.preparation.settings(),
                **{name: getattr(opened.mixture, name) for name in names},
            }
        )

    def __iter__(self) -> Iterator[Batch]:
        # Nothing happens before the first batch is asked for: Lightning makes iterators that it does not use.
        if self._is_begun:
            self.set_epoch(self.epoch if self._is_fixed else self.epoch + 1)
        self._is_begun, self._iteration = True, object()
        mine = self._iteration
        size = self._opened.mixture.batch_size
        fetched: Iterator[Tensor] = iter(self._fetching() if self._resident is None else ())
        step = max(1, _PLANNED // size)
        for first in range(self._done, len(self), step):
            planned = self._planned(first, min(first + step, len(self)))
            synthetic = planned.is_synthetic.view(-1, size).sum(1).tolist()
            block = _Block._make(column.to(self._device) for column in planned)
            parts = map(_Block._make, zip(*(torch.split(column, size) for column in block), strict=True))
            for part, pixels, count in zip(parts, self._augmented(block, fetched), synthetic, strict=True):
                if self._iteration is not mine:
                    raise RuntimeError("another iteration of this loader has begun; each loader gives one at a time")
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
            Fetched(self._share, self.epoch),
            batch_size=None,
            sampler=range(self._done, len(self)),
            num_workers=processors() if workers is None else workers,
            worker_init_fn=in_one_thread,
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
