"""Writes the networks of a trained DDPM, and begins a network from a checkpoint."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch

from synthaug.generators.checkpoint import read_card
from synthaug.generators.ddpm.network import load_network
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


def save_networks(task: DDPMTask, folder: Path) -> None:
    """Writes the averaged weights and the scheduler in diffusers' layout."""
    from diffusers import DDPMPipeline

    average = copy.deepcopy(task.average).cpu().to(memory_format=torch.contiguous_format)  # for safetensors
    DDPMPipeline(average, task.process.scheduler()).save_pretrained(folder, safe_serialization=True)
