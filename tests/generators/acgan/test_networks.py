"""The networks: what their parts hold to, and that labels and latent variables count."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from synthaug.core.errors import InputError
from synthaug.generators.acgan.discriminators import Discriminator, build_discriminator
from synthaug.generators.acgan.layers import ConditionalBatchNorm, SelfAttention, spectral, without_spectral_norm
from synthaug.generators.acgan.presets import PRESETS, build_generator, default_preset

FAMILIES = ("classic", "resnet", "reacgan")
every_family = pytest.mark.parametrize("family", FAMILIES)


def networks(family: str, size: int = 16, channels: int = 3, classes: int = 4) -> tuple[Any, Discriminator]:
    torch.manual_seed(0)
    preset = PRESETS.get(family)
    shape = {"image_size": size, "channels": channels, "classes": classes}
    return build_generator(preset, **shape), build_discriminator(preset, **shape)


def latents(network: Any, count: int) -> torch.Tensor:
    return torch.randn(count, network.config.latent, generator=torch.Generator().manual_seed(1))


@every_family
@pytest.mark.parametrize(("size", "channels"), [(8, 1), (12, 3), (28, 1), (32, 3), (36, 3), (64, 1)])
def test_networks_fit_every_size_divisible_by_four(family: str, size: int, channels: int) -> None:
    network, discriminator = networks(family, size, channels)
    made = network(latents(network, 4), torch.arange(4))
    assert made.shape == (4, channels, size, size)
    assert made.abs().max() <= 1.0
    source, classes = discriminator(made)
    assert source.shape == (4,)
    assert len(classes) == 4
    assert torch.isfinite(discriminator.class_loss(discriminator(made), torch.arange(4)))


@pytest.mark.parametrize("size", [8, 16, 20, 28, 32, 44, 64])
def test_both_networks_attend_at_every_size_where_the_preset_says_so(size: int) -> None:
    small = replace(PRESETS.get("reacgan-large"), width=8, widest=16)
    shape = {"image_size": size, "channels": 3, "classes": 4}
    for network in (build_generator(small, **shape), build_discriminator(small, **shape)):
        assert sum(isinstance(layer, SelfAttention) for layer in network.modules()) == 1


def test_the_classic_generator_has_the_layers_of_its_paper() -> None:
    network, _ = networks("classic", size=32)
    assert network.first.out_features == 384 * 4 * 4
    layers = [layer for layer in network.body if isinstance(layer, nn.ConvTranspose2d)]
    assert [(layer.in_channels, layer.out_channels, layer.kernel_size) for layer in layers] == [
        (384, 192, (5, 5)),
        (192, 96, (5, 5)),
        (96, 3, (5, 5)),
    ]


@pytest.mark.parametrize("size", [4, 10, 30, 68, 128])
def test_other_sizes_are_refused(size: int) -> None:
    with pytest.raises(InputError, match=f"8 to 64 pixels, divisible by 4, found {size}; give --image-size "):
        build_generator(PRESETS.get("reacgan"), image_size=size, channels=3, classes=10)


def test_presets_suit_sizes_and_budgets() -> None:
    assert (default_preset(8), default_preset(16), default_preset(32)) == ("digits", "digits", "resnet")
    large = build_generator(PRESETS.get("reacgan-large"), image_size=32, channels=3, classes=10)
    assert sum(weight.numel() for weight in large.parameters()) <= 8_000_000
    assert "attended.1.query.parametrizations.weight.original" in dict(large.named_parameters())


@pytest.mark.parametrize("family", ["resnet", "reacgan"])
def test_residual_networks_begin_orthogonal_and_without_biases(family: str) -> None:
    network, discriminator = networks(family)
    for part in (network.last, discriminator.source):
        rows = part.weight.flatten(1)
        torch.testing.assert_close(rows @ rows.T, torch.eye(len(rows)), atol=1e-4, rtol=0)
        assert part.bias.abs().max() == 0


@every_family
def test_images_change_with_the_label_and_with_the_latent_variables(family: str) -> None:
    network, _ = networks(family)
    for layer in network.modules():  # gains begin at zero in some families
        if isinstance(layer, ConditionalBatchNorm) and family == "resnet":
            nn.init.normal_(layer.gains.weight)
    network.eval()
    z = latents(network, 1).repeat(3, 1)
    z[2] += 1.0
    same, other_label, other_latents = network(z, torch.tensor([0, 1, 0]))
    assert (same - other_label).abs().max() > 1e-3
    assert (same - other_latents).abs().max() > 1e-3


@pytest.mark.parametrize("layer", [nn.Conv2d(3, 8, 3, padding=1), nn.Linear(6, 9), nn.Embedding(7, 5)])
def test_spectral_norm_bounds_the_operator_norm(layer: nn.Module) -> None:
    nn.init.normal_(layer.weight, std=3.0)
    normal = spectral(layer).train()
    for _ in range(50):
        _ = normal.weight  # a power iteration each
    largest = torch.linalg.matrix_norm(normal.weight.flatten(1), ord=2)
    assert largest.item() == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("family", ["resnet", "reacgan"])
def test_all_weights_of_a_discriminator_have_spectral_norm(family: str) -> None:
    _, discriminator = networks(family)
    plain = {name for name, _ in discriminator.named_parameters() if "parametrizations" not in name}
    assert {name.rpartition(".")[2] for name in plain} == {"bias"}


def test_conditional_batch_norm_uses_its_label() -> None:
    norm = ConditionalBatchNorm(3, 2, is_spectral=False)
    with torch.no_grad():
        norm.gains.weight[:, 1] = torch.tensor([1.0, 1.0, 1.0, 5.0, 6.0, 7.0])
    maps = torch.randn(400, 3, 4, 4) * 4 + 2
    labels = torch.arange(400) % 2
    normal = norm(maps, F.one_hot(labels, 2).float())
    assert normal[labels == 0].mean().item() == pytest.approx(0.0, abs=0.1)
    assert normal[labels == 0].std().item() == pytest.approx(1.0, abs=0.05)
    torch.testing.assert_close(normal[labels == 1].mean(dim=(0, 2, 3)), torch.tensor([5.0, 6.0, 7.0]), rtol=0, atol=0.2)
    assert normal[labels == 1][:, 0].std().item() == pytest.approx(2.0, abs=0.1)


def test_removing_spectral_norm_changes_no_image() -> None:
    network, _ = networks("reacgan")
    network.eval()
    z, labels = latents(network, 4), torch.arange(4)
    before = network(z, labels)
    without_spectral_norm(network)
    assert torch.equal(network(z, labels), before)
    assert not any("parametrizations" in name for name in network.state_dict())


def test_self_attention_begins_as_nothing_and_then_mixes_positions() -> None:
    attention = SelfAttention(16, is_spectral=False)
    maps = torch.randn(2, 16, 8, 8)
    assert torch.equal(attention(maps), maps)
    nn.init.ones_(attention.weight)
    changed = maps.clone()
    changed[:, :, 0, 0] += 10.0
    assert (attention(changed) - attention(maps))[:, :, 4:, 4:].abs().max() > 1e-3


def test_embeddings_are_compared_as_unit_vectors() -> None:
    _, discriminator = networks("reacgan")
    judgement, labels = discriminator(torch.randn(8, 3, 16, 16)), torch.arange(8) % 4
    scaled = judgement._replace(classes=judgement.classes * 7)
    assert discriminator.class_loss(scaled, labels).item() == pytest.approx(
        discriminator.class_loss(judgement, labels).item(), rel=1e-5
    )
