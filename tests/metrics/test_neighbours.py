"""Nearest neighbours against brute force, across the borders of blocks, and where float32 would not do."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from torch import Tensor

from synthaug.core.errors import InputError
from synthaug.core.seeding import generator_for
from synthaug.metrics import neighbours
from synthaug.metrics.neighbours import Frame, nearest

#: Queries and references in a block, columns in a group, and candidates beyond those asked for.
BLOCKS = [(1024, 65536, 64, 8), (7, 16, 4, 1), (9, 25, 1, 0)]


def normal(name: str, count: int, dimensions: int = 8) -> Tensor:
    return torch.randn(count, dimensions, generator=generator_for(name))


def use_blocks(blocks: tuple[int, int, int, int], patch: pytest.MonkeyPatch) -> None:
    for name, value in zip(("QUERIES", "REFERENCES", "GROUP", "MARGIN"), blocks, strict=True):
        patch.setattr(neighbours, name, value)


@pytest.fixture(params=BLOCKS, ids=str)
def _blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    use_blocks(request.param, monkeypatch)


def by_loops(queries: Tensor, references: Tensor, count: int, excludes_self: bool) -> tuple[list, list]:
    """Squared distances and indices of whole numbers, exactly, in the order of both."""
    squares, indices = [], []
    for i, query in enumerate(queries.long().tolist()):
        pairs = sorted(
            (sum((x - y) ** 2 for x, y in zip(query, other, strict=True)), j)
            for j, other in enumerate(references.long().tolist())
            if not (excludes_self and i == j)
        )
        squares.append([square for square, _ in pairs[:count]])
        indices.append([j for _, j in pairs[:count]])
    return squares, indices


def check_against_scipy(queries: Tensor, references: Tensor, count: int) -> None:
    found = nearest(queries, references, count)
    between = torch.from_numpy(cdist(queries.double().numpy(), references.double().numpy()))
    expected = between.sort(dim=1).values[:, :count]
    torch.testing.assert_close(found.distances, expected, rtol=1e-12, atol=0.0)
    torch.testing.assert_close(between.gather(1, found.indices), expected, rtol=1e-12, atol=0.0)


def rows_of(dimensions: int, least: int) -> st.SearchStrategy[list[list[int]]]:
    row = st.lists(st.integers(-2, 2), min_size=dimensions, max_size=dimensions)
    return st.lists(row, min_size=least, max_size=30)


@given(
    st.integers(1, 3).flatmap(lambda dimensions: st.tuples(rows_of(dimensions, 1), rows_of(dimensions, 5))),
    st.integers(1, 4),
    st.booleans(),
    st.sampled_from(BLOCKS),
)
def test_neighbours_and_their_order_are_those_of_brute_force(
    rows: tuple[list[list[int]], list[list[int]]],
    count: int,
    excludes_self: bool,
    blocks: tuple[int, int, int, int],
) -> None:
    """Of whole numbers, so that many are equally far, and equal."""
    references = torch.tensor(rows[1]).float()
    queries = references if excludes_self else torch.tensor(rows[0]).float()
    with pytest.MonkeyPatch.context() as patch:
        use_blocks(blocks, patch)
        found = nearest(queries, references, count, excludes_self=excludes_self)
    squares, indices = by_loops(queries, references, count, excludes_self)
    assert found.indices.tolist() == indices
    assert torch.equal(found.distances, torch.tensor(squares, dtype=torch.float64).sqrt())


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_distances_are_scipys_in_every_precision_of_features(dtype: torch.dtype) -> None:
    check_against_scipy(normal("queries", 20).to(dtype), normal("references", 90).to(dtype), 5)


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize("offset", [1e4, -1e7])
def test_an_offset_of_all_features_costs_no_digits(offset: float) -> None:
    check_against_scipy(normal("queries", 20).double() + offset, normal("references", 90).double() + offset, 5)


@pytest.mark.parametrize("gap", [1e2, 1e4, 1e8, 1e13])
def test_neighbours_are_right_in_groups_far_apart(gap: float) -> None:
    """Products in float32 no longer tell neighbours apart from 1e4 on, those in float64 from 1e8."""
    sides = torch.tensor([-gap, gap], dtype=torch.float64).repeat(40)[:, None]
    check_against_scipy((normal("queries", 80) * 8).round() + sides, (normal("references", 80) * 8).round() + sides, 5)


@pytest.mark.parametrize(
    ("gap", "offset", "most"),
    [(0.0, 0.0, 13), (0.0, 1e7, 13), (1e4, 0.0, 26)],
    ids=["plain", "offset", "groups far apart"],
)
def test_few_candidates_are_measured(gap: float, offset: float, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """An offset is taken away, and what float32 leaves open is settled by products in float64, not by all pairs."""
    measured, measure = [], neighbours.squared_distances

    def count(first: Tensor, rows: Tensor, second: Tensor, others: Tensor) -> Tensor:
        measured.append(len(rows))
        return measure(first, rows, second, others)

    monkeypatch.setattr(neighbours, "squared_distances", count)
    sides = torch.tensor([-gap, gap], dtype=torch.float64).repeat(100)[:, None] + offset
    nearest(normal("queries", 200) + sides, normal("references", 200) + sides, 5)
    assert 0 < sum(measured) <= 200 * most


@pytest.mark.parametrize("dimensions", [1, 64])
def test_wide_sets_are_searched_by_groups_of_columns(dimensions: int) -> None:
    check_against_scipy(normal("queries", 10, dimensions), normal("references", 3000, dimensions), 5)


@pytest.mark.parametrize("largest", [1.0, 1e3])
@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
def test_bounds_hold_the_squared_distances_between_them(precision: torch.dtype, largest: float) -> None:
    queries, references = normal("queries", 30, 100).double() + 3, normal("references", 50, 100).double() + 3
    references[:10] *= largest
    references[10:20] = queries[:10] + 1e-7 * references[10:20]
    frame = Frame.of(queries, references)
    left, right = frame.rows(queries, precision), frame.columns(references, precision)
    lowest = (left.matrix @ right.matrix.T)[:, :50].numpy().astype(np.longdouble)
    slack = (left.slack[:, None] + right.slack[None, :50]).numpy()
    differences = queries.numpy().astype(np.longdouble)[:, None] - references.numpy().astype(np.longdouble)[None]
    squares = np.square(differences * frame.scale).sum(axis=2)
    assert (lowest <= squares).all()
    assert (squares <= lowest + 2 * slack).all()
    assert (slack < 1e-3 * largest**2).all()


@pytest.mark.parametrize("copies", [3, 30])
def test_copies_are_at_no_distance_and_the_first_of_them_nearest(copies: int) -> None:
    features = (normal("features", 6, 64) * 100 + 1e4).repeat(copies, 1)
    found = nearest(features, features, 2, excludes_self=True)
    assert not found.distances.any()
    for i, indices in enumerate(found.indices.tolist()):
        assert indices == [j for j in range(i % 6, 6 * copies, 6) if j != i][:2]


def test_distances_are_the_same_from_either_side() -> None:
    features = normal("features", 40, 37)
    found = nearest(features, features, 40)
    matrix = torch.empty(40, 40, dtype=torch.float64).scatter_(1, found.indices, found.distances)
    assert torch.equal(matrix, matrix.T)
    assert not matrix.diagonal().any()


@pytest.mark.usefixtures("_blocks")
def test_order_of_the_samples_does_not_matter() -> None:
    queries, references = normal("queries", 20), normal("references", 60)
    found = nearest(queries, references, 4)
    order, other = (torch.randperm(count, generator=generator_for("order", count)) for count in (20, 60))
    shuffled = nearest(queries[order], references[other], 4)
    assert torch.equal(shuffled.distances, found.distances[order])
    assert torch.equal(other[shuffled.indices], found.indices[order])


@pytest.mark.parametrize("factor", [2.0**-300, 2.0**100, 2.0**400])
def test_units_do_not_matter(factor: float) -> None:
    queries, references = normal("queries", 20).double(), normal("references", 60).double()
    found, other = (nearest(queries * each, references * each, 4) for each in (1.0, factor))
    assert torch.equal(other.distances, found.distances * factor)
    assert torch.equal(other.indices, found.indices)


def test_queries_without_rows_have_no_neighbours() -> None:
    found = nearest(torch.empty(0, 3), normal("references", 5, 3), 2)
    assert found.distances.shape == found.indices.shape == (0, 2)


def test_features_that_record_gradients_are_welcome() -> None:
    features = normal("features", 10).requires_grad_()
    assert not nearest(features, features, 2).distances.requires_grad


@pytest.fixture
def _loose_products() -> Iterator[None]:
    """Lets float32 products be rounded to fewer digits, as programs do for speed."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    yield
    torch.set_float32_matmul_precision(before)


