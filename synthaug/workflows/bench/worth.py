"""What a gain is worth: in extra real images, in seconds for each point, and class by class; pure functions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import stdev

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from synthaug.core.errors import InputError
from synthaug.workflows.bench.statistics import (
    MINIMUM_SEEDS,
    Estimate,
    VerdictName,
    estimate,
    holm,
    resamples_of,
    student_p,
    student_quantile,
    t_p,
    verdict,
    weighted_tails,
)


@dataclass(frozen=True)
class RealPoint:
    """What a number of real images per class reaches on its own.

    Attributes:
        images_per_class: Above 0.
        per_seed: Accuracy of each seed in %, always in the same order.
    """

    images_per_class: float
    per_seed: tuple[float, ...]


@dataclass(frozen=True)
class Worth:
    """Extra real images per class that would have gained as much as the synthetic ones.

    Attributes:
        images_per_class: The number.
        low: Lower end of its 95 % interval over seeds; None below 3 seeds.
        high: Upper end.
        is_at_least: No number of real images that was tried reached as much.
        is_at_most: The synthetic images gained nothing.
    """

    images_per_class: float
    low: float | None
    high: float | None
    is_at_least: bool
    is_at_most: bool


@dataclass(frozen=True)
class BreakEven:
    """What a gain cost.

    Attributes:
        seconds: All that was spent.
        points: Gained.
        seconds_per_point: None if no gain was shown.
    """

    seconds: float
    points: float
    seconds_per_point: float | None


@dataclass(frozen=True)
class ClassGain:
    """What synthetic images did to one class.

    Attributes:
        name: Of the class.
        gain: Points of its accuracy, paired by seed; None if the class has no images to tell.
        verdict: Corrected for the number of classes.
    """

    name: str
    gain: Estimate | None
    verdict: VerdictName


def extra_real_images(
    curve: Sequence[RealPoint], images_per_class: float, with_synthetic: Sequence[float]
) -> Worth | None:
    """How many more real images per class reach the accuracy of those in use with synthetic ones.

    Accuracy is interpolated linearly over the logarithm of images per class, after isotonic regression, as more real
    images are taken never to harm; where it stays level, its fewest images count. The interval is that of the
    percentile bootstrap over seeds, all arms together, and as narrow as that is for few seeds; its ends stop at 0 and
    at the end of the curve.

    Args:
        curve: Accuracies of real images alone, in any order.
        images_per_class: Real images in use beside the synthetic ones.
        with_synthetic: Accuracy of each seed in %, in the order of the curve's.

    Returns:
        None if the curve has fewer than two points, or none at `images_per_class`.

    Raises:
        InputError: If the arms differ in the number of seeds, or a number of images is not above 0 or occurs twice.
    """
    points = sorted(curve, key=lambda point: point.images_per_class)
    images = [point.images_per_class for point in points]
    used = [math.isclose(count, images_per_class, rel_tol=1e-6) for count in images]
    if len(points) < 2 or not any(used):
        return None
    seeds = len(with_synthetic)
    if seeds == 0 or any(len(point.per_seed) != seeds for point in points):
        raise InputError(
            f"all arms of a curve need the same seeds, found {[len(point.per_seed) for point in points]} "
            f"on the curve and {seeds} with synthetic images"
        )
    if images[0] <= 0 or len(set(images)) < len(images):
        raise InputError(f"a curve needs numbers of images above 0, each once, found {images}")
    accuracies = torch.tensor([*(point.per_seed for point in points), with_synthetic], dtype=torch.float64)
    counts, shares = resamples_of(seeds)
    # The seeds as they are come first, so that they are treated as their resamples are.
    means = torch.cat([torch.ones(1, seeds, dtype=torch.float64), counts]) @ accuracies.T / seeds
    extra, is_beyond = _crossings(torch.tensor(images, dtype=torch.float64), used.index(True), means)
    value, is_at_least = float(extra[0]), bool(is_beyond[0])
    is_at_most = value == 0 and not is_at_least
    if seeds < MINIMUM_SEEDS:
        return Worth(value, None, None, is_at_least, is_at_most)
    low, high = weighted_tails(extra[1:], shares)
    return Worth(value, min(low, value), max(high, value), is_at_least, is_at_most)


def break_even(seconds: float, gain: float, *, is_gain: bool = True) -> BreakEven:
    """Seconds (generator, sampling and training) for each point gained, if it is known to be a gain."""
    return BreakEven(seconds, gain, seconds / gain if is_gain and gain > 0 else None)


def class_gains(
    names: Sequence[str],
    with_synthetic: Sequence[Sequence[float | None]],
    without: Sequence[Sequence[float | None]],
) -> list[ClassGain]:
    """Gain or harm of each class, with verdicts corrected over the classes (Holm).

    The accuracy of a class moves in steps of one image, so that few seeds may agree by chance, which Student's t
    takes for certainty: with 3 seeds, 10 classes and 36 test images in each it would see an effect where there is none
    in 6 to 16 % of studies. A class whose seeds agree gets the typical deviation (root mean square) of all classes.

    Args:
        names: Of the classes.
        with_synthetic: Accuracy in % of each class for each seed; None for a class without images to tell.
        without: The same seeds without synthetic images.

    Raises:
        InputError: If seeds or classes differ in number.
    """
    rows = [*with_synthetic, *without]
    if len(with_synthetic) != len(without) or {len(row) for row in rows} - {len(names)}:
        raise InputError(
            f"gains need the same seeds and {len(names)} classes on both sides, found {len(with_synthetic)} and "
            f"{len(without)} seeds of {sorted({len(row) for row in rows})} classes"
        )
    before, after = zip(*without, strict=True), zip(*with_synthetic, strict=True)
    differences = [_paired(*both) for both in zip(after, before, strict=True)] or [[] for _ in names]
    deviations = [stdev(found) for found in differences if len(found) > 1]
    typical = math.sqrt(math.fsum(deviation**2 for deviation in deviations) / max(1, len(deviations)))
    gains = [_gain(found, typical) for found in differences]
    judged = [index for index, found in enumerate(differences) if len(found) >= MINIMUM_SEEDS]
    adjusted = dict(zip(judged, holm([gains[index][1] for index in judged]), strict=True))
    return [
        ClassGain(name, gain, "no verdict" if gain is None else verdict(gain, p=adjusted.get(index)))
        for index, (name, (gain, _)) in enumerate(zip(names, gains, strict=True))
    ]


def class_quotas(gains: Sequence[ClassGain], counts: Sequence[int]) -> list[int]:
    """Synthetic images of each class suggested for the next set.

    A class that is hurt gets none, one that is helped twice as many, any other as many as now. The gains have to be
    those on validation images: a set that test images have chosen cannot be judged by them.

    Args:
        gains: Of each class.
        counts: Synthetic images of each class now.
    """
    return [{"hurts": 0, "helps": 2 * count}.get(one.verdict, count) for one, count in zip(gains, counts, strict=True)]


def _paired(after: Sequence[float | None], before: Sequence[float | None]) -> list[float]:
    both = zip(after, before, strict=True)
    return [new - old for new, old in both if new is not None and old is not None]


def _gain(differences: Sequence[float], typical: float) -> tuple[Estimate | None, float]:
    """A class's gain and its p value; of differences that agree, with the typical deviation for theirs."""
    count = len(differences)
    if count == 0:
        return None, 1.0
    if count == 1 or stdev(differences) > 1e-6:
        return estimate(differences), t_p(differences)
    mean, error = math.fsum(differences) / count, typical / math.sqrt(count)
    half = student_quantile(count) * error
    p = student_p(mean / error, count) if error > 0 else t_p(differences)
    return Estimate(mean, mean - half, mean + half, count), p


