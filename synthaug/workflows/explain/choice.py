"""Which test images are explained, and how alike two maps of one image are."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from synthaug.core.seeding import generator_for


def spread_over_classes(
    labels: Int64[Tensor, " n"], candidates: Bool[Tensor, " n"], count: int, *, seed: int
) -> list[int]:
    """Positions of random candidates, from all classes as evenly as there are any; class by class.

    Args:
        labels: Class indices of all images.
        candidates: Which of them may be chosen.
        count: How many to choose; all candidates if there are no more.
        seed: Decides which, and which classes come first where not all can have as many.
    """
    classes = int(labels.max()) + 1
    turns = torch.randperm(classes, generator=generator_for("classes to explain", seed)).tolist()
    queue = []
    for label, turn in enumerate(turns):
        members = torch.nonzero(labels == label).flatten()
        order = members[torch.randperm(len(members), generator=generator_for("images to explain", seed, label))]
        queue += [(rank, turn, label, position) for rank, position in enumerate(order[candidates[order]].tolist())]
    chosen = sorted(queue)[:count]
    return [position for _, _, _, position in sorted(chosen, key=lambda entry: (entry[2], entry[0]))]


def rank_correlation(
    first: Float[Tensor, "h w"], second: Float[Tensor, "h w"], where: Bool[Tensor, "h w"]
) -> float | None:
    """Spearman's correlation of two maps, in [-1, 1]; None if one of them is the same everywhere.

    Args:
        first: A map.
        second: Another.
        where: The pixels that count.
    """
    from scipy.stats import spearmanr

    one, other = _without_noise(first[where]), _without_noise(second[where])
    if min(len(set(one.tolist())), len(set(other.tolist()))) < 2:
        return None
    return float(spearmanr(one.numpy(), other.numpy()).statistic)


def _without_noise(values: Float[Tensor, " n"]) -> Float64[Tensor, " n"]:
    """As shares of the largest, to five digits: what differs by rounding only, as in an enlarged map, has one rank."""
    largest = float(values.abs().max()) if len(values) else 0.0
    return (values.double() / (largest or 1.0)).round(decimals=5)
