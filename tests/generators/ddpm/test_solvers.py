"""The solvers as plain functions, on Gaussian data whose denoiser and probability flow are known in closed form."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from synthaug.generators.ddpm.process import Process
from synthaug.generators.ddpm.solvers import SOLVERS
from tests.generators.ddpm.gaussian import GaussianData
from tests.generators.ddpm.test_process import PROCESSES, every_process

DETERMINISTIC = [name for name in SOLVERS.names() if not SOLVERS.get(name).is_ancestral]
every_deterministic_solver = pytest.mark.parametrize("solver", DETERMINISTIC)
COVARIANCES = {
    2: [[0.30, 0.18], [0.18, 0.20]],
    4: [[0.25, 0.10, 0.0, -0.05], [0.10, 0.20, 0.05, 0.0], [0.0, 0.05, 0.15, 0.02], [-0.05, 0.0, 0.02, 0.10]],
}


def images(values: Tensor) -> Tensor:
    """Rows of pixels as images [n, 1, 1, d]."""
    return values.to(torch.float64).view(len(values), 1, 1, -1)


def no_noise() -> Tensor:
    raise AssertionError("a deterministic solver draws no noise")


def solve(solver: str, data: GaussianData, start: Tensor, sigmas: list[float]) -> Tensor:
    return SOLVERS.get(solver).integrate(lambda x, k: data.denoise(x, sigmas[k]), start, sigmas, no_noise)


def correlated(dimensions: int) -> GaussianData:
    mean = torch.linspace(-0.4, 0.5, dimensions, dtype=torch.float64)
    return GaussianData(mean, torch.tensor(COVARIANCES[dimensions], dtype=torch.float64))


@every_process
@every_deterministic_solver
@pytest.mark.parametrize("dimensions", [2, 4])
def test_mean_and_covariance_of_gaussian_data_are_recovered(process: Process, solver: str, dimensions: int) -> None:
    data = correlated(dimensions)
    sigmas = process.sampling_levels(200).sigmas.tolist()
    # With a linear denoiser the solver is an affine map of the initial noise; its unit vectors give all of it.
    noise = torch.cat([torch.zeros(1, dimensions), torch.eye(dimensions)])
    ends = solve(solver, data, images(noise * math.sqrt(1 + sigmas[0] ** 2)), sigmas).view(-1, dimensions)
    mean, matrix = ends[0], ends[1:] - ends[0]
    # Starting from N(0, 1 + sigma^2) instead of data plus noise forgets part of the mean: at sigma = 80, a hundredth.
    torch.testing.assert_close(mean, data.mean, rtol=0, atol=0.03)
    torch.testing.assert_close(matrix.T @ matrix, data.covariance, rtol=0.03, atol=2e-3)


@every_process
def test_a_direction_of_wide_spread_keeps_it(process: Process) -> None:
    """The direction in which 32x32 photographs differ most, their brightness, has a standard deviation of about 13.

    The cosine schedule, whose timesteps are far apart in that noise, needs more evaluations for it than EDM's levels.
    """
    data = GaussianData.of_pixels(-1.0, 13.3)
    sigmas = process.sampling_levels(20 if process.objective == "edm" else 50).sigmas.tolist()
    noise = torch.tensor([[0.0], [1.0]])
    ends = solve("dpmpp", data, images(noise * math.sqrt(1 + sigmas[0] ** 2)), sigmas).view(-1)
    assert float(ends[1] - ends[0]) == pytest.approx(13.3, rel=0.1)
    assert float(ends[0]) == pytest.approx(-1.0, abs=0.25)


@every_process
@pytest.mark.parametrize("dimensions", [1, 2])
def test_ancestral_sampling_recovers_mean_and_covariance_in_a_thousand_steps(process: Process, dimensions: int) -> None:
    data = GaussianData.of_pixels(0.4, 0.3) if dimensions == 1 else correlated(2)
    sigmas = process.chain_levels(1000).sigmas.double().tolist()
    # Affine in all the noise that is drawn: one image without any, and one for each coordinate of each draw.
    count = 1 + 1000 * dimensions
    draws = itertools.count()

    def next_impulse() -> Tensor:
        noise = torch.zeros(count, dimensions)
        first = 1 + next(draws) * dimensions
        noise[first : first + dimensions] = torch.eye(dimensions)
        return images(noise)

    start = next_impulse() * math.sqrt(1 + sigmas[0] ** 2)
    denoise = SOLVERS.get("ddpm").integrate
    ends = denoise(lambda x, k: data.denoise(x, sigmas[k]), start, sigmas, next_impulse).view(count, dimensions)
    assert next(draws) == 1000
    mean, matrix = ends[0], ends[1:] - ends[0]
    torch.testing.assert_close(mean, data.mean, rtol=0, atol=0.01)
    torch.testing.assert_close(matrix.T @ matrix, data.covariance, rtol=0.02, atol=2e-3)


def test_ancestral_step_has_the_mean_and_the_smaller_variance_of_ho_et_al() -> None:
    """Equations 6 and 7 of Ho et al. in their own scaling, with the posterior variance beta-tilde."""
    alpha_bar_next, alpha_bar = 0.7, 0.5
    beta = 1 - alpha_bar / alpha_bar_next
    x, clean = 0.9, -0.2  # in their scaling
    mean = (
        math.sqrt(alpha_bar_next) * beta * clean + math.sqrt(1 - beta) * (1 - alpha_bar_next) * x
    ) / (1 - alpha_bar)  # fmt: skip
    deviation = math.sqrt((1 - alpha_bar_next) / (1 - alpha_bar) * beta)
    sigmas = [math.sqrt((1 - a) / a) for a in (alpha_bar, alpha_bar_next)]
    asked: list[Tensor] = []

    def denoise(noisy: Tensor, level: int) -> Tensor:
        asked.append(noisy * math.sqrt(alpha_bar_next))
        return torch.full_like(noisy, clean)

    noise = images(torch.tensor([[0.0], [1.0]]))
    SOLVERS.get("ddpm").integrate(denoise, torch.full_like(noise, x / math.sqrt(alpha_bar)), sigmas, lambda: noise)
    assert asked[1].flatten().tolist() == pytest.approx([mean, mean + deviation])


@pytest.mark.parametrize(
    ("solver", "order", "steps"),
    [("ddim", 1, 80), ("dpmpp", 2, 80), ("dpmpp3m", 2, 80), ("unipc", 3, 40), ("ipndm", 4, 80)],
)
def test_error_falls_with_the_power_of_the_step_that_the_solver_promises(solver: str, order: int, steps: int) -> None:
    data = GaussianData.of_pixels(0.3, 0.5)
    errors = []
    for count in (steps, 2 * steps, 4 * steps):
        if solver == "ipndm":  # its weights are those of even distances in sigma
            sigmas = torch.linspace(10.0, 0.3, count, dtype=torch.float64).tolist()
        else:
            sigmas = torch.linspace(math.log(20), math.log(0.05), count, dtype=torch.float64).exp().tolist()
        start = images(torch.tensor([[1.7 * sigmas[0]]]))
        expected = data.denoise(data.flow(start, sigmas[0], sigmas[-1]), sigmas[-1])
        errors.append(float((solve(solver, data, start, sigmas) - expected).abs()))
    for coarse, fine in itertools.pairwise(errors):
        assert math.log2(coarse / fine) == pytest.approx(order, abs=0.5)


@every_process
def test_better_solvers_come_closer_in_twenty_evaluations(process: Process) -> None:
    data = GaussianData.of_pixels(0.3, 0.5)
    sigmas = process.sampling_levels(20).sigmas.double().tolist()
    start = images(torch.tensor([[1.7], [-0.6]]) * sigmas[0])
    expected = data.flow(start, sigmas[0], 0.0)
    errors = {name: float((solve(name, data, start, sigmas) - expected).abs().max()) for name in DETERMINISTIC}
    assert errors["unipc"] < errors["ddim"] / 4
    assert errors["dpmpp"] < errors["ddim"] / 2
    assert errors["dpmpp3m"] < errors["ddim"]
    assert errors["ipndm"] < errors["ddim"]


@pytest.mark.parametrize("solver", SOLVERS.names())
@pytest.mark.parametrize("steps", [1, 2, 3, 14, 15, 30])
def test_denoiser_is_asked_once_at_each_level_in_order(solver: str, steps: int) -> None:
    asked: list[int] = []

    def denoise(noisy: Tensor, level: int) -> Tensor:
        asked.append(level)
        return torch.zeros_like(noisy)

    sigmas = PROCESSES["epsilon"].sampling_levels(steps).sigmas.tolist()
    SOLVERS.get(solver).integrate(denoise, torch.ones(2, 1, 1, 1), sigmas, lambda: torch.ones(2, 1, 1, 1))
    assert asked == list(range(steps))


@pytest.mark.parametrize("solver", SOLVERS.names())
@pytest.mark.parametrize("steps", [1, 2, 3, 20])
def test_constant_denoiser_is_followed_to_its_value(solver: str, steps: int) -> None:
    sigmas = PROCESSES["edm"].sampling_levels(steps).sigmas.tolist()
    start = 80 * torch.randn(3, 1, 2, 2)
    found = SOLVERS.get(solver).integrate(
        lambda x, _: torch.full_like(x, 0.25), start, sigmas, lambda: torch.randn(3, 1, 2, 2)
    )
    assert torch.equal(found, torch.full((3, 1, 2, 2), 0.25))


@every_deterministic_solver
def test_constant_denoiser_leads_straight_to_its_value_on_the_way(solver: str) -> None:
    """With D constant, the flow keeps (x - D) / sigma; every solver here is exact for it at any step."""
    seen: list[Tensor] = []

    def denoise(noisy: Tensor, level: int) -> Tensor:
        seen.append((noisy - 0.25) / sigmas[level])
        return torch.full_like(noisy, 0.25)

    sigmas = PROCESSES["v"].sampling_levels(6).sigmas.double().tolist()
    start = images(torch.tensor([[1.0, -2.0]])) * sigmas[0]
    SOLVERS.get(solver).integrate(denoise, start, sigmas, no_noise)
    torch.testing.assert_close(torch.cat(seen), seen[0].expand(6, -1, -1, -1), rtol=1e-10, atol=1e-10)
