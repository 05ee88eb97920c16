"""The losses of auxiliary-classifier GANs, as pure functions of what the discriminator says.

A source score is high for images that look real. Each loss is a mean over the batch.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

SourceLoss = Literal["cross-entropy", "hinge"]
Scores = Float[Tensor, " n"]


def discriminator_source_loss(kind: SourceLoss, real: Scores, fake: Scores) -> Float[Tensor, ""]:
    """How badly real and generated images are told apart.

    Args:
        kind: "cross-entropy": -E[log s(real)] - E[log(1 - s(fake))] with s the sigmoid (-L_S of Odena et al. 2017,
            equation 2). "hinge": E[max(0, 1 - real)] + E[max(0, 1 + fake)] (Miyato et al. 2018, equation 16).
        real: Scores of real images.
        fake: Scores of generated ones.
    """
    if kind == "hinge":
        return F.relu(1.0 - real).mean() + F.relu(1.0 + fake).mean()
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def generator_source_loss(kind: SourceLoss, fake: Scores) -> Float[Tensor, ""]:
    """How little generated images look real: -E[log s(fake)] (Goodfellow et al. 2014, section 3), or -E[fake]."""
    return -fake.mean() if kind == "hinge" else F.softplus(-fake).mean()


def class_loss(logits: Float[Tensor, "n k"], labels: Int64[Tensor, " n"]) -> Float[Tensor, ""]:
    """-E[log P(class)]: -L_C of Odena et al. 2017, equation 3."""
    return F.cross_entropy(logits, labels)


def d2d_ce(
    embeddings: Float[Tensor, "n d"],
    proxies: Float[Tensor, "n d"],
    labels: Int64[Tensor, " n"],
    *,
    positive_margin: float = 0.98,
    negative_margin: float = 0.02,
    temperature: float = 0.5,
) -> Float[Tensor, ""]:
    """The data-to-data cross-entropy (Kang et al. 2021, "Rebooting ACGAN").

    For image i of class y, with f an embedding, v the proxy of a class, and all of them unit vectors:

        -log(p / (p + sum_j exp(max(0, f_i . f_j - m_n) / t)))    with p = exp(min(0, f_i . v_y - m_p) / t)

    where the sum is over the images j of other classes. Positives nearer than m_p and negatives further apart than m_n
    are easy: they give no gradient of their own.

    Args:
        embeddings: f of each image, unit vectors.
        proxies: v of each image's class, unit vectors.
        labels: The classes.
        positive_margin: m_p.
        negative_margin: m_n.
        temperature: t.
    """
    positives = ((embeddings * proxies).sum(dim=1) - positive_margin).clamp(max=0.0) / temperature
    similarities = ((embeddings @ embeddings.T) - negative_margin).clamp(min=0.0) / temperature
    is_same: Bool[Tensor, "n n"] = labels[:, None] == labels[None, :]
    negatives = similarities.masked_fill(is_same, -torch.inf)
    everything = torch.logsumexp(torch.cat([positives[:, None], negatives], dim=1), dim=1)
    return (everything - positives).mean()


def r1_penalty(scores: Scores, images: Float[Tensor, "n c h w"]) -> Float[Tensor, ""]:
    """E[|d score / d image|^2] / 2 of real images, which must require gradients (Mescheder et al. 2018, equation 9).

    It can be differentiated once more; the caller multiplies it by gamma.
    """
    (slopes,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    return slopes.square().sum(dim=(1, 2, 3)).mean() / 2
