"""Attention over the patches of feature maps, additive or of dot products, as a branch beside a pretrained network."""

from __future__ import annotations

import math
from typing import TypeAlias

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from synthaug.core.errors import InputError
from synthaug.core.registry import Registry


class GraphAttention(nn.Module):
    """Additive attention over a fully connected graph of tokens (Velickovic et al. 2018, "Graph Attention Networks").

    Per head, with one number for each token in q = H W_Q and in k = H W_K,

        A[i, j] = softmax_j(sigma(q_i + k_j)),  sigma = LeakyReLU with slope 0.2 (their section 2.1).

    This is softmax_j(sigma(w^T [h_i || h_j])) with w = [w_Q; w_K], but t tokens need t projections and not t^2. In the
    paper, w is the product of a shared projection and a vector a. A linear sigma would cancel q_i in the softmax. As
    sigma increases, all tokens rank the others in the same order, that of k (Brody et al. 2022, theorem 1); q_i sets
    how sharply.

    Args:
        width: Numbers per token, d.
        heads: Attention maps, each of which mixes width / heads of the values.

    Raises:
        InputError: If the heads do not divide the width.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        _check_heads(width, heads)
        self.heads = heads
        self.query = nn.Linear(width, heads, bias=False)
        self.key = nn.Linear(width, heads, bias=False)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)

    def forward(self, tokens: Float[Tensor, "n t d"]) -> Float[Tensor, "n t d"]:
        """Each token's mixture of the values of all."""
        mixed = self.weights(tokens) @ _split_heads(self.value(tokens), self.heads)
        changed: Float[Tensor, "n t d"] = self.output(_join_heads(mixed))
        return changed

    def weights(self, tokens: Float[Tensor, "n t d"]) -> Float[Tensor, "n heads t t"]:
        """How much token i takes from token j, A[i, j]."""
        queries: Float[Tensor, "n heads t"] = self.query(tokens).transpose(1, 2)
        keys: Float[Tensor, "n heads t"] = self.key(tokens).transpose(1, 2)
        scores = F.leaky_relu(queries[..., :, None] + keys[..., None, :], negative_slope=0.2)
        return scores.softmax(dim=-1)


