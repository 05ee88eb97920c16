"""Real and synthetic images as one Lightning DataModule, held in memory and augmented as batches on the device."""

from __future__ import annotations

from typing import NamedTuple

import lightning.pytorch as pl
import torch
from jaxtyping import Bool, Int64, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from synthaug.core.errors import InputError
from synthaug.core.types import LabelledImages
from synthaug.data.batch_transforms import TRANSFORMS
from synthaug.data.mixing import BatchPlan, MixedBatches
from synthaug.data.splits import Splits


class Batch(NamedTuple):
    """What a training step receives.

    Attributes:
        images: uint8; `synthaug.core.pixels.to_network` makes them floats.
        labels: Class indices.
        is_synthetic: True where the image was generated.
        transform_seed: Seed of this batch's augmentation.
    """

    images: UInt8[Tensor, "n c h w"]
    labels: Int64[Tensor, " n"]
    is_synthetic: Bool[Tensor, " n"]
    transform_seed: int


class _Resident(Dataset[Batch]):
    """Gathers planned batches from images in memory."""

    def __init__(self, real: LabelledImages, synthetic: LabelledImages | None) -> None:
        self._real = real
        self._synthetic = synthetic

    def __getitem__(self, plan: BatchPlan) -> Batch:
        images, labels = self._real.images[plan.real], self._real.labels[plan.real]
        is_synthetic = torch.zeros(len(labels), dtype=torch.bool)
        if self._synthetic is not None and len(plan.synthetic):
            images = torch.cat([images, self._synthetic.images[plan.synthetic]])
            labels = torch.cat([labels, self._synthetic.labels[plan.synthetic]])
            is_synthetic = torch.cat([is_synthetic, torch.ones(len(plan.synthetic), dtype=torch.bool)])
        return Batch(images, labels, is_synthetic, plan.transform_seed)


class _Ready(Dataset[Batch]):
    """Batches that are already made."""

    def __init__(self, batches: list[Batch]) -> None:
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, position: int) -> Batch:
        return self._batches[position]


class MixedDataModule(pl.LightningDataModule):
    """Mixes a real split with a synthetic set; validation and test are real only.

    Args:
        splits: The real images.
        synthetic: Generated images of the same classes, size and channels; None for real only.
        synthetic_fraction: Share of each training batch that is synthetic, in [0, 1].
        batch_size: Images per training batch, the same whatever is mixed.
        transform: Preset of classic augmentation: `none` or `basic`.
        seed: Seed of order and augmentation.

    Raises:
        InputError: If classes, sizes or channels differ, or a number is out of range.
    """

    def __init__(
        self,
        splits: Splits,
        synthetic: LabelledImages | None = None,
        *,
        synthetic_fraction: float = 0.0,
        batch_size: int = 128,
        transform: str = "basic",
        seed: int = 0,
    ) -> None:
        super().__init__()
        if synthetic is not None:
            check_same_classes(splits.train, synthetic)
        self.splits = splits
        self._transform = TRANSFORMS.get(transform)
        self._batch_size = batch_size
        self._dataset = _Resident(splits.train, synthetic)
        self.batches = MixedBatches(
            real_count=len(splits.train),
            synthetic_count=0 if synthetic is None else len(synthetic),
            batch_size=batch_size,
            synthetic_fraction=synthetic_fraction,
            seed=seed,
        )

    def train_dataloader(self) -> DataLoader[Batch]:
        """Mixed batches, in an order that depends on (seed, epoch)."""
        return DataLoader(self._dataset, batch_size=None, sampler=self.batches)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Real validation images in their order."""
        return self._in_order(self.splits.validation)

    def test_dataloader(self) -> DataLoader[Batch]:
        """Real test images in their order."""
        return self._in_order(self.splits.test)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Augments training batches, on the device they are on."""
        if self.trainer is None or not self.trainer.training:
            return batch
        return self.augment(batch)

    def augment(self, batch: Batch) -> Batch:
        """The batch with classic augmentation, the same for the same `transform_seed`."""
        generator = torch.Generator(batch.images.device).manual_seed(batch.transform_seed)
        return batch._replace(images=self._transform(batch.images, generator, self.splits.allows_flip))

    def _in_order(self, part: LabelledImages) -> DataLoader[Batch]:
        size = max(self._batch_size, 256)
        batches = []
        for start in range(0, len(part), size):
            labels = part.labels[start : start + size]
            is_synthetic = torch.zeros(len(labels), dtype=torch.bool)
            batches.append(Batch(part.images[start : start + size], labels, is_synthetic, 0))
        return DataLoader(_Ready(batches), batch_size=None)


def check_same_classes(real: LabelledImages, synthetic: LabelledImages) -> None:
    """Refuses a synthetic set that does not match the real images.

    Raises:
        InputError: Naming what differs.
    """
    if synthetic.class_names != real.class_names:
        raise InputError(
            f"synthetic and real classes must be the same and in the same order: {synthetic.name} has "
            f"{list(synthetic.class_names)}, {real.name} has {list(real.class_names)}"
        )
    if synthetic.images.shape[1:] != real.images.shape[1:]:
        raise InputError(
            f"synthetic and real images must have the same shape: {synthetic.name} has "
            f"{tuple(synthetic.images.shape[1:])}, {real.name} has {tuple(real.images.shape[1:])} (channels, height, "
            "width)"
        )
