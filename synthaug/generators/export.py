"""Writes what was trained as a checkpoint folder."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from safetensors import SafetensorError

from synthaug.core.errors import StorageError
from synthaug.core.runtime import hardware
from synthaug.core.storage import disk_errors
from synthaug.generators.base import TrainRequest
from synthaug.generators.checkpoint import CheckpointCard, TrainingSummary, weight_hashes, write_card
from synthaug.generators.settings import ResolvedTraining
from synthaug.generators.task import GeneratorTask


def write_checkpoint(
    out: Path,
    task: GeneratorTask,
    request: TrainRequest,
    resolved: ResolvedTraining,
    save_networks: Callable[[Path], None],
    rate: float,
) -> None:
    """Writes the networks and the card that makes `out` a checkpoint, which comes last.

    Args:
        out: The folder.
        task: What was trained.
        request: What was asked for.
        resolved: What it came to.
        save_networks: Writes the networks into a folder in diffusers' layout.
        rate: Images per second of the last run.

    Raises:
        StorageError: If the disk refuses.
    """
    temporary = out / ".export"
    with _export_errors(out), disk_errors(out):
        save_networks(temporary)
        for path in sorted(temporary.rglob("*")):
            if path.is_file():
                target = out / path.relative_to(temporary)
                target.parent.mkdir(exist_ok=True)
                path.replace(target)
    images, init = request.images, resolved.init
    training = TrainingSummary(
        images_seen=task.images_seen(),
        planned_images=task.steps * task.images_per_step,
        steps=task.steps_done,
        seconds=round(task.total_seconds(), 1),
        images_per_second=round(rate, 1),
        loss=task.recent_loss(),
        parameters=sum(weight.numel() for weight in task.network.parameters()),
        precision=request.runtime.precision,
        hardware=hardware(),
        kept_after=task.kept_after,
    )
    card = CheckpointCard(
        model=resolved.model,
        preset=resolved.preset_name,
        class_names=images.class_names,
        image_size=images.image_size,
        channels=1 if images.channels == 1 else 3,
        allows_flip=request.allows_flip,
        split=request.split,
        ancestors=() if init is None else (init.split, *init.ancestors),
        training=training,
        settings=resolved.settings(request),
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
