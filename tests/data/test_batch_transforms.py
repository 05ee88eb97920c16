import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from synthaug.core.errors import InputError
from synthaug.core.seeding import generator_for
from synthaug.data.batch_transforms import TRANSFORMS, basic, no_transform


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


@pytest.mark.parametrize("preset", ["none", "basic"])
@pytest.mark.parametrize("shape", [(5, 1, 8, 8), (5, 3, 32, 32), (1, 3, 4, 4), (3, 3, 20, 20)])
def test_shape_type_and_input_are_kept(preset: str, shape: tuple[int, ...], make_pixels) -> None:
    images = make_pixels(*shape)
    before = images.clone()
    changed = TRANSFORMS.get(preset)(images, generator_for("t"), True)
    assert changed.shape == images.shape
    assert changed.dtype == torch.uint8
    assert torch.equal(images, before)


def test_none_gives_the_images_as_they_are(make_pixels) -> None:
    images = make_pixels(4, 3, 8, 8)
    assert torch.equal(no_transform(images, generator_for("t"), True), images)


@pytest.mark.parametrize("shape", [(60, 1, 8, 8), (60, 3, 16, 16), (60, 1, 5, 5)])
def test_without_flips_every_image_is_exactly_one_plain_crop(shape: tuple[int, ...], make_pixels) -> None:
    images = make_pixels(*shape)
    for image, changed in zip(images, basic(images, generator_for("t"), False), strict=True):
        plain, mirrored = crops(image)
        assert len(positions(plain, changed)) == 1
        assert positions(mirrored, changed) == []


def test_with_flips_every_image_is_exactly_one_crop_and_about_half_are_mirrored(make_pixels) -> None:
    images = make_pixels(400, 1, 8, 8)
    mirrored_count = 0
    for image, changed in zip(images, basic(images, generator_for("t"), True), strict=True):
        plain, mirrored = crops(image)
        assert len(positions(plain, changed)) + len(positions(mirrored, changed)) == 1
        mirrored_count += len(positions(mirrored, changed))
    assert abs(mirrored_count - 200) < 5 * (400 * 0.25) ** 0.5


def test_all_crops_are_about_equally_likely(make_pixels) -> None:
    images = make_pixels(1, 1, 8, 8).expand(1800, 1, 8, 8)
    plain, _ = crops(images[0])
    changed = basic(images, generator_for("t"), False)
    counts = torch.stack([(changed == crop).flatten(1).all(1).sum() for crop in plain])
    assert counts.sum() == 1800
    assert (counts - 200).abs().max() < 5 * (1800 * (1 / 9) * (8 / 9)) ** 0.5


def test_the_whole_batch_is_not_moved_as_one(make_pixels) -> None:
    images = make_pixels(1, 1, 8, 8).expand(20, 1, 8, 8)
    changed = basic(images, generator_for("t"), True)
    assert len({tuple(image.flatten().tolist()) for image in changed}) > 5


def test_the_same_generator_state_gives_the_same_batch(make_pixels) -> None:
    images = make_pixels(8, 3, 8, 8)
    first = basic(images, generator_for("t", 1), True)
    torch.manual_seed(5)
    assert torch.equal(basic(images, generator_for("t", 1), True), first)
    assert not torch.equal(basic(images, generator_for("t", 2), True), first)


def test_allowing_flips_does_not_change_the_crops(make_pixels) -> None:
    images = make_pixels(40, 1, 8, 8)
    plain = basic(images, generator_for("t"), False)
    flipped = basic(images, generator_for("t"), True)
    same = [torch.equal(a, b) for a, b in zip(plain, flipped, strict=True)]
    assert any(same)
    assert not all(same)
    for image, before, after, is_same in zip(images, plain, flipped, same, strict=True):
        plain_crops, mirrored_crops = crops(image)
        assert is_same or positions(plain_crops, before) == positions(mirrored_crops, after)


def test_an_unknown_preset_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match="unknown transform preset 'heavy'; known: basic, none"):
        TRANSFORMS.get("heavy")
