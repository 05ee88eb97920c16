"""One way to run a Lightning Trainer for everything that trains here: signals, time limits, progress, state files."""

from __future__ import annotations

import contextlib
import io
import itertools
import logging
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.callbacks import Callback, GradientAccumulationScheduler
from lightning.pytorch.loggers import Logger
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities.exceptions import SIGTERMException

from synthaug.core.errors import InputError, StorageError, TrainingError
from synthaug.core.processes import launched_processes
from synthaug.core.runtime import Runtime
from synthaug.core.stopping import stoppable
from synthaug.core.storage import atomic_file


class _Progress(Callback):
    """Tells how many steps are done, and remembers the step of the last validation."""

    def __init__(self, on_step: Callable[[int], None]) -> None:
        self.validated_at = 0
        self._on_step = on_step
        self._told = 0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step > self._told:  # not after a batch whose gradient is only kept
            self._told = trainer.global_step
            self._on_step(trainer.global_step)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.validated_at = trainer.global_step


class EndlessSteps(torch.utils.data.IterableDataset[int]):
    """Gives step numbers for ever, to a module that gathers its own batches."""

    def __iter__(self) -> Iterator[int]:
        return itertools.count()


def _loss_of(outputs: Any) -> float:
    """The loss that Lightning hands to its callbacks; 0 before the first step and for steps that return none."""
    loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
    return 0.0 if loss is None else float(loss)


