"""Trains a class-conditional DDPM and exports it as a checkpoint folder."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import math
import pickle
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger
from safetensors import SafetensorError

from synthaug.core.console import progress
from synthaug.core.errors import DamageError, InputError, StorageError
from synthaug.core.pixels import encode_png, grid
from synthaug.core.runtime import Runtime, hardware
from synthaug.core.seeding import SampleNoise, derive_seed
from synthaug.core.storage import check_same_settings, disk_errors, write_bytes, write_json
from synthaug.core.training import TrainingState, fit
from synthaug.generators.base import LoggerName, TrainRequest
from synthaug.generators.checkpoint import CheckpointCard, TrainingSummary, read_card, weight_hashes, write_card
from synthaug.generators.ddpm import sampler
from synthaug.generators.ddpm.diffusion import SCHEDULER
from synthaug.generators.ddpm.network import PRESETS, Preset, build_network, check_size
from synthaug.generators.ddpm.task import DDPMTask

_GRID_CLASSES, _GRID_PER_CLASS = 10, 8
_SETTINGS_NAME = "settings.json"


class _Endless(torch.utils.data.IterableDataset[int]):
    """Gives step numbers for ever; the task gathers its own batches."""

    def __iter__(self) -> Iterator[int]:
        step = 0
        while True:
            yield step
            step += 1


class _Grids(Callback):
    """Writes a grid of samples from the same noise every few steps."""

    def __init__(self, folder: Path, every: int, card: CheckpointCard, runtime: Runtime) -> None:
        self._folder, self._every, self._runtime = folder, every, runtime
        classes = min(_GRID_CLASSES, len(card.class_names))
        self._samples = [(label, index) for label in range(classes) for index in range(_GRID_PER_CLASS)]
        self._shape = (int(card.channels), card.image_size, card.image_size)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step % self._every == 0:
            self._write(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._write(trainer, pl_module)

    def _write(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        if not trainer.is_global_zero or not isinstance(task, DDPMTask):
            return
        images = sampler.sample_images(
            task.average,
            SCHEDULER,
            task.alphas_cumprod,
            torch.tensor([label for label, _ in self._samples]),
            SampleNoise(0, self._samples, self._shape),
            sampler.DEFAULT_SETTINGS,
            self._runtime,
        )
        picture = grid(images, _GRID_PER_CLASS, scale=max(1, 32 // self._shape[2]))
        write_bytes(self._folder / f"step-{trainer.global_step:07d}.png", encode_png(picture))


def train(request: TrainRequest) -> Path:
    """Trains and writes a checkpoint folder that stock diffusers can load.

    Besides the checkpoint, the folder gets `training/` (state for resuming), `logs/` (CSV, and TensorBoard where
    it is installed) and `grids/` (samples from fixed noise).

    Raises:
        InputError: For impossible settings, or a state to resume from that was made with others.
        DamageError: If that state cannot be read.
        TrainingError: If the loss is no longer a number.
    """
    preset, runtime = resolve(request), request.runtime
    settings = _settings(request, preset)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed("initialise", request.seed))
        network = network_for(preset, request)
    task = DDPMTask(
        network,
        request.images,
        allows_flip=request.allows_flip,
        batch_size=preset.batch_size,
        learning_rate=preset.learning_rate,
        steps=preset.steps,
        ema_decay=preset.ema_decay,
        label_dropout=request.label_dropout,
        seed=request.seed,
    )
    card = _unfinished_card(request, settings, task)
    write_json(request.out / "training" / _SETTINGS_NAME, settings)
    state = request.out / "training" / "state.ckpt"
    done_before = 0 if request.resume_from is None else _steps_in(request.resume_from)
    # A training that was stopped after its last step has a state, but no checkpoint yet.
    if done_before < preset.steps or _exported_steps(request.out) < done_before:
        with progress("training ddpm", preset.steps) as advance:
            fit(
                task,
                torch.utils.data.DataLoader(_Endless(), batch_size=None),
                runtime=runtime,
                steps=preset.steps,
                root=request.out,
                on_step=advance,
                max_time=request.max_time,
                callbacks=[TrainingState(state), _Grids(request.out / "grids", request.grid_every, card, runtime)],
                loggers=_loggers(request.out, request.logger),
                resume_from=request.resume_from,
            )
        _export(task, card, request.out, settings, done_before)
    return request.out


def resolve(request: TrainRequest) -> Preset:
    """The preset with the request's own numbers in place.

    Raises:
        InputError: If the preset is unknown, the image size does not suit it, a number is out of range, or the state to
            resume from was made with other settings.
    """
    preset = PRESETS.get(request.preset)
    check_size(preset, request.images.image_size)
    steps = preset.steps if request.steps is None else request.steps
    batch_size = preset.batch_size if request.batch_size is None else request.batch_size
    learning_rate = preset.learning_rate if request.learning_rate is None else request.learning_rate
    for flag, value in {"--steps": steps, "--batch-size": batch_size, "--grid-every": request.grid_every}.items():
        if value < 1:
            raise InputError(f"{flag} must be at least 1, found {value}")
    if not 0 < learning_rate < math.inf:
        raise InputError(f"--learning-rate must be positive, found {learning_rate}")
    if not 0.0 <= request.label_dropout < 1.0:
        raise InputError(f"--label-dropout must lie in [0, 1), found {request.label_dropout}")
    if request.logger in ("tensorboard", "wandb") and importlib.util.find_spec(request.logger) is None:
        package = request.logger
        raise InputError(f"--logger {package} needs a package; install it with: pip install 'synthaug[{package}]'")
    preset = replace(preset, steps=steps, batch_size=batch_size, learning_rate=learning_rate)
    if request.resume_from is not None:
        _check_same_training(request.resume_from, _settings(request, preset))
    return preset


def network_for(preset: Preset, request: TrainRequest) -> Any:
    """A new network for the images of the request."""
    images = request.images
    return build_network(
        preset, image_size=images.image_size, channels=images.channels, classes=len(images.class_names)
    )


def _settings(request: TrainRequest, preset: Preset) -> dict[str, Any]:
    return {
        "model": "ddpm",
        "preset": request.preset,
        "batch_size": preset.batch_size,
        "learning_rate": preset.learning_rate,
        "ema_decay": preset.ema_decay,
        "label_dropout": request.label_dropout,
        "allows_flip": request.allows_flip,
        "seed": request.seed,
        "steps": preset.steps,
        "train_fingerprint": request.split.train_fingerprint,
    }


def _check_same_training(state: Path, settings: dict[str, Any]) -> None:
    path = state.with_name(_SETTINGS_NAME)
    if not path.is_file():
        raise InputError(f"{state} cannot be resumed: {path.name} is missing beside it")
    steps = {"steps": settings["steps"]}  # The one setting that may change: a training can be made longer.
    try:
        before = json.loads(path.read_text())
    except ValueError as error:
        raise DamageError(f"{path} is damaged: it is not JSON; train into another folder") from error
    check_same_settings({**before, **steps}, settings, str(state))


def _steps_in(state: Path) -> int:
    try:
        saved: dict[str, Any] = torch.load(state, map_location="cpu", weights_only=True, mmap=True)
        return int(saved["global_step"])
    except (RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError) as error:
        raise DamageError(f"{state} is damaged or no training state; train into another folder") from error


def _exported_steps(out: Path) -> int:
    with contextlib.suppress(InputError):
        return read_card(out).training.steps
    return 0


def _loggers(out: Path, name: LoggerName) -> list[Logger]:
    loggers: list[Logger] = [CSVLogger(str(out), name="logs")]
    if name == "tensorboard" or (name == "auto" and importlib.util.find_spec("tensorboard") is not None):
        loggers.append(TensorBoardLogger(str(out), name="tensorboard"))
    if name == "wandb":
        loggers.append(WandbLogger(save_dir=str(out), project="synthaug"))
    return loggers


def _unfinished_card(request: TrainRequest, settings: dict[str, Any], task: DDPMTask) -> CheckpointCard:
    images = request.images
    training = TrainingSummary(
        steps=0,
        planned_steps=settings["steps"],
        images_seen=0,
        seconds=0.0,
        images_per_second=0.0,
        loss=0.0,
        parameters=sum(weight.numel() for weight in task.network.parameters()),
        precision=request.runtime.precision,
        hardware=hardware(),
    )
    return CheckpointCard(
        model="ddpm",
        preset=request.preset,
        class_names=images.class_names,
        image_size=images.image_size,
        channels=1 if images.channels == 1 else 3,
        allows_flip=request.allows_flip,
        split=request.split,
        training=training,
        settings=settings,
        weights={},
    )


@contextlib.contextmanager
def _export_errors(out: Path) -> Iterator[None]:
    try:
        yield
    except SafetensorError as error:  # Its own words for a full disk.
        raise StorageError(f"could not write the weights in {out}: {error}. Make room, then --resume auto.") from error
    finally:
        shutil.rmtree(out / ".export", ignore_errors=True)


def _export(task: DDPMTask, card: CheckpointCard, out: Path, settings: dict[str, Any], done_before: int) -> None:
    from diffusers import DDPMPipeline, DDPMScheduler

    temporary = out / ".export"
    with _export_errors(out), disk_errors(out):
        DDPMPipeline(task.average, DDPMScheduler(**SCHEDULER)).save_pretrained(temporary, safe_serialization=True)
        for path in sorted(temporary.rglob("*")):
            if path.is_file():
                target = out / path.relative_to(temporary)
                target.parent.mkdir(exist_ok=True)
                path.replace(target)
    steps, seconds = task.trainer.global_step, task.total_seconds()
    batch_size = int(settings["batch_size"])
    training = card.training.model_copy(
        update={
            "steps": steps,
            "images_seen": steps * batch_size,
            "seconds": round(seconds, 1),
            "images_per_second": round((steps - done_before) * batch_size / max(1e-9, seconds - task.seconds), 1),
            "loss": task.recent_loss(),
        }
    )
    write_card(out, card.model_copy(update={"training": training, "weights": weight_hashes(out)}))
