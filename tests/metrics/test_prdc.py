"""Precision, recall, density and coverage against cases by hand and a count by loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from torch import Tensor

from synthaug.core.errors import InputError
from synthaug.core.seeding import generator_for
from synthaug.metrics import neighbours as search
from synthaug.metrics import prdc as comparison
from synthaug.metrics.estimates import Estimate
from synthaug.metrics.prdc import PRDC, neighbourhoods, prdc, prdc_estimates


def line(*values: float) -> Tensor:
    """Samples with one feature."""
    return torch.tensor(values, dtype=torch.float64).view(-1, 1)


def normal(name: str, count: int, dimensions: int = 8) -> Tensor:
    return torch.randn(count, dimensions, generator=generator_for(name))


def by_loops(real: Tensor, generated: Tensor, k: int) -> PRDC:
    """The definitions of both papers, sample by sample, in whole numbers: squared distances."""

    def distance(a: list[int], b: list[int]) -> int:
        return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))

    rows, others = real.long().tolist(), generated.long().tolist()
    radii = [sorted(distance(a, b) for b in rows)[k] for a in rows]
    other_radii = [sorted(distance(a, b) for b in others)[k] for a in others]
    within = [[distance(a, b) <= radius for b in others] for a, radius in zip(rows, radii, strict=True)]
    return PRDC(
        precision=sum(any(row[j] for row in within) for j in range(len(others))) / len(others),
        recall=sum(any(distance(a, b) <= r for b, r in zip(others, other_radii, strict=True)) for a in rows)
        / len(rows),
        density=sum(map(sum, within)) / (k * len(others)),
        coverage=sum(map(any, within)) / len(rows),
    )


def test_case_counted_by_hand() -> None:
    # Real neighbourhoods: [-1, 1], [0, 2], [0, 2] around 0, 1, 2 reach one far each; 10 reaches down to 2.
    real = line(0.0, 1.0, 2.0, 10.0)
    # Generated ones: 1.5 and 2.5 reach 1 far, 30 reaches down to 2.5.
    generated = line(1.5, 2.5, 30.0)
    found = prdc(real, generated, neighbours=1)
    assert found.precision == pytest.approx(2 / 3)  # 30 is in no real neighbourhood
    assert found.recall == pytest.approx(3 / 4)  # 0 is in none of [0.5, 2.5], [1.5, 3.5], [2.5, 57.5]
    # 1.5 lies in those of 1 and 2, 2.5 in those of 2 and 10.
    assert found.density == pytest.approx((2 + 2 + 0) / 3)
    assert found.coverage == pytest.approx(3 / 4)  # nothing came near 0


@pytest.mark.parametrize("neighbours", [1, 3, 5])
def test_identical_sets_have_everything(neighbours: int) -> None:
    features = normal("features", 60)
    found = prdc(features, features[torch.randperm(60, generator=generator_for("order"))], neighbours=neighbours)
    assert (found.precision, found.recall, found.coverage) == (1.0, 1.0, 1.0)
    assert found.density >= 1.0


def test_two_sets_of_one_kind_are_about_as_dense_as_expected() -> None:
    found = prdc(normal("real", 1000, 4), normal("generated", 1000, 4), neighbours=5)
    assert found.density == pytest.approx(1.0, abs=0.1)  # its expectation for equal distributions is 1
    assert found.coverage == pytest.approx(1 - 0.5**5, abs=0.05)  # as is 1 - 2^-k for coverage with n = m
    assert found.precision > 0.8
    assert found.recall > 0.8


def test_disjoint_sets_have_nothing() -> None:
    assert prdc(normal("real", 30), normal("generated", 30) + 100) == PRDC(0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("dimensions", [1, 64])
def test_collapse_to_one_good_image_is_precise_and_covers_nothing(dimensions: int) -> None:
    real = normal("real", 200, dimensions)
    found = prdc(real, real[:1].expand(100, -1))
    assert found.precision == 1.0
    assert found.recall == pytest.approx(1 / 200)
    assert found.coverage < 0.1


def test_lost_half_of_the_data_shows_in_recall_and_coverage_but_not_in_precision() -> None:
    real = torch.cat([normal("left", 100) - 20, normal("right", 100) + 20])
    found = prdc(real, normal("generated", 200) + 20)
    assert found.precision > 0.9
    assert found.recall <= 0.5
    assert found.coverage <= 0.5


def test_repeated_real_images_are_covered_by_themselves() -> None:
    """More copies than neighbours: a neighbourhood of no extent still holds what is exactly there."""
    real = normal("real", 5, 64).repeat_interleave(10, dim=0) * 100
    assert prdc(real, real.clone()) == PRDC(1.0, 1.0, 2.0, 1.0)


POINTS = st.tuples(st.integers(1, 4), st.integers(1, 3)).flatmap(
    lambda shape: st.tuples(
        st.just(shape[0]),
        *(
            st.lists(st.lists(st.integers(-3, 3), min_size=shape[1], max_size=shape[1]), min_size=5, max_size=40)
            for _ in range(2)
        ),
    )
)


@given(POINTS)
def test_figures_are_those_of_the_definitions(case: tuple[int, list[list[int]], list[list[int]]]) -> None:
    neighbours, real, generated = case[0], torch.tensor(case[1]).float(), torch.tensor(case[2]).float()
    found, expected = prdc(real, generated, neighbours=neighbours), by_loops(real, generated, neighbours)
    for name in ("precision", "recall", "density", "coverage"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name)), name


def test_order_of_the_samples_does_not_matter() -> None:
    real, generated = normal("real", 50), 0.5 + normal("generated", 40)
    found, other = prdc(real, generated), prdc(real.flip(0), generated.flip(0))
    for name in ("precision", "recall", "density", "coverage"):
        assert getattr(found, name) == pytest.approx(getattr(other, name))


@pytest.mark.parametrize(("real", "generated"), [(5, 20), (20, 5), (0, 20)])
def test_fewer_samples_than_neighbours_are_refused(real: int, generated: int) -> None:
    with pytest.raises(InputError, match=f"at least 6 images .* found {real} real and {generated} generated"):
        prdc(torch.zeros(real, 2), torch.zeros(generated, 2), neighbours=5)


#: Real and generated samples in a block, and columns in a group.
BLOCKS = [(1024, 2048, 64), (7, 16, 4), (9, 25, 1)]


def use_blocks(blocks: tuple[int, int, int], patch: pytest.MonkeyPatch) -> None:
    for module, name, value in zip(
        (comparison, comparison, search), ("REAL", "GENERATED", "GROUP"), blocks, strict=True
    ):
        patch.setattr(module, name, value)


def samples_by_loops(real: Tensor, generated: Tensor, k: int) -> tuple[list[int], list[bool], list[bool]]:
    """How many real neighbourhoods hold each generated sample, and which real ones are covered and recalled."""

    def squares(some: Tensor, others: Tensor) -> list[list[int]]:
        rows, columns = some.long().tolist(), others.long().tolist()
        return [[sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) for b in columns] for a in rows]

    radii = [sorted(row)[k] for row in squares(real, real)]
    other_radii = [sorted(row)[k] for row in squares(generated, generated)]
    between = squares(real, generated)
    within = [[square <= radius for square in row] for row, radius in zip(between, radii, strict=True)]
    recalled = [any(square <= r for square, r in zip(row, other_radii, strict=True)) for row in between]
    return [sum(column) for column in zip(*within, strict=True)], [any(row) for row in within], recalled


def samples_by_cdist(real: Tensor, generated: Tensor, k: int) -> tuple[list[int], list[bool], list[bool]]:
    """The same of real numbers, by the distances of scipy."""
    first, second = real.double().numpy(), generated.double().numpy()
    radii, other_radii = (np.sort(cdist(each, each), axis=1)[:, k] for each in (first, second))
    between = cdist(first, second)
    within = between <= radii[:, None]
    recalled = (between <= other_radii[None, :]).any(axis=1)
    return within.sum(axis=0).tolist(), within.any(axis=1).tolist(), recalled.tolist()


def check(real: Tensor, generated: Tensor, expected: tuple[list[int], list[bool], list[bool]], k: int) -> None:
    found = neighbourhoods(real, generated, neighbours=k)
    assert (found.holding.tolist(), found.covered.tolist(), found.recalled.tolist()) == expected
    assert found.neighbours == k
    assert found.prdc() == prdc(real, generated, neighbours=k)


@settings(max_examples=40)
@given(POINTS, st.sampled_from(BLOCKS))
def test_each_sample_is_where_the_definitions_put_it(
    case: tuple[int, list[list[int]], list[list[int]]], blocks: tuple[int, int, int]
) -> None:
    k, real, generated = case[0], torch.tensor(case[1]).float(), torch.tensor(case[2]).float()
    with pytest.MonkeyPatch.context() as patch:
        use_blocks(blocks, patch)
        check(real, generated, samples_by_loops(real, generated, k), k)


@pytest.mark.parametrize("blocks", BLOCKS, ids=str)
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_samples_of_real_numbers_are_where_scipy_puts_them(
    blocks: tuple[int, int, int], offset: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_blocks(blocks, monkeypatch)
    real, generated = normal("real", 120) + offset, 0.8 * normal("generated", 90) + 0.2 + offset
    check(real, generated, samples_by_cdist(real, generated, 3), 3)


@pytest.mark.parametrize("gap", [1e2, 1e4, 1e8])
def test_neighbourhoods_are_right_in_groups_far_apart(gap: float) -> None:
    """Products in float32 no longer tell what is inside from 1e4 on, those in float64 from 1e8."""
    sides = torch.tensor([-gap, gap], dtype=torch.float64).repeat(40)[:, None]
    real, generated = (8 * normal(name, 80, 3).double().round() + sides for name in ("real", "generated"))
    check(real, generated, samples_by_loops(real, generated, 3), 3)


@pytest.mark.parametrize("case", ["alike", "groups far apart", "one far", "in the middle"])
def test_few_pairs_are_measured(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bounds decide the others, in float64 where float32 does not."""
    measured, measure = [], comparison.squared_distances

    def count(first: Tensor, rows: Tensor, second: Tensor, others: Tensor) -> Tensor:
        measured.append(len(rows))
        return measure(first, rows, second, others)

    monkeypatch.setattr(comparison, "squared_distances", count)
    real, generated = normal("real", 200).double(), normal("generated", 200).double()
    if case == "groups far apart":
        real[::2] += 1e4
        generated[::2] += 1e4
    elif case == "one far":
        real[0], generated[0] = 1e3, -1e3
    elif case == "in the middle":
        real, generated = generated, 1e-3 * real
    neighbourhoods(real, generated)
    assert sum(measured) <= 20