class _StopOnNotANumber(Callback):
    """Ends a training whose loss is no longer a number; looks at every tenth step and the last."""

    def __init__(self) -> None:
        self._outputs: Any = None

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._outputs = outputs
        if trainer.global_step % 10 == 0:
            self._check(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._check(trainer)

    def _check(self, trainer: pl.Trainer) -> None:
        if not math.isfinite(_loss_of(self._outputs)):
            raise TrainingError(
                f"the loss is no longer a number at step {trainer.global_step}; lower the learning rate and try again"
            )


@dataclass
class TrainingState(Callback):
    """Saves everything needed to continue: at the end, on a termination signal and every `every_seconds`.

    Attributes:
        path: The state file; it is replaced as a whole.
        every_seconds: Longest time between two saves.
        is_sound: Tells whether the training is in a state worth keeping.
    """

    path: Path
    every_seconds: float = 120.0
    is_sound: Callable[[], bool] = lambda: True
    _saved_at: float = field(default=0.0, repr=False)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the clock."""
        self._saved_at = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Saves when the time has come, but never weights that a broken loss has spoilt."""
        is_due = time.monotonic() - self._saved_at > self.every_seconds
        if is_due and math.isfinite(_loss_of(outputs)) and self.is_sound():
            self._save(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Saves the last state."""
        self._save(trainer)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Saves when the exception came between two steps."""
        if isinstance(exception, SIGTERMException | StorageError):
            with contextlib.suppress(StorageError):
                self._save(trainer)

    def _save(self, trainer: pl.Trainer) -> None:
        if trainer.is_global_zero:
            # Through memory: torch.save would hide a full disk behind an error of its own.
            state = io.BytesIO()
            torch.save(trainer._checkpoint_connector.dump_checkpoint(), state)
            with atomic_file(self.path) as file:
                file.write(state.getbuffer())
        self._saved_at = time.monotonic()


def _together() -> DDPStrategy:
    # Only this environment leaves the launcher's variables as they are. Buffers are data here, the same everywhere:
    # they need not be sent at every step.
    return DDPStrategy(cluster_environment=TorchElasticEnvironment(), broadcast_buffers=False)


class _ValidationPace(Callback):
    """Keeps as many steps between two validations when the number of batches in a step changes."""

    def __init__(self, every: int) -> None:
        self._every = every

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.val_check_batch = self._every * trainer.accumulate_grad_batches  # which the scheduler has just set


def _accumulating(factors: dict[int, int], validate_every: int | None) -> list[Callback]:
    if factors == {0: 1}:
        return []
    pace = [] if validate_every is None else [_ValidationPace(validate_every)]
    return [GradientAccumulationScheduler(factors), *pace]


@contextlib.contextmanager
def quiet_lightning() -> Iterator[None]:
    """Lightning's remarks and advice are for those who call it themselves."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
        yield


@contextlib.contextmanager
def determinism_restored() -> Iterator[None]:
    """Lightning sets this for the whole process, and leaves it so."""
    before = torch.are_deterministic_algorithms_enabled()
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def fit(
    module: pl.LightningModule,
    train_batches: Any = None,
    *,
    runtime: Runtime,
    steps: int,
    root: Path,
    on_step: Callable[[int], None],
    max_time: float | None = None,
    validate_every: int | None = None,
    callbacks: list[Callback] | None = None,
    loggers: list[Logger] | None = None,
    resume_from: Path | None = None,
    datamodule: pl.LightningDataModule | None = None,
    shares_batches: bool = False,
    gradient_clip: float = 0.0,
    accumulate: Mapping[int, int] | None = None,
) -> pl.Trainer:
    """Trains `module` for `steps` optimiser steps in all, or until `max_time` seconds have passed.

    Args:
        module: What to train.
        train_batches: Any iterable of batches; repeated as often as needed. None when `datamodule` gives them.
        runtime: Device and precision.
        steps: Optimiser steps, counted from the beginning of the first run.
        root: Folder for whatever Lightning writes.
        on_step: Called with the number of steps done, after each.
        max_time: Seconds after which this run ends between two steps.
        validate_every: Steps between two validations on the datamodule's validation images, which also follow the last
            step; None for no validation. Where gradients are accumulated it is more or less that.
        callbacks: More callbacks.
        loggers: Where metrics go.
        resume_from: A state file written by `TrainingState`; read without pickle.
        datamodule: Gives the batches instead of `train_batches`.
        shares_batches: Whether the module splits every batch among the processes that a launcher started.
        gradient_clip: Largest norm of a gradient; 0 does not clip.
        accumulate: Batches whose gradients make up a step, from each epoch on; the last batches of an epoch make up one
            whatever their number.

    Returns:
        The trainer, after the end.

    Raises:
        InputError: If `steps` is not positive.
        TrainingError: If the loss is no longer a number.
        KeyboardInterrupt: On SIGINT, after the step in progress has ended.
        SystemExit: With code 143 on SIGTERM, likewise.
    """
    if steps < 1:
        raise InputError(f"at least one training step is needed, found {steps}")
    progress, factors = _Progress(on_step), dict(accumulate or {0: 1})
    processes = launched_processes() if shares_batches else (1, 1)
    with stoppable(max_time) as stop, quiet_lightning(), determinism_restored():
        trainer = pl.Trainer(
            accelerator=runtime.lightning_accelerator,
            devices=processes[0],
            num_nodes=processes[1],
            strategy="auto" if processes == (1, 1) else _together(),
            precision=runtime.lightning_precision,
            max_epochs=-1,
            max_steps=steps,
            check_val_every_n_epoch=None,
            val_check_interval=None if validate_every is None else validate_every * factors[0],
            limit_val_batches=1.0 if validate_every else 0,
            callbacks=[
                progress,
                stop,
                _StopOnNotANumber(),
                *_accumulating(factors, validate_every),
                *(callbacks or []),
            ],
            gradient_clip_val=gradient_clip or None,
            deterministic=runtime.deterministic or None,
            logger=loggers or False,
            log_every_n_steps=min(10, steps),
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            default_root_dir=root,
        )
        trainer.fit(
            module,
            train_batches,
            datamodule=datamodule,
            ckpt_path=None if resume_from is None else str(resume_from),
            weights_only=True,
        )
        if validate_every and progress.validated_at < trainer.global_step and stop.received is None:
            trainer.validate(module, datamodule=datamodule, verbose=False)
    return trainer
