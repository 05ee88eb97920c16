"""Mixup and CutMix: images, targets and loss weights of a batch mixed with those of other images in it."""

from __future__ import annotations

import functools

import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor

#: Uniforms per image that `mix_batch` takes: partner, share, which of the two, row and column of the box's centre.
MIX_DRAWS = 5

_NODES = 4096


def mix_batch(
    images: Float[Tensor, "n c h w"],
    targets: Float[Tensor, "n k"],
    weights: Float[Tensor, " n"],
    uniforms: Float[Tensor, "n draws"],
    *,
    mixup: float,
    cutmix: float,
) -> tuple[Float[Tensor, "n c h w"], Float[Tensor, "n k"], Float[Tensor, " n"]]:
    """Mixes every image with a partner from the same batch; the partners are a random permutation of it.

    An image keeps the share `lam` and takes `1 - lam` from its partner, `lam = max(x, 1 - x)`, `x ~ Beta(a, a)`, drawn
    per image, so its own label stays the dominant one:

    - mixup blends all pixels (Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization", eq. 1);
    - CutMix pastes a box of the partner with the area `1 - lam` of the image; the border may clip it, and `lam` becomes
      what is left of the image (Yun et al. 2019, "CutMix: Regularization Strategy to Train Strong Classifiers with
      Localizable Features", eq. 1 and 2).

    With both, each image takes one or the other with probability 1/2.

    Targets and weights are such that `sum_i w_i * loss(targets_i) / sum_i w_i`, where a loss is linear in its target,
    counts each label as often as the pixels of its images, times their weights.

    Args:
        images: In any range.
        targets: Class probabilities.
        weights: Loss weights, at least 0.
        uniforms: `MIX_DRAWS` numbers in [0, 1) per image.
        mixup: The `a` of mixup; 0 is off.
        cutmix: The `a` of CutMix; 0 is off.

    Returns:
        Mixed images, targets and weights; the inputs themselves if both are off.
    """
    if not (mixup or cutmix):
        return images, targets, weights
    partner = uniforms[:, 0].argsort(stable=True)
    takes_box = uniforms[:, 2] < (0.5 if mixup and cutmix else float(cutmix > 0))
    share = torch.zeros_like(uniforms[:, 1])
    if mixup:
        share = _dominant_share(uniforms[:, 1], mixup)
    kept = share[:, None, None, None]
    if cutmix:
        is_outside = ~_boxes(_dominant_share(uniforms[:, 1], cutmix), uniforms[:, 3:5], images.shape[-2:])
        share = torch.where(takes_box, is_outside.float().mean(dim=(1, 2)), share)
        kept = torch.where(takes_box[:, None, None, None], is_outside[:, None].float(), kept)
    kept = kept.to(images.dtype)
    mixed = kept * images + (1 - kept) * images[partner]

    own, other = share * weights, (1 - share) * weights[partner]
    total = own + other
    label_share = torch.where(total > 0, own / total, share)[:, None].to(targets.dtype)
    return mixed, label_share * targets + (1 - label_share) * targets[partner], total.to(weights.dtype)


def _dominant_share(uniforms: Float[Tensor, " n"], alpha: float) -> Float[Tensor, " n"]:
    """The larger of x and 1 - x, x ~ Beta(alpha, alpha): by symmetry, the upper half of the quantile function."""
    table = _upper_quantiles(alpha, str(uniforms.device))
    position = uniforms * (_NODES - 1)
    node = position.long()
    return torch.lerp(table[node], table[node + 1], position - node)


@functools.lru_cache(maxsize=8)
def _upper_quantiles(alpha: float, device: str) -> Float32[Tensor, " nodes"]:
    """Quantiles of Beta(alpha, alpha) at `_NODES` equally spaced probabilities from 1/2 to 1."""
    import numpy as np
    from scipy.special import betaincinv

    values = betaincinv(alpha, alpha, np.linspace(0.5, 1.0, _NODES))
    return torch.from_numpy(values).to(device, torch.float32)


def _boxes(
    share: Float[Tensor, " n"], centres: Float[Tensor, "n 2"], extent: tuple[int, int] | torch.Size
) -> Bool[Tensor, "n h w"]:
    """True inside a box of the area `1 - share` and the shape of the image; centred anywhere, cut at the border."""
    sides = []
    for size, centre in zip(extent, centres.unbind(1), strict=True):
        length = ((1 - share).sqrt() * size).long()
        start = (centre * size).long() - length // 2
        offsets = torch.arange(size, device=share.device) - start[:, None]
        sides.append((offsets >= 0) & (offsets < length[:, None]))
    return sides[0][:, :, None] & sides[1][:, None, :]