def _crossings(
    images: Float[Tensor, " k"], used: int, means: Float[Tensor, "n k+1"]
) -> tuple[Float[Tensor, " n"], Bool[Tensor, " n"]]:
    """For rows of mean accuracies, the last that with synthetic images: the extra images, and if the curve ends before.

    Accuracies that are equal but for rounding count as equal.
    """
    fitted, target = _isotonic(means[:, :-1]), means[:, -1] - 1e-9
    is_none = target <= torch.maximum(fitted[:, used], means[:, used])
    is_beyond = ~is_none & (target > fitted[:, -1])
    upper = (fitted < target[:, None]).sum(dim=1).clamp(1, len(images) - 1)[:, None]
    start, end = fitted.gather(1, upper - 1)[:, 0], fitted.gather(1, upper)[:, 0]
    share = ((target - start) / (end - start).clamp(min=1e-12)).clamp(0, 1)
    logs = images.log()
    reached = torch.lerp(logs[upper[:, 0] - 1], logs[upper[:, 0]], share).exp()
    extra = torch.where(is_beyond, images[-1], reached) - images[used]
    return torch.where(is_none, 0.0, extra.clamp(min=0)), is_beyond


def _isotonic(values: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
    """The nearest non-decreasing rows, by the max-min formula (Barlow et al. 1972)."""
    count = values.shape[1]
    sums = torch.nn.functional.pad(values.cumsum(dim=1), (1, 0))
    lengths = (torch.arange(1, count + 1) - torch.arange(count)[:, None]).clamp(min=1)
    means = (sums[:, None, 1:] - sums[:, :-1, None]) / lengths
    return torch.stack([means[:, : at + 1, at:].amin(dim=2).amax(dim=1) for at in range(count)], dim=1)
