from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor

from synthaug.core.errors import InputError
from synthaug.core.runtime import Runtime
from synthaug.core.training import fit
from synthaug.core.types import LabelledImages
from synthaug.data.datamodule import Batch, MixedDataModule, check_same_classes
from synthaug.data.splits import Splits


@pytest.fixture
def synthetic(make_images) -> LabelledImages:
    return make_images(per_class=5, class_names=tuple("0123456789"), size=8, channels=1, name="made up", seed=9)


def epoch_of(module: MixedDataModule, epoch: int) -> list[Batch]:
    module.batches.set_epoch(epoch)
    return list(module.train_dataloader())


def labels_by_pixels(images: LabelledImages) -> dict[bytes, int]:
    return {image.numpy().tobytes(): label for image, label in zip(images.images, images.labels.tolist(), strict=True)}


def test_a_synthetic_set_of_other_classes_is_refused_with_both_lists(digits_splits: Splits, make_images) -> None:
    other = make_images(class_names=tuple("9876543210"), size=8, channels=1, name="made up")
    with pytest.raises(InputError, match=r"same order: made up has \['9', '8', .*digits has \['0', '1'"):
        MixedDataModule(digits_splits, other)


@pytest.mark.parametrize(("size", "channels", "found"), [(16, 1, r"\(1, 16, 16\)"), (8, 3, r"\(3, 8, 8\)")])
def test_synthetic_images_of_another_shape_are_refused_with_both(
    digits_splits: Splits, make_images, size: int, channels: int, found: str
) -> None:
    other = make_images(class_names=tuple("0123456789"), size=size, channels=channels, name="made up")
    with pytest.raises(InputError, match=rf"same shape: made up has {found}, digits has \(1, 8, 8\)"):
        check_same_classes(digits_splits.train, other)
    with pytest.raises(InputError, match="same shape"):
        MixedDataModule(digits_splits, other)


def test_an_unknown_transform_is_refused(digits_splits: Splits) -> None:
    with pytest.raises(InputError, match="unknown transform preset 'heavy'"):
        MixedDataModule(digits_splits, transform="heavy")


def test_every_training_image_keeps_its_label_and_says_where_it_is_from(
    digits_splits: Splits, synthetic: LabelledImages
) -> None:
    module = MixedDataModule(digits_splits, synthetic, synthetic_fraction=0.25, batch_size=40, transform="none")
    real_labels, synthetic_labels = labels_by_pixels(digits_splits.train), labels_by_pixels(synthetic)
    batches = epoch_of(module, 0)
    assert len(batches) == 5
    for batch in batches:
        assert batch.images.shape == (40, 1, 8, 8)
        assert int(batch.is_synthetic.sum()) == 10
        for image, label, is_synthetic in zip(batch.images, batch.labels, batch.is_synthetic, strict=True):
            known = synthetic_labels if is_synthetic else real_labels
            assert known[image.numpy().tobytes()] == label


@pytest.mark.parametrize(("fraction", "expected"), [(0.0, False), (1.0, True)])
def test_the_extremes_are_all_real_or_all_synthetic(
    digits_splits: Splits, synthetic: LabelledImages, fraction: float, expected: bool
) -> None:
    for batch in epoch_of(MixedDataModule(digits_splits, synthetic, synthetic_fraction=fraction, batch_size=50), 0):
        assert batch.is_synthetic.tolist() == [expected] * 50


def test_a_fraction_without_a_synthetic_set_is_refused(digits_splits: Splits) -> None:
    with pytest.raises(InputError, match="needs a synthetic set"):
        MixedDataModule(digits_splits, synthetic_fraction=0.5)


@pytest.mark.parametrize("part", ["validation", "test"])
def test_validation_and_test_are_real_whole_and_in_order(
    digits_splits: Splits, synthetic: LabelledImages, part: str
) -> None:
    module = MixedDataModule(digits_splits, synthetic, synthetic_fraction=1.0, batch_size=4)
    batches = list(module.val_dataloader() if part == "validation" else module.test_dataloader())
    expected = getattr(digits_splits, part)
    assert torch.equal(torch.cat([batch.images for batch in batches]), expected.images)
    assert torch.equal(torch.cat([batch.labels for batch in batches]), expected.labels)
    assert not torch.cat([batch.is_synthetic for batch in batches]).any()


def test_augmentation_is_replayed_by_its_seed_alone(digits_splits: Splits) -> None:
    batch = epoch_of(MixedDataModule(digits_splits, batch_size=50), 0)[0]
    module = MixedDataModule(digits_splits, batch_size=50)
    first = module.augment(batch)
    torch.manual_seed(7)
    assert torch.equal(MixedDataModule(digits_splits, batch_size=8, seed=3).augment(batch).images, first.images)
    assert not torch.equal(first.images, batch.images)
    assert not torch.equal(module.augment(batch._replace(transform_seed=1)).images, first.images)
    assert torch.equal(first.labels, batch.labels)
    assert torch.equal(first.is_synthetic, batch.is_synthetic)


def test_the_same_images_are_augmented_differently_in_another_epoch(digits_splits: Splits) -> None:
    module = MixedDataModule(digits_splits, batch_size=200)
    (first,), (second,) = epoch_of(module, 0), epoch_of(module, 1)
    replayed = second._replace(images=first.images, labels=first.labels)
    assert not torch.equal(module.augment(first).images, module.augment(replayed).images)


def test_the_none_transform_changes_nothing(digits_splits: Splits) -> None:
    module = MixedDataModule(digits_splits, batch_size=50, transform="none")
    batch = epoch_of(module, 0)[0]
    assert torch.equal(module.augment(batch).images, batch.images)


def test_digits_are_never_mirrored(digits_splits: Splits) -> None:
    module = MixedDataModule(digits_splits, batch_size=100)
    plain = torch.zeros(100, 1, 8, 8, dtype=torch.uint8)
    plain[:, :, :, 2] = 255
    batch = epoch_of(module, 0)[0]._replace(images=plain)
    brightest = module.augment(batch).images.long().sum((1, 2)).argmax(1)
    assert set(brightest.tolist()) == {1, 2, 3}


class Recorder(pl.LightningModule):
    """Keeps what Lightning hands to it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.trained: list[Batch] = []
        self.validated: list[Batch] = []

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.trained.append(batch)
        return self.weight.sum()

    def validation_step(self, batch: Batch, batch_idx: int) -> Any:
        self.validated.append(batch)


def test_lightning_trains_on_augmented_batches_of_successive_epochs_and_validates_on_plain_ones(
    digits_splits: Splits, synthetic: LabelledImages, tmp_path: Path
) -> None:
    settings = {"synthetic_fraction": 0.5, "batch_size": 100, "seed": 4}
    module, recorder = MixedDataModule(digits_splits, synthetic, **settings), Recorder()
    fit(
        recorder,
        datamodule=module,
        runtime=Runtime("cpu", "fp32"),
        steps=4,
        root=tmp_path,
        on_step=lambda step: None,
        validate_every=4,
    )
    planned = MixedDataModule(digits_splits, synthetic, **settings)
    expected = [planned.augment(batch) for epoch in range(2) for batch in epoch_of(planned, epoch)]
    assert len(recorder.trained) == len(expected) == 4
    for got, wanted in zip(recorder.trained, expected, strict=True):
        assert got.transform_seed == wanted.transform_seed
        assert torch.equal(got.images, wanted.images)
        assert torch.equal(got.labels, wanted.labels)
    assert torch.equal(torch.cat([batch.images for batch in recorder.validated]), digits_splits.validation.images)
