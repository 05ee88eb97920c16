import math

import pytest
import torch
from torch import Tensor, nn

from synthaug.classifiers.attention import (
    ATTENTIONS,
    AttentionBlock,
    AttentionBranch,
    GraphAttention,
    PatchEmbedding,
    SelfAttention,
)
from synthaug.core.errors import InputError

WIDTH = 12

all_heads = pytest.mark.parametrize("heads", [1, 3, 4])
all_kinds = pytest.mark.parametrize("kind", ATTENTIONS.names())


def random_tokens(*, images: int = 2, tokens: int = 5, width: int = WIDTH) -> Tensor:
    return torch.randn(images, tokens, width, dtype=torch.float64)


def trained_branch(kind: str, *, channels: int = 8, patch_size: int = 1, width: int | None = None) -> AttentionBranch:
    """A branch whose last layer no longer holds zeros."""
    branch = AttentionBranch(channels, kind=kind, patch_size=patch_size, width=width)
    branch.output.reset_parameters()
    return branch


def pairwise_weights(attention: GraphAttention, tokens: Tensor) -> Tensor:
    """softmax_j(LeakyReLU(w^T [h_i || h_j])) for one pair after another."""
    images, count, _ = tokens.shape
    weights = torch.zeros(images, attention.heads, count, count, dtype=tokens.dtype)
    for image in range(images):
        for head in range(attention.heads):
            w = torch.cat([attention.query.weight[head], attention.key.weight[head]])
            for i in range(count):
                exponentials = []
                for j in range(count):
                    score = float(w @ torch.cat([tokens[image, i], tokens[image, j]]))
                    exponentials.append(math.exp(score if score > 0 else 0.2 * score))
                for j in range(count):
                    weights[image, head, i, j] = exponentials[j] / sum(exponentials)
    return weights


def mixed_values(weights: Tensor, values: Tensor) -> Tensor:
    """Sum over j of A[i, j] v_j, each head for its own slice of the values."""
    images, heads, count, _ = weights.shape
    size = values.shape[-1] // heads
    mixed = torch.zeros_like(values)
    for image in range(images):
        for head in range(heads):
            slice_of_head = slice(head * size, (head + 1) * size)
            for i in range(count):
                for j in range(count):
                    mixed[image, i, slice_of_head] += weights[image, head, i, j] * values[image, j, slice_of_head]
    return mixed


@all_heads
@torch.no_grad()
def test_graph_attention_equals_its_definition_on_pairs_of_tokens(heads: int) -> None:
    attention, tokens = GraphAttention(WIDTH, heads).double(), 3 * random_tokens()
    weights = pairwise_weights(attention, tokens)
    torch.testing.assert_close(attention.weights(tokens), weights)
    expected = attention.output(mixed_values(weights, attention.value(tokens)))
    torch.testing.assert_close(attention(tokens), expected)


@all_heads
@torch.no_grad()
def test_self_attention_equals_the_softmax_of_scaled_dot_products(heads: int) -> None:
    attention, tokens = SelfAttention(WIDTH, heads).double(), 3 * random_tokens()
    size = WIDTH // heads
    queries, keys, values = attention.query_key_value(tokens).split(WIDTH, dim=-1)
    of_heads = [
        torch.softmax(q @ k.mT / math.sqrt(size), dim=-1)
        for q, k in zip(queries.split(size, dim=-1), keys.split(size, dim=-1), strict=True)
    ]
    weights = torch.stack(of_heads, dim=1)
    torch.testing.assert_close(attention.weights(tokens), weights)
    torch.testing.assert_close(attention(tokens), attention.output(mixed_values(weights, values)))


@all_heads
@torch.no_grad()
def test_self_attention_agrees_with_the_one_of_torch(heads: int) -> None:
    attention, tokens = SelfAttention(WIDTH, heads).double(), random_tokens()
    other = nn.MultiheadAttention(WIDTH, heads, batch_first=True, dtype=torch.float64)
    other.in_proj_weight.copy_(attention.query_key_value.weight)
    other.in_proj_bias.copy_(attention.query_key_value.bias)
    other.out_proj.load_state_dict(attention.output.state_dict())
    output, weights = other(tokens, tokens, tokens, average_attn_weights=False)
    torch.testing.assert_close(attention(tokens), output)
    torch.testing.assert_close(attention.weights(tokens), weights)


