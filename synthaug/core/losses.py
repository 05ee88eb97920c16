"""The training loss of classifiers on batches whose images count differently; no optimisers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def weighted_cross_entropy(
    logits: Float[Tensor, "n k"],
    targets: Float[Tensor, "n k"],
    weights: Float[Tensor, " n"],
    *,
    label_smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    """The weighted mean of -sum_k targets_k log softmax(logits)_k over a batch; 0 if all weights are 0.

    Args:
        logits: Unnormalised log-probabilities.
        targets: Probabilities of the classes.
        weights: How much each image counts, 0 or more.
        label_smoothing: Share of every target spread evenly over all classes, besides what `targets` hold.
    """
    each = F.cross_entropy(logits.float(), targets, reduction="none", label_smoothing=label_smoothing)
    return (each * weights).sum() / weights.sum().clamp(min=torch.finfo(torch.float32).tiny)
