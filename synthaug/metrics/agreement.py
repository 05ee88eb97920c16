"""How often predictions agree with labels: test accuracy for real images, label fidelity for synthetic ones."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from synthaug.core.errors import InputError


@dataclass(frozen=True)
class Agreement:
    """Shares in [0, 1].

    Attributes:
        overall: Share of all images whose prediction is their label.
        per_class: The same for the images of each class; None for a class without images.
        count: Number of images.
    """

    overall: float
    per_class: tuple[float | None, ...]
    count: int


def agreement(predicted: Int64[Tensor, " n"], labels: Int64[Tensor, " n"], classes: int) -> Agreement:
    """Compares predictions with labels.

    Raises:
        InputError: If there is nothing to compare.
    """
    if len(labels) == 0:
        raise InputError("agreement needs at least one image, found none")
    right = (predicted == labels).to(torch.float64)
    totals = torch.bincount(labels, minlength=classes)
    hits = torch.bincount(labels, weights=right, minlength=classes)
    per_class = tuple(hit / total if total else None for hit, total in zip(hits.tolist(), totals.tolist(), strict=True))
    return Agreement(right.mean().item(), per_class, len(labels))
