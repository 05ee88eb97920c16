"""Each filter of a curation on samples of which everything is known."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from synthaug.core.errors import InputError
from synthaug.core.seeding import generator_for
from synthaug.metrics.memorisation import TrainDistances
from synthaug.workflows.curate.filters import Scored
from synthaug.workflows.curate.named import FILTERS, NamedFilter, check_classes
from synthaug.workflows.scoring import Copies, Views

CLASSES = ("cat", "dog")


def scored_of(
    labels: list[int],
    *,
    confidence: list[float] | None = None,
    predicted: list[int] | None = None,
    relative: list[float] | None = None,
    pixels: list[float] | None = None,
    features: Tensor | None = None,
    real: Tensor | None = None,
    real_labels: list[int] | None = None,
) -> Scored:
    """Samples of which only what a filter looks at is given."""
    count = len(labels)
    zeros = torch.zeros(count, dtype=torch.float64)
    distances = TrainDistances(zeros, torch.zeros(count, dtype=torch.int64), zeros)
    copies = Copies(
        views=(Views(distances, distances),),
        relative=torch.full((count,), 5.0) if relative is None else torch.tensor(relative),
        nearest=torch.zeros(count, dtype=torch.int64),
        is_copy=torch.zeros(count, dtype=torch.bool),
        is_exact=torch.zeros(count, dtype=torch.bool),
        is_test=torch.zeros(count, dtype=torch.bool),
        level_distance=zeros,
        pixels=torch.arange(float(count))[:, None] if pixels is None else torch.tensor(pixels)[:, None],
        reach=torch.full((count,), 0.5),
    )
    return Scored(
        labels=torch.tensor(labels),
        class_names=CLASSES,
        predicted=torch.tensor(labels if predicted is None else predicted),
        confidence=torch.full((count,), 0.9) if confidence is None else torch.tensor(confidence),
        features=torch.zeros(count, 2) if features is None else features,
        copies=copies,
        real=torch.zeros(4, 2) if real is None else real,
        real_labels=torch.tensor([0, 0, 1, 1] if real_labels is None else real_labels),
    )


def kept_by(text: str, scored: Scored, *, left: list[int] | None = None) -> list[int]:
    """Positions that a filter leaves, of all or of those that are left."""
    kept = torch.ones(len(scored.labels), dtype=torch.bool)
    if left is not None:
        kept = torch.zeros_like(kept)
        kept[left] = True
    found = NamedFilter.parse(text).apply(scored, kept)
    assert not (found & ~kept).any()
    positions: list[int] = found.nonzero().flatten().tolist()
    return positions


def test_confidence_keeps_the_top_share_of_each_class() -> None:
    scored = scored_of([0, 0, 0, 0, 1, 1, 1, 1], confidence=[0.1, 0.9, 0.8, 0.2, 0.3, 0.31, 0.29, 0.28])
    assert kept_by("confidence=0.5", scored) == [1, 2, 4, 5]
    assert kept_by("confidence=1", scored) == list(range(8))
    assert kept_by("confidence=0.01", scored) == [1, 5]  # rounded up: a class is never emptied
    assert kept_by("confidence=0.5", scored, left=[0, 3, 6, 7]) == [3, 6]  # of those that are left


def test_target_keeps_the_hardest_share_of_each_class() -> None:
    scored = scored_of([0, 0, 0, 0, 1, 1, 1, 1], confidence=[0.1, 0.9, 0.8, 0.2, 0.3, 0.31, 0.29, 0.28])
    assert kept_by("target=0.5", scored) == [0, 3, 6, 7]


def test_equally_good_samples_stay_in_their_order() -> None:
    assert kept_by("confidence=0.5", scored_of([0] * 4)) == [0, 1]


def test_mislabelled_removes_what_is_taken_for_another_class_or_has_too_little_probability() -> None:
    scored = scored_of([0, 0, 1, 1], predicted=[0, 1, 1, 0], confidence=[0.4, 0.3, 0.99, 0.2])
    assert kept_by("mislabelled", scored) == [0, 2]
    assert kept_by("mislabelled=0.35", scored) == [0, 2]
    assert kept_by("mislabelled=0.9", scored) == [2]


def test_duplicates_removes_what_is_near_a_sample_that_stays() -> None:
    scored = scored_of([0] * 6, pixels=[1.0, 1.4, 5.0, 0.6, 5.1, 9.0])
    assert kept_by("duplicates", scored) == [0, 2, 5]
    assert kept_by("duplicates", scored, left=[1, 3, 4, 5]) == [1, 3, 4, 5]  # what they were near is gone already


def test_memorised_removes_copies() -> None:
    scored = scored_of([0] * 5, relative=[0.0, 1.0, 1.001, 1.4, 3.0])
    assert kept_by("memorised", scored) == [2, 3, 4]
    assert kept_by("memorised=1.5", scored) == [4]


def two_clusters() -> Scored:
    """Real images around (0, 0) and (100, 0), synthetic ones near them, between them, and in the other's place."""
    real = torch.cat([torch.randn(20, 2, generator=generator_for(name)) for name in ("cat", "dog")])
    real[20:, 0] += 100
    features = torch.tensor([[0.1, 0.0], [50.0, 0.0], [100.0, 0.1], [100.2, 0.0], [101.5, 1.0], [0.2, 0.1]])
    return scored_of([0, 0, 0, 1, 1, 1], features=features, real=real, real_labels=[0] * 20 + [1] * 20)


