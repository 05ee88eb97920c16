"""Weights to begin a training with: torchvision's for ImageNet, a file in their layout, or another classifier here."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.error import URLError

import torch
from safetensors.torch import load
from torch import Tensor
from torchvision.models import get_model_weights

from synthaug.classifiers.networks import Architecture, ImageClassifier
from synthaug.classifiers.saved import CARD_NAME, ClassifierCard, read_classifier
from synthaug.core.console import log
from synthaug.core.errors import DamageError, InputError
from synthaug.core.storage import cache_home, sha256_file

#: The name that stands for torchvision's weights.
IMAGENET = "imagenet"


@dataclass(frozen=True)
class PretrainedWeights:
    """Weights by their names in an `ImageClassifier`.

    Attributes:
        name: Where they come from.
        weights: The weights.
        card: Of the classifier that they are from; None for torchvision's.
        is_known: Whether it is known what they were trained on: they have a card, or are torchvision's own.
    """

    name: str
    weights: dict[str, Tensor]
    card: ClassifierCard | None
    is_known: bool = False

    @classmethod
    def find(cls, where: str, architecture: Architecture) -> PretrainedWeights:
        """Reads or downloads weights.

        Args:
            where: `imagenet`, the folder of a classifier, or a file with a state dict of torchvision's (.safetensors,
                .pth, .pt; read without running anything from it).
            architecture: The network that they are for.

        Raises:
            InputError: If there are none for this network, or they cannot be downloaded.
            DamageError: If a file is damaged.
        """
        path = Path(where)
        if (path / CARD_NAME).is_file():
            network, card = read_classifier(path)
            weights = dict(network.state_dict())
            if has_other_attention(card, architecture):
                log(f"{where}: its attention is another and is left behind")
                weights = {name: value for name, value in weights.items() if not name.startswith("attention.")}
            return cls(where, weights, card, is_known=True)
        if where != IMAGENET and not path.is_file():
            raise InputError(
                f"--pretrained {where}: {IMAGENET}, the folder of a classifier or a file of weights is needed"
            )
        if where == IMAGENET:
            return cls(where, _renamed(_downloaded(architecture.network)), None, is_known=True)
        return cls(where, _renamed(_in_file(path)), None, is_known=_is_original(path, architecture.network))

    def sha256(self) -> str:
        """Of all weights with their names."""
        digest = hashlib.sha256()
        for name, value in sorted(self.weights.items()):
            digest.update(f"{name} {tuple(value.shape)}".encode() + value.contiguous().cpu().numpy().tobytes())
        return digest.hexdigest()

    @property
    def is_imagenet(self) -> bool:
        """Whether they expect images standardised by ImageNet's statistics."""
        return self.card is None

    def load_into(self, network: ImageClassifier, class_names: tuple[str, ...]) -> set[str]:
        """Puts the weights in place, where shapes agree; a head for other classes and a stem for other images stay new.

        Args:
            network: Gets the weights.
            class_names: Of its classes.

        Returns:
            Names of the weights and statistics that are pretrained now.

        Raises:
            InputError: If the rest of the network does not fit.
        """
        own = network.state_dict()
        has_head = self.card is None or self.card.class_names == class_names
        fitting = {
            name: value
            for name, value in self.weights.items()
            if name in own and own[name].shape == value.shape and (has_head or not name.startswith("head."))
        }
        if grey := _as_grey(self.weights, own):
            fitting |= grey
        first = next(name for name in own if name.endswith("weight"))
        missing = {name for name in own if name not in fitting and not name.startswith(("head.", "attention."))} - {
            first
        }
        if missing:
            raise InputError(
                f"--pretrained {self.name}: the weights of another network were found; {len(missing)} do not fit, "
                f"{min(missing)} among them. Choose the same --network"
            )
        network.load_state_dict({**own, **fitting})
        return set(fitting)


def has_other_attention(card: ClassifierCard, architecture: Architecture) -> bool:
    """Whether a classifier has attention, and not the one of this architecture."""
    own, wanted = card.architecture, architecture
    if own.attention == "none":
        return False
    return (own.attention, own.attention_patch, own.attention_heads) != (
        wanted.attention,
        wanted.attention_patch,
        wanted.attention_heads,
    )


def _is_original(path: Path, network: str) -> bool:
    """Whether a file is one that torchvision offers, by the hash in its address there."""
    try:
        known = [weights.url.rsplit("-", 1)[1].split(".")[0] for weights in get_model_weights(network)]
    except ValueError:
        return False
    return sha256_file(path).startswith(tuple(known))


def _as_grey(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """First kernels for grey images: those for three equal channels."""
    name = "backbone.conv1.weight"
    if name not in own or name not in weights:
        return {}
    grey = weights[name].sum(dim=1, keepdim=True)
    return {name: grey} if own[name].shape == grey.shape != weights[name].shape else {}


def _renamed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """From torchvision's names of a ResNet to an `ImageClassifier`'s."""
    return {
        name.replace("fc.", "head.") if name.startswith("fc.") else f"backbone.{name}": value
        for name, value in weights.items()
    }


def _in_file(path: Path) -> dict[str, Tensor]:
    try:
        found = (
            load(path.read_bytes())
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except Exception as error:  # what unpickling raises depends on the damage
        raise DamageError(f"{path} is damaged, or no plain file of weights") from error
    if not isinstance(found, dict) or "conv1.weight" not in found or not all(map(torch.is_tensor, found.values())):
        raise InputError(f"{path}: a state dict of a torchvision ResNet is needed (conv1.weight, ..., fc.bias)")
    return dict(found)


def _downloaded(network: str) -> dict[str, Tensor]:
    try:
        weights = get_model_weights(network).DEFAULT
    except ValueError as error:
        raise InputError(
            f"--pretrained {IMAGENET}: there are weights for resnet18 and resnet34, not {network}"
        ) from error
    try:
        found: dict[str, Tensor] = weights.get_state_dict(
            progress=False,
            check_hash=True,
            weights_only=True,
            map_location="cpu",
            model_dir=str(cache_home() / "torchvision"),
        )
    except (RuntimeError, pickle.UnpicklingError) as error:  # another hash, or a damaged file from before
        raise DamageError(
            f"--pretrained {IMAGENET}: what was downloaded from {weights.url} is damaged; delete "
            f"{cache_home() / 'torchvision'} and try again"
        ) from error
    except (URLError, OSError, HTTPException) as error:
        raise InputError(
            f"--pretrained {IMAGENET}: {weights.url} could not be downloaded ({error}). Download it elsewhere and name "
            "the file: --pretrained PATH.pth"
        ) from error
    return found
