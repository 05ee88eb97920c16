from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

from synthaug.core.errors import InputError
from synthaug.core.seeding import sample_seeds, uniforms
from synthaug.data.batch_transforms import TRANSFORMS
from synthaug.data.geometry import CROP_AND_FLIP_DRAWS, affine, crop_and_flip, cut_out, rotations
from synthaug.data.trivial_augment import trivial_augment

PRESETS = ["none", "basic", "survey", "strong"]


def random_draws(count: int, draws: int, seed: int = 0) -> Tensor:
    return uniforms(sample_seeds(seed, torch.arange(count)), draws)


def basic(images: Tensor, allows_flip: bool, seed: int = 0) -> Tensor:
    return crop_and_flip(images, random_draws(len(images), CROP_AND_FLIP_DRAWS, seed), allows_flip)


def crops(image: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Every crop of one zero-padded image, and the mirror image of each, by plain slicing."""
    size = image.shape[-1]
    padding = max(1, size // 8)
    padded = F.pad(image, (padding,) * 4)
    plain = [
        padded[:, top : top + size, left : left + size]
        for top in range(2 * padding + 1)
        for left in range(2 * padding + 1)
    ]
    return plain, [crop.flip(-1) for crop in plain]


def positions(candidates: list[Tensor], image: Tensor) -> list[int]:
    return [number for number, candidate in enumerate(candidates) if torch.equal(candidate, image)]


def test_the_presets_and_what_they_need() -> None:
    found = {name: (preset.draws, preset.normalises) for name, preset in TRANSFORMS.items()}
    assert found == {"none": (0, False), "basic": (3, False), "survey": (4, True), "strong": (8, False)}


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("shape", [(5, 1, 8, 8), (40, 3, 32, 32), (1, 3, 4, 4), (3, 3, 21, 21), (0, 3, 8, 8)])
@pytest.mark.parametrize("allows_flip", [True, False])
def test_shape_type_and_inputs_are_kept(
    preset: str, shape: tuple[int, ...], allows_flip: bool, make_pixels: Any
) -> None:
    transform = TRANSFORMS.get(preset)
    images, random = make_pixels(*shape), random_draws(shape[0], transform.draws)
    before = images.clone(), random.clone()
    changed = transform.apply(images, random, allows_flip)
    assert changed.shape == images.shape
    assert changed.dtype == torch.uint8
    assert changed.is_contiguous()
    assert torch.equal(images, before[0])
    assert torch.equal(random, before[1])


@pytest.mark.parametrize("preset", PRESETS)
def test_images_in_another_memory_order_give_the_same(preset: str, make_pixels: Any) -> None:
    transform, images = TRANSFORMS.get(preset), make_pixels(30, 3, 16, 16)
    random = random_draws(30, transform.draws)
    reordered = images.contiguous(memory_format=torch.channels_last)
    assert torch.equal(transform.apply(reordered, random, True), transform.apply(images, random, True))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("shape", [(50, 3, 32, 32), (50, 1, 8, 8), (50, 3, 5, 5)])
def test_an_image_does_not_depend_on_its_batch(preset: str, shape: tuple[int, ...], make_pixels: Any) -> None:
    transform, images = TRANSFORMS.get(preset), make_pixels(*shape)
    random = random_draws(50, transform.draws)
    together = transform.apply(images, random, True)
    assert torch.equal(transform.apply(images, random, True), together)
    for first, last in pairwise([0, 1, 2, 9, 50]):
        assert torch.equal(transform.apply(images[first:last], random[first:last], True), together[first:last])


@pytest.mark.parametrize("preset", ["basic", "survey", "strong"])
def test_other_uniforms_give_other_images(preset: str, make_pixels: Any) -> None:
    transform, images = TRANSFORMS.get(preset), make_pixels(1, 3, 32, 32).expand(20, 3, 32, 32)
    changed = transform.apply(images, random_draws(20, transform.draws), True)
    assert len({tuple(image.flatten().tolist()) for image in changed}) > 15


def test_none_gives_the_images_as_they_are(make_pixels: Any) -> None:
    images = make_pixels(4, 3, 8, 8)
    assert torch.equal(TRANSFORMS.get("none").apply(images, torch.empty(4, 0), True), images)


@pytest.mark.parametrize("shape", [(60, 1, 8, 8), (60, 3, 16, 16), (60, 1, 5, 5)])
def test_without_flips_every_image_is_exactly_one_plain_crop(shape: tuple[int, ...], make_pixels: Any) -> None:
    images = make_pixels(*shape)
    for image, changed in zip(images, basic(images, False), strict=True):
        plain, mirrored = crops(image)
        assert len(positions(plain, changed)) == 1
        assert positions(mirrored, changed) == []


def test_with_flips_every_image_is_exactly_one_crop_and_about_half_are_mirrored(make_pixels: Any) -> None:
    images = make_pixels(400, 1, 8, 8)
    mirrored_count = 0
    for image, changed in zip(images, basic(images, True), strict=True):
        plain, mirrored = crops(image)
        assert len(positions(plain, changed)) + len(positions(mirrored, changed)) == 1
        mirrored_count += len(positions(mirrored, changed))
    assert abs(mirrored_count - 200) < 5 * (400 * 0.25) ** 0.5


def test_all_crops_are_about_equally_likely(make_pixels: Any) -> None:
    images = make_pixels(1, 1, 8, 8).expand(1800, 1, 8, 8)
    plain, _ = crops(images[0])
    changed = basic(images, False)
    counts = torch.stack([(changed == crop).flatten(1).all(1).sum() for crop in plain])
    assert counts.sum() == 1800
    assert (counts - 200).abs().max() < 5 * (1800 * (1 / 9) * (8 / 9)) ** 0.5


def test_the_whole_batch_is_not_moved_as_one(make_pixels: Any) -> None:
    images = make_pixels(1, 1, 8, 8).expand(20, 1, 8, 8)
    changed = basic(images, True)
    assert len({tuple(image.flatten().tolist()) for image in changed}) > 5


def test_the_same_uniforms_give_the_same_batch(make_pixels: Any) -> None:
    images = make_pixels(8, 3, 8, 8)
    first = basic(images, True, seed=1)
    torch.manual_seed(5)
    assert torch.equal(basic(images, True, seed=1), first)
    assert not torch.equal(basic(images, True, seed=2), first)


def test_allowing_flips_does_not_change_the_crops(make_pixels: Any) -> None:
    images = make_pixels(40, 1, 8, 8)
    plain = basic(images, False)
    flipped = basic(images, True)
    same = [torch.equal(a, b) for a, b in zip(plain, flipped, strict=True)]
    assert any(same)
    assert not all(same)
    for image, before, after, is_same in zip(images, plain, flipped, same, strict=True):
        plain_crops, mirrored_crops = crops(image)
        assert is_same or positions(plain_crops, before) == positions(mirrored_crops, after)


@given(
    size=st.integers(4, 40),
    channels=st.sampled_from([1, 3]),
    draws=st.lists(st.tuples(*[st.integers(0, 2**24 - 1)] * 3), min_size=1, max_size=4),
)
def test_each_uniform_says_what_the_documentation_says(
    size: int, channels: int, draws: list[tuple[int, int, int]]
) -> None:
    images = torch.randint(0, 256, (len(draws), channels, size, size), dtype=torch.uint8)
    random = torch.tensor(draws) / 2**24
    padding = max(1, size // 8)
    for image, changed, (top, left, mirror) in zip(images, crop_and_flip(images, random, True), draws, strict=True):
        row, column = (number * (2 * padding + 1) // 2**24 for number in (top, left))
        expected = F.pad(image, (padding,) * 4)[:, row : row + size, column : column + size]
        assert torch.equal(changed, expected.flip(-1) if mirror < 2**23 else expected)


def test_an_unknown_preset_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match="unknown transform preset 'heavy'; known: basic, none, strong, survey"):
        TRANSFORMS.get("heavy")


@pytest.mark.parametrize("shape", [(1, 3, 32, 32), (1, 1, 8, 8), (1, 3, 9, 9)])
@pytest.mark.parametrize("degrees", [-180.0, -90.0, -33.3, -15.0, 0.0, 0.7, 15.0, 90.0])
@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_rotations_are_torchvisions(mode: Any, degrees: float, shape: tuple[int, ...], make_pixels: Any) -> None:
    images = make_pixels(*shape)
    rotated = affine(images, rotations(torch.tensor([degrees], dtype=torch.float64)), mode)
    expected = v2.functional.rotate(images, degrees, InterpolationMode(mode))
    if mode == "nearest":
        assert torch.equal(rotated, expected)
    assert (rotated.int() - expected.int()).abs().max() <= 1


def test_survey_crops_then_turns_by_up_to_15_degrees(make_pixels: Any) -> None:
    images, random = make_pixels(40, 3, 32, 32), random_draws(40, 4)
    found = TRANSFORMS.get("survey").apply(images, random, True)
    cropped = crop_and_flip(images, random[:, :3], True)
    for turned, start, number in zip(found, cropped, random[:, 3].tolist(), strict=True):
        expected = v2.functional.rotate(start, 30 * number - 15, InterpolationMode.BILINEAR)
        assert (turned.int() - expected.int()).abs().max() <= 1


def test_survey_turns_both_ways_and_leaves_the_centre(make_pixels: Any) -> None:
    image = torch.zeros(2, 1, 33, 33, dtype=torch.uint8)
    image[..., 16, 16] = 255
    image[..., 16, 30] = 255
    stay = torch.full((2, 3), 0.5)  # the middle crop, not mirrored
    turned = TRANSFORMS.get("survey").apply(image, torch.cat([stay, torch.tensor([[0.0], [0.999]])], dim=1), True)
    assert (turned[:, 0, 16, 16] > 240).all()
    rows = turned[:, 0, :, 25:].int().sum(dim=2).argmax(dim=1)
    assert rows.tolist() == [20, 12]  # 14 pixels off the centre times sin(15 degrees) is 3.6


def test_strong_crops_then_changes_then_cuts(make_pixels: Any) -> None:
    images, random = make_pixels(100, 3, 32, 32), random_draws(100, 8)
    found = TRANSFORMS.get("strong").apply(images, random, True)
    expected = cut_out(trivial_augment(crop_and_flip(images, random[:, :3], True), random[:, 3:6]), random[:, 6:])
    assert torch.equal(found, expected)


@pytest.mark.parametrize("size", [4, 7, 8, 32])
def test_cutout_clears_one_square_of_half_the_size_around_any_pixel(size: int) -> None:
    centres = torch.cartesian_prod(torch.arange(size), torch.arange(size))
    images = torch.full((size * size, 2, size, size), 9, dtype=torch.uint8)
    found = cut_out(images, (centres + 0.5) / size)
    side = size // 2
    for (row, column), image in zip(centres.tolist(), found, strict=True):
        expected = torch.full((2, size, size), 9, dtype=torch.uint8)
        top, left = row - side // 2, column - side // 2
        expected[:, max(0, top) : top + side, max(0, left) : left + side] = 0
        assert torch.equal(image, expected)
    areas = (found[:, 0] == 0).sum(dim=(1, 2))
    assert areas.max() == side * side
    assert areas.min() == (side - side // 2) * min(side - side // 2, side)


def test_cutout_leaves_its_input(make_pixels: Any) -> None:
    images = make_pixels(3, 3, 8, 8)
    before = images.clone()
    cut_out(images, random_draws(3, 2))
    assert torch.equal(images, before)
