"""Residual networks without their last layer: from images to feature maps (He et al. 2016)."""

from __future__ import annotations

from typing import Literal, cast

from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models import resnet

#: `small` keeps the resolution: 3x3, stride 1, no pooling; `imagenet` divides it by four: 7x7, stride 2, pooling.
StemName = Literal["small", "imagenet"]


class CifarBackbone(nn.Module):
    """The networks of section 4.2: three stages of 16, 32 and 64 channels, 6n + 2 layers with the head.

    Shortcuts that change the shape are 1x1 convolutions (option B of the paper).

    Args:
        blocks: Residual blocks per stage, n.
        channels: Channels of the images.
    """

    width = 64

    def __init__(self, blocks: int, channels: int) -> None:
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

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n 64 y x"]:
        """Maps of a quarter of the images' size."""
        return cast(Tensor, self.stages(self.stem(images)))


class TorchvisionBackbone(resnet.ResNet):  # type: ignore[misc]
    """A ResNet of torchvision's, with its names of weights, up to the maps that it would average.

    Args:
        layers: Residual blocks of each of the four stages.
        channels: Channels of the images.
        stem: How images are taken in.
    """

    width = 512

    def __init__(self, layers: tuple[int, int, int, int], channels: int, stem: StemName) -> None:
        super().__init__(resnet.BasicBlock, list(layers))
        del self.fc, self.avgpool
        if stem == "small":
            self.conv1 = _like_torchvision(nn.Conv2d(channels, 64, kernel_size=3, padding=1, bias=False))
            self.maxpool = nn.Identity()
        elif channels != self.conv1.in_channels:
            self.conv1 = _like_torchvision(nn.Conv2d(channels, 64, kernel_size=7, stride=2, padding=3, bias=False))

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n 512 y x"]:
        """Maps of an eighth of the images' size with the small stem, of a thirty-second with ImageNet's."""
        maps = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        return cast(Tensor, self.layer4(self.layer3(self.layer2(self.layer1(maps)))))


def _like_torchvision(convolution: nn.Conv2d) -> nn.Conv2d:
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return convolution
