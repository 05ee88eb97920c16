"""Whether a set copies the training data or repeats itself: from distances to figures and a verdict."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from synthaug.metrics.estimates import Estimate
from synthaug.metrics.memorisation import (
    TrainDistances,
    authenticity,
    duplicate_groups,
    is_beyond_chance,
    share_of,
)
from synthaug.workflows.evaluate.records import CopySpace, Duplicates, Memorisation, MemorisationVerdict, Value
from synthaug.workflows.scoring import Copies, CopyDetector

_BINS, _END = 40, 1.0


def memorisation(copies: Copies, detectors: Sequence[CopyDetector]) -> Memorisation:
    """The verdict on a set.

    It copies if surely more than one image in a hundred is a copy, and surely more than among the validation images,
    which no generator has seen; also real images look like each other now and then.

    Args:
        copies: What its images may be copies of.
        detectors: The spaces.
    """
    n, count = len(copies.is_copy), int(copies.is_copy.sum())
    held_out = torch.stack([detector.relative_to_copies(detector.held_out) for detector in detectors]).amin(dim=0)
    share, expected = share_of(count, n), share_of(int((held_out <= 1).sum()), len(held_out))
    exact = int(copies.is_exact.sum())
    verdict: MemorisationVerdict = "no sign of copies"
    if is_beyond_chance(count, n) and share.low > expected.value:
        verdict = "copies"
    elif exact:
        verdict = "some copies"
    spaces = tuple(_space(detector, found) for detector, found in zip(detectors, copies.distances, strict=True))
    return Memorisation(
        verdict=verdict,
        sentence=_sentence(verdict, count, n, exact, expected),
        share=_value(share, n, len(detectors[0].train)),
        expected=_value(expected, len(held_out), len(detectors[0].train)),
        exact=exact,
        spaces=spaces,
    )


def _sentence(verdict: MemorisationVerdict, count: int, n: int, exact: int, expected: Estimate) -> str:
    found = f"{count} of {n} images ({100 * count / n:.2g} %) are as close to a training image as copies are"
    usual = f"of real images that nobody trained on, {100 * expected.value:.2g} % are"
    if verdict == "copies":
        return f"it copies the training data: {found}, {exact} of them pixel for pixel; {usual}"
    if verdict == "some copies":
        return f"{exact} images are training images pixel for pixel; {found}; {usual}"
    return f"no sign of copying: {found}; {usual}"


def _space(detector: CopyDetector, found: TrainDistances) -> CopySpace:
    held_out = detector.held_out.relative
    return CopySpace(
        space=detector.extractor.name,
        threshold=detector.threshold,
        real_median=float(held_out.median()),
        median=float(found.relative.median()),
        copies=int((found.relative <= detector.threshold).sum()),
        real_copies=int((held_out <= detector.threshold).sum()),
        authenticity=authenticity(found, detector.own),
        histogram=_histogram(found.relative),
        real_histogram=_histogram(held_out),
        histogram_end=_END,
    )


def _histogram(values: Float[Tensor, " n"]) -> tuple[float, ...]:
    counts = torch.histc(values.double().clamp(0, _END), bins=_BINS, min=0, max=_END)
    return tuple((counts / len(values)).tolist())


def duplicates(copies: Copies, exact: int, pixels: CopyDetector) -> Duplicates:
    """How much of a set repeats what is in it already.

    Args:
        copies: With the first sample of each group of near ones.
        exact: Images that equal an earlier one.
        pixels: The detector in the space of pixels.
    """
    n = len(copies.first)
    near = max(exact, int((copies.first != torch.arange(n)).sum()))
    _, is_real_near = duplicate_groups(pixels.train, pixels.threshold * pixels.own.scale)
    return Duplicates(
        exact=exact,
        near=near,
        real_near=float(is_real_near.double().mean()),
        share=_value(share_of(near, n), n, 0),
    )


def _value(found: Estimate, n: int, n_reference: int) -> Value:
    return Value(found.value, found.low, found.high, n, n_reference)
