"""Distances to training samples, where copies begin, and what repeats itself."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from synthaug.core.errors import InputError
from synthaug.core.seeding import generator_for
from synthaug.metrics.memorisation import (
    authenticity,
    copy_threshold,
    first_alike,
    scale_neighbours,
    share_of,
    train_distances,
)


def normal(name: str, count: int, dimensions: int = 16) -> Tensor:
    return torch.randn(count, dimensions, generator=generator_for(name))


def test_distances_are_those_of_the_definition() -> None:
    samples, train = normal("samples", 30), normal("train", 60)
    found = train_distances(samples, train, neighbours=7)
    all_distances = torch.cdist(samples.double(), train.double(), compute_mode="donot_use_mm_for_euclid_dist")
    nearest = all_distances.sort(dim=1).values[:, :7]
    assert found.nearest.tolist() == pytest.approx(nearest[:, 0].tolist())
    assert found.scale.tolist() == pytest.approx(nearest.mean(dim=1).tolist())
    assert found.index.tolist() == all_distances.argmin(dim=1).tolist()
    assert found.relative.tolist() == pytest.approx((nearest[:, 0] / nearest.mean(dim=1)).tolist())


def test_training_samples_are_compared_with_the_others() -> None:
    train = normal("train", 40)
    found = train_distances(train, train, neighbours=3, are_train=True)
    assert (found.nearest > 0).all()
    assert (found.index != torch.arange(40)).all()


def test_copies_are_at_no_distance_however_often_they_are_in_the_training_data() -> None:
    train = normal("train", 10).repeat(5, 1)
    found = train_distances(train[:10].clone(), train, neighbours=3)  # their scale is 0 as well
    assert found.nearest.tolist() == [0.0] * 10
    assert found.relative.tolist() == [0.0] * 10


def test_relative_distance_does_not_depend_on_the_unit_of_the_features() -> None:
    samples, train = normal("samples", 20), normal("train", 50)
    plain, scaled = (train_distances(unit * samples, unit * train, neighbours=5) for unit in (1.0, 1000.0))
    assert scaled.relative.tolist() == pytest.approx(plain.relative.tolist(), rel=1e-5)


def test_the_closer_view_counts_with_its_own_neighbour() -> None:
    train = normal("train", 50)
    one, other = normal("samples", 4), normal("others", 4)
    one[0], other[1] = train[7], train[9]
    found = train_distances(one, train, neighbours=5).closer(train_distances(other, train, neighbours=5))
    assert found.index[:2].tolist() == [7, 9]
    assert found.relative[:2].tolist() == [0.0, 0.0]
    assert (found.relative <= train_distances(one, train, neighbours=5).relative).all()


@pytest.mark.parametrize(
    ("train", "classes", "expected"), [(45_000, 10, 50), (200, 10, 5), (1300, 10, 32), (10, 10, 2), (3, 1, 2)]
)
def test_scale_is_of_a_part_of_a_class(train: int, classes: int, expected: int) -> None:
    assert scale_neighbours(train, classes) == expected


def test_threshold_is_three_deviations_below_the_median_of_the_logarithms() -> None:
    held_out = (-0.5 + 0.5 * torch.randn(20_000, generator=generator_for("held out"))).exp()
    assert copy_threshold(held_out) == pytest.approx(torch.tensor(-0.5 - 3 * 0.5).exp().item(), rel=0.03)


def test_threshold_is_never_close_to_what_is_usual() -> None:
    assert copy_threshold(torch.full((100,), 0.9)) == pytest.approx(0.3)


def test_real_duplicates_among_the_held_out_images_do_not_move_the_threshold() -> None:
    held_out = (-0.5 + 0.15 * torch.randn(2000, generator=generator_for("held out"))).exp()
    spoilt = held_out.clone()
    spoilt[:60] = 0.0  # exact
    spoilt[60:120] = 0.02  # nearly
    assert copy_threshold(spoilt) == pytest.approx(copy_threshold(held_out), rel=0.1)


def test_few_fresh_samples_look_like_copies() -> None:
    train, held_out, fresh = normal("train", 3000), normal("held out", 1000), normal("fresh", 3000)
    threshold = copy_threshold(train_distances(held_out, train, neighbours=50).relative)
    found = train_distances(fresh, train, neighbours=50).relative
    assert (found <= threshold).double().mean() <= 0.005


def test_threshold_needs_held_out_images() -> None:
    with pytest.raises(InputError, match="at least 20 held-out images that are not training images, found 19"):
        copy_threshold(torch.tensor([0.5] * 19 + [0.0] * 50))


def test_more_training_images_than_neighbours_are_needed() -> None:
    with pytest.raises(InputError, match="with 5 neighbours, more training images are needed, found 5"):
        train_distances(normal("samples", 3), normal("train", 5), neighbours=5)


def test_authenticity_of_fresh_samples_is_about_a_half_and_of_copies_nothing() -> None:
    train, fresh = normal("train", 2000, 4), normal("fresh", 2000, 4)
    own = train_distances(train, train, neighbours=5, are_train=True)
    share = authenticity(train_distances(fresh, train, neighbours=5), own)
    assert share == pytest.approx(0.5, abs=0.1)
    copies = train[:500] + 1e-4 * normal("noise", 500, 4)
    assert authenticity(train_distances(copies, train, neighbours=5), own) < 0.01


def kept_by_loops(samples: Tensor, reach: Tensor) -> list[int]:
    """The first one that each sample repeats, gone through in order."""
    first: list[int] = []
    for i in range(len(samples)):
        alike = [j for j in range(i) if first[j] == j and (samples[i] - samples[j]).norm() <= max(reach[i], reach[j])]
        first.append(alike[0] if alike else i)
    return first


@given(st.lists(st.integers(0, 40), min_size=1, max_size=9), st.integers(0, 3))
def test_a_sample_repeats_a_kept_one_before_it(points: list[int], reach: int) -> None:
    samples = torch.tensor(points, dtype=torch.float64)[:, None]
    reaches = torch.full((len(points),), float(reach), dtype=torch.float64)
    assert first_alike(samples, reaches).tolist() == kept_by_loops(samples, reaches)


def test_of_many_alike_one_is_kept_and_chains_are_not() -> None:
    many = torch.cat([torch.zeros(30, 3), normal("others", 5, 3) + 50])
    assert first_alike(many, torch.full((35,), 0.5)).tolist() == [0] * 30 + list(range(30, 35))
    chain = torch.arange(6.0)[:, None]  # each in reach of the next, none of the one after that
    assert first_alike(chain, torch.ones(6)).tolist() == [0, 0, 2, 2, 4, 4]


def test_the_larger_reach_decides() -> None:
    samples = torch.tensor([[0.0], [2.0]])
    assert first_alike(samples, torch.tensor([0.5, 2.5])).tolist() == [0, 0]
    assert first_alike(samples, torch.tensor([0.5, 0.5])).tolist() == [0, 1]


def test_share_has_the_exact_interval() -> None:
    found = share_of(5, 100)  # tables of Clopper and Pearson
    assert (found.value, found.low, found.high) == pytest.approx((0.05, 0.01643, 0.11283), abs=1e-5)
    assert share_of(0, 10).low == 0.0
    assert share_of(10, 10).high == 1.0
    with pytest.raises(InputError, match="at least one image"):
        share_of(0, 0)
