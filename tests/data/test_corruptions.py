import io
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from synthaug.core.errors import InputError
from synthaug.core.pixels import to_pil
from synthaug.core.registry import Registry
from synthaug.core.seeding import generator_for
from synthaug.data import corruptions
from synthaug.data.corruptions import CORRUPTIONS, corrupted
from synthaug.data.splits import Splits

RANDOM = ["gaussian-noise", "shot-noise", "motion-blur"]


def flat(level: int, *, count: int = 20, channels: int = 3, size: int = 32) -> Tensor:
    """Images of one grey level."""
    return torch.full((count, channels, size, size), level, dtype=torch.uint8)


def smooth_images(count: int, channels: int, size: int) -> Tensor:
    """Random images with large shapes, of pixels that no offset of 40 levels clips."""
    coarse = torch.rand(count, channels, size // 4, size // 4, generator=generator_for("smooth"))
    fine = F.interpolate(coarse, size=(size, size), mode="bicubic").clamp(0, 1)
    return (50 + 150 * fine).round().to(torch.uint8)


def spot(size: int, *, count: int = 1) -> Tensor:
    """One white pixel in the middle of black."""
    images = flat(0, count=count, channels=1, size=size)
    images[:, :, size // 2, size // 2] = 255
    return images


def deviations(images: Tensor) -> Tensor:
    """Of each grey image's light from its centre, down and across, in pixels."""
    light = images[:, 0].double() / images.double().sum((1, 2, 3))[:, None, None]
    places = torch.arange(images.shape[-1]).double()
    spreads = []
    for dim in (1, 2):
        profile = light.sum(dim)
        mean = (profile * places).sum(1, keepdim=True)
        spreads.append((profile * (places - mean).square()).sum(1).sqrt())
    return torch.stack(spreads, dim=1)


def through_pil(image: Tensor) -> Tensor:
    """As JPEG and back as the paper's code does it."""
    stored = io.BytesIO()
    to_pil(image).save(stored, "JPEG", quality=58)
    pixels = torch.from_numpy(np.array(Image.open(stored)))
    return pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1)


def unit(images: Tensor) -> Tensor:
    """Images as vectors without mean and contrast."""
    vectors = images.flatten(1).double()
    return F.normalize(vectors - vectors.mean(1, keepdim=True))


@pytest.mark.parametrize("name", CORRUPTIONS.names())
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 8), (1, 28, 28), (3, 32, 32), (3, 65, 65)])
def test_images_of_any_size_and_colour_are_changed_and_stay_images(
    name: str, shape: tuple[int, ...], make_pixels
) -> None:
    images = make_pixels(4, *shape)
    before = images.clone()
    changed = corrupted(images, name)
    assert changed.shape == images.shape
    assert changed.dtype == torch.uint8
    assert all(not torch.equal(one, other) for one, other in zip(changed, images, strict=True))
    assert torch.equal(images, before)


@pytest.mark.parametrize("name", CORRUPTIONS.names())
@settings(max_examples=5)
@given(count=st.integers(0, 5), seed=st.integers(0, 2**63 - 1))
def test_an_image_does_not_depend_on_the_others(name: str, count: int, seed: int) -> None:
    images = torch.randint(0, 256, (6, 3, 16, 16), dtype=torch.uint8, generator=generator_for("others"))
    everything = corrupted(images, name, seed=seed)
    others = torch.cat([images[:count].flip(3), images[count:]])
    assert torch.equal(corrupted(images[:count], name, seed=seed), everything[:count])
    assert torch.equal(corrupted(others, name, seed=seed)[count:], everything[count:])


@pytest.mark.parametrize("name", CORRUPTIONS.names())
def test_the_random_ones_differ_by_position_and_seed_and_the_others_do_not(name: str) -> None:
    images = smooth_images(1, 3, 32).expand(5, -1, -1, -1)
    changed, again = corrupted(images, name), corrupted(images, name, seed=1)
    distinct = {image.numpy().tobytes() for image in torch.cat([changed, again])}
    assert len(distinct) > 5 if name in RANDOM else len(distinct) == 1


def test_two_corruptions_are_drawn_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = CORRUPTIONS.get("gaussian-noise")
    monkeypatch.setattr(corruptions, "CORRUPTIONS", Registry("corruption", {"one": noise, "other": noise}))
    noises = torch.stack([corrupted(flat(128), name).double().flatten() - 128 for name in ("one", "other")])
    assert abs(torch.corrcoef(noises)[0, 1]) < 5 / noises.shape[1] ** 0.5


def test_the_global_random_state_is_not_touched(make_pixels) -> None:
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    for name in RANDOM:
        corrupted(make_pixels(2, 3, 16, 16), name)
    assert np.array_equal(before[0], np.random.get_state()[1])
    assert torch.equal(before[1], torch.get_rng_state())


def test_gaussian_noise_has_the_papers_deviation_at_any_level() -> None:
    for level in (100, 128):
        noise = corrupted(flat(level), "gaussian-noise").double() - level
        assert noise.std().item() == pytest.approx(0.08 * 255, rel=0.04)  # albumentations cuts fractions off
        assert abs(noise.mean().item()) < 0.6


