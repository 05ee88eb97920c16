"""Classifiers put together: a backbone, attention over its maps if wanted, and a linear head."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from synthaug.classifiers.attention import AttentionBranch
from synthaug.classifiers.cifarnet import CifarNetBackbone
from synthaug.classifiers.resnet import CifarBackbone, StemName, TorchvisionBackbone
from synthaug.core.errors import InputError
from synthaug.core.registry import Registry

AttentionName = Literal["none", "graph", "self"]


def _small_only(backbone: Callable[[int], nn.Module]) -> Callable[[int, StemName], nn.Module]:
    def build(channels: int, stem: StemName) -> nn.Module:
        if stem != "small":
            raise InputError(f"--stem {stem} is for resnet18 and resnet34; the other networks have the small one only")
        return backbone(channels)

    return build


def _torchvision(*layers: int) -> Callable[[int, StemName], nn.Module]:
    return lambda channels, stem: TorchvisionBackbone(cast(tuple[int, int, int, int], layers), channels, stem)


#: Builders of backbones by name: (channels, stem) -> network from images to maps of `width` channels.
NETWORKS: Registry[Callable[[int, StemName], nn.Module]] = Registry(
    "network",
    {
        "cifarnet": _small_only(CifarNetBackbone),
        "resnet20": _small_only(functools.partial(CifarBackbone, 3)),
        "resnet56": _small_only(functools.partial(CifarBackbone, 9)),
        "resnet18": _torchvision(2, 2, 2, 2),
        "resnet34": _torchvision(3, 4, 6, 3),
    },
)


@dataclass(frozen=True)
class Architecture:
    """What a classifier is built of.

    Attributes:
        network: Name of the backbone.
        stem: How it takes images in.
        attention: Attention over the backbone's maps: `graph` (additive), `self` (classical) or `none`.
        attention_patch: Height and width of the patches of maps that attention sees.
        attention_heads: Heads of the attention.
    """

    network: str
    stem: StemName = "small"
    attention: AttentionName = "none"
    attention_patch: int = 1
    attention_heads: int = 4

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """The architecture among more settings, such as a recipe's."""
        return cls(**{name: settings[name] for name in cls.__dataclass_fields__})

    def settings(self) -> dict[str, Any]:
        """All choices by name."""
        return asdict(self)


class ImageClassifier(nn.Module):
    """Feature maps of a backbone, averaged, changed by attention if there is any, and classified linearly.

    Args:
        backbone: From images to maps of `width` channels.
        width: Channels of the maps.
        attention: From maps to a change of the averaged features; None for none.
        classes: Number of classes.
    """

    def __init__(self, backbone: nn.Module, width: int, attention: nn.Module | None, classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.attention = attention
        self.head = nn.Linear(width, classes)

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n classes"]:
        """Unnormalised log-probabilities of each class."""
        return cast(Tensor, self.head(self.features(images)))

    def features(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n width"]:
        """What the last layer sees."""
        maps: Tensor = self.backbone(images)
        features = maps.mean(dim=(2, 3))
        return features if self.attention is None else features + self.attention(maps)


def build_network(architecture: Architecture | str, *, channels: int, classes: int, seed: int) -> ImageClassifier:
    """A network with initial weights that depend on the seed only, in channels-last memory format.

    Args:
        architecture: What it is built of; a name alone is a backbone with everything else as it is by default.
        channels: Channels of the images.
        classes: Number of classes.
        seed: Of the weights.

    Raises:
        InputError: If a name is unknown, or numbers do not fit each other.
    """
    wanted = Architecture(architecture) if isinstance(architecture, str) else architecture
    build = NETWORKS.get(wanted.network)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed the GPUs as well
        backbone = build(channels, wanted.stem)
        width = cast(int, backbone.width)
        network = ImageClassifier(backbone, width, None, classes)
        if wanted.attention != "none":  # last, so that the others begin as they do without it
            network.attention = AttentionBranch(
                width, kind=wanted.attention, patch_size=wanted.attention_patch, heads=wanted.attention_heads
            )
        return network.to(memory_format=torch.channels_last)
