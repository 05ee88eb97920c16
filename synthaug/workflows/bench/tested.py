"""The one test of a cell: how many test images it classifies right, how well calibrated, and how robustly."""

from __future__ import annotations

import base64
import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Self

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator
from torch import Tensor

from synthaug.core.types import spread
from synthaug.data.corruptions import CORRUPTIONS, corrupted
from synthaug.metrics.agreement import agreement
from synthaug.metrics.calibration import brier_score, expected_calibration_error, negative_log_likelihood
from synthaug.workflows.bench.sealed import SealedTest

#: Test images that are corrupted, at most.
MOST_CORRUPTED = 1000
#: Test sets whose corrupted images stay in memory, for the cells to come.
KEPT_SETS = 2

#: From images as they are stored to the probabilities of each class, on the CPU.
Predictor = Callable[[UInt8[Tensor, "n c h w"]], Float[Tensor, "n k"]]

Share = Annotated[float, Field(ge=0, le=1)]
#: Has an upper bound too, which rounding may pass.
_Error = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Tested(BaseModel):
    """What a cell's test said.

    Attributes:
        accuracy: Share of the test images that are classified right.
        per_class: The same for the images of each class; None for a class without images.
        count: Number of test images.
        right: Which of them are classified right: one bit each, the first the highest of its byte, in base64.
        calibration_error: Expected calibration error, in [0, 1].
        nll: Mean negative log-likelihood in nats.
        brier: Brier score over all classes, in [0, 2].
        corrupted: Accuracy under each corruption, by name; empty if not asked for.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    accuracy: Share
    per_class: tuple[Share | None, ...]
    count: PositiveInt
    right: str
    calibration_error: _Error
    nll: _Error
    brier: _Error
    corrupted: dict[str, Share]

    @model_validator(mode="after")
    def _check_right(self) -> Self:
        found = self.right_images.double().mean().item()
        if abs(found - self.accuracy) > 1e-9:
            raise ValueError(f"an accuracy of {self.accuracy} was given, but the share of bits set is {found}")
        return self

    @property
    def right_images(self) -> Bool[Tensor, " n"]:
        """Which test images are classified right, in their order.

        Raises:
            ValueError: If there is not one bit for each.
        """
        return _unpacked(self.right, self.count)


def open_and_test(predict: Predictor, sealed: SealedTest, *, corruptions: bool) -> Tested:
    """Opens the test images and tests on them.

    Args:
        predict: The finished classifier.
        sealed: Its test images.
        corruptions: Whether to test on corrupted images too: at most `MOST_CORRUPTED`, as even over classes as can be,
            the same for every classifier.

    Raises:
        RuntimeError: If the test images have been used.
    """
    images = sealed.open()
    labels, classes = images.labels, sealed.class_count
    probabilities = predict(images.images)
    predicted = probabilities.argmax(dim=1)
    clean = agreement(predicted, labels, classes)
    robust = {}
    if corruptions:
        few = images.take(spread(labels, MOST_CORRUPTED))
        for name, worse in _corruptions_of(_Pixels(few.fingerprint, few.images)).items():
            robust[name] = agreement(predict(worse).argmax(dim=1), few.labels, classes).overall
    return Tested(
        accuracy=clean.overall,
        per_class=clean.per_class,
        count=clean.count,
        right=_packed(predicted == labels),
        calibration_error=expected_calibration_error(probabilities, labels),
        nll=negative_log_likelihood(probabilities, labels),
        brier=brier_score(probabilities, labels),
        corrupted=robust,
    )


@dataclass(frozen=True)
class _Pixels:
    """Images that are equal if their fingerprints are."""

    fingerprint: str
    images: UInt8[Tensor, "n c h w"] = field(compare=False)


@functools.lru_cache(maxsize=KEPT_SETS)
def _corruptions_of(pixels: _Pixels) -> dict[str, UInt8[Tensor, "n c h w"]]:
    """The images under each corruption. It takes opened images to have some made or found again."""
    return {name: corrupted(pixels.images, name) for name in CORRUPTIONS.names()}


def _packed(bits: Bool[Tensor, " n"]) -> str:
    return base64.b64encode(np.packbits(bits.numpy()).tobytes()).decode()


def _unpacked(text: str, count: int) -> Bool[Tensor, " n"]:
    packed = np.frombuffer(base64.b64decode(text, validate=True), dtype=np.uint8)
    bits = np.unpackbits(packed)
    if len(packed) != -(-count // 8) or bits[count:].any():
        raise ValueError(f"one bit for each of {count} images is needed, found {len(packed)} bytes")
    return torch.from_numpy(bits[:count].astype(bool))
