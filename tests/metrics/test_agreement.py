import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, recall_score

from synthaug.core.errors import InputError
from synthaug.metrics.agreement import agreement

PAIRS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40)


def test_shares_are_counted_over_all_and_by_class() -> None:
    result = agreement(torch.tensor([0, 1, 1, 2, 0]), torch.tensor([0, 0, 1, 1, 0]), 3)
    assert result.overall == pytest.approx(3 / 5)
    assert result.per_class == (pytest.approx(2 / 3), pytest.approx(1 / 2), None)
    assert result.count == 5


@given(PAIRS)
def test_shares_are_scikit_learns_accuracy_and_recall(pairs: list[tuple[int, int]]) -> None:
    predicted, labels = (torch.tensor(column) for column in zip(*pairs, strict=True))
    result = agreement(predicted, labels, 5)
    assert result.overall == pytest.approx(accuracy_score(labels, predicted))
    present = sorted(set(labels.tolist()))
    recalls = recall_score(labels, predicted, labels=present, average=None)
    assert [result.per_class[label] for label in present] == pytest.approx(recalls.tolist())
    assert [label for label in range(5) if result.per_class[label] is None] == sorted(set(range(5)) - set(present))


@given(PAIRS, st.randoms(use_true_random=False))
def test_order_of_the_images_does_not_matter(pairs: list[tuple[int, int]], random: object) -> None:
    shuffled = pairs.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    first, second = (
        agreement(*(torch.tensor(column) for column in zip(*some, strict=True)), 5) for some in (pairs, shuffled)
    )
    assert first == second


def test_nothing_to_compare_is_refused() -> None:
    nothing = torch.empty(0, dtype=torch.int64)
    with pytest.raises(InputError, match="at least one image"):
        agreement(nothing, nothing, 2)
