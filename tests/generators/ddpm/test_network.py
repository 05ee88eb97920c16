"""The table of networks: sizes, and that the class is listened to."""

from __future__ import annotations

import pytest
import torch

from synthaug.core.errors import InputError
from synthaug.core.seeding import generator_for
from synthaug.generators.ddpm.network import PRESETS, build_network, patch_size


@pytest.mark.parametrize(
    ("name", "size", "channels", "millions"),
    [
        ("digits", 8, 1, 0.64),
        ("digits", 16, 3, 0.64),
        ("cpu", 32, 3, 4.4),
        ("small", 32, 3, 6.5),
        ("base", 32, 3, 20.0),
        ("large", 32, 3, 35.7),
        ("large", 64, 1, 35.7),
    ],
)
def test_preset_builds_a_network_of_its_size(name: str, size: int, channels: int, millions: float) -> None:
    preset = PRESETS.get(name)
    inputs = torch.zeros(2, channels * preset.patch**2, size // preset.patch, size // preset.patch, device="meta")
    with torch.device("meta"):
        network = build_network(preset, image_size=size, channels=channels, classes=10)
        predicted = network(inputs, torch.tensor([1, 2]), class_labels=torch.tensor([0, 10])).sample
    assert predicted.shape == inputs.shape
    assert sum(weight.numel() for weight in network.parameters()) / 1e6 == pytest.approx(millions, rel=0.1)


def test_presets_are_ordered_by_what_they_cost() -> None:
    sizes = []
    for name in ("digits", "cpu", "small", "base", "large"):
        with torch.device("meta"):
            network = build_network(PRESETS.get(name), image_size=32, channels=3, classes=10)
        sizes.append(sum(weight.numel() for weight in network.parameters()))
    assert sizes == sorted(sizes)
    assert {"digits", "cpu", "small", "base", "large"} == set(PRESETS.names())


def test_network_has_one_more_class_for_no_label() -> None:
    network = build_network(PRESETS.get("digits"), image_size=8, channels=1, classes=7)
    assert network.config.num_class_embeds == 8
    assert network.class_embedding.weight.shape[0] == 8


@pytest.mark.parametrize(
    ("name", "size", "levels"),
    [
        *(("digits", size, 2) for size in (2, 4, 6, 8, 12, 16, 20, 28, 32)),
        *(("cpu", size, 3) for size in (8, 16, 24, 32, 64)),
        *(("cpu", size, 2) for size in (4, 12, 20, 28)),
        *(("large", size, 4) for size in (8, 32, 64)),
        *(("large", size, 3) for size in (12, 20, 28)),
    ],
)
def test_network_has_fewer_resolutions_where_a_size_cannot_be_halved_as_often(
    name: str, size: int, levels: int
) -> None:
    preset = PRESETS.get(name)
    assert preset.levels(size) == levels
    with torch.device("meta"):
        network = build_network(preset, image_size=size, channels=1, classes=2)
    assert network.config.block_out_channels == preset.widths[:levels]


@pytest.mark.parametrize(
    ("name", "size", "factor", "advice"),
    [
        ("digits", 9, 2, 8),
        ("digits", 1, 2, 2),
        ("cpu", 30, 4, 32),
        ("cpu", 9, 4, 8),
        ("cpu", 2, 4, 4),
        ("large", 33, 2, 32),
    ],
)
def test_size_that_cannot_be_halved_is_refused_with_one_that_can(
    name: str, size: int, factor: int, advice: int
) -> None:
    with pytest.raises(InputError, match=f"divisible by {factor}, found {size}; give --image-size {advice} "):
        build_network(PRESETS.get(name), image_size=size, channels=1, classes=2)
    assert PRESETS.get(name).levels(advice) >= 2


@pytest.mark.parametrize("classes", [0, 1, 1001])
def test_too_few_or_too_many_classes_are_refused(classes: int) -> None:
    with pytest.raises(InputError, match=f"a generator learns 2 to 1000 classes, found {classes}"):
        build_network(PRESETS.get("digits"), image_size=8, channels=1, classes=classes)


def test_unknown_preset_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="unknown DDPM preset 'huge'; known: base, cpu, digits, large, small"):
        PRESETS.get("huge")


@pytest.mark.parametrize(("channels", "patch"), [(1, 1), (3, 1), (4, 2), (12, 2), (16, 4), (48, 4)])
def test_patch_is_read_from_the_channels_of_the_network(channels: int, patch: int) -> None:
    assert patch_size(channels) == patch


def test_network_that_makes_no_images_is_refused() -> None:
    with pytest.raises(InputError, match="5 input channels makes neither grey nor RGB images"):
        patch_size(5)


def test_dropout_is_that_of_the_preset() -> None:
    with torch.device("meta"):
        network = build_network(PRESETS.get("large"), image_size=32, channels=3, classes=10)
    rates = {module.p for module in network.modules() if isinstance(module, torch.nn.Dropout)}
    assert PRESETS.get("large").dropout in rates


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
