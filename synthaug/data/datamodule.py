"""Real and synthetic images as one Lightning DataModule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback

from synthaug.core.types import LabelledImages
from synthaug.data.evaluation import EvaluationLoader
from synthaug.data.loader import MixedLoader
from synthaug.data.mixture import Mixture, SyntheticImages
from synthaug.data.opened import OpenMixture, with_epochs
from synthaug.data.preparation import Preparation
from synthaug.data.splits import Splits

#: Name under which the synthetic share of each epoch is logged.
OBSERVED = "synthetic_fraction"


class MixedDataModule(pl.LightningDataModule):
    """Mixes a real split with synthetic sets; validation and test are real only.

    Each process of a distributed training gets as many batches, and images of its own. The synthetic share of every
    epoch is logged as `synthetic_fraction`. A Lightning checkpoint holds where in its epoch the training is, and a
    training resumed from it goes on with the next batch.

    Args:
        splits: The real images.
        synthetic: Images in memory or shard sets, one or several, with or without amounts (`Synthetic`); None for real
            images only.
        mixture: How they are mixed, augmented and weighed.

    Attributes:
        splits: The real images.
        loader: The training batches of the running training, or of the last one; None before.

    Raises:
        InputError: If sets do not match the real images, amounts contradict each other, or a transform is unknown.
        DamageError: If a set is damaged.
    """

    def __init__(
        self,
        splits: Splits,
        synthetic: SyntheticImages | Sequence[SyntheticImages] | None = None,
        mixture: Mixture | None = None,
    ) -> None:
        super().__init__()
        self.splits = splits
        self.loader: MixedLoader | None = None
        self._opened = OpenMixture.of(splits, synthetic, mixture or Mixture())
        self._state: dict[str, Any] | None = None

    @property
    def preparation(self) -> Preparation:
        """From pixels to what networks see, for images that come from elsewhere."""
        return self._opened.preparation

    @property
    def synthetic_count(self) -> int:
        """Images of all synthetic sets together."""
        return sum(len(pool) for pool in self._opened.pools[1:])

    def setup(self, stage: str) -> None:
        """Has the observed synthetic share logged.

        Raises:
            InputError: If a share is to change over the epochs of a trainer that has no end.
        """
        trainer: Any = self.trainer  # whose callbacks are not declared
        if trainer is None or stage != "fit":
            return
        if not any(isinstance(one, _LogFraction) for one in trainer.callbacks):
            trainer.callbacks.append(_LogFraction())
        opened = self._for_trainer(trainer)
        opened.shares.schedule.at(0, opened.mixture.epochs)

    def teardown(self, stage: str) -> None:
        """Forgets where a checkpoint was that was not loaded to go on training."""
        self._state = None

    def train_dataloader(self) -> MixedLoader:
        """Mixed batches on the trainer's device; of the trainer's epoch, if there is one."""
        trainer: Any = self.trainer
        if trainer is None:
            self.loader = MixedLoader(self._opened)
        else:
            self.loader = MixedLoader(
                self._for_trainer(trainer),
                device=self._device(),
                rank=trainer.global_rank,
                world_size=trainer.world_size,
                ends_after=_limited(trainer, self._opened.steps(trainer.world_size)),
                is_fixed=trainer.overfit_batches > 0,
            )
            self.loader.set_epoch(trainer.current_epoch)
        if self._state is not None:
            self.loader.load_state_dict(self._state)
            self._state = None
        return self.loader

    def _for_trainer(self, trainer: pl.Trainer) -> OpenMixture:
        """The mixture with the trainer's number of epochs."""
        return with_epochs(self._opened, _epochs_of(trainer, self._opened.steps(trainer.world_size)))

    def val_dataloader(self) -> EvaluationLoader:
        """Real validation images in their order."""
        return self._evaluation(self.splits.validation)

    def test_dataloader(self) -> EvaluationLoader:
        """Real test images in their order."""
        return self._evaluation(self.splits.test)

    def state_dict(self) -> dict[str, Any]:
        """Where the training batches are; a part of Lightning's checkpoints."""
        return {} if self.loader is None else self.loader.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Lets the next training go on from there.

        Raises:
            InputError: When that training begins, if it mixes other images or takes another number in a step.
        """
        self._state = state_dict or None

    def _device(self) -> torch.device:
        return torch.device("cpu") if self.trainer is None else self.trainer.strategy.root_device

    def _evaluation(self, images: LabelledImages) -> EvaluationLoader:
        trainer = self.trainer
        rank, world_size = (0, 1) if trainer is None else (trainer.global_rank, trainer.world_size)
        size = max(self._opened.mixture.batch_size, 256)
        return EvaluationLoader(
            images, self.preparation, batch_size=size, device=self._device(), rank=rank, world_size=world_size
        )


def _limited(trainer: Any, batches: int) -> int:
    """How many of an epoch's batches a trainer takes."""
    limit = trainer.overfit_batches or trainer.limit_train_batches
    return min(limit, batches) if isinstance(limit, int) else int(limit * batches)


def _epochs_of(trainer: pl.Trainer, batches: int) -> int | None:
    """How many epochs of so many batches a trainer will run, if it is limited."""
    steps = max(1, -(-_limited(trainer, batches) // trainer.accumulate_grad_batches))
    limits = [trainer.max_epochs or -1, -(-trainer.max_steps // steps)]
    return min((limit for limit in limits if limit > 0), default=None)


class _LogFraction(Callback):
    """Logs the share of synthetic images among those trained on, epoch by epoch."""

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        loader = getattr(getattr(trainer, "datamodule", None), "loader", None)
        if isinstance(loader, MixedLoader):
            pl_module.log(OBSERVED, loader.observed_fraction, sync_dist=True)
