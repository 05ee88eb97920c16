"""Networks that others trained and images are compared by, with weights from a file or downloaded on demand."""

from __future__ import annotations

import importlib
import importlib.metadata
import io
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Protocol

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from synthaug.core.pixels import standardise
from synthaug.core.storage import cache_home, one_at_a_time, sha256_file, sha256_json
from synthaug.metrics.features import FeatureExtractor
from synthaug.metrics.weights import WeightsSource, import_library

#: Change when the same weights give other features.
_INCEPTION_VERSION = 2
_DINOV2_VERSION = 1

_INCEPTION_NAME = "weights-inception-2015-12-05-6726825d.pth"
_INCEPTION_URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{_INCEPTION_NAME}"
_INCEPTION_SHA256 = "6726825d"  # how it begins, by the file's name
_INCEPTION_SIZE = 299
_INCEPTION_RESIZE = f"bilinear to {_INCEPTION_SIZE}x{_INCEPTION_SIZE} as in TensorFlow 1"
#: Its first layers, up to this one, take a few images at a time on the CPU: for the maps of more, the largest of all,
#: the system would have to hand out fresh memory each time.
_INCEPTION_STEM_END = "MaxPool_2"
_INCEPTION_STEM_IMAGES = 4

_DINOV2 = "vit_small_patch14_dinov2.lvd142m"
_DINOV2_NAME = "model.safetensors"
_DINOV2_URL = f"https://huggingface.co/timm/{_DINOV2}/resolve/main/{_DINOV2_NAME}"
_DINOV2_SIZE = 224
_DINOV2_RESIZE = f"bicubic, antialiased, to {_DINOV2_SIZE}x{_DINOV2_SIZE}"
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_DEVIATION = (0.229, 0.224, 0.225)

#: At 299x299, more images at once take gigabytes and no less time.
_BATCH_SIZE = 64
_INCEPTION_CPU_BATCH_SIZE = 16


