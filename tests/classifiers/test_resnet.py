import pytest
import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from synthaug.classifiers.networks import NETWORKS, build_network
from synthaug.core.errors import InputError


def build(name: str = "resnet20", *, channels: int = 3, classes: int = 10, seed: int = 0) -> nn.Module:
    return build_network(name, channels=channels, classes=classes, seed=seed).eval()


def weights(network: nn.Module) -> Tensor:
    return torch.cat([parameter.flatten() for parameter in network.parameters()])


def test_resnet20_has_twenty_weight_layers_and_the_size_in_the_paper() -> None:
    network = build()
    layers = [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear) and "downsample" not in name
    ]
    assert len(layers) == 20
    # Table 6 of He et al. 2016 gives 0.27 M for ResNet-20.
    assert sum(parameter.numel() for parameter in network.parameters()) == pytest.approx(0.27e6, rel=0.02)


def test_resnet20_halves_the_resolution_twice_and_doubles_the_channels() -> None:
    shapes: list[tuple[int, ...]] = []
    network = build()
    for block in [module for module in network.modules() if isinstance(module, BasicBlock)]:
        block.register_forward_hook(lambda _, __, output: shapes.append(tuple(output.shape[1:])))
    network(torch.zeros(1, 3, 32, 32))
    assert shapes == [(16, 32, 32)] * 3 + [(32, 16, 16)] * 3 + [(64, 8, 8)] * 3


@pytest.mark.parametrize("name", [name for name in NETWORKS.names() if name.startswith("resnet")])
@pytest.mark.parametrize(("channels", "size"), [(1, 8), (3, 8), (1, 32), (3, 32)])
def test_stem_keeps_the_resolution_of_small_grey_and_rgb_images(name: str, channels: int, size: int) -> None:
    network = build(name, channels=channels, classes=7)
    seen: list[tuple[int, ...]] = []
    first = next(module for module in network.modules() if isinstance(module, BasicBlock))
    first.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape[-2:])))
    with torch.no_grad():
        logits = network(torch.zeros(2, channels, size, size))
    assert seen == [(size, size)]
    assert logits.shape == (2, 7)


def test_initial_weights_depend_on_the_seed_only() -> None:
    torch.default_generator.manual_seed(1)
    first = weights(build(seed=5))
    torch.default_generator.manual_seed(2)
    assert torch.equal(weights(build(seed=5)), first)
    assert not torch.equal(weights(build(seed=6)), first)


def test_building_leaves_every_global_random_state_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(seed: int) -> None:
        pytest.fail(f"the accelerators were seeded with {seed}")

    monkeypatch.setattr(torch.cuda, "manual_seed_all", refuse)
    before = torch.get_rng_state()
    build(seed=5)
    assert torch.equal(torch.get_rng_state(), before)


def test_images_of_a_batch_do_not_influence_each_other_in_evaluation() -> None:
    network, images = build(), torch.rand(3, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(network(images)[:1], network(images[:1]))


def test_unknown_network_is_answered_with_the_known_ones() -> None:
    with pytest.raises(
        InputError, match="unknown network 'resnet99'; known: cifarnet, resnet18, resnet20, resnet34, resnet56"
    ):
        build("resnet99")
