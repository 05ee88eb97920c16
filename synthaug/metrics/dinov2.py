"""DINOv2 from timm, a network trained without labels."""

from __future__ import annotations

import importlib
import importlib.metadata
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from synthaug.core.pixels import standardise
from synthaug.core.storage import cache_home, one_at_a_time
from synthaug.metrics.features import FeatureExtractor
from synthaug.metrics.networks import BATCH_SIZE, BICUBIC_RESIZE, BICUBIC_SIZE, bicubic, evaluated, identity_of
from synthaug.metrics.weights import WeightsSource, import_library

#: Changes when the same weights give other features.
_VERSION = 1

_MODEL = "vit_small_patch14_dinov2.lvd142m"
_NAME = "model.safetensors"
_URL = f"https://huggingface.co/timm/{_MODEL}/resolve/main/{_NAME}"
#: Of ImageNet's red, green and blue, in [0, 1].
_MEAN = (0.485, 0.456, 0.406)
_DEVIATION = (0.229, 0.224, 0.225)


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
    source = WeightsSource("--dinov2-weights", f"{_MODEL} in timm's layout", _URL)
    found = source.read(_downloaded(source) if weights is None else weights)
    with torch.random.fork_rng(devices=[]):
        network = timm.create_model(_MODEL, pretrained=False, img_size=BICUBIC_SIZE, num_classes=0)
    with found.misfits_refused():
        # The weights have embeddings of 37x37 places, images of 224 have 16x16.
        fit = importlib.import_module("timm.models.vision_transformer").checkpoint_filter_fn
        network.load_state_dict(fit(found.values, network))
    forward = evaluated(network, device)
    mean, deviation = (255 * torch.tensor(values, device=device) for values in (_MEAN, _DEVIATION))

    def features(images: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n 384"]:
        return forward(standardise(bicubic(images).to(device), mean, deviation))

    library = f"timm {importlib.metadata.version('timm')}"
    return FeatureExtractor(
        name="dinov2",
        backend=f"{_MODEL} of {library}, weights with sha256 {found.sha256[:8]}",
        resize=BICUBIC_RESIZE,
        width=384,
        identity=identity_of("dinov2", _VERSION, library, found.sha256, BICUBIC_RESIZE, device),
        features=features,
        batch_size=BATCH_SIZE,
    )


def _downloaded(source: WeightsSource) -> Path:
    hub = import_library("huggingface_hub", "huggingface_hub", "dinov2")
    path = cache_home() / "timm" / _MODEL / _NAME
    with one_at_a_time(path):
        if not path.is_file():
            try:
                hub.hf_hub_download(f"timm/{_MODEL}", _NAME, local_dir=path.parent)
            except Exception as error:  # the client has error types of its own
                raise source.out_of_reach(error) from error
    return path