class PretrainedExtractor(Protocol):
    """Builds an extractor from a file of weights, or from downloaded ones."""

    def __call__(self, weights: Path | None, *, device: str) -> FeatureExtractor:
        """An extractor that computes on `device`; None downloads the weights."""
        ...


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
    source = WeightsSource("--inception-weights", "Inception v3 in torch-fidelity's layout", _INCEPTION_URL)
    found = source.read(_downloaded_inception(source) if weights is None else weights)
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
    forward = _forward(_folded_inception(network, _INCEPTION_STEM_IMAGES if on_cpu else _BATCH_SIZE), device)

    def features(images: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n 2048"]:
        return forward(_coloured(images).to(device))

    def probabilities(features: Float[Tensor, "n 2048"]) -> Float[Tensor, "n 1008"]:
        return (features @ class_weights.T).softmax(dim=1)

    library = f"torch-fidelity {importlib.metadata.version('torch-fidelity')}"
    known = "TensorFlow's weights of 2015-12-05" if found.sha256.startswith(_INCEPTION_SHA256) else "other weights"
    return FeatureExtractor(
        name="inception",
        backend=f"Inception v3 of {library}, {known} (sha256 {found.sha256[:8]})",
        resize=_INCEPTION_RESIZE,
        width=2048,
        identity=_identity("inception", _INCEPTION_VERSION, library, found.sha256, _INCEPTION_RESIZE, device),
        features=features,
        probabilities=probabilities,
        batch_size=_INCEPTION_CPU_BATCH_SIZE if on_cpu else _BATCH_SIZE,
    )


def dinov2_extractor(weights: Path | None, *, device: str) -> FeatureExtractor:
    """DINOv2 ViT-S/14 (Oquab et al. 2023), trained without labels, from timm: the 384 features of its class token.

    Args:
        weights: A state dict in timm's layout (.safetensors or .pth; nothing is run from it); None downloads timm's
            from Hugging Face into the cache.
        device: Where to compute.

    Raises:
        InputError: If timm is not installed, or the weights are for another network, damaged or out of reach.
    """
    timm = import_library("timm", "timm", "dinov2")
    source = WeightsSource("--dinov2-weights", f"{_DINOV2} in timm's layout", _DINOV2_URL)
    found = source.read(_downloaded_dinov2(source) if weights is None else weights)
    with torch.random.fork_rng(devices=[]):
        network = timm.create_model(_DINOV2, pretrained=False, img_size=_DINOV2_SIZE, num_classes=0)
    with found.misfits_refused():
        # The weights have embeddings of 37x37 places, images of 224 have 16x16.
        fit = importlib.import_module("timm.models.vision_transformer").checkpoint_filter_fn
        network.load_state_dict(fit(found.values, network))
    forward = _forward(network, device)
    mean, deviation = (255 * torch.tensor(values, device=device) for values in (_IMAGENET_MEAN, _IMAGENET_DEVIATION))

    def features(images: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n 384"]:
        from torchvision.transforms.v2.functional import InterpolationMode, resize

        # On the CPU whatever the device: rounded there as Pillow does.
        size, bicubic = [_DINOV2_SIZE, _DINOV2_SIZE], InterpolationMode.BICUBIC
        resized: Tensor = resize(_coloured(images.cpu()), size, interpolation=bicubic, antialias=True)
        return forward(standardise(resized.to(device), mean, deviation))

    library = f"timm {importlib.metadata.version('timm')}"
    return FeatureExtractor(
        name="dinov2",
        backend=f"{_DINOV2} of {library}, weights with sha256 {found.sha256[:8]}",
        resize=_DINOV2_RESIZE,
        width=384,
        identity=_identity("dinov2", _DINOV2_VERSION, library, found.sha256, _DINOV2_RESIZE, device),
        features=features,
        batch_size=_BATCH_SIZE,
    )


PRETRAINED_EXTRACTORS: dict[str, PretrainedExtractor] = {"inception": inception_extractor, "dinov2": dinov2_extractor}


def _downloaded_inception(source: WeightsSource) -> Path:
    path = cache_home() / "torch-fidelity" / _INCEPTION_NAME
    with one_at_a_time(path):
        try:
            if not (path.is_file() and sha256_file(path).startswith(_INCEPTION_SHA256)):
                path.parent.mkdir(parents=True, exist_ok=True)
                torch.hub.download_url_to_file(_INCEPTION_URL, str(path), _INCEPTION_SHA256, progress=False)
        except (OSError, HTTPException, RuntimeError) as error:  # the last says that the hash is another
            raise source.out_of_reach(error) from error
    return path


def _downloaded_dinov2(source: WeightsSource) -> Path:
    hub = import_library("huggingface_hub", "huggingface_hub", "dinov2")
    path = cache_home() / "timm" / _DINOV2 / _DINOV2_NAME
    with one_at_a_time(path):
        if not path.is_file():
            try:
                hub.hf_hub_download(f"timm/{_DINOV2}", _DINOV2_NAME, local_dir=path.parent)
            except Exception as error:  # the client has error types of its own
                raise source.out_of_reach(error) from error
    return path


class _Inception(nn.Module):
    """torch-fidelity's network from uint8 pixels to features, with normalisation folded into the convolutions."""

    def __init__(self, network: nn.Module, stem_images: int) -> None:
        super().__init__()
        layers = dict(network.named_children())
        names = list(layers)
        end = names.index(_INCEPTION_STEM_END) + 1
        self.stem = nn.Sequential(*[layers[name] for name in names[:end]])
        self.rest = nn.Sequential(*[layers[name] for name in names[end : names.index("fc")]], nn.Flatten())
        self.stem_images = stem_images

    def forward(self, images: UInt8[Tensor, "n 3 h w"]) -> Float[Tensor, "n width"]:
        few_at_a_time = torch.split(images, self.stem_images)
        features: Tensor = self.rest(torch.cat([self.stem(_resized(few)) for few in few_at_a_time]))
        return features


def _folded_inception(network: nn.Module, stem_images: int) -> nn.Module:
    for block in network.modules():
        convolution, norm = getattr(block, "conv", None), getattr(block, "bn", None)
        if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            block.conv, block.bn = fuse_conv_bn_eval(convolution, norm), nn.Identity()
    return _Inception(network, stem_images).to(memory_format=torch.channels_last)


def _resized(images: UInt8[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 299 299"]:
    """TensorFlow 1's bilinear resize, of pixels in [-1, 1).

    It puts pixel i of N at i n / N of n. Torch puts it at i (n - 1) / (N - 1), which one pixel more on both sides makes
    the same.
    """
    middle = torch.full((3,), 128.0, device=images.device)
    pixels = functional.pad(standardise(images, middle, middle), (0, 1, 0, 1), mode="replicate")
    pixels = pixels.contiguous(memory_format=torch.channels_last)
    size = [_INCEPTION_SIZE + 1] * 2
    larger = functional.interpolate(pixels, size=size, mode="bilinear", align_corners=True)
    return larger[:, :, :-1, :-1].contiguous(memory_format=torch.channels_last)


def _forward(network: nn.Module, device: str) -> Callable[[Tensor], Float[Tensor, "n width"]]:
    """Evaluates a network in full float32, the same every time."""
    network = network.to(device).eval().requires_grad_(False)
    exact = {"enabled": True, "benchmark": False, "deterministic": True, "allow_tf32": False}

    def forward(images: Tensor) -> Float[Tensor, "n width"]:
        with torch.no_grad(), torch.backends.cudnn.flags(**exact):
            found = network(images)
        values: Tensor = found[0] if isinstance(found, tuple) else found
        return values.to("cpu", torch.float32)

    return forward


def _coloured(images: UInt8[Tensor, "n c h w"]) -> UInt8[Tensor, "n 3 h w"]:
    return images.expand(-1, 3, -1, -1)


def _identity(name: str, version: int, library: str, weights: str, resize: str, device: str) -> str:
    # Devices round differently.
    return sha256_json([name, version, library, weights, resize, torch.device(device).type])