def test_shot_noise_is_as_strong_as_the_papers_at_mid_grey_and_leaves_black_alone() -> None:
    images = flat(128).double() / 255
    of_paper = torch.poisson(images * 100, generator=generator_for("shot")) / 100
    noisy = corrupted(flat(128), "shot-noise").double() / 255
    assert noisy.std().item() == pytest.approx(of_paper.std().item(), rel=0.05)
    assert corrupted(flat(0), "shot-noise").double().mean() < 0.1


@pytest.mark.parametrize(("size", "deviation"), [(33, 0.7 * 33 / 32), (65, 0.7 * 65 / 32), (129, 0.7 * 129 / 32)])
def test_blur_spreads_a_spot_in_proportion_to_the_side(size: int, deviation: float) -> None:
    image = flat(0, count=1, channels=1, size=size)
    image[
        :, :, size // 2 - size // 8 : size // 2 + size // 8 + 1, size // 2 - size // 8 : size // 2 + size // 8 + 1
    ] = 255
    block = deviations(image)
    found = (deviations(corrupted(image, "gaussian-blur")).square() - block.square()).sqrt()
    assert (found - deviation).abs().max() < 0.08 * deviation


@pytest.mark.parametrize(("size", "length"), [(33, 5), (65, 2 * 5), (97, 3 * 5), (9, 1.75), (17, 2.5)])
def test_motion_blur_draws_lines_of_a_length_in_every_direction(size: int, length: float) -> None:
    blurred = corrupted(spot(size, count=300), "motion-blur")
    light, lines = blurred.double().sum((1, 2, 3)) / 255, deviations(blurred)
    assert (light - 1).abs().max() < 0.1
    # Of light that moves by less than a pixel, that share moves by one: E|dx| + E|dy|.
    expected = length / 12**0.5 if size > 32 else (length / math.pi) ** 0.5
    # A line of pixels is a little longer or shorter than it should be where it is not straight.
    assert lines.square().sum(1).sqrt().mean().item() == pytest.approx(expected, rel=0.16)
    down, across = lines.square().mean(0).tolist()
    assert down == pytest.approx(across, rel=0.2)


def test_brightness_is_added() -> None:
    images = smooth_images(3, 3, 32)
    assert (corrupted(images, "brightness").double() - images - 0.15 * 255).abs().max() <= 1
    assert corrupted(flat(250), "brightness").min() == 255


@pytest.mark.parametrize("channels", [1, 3])
def test_contrast_shrinks_differences_from_the_mean_luminance(channels: int) -> None:
    images = smooth_images(3, channels, 32).double()
    shares = torch.tensor([0.299, 0.587, 0.114] if channels == 3 else [1.0]).double()
    means = (images * shares[:, None, None]).sum(1).mean((1, 2))[:, None, None, None]
    changed = corrupted(images.to(torch.uint8), "contrast")
    assert (changed - (means + 0.4 * (images - means))).abs().max() <= 1.5


@pytest.mark.parametrize(("size", "fewer"), [(8, 27), (16, 27), (32, 27), (65, 55)])
@pytest.mark.parametrize("channels", [1, 3])
def test_pixelate_gives_each_pixel_the_mean_of_the_larger_one_around_it(
    size: int, fewer: int, channels: int, make_pixels
) -> None:
    images = make_pixels(5, channels, size, size)
    fine = images.double().repeat_interleave(max(1, 32 // size), 2).repeat_interleave(max(1, 32 // size), 3)
    side = fine.shape[-1]
    edges, large = torch.arange(side + 1).double(), torch.arange(fewer + 1).double() * side / fewer
    upper = torch.minimum(edges[None, 1:], large[1:, None])
    overlaps = (upper - torch.maximum(edges[None, :-1], large[:-1, None])).clamp(min=0) * fewer / side
    means = (overlaps @ fine @ overlaps.T).round()
    expected = F.interpolate(
        F.interpolate(means, size=(side, side), mode="nearest-exact"), size=(size, size), mode="area"
    )
    assert (corrupted(images, "pixelate") - expected).abs().max() <= 1


@pytest.mark.parametrize(("channels", "size"), [(1, 8), (1, 32), (3, 32)])
def test_jpeg_is_the_papers_with_red_for_blue(channels: int, size: int) -> None:
    images = smooth_images(5, channels, size)
    expected = torch.stack([through_pil(image.flip(0)).flip(0) for image in images])
    assert (corrupted(images, "jpeg").double() - expected).abs().mean() < 0.5


@pytest.mark.parametrize("name", CORRUPTIONS.names())
def test_a_digit_of_8_pixels_is_still_more_like_its_class_than_like_another(name: str, digits_splits: Splits) -> None:
    known, test = digits_splits.train, digits_splits.test
    nearest = (unit(corrupted(test.images, name)) @ unit(known.images).T).argmax(dim=1)
    assert (known.labels[nearest] == test.labels).double().mean() > 0.92  # 0.95 as they are


def test_an_unknown_name_is_answered_with_the_known_ones(make_pixels) -> None:
    with pytest.raises(InputError, match=r"unknown corruption 'fog'; known: brightness, contrast, gaussian-blur"):
        corrupted(make_pixels(1, 3, 8, 8), "fog")
