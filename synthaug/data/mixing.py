"""Which real and which synthetic images make up each batch; a pure function of (seed, epoch, batch)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from jaxtyping import Int64
from torch import Tensor
from torch.utils.data import Sampler

from synthaug.core.errors import InputError
from synthaug.core.seeding import IndexStream, derive_seed


@dataclass(frozen=True)
class BatchPlan:
    """One batch before its pixels are fetched.

    Attributes:
        real: Positions in the real training images.
        synthetic: Positions in the synthetic set.
        transform_seed: Seed of this batch's augmentation; differs in every batch of every epoch.
    """

    real: Int64[Tensor, " r"]
    synthetic: Int64[Tensor, " s"]
    transform_seed: int


def synthetic_share(batch_size: int, synthetic_fraction: float) -> int:
    """How many images of a batch are synthetic: the nearest whole number.

    Raises:
        InputError: If the fraction is outside [0, 1], or above 0 and still comes to no image at all.
    """
    if not 0.0 <= synthetic_fraction <= 1.0:
        raise InputError(f"--synthetic-fraction must lie in [0, 1], found {synthetic_fraction}")
    count = round(batch_size * synthetic_fraction)
    if synthetic_fraction > 0.0 and count == 0:
        raise InputError(
            f"--synthetic-fraction {synthetic_fraction} of {batch_size} images is less than one synthetic image per "
            "batch; give a larger fraction or batch size"
        )
    return count


class MixedBatches(Sampler[BatchPlan]):
    """The batches of one epoch after another, each with exactly the same share of synthetic images.

    An epoch has the length of the real set alone, `ceil(real / batch_size)` batches, whatever is mixed in. Real images
    come from an endless sequence of permutations, so none is seen twice before all have been seen; likewise synthetic.

    Attributes:
        real_per_batch: Real images in each batch.
        synthetic_per_batch: Synthetic images in each batch.
    """

    def __init__(
        self, *, real_count: int, synthetic_count: int, batch_size: int, synthetic_fraction: float, seed: int
    ) -> None:
        if batch_size < 1:
            raise InputError(f"the batch size must be at least 1, found {batch_size}")
        if synthetic_fraction > 0.0 and synthetic_count == 0:
            raise InputError("a synthetic fraction above 0 needs a synthetic set, found none")
        if real_count == 0:
            raise InputError("at least one real training image is needed, found none")
        self.synthetic_per_batch = synthetic_share(batch_size, synthetic_fraction)
        self.real_per_batch = batch_size - self.synthetic_per_batch
        self._real = IndexStream(real_count, seed, "real")
        self._synthetic = IndexStream(max(1, synthetic_count), seed, "synthetic")
        self._seed = seed
        self._epoch = 0
        self._length = -(-real_count // batch_size)

    def __len__(self) -> int:
        return self._length

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch that the next iteration gives; Lightning calls this."""
        self._epoch = epoch

    def batch(self, position: int) -> BatchPlan:
        """The batch at `position`, counted from the start of epoch 0."""
        return BatchPlan(
            self._real.slice(position * self.real_per_batch, self.real_per_batch),
            self._synthetic.slice(position * self.synthetic_per_batch, self.synthetic_per_batch),
            derive_seed("transform", self._seed, position),
        )

    def __iter__(self) -> Iterator[BatchPlan]:
        start = self._epoch * self._length
        for position in range(start, start + self._length):
            yield self.batch(position)
