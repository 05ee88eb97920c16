"""What is known of every sample of a synthetic set: how it is recognised, and what it may be a copy of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from synthaug.core.console import log
from synthaug.core.errors import InputError
from synthaug.core.types import LabelledImages
from synthaug.data.equality import equal_to_any
from synthaug.data.splits import Splits
from synthaug.metrics.features import FeatureExtractor, extract
from synthaug.metrics.memorisation import (
    LEAST_HELD_OUT,
    TrainDistances,
    copy_threshold,
    scale_neighbours,
    share_of,
    train_distances,
)
from synthaug.metrics.neighbours import nearest

#: Relative distances are not told apart beyond this; a score has to be a number.
FARTHEST = 1000.0
#: A test image is held by a set that has something this close to it, relative to the largest distance of a copy...
_TEST_REACH = 0.5
#: ...if surely more than this share of its images are so close: one in ten thousand may be by chance.
_TEST_CHANCE = 1e-4


@dataclass(frozen=True, eq=False)
class Views:
    """Distances of images to the training images.

    Attributes:
        plain: As the images are.
        closest: Of the mirrored image where that is closer and keeps the class.
    """

    plain: TrainDistances
    closest: TrainDistances


@dataclass(frozen=True, eq=False)
class CopyDetector:
    """Finds copies of the real training images in one space.

    Attributes:
        extractor: The space.
        train: Features of the training images.
        own: Distances of the training images among themselves, none mirrored.
        held_out: Distances of the validation images, which nobody trained on.
        test: Features of the test images, without those as close to a training image as copies are: what is near them
            may be from there.
        threshold: The largest relative distance that makes a copy.
        neighbours: Training images that make up the scale of a distance.
        allows_flip: Whether a mirrored copy is a copy.
    """

    extractor: FeatureExtractor
    train: Float[Tensor, "m d"]
    own: TrainDistances
    held_out: Views
    test: Float[Tensor, "k d"]
    threshold: float
    neighbours: int
    allows_flip: bool

    @classmethod
    def of(cls, extractor: FeatureExtractor, splits: Splits) -> CopyDetector:
        """Learns from validation images what distances are usual; if they are few, from the training images as well.

        Raises:
            InputError: If there are too few images.
        """
        real = splits.train
        features = extract(extractor, real.images, key=real.fingerprint)
        neighbours = scale_neighbours(len(real), len(real.class_names))
        held_out = _views(extractor, splits.validation, features, neighbours, splits.allows_flip)
        own = train_distances(features, features, neighbours=neighbours, are_train=True)
        usual = held_out.closest.relative
        if len(usual) < LEAST_HELD_OUT:
            usual = torch.cat([usual, own.relative])
        threshold = copy_threshold(usual)
        to_train = _views(extractor, splits.test, features, neighbours, splits.allows_flip).closest
        test = extract(extractor, splits.test.images, key=splits.test.fingerprint)
        return cls(
            extractor=extractor,
            train=features,
            own=own,
            held_out=held_out,
            test=test[to_train.relative > threshold],
            threshold=threshold,
            neighbours=neighbours,
            allows_flip=splits.allows_flip,
        )

    def measure(self, images: LabelledImages) -> Views:
        """Distances of images to the training images."""
        return _views(self.extractor, images, self.train, self.neighbours, self.allows_flip)

    def relative_to_copies(self, distances: TrainDistances) -> Float[Tensor, " n"]:
        """Relative distances over the threshold: at most 1 for a copy, and at most 1000."""
        relative = distances.relative
        limit = max(self.threshold, 1 / FARTHEST)  # a threshold of 0 is reached by exact copies only
        return torch.where(relative > self.threshold, (relative / limit).clamp(1 + 1e-6, FARTHEST), relative / limit)

    def reach(self, distances: TrainDistances) -> Float[Tensor, " n"]:
        """How close another image has to be to each of these to count as the same."""
        return self.threshold * distances.scale


def _views(
    extractor: FeatureExtractor,
    images: LabelledImages,
    train: Float[Tensor, "m d"],
    neighbours: int,
    allows_flip: bool,
) -> Views:
    plain, *mirrored = (
        train_distances(features, train, neighbours=neighbours)
        for features in _features(extractor, images, allows_flip=allows_flip)
    )
    return Views(plain, plain.closer(mirrored[0]) if mirrored else plain)


def _features(extractor: FeatureExtractor, images: LabelledImages, *, allows_flip: bool) -> list[Float[Tensor, "n d"]]:
    """Of the images, and of the mirrored ones where they keep the class."""
    found = [extract(extractor, images.images, key=images.fingerprint)]
    if allows_flip:
        found.append(extract(extractor, images.images.flip(-1), key=f"{images.fingerprint} mirrored"))
    return found


@dataclass(frozen=True, eq=False)
class Copies:
    """What the samples of a set may be copies of.

    Attributes:
        views: Distances to the training images, in each space of the detectors.
        relative: Distance to the nearest training image, relative to the largest that makes a copy, in the space where
            that is least; at most 1 for a copy.
        nearest: The training image it is that near to.
        is_copy: Whether it is a copy in one of the spaces.
        is_exact: Whether it equals a training image pixel for pixel, or its mirror image where that keeps the class.
        is_test: Whether it is a test image, or much closer to one than copies have to be, and closer than to any
            training image.
        level_distance: Distance to the nearest training image in pixels: root of the mean square, in units of uint8.
        pixels: Its pixels as features.
        reach: How close in pixels another sample has to be to count as the same.
    """

    views: tuple[Views, ...]
    relative: Float[Tensor, " n"]
    nearest: Int64[Tensor, " n"]
    is_copy: Bool[Tensor, " n"]
    is_exact: Bool[Tensor, " n"]
    is_test: Bool[Tensor, " n"]
    level_distance: Float[Tensor, " n"]
    pixels: Float[Tensor, "n d"]
    reach: Float[Tensor, " n"]


def find_copies(images: LabelledImages, detectors: Sequence[CopyDetector], splits: Splits) -> Copies:
    """Compares a set with the training images and with the test images.

    Args:
        images: The set.
        detectors: Of pixels first, then of other spaces.
        splits: The real images.
    """
    views = tuple(detector.measure(images) for detector in detectors)
    relative = torch.stack(
        [detector.relative_to_copies(found.closest) for detector, found in zip(detectors, views, strict=True)]
    )
    least, where = relative.min(dim=0)
    pixels, by_pixels = detectors[0], views[0]
    features = extract(pixels.extractor, images.images, key=images.fingerprint)
    indices = torch.stack([found.closest.index for found in views])
    return Copies(
        views=views,
        relative=least,
        nearest=indices.gather(0, where[None])[0],
        is_copy=least <= 1,
        is_exact=equal_to_any(images.images, splits.train.images, mirrored=splits.allows_flip),
        is_test=_are_test_images(images, by_pixels.closest, pixels, splits),
        level_distance=255 * by_pixels.closest.nearest / features.shape[1] ** 0.5,
        pixels=features,
        reach=pixels.reach(by_pixels.plain),
    )


def _are_test_images(
    images: LabelledImages, found: TrainDistances, pixels: CopyDetector, splits: Splits
) -> Bool[Tensor, " n"]:
    """Which images the generator can only have from the test images.

    Half the distance of a copy is where noise and recompression leave an image, and fresh ones do not come.
    """
    is_test = splits.are_test_images(images.images)
    if not len(pixels.test):
        return is_test
    distances = [
        nearest(view, pixels.test, 1).distances[:, 0]
        for view in _features(pixels.extractor, images, allows_flip=splits.allows_flip)
    ]
    distance = torch.stack(distances).amin(dim=0)
    return is_test | ((distance <= _TEST_REACH * pixels.reach(found)) & (distance < found.nearest))


def refuse_test_images(where: str, images: LabelledImages, copies: Copies, splits: Splits) -> None:
    """Refuses a set that holds test images: they would poison every test of what is trained on it.

    Args:
        where: The set, for the message.
        images: Its images.
        copies: What they were found to be.
        splits: The real images.

    Raises:
        InputError: If one equals a test image, or surely more than one in ten thousand nearly do.
    """
    exact, near = int(splits.are_test_images(images.images).sum()), int(copies.is_test.sum())
    if exact or share_of(near, len(images)).low > _TEST_CHANCE:
        raise InputError(
            f"{where} holds test images of {splits.record.source}: {exact} of {len(images)} pixel for pixel, "
            f"{near} nearly so. What is trained on it could not be tested on them; make a set with a "
            "generator that has not seen them"
        )
    if near:
        log(f"warning: {where}: {near} of {len(images)} images are nearly test images, perhaps by chance")