@all_heads
@all_kinds
@torch.no_grad()
def test_what_a_token_takes_from_the_others_sums_to_one(kind: str, heads: int) -> None:
    weights = ATTENTIONS.get(kind)(WIDTH, heads).double().weights(10 * random_tokens())
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, heads, 5, dtype=torch.float64))


@all_heads
@all_kinds
@torch.no_grad()
def test_attention_and_block_follow_a_permutation_of_the_tokens(kind: str, heads: int) -> None:
    tokens, permutation = random_tokens(), torch.tensor([3, 0, 4, 1, 2])
    for module in (ATTENTIONS.get(kind)(WIDTH, heads).double(), AttentionBlock(WIDTH, heads, kind).double()):
        before = module(tokens)
        assert not torch.allclose(before[:, permutation], before)
        torch.testing.assert_close(module(tokens[:, permutation]), before[:, permutation])


@all_kinds
@torch.no_grad()
def test_block_adds_attention_and_then_a_perceptron_each_after_a_norm(kind: str) -> None:
    block, tokens = AttentionBlock(WIDTH, 3, kind).double(), random_tokens()
    for norm in (block.attention_norm, block.perceptron_norm):
        norm.weight.uniform_(0.5, 2.0)
        norm.bias.uniform_(-1.0, 1.0)
    first, _, last = block.perceptron
    attended = tokens + block.attention(block.attention_norm(tokens))
    hidden = nn.functional.gelu(first(block.perceptron_norm(attended)))
    assert hidden.shape[-1] == 2 * WIDTH
    torch.testing.assert_close(block(tokens), attended + last(hidden))


@torch.no_grad()
def test_kinds_are_interchangeable_but_only_one_ranks_the_tokens_alike_for_all() -> None:
    tokens = random_tokens(tokens=9)
    graph, dot_products = GraphAttention(WIDTH, 4).double(), SelfAttention(WIDTH, 4).double()
    graph.value.weight.copy_(dot_products.query_key_value.weight[2 * WIDTH :])
    graph.value.bias.copy_(dot_products.query_key_value.bias[2 * WIDTH :])
    graph.output.load_state_dict(dot_products.output.state_dict())
    assert graph(tokens).shape == dot_products(tokens).shape == tokens.shape
    assert not torch.allclose(graph(tokens), dot_products(tokens))
    # Theorem 1 of Brody et al. 2022; yet the weights differ from token to token, as they would not without LeakyReLU.
    order = graph.weights(tokens).argsort(dim=-1)
    assert torch.equal(order, order[:, :, :1].expand_as(order))
    assert not torch.allclose(graph.weights(tokens)[:, :, :1], graph.weights(tokens))
    order = dot_products.weights(tokens).argsort(dim=-1)
    assert not torch.equal(order, order[:, :, :1].expand_as(order))


@pytest.mark.parametrize("patch_size", [1, 2, 4])
@torch.no_grad()
def test_patch_embedding_is_a_linear_layer_on_flattened_patches_in_reading_order(patch_size: int) -> None:
    embedding, maps = PatchEmbedding(3, WIDTH, patch_size).double(), torch.randn(2, 3, 8, 12, dtype=torch.float64)
    patches = [
        maps[:, :, top : top + patch_size, left : left + patch_size].flatten(1)
        for top in range(0, 8, patch_size)
        for left in range(0, 12, patch_size)
    ]
    kernel, bias = embedding.projection.weight.flatten(1), embedding.projection.bias
    expected = nn.functional.linear(torch.stack(patches, dim=1), kernel, bias)
    torch.testing.assert_close(embedding(maps), expected)


