from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

from synthaug.core.seeding import sample_seeds, uniforms
from synthaug.data.trivial_augment import BINS, OPERATIONS, TRIVIAL_AUGMENT_DRAWS, trivial_augment

NAMES = [each.name for each in OPERATIONS]
SIGNED = [each.name for each in OPERATIONS if each.is_signed]


def draws(operations: list[int], bins: list[int], signs: list[float]) -> Tensor:
    """Uniforms that choose these operations, bins and signs."""
    columns = [(torch.tensor(operations) + 0.5) / len(NAMES), (torch.tensor(bins) + 0.5) / BINS]
    return torch.stack([*columns, torch.tensor([0.75 if sign > 0 else 0.25 for sign in signs])], dim=1)


def torchvision_result(image: Tensor, name: str, strength_bin: int, sign: float) -> Tensor:
    """What torchvision makes of one image with an operation, a bin and a sign."""
    reference = v2.TrivialAugmentWide()
    make_magnitudes, is_signed = reference._AUGMENTATION_SPACE[name]
    magnitudes = make_magnitudes(BINS, *image.shape[-2:])
    magnitude = 0.0 if magnitudes is None else float(magnitudes[strength_bin]) * (sign if is_signed else 1.0)
    fill: Any = {type(image): None}
    return reference._apply_image_or_video_transform(image, name, magnitude, InterpolationMode.NEAREST, fill)


def difference(name: str, images: Tensor) -> Tensor:
    """Distances from torchvision's results, image by image, for every bin and sign of one operation."""
    choices = [(strength_bin, sign) for strength_bin in range(BINS) for sign in ((1, -1) if name in SIGNED else (1,))]
    repeated = images.repeat_interleave(len(choices), dim=0)
    bins, signs = ([choice[part] for choice in choices] * len(images) for part in (0, 1))
    found = trivial_augment(repeated, draws([NAMES.index(name)] * len(repeated), bins, signs))
    expected = [
        torchvision_result(image, name, *choice) for image, choice in zip(repeated, choices * len(images), strict=True)
    ]
    return (found.int() - torch.stack(expected).int()).abs()


