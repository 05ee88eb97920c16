"""Inception v3 from torch-fidelity, in whose features FID and KID are defined."""

from __future__ import annotations

import importlib.metadata
import io
from http.client import HTTPException
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

from synthaug.core.pixels import standardise
from synthaug.core.storage import cache_home, one_at_a_time, sha256_file
from synthaug.metrics.features import FeatureExtractor
from synthaug.metrics.networks import BATCH_SIZE, coloured, evaluated, fold, identity_of
from synthaug.metrics.weights import WeightsSource, import_library

#: Change when the same weights give other features.
_VERSION = 2

_NAME = "weights-inception-2015-12-05-6726825d.pth"
_URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{_NAME}"
_SHA256 = "6726825d"  # how it begins, by the file's name
_SIZE = 299
_RESIZE = f"bilinear to {_SIZE}x{_SIZE} as in TensorFlow 1"
#: Its first layers, up to this one, take a few images at a time on the CPU: for the maps of more, the largest of all,
#: the system would have to hand out fresh memory each time.
_STEM_END = "MaxPool_2"
_STEM_IMAGES = 4
#: At 299x299, more images at once take gigabytes and no less time.
_CPU_BATCH_SIZE = 16


def inception_extractor(weights: Path | None, *, device: str) -> FeatureExtractor:
    """Inception v3 as FID, KID and the Inception score are defined by (Heusel et al. 2017), from torch-fidelity.

    The features are the 2048 averages of its last layer. Probabilities are those of its 1008 classes without their
    biases, as in the Inception score's original code (Salimans et al. 2016).

    Args:
        weights: A state dict in torch-fidelity's layout (.pth or .safetensors; nothing is run from it); None downloads
            TensorFlow's of 2015-12-05 into the cache.
        device: Where to compute.

    Raises:
        InputError: If torch-fidelity is not installed, or the weights are for another network, damaged or out of reach.
    """
    fidelity = import_library("torch_fidelity", "torch-fidelity", "inception")
    source = WeightsSource("--inception-weights", "Inception v3 in torch-fidelity's layout", _URL)
    found = source.read(_downloaded(source) if weights is None else weights)
    # torch-fidelity runs what a file of weights says; this copy says nothing but weights.
    copy = io.BytesIO()
    torch.save(found.values, copy)
    copy.seek(0)
    with torch.random.fork_rng(devices=[]), found.misfits_refused():
        network = fidelity.FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048"], feature_extractor_weights_path=copy
        )
    class_weights: Tensor = network.fc.weight.detach().clone()
    on_cpu = torch.device(device).type == "cpu"
    forward = evaluated(_folded(network, _STEM_IMAGES if on_cpu else BATCH_SIZE), device)

    def features(images: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n 2048"]:
        return forward(coloured(images).to(device))

    def probabilities(features: Float[Tensor, "n 2048"]) -> Float[Tensor, "n 1008"]:
        return (features @ class_weights.T).softmax(dim=1)

    library = f"torch-fidelity {importlib.metadata.version('torch-fidelity')}"
    known = "TensorFlow's weights of 2015-12-05" if found.sha256.startswith(_SHA256) else "other weights"
    return FeatureExtractor(
        name="inception",
        backend=f"Inception v3 of {library}, {known} (sha256 {found.sha256[:8]})",
        resize=_RESIZE,
        width=2048,
        identity=identity_of("inception", _VERSION, library, found.sha256, _RESIZE, device),
        features=features,
        probabilities=probabilities,
        batch_size=_CPU_BATCH_SIZE if on_cpu else BATCH_SIZE,
    )


def _downloaded(source: WeightsSource) -> Path:
    path = cache_home() / "torch-fidelity" / _NAME
    with one_at_a_time(path):
        try:
            if not (path.is_file() and sha256_file(path).startswith(_SHA256)):
                path.parent.mkdir(parents=True, exist_ok=True)
                torch.hub.download_url_to_file(_URL, str(path), _SHA256, progress=False)
        except (OSError, HTTPException, RuntimeError) as error:  # the last says that the hash is another
            raise source.out_of_reach(error) from error
    return path


class _Inception(nn.Module):
    """torch-fidelity's network from uint8 pixels to features, with normalisation folded into the convolutions."""

    def __init__(self, network: nn.Module, stem_images: int) -> None:
        super().__init__()
        layers = dict(network.named_children())
        names = list(layers)
        end = names.index(_STEM_END) + 1
        self.stem = nn.Sequential(*[layers[name] for name in names[:end]])
        self.rest = nn.Sequential(*[layers[name] for name in names[end : names.index("fc")]], nn.Flatten())
        self.stem_images = stem_images

    def forward(self, images: UInt8[Tensor, "n 3 h w"]) -> Float[Tensor, "n width"]:
        few_at_a_time = torch.split(images, self.stem_images)
        features: Tensor = self.rest(torch.cat([self.stem(_resized(few)) for few in few_at_a_time]))
        return features


def _folded(network: nn.Module, stem_images: int) -> nn.Module:
    fold(network, {"conv": "bn"})
    return _Inception(network, stem_images).to(memory_format=torch.channels_last)


def _resized(images: UInt8[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 299 299"]:
    """TensorFlow 1's bilinear resize, of pixels in [-1, 1).

    It puts pixel i of N at i n / N of n. Torch puts it at i (n - 1) / (N - 1), which one pixel more on both sides makes
    the same.
    """
    middle = torch.full((3,), 128.0, device=images.device)
    pixels = functional.pad(standardise(images, middle, middle), (0, 1, 0, 1), mode="replicate")
    pixels = pixels.contiguous(memory_format=torch.channels_last)
    size = [_SIZE + 1] * 2
    larger = functional.interpolate(pixels, size=size, mode="bilinear", align_corners=True)
    return larger[:, :, :-1, :-1].contiguous(memory_format=torch.channels_last)