def test_outliers_removes_what_is_in_no_real_neighbourhood_of_its_class() -> None:
    assert kept_by("outliers", two_clusters()) == [0, 3, 4]


def test_outliers_with_a_share_removes_the_farthest_of_each_class() -> None:
    assert kept_by("outliers=0.34", two_clusters()) == [0, 1, 3, 4]
    assert kept_by("outliers=0.67", two_clusters()) == [0, 3]


def test_diverse_keeps_different_ones_of_each_class() -> None:
    features = torch.tensor([[0.0, 0], [0.1, 0], [9, 9], [9.1, 9], [0, 0], [7, 7], [7.1, 7], [0.1, 0]])
    scored = scored_of([0, 0, 0, 0, 1, 1, 1, 1], features=features)
    kept = kept_by("diverse=2", scored)
    assert [len(set(kept) & pair) for pair in ({0, 1}, {2, 3}, {4, 7}, {5, 6})] == [1, 1, 1, 1]
    assert len(kept_by("diverse=0.75", scored)) == 6
    assert kept_by("diverse=100", scored) == list(range(8))


def test_coverage_keeps_those_that_reach_the_most_real_neighbourhoods() -> None:
    real = torch.tensor([[0.0, 0], [1, 0], [2, 0], [3, 0], [4, 0], [5, 0], [1000.0, 0], [1001, 0], [1002, 0]])
    features = torch.tensor([[500.0, 0], [2.5, 0], [1001.0, 0], [-400, 0]])
    scored = scored_of([0, 0, 0, 0], features=features, real=real, real_labels=[0] * 9)
    assert kept_by("coverage=1", scored) == [1]


def test_quota_keeps_at_most_so_many_of_each_class() -> None:
    scored = scored_of([0, 1, 0, 1, 0, 0])
    assert kept_by("quota=1", scored) == [0, 1]
    assert kept_by("quota=balance", scored) == [0, 1, 2, 3]
    assert kept_by("quota=cat:3,dog:1", scored) == [0, 1, 2, 4]
    assert kept_by("quota=dog:0", scored) == [0, 2, 4, 5]
    colon = replace(scored, class_names=("a:b", "dog"))
    assert kept_by("quota=a:b:1", colon) == [0, 1, 3]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "unknown filter 'nonsense'; known: confidence, coverage"),
        ("confidence", "confidence needs a share of each class: confidence=0.2"),
        ("confidence=0", "a number above 0, up to 1 is needed"),
        ("confidence=1.1", "a number above 0, up to 1 is needed"),
        ("confidence=nan", "a number above 0, up to 1 is needed"),
        ("target=x", "target=x: a number above 0"),
        ("mislabelled=2", "a number above 0, up to 1 is needed"),
        ("duplicates=2", "duplicates takes no value, found '2'"),
        ("memorised=inf", "a number above 1, up to 1000"),
        ("memorised=0.5", "a number above 1, up to 1000"),
        ("outliers=1", "would leave nothing"),
        ("diverse=\u00b2", "a number above 0, up to 1"),
        ("quota=\u00b2", "a number, class:number pairs"),
        ("quota=cat:1,cat:2", "a class is named twice"),
        ("diverse", "diverse needs a number of each class or a share of it"),
        ("diverse=0", "a number above 0, up to 1"),
        ("coverage=-3", "a number above 0, up to 1"),
        ("quota", "quota needs a value"),
        ("quota=a", "a number, class:number pairs"),
        ("quota=:3", "a number, class:number pairs"),
    ],
)
def test_filters_that_make_no_sense_are_refused(text: str, message: str) -> None:
    with pytest.raises(InputError) as refused:
        NamedFilter.parse(text)
    assert message in str(refused.value)


def test_quota_of_an_unknown_class_is_refused() -> None:
    for text in ("quota=cow:3", "quota=cat:1,cow:2"):
        with pytest.raises(InputError, match="there is no class 'cow'"):
            check_classes([NamedFilter.parse(text)], CLASSES)
    check_classes(
        [NamedFilter.parse(text) for text in ("quota=3", "quota=balance", "quota=dog:1", "target=1")], CLASSES
    )


def test_balance_is_among_the_classes_that_were_drawn() -> None:
    scored = replace(scored_of([1, 1, 2, 2, 2]), class_names=("never drawn", "cat", "dog"))
    assert kept_by("quota=balance", scored) == [0, 1, 2, 3]


def test_real_neighbourhoods_need_two_images_of_a_class() -> None:
    scored = scored_of([0, 1], real=torch.zeros(3, 2), real_labels=[0, 0, 1])
    with pytest.raises(InputError, match="at least two real images of a class, found 1 of 'dog'"):
        kept_by("outliers", scored)


def test_every_filter_says_what_it_does() -> None:
    assert all(kind.meaning for _, kind in FILTERS.items())