def varied_pixels(make_pixels: Any, count: int, channels: int, size: int) -> Tensor:
    """Noise, few and many levels, flat images, smooth images, and colours that are all grey."""
    noise = make_pixels(count, channels, size, size)
    smooth = (torch.arange(size)[:, None] * torch.arange(size) * 255 // (size - 1) ** 2).to(torch.uint8)
    grey = noise[:1, :1].expand(-1, channels, -1, -1)
    images = [noise, noise // 8 + 90, noise // 128 * 255, smooth.expand(1, channels, -1, -1), grey]
    return torch.cat([*images, torch.full_like(noise[:1], 77), torch.zeros_like(noise[:1])])


def test_the_operations_and_their_order_are_torchvisions() -> None:
    space = v2.TrivialAugmentWide._AUGMENTATION_SPACE
    assert list(space) == NAMES
    assert [name for name, (_, is_signed) in space.items() if is_signed] == SIGNED


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [8, 32, 11])
@pytest.mark.parametrize("name", NAMES)
def test_every_operation_in_every_strength_is_torchvisions(
    name: str, size: int, channels: int, make_pixels: Any
) -> None:
    found = difference(name, varied_pixels(make_pixels, 1, channels, size))
    # torchvision rounds the last pixels of a row of instructions differently, and so may other processors.
    if name in ROUNDED:
        assert found.max() <= 1
    assert found.count_nonzero() <= (0.001 * found.numel() if name in ROUNDED + TURNED else 0)


ROUNDED = ["Brightness", "Color", "Contrast", "Sharpness"]
TURNED = ["ShearX", "ShearY", "Rotate"]


@pytest.mark.parametrize("name", ROUNDED + TURNED + ["TranslateX", "TranslateY", "Solarize"])
def test_the_strongest_change_is_seen_and_the_weakest_is_none(name: str, make_pixels: Any) -> None:
    images = make_pixels(2, 3, 32, 32).clamp(max=254)  # torchvision's weakest Solarize inverts what is 255
    number = NAMES.index(name)
    for sign in (-1, 1):
        assert torch.equal(trivial_augment(images, draws([number] * 2, [0, 0], [sign] * 2)), images)
        assert not torch.equal(trivial_augment(images, draws([number] * 2, [30, 30], [sign] * 2)), images)


def test_operations_strengths_and_signs_are_equally_likely() -> None:
    # One bright pixel off the centre: how far and where it moves tells the operation, the sign and the strength.
    image = torch.zeros(1, 1, 101, 101, dtype=torch.uint8)
    image[..., 50, 50] = 255
    count = 30_000
    random = uniforms(sample_seeds(1, torch.arange(count)), TRIVIAL_AUGMENT_DRAWS)
    is_moved = (random[:, 0] * len(NAMES)).long() == NAMES.index("TranslateX")
    assert abs(is_moved.sum() - count / 14) < 5 * (count / 14) ** 0.5
    moved = trivial_augment(image.expand(int(is_moved.sum()), -1, -1, -1), random[is_moved])
    offsets = moved[:, 0, 50].int().argmax(dim=1) - 50
    bins = torch.linspace(0, 32, BINS).trunc()
    for bound in (0, 16, 31):
        share = (bins <= bound).float().mean()
        found = (offsets.abs() <= bound).float().mean()
        assert abs(found - share) < 5 * (share * (1 - share) / len(offsets)) ** 0.5 + 1e-6
    assert abs((offsets > 0).sum() - (offsets < 0).sum()) < 5 * len(offsets) ** 0.5


def test_every_operation_is_reached_about_equally_often(make_pixels: Any) -> None:
    images = make_pixels(1, 3, 8, 8).expand(2800, 3, 8, 8)
    random = uniforms(sample_seeds(0, torch.arange(2800)), TRIVIAL_AUGMENT_DRAWS)
    found = trivial_augment(images, random)
    operations = (random[:, 0].double() * 14).floor().long()
    counts = operations.bincount(minlength=14)
    assert (counts - 200).abs().max() < 5 * 200**0.5
    for row in range(0, 2800, 20):
        strength_bin, sign = int(random[row, 1].double() * BINS), 1.0 if random[row, 2] >= 0.5 else -1.0
        expected = torchvision_result(images[row], NAMES[operations[row]], strength_bin, sign)
        assert (found[row].int() - expected.int()).abs().float().mean() < 0.02


@pytest.mark.parametrize("shape", [(60, 3, 32, 32), (60, 1, 8, 8), (60, 3, 5, 5)])
def test_an_image_does_not_depend_on_its_batch(shape: tuple[int, ...], make_pixels: Any) -> None:
    images, random = make_pixels(*shape), uniforms(sample_seeds(0, torch.arange(60)), TRIVIAL_AUGMENT_DRAWS)
    together = trivial_augment(images, random)
    for row in range(60):
        assert torch.equal(trivial_augment(images[row : row + 1], random[row : row + 1])[0], together[row])
    order = torch.arange(59, -1, -1)
    assert torch.equal(trivial_augment(images[order], random[order]), together[order])


def test_the_largest_uniform_chooses_the_last_operation_and_strength(make_pixels: Any) -> None:
    images = make_pixels(2, 3, 8, 8)
    largest = torch.full((2, TRIVIAL_AUGMENT_DRAWS), 1 - 2.0**-24)
    assert torch.equal(trivial_augment(images, largest), trivial_augment(images, draws([13] * 2, [30] * 2, [1] * 2)))


def test_an_empty_batch_stays_empty(make_pixels: Any) -> None:
    assert trivial_augment(make_pixels(0, 3, 8, 8), torch.empty(0, TRIVIAL_AUGMENT_DRAWS)).shape == (0, 3, 8, 8)
