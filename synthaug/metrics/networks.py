"""What all networks that others trained and images are compared by need: ways to see images and to be evaluated."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from synthaug.core.storage import sha256_json

#: Images of a batch. More at once take gigabytes and no less time.
BATCH_SIZE = 64

#: Height and width to which `bicubic` resizes.
BICUBIC_SIZE = 224
#: The same in words.
BICUBIC_RESIZE = f"bicubic, antialiased, to {BICUBIC_SIZE}x{BICUBIC_SIZE}"


def coloured(images: UInt8[Tensor, "n c h w"]) -> UInt8[Tensor, "n 3 h w"]:
    """Grey images as three equal channels."""
    return images.expand(-1, 3, -1, -1)


def bicubic(images: UInt8[Tensor, "n c h w"]) -> UInt8[Tensor, "n 3 224 224"]:
    """Coloured images of the size that many networks see, on the CPU whatever the device: rounded as Pillow does."""
    from torchvision.transforms.v2.functional import InterpolationMode, resize

    size, cubic = [BICUBIC_SIZE, BICUBIC_SIZE], InterpolationMode.BICUBIC
    resized: Tensor = resize(coloured(images.cpu()), size, interpolation=cubic, antialias=True)
    return resized


def fold(network: nn.Module, norms: Mapping[str, str]) -> None:
    """Puts normalisation into the convolutions that it follows.

    Args:
        network: In evaluation mode.
        norms: For each name that blocks give to a convolution, theirs for its normalisation.
    """
    for block in network.modules():
        for before, after in norms.items():
            convolution, norm = getattr(block, before, None), getattr(block, after, None)
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(block, before, fuse_conv_bn_eval(convolution, norm))
                setattr(block, after, nn.Identity())


def evaluated(network: nn.Module, device: str) -> Callable[[Tensor], Float[Tensor, "n width"]]:
    """Evaluates a network in full float32, the same every time."""
    network = network.to(device).eval().requires_grad_(False)
    exact = {"enabled": True, "benchmark": False, "deterministic": True, "allow_tf32": False}

    def forward(images: Tensor) -> Float[Tensor, "n width"]:
        with torch.no_grad(), torch.backends.cudnn.flags(**exact):
            found = network(images)
        values: Tensor = found[0] if isinstance(found, tuple) else found
        return values.to("cpu", torch.float32)

    return forward


def identity_of(name: str, version: int, library: str, weights: str, resize: str, device: str) -> str:
    """The sha256 of everything that decides the features.

    Args:
        name: Of the extractor.
        version: Of what it does with the network.
        library: That has the network, with its version.
        weights: sha256 of their file.
        resize: What is done to the size of images, in words.
        device: Where they are computed: devices round differently.
    """
    return sha256_json([name, version, library, weights, resize, torch.device(device).type])
