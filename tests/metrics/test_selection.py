"""Choosing few samples that stand for many."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from synthaug.core.errors import InputError
from synthaug.core.seeding import generator_for
from synthaug.metrics.selection import greedy_cover, k_centre


def farthest(features: Tensor, chosen: Tensor) -> float:
    """Distance of the worst served sample to its nearest chosen one."""
    return float(torch.cdist(features, features[chosen]).amin(dim=1).max())


def test_one_of_each_cluster_is_chosen() -> None:
    centres = 100 * torch.eye(5)
    features = centres.repeat_interleave(20, dim=0) + torch.randn(100, 5, generator=generator_for("clusters"))
    assert sorted((k_centre(features, 5) // 20).tolist()) == [0, 1, 2, 3, 4]


@given(st.lists(st.tuples(st.integers(-20, 20), st.integers(-20, 20)), min_size=3, max_size=8, unique=True))
def test_nobody_is_more_than_twice_as_far_as_the_best_choice_allows(points: list[tuple[int, int]]) -> None:
    features = torch.tensor(points, dtype=torch.float64)
    best = min(farthest(features, torch.tensor(pair)) for pair in itertools.combinations(range(len(points)), 2))
    assert farthest(features, k_centre(features, 2)) <= 2 * best + 1e-9


def test_every_sample_is_taken_once_even_among_equals() -> None:
    assert sorted(k_centre(torch.zeros(6, 3), 6).tolist()) == list(range(6))
    assert sorted(greedy_cover(torch.ones(6, 3, dtype=torch.bool), 6).tolist()) == list(range(6))
    assert sorted(greedy_cover(torch.zeros(6, 3, dtype=torch.bool), 6).tolist()) == list(range(6))


def test_cover_takes_what_adds_most() -> None:
    covers = torch.tensor([[1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [0, 0, 0, 1, 1], [0, 0, 1, 1, 0]], dtype=torch.bool)
    assert greedy_cover(covers, 2).tolist() == [1, 2]


@given(st.integers(0, 10_000))
def test_cover_is_as_good_as_promised(seed: int) -> None:
    covers = torch.rand(7, 12, generator=generator_for("covers", seed)) < 0.3
    reached = int(covers[greedy_cover(covers, 3)].any(dim=0).sum())
    best = max(int(covers[list(three)].any(dim=0).sum()) for three in itertools.combinations(range(7), 3))
    assert reached >= (1 - 1 / 2.7183) * best


@pytest.mark.parametrize("count", [0, 5])
def test_numbers_that_cannot_be_chosen_are_refused(count: int) -> None:
    for choose in (lambda: k_centre(torch.zeros(4, 2), count), lambda: greedy_cover(torch.ones(4, 2) > 0, count)):
        with pytest.raises(InputError, match=f"1 to 4 can be chosen, found {count}"):
            choose()
