"""The networks that tell real images from generated ones, and classes from each other."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from synthaug.generators.acgan.generators import Images, doublings
from synthaug.generators.acgan.layers import DownBlock, SelfAttention, spectral
from synthaug.generators.acgan.losses import SourceLoss, class_loss, d2d_ce
from synthaug.generators.acgan.presets import Preset

_EMBEDDING = 128


class Judgement(NamedTuple):
    """What a discriminator says of images.

    Attributes:
        source: High for images that look real.
        classes: Logits of the classes, or the embeddings that stand for them.
    """

    source: Float[Tensor, " n"]
    classes: Float[Tensor, "n k"]


class Discriminator(nn.Module):
    """What all of them share."""

    source_loss: SourceLoss = "hinge"
    #: Whether generated images teach the discriminator their classes, too.
    learns_fake_classes = False

    @property
    def guessing_loss(self) -> float:
        """The source loss of scores that are all 0."""
        return 2.0 if self.source_loss == "hinge" else 2 * math.log(2)

    def forward(self, images: Images) -> Judgement:
        """Judges images in [-1, 1]."""
        raise NotImplementedError

    def class_loss(self, judgement: Judgement, labels: Int64[Tensor, " n"]) -> Float[Tensor, ""]:
        """How badly the classes are known."""
        return class_loss(judgement.classes.float(), labels)


class ClassicDiscriminator(Discriminator):
    """Convolutions with leaky ReLU, dropout and batch norm, and two heads (Odena et al. 2017, appendix A)."""

    source_loss: SourceLoss = "cross-entropy"
    learns_fake_classes = True

    def __init__(self, image_size: int, channels: int, classes: int, width: int) -> None:
        super().__init__()
        halvings = doublings(image_size)
        layers: list[nn.Module] = []
        inputs, outputs = channels, width
        for i in range(2 * max(2, halvings)):
            halves = i % 2 == 0 and i // 2 < halvings
            layers.append(nn.Conv2d(inputs, outputs, 3, stride=2 if halves else 1, padding=1, bias=i == 0))
            layers += [nn.BatchNorm2d(outputs)] if i else []
            layers += [nn.LeakyReLU(0.2), nn.Dropout(0.5)]
            inputs, outputs = outputs, min(32 * width, 2 * outputs)
        self.body = nn.Sequential(*layers, nn.Flatten())
        features = inputs * (image_size // 2**halvings) ** 2
        self.source = nn.Linear(features, 1)
        self.classes = nn.Linear(features, classes)
        for layer in self.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                nn.init.normal_(layer.weight, std=0.02)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, images: Images) -> Judgement:
        """Judges images in [-1, 1]."""
        features = self.body(images)
        return Judgement(self.source(features).flatten().float(), self.classes(features))


class ResidualDiscriminator(Discriminator):
    """Residual blocks with spectral norm and sum pooling (Miyato et al. 2018, table 4), and two heads."""

    def __init__(self, image_size: int, channels: int, classes: int, width: int, widest: int, attention: int) -> None:
        super().__init__()
        inputs, outputs, size = channels, width, image_size
        halvings = max(1, doublings(size) - 1)
        blocks: list[nn.Module] = []
        for i in range(halvings):
            blocks.append(DownBlock(inputs, outputs, halves=True, is_first=i == 0))
            size //= 2
            if attention and (size <= attention or i == halvings - 1):
                blocks.append(SelfAttention(outputs, is_spectral=True))
                attention = 0
            inputs, outputs = outputs, min(widest, 2 * outputs)
        blocks += [DownBlock(inputs, outputs, halves=False), DownBlock(outputs, outputs, halves=False)]
        self.blocks = nn.Sequential(*blocks)
        self.source = spectral(nn.Linear(outputs, 1))
        self.classes = self.class_head(outputs, classes)

    def class_head(self, features: int, classes: int) -> nn.Module:
        """What turns features into logits or embeddings."""
        return spectral(nn.Linear(features, classes))

    def forward(self, images: Images) -> Judgement:
        """Judges images in [-1, 1]."""
        features = F.relu(self.blocks(images)).float().sum(dim=(2, 3))
        return Judgement(self.source(features).flatten().float(), self.classes(features))


class ReACGANDiscriminator(ResidualDiscriminator):
    """The same with unit embeddings and D2D-CE instead of a softmax over classes (Kang et al. 2021)."""

    def __init__(self, image_size: int, channels: int, classes: int, width: int, widest: int, attention: int) -> None:
        super().__init__(image_size, channels, classes, width, widest, attention)
        self.proxies = spectral(nn.Embedding(classes, _EMBEDDING))

    def class_head(self, features: int, classes: int) -> nn.Module:
        """Embeddings."""
        return spectral(nn.Linear(features, _EMBEDDING))

    def class_loss(self, judgement: Judgement, labels: Int64[Tensor, " n"]) -> Float[Tensor, ""]:
        """D2D-CE between embeddings and the proxies of their classes."""
        embeddings = F.normalize(judgement.classes.float(), dim=1)
        proxies = F.normalize(self.proxies(labels).float(), dim=1)
        return d2d_ce(embeddings, proxies, labels)


def build_discriminator(preset: Preset, *, image_size: int, channels: int, classes: int) -> Discriminator:
    """The discriminator of a preset."""
    if preset.family == "classic":
        return ClassicDiscriminator(image_size, channels, classes, preset.width)
    kind = ReACGANDiscriminator if preset.family == "reacgan" else ResidualDiscriminator
    return kind(image_size, channels, classes, preset.width, preset.widest, preset.attention)
