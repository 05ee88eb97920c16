"""Copies what a generator needs of a checkpoint, in fewer bytes and in files of a bounded size."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import torch
from huggingface_hub import save_torch_state_dict
from safetensors.torch import load_file
from torch import Tensor

from synthaug.core.errors import InputError
from synthaug.generators.checkpoint import (
    CARD_NAME,
    CheckpointCard,
    read_card,
    verify_weights,
    weight_hashes,
    write_card,
)

_INDEX_NAME = "model_index.json"
_WEIGHTS_NAME = "diffusion_pytorch_model{suffix}.safetensors"


def pack_checkpoint(
    checkpoint: Path,
    target: Path,
    *,
    is_rounded: bool = False,
    shard_size: str = "15MB",
    source: str | None = None,
    guidance: float | None = None,
) -> CheckpointCard:
    """Copies a checkpoint without logs, grids and training state; the copy is loaded like any other.

    Args:
        checkpoint: Folder of the checkpoint.
        target: Folder of the copy; what is there is replaced if it is a checkpoint.
        is_rounded: Whether matrices and kernels are rounded to bfloat16, which halves the files. Vectors (biases,
            statistics) cost little and stay as they are.
        shard_size: Bytes that a file of weights may have; larger ones are split as diffusers does. The hash of the
            checkpoint is over its files, so that it depends on this.
        source: What to call the images it was trained on, instead of their path.
        guidance: Guidance that its sampler is to take unless told otherwise; None leaves it as it is.

    Returns:
        The card of the copy.

    Raises:
        InputError: If the folder is no checkpoint, or the target holds something else.
        DamageError: If weights are not those of the card.
    """
    card = read_card(checkpoint)
    verify_weights(checkpoint, card)
    if target.resolve() == checkpoint.resolve():
        raise InputError(f"{target} cannot be a copy of itself; choose another folder")
    if target.exists() and any(target.iterdir()) and not (target / CARD_NAME).is_file():
        raise InputError(f"{target} holds something that is not a checkpoint; choose another folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".packing-", dir=target.parent) as scratch:
        packed = _packed(card, checkpoint, Path(scratch) / "copy", is_rounded, shard_size, source, guidance)
        shutil.rmtree(target, ignore_errors=True)
        (Path(scratch) / "copy").rename(target)
    return packed


def _packed(
    card: CheckpointCard,
    checkpoint: Path,
    target: Path,
    is_rounded: bool,
    shard_size: str,
    source: str | None,
    guidance: float | None,
) -> CheckpointCard:
    target.mkdir()
    shutil.copyfile(checkpoint / _INDEX_NAME, target / _INDEX_NAME)
    for component in (name for name in json.loads((target / _INDEX_NAME).read_bytes()) if not name.startswith("_")):
        folder = target / component
        folder.mkdir()
        for config in (checkpoint / component).glob("*config.json"):
            shutil.copyfile(config, folder / config.name)
        if weights := _weights(checkpoint / component):
            tensors = {name: _rounded(values) for name, values in weights.items()} if is_rounded else weights
            save_torch_state_dict(
                tensors, folder, filename_pattern=_WEIGHTS_NAME, max_shard_size=shard_size, metadata={"format": "pt"}
            )
    changes = {
        "split": card.split if source is None else card.split.model_copy(update={"source": source}),
        "guidance": card.guidance if guidance is None else guidance,
        "weights": weight_hashes(target),
    }
    packed = card.model_copy(update=changes)
    write_card(target, packed)
    return packed


def _weights(folder: Path) -> dict[str, Tensor]:
    """All weights of a network, of however many files."""
    return {name: values for file in sorted(folder.glob("*.safetensors")) for name, values in load_file(file).items()}


def _rounded(values: Tensor) -> Tensor:
    return values.to(torch.bfloat16) if values.ndim > 1 else values
