"""Exact nearest neighbours by blocks of matrix products; what the features mean is the caller's business.

A matrix product gives all squared distances of a block at once, but rounds. Here it gives lower bounds of them, which
say what may be near; that is measured in float64. What the bounds in float32 leave open is settled by those in float64.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from synthaug.core.errors import InputError

#: Rows of queries and of references in a block; together they bound the memory, 256 MiB of products in float32.
QUERIES, REFERENCES = 1024, 65536
#: Columns of a block of which the smallest stands for all.
GROUP = 64
#: Candidates measured beyond those asked for.
MARGIN = 8
#: Features prepared, and numbers measured, at a time: few enough for a cache.
_PREPARED, _MEASURED = 2048, 2**18
#: The largest magnitude whose squared distances are sure to be finite in float64.
_LIMIT = 2.0**500


@dataclass(frozen=True)
class Nearest:
    """The nearest references of each query, on the CPU.

    Attributes:
        distances: Euclidean, ascending; 0 between equal features, and the same from either side.
        indices: Rows of the references; of those equally far, the lowest first.
    """

    distances: Float64[Tensor, "n k"]
    indices: Int64[Tensor, "n k"]


def nearest(
    queries: Float[Tensor, "n d"], references: Float[Tensor, "m d"], count: int, *, excludes_self: bool = False
) -> Nearest:
    """The exact nearest neighbours in float64, computed on the device of the features.

    Args:
        queries: Features of any precision.
        references: The same of those to find.
        count: k.
        excludes_self: Whether the queries are the references and none is its own neighbour; its copies still are.

    Raises:
        InputError: If there are too few references, or a feature is not a finite number.
    """
    wanted = count + excludes_self
    if not 0 < count <= len(references) - excludes_self:
        raise InputError(f"{count} nearest neighbours need at least {max(wanted, 1)} images, found {len(references)}")
    queries, references = queries.detach(), references.detach()
    frame = Frame.of(queries, references)
    squares = torch.empty(len(queries), wanted, dtype=torch.float64, device=queries.device)
    indices = torch.empty(len(queries), wanted, dtype=torch.int64, device=queries.device)
    is_open = torch.ones(len(queries), dtype=torch.bool, device=queries.device)
    for precision in (torch.float32, torch.float64):
        if is_open.any():
            rows = is_open.nonzero().flatten()
            squares[rows], indices[rows], is_open[rows] = _by_products(
                queries, rows, references, wanted, frame, precision
            )
    if is_open.any():
        squares[is_open], indices[is_open] = _by_differences(queries[is_open], references, wanted)
    if excludes_self:
        is_left_out = indices == torch.arange(len(queries), device=indices.device)[:, None]
        # Not among the nearest of all if it has many copies: then any is as near as the next.
        is_left_out[:, -1] |= ~is_left_out.any(dim=1)
        squares, indices = (each[~is_left_out].view(-1, count) for each in (squares, indices))
    return Nearest(squares.sqrt().cpu(), indices.cpu())


@dataclass(frozen=True)
class Frame:
    """Where two sets of features are compared: around a centre, as rounding is relative to the distance from it.

    With norms |x|^2 and |y|^2 there and unit roundoff u, a product in d dimensions is off by less than
    (2 d + 32) u (|x|^2 + |y|^2), in whatever order it is summed (Higham 2002, "Accuracy and Stability of Numerical
    Algorithms", section 3.1); that includes the rounding of the features, of the norms and of thresholds.

    Attributes:
        centre: The mean of the references.
        scale: A power of two, by which features are multiplied so that float32 holds their squares.
    """

    centre: Float64[Tensor, " d"]
    scale: float

    @classmethod
    def of(cls, queries: Float[Tensor, "n d"], references: Float[Tensor, "m d"]) -> Frame:
        """The frame of two sets.

        Raises:
            InputError: If a feature is not a finite number.
        """
        extremes = [float(torch.stack(each.aminmax()).abs().max()) for each in (queries, references) if each.numel()]
        if not all(extreme <= _LIMIT for extreme in extremes):
            raise InputError("nearest neighbours need finite features, found some that are not")
        centre = torch.zeros(references.shape[1], dtype=torch.float64, device=references.device)
        for start in range(0, len(references), _PREPARED):
            centre += references[start : start + _PREPARED].to(torch.float64).sum(dim=0)
        exponent = max(math.frexp(max(extremes, default=0.0))[1], -500)
        return cls(centre / len(references), math.ldexp(1.0, -exponent))

    def rows(self, features: Float[Tensor, "n d"], precision: torch.dtype) -> Bounds:
        """The left factor of the bounds."""
        return self._bounds(features, precision, 1.0, len(features))

    def columns(self, features: Float[Tensor, "m d"], precision: torch.dtype) -> Bounds:
        """The right factor, filled up to whole groups with rows that are far from everything."""
        return self._bounds(features, precision, -2.0, _whole_groups(len(features)))

    def _bounds(self, features: Float[Tensor, "n d"], precision: torch.dtype, factor: float, length: int) -> Bounds:
        count, width = features.shape
        error = (width + 16) * (torch.finfo(precision).eps + torch.finfo(torch.float64).eps)
        matrix = torch.zeros(length, width + 2, dtype=precision, device=features.device)
        slack = torch.zeros(length, dtype=torch.float64, device=features.device)
        own, other = (width, width + 1) if factor > 0 else (width + 1, width)
        for start in range(0, count, _PREPARED):
            part = slice(start, min(start + _PREPARED, count))
            values = (features[part].to(torch.float64) - self.centre).mul_(self.scale)
            norms = values.square().sum(dim=1)
            # The second term is for products too small for the format.
            slack[part] = norms * (error / (1 - error)) + width * torch.finfo(precision).tiny
            matrix[part, :width] = values.mul_(factor)
            matrix[part, own] = (norms - slack[part]).to(precision)
            matrix[part, other] = 1
        matrix[count:, own] = math.inf
        return Bounds(matrix, slack)


@dataclass(frozen=True)
class Bounds:
    """One factor of a product of lower bounds of scaled squared distances.

    Attributes:
        matrix: Of all rows of the left factor with all of the right one, products of those are the bounds.
        slack: A squared distance is at most its bound and twice the slack of both its ends.
    """

    matrix: Float[Tensor, "n e"]
    slack: Float64[Tensor, " n"]


def squared_distances(
    first: Float[Tensor, "n d"], rows: Int64[Tensor, " p"], second: Float[Tensor, "m d"], others: Int64[Tensor, " p"]
) -> Float64[Tensor, " p"]:
    """The squared distance of each pair by subtraction in float64, bitwise the same for any pairs beside it.

    Args:
        first: Features.
        rows: Those of each pair.
        second: Features of the other end.
        others: Those of each pair.
    """
    found = torch.empty(len(rows), dtype=torch.float64, device=rows.device)
    step = max(1, _MEASURED // max(1, first.shape[1]))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        values = first.index_select(0, rows[part]).to(torch.float64)
        values.sub_(second.index_select(0, others[part])).square_()
        # A sum by halves: that of torch depends on the device and on the number of rows.
        while (width := values.shape[1]) > 1:
            half = (width + 1) // 2
            values[:, : width - half] += values[:, half:]
            values = values[:, :half]
        found[part] = values.sum(dim=1)
    return found


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """Lets products of float32 matrices be of full precision, whatever a program allows elsewhere."""
    backends = (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul)  # type: ignore[attr-defined]
    before = [backend.fp32_precision for backend in backends]
    try:
        for backend in backends:
            backend.fp32_precision = "ieee"
        yield
    finally:
        for backend, precision in zip(backends, before, strict=True):
            backend.fp32_precision = precision


def _by_products(
    queries: Float[Tensor, "n d"],
    rows: Int64[Tensor, " r"],
    references: Float[Tensor, "m d"],
    wanted: int,
    frame: Frame,
    precision: torch.dtype,
) -> tuple[Float64[Tensor, "r k"], Int64[Tensor, "r k"], Bool[Tensor, " r"]]:
    """Squared distances and indices for some queries, and whether another reference might be as near."""
    kept = min(wanted + MARGIN, len(references))
    bounds, candidates = _least_bounds(queries, rows, references, kept, frame, precision)
    candidates = candidates.sort(dim=1).values
    squares = squared_distances(queries, rows.repeat_interleave(kept), references, candidates.flatten()).view(-1, kept)
    squares, order = squares.sort(dim=1, stable=True)
    squares, candidates = squares[:, :wanted].clone(), candidates.gather(1, order[:, :wanted])
    least_of_others = math.inf if kept == len(references) else bounds.amax(dim=1).double()
    return squares, candidates, ~(squares[:, -1] * frame.scale**2 < least_of_others)


def _least_bounds(
    queries: Float[Tensor, "n d"],
    rows: Int64[Tensor, " r"],
    references: Float[Tensor, "m d"],
    kept: int,
    frame: Frame,
    precision: torch.dtype,
) -> tuple[Float[Tensor, "r c"], Int64[Tensor, "r c"]]:
    """The references with the smallest bounds."""
    device = queries.device
    bounds = torch.full((len(rows), kept), math.inf, dtype=precision, device=device)
    indices = torch.zeros(len(rows), kept, dtype=torch.int64, device=device)
    buffer = buffer_for(min(QUERIES, len(rows)), min(REFERENCES, len(references)), bounds)
    for first in range(0, len(references), REFERENCES):
        right = frame.columns(references[first : first + REFERENCES], precision).matrix
        for start in range(0, len(rows), QUERIES):
            part = slice(start, start + QUERIES)
            left = frame.rows(queries[rows[part]], precision).matrix
            values, columns = _smallest(product(left, right, buffer), kept)
            merged = torch.cat([bounds[part], values], dim=1)
            bounds[part], order = merged.topk(kept, dim=1, largest=False, sorted=False)
            indices[part] = torch.cat([indices[part], columns + first], dim=1).gather(1, order)
    return bounds, indices


def buffer_for(rows: int, columns: int, like: Tensor) -> Float[Tensor, " size"]:
    """Memory for the products of so many rows and columns, of the kind of another tensor."""
    return like.new_empty(rows * _whole_groups(columns))


def product(
    left: Float[Tensor, "n e"], right: Float[Tensor, "m e"], buffer: Float[Tensor, " size"]
) -> Float[Tensor, "n m"]:
    """The bounds between two factors, in the memory of a buffer."""
    bounds = buffer[: len(left) * len(right)].view(len(left), len(right))
    with full_precision():
        return torch.mm(left, right.T, out=bounds)


def _smallest(values: Float[Tensor, "n w"], count: int) -> tuple[Float[Tensor, "n c"], Int64[Tensor, "n c"]]:
    """The smallest values of each row, in no order, and their columns; fewer if there are fewer."""
    groups = values.shape[1] // GROUP
    if groups <= count:
        found = values.topk(min(count, values.shape[1]), dim=1, largest=False, sorted=False)
        return found.values, found.indices
    # The groups with the smallest minima hold the smallest values, and minima over strides are quick.
    chosen = group_minima(values).topk(count, dim=1, largest=False, sorted=False).indices
    columns = members(chosen, groups).flatten(1)
    smallest, order = values.gather(1, columns).topk(count, dim=1, largest=False, sorted=False)
    return smallest, columns.gather(1, order)


def group_minima(values: Float[Tensor, "n w"]) -> Float[Tensor, "n g"]:
    """The smallest value of each group of columns, those g apart."""
    return values.view(len(values), GROUP, -1).amin(dim=1)


def _whole_groups(columns: int) -> int:
    return -(-columns // GROUP) * GROUP


def members(chosen: Int64[Tensor, "*n"], groups: int) -> Int64[Tensor, "*n size"]:
    """The columns of each chosen group."""
    return chosen[..., None] + torch.arange(GROUP, device=chosen.device) * groups


def _by_differences(
    queries: Float[Tensor, "n d"], references: Float[Tensor, "m d"], count: int
) -> tuple[Float64[Tensor, "n k"], Int64[Tensor, "n k"]]:
    """Measures every pair; copies once, as what bounds cannot settle is mostly those."""
    queries, query_of = torch.unique(queries, dim=0, return_inverse=True)
    references, reference_of = torch.unique(references, dim=0, return_inverse=True)
    every = torch.arange(len(references), device=references.device)
    squares, indices = [], []
    for row in range(len(queries)):
        squared = squared_distances(queries, torch.full_like(every, row), references, every)
        ordered, order = squared[reference_of].sort(stable=True)
        squares.append(ordered[:count])
        indices.append(order[:count])
    return torch.stack(squares)[query_of], torch.stack(indices)[query_of]
