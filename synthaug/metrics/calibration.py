"""How far a classifier's confidence is from its accuracy, and which classes it takes for which."""

from __future__ import annotations

from jaxtyping import Float, Int64
from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error, multiclass_confusion_matrix

from synthaug.core.errors import InputError

#: Bins of confidence, as in Guo et al. 2017.
BINS = 15


def expected_calibration_error(probabilities: Float[Tensor, "n k"], labels: Int64[Tensor, " n"]) -> float:
    """The mean difference of confidence and accuracy, in [0, 1], over 15 bins of confidence (Guo et al. 2017, eq. 3).

    Args:
        probabilities: Of each class.
        labels: Class indices.

    Raises:
        InputError: If there are no images.
    """
    if len(labels) == 0:
        raise InputError("a calibration error needs at least one image, found none")
    classes = probabilities.shape[1]
    return float(multiclass_calibration_error(probabilities.double(), labels, classes, n_bins=BINS, norm="l1"))


def confusion_matrix(
    predicted: Int64[Tensor, " n"], labels: Int64[Tensor, " n"], classes: int
) -> tuple[tuple[int, ...], ...]:
    """Number of images of each class (rows) that are taken for each class (columns)."""
    return tuple(tuple(row) for row in multiclass_confusion_matrix(predicted, labels, classes).tolist())
