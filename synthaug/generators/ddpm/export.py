"""Writes a trained DDPM as a checkpoint folder, and begins a network from one."""

from __future__ import annotations

import contextlib
import copy
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from synthaug.core.errors import StorageError
from synthaug.core.runtime import hardware
from synthaug.core.storage import disk_errors
from synthaug.generators.base import TrainRequest
from synthaug.generators.checkpoint import (
    CheckpointCard,
    TrainingSummary,
    read_card,
    weight_hashes,
    write_card,
)
from synthaug.generators.ddpm.network import load_network
from synthaug.generators.ddpm.settings import Choices
from synthaug.generators.ddpm.task import DDPMTask

_CLASS_WEIGHTS = "class_embedding.weight"


def begin_from(network: Any, folder: Path, class_names: tuple[str, ...]) -> None:
    """Copies the weights of a checkpoint into a new network of the same preset.

    Classes of the same names keep their embedding, new ones begin as "no label".

    Args:
        network: The new network; its sizes may differ in the number of classes and of pixels.
        folder: The checkpoint.
        class_names: Classes of the new network.

    Raises:
        DamageError: If the checkpoint is damaged.
    """
    card = read_card(folder)
    weights = load_network(folder, card).state_dict()
    known = {name: row for row, name in enumerate(card.class_names)}
    nobody = len(card.class_names)
    rows = [known.get(name, nobody) for name in class_names] + [nobody]
    weights[_CLASS_WEIGHTS] = weights[_CLASS_WEIGHTS][rows]
    network.load_state_dict(weights)


def write_checkpoint(out: Path, task: DDPMTask, request: TrainRequest, choices: Choices, rate: float) -> None:
    """Writes the averaged weights and the card that makes `out` a checkpoint, which comes last.

    Args:
        out: The folder.
        task: What was trained.
        request: What was asked for.
        choices: What it came to.
        rate: Images per second of the last run.

    Raises:
        StorageError: If the disk refuses.
    """
    from diffusers import DDPMPipeline

    temporary = out / ".export"
    average = copy.deepcopy(task.average).cpu().to(memory_format=torch.contiguous_format)  # for safetensors
    with _export_errors(out), disk_errors(out):
        DDPMPipeline(average, choices.process.scheduler()).save_pretrained(temporary, safe_serialization=True)
        for path in sorted(temporary.rglob("*")):
            if path.is_file():
                target = out / path.relative_to(temporary)
                target.parent.mkdir(exist_ok=True)
                path.replace(target)
    images = request.images
    training = TrainingSummary(
        images_seen=task.images_seen(),
        planned_images=task.steps * task.batch_size,
        steps=task.images_seen() // task.batch_size,
        seconds=round(task.total_seconds(), 1),
        images_per_second=round(rate, 1),
        loss=task.recent_loss(),
        parameters=sum(weight.numel() for weight in task.network.parameters()),
        precision=request.runtime.precision,
        hardware=hardware(),
    )
    card = CheckpointCard(
        model="ddpm",
        preset=choices.preset_name,
        class_names=images.class_names,
        image_size=images.image_size,
        channels=1 if images.channels == 1 else 3,
        allows_flip=request.allows_flip,
        split=request.split,
        ancestors=() if choices.init is None else (choices.init.split, *choices.init.ancestors),
        training=training,
        settings=choices.settings(request),
        weights=weight_hashes(out),
    )
    write_card(out, card)


@contextlib.contextmanager
def _export_errors(out: Path) -> Iterator[None]:
    try:
        yield
    except SafetensorError as error:  # Its own words for a full disk.
        raise StorageError(f"could not write the weights in {out}: {error}. Make room, then --resume auto.") from error
    finally:
        shutil.rmtree(out / ".export", ignore_errors=True)
