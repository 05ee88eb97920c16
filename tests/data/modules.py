"""Lightning modules, trainers and mixtures of random digits for tests of the DataModule."""

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from synthaug.core.types import LabelledImages
from synthaug.data.datamodule import MixedDataModule
from synthaug.data.loader import mixed_loader
from synthaug.data.mixture import Batch, Mixture
from synthaug.data.splits import Splits
from tests.conftest import make_images_of

Ids = list[tuple[int, int]]


def synthetic() -> LabelledImages:
    return make_images_of(per_class=5, class_names=tuple("0123456789"), size=8, channels=1, seed=9)


def module_of(splits: Splits, **settings: Any) -> MixedDataModule:
    return MixedDataModule(splits, synthetic(), Mixture(**{"synthetic_fraction": 0.3, "batch_size": 32, **settings}))


def planned(splits: Splits, epochs: int, **settings: Any) -> list[list[Batch]]:
    """The batches of some epochs of a loader for plain loops."""
    loader = mixed_loader(splits, synthetic(), module_of(splits, **settings)._opened.mixture)
    return [list(loader) for _ in range(epochs)]


def ids(batch: Batch) -> Ids:
    return list(zip(batch.sources.tolist(), batch.indices.tolist(), strict=True))


class Recorder(pl.LightningModule):
    """Keeps what Lightning hands to it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.trained: list[Batch] = []
        self.validated: list[Batch] = []
        self.tested: list[Batch] = []

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.trained.append(batch)
        return self.weight.sum()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.validated.append(batch)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self.tested.append(batch)


def trainer_of(root: Path, *callbacks: Callback, **settings: Any) -> pl.Trainer:
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False, "accelerator": "cpu"}
    fewer = {"enable_checkpointing": bool(callbacks), "num_sanity_val_steps": 0, "limit_val_batches": 0}
    return pl.Trainer(**{**quiet, **fewer, "callbacks": list(callbacks), "default_root_dir": root, **settings})
