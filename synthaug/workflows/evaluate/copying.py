"""Whether a set copies the training data or repeats itself: from distances to figures and a verdict."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from synthaug.metrics.estimates import Estimate
from synthaug.metrics.memorisation import CHANCE, MANY, authenticity, first_alike, share_of
from synthaug.workflows.evaluate.records import CopySpace, Duplicates, Memorisation, MemorisationVerdict, Value
from synthaug.workflows.scoring import Copies, CopyDetector, Views

_BINS, _END = 40, 1.0


def memorisation(copies: Copies, detectors: Sequence[CopyDetector]) -> Memorisation:
    """The verdict on a set.

    It copies if surely more than one image in a hundred is a copy, and more than among the validation images, which no
    generator has seen: real images look like each other now and then, too. It holds some copies if one is exact, or if
    there are surely more than chance and the validation images account for.

    Args:
        copies: What its images may be copies of.
        detectors: The spaces.
    """
    n, count = len(copies.is_copy), int(copies.is_copy.sum())
    held_out = torch.stack([detector.relative_to_copies(detector.held_out.closest) for detector in detectors]).amin(
        dim=0
    )
    share, expected = share_of(count, n), share_of(int((held_out <= 1).sum()), len(held_out))
    exact = int(copies.is_exact.sum())
    verdict: MemorisationVerdict = "no sign of copies"
    if share.low > max(MANY, expected.value):
        verdict = "copies"
    elif exact or share.low > max(CHANCE, expected.value):
        verdict = "some copies"
    spaces = tuple(_space(detector, views) for detector, views in zip(detectors, copies.views, strict=True))
    return Memorisation(
        verdict=verdict,
        sentence=_sentence(verdict, count, n, exact, expected),
        share=Value.of(share, n, len(detectors[0].train)),
        expected=Value.of(expected, len(held_out), len(detectors[0].train)),
        exact=exact,
        near_test=int(copies.is_test.sum()),
        spaces=spaces,
    )


def _sentence(verdict: MemorisationVerdict, count: int, n: int, exact: int, expected: Estimate) -> str:
    found = f"{count} of {n} images ({100 * count / n:.2g} %) are as close to a training image as copies are"
    usual = f"of real validation images, {100 * expected.value:.2g} % are"
    if verdict == "no sign of copies":
        return f"no sign of copying: {found}; {usual}"
    what = "it copies the training data" if verdict == "copies" else "some images are copies"
    return f"{what}: {found}, {exact} of them pixel for pixel; {usual}"


def _space(detector: CopyDetector, views: Views) -> CopySpace:
    relative, held_out = views.closest.relative, detector.held_out.closest.relative
    return CopySpace(
        space=detector.extractor.name,
        threshold=detector.threshold,
        real_median=float(held_out.median()),
        median=float(relative.median()),
        copies=int((relative <= detector.threshold).sum()),
        real_copies=int((held_out <= detector.threshold).sum()),
        authenticity=authenticity(views.plain, detector.own),
        real_authenticity=authenticity(detector.held_out.plain, detector.own),
        histogram=_histogram(relative),
        real_histogram=_histogram(held_out),
        histogram_end=_END,
    )


def _histogram(values: Float[Tensor, " n"]) -> tuple[float, ...]:
    counts = torch.histc(values.double().clamp(0, _END), bins=_BINS, min=0, max=_END)
    return tuple((counts / len(values)).tolist())


def duplicates(first: Int64[Tensor, " n"], exact: int, real_near: float) -> Duplicates:
    """How much of a set repeats what is in it already.

    Args:
        first: The first sample of the set that each one repeats; itself if none.
        exact: Images that equal an earlier one.
        real_near: Share of the real training images that repeat another in the same sense.
    """
    n = len(first)
    near = max(exact, _repeating(first))
    return Duplicates(exact=exact, near=near, real_near=real_near, share=Value.of(share_of(near, n), n, 0))


def repeated_share(pixels: CopyDetector) -> float:
    """The share of the real training images that repeat an earlier one, by the detector in the space of pixels."""
    reach = pixels.reach(pixels.own)
    may_be = pixels.own.nearest <= torch.maximum(reach, reach[pixels.own.index])
    may_be[pixels.own.index[may_be]] = True
    return _repeating(first_alike(pixels.train[may_be], reach[may_be])) / len(reach)


def _repeating(first: Int64[Tensor, " n"]) -> int:
    return int((first != torch.arange(len(first))).sum())
