"""Features of images for metrics, computed in batches and kept in the cache; trained networks come from elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from synthaug.core.console import log, progress
from synthaug.core.errors import StorageError
from synthaug.core.pixels import standardise
from synthaug.core.storage import atomic_file, cache_home, one_at_a_time, read_array, sha256_json

#: Changes when the same images get other features.
_PIXELS_VERSION = 1


@dataclass(frozen=True)
class FeatureExtractor:
    """What turns images into vectors, and what a report has to say of it.

    Attributes:
        name: What users call it ("classifier", "efficientnet", "inception", "dinov2", "pixels").
        backend: Implementation and version of code and weights, in words.
        resize: What is done to the size of images first, in words.
        width: Features of an image.
        identity: sha256 of everything that decides the features.
        features: Features of one batch, on the CPU in float32.
        probabilities: Class probabilities from features; None without classes.
        batch_size: Images of a batch.
        is_cheap: Whether computing features takes no longer than reading them, so that they are not kept.
    """

    name: str
    backend: str
    resize: str
    width: int
    identity: str
    features: Callable[[UInt8[Tensor, "n c h w"]], Float[Tensor, "n width"]]
    probabilities: Callable[[Float[Tensor, "n width"]], Float[Tensor, "n k"]] | None = None
    batch_size: int = 500
    is_cheap: bool = False


def extract(
    extractor: FeatureExtractor, images: UInt8[Tensor, "n c h w"], *, key: str, is_kept: bool = True
) -> Float[Tensor, "n width"]:
    """The features of all images, from the cache if they are there.

    Args:
        extractor: Computes them.
        images: Grey or RGB.
        key: Names these images in this order among all that there are, for example by a hash.
        is_kept: Whether later runs find the features in the cache; a cache that cannot be written is a warning.
    """
    if extractor.is_cheap:
        return torch.cat([extractor.features(batch) for batch in torch.split(images, extractor.batch_size)])
    path = cache_home() / "features" / f"{sha256_json([key, extractor.identity])}.npy"
    if not is_kept:
        found = _read(path, extractor, len(images))
        return _computed(extractor, images) if found is None else found
    with one_at_a_time(path):  # processes that evaluate together need one to compute
        found = _read(path, extractor, len(images))
        if found is None:
            found = _computed(extractor, images)
            _keep(path, found)
    return found


def _read(path: Path, extractor: FeatureExtractor, count: int) -> Float[Tensor, "n width"] | None:
    array = read_array(path, "float32", (count, extractor.width))
    return None if array is None else torch.from_numpy(array)


def _computed(extractor: FeatureExtractor, images: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n width"]:
    features = torch.empty(len(images), extractor.width)
    with progress(f"{extractor.name} features", len(images)) as show:
        for start in range(0, len(images), extractor.batch_size):
            batch = images[start : start + extractor.batch_size]
            features[start : start + len(batch)] = extractor.features(batch)
            show(start + len(batch))
    return features


def _keep(path: Path, features: Float[Tensor, "n width"]) -> None:
    try:
        with atomic_file(path) as file:
            np.save(file, features.numpy(), allow_pickle=False)
    except StorageError as error:
        log(f"warning: the features are not kept for later runs: {error}")


def pixels_extractor(channels: int, size: int) -> FeatureExtractor:
    """Pixels themselves, in [0, 1], row after row of each channel.

    Args:
        channels: Of the images: 1 or 3.
        size: Their height and width.
    """
    black, white = torch.zeros(channels), torch.full((channels,), 255.0)

    def features(images: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n width"]:
        return standardise(images.cpu(), black, white).flatten(1)

    return FeatureExtractor(
        name="pixels",
        backend="pixels in [0, 1]",
        resize=f"none ({size}x{size})",
        width=channels * size * size,
        identity=sha256_json(["pixels", _PIXELS_VERSION, channels, size]),
        features=features,
        is_cheap=True,
    )
