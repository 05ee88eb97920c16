"""What is known of every sample of a synthetic set: how it is recognised, and what it may be a copy of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from synthaug.core.errors import InputError
from synthaug.core.types import LabelledImages
from synthaug.data.equality import equal_to_any
from synthaug.data.splits import Splits
from synthaug.metrics.features import FeatureExtractor, extract
from synthaug.metrics.memorisation import (
    LEAST_HELD_OUT,
    TrainDistances,
    copy_threshold,
    duplicate_groups,
    is_beyond_chance,
    scale_neighbours,
    train_distances,
)
from synthaug.metrics.neighbours import nearest

#: Relative distances are not told apart beyond this; a score has to be a number.
FARTHEST = 1000.0


@dataclass(frozen=True, eq=False)
class CopyDetector:
    """Finds copies of the real training images in one space.

    Attributes:
        extractor: The space.
        train: Features of the training images.
        own: Distances of the training images among themselves.
        held_out: Distances of the validation images, which nobody trained on; where they are too few, those of the
            training images to each other as well.
        threshold: The largest relative distance that makes a copy.
        neighbours: Training images that make up the scale of a distance.
        allows_flip: Whether a mirrored copy is a copy.
    """

    extractor: FeatureExtractor
    train: Float[Tensor, "m d"]
    own: TrainDistances
    held_out: TrainDistances
    threshold: float
    neighbours: int
    allows_flip: bool

    @classmethod
    def of(cls, extractor: FeatureExtractor, splits: Splits) -> CopyDetector:
        """Learns from real images that are no copies what distances are usual.

        Raises:
            InputError: If there are too few images.
        """
        real = splits.train
        features = extract(extractor, real.images, key=real.fingerprint)
        neighbours = scale_neighbours(len(real), len(real.class_names))
        held_out = _distances(extractor, splits.validation, features, neighbours, splits.allows_flip)
        own = train_distances(features, features, neighbours=neighbours, are_train=True)
        if len(splits.validation) < LEAST_HELD_OUT:
            held_out = held_out.joined(own)
        return cls(
            extractor=extractor,
            train=features,
            own=own,
            held_out=held_out,
            threshold=copy_threshold(held_out.relative),
            neighbours=neighbours,
            allows_flip=splits.allows_flip,
        )

    def measure(self, images: LabelledImages) -> TrainDistances:
        """Distances of images to the training images; of a mirrored image if that is closer, and keeps the class."""
        return _distances(self.extractor, images, self.train, self.neighbours, self.allows_flip)

    def relative_to_copies(self, distances: TrainDistances) -> Float[Tensor, " n"]:
        """Relative distances over the threshold: at most 1 for a copy, and at most 1000."""
        relative = distances.relative
        limit = max(self.threshold, 1 / FARTHEST)  # a threshold of 0 is reached by exact copies only
        return torch.where(relative > self.threshold, (relative / limit).clamp(1 + 1e-6, FARTHEST), relative / limit)


def _distances(
    extractor: FeatureExtractor,
    images: LabelledImages,
    train: Float[Tensor, "m d"],
    neighbours: int,
    allows_flip: bool,
) -> TrainDistances:
    features = extract(extractor, images.images, key=images.fingerprint)
    found = train_distances(features, train, neighbours=neighbours)
    if not allows_flip:
        return found
    mirrored = extract(extractor, images.images.flip(-1), key=_mirrored(images))
    return found.closer(train_distances(mirrored, train, neighbours=neighbours))


def _mirrored(images: LabelledImages) -> str:
    """Names the mirrored images in the cache."""
    return f"{images.fingerprint} mirrored"


@dataclass(frozen=True, eq=False)
class Copies:
    """What the samples of a set may be copies of.

    Attributes:
        distances: To the training images, in each space of the detectors.
        relative: Distance to the nearest training image, relative to the largest that makes a copy, in the space where
            that is least; at most 1 for a copy.
        nearest: The training image it is that near to.
        is_copy: Whether it is a copy in one of the spaces.
        is_exact: Whether it equals a training image pixel for pixel, or its mirror image where that keeps the class.
        level_distance: Distance to the nearest training image in pixels: root of the mean square, in units of uint8.
        first: For each sample the first one of the set that it repeats; itself if none.
        is_near: Whether another sample of the set is as close as a copy.
    """

    distances: tuple[TrainDistances, ...]
    relative: Float[Tensor, " n"]
    nearest: Int64[Tensor, " n"]
    is_copy: Bool[Tensor, " n"]
    is_exact: Bool[Tensor, " n"]
    level_distance: Float[Tensor, " n"]
    first: Int64[Tensor, " n"]
    is_near: Bool[Tensor, " n"]


def find_copies(images: LabelledImages, detectors: Sequence[CopyDetector], splits: Splits) -> Copies:
    """Compares a set with the training images and with itself.

    Args:
        images: The set.
        detectors: Of pixels first, then of other spaces.
        splits: The real images.
    """
    measured = tuple(detector.measure(images) for detector in detectors)
    relative = torch.stack(
        [detector.relative_to_copies(found) for detector, found in zip(detectors, measured, strict=True)]
    )
    least, where = relative.min(dim=0)
    pixels, by_pixels = detectors[0], measured[0]
    features = extract(pixels.extractor, images.images, key=images.fingerprint)
    first, is_near = duplicate_groups(features, pixels.threshold * by_pixels.scale)
    indices = torch.stack([found.index for found in measured])
    return Copies(
        distances=measured,
        relative=least,
        nearest=indices.gather(0, where[None])[0],
        is_copy=least <= 1,
        is_exact=equal_to_any(images.images, splits.train.images, mirrored=splits.allows_flip),
        level_distance=255 * by_pixels.nearest / features.shape[1] ** 0.5,
        first=first,
        is_near=is_near,
    )


def refuse_test_images(
    where: str, images: LabelledImages, copies: Copies, pixels: CopyDetector, splits: Splits
) -> None:
    """Refuses a set that holds images of the test split: they would poison every test of what is trained on it.

    One that equals a test image, and no training image, is one too many. Near ones are counted, as some are near by
    chance: those as close as copies are, and closer than to any training image, must not surely be more than that.

    Args:
        where: The set, for the message.
        images: Its images.
        copies: What they were found to be copies of.
        pixels: The detector in the space of pixels.
        splits: The real images.

    Raises:
        InputError: Saying how many there are.
    """
    exact = int(splits.are_test_images(images.images).sum())
    seen = extract(pixels.extractor, splits.test.images, key=splits.test.fingerprint)
    views = [extract(pixels.extractor, images.images, key=images.fingerprint)]
    if splits.allows_flip:
        views.append(extract(pixels.extractor, images.images.flip(-1), key=_mirrored(images)))
    distance = torch.stack([nearest(view, seen, 1).distances[:, 0] for view in views]).amin(dim=0)
    found = copies.distances[0]
    is_near = (distance <= pixels.threshold * found.scale) & (distance < found.nearest)
    near = int(is_near.sum())
    if exact or is_beyond_chance(near, len(images)):
        raise InputError(
            f"{where} holds test images of {splits.record.source}: {exact} of {len(images)} pixel for pixel, "
            f"{max(near, exact)} nearly so. What is trained on it could not be tested on them; make a set with a "
            "generator that has not seen them"
        )
