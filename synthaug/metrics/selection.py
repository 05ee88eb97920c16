"""Chooses few samples that stand for many, by their features; not how many, nor of which class."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from synthaug.core.errors import InputError


def k_centre(features: Float[Tensor, "n d"], count: int) -> Int64[Tensor, " k"]:
    """Chooses samples so that none of the others is far from all of them.

    The greedy 2-approximation of Gonzalez 1985: begins with the sample nearest to the mean, then always takes the one
    that is farthest from all taken.

    Args:
        features: Of the samples.
        count: How many to choose.

    Returns:
        Their positions, in the order in which they were taken.

    Raises:
        InputError: If there are fewer samples.
    """
    _check(len(features), count)
    values = features.to(torch.float64)
    chosen = [int((values - values.mean(dim=0)).square().sum(dim=1).argmin())]
    distance = torch.full((len(values),), torch.inf, dtype=torch.float64)
    while len(chosen) < count:
        distance = torch.minimum(distance, (values - values[chosen[-1]]).square().sum(dim=1))
        distance[chosen[-1]] = -1.0  # so that repeated samples are taken once each
        chosen.append(int(distance.argmax()))
    return torch.tensor(chosen)


def greedy_cover(covers: Bool[Tensor, "n m"], count: int) -> Int64[Tensor, " k"]:
    """Chooses samples that together cover as many targets as can be.

    The greedy choice covers at least 1 - 1/e of what any as many samples could (Nemhauser, Wolsey and Fisher 1978).
    Once nothing more can be covered, it begins again with all targets uncovered, so that they are covered twice.

    Args:
        covers: Which sample (row) covers which target (column).
        count: How many to choose.

    Returns:
        Their positions, in the order in which they were taken.

    Raises:
        InputError: If there are fewer samples.
    """
    _check(len(covers), count)
    chosen: list[int] = []
    gains = covers.sum(dim=1)
    is_open = torch.ones(covers.shape[1], dtype=torch.bool)
    is_left = torch.ones(len(covers), dtype=torch.bool)
    while len(chosen) < count:
        best = int(torch.where(is_left, gains, -1).argmax())
        if gains[best] == 0 and not is_open.all():
            gains, is_open = covers.sum(dim=1), torch.ones_like(is_open)
            continue
        chosen.append(best)
        is_left[best] = False
        newly = covers[best] & is_open
        is_open &= ~newly
        gains = gains - covers[:, newly].sum(dim=1)
    return torch.tensor(chosen)


def _check(samples: int, count: int) -> None:
    if not 1 <= count <= samples:
        raise InputError(f"of {samples} samples, 1 to {samples} can be chosen, found {count}")