@pytest.mark.usefixtures("_loose_products")
def test_products_are_precise_where_a_program_allows_others(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, product = [], torch.mm

    def record(*arguments: Tensor, out: Tensor) -> Tensor:
        seen.append((torch.backends.cuda.matmul.fp32_precision, torch.backends.mkldnn.matmul.fp32_precision))
        return product(*arguments, out=out)

    monkeypatch.setattr(torch, "mm", record)
    nearest(normal("queries", 10), normal("references", 10), 2)
    assert set(seen) == {("ieee", "ieee")}
    assert torch.get_float32_matmul_precision() == "medium"


@pytest.mark.parametrize(("count", "excludes_self"), [(6, False), (5, True), (0, False)])
def test_more_neighbours_than_references_are_refused(count: int, excludes_self: bool) -> None:
    features = normal("features", 5)
    with pytest.raises(InputError, match=r"nearest neighbours need at least \d images, found 5"):
        nearest(features, features, count, excludes_self=excludes_self)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_features_that_are_no_finite_numbers_are_refused(value: float) -> None:
    good, bad = normal("good", 10), normal("bad", 10)
    bad[3, 2] = value
    for queries, references in ((good, bad), (bad, good)):
        with pytest.raises(InputError, match="finite"):
            nearest(queries, references, 2)
