"""The Inception-style score against closed forms and repeated draws."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from synthaug.core.errors import InputError
from synthaug.core.seeding import generator_for
from synthaug.metrics.inception_score import inception_score


def predictions(name: str, count: int, classes: int, sharpness: float = 2.0) -> Tensor:
    logits = torch.randn(count, classes, generator=generator_for(name), dtype=torch.float64)
    return (sharpness * logits).softmax(dim=1)


@pytest.mark.parametrize("classes", [1, 2, 10])
def test_classifier_that_knows_nothing_gives_one(classes: int) -> None:
    found = inception_score(torch.full((20, classes), 1 / classes))
    assert found.value == pytest.approx(1)
    assert (found.low, found.high) == (pytest.approx(1), pytest.approx(1))


@pytest.mark.parametrize("classes", [2, 3, 7, 10, 49])
def test_certain_and_balanced_predictions_give_the_number_of_classes(classes: int) -> None:
    found = inception_score(torch.eye(classes).repeat(30, 1))
    assert found.value == pytest.approx(classes)
    assert 0.9 * classes < found.low < found.value <= found.high <= classes


def test_certain_predictions_of_one_class_give_one() -> None:
    assert inception_score(torch.eye(5)[torch.zeros(20, dtype=torch.int64)]).value == pytest.approx(1)


def test_two_kinds_of_predictions_give_the_closed_form() -> None:
    """Half of (p, 1 - p) and half of (1 - p, p): the logarithm is ln 2 less the entropy of p."""
    rows = torch.tensor([[0.9, 0.1], [0.1, 0.9]], dtype=torch.float64).repeat(10, 1)
    entropy = -0.9 * math.log(0.9) - 0.1 * math.log(0.1)
    assert inception_score(rows).value == pytest.approx(2 * math.exp(-entropy))


def test_score_is_of_all_samples_at_once() -> None:
    """Sorted by class, every split of the set would hold one class and score 1."""
    rows = torch.eye(10).repeat_interleave(10, dim=0)
    assert inception_score(rows).value == pytest.approx(10)


def test_order_of_the_samples_does_not_matter() -> None:
    rows = predictions("rows", 200, 7)
    assert inception_score(rows.flip(0)).value == pytest.approx(inception_score(rows).value, rel=1e-12)


def test_score_falls_with_certainty() -> None:
    rows = predictions("rows", 200, 7)
    scores = [inception_score((1 - share) * rows + share / 7).value for share in (0.0, 0.2, 0.5, 0.8, 1.0)]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] == pytest.approx(1)


@given(
    st.integers(1, 6).flatmap(
        lambda classes: st.lists(
            st.lists(st.floats(0, 1), min_size=classes, max_size=classes).filter(lambda row: sum(row) > 1e-3),
            min_size=classes,
            max_size=12,
        )
    )
)
def test_score_lies_between_one_and_the_number_of_classes(rows: list[list[float]]) -> None:
    weights = torch.tensor(rows)
    found = inception_score(weights / weights.sum(dim=1, keepdim=True))
    assert 1 <= found.low <= found.value <= found.high <= weights.shape[1]


def test_interval_is_little_wider_than_repeated_draws_differ() -> None:
    draws = [predictions(f"draw {number}", 300, 5) for number in range(200)]
    error = torch.tensor([inception_score(draw).value for draw in draws]).std().item()
    found = [inception_score(draw) for draw in draws[:20]]
    widths = torch.tensor([one.high - one.low for one in found])
    assert 0.9 * error < widths.mean().item() / 3.92 < 1.4 * error


def drawn(name: str, count: int, *, is_even: bool) -> Tensor:
    """Rather certain predictions of ten classes, equally often or at random."""
    generator = generator_for("drawn", name)
    labels = torch.arange(count) % 10 if is_even else torch.randint(10, (count,), generator=generator)
    logits = torch.randn(count, 10, generator=generator, dtype=torch.float64)
    return (logits + 6 * torch.nn.functional.one_hot(labels, 10)).softmax(dim=1)


@pytest.mark.parametrize("is_even", [True, False])
@pytest.mark.parametrize("count", [50, 200])
def test_interval_holds_the_score_of_endless_images(count: int, is_even: bool) -> None:
    truth = inception_score(drawn("all", 50_000, is_even=True)).value
    found = [inception_score(drawn(f"{number}", count, is_even=is_even)) for number in range(50)]
    assert sum(one.low <= truth <= one.high for one in found) >= 45


def test_precision_of_the_probabilities_is_forgiven() -> None:
    rows = predictions("rows", 300, 10)
    for kind, tolerance in ((torch.float32, 1e-6), (torch.bfloat16, 1e-2)):
        assert inception_score(rows.to(kind)).value == pytest.approx(inception_score(rows).value, rel=tolerance)
    assert inception_score(1.005 * rows).value == pytest.approx(inception_score(rows).value, rel=1e-12)


def test_resamples_depend_on_the_seed() -> None:
    rows = predictions("rows", 50, 4)
    assert inception_score(rows, seed=1) == inception_score(rows, seed=1)
    assert inception_score(rows, seed=1) != inception_score(rows, seed=2)


@pytest.mark.parametrize(("count", "classes"), [(0, 1), (0, 10), (9, 10)])
def test_fewer_images_than_classes_are_refused(count: int, classes: int) -> None:
    with pytest.raises(InputError, match=f"needs at least {classes} images, found {count}"):
        inception_score(torch.full((count, classes), 1 / classes))


@pytest.mark.parametrize("row", [[0.5, 0.6], [0.2, 0.2], [1.5, -0.5], [math.nan, 1.0], [math.inf, 0.0]])
def test_rows_that_are_no_distribution_are_refused(row: list[float]) -> None:
    with pytest.raises(InputError, match="sum to one"):
        inception_score(torch.tensor([[0.5, 0.5], row, [1.0, 0.0]]))