def test_one_far_sample_does_not_disturb_the_others() -> None:
    real, generated = normal("real", 100).double(), normal("generated", 100).double()
    real[3], generated[5] = 1e6, -1e6
    check(real, generated, samples_by_cdist(real, generated, 3), 3)


def test_a_point_at_the_border_is_inside_however_distances_round() -> None:
    """To both sides of a real sample, its nearest and a generated one are equally far, to the last bit."""
    offsets = normal("offsets", 30, 64).double()
    centres = 100 * normal("centres", 30, 64).double().round()
    real = torch.cat([centres, centres + offsets])
    offsets = real[30:] - centres
    at_border = neighbourhoods(real, torch.cat([centres - offsets, real[30:]]), neighbours=1)
    assert at_border.holding.tolist() == [1] * 30 + [2] * 30
    beyond = neighbourhoods(real, centres - (1 + 1e-12) * offsets, neighbours=1)
    assert beyond.holding.tolist() == [0] * 30


def test_all_generated_in_the_middle_are_in_every_neighbourhood() -> None:
    """Samples of many dimensions are nearer to their mean than to each other."""
    real, generated = normal("real", 200, 64), 1e-3 * normal("generated", 300, 64)
    found = neighbourhoods(real, generated)
    assert found.holding.tolist() == [200] * 300
    assert found.covered.all()
    assert not found.recalled.any()


