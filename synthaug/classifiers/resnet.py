"""Residual networks for small images (He et al. 2016, "Deep Residual Learning for Image Recognition")."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models import resnet

from synthaug.core.registry import Registry


class CifarResNet(nn.Module):
    """The networks of section 4.2: three stages of 16, 32 and 64 channels, 6n + 2 layers.

    Shortcuts that change the shape are 1x1 convolutions (option B of the paper).

    Args:
        blocks: Residual blocks per stage, n.
        channels: Channels of the images.
        classes: Number of classes.
    """

    def __init__(self, blocks: int, channels: int, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(channels, 16, kernel_size=3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True)
        )
        stages = []
        width = 16
        for stage, planes in enumerate((16, 32, 64)):
            for block in range(blocks):
                stride = 2 if stage > 0 and block == 0 else 1
                shortcut = None
                if stride != 1 or width != planes:
                    shortcut = nn.Sequential(
                        nn.Conv2d(width, planes, kernel_size=1, stride=stride, bias=False), nn.BatchNorm2d(planes)
                    )
                stages.append(resnet.BasicBlock(width, planes, stride, shortcut))
                width = planes
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(64, classes)

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n classes"]:
        """Unnormalised log-probabilities of each class."""
        logits: Float[Tensor, "n classes"] = self.head(self.features(images))
        return logits

    def features(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n 64"]:
        """What the last layer sees."""
        maps: Tensor = self.stages(self.stem(images))
        return maps.mean(dim=(2, 3))


def small_image_resnet(build: Callable[..., nn.Module], channels: int, classes: int) -> nn.Module:
    """A torchvision ResNet whose stem keeps the resolution: 3x3, stride 1, no pooling."""
    network = build(weights=None, num_classes=classes)
    network.conv1 = nn.Conv2d(channels, 64, kernel_size=3, padding=1, bias=False)
    network.maxpool = nn.Identity()
    return network


#: Builders of networks by name: (channels, classes) -> network from images in [-1, 1] to logits.
NETWORKS: Registry[Callable[[int, int], nn.Module]] = Registry(
    "network",
    {
        "resnet20": lambda channels, classes: CifarResNet(3, channels, classes),
        "resnet18": lambda channels, classes: small_image_resnet(resnet.resnet18, channels, classes),
        "resnet34": lambda channels, classes: small_image_resnet(resnet.resnet34, channels, classes),
    },
)


def build_network(name: str, *, channels: int, classes: int, seed: int) -> nn.Module:
    """A network with initial weights that depend on the seed only, in channels-last memory format.

    Raises:
        InputError: If the name is unknown.
    """
    build = NETWORKS.get(name)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed the GPUs as well
        return build(channels, classes).to(memory_format=torch.channels_last)
