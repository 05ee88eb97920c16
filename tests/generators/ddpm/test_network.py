"""The table of networks: sizes, and that the class is listened to."""

from __future__ import annotations

import pytest
import torch

from synthaug.core.errors import InputError
from synthaug.core.seeding import generator_for
from synthaug.generators.ddpm.network import PRESETS, build_network, check_size


@pytest.mark.parametrize(
    ("name", "size", "channels", "millions"),
    [("digits", 8, 1, 0.64), ("digits", 16, 3, 0.64), ("cpu", 32, 3, 4.33), ("small", 32, 3, 6.5)],
)
def test_preset_builds_a_network_of_its_size(name: str, size: int, channels: int, millions: float) -> None:
    with torch.device("meta"):
        network = build_network(PRESETS.get(name), image_size=size, channels=channels, classes=10)
        predicted = network(
            torch.zeros(2, channels, size, size), torch.tensor([1, 2]), class_labels=torch.tensor([0, 10])
        ).sample
    assert predicted.shape == (2, channels, size, size)
    assert sum(weight.numel() for weight in network.parameters()) / 1e6 == pytest.approx(millions, rel=0.1)


def test_network_has_one_more_class_for_no_label() -> None:
    network = build_network(PRESETS.get("digits"), image_size=8, channels=1, classes=7)
    assert network.config.num_class_embeds == 8
    assert network.class_embedding.weight.shape[0] == 8


@pytest.mark.parametrize(("name", "size", "factor", "advice"), [("digits", 9, 2, 8), ("cpu", 28, 8, 32)])
def test_size_that_cannot_be_halved_is_refused_with_one_that_can(
    name: str, size: int, factor: int, advice: int
) -> None:
    with pytest.raises(InputError, match=f"divisible by {factor}, found {size}; give --image-size {advice} "):
        build_network(PRESETS.get(name), image_size=size, channels=1, classes=2)
    check_size(PRESETS.get(name), advice)


def test_unknown_preset_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="unknown DDPM preset 'huge'; known: cpu, digits, small"):
        PRESETS.get("huge")


def test_label_changes_the_prediction() -> None:
    network = build_network(PRESETS.get("digits"), image_size=8, channels=1, classes=2).eval()
    generator = generator_for("perturbation")
    with torch.no_grad():
        for weight in network.parameters():  # A fresh network may start with layers at zero.
            weight.add_(0.02 * torch.randn(weight.shape, generator=generator))
        images = torch.randn(1, 1, 8, 8, generator=generator).expand(3, -1, -1, -1)
        predicted = network(images, torch.tensor([500] * 3), class_labels=torch.tensor([0, 1, 2])).sample
    assert (predicted[0] - predicted[1]).abs().max() > 1e-3
    assert (predicted[0] - predicted[2]).abs().max() > 1e-3
