"""Where in an image a classifier's output comes from: integrated gradients and Grad-CAM; not how they are shown."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from synthaug.classifiers.networks import ImageClassifier

#: Steps along the path of integrated gradients, tried in turn until they are complete.
FIRST_STEPS, MOST_STEPS = 32, 512
#: Complete are those whose gap is at most this share of the difference of outputs, or this many logits.
RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE = 0.01, 0.01
_BATCH = 64


@dataclass(frozen=True, eq=False)
class IntegratedGradients:
    """How much each number of an image raises an output over that for the baseline.

    Attributes:
        values: What each number contributes, in logits.
        output: F(x), the logit for the image.
        baseline_output: F(x'), the logit for the baseline.
        steps: Points of the path at which gradients were taken.
    """

    values: Float[Tensor, "c s s"]
    output: float
    baseline_output: float
    steps: int

    @property
    def total(self) -> float:
        """Sum of all contributions."""
        return float(self.values.double().sum())

    @property
    def difference(self) -> float:
        """F(x) - F(x'), what they would sum to if the integral were exact (completeness, their proposition 1)."""
        return self.output - self.baseline_output

    @property
    def gap(self) -> float:
        """How far the sum misses the difference, in logits; not negative."""
        return abs(self.total - self.difference)

    @property
    def is_complete(self) -> bool:
        """Whether the gap is small enough to be no matter."""
        return self.gap <= max(RELATIVE_TOLERANCE * abs(self.difference), ABSOLUTE_TOLERANCE)


def integrated_gradients(
    network: nn.Module,
    image: Float[Tensor, "c s s"],
    baseline: Float[Tensor, "c s s"],
    label: int,
    *,
    steps: int | None = None,
) -> IntegratedGradients:
    """Attributes a logit to the numbers of an image (Sundararajan, Taly and Yan 2017, equation 1).

        IG_i(x) = (x_i - x'_i) * integral over a in [0, 1] of dF(x' + a (x - x')) / dx_i,

    by Gauss-Legendre quadrature. F(x) and F(x') are computed on their own, so that they can tell how good it is.

    Args:
        network: From images to logits, in evaluation mode.
        image: x, as the network sees it.
        baseline: x', where the path begins.
        label: The logit, F.
        steps: Points of the quadrature; doubles from 32 to 512 until complete if not given.
    """
    from captum.attr import IntegratedGradients as CaptumIntegratedGradients

    method = CaptumIntegratedGradients(network)
    with _exact_products():
        with torch.no_grad():
            ends = network(torch.stack([image, baseline]))[:, label].tolist()
        tried = FIRST_STEPS if steps is None else steps
        while True:
            values = method.attribute(
                image[None], baseline[None], target=label, n_steps=tried, internal_batch_size=min(tried, _BATCH)
            )
            found = IntegratedGradients(values[0].detach().float().cpu(), ends[0], ends[1], tried)
            if steps is not None or found.is_complete or tried >= MOST_STEPS:
                return found
            tried *= 2


def grad_cam(network: ImageClassifier, image: Float[Tensor, "c s s"], label: int) -> Float[Tensor, "y x"]:
    """Which regions raise a logit (Selvaraju et al. 2017, equations 1 and 2), as large as the backbone's maps.

        L = ReLU(sum over k of a_k A^k),  a_k = mean over positions of dF / dA^k,

    where A are the maps that the backbone gives; what comes after it (attention, averaging, the head) is in F.

    Args:
        network: In evaluation mode.
        image: As the network sees it.
        label: The logit, F.
    """
    from captum.attr import LayerGradCam

    method = LayerGradCam(network, network.backbone)
    with _exact_products():
        heat = method.attribute(image[None].clone().requires_grad_(), target=label, relu_attributions=True)
    return cast(Tensor, heat[0, 0].detach().float().cpu())


def enlarged(heat: Float[Tensor, "y x"], size: int) -> Float[Tensor, "{size} {size}"]:
    """A heat map at the size of its image, bilinearly."""
    from captum.attr import LayerAttribution

    return cast(Tensor, LayerAttribution.interpolate(heat[None, None], (size, size), "bilinear")[0, 0])


def on_pixels(values: Float[Tensor, "c s s"], size: int) -> Float[Tensor, "{size} {size}"]:
    """Contributions of all channels on the pixels of the image before it was resized; their sum stays the same.

    A number's contribution goes to the pixels that its square overlaps, in proportion to the overlap.
    """
    together = values.sum(dim=0)
    if values.shape[-1] == size:
        return together
    shares = _overlaps(values.shape[-1], size)
    return shares.T @ together @ shares


def _overlaps(before: int, after: int) -> Float[Tensor, "{before} {after}"]:
    """Which share of each of `before` equal parts of a line lies in each of `after` equal parts."""
    old = torch.arange(before + 1, dtype=torch.float64)[:, None] * after  # in units of 1 / (before * after)
    new = torch.arange(after + 1, dtype=torch.float64)[None, :] * before
    common = torch.minimum(old[1:], new[:, 1:]) - torch.maximum(old[:-1], new[:, :-1])
    return (common.clamp(min=0) / after).float()


def _exact_products() -> contextlib.AbstractContextManager[object]:
    """Lets GPUs neither shorten the factors of convolutions nor choose their sums by the clock."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