class SelfAttention(nn.Module):
    """Scaled dot-product attention: softmax(Q K^T / sqrt(d_head)) V per head (Vaswani et al. 2017, section 3.2).

    Args:
        width: Numbers per token, d.
        heads: Attention maps, each of which mixes width / heads of the values.

    Raises:
        InputError: If the heads do not divide the width.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        _check_heads(width, heads)
        self.heads = heads
        self.query_key_value = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, tokens: Float[Tensor, "n t d"]) -> Float[Tensor, "n t d"]:
        """Each token's mixture of the values of all."""
        queries, keys, values = self._projections(tokens)
        mixed = F.scaled_dot_product_attention(queries, keys, values)
        changed: Float[Tensor, "n t d"] = self.output(_join_heads(mixed))
        return changed

    def weights(self, tokens: Float[Tensor, "n t d"]) -> Float[Tensor, "n heads t t"]:
        """How much token i takes from token j: for looking at, as `forward` need not hold these numbers."""
        queries, keys, _ = self._projections(tokens)
        scores = queries @ keys.transpose(-2, -1) / math.sqrt(queries.shape[-1])
        return scores.softmax(dim=-1)

    def _projections(self, tokens: Float[Tensor, "n t d"]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each `[n, heads, t, d / heads]`."""
        queries, keys, values = self.query_key_value(tokens).chunk(3, dim=-1)
        return _split_heads(queries, self.heads), _split_heads(keys, self.heads), _split_heads(values, self.heads)


Attention: TypeAlias = GraphAttention | SelfAttention

#: Kinds of attention by name: (width, heads) -> module from tokens to tokens.
ATTENTIONS: Registry[type[Attention]] = Registry("attention", {"graph": GraphAttention, "self": SelfAttention})


class PatchEmbedding(nn.Module):
    """Linear projections of patches that do not overlap, one token for each, row by row.

    Args:
        channels: Channels of the images or feature maps.
        width: Numbers per token.
        patch_size: Height and width of a patch.
    """

    def __init__(self, channels: int, width: int, patch_size: int) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.projection = nn.Conv2d(channels, width, kernel_size=patch_size, stride=patch_size)

    def forward(self, maps: Float[Tensor, "n c h w"]) -> Float[Tensor, "n t width"]:
        """The (h / patch_size) * (w / patch_size) tokens.

        Raises:
            InputError: If the patches do not tile the maps.
        """
        height, width = maps.shape[-2:]
        if height % self.patch_size or width % self.patch_size:
            raise InputError(
                f"patches of size {self.patch_size} need maps whose height and width are divisible by "
                f"{self.patch_size}, found {height}x{width}; choose another patch size"
            )
        embedded: Float[Tensor, "n width rows columns"] = self.projection(maps)
        return embedded.flatten(2).transpose(1, 2)


class AttentionBlock(nn.Module):
    """An encoder layer of a vision transformer, norms first (Dosovitskiy et al. 2021, equations 2 and 3).

    The hidden layer of its perceptron has 2 * width units, where theirs has 4 * width.

    Args:
        width: Numbers per token.
        heads: Heads of the attention.
        kind: A name in `ATTENTIONS`.

    Raises:
        InputError: If the kind is unknown or the heads do not divide the width.
    """

    def __init__(self, width: int, heads: int, kind: str) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention: Attention = ATTENTIONS.get(kind)(width, heads)
        self.perceptron_norm = nn.LayerNorm(width)
        self.perceptron = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, tokens: Float[Tensor, "n t d"]) -> Float[Tensor, "n t d"]:
        """The tokens after they took from each other, and then each for itself."""
        tokens = tokens + self.attention(self.attention_norm(tokens))
        changed: Float[Tensor, "n t d"] = tokens + self.perceptron(self.perceptron_norm(tokens))
        return changed


class AttentionBranch(nn.Module):
    """What attention adds to the pooled features of a backbone, from the feature maps that it pools.

    The last layer begins at zero, like the zero convolutions of ControlNet (Zhang et al. 2023, section 3.1): at the
    moment the branch is attached, a pretrained network still computes the same function. No positions are embedded:
    the maps of a convolutional backbone hold them already, and the branch works at any resolution.

    Args:
        channels: Channels of the feature maps, and the number of pooled features.
        kind: A name in `ATTENTIONS`.
        patch_size: Height and width of the patches that become tokens.
        heads: Heads of the attention.
        width: Numbers per token; None means as many as channels.

    Raises:
        InputError: If the kind is unknown or the heads do not divide the width.
    """

    def __init__(
        self, channels: int, *, kind: str, patch_size: int = 1, heads: int = 4, width: int | None = None
    ) -> None:
        super().__init__()
        width = channels if width is None else width
        self.embedding = PatchEmbedding(channels, width, patch_size)
        self.block = AttentionBlock(width, heads, kind)
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, channels)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, maps: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c"]:
        """The change of the pooled features.

        Raises:
            InputError: If the patches do not tile the maps.
        """
        tokens: Float[Tensor, "n t width"] = self.norm(self.block(self.embedding(maps)))
        change: Float[Tensor, "n c"] = self.output(tokens.mean(dim=1))
        return change


def _check_heads(width: int, heads: int) -> None:
    if heads < 1 or width % heads:
        raise InputError(f"attention needs a width divisible by its heads, found width {width} and {heads} heads")


def _split_heads(tokens: Float[Tensor, "n t d"], heads: int) -> Float[Tensor, "n heads t d_head"]:
    return tokens.reshape(*tokens.shape[:-1], heads, -1).transpose(1, 2)


def _join_heads(mixed: Float[Tensor, "n heads t d_head"]) -> Float[Tensor, "n t d"]:
    return mixed.transpose(1, 2).flatten(2)