def test_features_that_are_no_finite_numbers_are_refused() -> None:
    bad = normal("bad", 20)
    bad[7, 1] = float("nan")
    with pytest.raises(InputError, match="finite"):
        prdc(normal("good", 20), bad)


FIGURES = ("precision", "recall", "density", "coverage")


def pair(case: str, number: int) -> tuple[Tensor, Tensor]:
    """Independent draws of both sets."""
    name = f"{case} {number}"
    if case == "unlike":
        return normal(f"real {name}", 100), 0.7 * normal(f"generated {name}", 30) + 0.3
    real, generated = normal(f"real {name}", 60), normal(f"generated {name}", 60)
    real[::3] += 8
    return real, generated


@pytest.mark.parametrize("case", ["unlike", "a lost third"])
def test_intervals_hold_the_mean_of_independent_draws(case: str) -> None:
    draws = [prdc(*pair(case, number)) for number in range(60)]
    found = [prdc_estimates(*pair(case, number)) for number in range(15)]
    for name in FIGURES:
        values = torch.tensor([getattr(draw, name) for draw in draws])
        mean, error = values.mean().item(), values.std().item()
        assert sum(one[name].low <= mean <= one[name].high for one in found) >= 0.8 * len(found), name
        widths = torch.tensor([one[name].high - one[name].low for one in found])
        assert widths.mean() < max(2 * 3.92 * error, 0.3), name  # the exact interval of 60 is up to 0.27 wide


