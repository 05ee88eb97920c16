"""Noise processes in closed form: how noise is added, and at which levels."""

from __future__ import annotations

import math
from statistics import NormalDist

import pytest
import torch
from torch import Tensor

from synthaug.core.errors import InputError
from synthaug.core.seeding import generator_for
from synthaug.generators.ddpm.objective import network_input, training_target
from synthaug.generators.ddpm.process import DiscreteProcess, EDMProcess, Process, build_process

PROCESSES: dict[str, Process] = {
    "epsilon": DiscreteProcess("epsilon", "cosine"),
    "epsilon-linear": DiscreteProcess("epsilon", "linear"),
    "v": DiscreteProcess("v", "cosine"),
    "v-linear": DiscreteProcess("v", "linear"),
    "edm": EDMProcess(),
}
every_process = pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES.keys())


def pixel(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64).view(1, 1, 1, 1)


def levels(*sigmas: float) -> Tensor:
    return torch.tensor(sigmas, dtype=torch.float64)


def random_images(name: str, count: int = 7) -> Tensor:
    return torch.rand(count, 3, 4, 4, generator=generator_for(name), dtype=torch.float64) * 2 - 1


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
@pytest.mark.parametrize("objective", ["epsilon", "v"])
@pytest.mark.parametrize("timestep", [0, 250, 600, 990])
def test_network_sees_the_mean_and_variance_of_the_forward_process(
    objective: str, schedule: str, timestep: int
) -> None:
    """q(x_t | x_0) = N(sqrt(alpha-bar) x_0, (1 - alpha-bar) I), equation 4 of Ho et al."""
    from diffusers import DDPMScheduler

    names = {"cosine": "squaredcos_cap_v2", "linear": "linear"}
    alpha_bar = float(DDPMScheduler(beta_schedule=names[schedule]).alphas_cumprod[timestep])
    process, count = build_process(objective, schedule, None), 200_000
    sigmas, times = process.training_levels(torch.full((count,), (timestep + 0.5) / 1000))
    assert (times == timestep).all()
    noise = torch.randn(count, 1, 1, 1, generator=generator_for("moments", timestep))
    seen = network_input(process, torch.full((count, 1, 1, 1), 0.6) + sigmas.view(-1, 1, 1, 1) * noise, sigmas).double()
    deviation = math.sqrt(1 - alpha_bar)
    assert float(seen.mean()) == pytest.approx(math.sqrt(alpha_bar) * 0.6, abs=4 * deviation / math.sqrt(count))
    assert float(seen.var()) == pytest.approx(deviation**2, rel=4 * math.sqrt(2 / count))


@pytest.mark.parametrize("sigma", [0.002, 0.3, 1.0, 80.0])
def test_edm_network_sees_unit_variance_and_learns_a_target_of_unit_variance(sigma: float) -> None:
    """The conditions from which Karras et al. derive c_in and c_out (appendix B.6), for images of deviation 0.5."""
    process, count = EDMProcess(), 200_000
    generator = generator_for("unit variance")
    images = 0.5 * torch.randn(count, 1, 1, 1, generator=generator, dtype=torch.float64)
    noise = torch.randn(count, 1, 1, 1, generator=generator, dtype=torch.float64)
    sigmas = levels(sigma).expand(count)
    for values in (
        network_input(process, images + sigma * noise, sigmas),
        training_target(process, images, noise, sigmas),
    ):
        assert float(values.var()) == pytest.approx(1.0, rel=4 * math.sqrt(2 / count))


@pytest.mark.parametrize(
    ("name", "sigma", "skip", "out", "into"),
    [
        ("epsilon", 0.75, 1.0, -0.75, 0.8),
        ("v", 0.75, 0.64, -0.6, 0.8),
        ("edm", 1.2, 25 / 169, 6 / 13, 10 / 13),
    ],
)
def test_preconditioning_equals_values_computed_by_hand(
    name: str, sigma: float, skip: float, out: float, into: float
) -> None:
    found = [float(values) for values in PROCESSES[name].coefficients(levels(sigma))]
    assert found == pytest.approx([skip, out, into])


@pytest.mark.parametrize(
    ("objective", "sigma", "expected"),
    [("epsilon", 0.5, 1.0), ("epsilon", 0.25, 5 / 16), ("v", 0.5, 4 / 5), ("v", 0.25, 5 / 17), ("v", 2.0, 1 / 5)],
)
def test_min_snr_weights_equal_values_computed_by_hand(objective: str, sigma: float, expected: float) -> None:
    weights = build_process(objective, "cosine", 5.0).loss_weights(levels(sigma))
    assert weights.tolist() == pytest.approx([expected])


def test_training_timesteps_are_equally_likely_and_rise_with_the_quantile() -> None:
    sigmas, times = PROCESSES["epsilon"].training_levels((torch.arange(5000) + 0.5) / 5000)
    assert torch.equal(times, torch.arange(1000).repeat_interleave(5))
    assert (sigmas.diff() >= 0).all()


@pytest.mark.parametrize("name", ["epsilon", "v", "edm"])
def test_outermost_quantiles_have_finite_noise_levels(name: str) -> None:
    sigmas, times = PROCESSES[name].training_levels(torch.tensor([0.0, 1 - 2**-24]))
    assert sigmas.isfinite().all()
    assert times.isfinite().all()
    assert 0 < sigmas[0] < sigmas[1]


def test_edm_training_levels_are_log_normal() -> None:
    process = EDMProcess(log_mean=-0.7, log_deviation=0.9)
    quantiles = (torch.arange(999) + 1) / 1000
    sigmas, times = process.training_levels(quantiles)
    expected = [NormalDist(-0.7, 0.9).inv_cdf(float(quantile)) for quantile in quantiles]
    torch.testing.assert_close(sigmas.log(), torch.tensor(expected), rtol=0, atol=1e-4)
    torch.testing.assert_close(times, sigmas.log() / 4)


def test_edm_has_the_numbers_of_its_paper() -> None:
    process = EDMProcess()
    assert (process.log_mean, process.log_deviation, process.sigma_min, process.sigma_max) == (-1.2, 1.2, 0.002, 80.0)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("edm", "", 5.0), "--min-snr weighs epsilon and v"),
        (("x0", "cosine", None), "unknown objective or schedule: x0, cosine"),
        (("epsilon", "sigmoid", None), "unknown objective or schedule: epsilon, sigmoid"),
        (("v", "cosine", 0.0), "--min-snr must be positive, found 0.0"),
        (("v", "cosine", float("nan")), "--min-snr must be positive, found nan"),
        (("v", "cosine", float("inf")), "--min-snr must be positive, found inf"),
    ],
)
def test_process_that_makes_no_sense_is_refused(words: tuple[str, str, float | None], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        build_process(*words)
