"""The kernel distance between two sets of features (Binkowski et al. 2018, "Demystifying MMD GANs", "KID")."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from synthaug.core.errors import InputError
from synthaug.core.seeding import generator_for
from synthaug.metrics.estimates import Estimate, percentile_interval, resample_counts

#: Fewest images of each kind: a resample of fewer may be copies of one image, which have no pairs.
MINIMUM = 10
#: Fewer than for a mean: each costs a product with all kernel values of its block.
_RESAMPLES = 200


@dataclass(frozen=True)
class _Part:
    """Samples that are compared with each other, and their weights.

    Attributes:
        features: In float64.
        weights: How often each sample counts: once in the first row, as resampled with replacement in the others.
        share: Of its block's samples of this kind.
    """

    features: Float64[Tensor, "n d"]
    weights: Float64[Tensor, "r n"]
    share: float


def kernel_distance(
    real: Float[Tensor, "n d"], generated: Float[Tensor, "m d"], *, block: int = 1000, seed: int = 0
) -> Estimate:
    """The unbiased squared maximum mean discrepancy with the kernel (x.y / d + 1)^3, with its 95 % interval.

    Unbiased also for small sets, so it may be below zero for sets that are alike. Both sets are shuffled and cut into
    equally many blocks, the smaller set into such of `block` samples or a few more. The value is the mean of the
    blocks' U-statistics of all pairs; in a set that is much larger, pairs of its own are those within parts of about
    `block`. Two sets of fewer than 2 `block` samples are one block and give the U-statistic of all their pairs. n
    samples of d features take O(n block (d + resamples)) time, and blocks one at a time the memory.

    The interval is the percentile interval of 200 bootstrap resamples within the blocks. In simulations of 10 to 200
    normal and rectified normal samples it held the distance in 87 to 100 % of the cases, the basic bootstrap interval
    in 83 to 100 %. It is too wide, not too narrow, for sets that are alike.

    Args:
        real: Features of real images.
        generated: Features of generated images.
        block: Samples of each kind in a block, at least.
        seed: Of blocks and resamples.

    Raises:
        InputError: If a set or a block has fewer than 10 samples, or a feature is not a number.
    """
    _check(real, generated, block)
    generator = generator_for("kernel distance", seed)
    blocks = max(1, min(len(real), len(generated)) // block)
    total = torch.zeros(1 + _RESAMPLES, dtype=torch.float64)
    for pair in zip(_cut(real, blocks, generator), _cut(generated, blocks, generator), strict=True):
        size = sum(len(features) for features in pair)
        total += size * _discrepancies(*(_parts(features, block, generator) for features in pair))
    means = total / (len(real) + len(generated))
    return percentile_interval(float(means[0]), means[1:])


def _check(real: Float[Tensor, "n d"], generated: Float[Tensor, "m d"], block: int) -> None:
    if min(len(real), len(generated), block) < MINIMUM:
        raise InputError(
            f"a kernel distance needs blocks of at least {MINIMUM} images of each kind, found {len(real)} real and "
            f"{len(generated)} generated in blocks of {block}: resamples of fewer may hold no pair of different images"
        )
    if not (real.isfinite().all() and generated.isfinite().all()):
        raise InputError("a kernel distance needs finite features, found some that are not")


def _cut(features: Float[Tensor, "n d"], blocks: int, generator: torch.Generator) -> list[Float[Tensor, "b d"]]:
    """Random blocks whose sizes differ by one at most."""
    order = torch.randperm(len(features), generator=generator)
    return [features[members] for members in order.tensor_split(blocks)]


def _parts(features: Float[Tensor, "n d"], block: int, generator: torch.Generator) -> list[_Part]:
    """A block in one part, or in more where one set is so much larger that all its pairs would be too many."""
    parts = []
    for part in features.tensor_split(max(1, len(features) // block)):
        count = len(part)
        once = torch.ones(1, count, dtype=torch.float64)
        weights = torch.cat([once, resample_counts(count, _RESAMPLES, generator)])
        parts.append(_Part(part.to(torch.float64), weights, count / len(features)))
    return parts


def _discrepancies(real: list[_Part], generated: list[_Part]) -> Float64[Tensor, " r"]:
    """E k(x, x') + E k(y, y') - 2 E k(x, y) of one block, for each row of weights."""
    within = [part.share * _mean_within(part) for part in (*real, *generated)]
    between = [one.share * other.share * _mean_between(one, other) for one in real for other in generated]
    return torch.stack(within).sum(dim=0) - 2 * torch.stack(between).sum(dim=0)


def _mean_within(part: _Part) -> Float64[Tensor, " r"]:
    """The mean kernel value of pairs of different samples; copies of one sample are no pair."""
    values = _kernel(part.features, part.features).fill_diagonal_(0)
    pairs = part.weights.sum(dim=1).square() - part.weights.square().sum(dim=1)
    return ((part.weights @ values) * part.weights).sum(dim=1) / pairs


def _mean_between(one: _Part, other: _Part) -> Float64[Tensor, " r"]:
    values = _kernel(one.features, other.features)
    return ((one.weights @ values) * other.weights).sum(dim=1) / values.numel()


def _kernel(first: Float64[Tensor, "n d"], second: Float64[Tensor, "m d"]) -> Float64[Tensor, "n m"]:
    return (first @ second.T / first.shape[1] + 1) ** 3