@given(st.integers(4, 30), st.integers(4, 30), st.floats(0, 10), st.integers(0, 5))
@settings(max_examples=8)
def test_estimates_are_the_figures_inside_intervals_with_width(n: int, m: int, shift: float, seed: int) -> None:
    real, generated = normal("real", n, 2), normal("generated", m, 2) + shift
    figures, found = prdc(real, generated, neighbours=1), prdc_estimates(real, generated, neighbours=1, seed=seed)
    assert set(found) == set(FIGURES)
    for name, estimate in found.items():
        assert estimate.value == getattr(figures, name)
        assert 0 <= estimate.low <= estimate.value <= estimate.high
        assert estimate.high <= 1 or name == "density"
        assert estimate.high - estimate.low > 0.05


@pytest.mark.parametrize(("n", "m"), [(30, 30), (200, 30)])
def test_nothing_is_certain_of_few_images(n: int, m: int) -> None:
    """Not one of 30 tells no more than that it is less than one of eight, however large the other set is."""
    for estimate in prdc_estimates(normal("real", n), normal("generated", m) + 100).values():
        assert (estimate.value, estimate.low) == (0, 0)
        assert estimate.high == pytest.approx(1 - 0.025 ** (1 / 30))


def test_intervals_narrow_with_the_square_root_of_the_size() -> None:
    """Also where subsamples are less than halves."""
    widths = []
    for count in (400, 6400):
        found = prdc_estimates(normal(f"real {count}", count, 3), 0.8 * normal(f"generated {count}", count, 3) + 0.4)
        widths.append([found[name].high - found[name].low for name in ("recall", "density", "coverage")])
    ratios = torch.tensor(widths[0]) / torch.tensor(widths[1])
    assert ratios.log2().mean().item() == pytest.approx(2, abs=0.6)


def test_subsamples_depend_on_the_seed() -> None:
    def estimate(seed: int) -> dict[str, Estimate]:
        return prdc_estimates(normal("real", 60), 0.5 * normal("generated", 60), seed=seed)

    assert estimate(1) == estimate(1)
    assert estimate(1) != estimate(2)


@pytest.mark.parametrize(("real", "generated"), [(7, 20), (20, 7)])
def test_intervals_of_too_few_images_are_refused(real: int, generated: int) -> None:
    with pytest.raises(InputError, match=f"at least 8 images .* found {real} real and {generated} generated"):
        prdc_estimates(normal("real", real), normal("generated", generated))
