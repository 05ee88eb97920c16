"""The batched and the per-sample engine: the presets of one name have one distribution."""

import functools
from typing import Any

import pytest
import torch
from torch import Tensor

from synthaug.core.seeding import uniforms
from synthaug.data.batch_transforms import TRANSFORMS
from synthaug.data.transform_presets import PRESETS, strengths_of, trivial_operations
from synthaug.data.transforms import SampleTransform, preset_transform
from synthaug.data.trivial_augment import OPERATIONS

#: What albumentations does in another way, as the mean absolute difference allowed in an image, in levels of 255.
#: `Sharpness` changes the outermost pixels too; `Equalize` counts a level's own pixels to those below it;
#: `AutoContrast` passes over pixels of 255; the rest is rounding. Ties between nearest neighbours move a few pixels.
ALLOWED = {"Color": 1, "Contrast": 0.6, "Sharpness": 4, "AutoContrast": 1, "Equalize": 4}
ALLOWED_AT_TIES = 0.3


def picture(channels: int, size: int) -> Tensor:
    """A smooth image with edges, dark and bright areas: nearer to a photograph than noise is."""
    y, x = torch.meshgrid(torch.linspace(0, 1, size), torch.linspace(0, 1, size), indexing="ij")
    waves = [0.5 + 0.4 * torch.sin(7 * x + (2 + channel) * y * y + channel) for channel in range(channels)]
    disc = ((x - 0.6) ** 2 + (y - 0.4) ** 2 < 0.06).float() * 0.3
    return ((torch.stack(waves) * (0.4 + 0.6 * y) + disc).clamp(0, 1) * 255).to(torch.uint8)


def batched(name: str, image: Tensor, count: int, *, allows_flip: bool) -> Tensor:
    transform = TRANSFORMS.get(name)
    images = image.expand(count, *image.shape).contiguous()
    return transform.apply(images, uniforms(torch.arange(count), transform.draws), allows_flip)


def sampled(name: str, image: Tensor, count: int, *, allows_flip: bool) -> Tensor:
    transform = preset_transform(name, image_size=image.shape[-1], allows_flip=allows_flip)
    return torch.stack([transform(image, seed) for seed in range(count)])


@functools.cache
def transforms_of(size: int) -> dict[str, list[Any]]:
    return trivial_operations(size)


def moments(images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Mean and variance of each pixel, and the squared standard error of either."""
    centred = images.double() - images.double().mean(0)
    variance = centred.square().mean(0)
    fourth = centred.pow(4).mean(0)
    return images.double().mean(0), variance, variance / len(images), (fourth - variance**2) / len(images)


def test_both_engines_have_the_same_presets() -> None:
    assert PRESETS.names() == TRANSFORMS.names()


@pytest.mark.parametrize("shape", [(1, 8), (3, 32)])
@pytest.mark.parametrize("name", ["basic", "survey", "strong"])
def test_pixels_have_the_same_means_and_variances(name: str, shape: tuple[int, int]) -> None:
    image = picture(*shape)
    count = 1200
    mean, variance, mean_error, variance_error = moments(batched(name, image, 2 * count, allows_flip=True))
    sample_mean, sample_variance, sample_mean_error, sample_variance_error = moments(
        sampled(name, image, count, allows_flip=True)
    )
    # Rotations are rounded to 1/32 pixel; for `strong`, a fourteenth of what single operations may differ.
    level = {"basic": 0.0, "survey": 1.0, "strong": 1.0}[name]
    spread = {"basic": 0.0, "survey": 0.02, "strong": 0.02}[name]
    difference, difference_error = sample_mean - mean, (mean_error + sample_mean_error).sqrt()
    assert (difference.abs() - 5 * difference_error).max() <= level
    assert abs(float(difference.mean())) <= level + 3 * float(difference_error.mean())
    excess = (sample_variance - variance).abs() - 5 * (variance_error + sample_variance_error).sqrt()
    assert (excess - spread * variance).max() <= 0


@pytest.mark.parametrize("shape", [(1, 8), (3, 32)])
@pytest.mark.parametrize("allows_flip", [False, True])
def test_basic_gives_the_same_images(allows_flip: bool, shape: tuple[int, int]) -> None:
    image = picture(*shape)
    found = [
        {result.numpy().tobytes() for result in engine("basic", image, 2000, allows_flip=allows_flip)}
        for engine in (batched, sampled)
    ]
    assert found[0] == found[1]
    assert len(found[0]) == (2 * max(1, shape[1] // 8) + 1) ** 2 * (2 if allows_flip else 1)


@pytest.mark.parametrize("shape", [(1, 8), (3, 32)])
@pytest.mark.parametrize("number", range(len(OPERATIONS)), ids=[each.name for each in OPERATIONS])
def test_an_operation_of_trivial_augment_has_the_same_strengths_and_nearly_the_same_pixels(
    number: int, shape: tuple[int, int]
) -> None:
    operation, image = OPERATIONS[number], picture(*shape)
    strengths, transforms = strengths_of(operation), transforms_of(shape[1])[operation.name]
    expected = operation.change(
        image.expand(len(strengths), -1, -1, -1).contiguous(), torch.tensor(strengths, dtype=torch.float64)
    )
    found = torch.stack([SampleTransform(transform)(image, 0) for transform in transforms])
    difference = (found.double() - expected.double()).abs()
    assert len(found) == len(expected)
    assert difference.mean() <= ALLOWED.get(operation.name, ALLOWED_AT_TIES)
    if operation.name not in ALLOWED:
        assert (difference > 0).double().mean() < 0.005
