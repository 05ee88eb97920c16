"""The checkpoint folder: diffusers layout plus `synthaug.json`, whose hashes are checked before anything is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from synthaug.core.errors import DamageError, InputError
from synthaug.core.storage import sha256_file, sha256_json, write_text
from synthaug.core.types import SplitRecord
from synthaug.generators.base import GeneratorSpec

CARD_NAME = "synthaug.json"


class TrainingSummary(BaseModel):
    """What a training came to.

    Attributes:
        images_seen: Images shown to the network.
        planned_images: Images that were to be shown; more than `images_seen` if time ran out.
        steps: Optimiser steps done.
        seconds: Time spent training, over all runs.
        images_per_second: Of the last run.
        loss: Mean training loss over the last hundred steps.
        parameters: Trainable numbers of the network.
        precision: fp32 or bf16.
        hardware: Where it was trained.
        kept_after: Images seen when the weights kept were measured best; None for those at the end.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    images_seen: int
    planned_images: int
    steps: int
    seconds: float
    images_per_second: float
    loss: float
    parameters: int
    precision: str
    hardware: str
    kept_after: int | None = None

    @property
    def is_complete(self) -> bool:
        """False if time ran out before all images were shown."""
        return self.images_seen >= self.planned_images


class CheckpointCard(BaseModel):
    """`synthaug.json`: what a checkpoint is and how it came to be.

    Attributes:
        format: Version of this file.
        model: Name of the backend.
        preset: Preset of its network.
        class_names: Classes in label order.
        image_size: Height and width in pixels.
        channels: 1 for grey, 3 for RGB.
        allows_flip: Whether a mirrored image still shows its class.
        split: What it was trained on.
        ancestors: What the checkpoint was trained on from which this one began, and that one's, newest first.
        training: How.
        guidance: Guidance that its sampler takes unless told otherwise; None leaves it to the backend.
        settings: The training settings, to be repeated when resuming.
        weights: sha256 of each file with weights or configuration, by its path in the folder.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    model: str
    preset: str
    class_names: tuple[str, ...]
    image_size: int
    channels: Literal[1, 3]
    allows_flip: bool
    split: SplitRecord
    ancestors: tuple[SplitRecord, ...] = ()
    training: TrainingSummary
    guidance: float | None = None
    settings: dict[str, Any]
    weights: dict[str, str]

    @property
    def checkpoint(self) -> str:
        """One hash over all weights and their configuration."""
        return sha256_json(self.weights)

    def spec(self, sampling_version: int, latent: int | None = None) -> GeneratorSpec:
        """What a generator loaded from it makes.

        Args:
            sampling_version: Version of the backend's sampling code.
            latent: Number of latent variables, if it has them.
        """
        return GeneratorSpec(
            model=self.model,
            class_names=self.class_names,
            channels=self.channels,
            image_size=self.image_size,
            checkpoint=self.checkpoint,
            allows_flip=self.allows_flip,
            split=self.split,
            ancestors=self.ancestors,
            sampling_version=sampling_version,
            latent=latent,
        )


def weight_hashes(folder: Path) -> dict[str, str]:
    """sha256 of every safetensors file below `folder`, and of configurations and indices beside, by relative path."""
    paths = sorted(
        path for name in ("**/*.safetensors", "*/*config.json", "*/*.index.json") for path in folder.glob(name)
    )
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in paths}


def write_card(folder: Path, card: CheckpointCard) -> None:
    """Writes `synthaug.json`, which makes the folder a checkpoint."""
    write_text(folder / CARD_NAME, json.dumps(card.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n")


def read_card(folder: Path) -> CheckpointCard:
    """Reads `synthaug.json`.

    Raises:
        InputError: If the folder is not a checkpoint of this project.
    """
    path = folder / CARD_NAME
    if not path.is_file():
        raise InputError(
            f"{folder} is not a checkpoint: it has no {CARD_NAME}. Make one with: synthaug train --out DIR"
        )
    try:
        return CheckpointCard.model_validate_json(path.read_bytes())
    except ValidationError as error:
        detail = error.errors()[0]
        field = ".".join(map(str, detail["loc"])) or "contents"
        raise InputError(f"{path} is not readable: {field}: {detail['msg']}") from error


def verify_weights(folder: Path, card: CheckpointCard) -> None:
    """Checks that the weight files are those the card names.

    Raises:
        DamageError: Naming the file that differs.
    """
    for name, expected in card.weights.items():
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
            raise DamageError(f"{folder}: the weight file {name} is missing")
        if sha256_file(path) != expected:
            raise DamageError(
                f"{path} is damaged or was replaced: its sha256 is not that of {CARD_NAME}. Restore it or train again."
            )
    unlisted = sorted(weight_hashes(folder).keys() - card.weights.keys())
    if unlisted or not card.weights:
        raise DamageError(f"{folder}: {CARD_NAME} does not vouch for the weights {', '.join(unlisted) or '(none)'}")


def load_network(kind: Any, folder: Path, subfolder: str, card: CheckpointCard) -> Any:
    """A network of a checkpoint folder in float32, after checking its hashes; nothing in the folder is executed.

    Args:
        kind: Its class, a diffusers `ModelMixin`.
        folder: The checkpoint.
        subfolder: Where the network is in it.
        card: What the checkpoint should be.

    Raises:
        DamageError: If weights are not those of the card, or not those of the network.
    """
    verify_weights(folder, card)
    try:
        network, differences = kind.from_pretrained(
            folder,
            subfolder=subfolder,
            use_safetensors=True,
            local_files_only=True,
            torch_dtype=torch.float32,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise DamageError(f"{folder}: the network could not be loaded: {error}") from error
    for problem in ("missing_keys", "unexpected_keys"):
        if names := sorted(differences[problem]):
            raise DamageError(f"{folder}: the network could not be loaded: {problem.replace('_', ' ')}: {names[0]}")
    return network