@all_kinds
@torch.no_grad()
def test_branch_pools_the_pixels_of_a_map_without_regard_to_their_order(kind: str) -> None:
    branch, maps = trained_branch(kind).double(), torch.randn(2, 8, 3, 4, dtype=torch.float64)
    shuffled = maps.flatten(2)[:, :, torch.randperm(12)].unflatten(2, (3, 4))
    assert not torch.equal(shuffled, maps)
    torch.testing.assert_close(branch(shuffled), branch(maps))
    assert not torch.allclose(branch(maps)[0], branch(maps)[1])


@all_kinds
@torch.no_grad()
def test_branch_works_at_every_resolution_and_width(kind: str) -> None:
    branch = trained_branch(kind, patch_size=2, width=20)
    for size in (2, 4, 8):
        assert branch(torch.randn(3, 8, size, 2 * size)).shape == (3, 8)


@all_kinds
def test_branch_begins_as_zero_and_learns_from_its_last_layer_backwards(kind: str) -> None:
    branch, maps, target = AttentionBranch(8, kind=kind), torch.randn(4, 8, 4, 4), torch.randn(4, 8)
    optimiser = torch.optim.SGD(branch.parameters(), lr=0.1)
    change = branch(maps)
    assert torch.equal(change, torch.zeros(4, 8))

    nn.functional.mse_loss(change, target).backward()
    learning = {name for name, parameter in branch.named_parameters() if parameter.grad.abs().max() > 0}
    assert learning == {"output.weight", "output.bias"}

    optimiser.step()
    optimiser.zero_grad()
    nn.functional.mse_loss(branch(maps), target).backward()
    attention = branch.block.attention
    if isinstance(attention, GraphAttention):
        queries, keys = attention.query.weight.grad, attention.key.weight.grad
    else:
        queries, keys, _ = attention.query_key_value.weight.grad.chunk(3)
    for gradient in (queries, keys, branch.embedding.projection.weight.grad):
        assert gradient.abs().max() > 0


@all_kinds
@torch.no_grad()
def test_branch_takes_channels_last_maps_and_bfloat16(kind: str) -> None:
    branch, maps = trained_branch(kind, patch_size=2), torch.randn(2, 8, 4, 4)
    expected = branch(maps)
    branch, maps = branch.to(memory_format=torch.channels_last), maps.to(memory_format=torch.channels_last)
    torch.testing.assert_close(branch(maps), expected)
    with torch.autocast("cpu", torch.bfloat16):
        for taken in (maps, maps.bfloat16()):
            change = branch(taken)
            assert change.dtype == torch.bfloat16
            torch.testing.assert_close(change.float(), expected, atol=0.03, rtol=0.03)


@all_kinds
def test_branch_learns_under_autocast(kind: str) -> None:
    branch, maps = trained_branch(kind), torch.randn(2, 8, 4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        loss = branch(maps).float().square().mean()
    loss.backward()
    for parameter in branch.parameters():
        assert parameter.grad.dtype == torch.float32
        assert parameter.grad.isfinite().all()


@all_kinds
@pytest.mark.parametrize("heads", [0, 5])
def test_heads_that_do_not_divide_the_width_are_refused(kind: str, heads: int) -> None:
    message = f"a width divisible by its heads, found width 12 and {heads} heads"
    with pytest.raises(InputError, match=message):
        ATTENTIONS.get(kind)(12, heads)
    with pytest.raises(InputError, match=message):
        AttentionBranch(8, kind=kind, heads=heads, width=12)


@pytest.mark.parametrize(("height", "width"), [(6, 8), (8, 6)])
def test_maps_that_patches_do_not_tile_are_refused(height: int, width: int) -> None:
    with pytest.raises(InputError, match=f"patches of size 4 need .* divisible by 4, found {height}x{width}"):
        AttentionBranch(8, kind="self", patch_size=4)(torch.zeros(1, 8, height, width))


def test_unknown_attention_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="unknown attention 'linear'; known: graph, self"):
        AttentionBranch(8, kind="linear")
