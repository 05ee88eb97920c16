"""Runs the training of any generator: resumable, watched, and ending in a checkpoint folder."""

from __future__ import annotations

import contextlib
import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from lightning.pytorch.callbacks import Callback

from synthaug.core.console import log, progress
from synthaug.core.errors import DamageError, InputError, TrainingError
from synthaug.core.loggers import loggers_in
from synthaug.core.processes import is_main_process, launched_processes
from synthaug.core.storage import check_same_settings, write_json
from synthaug.core.training import EndlessSteps, TrainingState, fit
from synthaug.generators.base import TrainRequest
from synthaug.generators.checkpoint import read_card
from synthaug.generators.export import write_checkpoint
from synthaug.generators.settings import ResolvedTraining
from synthaug.generators.task import GeneratorTask
from synthaug.generators.watch import Grids, Monitoring

_GRIDS = 10
_SETTINGS_NAME = "settings.json"
Task = TypeVar("Task", bound=GeneratorTask)


@dataclass(frozen=True)
class Training(Generic[Task]):
    """What a backend gives to have a generator trained.

    Attributes:
        request: What was asked for.
        resolved: What it came to.
        make_task: Makes the networks with their training, from the beginning.
        save_networks: Writes what the task has learned into a folder in diffusers' layout.
        callbacks: More to do while training.
        is_sound: Whether the training is in a state worth keeping.
    """

    request: TrainRequest
    resolved: ResolvedTraining
    make_task: Callable[[], Task]
    save_networks: Callable[[Task, Path], None]
    callbacks: tuple[Callback, ...] = ()
    is_sound: Callable[[], bool] = lambda: True

    def run(self) -> Path:
        """Trains and writes a checkpoint folder in diffusers' layout.

        Besides the checkpoint, the folder gets `training/` (state for resuming), `logs/` (CSV, and TensorBoard where
        it is installed) and `grids/` (samples from fixed noise). A training that goes wrong leaves the checkpoint of
        its last good state, if it has one.

        Raises:
            DamageError: If the state to resume from cannot be read.
            TrainingError: If the training goes wrong.
        """
        request, task = self.request, self.make_task()
        state = request.out / "training" / "state.ckpt"
        if is_main_process():
            write_json(request.out / "training" / _SETTINGS_NAME, self.resolved.settings(request))
        done_before = 0 if request.resume_from is None else _steps_in(request.resume_from)
        # A training that was stopped after its last step has a state, but no checkpoint yet.
        if done_before < task.steps or _exported_images(request.out) < done_before * task.images_per_step:
            try:
                self._fit(task, state)
            except TrainingError:
                self._keep_good(task, state)
                raise
            if is_main_process():
                images = task.images_seen() - done_before * task.images_per_step
                self._write(task, images / max(1e-9, task.total_seconds() - task.seconds))
            if torch.distributed.is_initialized():
                torch.distributed.barrier()  # so that all find the checkpoint
        return request.out

    def _fit(self, task: Task, state: Path) -> None:
        request = self.request
        with (
            loggers_in(request.out, request.logger) as loggers,
            progress(f"training {self.resolved.model}", task.steps * task.images_per_step) as advance,
        ):
            fit(
                task,
                torch.utils.data.DataLoader(EndlessSteps(), batch_size=None),
                runtime=request.runtime,
                steps=task.steps,
                root=request.out,
                on_step=lambda step: advance(step * task.images_per_step),
                max_time=request.max_time,
                callbacks=self._all_callbacks(task, state),
                loggers=loggers,
                resume_from=request.resume_from,
                shares_batches=True,
            )

    def _all_callbacks(self, task: Task, state: Path) -> list[Callback]:
        request = self.request
        every = request.grid_every or max(1, task.steps * task.images_per_step // _GRIDS)
        classes = len(request.images.class_names)
        callbacks: list[Callback] = [*self.callbacks, Grids(request.out / "grids", every, classes)]
        if request.monitor is not None and request.monitor_every is not None:
            callbacks.append(Monitoring(request.monitor, request.monitor_every, classes))
        # The state comes last: what the others object to is never saved.
        return [*callbacks, TrainingState(state, is_sound=self.is_sound)]

    def _keep_good(self, task: Task, state: Path) -> None:
        """Makes the weights that were measured best the checkpoint, else those of the last saved state."""
        if not is_main_process():
            return
        if task.kept_after is not None:
            self._write(task, task.images_seen() / max(1e-9, task.total_seconds()))
            log(f"{self.request.out} keeps the weights after {task.kept_after:,} images, the best that were measured")
            return
        if not state.is_file():
            return
        good = self.make_task()
        saved = torch.load(state, map_location=good.device, weights_only=True)
        good.load_state_dict(saved["state_dict"])
        good.on_load_checkpoint(saved)
        self._write(good, good.images_seen() / max(1e-9, good.seconds))
        log(f"{self.request.out} keeps the state after {good.images_seen():,} images, before that")

    def _write(self, task: Task, rate: float) -> None:
        write_checkpoint(
            self.request.out,
            task,
            self.request,
            self.resolved,
            lambda folder: self.save_networks(task, folder),
            rate,
        )


def check_resumption(request: TrainRequest, resolved: ResolvedTraining) -> None:
    """Checks that processes can share the batches, and that the state to resume from is of the same training.

    Raises:
        InputError: If not.
        DamageError: If the state to resume from, or its settings, cannot be read.
    """
    here, machines = launched_processes()
    if resolved.batch_size % (here * machines):
        raise InputError(
            f"--batch-size must be divisible by the number of processes, {here * machines}, which share each batch; "
            f"found {resolved.batch_size}"
        )
    if request.resume_from is not None:
        _check_same_training(request.resume_from, resolved.settings(request))
        shown = _steps_in(request.resume_from) * resolved.images_per_step
        if shown >= resolved.images + resolved.images_per_step:
            raise InputError(
                f"--images {resolved.images} is fewer than the {shown} that this training has been shown already; "
                "give more to continue it"
            )


def _check_same_training(state: Path, settings: dict[str, Any]) -> None:
    path = state.with_name(_SETTINGS_NAME)
    if not path.is_file():
        raise InputError(f"{state} cannot be resumed: {path.name} is missing beside it")
    images = {"images": settings["images"]}  # The one setting that may change: a training can be made longer.
    try:
        before = json.loads(path.read_text())
    except ValueError as error:
        raise DamageError(f"{path} is damaged: it is not JSON; train into another folder") from error
    check_same_settings({**before, **images}, settings, str(state))


def _steps_in(state: Path) -> int:
    try:
        saved: dict[str, Any] = torch.load(state, map_location="cpu", weights_only=True, mmap=True)
        return int(saved["global_step"])
    except (RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError) as error:
        raise DamageError(f"{state} is damaged or no training state; train into another folder") from error


def _exported_images(out: Path) -> int:
    with contextlib.suppress(InputError):
        return read_card(out).training.images_seen
    return 0
