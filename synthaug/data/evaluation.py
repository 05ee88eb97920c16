"""Batches of real images for validation and test."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from synthaug.core.errors import InputError
from synthaug.core.types import LabelledImages
from synthaug.data.mixture import Batch
from synthaug.data.preparation import Preparation


class EvaluationLoader:
    """Real images in their order, without augmentation, each once over all processes; as many batches in each.

    Args:
        images: Validation or test images.
        preparation: From pixels to what networks see.
        batch_size: Images in a batch, at most.
        device: Where batches are wanted.
        rank: This process's number.
        world_size: Number of processes.

    Raises:
        InputError: If there are fewer images than processes.
    """

    def __init__(
        self,
        images: LabelledImages,
        preparation: Preparation,
        *,
        batch_size: int,
        device: torch.device | str = "cpu",
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if len(images) < world_size:
            raise InputError(
                f"{images.name}: {len(images)} image(s) cannot be shared among {world_size} processes; use fewer"
            )
        self._images, self._preparation, self._device = images, preparation, torch.device(device)
        batches = -(-len(images) // (batch_size * world_size))
        self._parts = torch.arange(len(images)).tensor_split(batches * world_size)[rank::world_size]

    def __len__(self) -> int:
        return len(self._parts)

    def __iter__(self) -> Iterator[Batch]:
        for index in self._parts:
            labels = self._images.labels[index]
            targets = torch.nn.functional.one_hot(labels, len(self._images.class_names)).float()
            ones, zeros = torch.ones(len(index)), torch.zeros_like(index)
            images = self._preparation(self._images.images[index].to(self._device))
            others = (labels, targets, ones, zeros > 0, zeros, index)
            yield Batch(images, *(one.to(self._device) for one in others))
