"""Features of all images, computed in batches and kept, with extractors that count their calls."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from synthaug.core.console import stderr
from synthaug.metrics.features import FeatureExtractor, extract, pixels_extractor


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("SYNTHAUG_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


class Counted:
    """Mean and maximum of each image, with the size of each batch that was asked for."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, images: Tensor) -> Tensor:
        self.batches.append(len(images))
        values = images.flatten(1).float()
        return torch.stack([values.mean(dim=1), values.amax(dim=1)], dim=1)


def counting(*, identity: str = "1" * 64, batch_size: int = 4) -> tuple[FeatureExtractor, list[int]]:
    counted = Counted()
    extractor = FeatureExtractor(
        "counted", "none", "none (8x8)", width=2, identity=identity, features=counted, batch_size=batch_size
    )
    return extractor, counted.batches


def kept_files(home: Path) -> list[Path]:
    return sorted((home / "features").glob("*.npy"))


def test_images_come_in_batches_and_none_is_missed(make_pixels: Callable[..., Tensor]) -> None:
    images = make_pixels(10, 3, 8, 8)
    extractor, batches = counting(batch_size=4)
    features = extract(extractor, images, key="images")
    assert batches == [4, 4, 2]
    assert (features.dtype, features.device.type) == (torch.float32, "cpu")
    torch.testing.assert_close(features, Counted()(images))


@pytest.mark.parametrize("batch_size", [1, 3, 10, 500])
def test_batches_of_any_size_give_the_same_features(batch_size: int, make_pixels: Callable[..., Tensor]) -> None:
    images = make_pixels(10, 3, 8, 8)
    features = extract(counting(batch_size=batch_size)[0], images, key="images", is_kept=False)
    torch.testing.assert_close(features, Counted()(images))


def test_what_is_kept_is_not_computed_again(make_pixels: Callable[..., Tensor]) -> None:
    images = make_pixels(10, 3, 8, 8)
    extractor, batches = counting()
    computed = extract(extractor, images, key="images")
    batches.clear()
    for is_kept in (True, False):
        assert torch.equal(extract(extractor, images, key="images", is_kept=is_kept), computed)
    assert batches == []


def test_features_are_the_same_without_the_cache(home: Path, make_pixels: Callable[..., Tensor]) -> None:
    images = make_pixels(10, 3, 8, 8)
    extractor, batches = counting()
    alone = extract(extractor, images, key="images", is_kept=False)
    assert not home.exists()
    assert torch.equal(extract(extractor, images, key="images"), alone)
    assert torch.equal(extract(extractor, images, key="images"), alone)
    assert sum(batches) == 2 * len(images)


def test_other_images_and_other_extractors_have_features_of_their_own(home: Path) -> None:
    dark, bright = torch.zeros(5, 1, 8, 8, dtype=torch.uint8), torch.full((5, 1, 8, 8), 200, dtype=torch.uint8)
    extractor, _ = counting()
    other, batches = counting(identity="2" * 64)
    assert extract(extractor, dark, key="dark").unique().tolist() == [0.0]
    assert extract(extractor, bright, key="bright").unique().tolist() == [200.0]
    assert extract(other, bright, key="bright").unique().tolist() == [200.0]
    assert sum(batches) == 5
    assert len(kept_files(home)) == 3


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 5)


def emptied(path: Path) -> None:
    os.truncate(path, 0)


def noise(path: Path) -> None:
    path.write_bytes(b"\x93NUMPY nonsense")


def of_another_type(path: Path) -> None:
    np.save(path, np.zeros((10, 2)))


def of_another_shape(path: Path) -> None:
    np.save(path, np.zeros((2, 10), dtype=np.float32))


def of_objects(path: Path) -> None:
    np.save(path, np.full((10, 2), None), allow_pickle=True)


@pytest.mark.parametrize("damage", [truncated, emptied, noise, of_another_type, of_another_shape, of_objects])
def test_a_damaged_file_is_computed_again(
    damage: Callable[[Path], None], home: Path, make_pixels: Callable[..., Tensor]
) -> None:
    images = make_pixels(10, 3, 8, 8)
    extractor, batches = counting()
    computed = extract(extractor, images, key="images")
    [path] = kept_files(home)
    damage(path)
    batches.clear()
    assert torch.equal(extract(extractor, images, key="images"), computed)
    assert sum(batches) == len(images)
    assert torch.equal(extract(extractor, images, key="images"), computed)
    assert sum(batches) == len(images)  # the file is whole again


def test_a_cache_that_cannot_be_written_is_a_warning(home: Path, make_pixels: Callable[..., Tensor]) -> None:
    home.write_text("in the way")
    images = make_pixels(10, 3, 8, 8)
    with stderr.capture() as said:
        features = extract(counting()[0], images, key="images")
    torch.testing.assert_close(features, Counted()(images))
    assert "warning: the features are not kept for later runs" in said.get()


def test_an_extractor_that_fails_leaves_nothing_behind(home: Path, make_pixels: Callable[..., Tensor]) -> None:
    images = make_pixels(10, 3, 8, 8)
    extractor, _ = counting()

    def fails_late(batch: Tensor) -> Tensor:
        if len(batch) < 4:
            raise RuntimeError("no more memory")
        return extractor.features(batch)

    with pytest.raises(RuntimeError, match="no more memory"):
        extract(replace(extractor, features=fails_late), images, key="images")
    assert kept_files(home) == []


def test_no_images_have_no_features() -> None:
    extractor, batches = counting()
    assert extract(extractor, torch.zeros(0, 3, 8, 8, dtype=torch.uint8), key="none").shape == (0, 2)
    assert batches == []


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_are_features_in_the_unit_interval(channels: int, make_pixels: Callable[..., Tensor]) -> None:
    images = make_pixels(6, channels, 8, 8)
    images[0, 0, 0, 0], images[0, 0, 0, 1] = 0, 255
    extractor = pixels_extractor(channels, 8)
    features = extract(extractor, images, key="images")
    assert features.shape == (6, extractor.width)
    assert (float(features.min()), float(features.max())) == (0.0, 1.0)
    expected = images.numpy().reshape(6, -1).astype(np.float64) / 255
    np.testing.assert_allclose(features.numpy(), expected, rtol=1e-6)
    assert extractor.probabilities is None


def test_pixels_of_other_images_are_other_features() -> None:
    identities = {pixels_extractor(channels, size).identity for channels in (1, 3) for size in (8, 16)}
    assert len(identities) == 4
    assert pixels_extractor(3, 8).identity in identities
    assert pixels_extractor(3, 32).resize == "none (32x32)"


def test_pixels_do_not_fill_the_cache(home: Path, make_pixels: Callable[..., Tensor]) -> None:
    images = make_pixels(1200, 1, 8, 8)  # more than a batch
    assert torch.equal(
        extract(pixels_extractor(1, 8), images, key="images").mul(255).round(), images.flatten(1).float()
    )
    assert not home.exists()
