"""Networks put together: what attention changes, and what it leaves as it is."""

import pytest
import torch

from synthaug.classifiers.networks import NETWORKS, Architecture, build_network
from synthaug.core.errors import InputError


@pytest.mark.parametrize("kind", ["graph", "self"])
@pytest.mark.parametrize("name", ["resnet20", "resnet18", "cifarnet"])
def test_new_attention_leaves_a_network_as_it_was(name: str, kind: str) -> None:
    plain = build_network(name, channels=3, classes=5, seed=3).eval()
    attentive = build_network(Architecture(name, attention=kind), channels=3, classes=5, seed=3).eval()
    images = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(attentive(images), plain(images))
    assert sum(map(torch.numel, attentive.parameters())) > sum(map(torch.numel, plain.parameters()))


def test_attention_learns_to_change_features() -> None:
    network = build_network(Architecture("resnet20", attention="graph"), channels=1, classes=3, seed=0)
    network(torch.rand(4, 1, 8, 8)).sum().backward()
    gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
    assert all(gradient is not None for gradient in gradients.values())
    assert gradients["attention.output.weight"].abs().sum() > 0


def test_settings_of_an_architecture_are_all_of_it() -> None:
    wanted = Architecture("resnet18", "imagenet", "self", 2, 8)
    assert Architecture.of(wanted.settings()) == wanted
    assert Architecture.of({**wanted.settings(), "steps": 7}) == wanted


@pytest.mark.parametrize(("stem", "factor"), [("small", 8), ("imagenet", 32)])
@pytest.mark.parametrize("channels", [1, 3])
def test_stems_keep_or_divide_the_resolution(stem: str, factor: int, channels: int) -> None:
    network = build_network(Architecture("resnet18", stem), channels=channels, classes=2, seed=0).eval()
    with torch.no_grad():
        assert network.backbone(torch.zeros(1, channels, 64, 64)).shape == (1, 512, 64 // factor, 64 // factor)


@pytest.mark.parametrize("name", ["cifarnet", "resnet20", "resnet56"])
def test_networks_for_small_images_have_no_other_stem(name: str) -> None:
    with pytest.raises(InputError, match="--stem imagenet is for resnet18 and resnet34"):
        build_network(Architecture(name, "imagenet"), channels=3, classes=2, seed=0)


@pytest.mark.parametrize("name", NETWORKS.names())
def test_heads_see_averaged_maps(name: str) -> None:
    network, images = build_network(name, channels=1, classes=4, seed=0).eval(), torch.rand(2, 1, 16, 16)
    with torch.no_grad():
        features = network.backbone(images).mean(dim=(2, 3))
        torch.testing.assert_close(network.features(images), features)
        torch.testing.assert_close(network(images), network.head(features))


def test_resnet56_has_the_size_in_the_paper() -> None:
    network = build_network("resnet56", channels=3, classes=10, seed=0)
    # Table 6 of He et al. 2016 gives 0.85 M.
    assert sum(parameter.numel() for parameter in network.parameters()) == pytest.approx(0.85e6, rel=0.02)
