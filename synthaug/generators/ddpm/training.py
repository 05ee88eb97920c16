"""Trains a class-conditional DDPM and exports it as a checkpoint folder."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import pickle
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger

from synthaug.core.console import log, progress
from synthaug.core.errors import DamageError, InputError, TrainingError
from synthaug.core.processes import is_main_process, launched_processes
from synthaug.core.seeding import derive_seed
from synthaug.core.storage import check_same_settings, write_json
from synthaug.core.training import EndlessSteps, TrainingState, fit
from synthaug.generators.base import LoggerName, TrainRequest
from synthaug.generators.checkpoint import read_card
from synthaug.generators.ddpm.export import begin_from, write_checkpoint
from synthaug.generators.ddpm.network import build_network
from synthaug.generators.ddpm.settings import Choices, resolve
from synthaug.generators.ddpm.task import DDPMTask
from synthaug.generators.ddpm.watch import Grids, Monitoring, StopOnDivergence

_GRIDS = 10
_SETTINGS_NAME = "settings.json"


def train(request: TrainRequest) -> Path:
    """Trains and writes a checkpoint folder that stock diffusers can load.

    Besides the checkpoint, the folder gets `training/` (state for resuming), `logs/` (CSV, and TensorBoard where
    it is installed) and `grids/` (samples from fixed noise). A training that goes wrong leaves the checkpoint of its
    last good state, if it has one.

    Raises:
        InputError: For impossible settings, or a state to resume from that was made with others.
        DamageError: If that state or the checkpoint to begin from cannot be read.
        TrainingError: If the loss is no longer a number, or has risen far above what it was.
    """
    choices = check(request)
    task = make_task(request, choices)
    state = request.out / "training" / "state.ckpt"
    if is_main_process():
        write_json(request.out / "training" / _SETTINGS_NAME, choices.settings(request))
    done_before = 0 if request.resume_from is None else _steps_in(request.resume_from)
    # A training that was stopped after its last step has a state, but no checkpoint yet.
    if done_before < task.steps or _exported_images(request.out) < done_before * task.batch_size:
        try:
            with progress("training ddpm", task.steps * task.batch_size) as advance:
                fit(
                    task,
                    torch.utils.data.DataLoader(EndlessSteps(), batch_size=None),
                    runtime=request.runtime,
                    steps=task.steps,
                    root=request.out,
                    on_step=lambda step: advance(step * task.batch_size),
                    max_time=request.max_time,
                    callbacks=_callbacks(request, task, state),
                    loggers=_loggers(request.out, request.logger),
                    resume_from=request.resume_from,
                    shares_batches=True,
                )
        except TrainingError:
            _keep_last_good(state, task, request, choices)
            raise
        if is_main_process():
            images = task.images_seen() - done_before * task.batch_size
            write_checkpoint(
                request.out, task, request, choices, images / max(1e-9, task.total_seconds() - task.seconds)
            )
        if torch.distributed.is_initialized():
            torch.distributed.barrier()  # so that all find the checkpoint
    return request.out


def check(request: TrainRequest) -> Choices:
    """Resolves a request.

    Raises:
        InputError: For anything that `train` would refuse.
        DamageError: If the settings of the state to resume from cannot be read.
    """
    choices = resolve(request)
    here, machines = launched_processes()
    if choices.preset.batch_size % (here * machines):
        raise InputError(
            f"--batch-size must be divisible by the number of processes, {here * machines}, which share each batch; "
            f"found {choices.preset.batch_size}"
        )
    if request.resume_from is not None:
        _check_same_training(request.resume_from, choices.settings(request))
        shown = _steps_in(request.resume_from) * choices.preset.batch_size
        wanted = choices.preset.images
        if shown >= wanted + choices.preset.batch_size:
            raise InputError(
                f"--images {wanted} is fewer than the {shown} that this training has been shown already; "
                "give more to continue it"
            )
    return choices


def make_task(request: TrainRequest, choices: Choices) -> DDPMTask:
    """The network, new or from a checkpoint, with its training.

    Raises:
        DamageError: If the checkpoint to begin from is damaged.
    """
    images = request.images
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive_seed("initialise", request.seed))
        network = build_network(
            choices.preset, image_size=images.image_size, channels=images.channels, classes=len(images.class_names)
        )
    if request.init is not None:
        begin_from(network, request.init, images.class_names)
    return DDPMTask(
        network,
        choices.process,
        images,
        choices.preset,
        allows_flip=request.allows_flip,
        label_dropout=request.label_dropout,
        seed=request.seed,
        runtime=request.runtime,
    )


def _callbacks(request: TrainRequest, task: DDPMTask, state: Path) -> list[Callback]:
    every = request.grid_every or max(1, task.steps * task.batch_size // _GRIDS)
    classes, runtime = len(request.images.class_names), request.runtime
    # The state comes last: what the others object to is never saved.
    divergence = StopOnDivergence()
    callbacks: list[Callback] = [divergence, Grids(request.out / "grids", every, classes, runtime)]
    if request.monitor is not None and request.monitor_every is not None:
        callbacks.append(Monitoring(request.monitor, request.monitor_every, classes, runtime))
    return [*callbacks, TrainingState(state, is_sound=divergence.is_sound)]


def _keep_last_good(state: Path, task: DDPMTask, request: TrainRequest, choices: Choices) -> None:
    """Makes the last saved state the checkpoint."""
    if not state.is_file() or not is_main_process():
        return
    saved = torch.load(state, map_location=task.device, weights_only=True)
    good = make_task(request, choices)
    good.load_state_dict(saved["state_dict"])
    good.on_load_checkpoint(saved)
    write_checkpoint(request.out, good, request, choices, good.images_seen() / max(1e-9, good.seconds))
    log(f"{request.out} keeps the state after {good.images_seen():,} images, before that")


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


def _loggers(out: Path, name: LoggerName) -> list[Logger]:
    loggers: list[Logger] = [CSVLogger(str(out), name="logs")]
    if name == "tensorboard" or (name == "auto" and importlib.util.find_spec("tensorboard") is not None):
        loggers.append(TensorBoardLogger(str(out), name="tensorboard"))
    if name == "wandb":
        loggers.append(WandbLogger(save_dir=str(out), project="synthaug"))
    return loggers
