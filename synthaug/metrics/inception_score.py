"""The Inception-style score (Salimans et al. 2016): of any classifier's probabilities, not only Inception's."""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from synthaug.core.errors import InputError
from synthaug.metrics.estimates import Estimate, resampled_means

#: How far a row of probabilities may be from a sum of one: the rounding of half precision.
_TOLERANCE = 1e-2
#: Standard deviations to either side of the middle 95 % of a normal distribution.
_DEVIATIONS = 1.96


def inception_score(probabilities: Float[Tensor, "n k"], *, seed: int = 0) -> Estimate:
    """exp(E KL(p(y|x) || p(y))) in [1, k], with its 95 % interval.

    1 says that all images look alike to the classifier, k that it is certain of each and finds the classes equally
    often. p(y) is the mean of all rows: there are no ten splits, each with a p(y) of its own, as in the paper's code.
    Figures of different classifiers are on different scales.

    Few images show a p(y) that is less even than the classes are, and a score that is too low: by the bias, which 1000
    bootstrap resamples have against the set as the set has against the truth. Sets made evenly of all classes do not.
    The interval therefore reaches from 1.96 standard deviations of the resamples below the score to as much above the
    score without the bias. In simulations it held the score of endless images in 92 to 100 % of sets of 5 to 100 even
    classes, and of sets of random classes in as many with at least three images per class, but in 57 % with two.

    Args:
        probabilities: p(y|x) of each image; rows sum to one.
        seed: Of the resamples.

    Raises:
        InputError: If there are fewer images than classes, or a row is no distribution.
    """
    count, classes = probabilities.shape
    if count < max(1, classes):
        raise InputError(
            f"an Inception-style score of {classes} classes needs at least {max(1, classes)} images, found {count}: "
            "fewer cannot show all classes"
        )
    precise = probabilities.to(torch.float64)
    sums = precise.sum(dim=1, keepdim=True)
    # A comparison with something that is not a number is false.
    if not ((precise >= 0).all() and ((sums - 1).abs() <= _TOLERANCE).all()):
        raise InputError("an Inception-style score needs probabilities that sum to one for each image, found others")
    precise = precise / sums
    terms = torch.cat([precise, torch.special.entr(precise).sum(dim=1, keepdim=True)], dim=1)
    value = float(_scores(terms.mean(dim=0, keepdim=True)))
    return _interval(value, _scores(resampled_means(terms, seed=seed)), classes)


def _interval(value: float, resampled: Float64[Tensor, " r"], classes: int) -> Estimate:
    reach = _DEVIATIONS * float(resampled.std())
    bias = min(0.0, float(resampled.mean()) - value)
    return Estimate(value, min(value, max(1.0, value - reach)), max(value, min(float(classes), value - bias + reach)))


def _scores(means: Float64[Tensor, "r k_and_one"]) -> Float64[Tensor, " r"]:
    """E KL(p(y|x) || p(y)) is the entropy of p(y), the mean of the first k columns, less the mean entropy, the last."""
    information: Tensor = torch.special.entr(means[:, :-1]).sum(dim=1) - means[:, -1]
    return information.exp().clamp(1, means.shape[1] - 1)
