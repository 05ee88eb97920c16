"""DiffAugment: what the discriminator sees its images through."""

from __future__ import annotations

import pytest
import torch

from synthaug.core.errors import InputError
from synthaug.core.seeding import generator_for
from synthaug.generators.acgan.augment import CHANGES, augment, colour, cutout, policy, translation


def images(count: int = 64, channels: int = 3, size: int = 16) -> torch.Tensor:
    return torch.rand(count, channels, size, size, generator=generator_for("images")) * 2 - 1


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_change_is_replayed_by_its_seed_and_differs_between_images(name: str, channels: int) -> None:
    same = images(1, channels).expand(8, -1, -1, -1)
    first, again, other = (CHANGES[name](same, generator_for(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len({tuple(image.flatten().tolist()) for image in first}) > 4


@pytest.mark.parametrize("name", CHANGES)
def test_the_generator_learns_through_every_change(name: str) -> None:
    source = images(4).requires_grad_(True)
    CHANGES[name](source, generator_for(0)).square().sum().backward()
    assert source.grad is not None
    assert bool((source.grad.flatten(1).abs().sum(dim=1) > 0).all())


def test_translation_moves_by_at_most_an_eighth_and_fills_with_black() -> None:
    source = torch.zeros(200, 1, 16, 16)
    source[:, :, 8, 8] = 1.0
    moved = translation(source, generator_for(0))
    offsets = (moved == 1.0).nonzero()[:, 2:] - 8
    assert offsets.abs().max() == 2
    assert len({tuple(offset.tolist()) for offset in offsets}) == 25
    edge = translation(torch.ones(50, 1, 16, 16), generator_for(0))
    assert set(edge.unique().tolist()) == {-1.0, 1.0}


def test_cutout_hides_at_most_a_quarter_in_one_square() -> None:
    hidden = cutout(torch.ones(200, 1, 16, 16), generator_for(0)) == 0.0
    areas = hidden.sum(dim=(1, 2, 3))
    assert areas.max() == 64
    assert areas.min() >= 16
    assert bool(((hidden.any(dim=2).sum(dim=2) * hidden.any(dim=3).sum(dim=2)).flatten() == areas).all())


def test_colour_keeps_the_places_of_light_and_dark() -> None:
    grey = images(32, channels=1)
    changed = colour(grey, generator_for(0))
    before, after = grey.flatten(1), changed.flatten(1)
    correlation = torch.stack([torch.corrcoef(torch.stack(pair))[0, 1] for pair in zip(before, after, strict=True)])
    assert correlation.min() > 0.999


def test_policy_names_changes_in_order() -> None:
    assert policy("cutout,colour") == policy("cutout, colour") == [cutout, colour]
    assert policy("none") == []
    source = images()
    assert augment(source, [], generator_for(0)) is source
    with pytest.raises(InputError, match="--diffaugment takes none or a list of colour, translation, cutout .*'blur'"):
        policy("blur")
