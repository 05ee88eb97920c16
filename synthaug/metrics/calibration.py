"""How good a classifier's probabilities are, and which classes it takes for which."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error, multiclass_confusion_matrix

from synthaug.core.errors import InputError

#: Bins of confidence, as in Guo et al. 2017.
BINS = 15
#: What a probability counts as at least, so that one sure mistake costs 15.9 nats and not infinitely many.
LEAST_PROBABILITY = torch.finfo(torch.float32).eps


def expected_calibration_error(probabilities: Float[Tensor, "n k"], labels: Int64[Tensor, " n"]) -> float:
    """The mean difference of confidence and accuracy, in [0, 1], over 15 bins of confidence (Guo et al. 2017, eq. 3).

    Args:
        probabilities: Of each class.
        labels: Class indices.

    Raises:
        InputError: If there are no images.
    """
    _check_some(labels, "a calibration error")
    classes = probabilities.shape[1]
    return float(multiclass_calibration_error(probabilities.double(), labels, classes, n_bins=BINS, norm="l1"))


def negative_log_likelihood(probabilities: Float[Tensor, "n k"], labels: Int64[Tensor, " n"]) -> float:
    """The mean of -log p(label) in nats, in [0, 15.95]: no probability counts as less than `LEAST_PROBABILITY`.

    Args:
        probabilities: Of each class.
        labels: Class indices.

    Raises:
        InputError: If there are no images.
    """
    _check_some(labels, "a likelihood")
    return F.nll_loss(probabilities.double().clamp(LEAST_PROBABILITY, 1).log(), labels).item()


def brier_score(probabilities: Float[Tensor, "n k"], labels: Int64[Tensor, " n"]) -> float:
    """The mean over images of the squared distance of the probabilities to the label's, in [0, 2] (Brier 1950).

    Args:
        probabilities: Of each class.
        labels: Class indices.

    Raises:
        InputError: If there are no images.
    """
    _check_some(labels, "a Brier score")
    ideal = F.one_hot(labels, probabilities.shape[1])
    return (probabilities.double() - ideal).square().sum(dim=1).mean().item()


def confusion_matrix(
    predicted: Int64[Tensor, " n"], labels: Int64[Tensor, " n"], classes: int
) -> tuple[tuple[int, ...], ...]:
    """Number of images of each class (rows) that are taken for each class (columns)."""
    return tuple(tuple(row) for row in multiclass_confusion_matrix(predicted, labels, classes).tolist())


def _check_some(labels: Int64[Tensor, " n"], what: str) -> None:
    if len(labels) == 0:
        raise InputError(f"{what} needs at least one image, found none")
