"""Whether generated samples copy training samples, by distances in a space of features; not which space that is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from scipy.stats import binomtest
from torch import Tensor

from synthaug.core.errors import InputError
from synthaug.metrics.estimates import Estimate
from synthaug.metrics.neighbours import nearest

#: Most training samples whose mean distance is the scale of a distance (Carlini et al. 2023, section 5.1).
MOST_NEIGHBOURS = 50
#: Fewer held-out samples do not tell what distances are usual.
LEAST_HELD_OUT = 20
#: Share of samples that look like copies by chance, in one space or another: two tails at three deviations.
CHANCE = 0.0027
#: Share of copies from which a set as a whole counts as copied.
MANY = 0.01
#: Standard deviations of the usual logarithms of relative distances below their median at which copies begin.
_DEVIATIONS = 3.0
#: Standard deviations below the median of a normal distribution at which this share of it lies further below.
_TAIL, _TAIL_DEVIATIONS = 0.1587, 1.0
#: Neighbours in its own set that are looked at as duplicates of a sample.
_CANDIDATES = 10


@dataclass(frozen=True, eq=False)
class TrainDistances:
    """How far samples are from training samples.

    Attributes:
        nearest: Distance to the nearest training sample.
        index: Which that is.
        scale: Mean distance to the nearest few, so that samples of crowded and of empty regions compare.
    """

    nearest: Float[Tensor, " n"]
    index: Int64[Tensor, " n"]
    scale: Float[Tensor, " n"]

    @property
    def relative(self) -> Float[Tensor, " n"]:
        """Nearest distance over scale, in [0, 1]: 0 for a copy, about 1 for a sample far from all.

        The adaptive distance of Carlini et al. 2023, "Extracting Training Data from Diffusion Models", with alpha = 1.
        """
        return torch.where(self.nearest > 0, self.nearest / self.scale, 0.0)

    def closer(self, other: TrainDistances) -> TrainDistances:
        """For each sample the smaller relative distance of two views of it, such as the mirrored one."""
        is_closer = other.relative < self.relative
        pairs = ((self.nearest, other.nearest), (self.index, other.index), (self.scale, other.scale))
        return TrainDistances(*(torch.where(is_closer, new, old) for old, new in pairs))


def scale_neighbours(train: int, classes: int) -> int:
    """How many training samples make up the scale: 50, or a quarter of a class if that is fewer, but at least 2."""
    return max(2, min(MOST_NEIGHBOURS, train // (4 * max(1, classes))))


def train_distances(
    samples: Float[Tensor, "n d"], train: Float[Tensor, "m d"], *, neighbours: int, are_train: bool = False
) -> TrainDistances:
    """Distances of samples to training samples, in float64.

    Args:
        samples: Their features.
        train: Features of the training samples.
        neighbours: How many of them make up the scale; see `scale_neighbours`.
        are_train: Whether the samples are the training samples, each of which is then compared with the others.

    Raises:
        InputError: If there are not more training samples than neighbours.
    """
    if len(train) <= neighbours:
        raise InputError(f"with {neighbours} neighbours, more training images are needed, found {len(train)}")
    found = nearest(samples, train, neighbours, excludes_self=are_train)
    return TrainDistances(found.distances[:, 0], found.indices[:, 0], found.distances.mean(dim=1))


def copy_threshold(held_out: Float[Tensor, " n"]) -> float:
    """The largest relative distance that makes a copy.

    Three standard deviations below the median of what samples have that nobody trained on, on a logarithmic scale,
    which about one of 700 of them would reach by chance, and at most a third of that median. The deviation is that of
    the median and the lower sixth, so that real duplicates among the held-out samples, as data sets have, do not move
    it.

    Args:
        held_out: Relative distances of real samples that were held out.

    Raises:
        InputError: If there are too few of them.
    """
    usual = held_out[held_out > 0].to(torch.float64)
    if len(usual) < LEAST_HELD_OUT:
        raise InputError(
            f"what distances are usual takes at least {LEAST_HELD_OUT} held-out images that are not training images, "
            f"found {len(usual)}"
        )
    tail, median = usual.log().quantile(torch.tensor([_TAIL, 0.5], dtype=torch.float64)).tolist()
    deviation = (median - tail) / _TAIL_DEVIATIONS
    return min(math.exp(median - _DEVIATIONS * deviation), math.exp(median) / 3)


def authenticity(generated: TrainDistances, train: TrainDistances) -> float:
    """Share of samples that are farther from their nearest training sample than that is from its own nearest one.

    AuthPct of Alaa et al. 2022, "How Faithful is your Synthetic Data?", as a share; to be compared with that of real
    samples that were held out, which depends on the number of training samples.

    Args:
        generated: Of the samples.
        train: Of the training samples among themselves.
    """
    return float((generated.nearest > train.nearest[generated.index]).double().mean())


def first_alike(samples: Float[Tensor, "n d"], reach: Float[Tensor, " n"]) -> Int64[Tensor, " n"]:
    """For each sample the first one that it repeats, itself if none: only what is kept is repeated.

    Samples are gone through in order; one is kept unless a kept one before it is in reach of either.

    Args:
        samples: Their features.
        reach: For each, the distance up to which another counts as the same.
    """
    first, kept = torch.arange(len(samples)), torch.arange(len(samples))
    while len(kept) > 1:  # of many alike, not all are among the nearest at once
        found = nearest(samples[kept], samples[kept], min(_CANDIDATES, len(kept) - 1), excludes_self=True)
        limits = torch.maximum(reach[kept][:, None], reach[kept][found.indices])
        rows, columns = (found.distances <= limits).nonzero(as_tuple=True)
        repeated = _repeated(rows.tolist(), found.indices[rows, columns].tolist())
        if not repeated:
            break
        places = torch.tensor(list(repeated))
        first[kept[places]] = kept[torch.tensor(list(repeated.values()))]
        is_left = torch.ones(len(kept), dtype=torch.bool)
        is_left[places] = False
        kept = kept[is_left]
    return first


def _repeated(rows: list[int], others: list[int]) -> dict[int, int]:
    """Samples that repeat a kept one before them, and which; from pairs that are in reach of each other."""
    pairs = sorted({(max(pair), min(pair)) for pair in zip(rows, others, strict=True)})
    repeated: dict[int, int] = {}
    for later, earlier in pairs:
        if later not in repeated and earlier not in repeated:
            repeated[later] = earlier
    return repeated


def share_of(count: int, n: int) -> Estimate:
    """A share with its exact 95 % interval (Clopper and Pearson 1934).

    Raises:
        InputError: If there is nothing to count.
    """
    if n == 0:
        raise InputError("a share needs at least one image, found none")
    interval = binomtest(count, n).proportion_ci(confidence_level=0.95, method="exact")
    return Estimate(count / n, float(interval.low), float(interval.high))
