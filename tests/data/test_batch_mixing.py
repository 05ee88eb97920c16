import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from synthaug.core.seeding import sample_seeds, uniforms
from synthaug.data.batch_mixing import MIX_DRAWS, mix_batch

MODES = [(0.2, 0.0), (1.0, 0.0), (0.0, 1.0), (0.0, 0.5), (0.8, 1.0)]


def random_draws(count: int, seed: int = 0) -> Tensor:
    return uniforms(sample_seeds(seed, torch.arange(count)), MIX_DRAWS)


def a_batch(count: int = 64, size: int = 12, classes: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    """Random images, one-hot targets and unequal weights."""
    images = torch.rand(count, 3, size, size) * 2 - 1
    targets = F.one_hot(torch.randint(0, classes, (count,)), classes).float()
    return images, targets, torch.rand(count) + 0.5


def shares(count: int, size: int, *, mixup: float, cutmix: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """What each image kept of each pixel, and whose pixels it took, read off images that hold their own number."""
    numbers = torch.eye(count, dtype=torch.float64).view(count, count, 1, 1).expand(-1, -1, size, size)
    mixed, _, _ = mix_batch(
        numbers, torch.ones(count, 1), torch.ones(count), random_draws(count, seed), mixup=mixup, cutmix=cutmix
    )
    kept = mixed.diagonal().permute(2, 0, 1)
    without_own = mixed.clone()
    without_own[torch.arange(count), torch.arange(count)] = 0
    taken = without_own.sum(dim=(2, 3))
    return kept, torch.where(taken.sum(dim=1) > 0, taken.argmax(dim=1), torch.arange(count))


@pytest.mark.parametrize(("mixup", "cutmix"), MODES)
def test_images_and_labels_are_mixed_in_the_same_shares(mixup: float, cutmix: float) -> None:
    images, targets, _ = a_batch()
    equal = torch.ones(64)
    mixed, labels, weights = mix_batch(images, targets, equal, random_draws(64), mixup=mixup, cutmix=cutmix)
    kept, partner = shares(64, 12, mixup=mixup, cutmix=cutmix)
    expected = kept[:, None] * images + (1 - kept[:, None]) * images[partner]
    torch.testing.assert_close(mixed, expected.float(), atol=1e-6, rtol=0)
    share = kept.mean(dim=(1, 2))[:, None]
    torch.testing.assert_close(labels, (share * targets + (1 - share) * targets[partner]).float(), atol=1e-6, rtol=0)
    torch.testing.assert_close(labels.sum(dim=1), equal)
    torch.testing.assert_close(weights, equal)


@pytest.mark.parametrize(("mixup", "cutmix"), MODES)
def test_the_own_label_keeps_at_least_half_and_shares_differ_within_a_batch(mixup: float, cutmix: float) -> None:
    kept, partner = shares(200, 8, mixup=mixup, cutmix=cutmix)
    share = kept.mean(dim=(1, 2))[partner != torch.arange(200)]
    assert share.min() >= 0.5 - 1e-6
    assert share.max() <= 1
    assert len(share.unique()) > 10


def test_partners_are_a_random_permutation() -> None:
    found = []
    for seed in range(20):
        _, partner = shares(16, 4, mixup=5.0, cutmix=0.0, seed=seed)
        assert partner.sort().values.tolist() == list(range(16))
        found.append(tuple(partner.tolist()))
    assert len(set(found)) == 20
    own = sum(number == position for each in found for position, number in enumerate(each))
    assert own < 20 + 5 * 20**0.5  # on average one of a permutation stays in place


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_mixup_shares_are_the_larger_part_of_a_beta_variable(alpha: float) -> None:
    count = 4000
    images = torch.zeros(count, 1, 1, 1)
    targets = torch.eye(count)  # every image has a class of its own, so that the share can be read off
    _, labels, _ = mix_batch(images, targets, torch.ones(count), random_draws(count), mixup=alpha, cutmix=0.0)
    beta = stats.beta(alpha, alpha)
    own = labels.diagonal()
    own = own[labels.max(dim=1).values == own].numpy()
    assert stats.kstest(own, lambda x: beta.cdf(x) - beta.cdf(1 - x)).pvalue > 1e-4


def test_cutmix_pastes_one_box_and_its_share_is_the_exact_area_left() -> None:
    images, _, _ = a_batch(300, size=16)
    targets = torch.eye(300)
    mixed, labels, _ = mix_batch(images, targets, torch.ones(300), random_draws(300), mixup=0.0, cutmix=1.0)
    clipped = 0
    for row in range(300):
        is_taken = (mixed[row] != images[row]).any(dim=0)
        rows, columns = is_taken.any(dim=1).nonzero()[:, 0], is_taken.any(dim=0).nonzero()[:, 0]
        assert int(is_taken.sum()) == len(rows) * len(columns)  # a full rectangle
        torch.testing.assert_close(labels[row, row], 1 - is_taken.float().mean())
        if len(rows):
            partner = int((labels[row] * (torch.arange(300) != row)).argmax())
            assert torch.equal(mixed[row][:, is_taken], images[partner][:, is_taken])
            clipped += len(rows) != len(columns)
            is_at_border = min(rows[0], columns[0]) == 0 or max(rows[-1], columns[-1]) == 15
            assert is_at_border or len(rows) == len(columns)
    assert clipped > 20


def test_unclipped_boxes_have_the_area_of_the_drawn_share() -> None:
    random = torch.full((2, MIX_DRAWS), 0.5)
    random[:, 0] = torch.tensor([0.9, 0.1])
    images, targets = torch.tensor([1.0, -1.0]).view(2, 1, 1, 1).expand(2, 1, 100, 100), torch.eye(2)
    mixed, labels, _ = mix_batch(images, targets, torch.ones(2), random, mixup=0.0, cutmix=1.0)
    # Of Beta(1, 1), folded at 1/2, 0.5 is the quantile 3/4: a box of a quarter, so 50 x 50 in the middle.
    assert (mixed[0, 0] == -1).sum() == 2500
    assert (mixed[0, 0, 25:75, 25:75] == -1).all()
    assert labels.tolist() == [[0.75, 0.25], [0.25, 0.75]]


def test_with_both_about_half_of_the_images_take_a_box() -> None:
    kept, partner = shares(400, 16, mixup=1.0, cutmix=1.0)
    is_mixed = partner != torch.arange(400)
    is_blended = is_mixed & ((kept > 0) & (kept < 1)).flatten(1).all(dim=1)
    is_boxed = is_mixed & ((kept == 0) | (kept == 1)).flatten(1).all(dim=1)
    assert int(is_blended.sum() + is_boxed.sum()) == int(is_mixed.sum())
    assert abs(int(is_boxed.sum()) - 200) < 5 * 10 + 10  # some boxes are empty


@pytest.mark.parametrize(("mixup", "cutmix"), MODES)
def test_the_loss_counts_each_label_by_share_times_weight(mixup: float, cutmix: float) -> None:
    images, targets, weights = a_batch()
    weights[:10] = 0
    mixed_targets, mixed_weights = mix_batch(images, targets, weights, random_draws(64), mixup=mixup, cutmix=cutmix)[1:]
    kept, partner = shares(64, 12, mixup=mixup, cutmix=cutmix)
    share = kept.mean(dim=(1, 2))
    log_probabilities = torch.randn(64, 5, dtype=torch.float64).log_softmax(dim=1)
    expected = (share * weights * -(targets * log_probabilities).sum(dim=1)).sum()
    expected += ((1 - share) * weights[partner] * -(targets[partner] * log_probabilities).sum(dim=1)).sum()
    found = (mixed_weights * -(mixed_targets * log_probabilities).sum(dim=1)).sum()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)
    torch.testing.assert_close(
        mixed_weights.double(), share * weights + (1 - share) * weights[partner], rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(("mixup", "cutmix"), MODES)
def test_targets_are_finite_and_sum_to_one_even_where_nothing_weighs(mixup: float, cutmix: float) -> None:
    images, targets, _ = a_batch()
    _, mixed, weights = mix_batch(images, targets, torch.zeros(64), random_draws(64), mixup=mixup, cutmix=cutmix)
    assert not weights.any()
    torch.testing.assert_close(mixed.sum(dim=1), torch.ones(64))


@pytest.mark.parametrize(("mixup", "cutmix"), MODES)
def test_equal_targets_survive(mixup: float, cutmix: float) -> None:
    images, _, weights = a_batch()
    targets = torch.tensor([0.1, 0.2, 0.7]).expand(64, 3)
    _, mixed, _ = mix_batch(images, targets, weights, random_draws(64), mixup=mixup, cutmix=cutmix)
    torch.testing.assert_close(mixed, targets)


def test_both_off_changes_nothing() -> None:
    batch = a_batch()
    for before, after in zip(batch, mix_batch(*batch, random_draws(64), mixup=0.0, cutmix=0.0), strict=True):
        assert after is before


@pytest.mark.parametrize(("mixup", "cutmix"), MODES)
def test_inputs_stay_and_the_same_uniforms_give_the_same(mixup: float, cutmix: float) -> None:
    batch, random = a_batch(), random_draws(64)
    before = [part.clone() for part in (*batch, random)]
    first = mix_batch(*batch, random, mixup=mixup, cutmix=cutmix)
    torch.manual_seed(9)
    second = mix_batch(*batch, random, mixup=mixup, cutmix=cutmix)
    other = mix_batch(*batch, random_draws(64, seed=1), mixup=mixup, cutmix=cutmix)
    assert all(torch.equal(a, b) for a, b in zip(before, (*batch, random), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0], other[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_types_are_kept(dtype: torch.dtype) -> None:
    images, targets, weights = a_batch()
    mixed = mix_batch(images.to(dtype), targets, weights, random_draws(64), mixup=1.0, cutmix=1.0)
    assert [part.dtype for part in mixed] == [dtype, torch.float32, torch.float32]


@given(
    numbers=st.lists(st.tuples(*[st.integers(0, 2**24 - 1)] * MIX_DRAWS), min_size=1, max_size=5),
    mode=st.sampled_from(MODES),
    height=st.integers(1, 9),
)
def test_any_uniforms_give_images_between_the_two(
    numbers: list[tuple[int, ...]], mode: tuple[float, float], height: int
) -> None:
    count = len(numbers)
    random = torch.tensor(numbers) / 2**24
    images = torch.rand(count, 1, height, 5)
    mixed, targets, weights = mix_batch(
        images, torch.eye(count), torch.ones(count), random, mixup=mode[0], cutmix=mode[1]
    )
    assert mixed.min() >= images.min() - 1e-6
    assert mixed.max() <= images.max() + 1e-6
    assert (targets.diagonal() >= 0.5 - 1e-6).all()
    torch.testing.assert_close(weights, torch.ones(count))
