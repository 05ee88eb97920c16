"""An exponential moving average of a network's weights."""

from __future__ import annotations

import copy

import torch
from torch import nn


def averaged_copy(network: nn.Module) -> nn.Module:
    """A frozen copy in evaluation mode, to be moved by `update_average`."""
    average = copy.deepcopy(network).eval().requires_grad_(False)
    return average


def decay_at(images_seen: int, batch_size: int, half_life: float) -> float:
    """The decay of the update that follows a batch: 0.5^(batch / (half-life * images seen)).

    The half-life grows with the training, so that the average always spans the same share of it, however long it will
    be. After many steps it is the power-function average of Karras et al. 2024 (EDM2, section 3.1), whose decay is
    (1 - 1 / step)^(gamma + 1), with gamma + 1 = ln 2 / half-life.

    Args:
        images_seen: Images shown so far, this batch among them.
        batch_size: Images of the batch.
        half_life: As a share of the images seen.
    """
    return float(0.5 ** (batch_size / (half_life * images_seen)))


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Average <- decay * average + (1 - decay) * network, for all parameters; buffers are copied."""
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1.0 - decay)
    if buffers := list(average.buffers()):
        torch._foreach_copy_(buffers, list(network.buffers()))
