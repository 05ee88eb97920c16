"""Our solvers take the steps of diffusers' schedulers, level by level, whatever the network answers."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EDMDPMSolverMultistepScheduler,
    EDMEulerScheduler,
    UniPCMultistepScheduler,
)
from torch import Tensor

from synthaug.core.runtime import Runtime
from synthaug.core.seeding import generator_for
from synthaug.generators.base import SamplerSettings
from synthaug.generators.ddpm.objective import denoised, network_input
from synthaug.generators.ddpm.process import EDMProcess, Levels, Process, build_process
from synthaug.generators.ddpm.sampler import GuidedDenoiser
from synthaug.generators.ddpm.solvers import SOLVERS

# diffusers hands tensors to numpy in a way that numpy 2 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
STOCK_NAMES = {"cosine": "squaredcos_cap_v2", "linear": "linear"}
PREDICTIONS = {"epsilon": "epsilon", "v": "v_prediction"}
SHAPE = (3, 3, 8, 8)
Step = Callable[[Any, Tensor, Tensor, Tensor], Tensor]

every_objective = pytest.mark.parametrize("objective", ["epsilon", "v"])
every_schedule = pytest.mark.parametrize("schedule", ["cosine", "linear"])
every_count = pytest.mark.parametrize("steps", [2, 5, 14, 15, 20, 50])


class NonlinearNetwork:
    """Answers something smooth that depends on image, level and class; no denoiser at all."""

    config = SimpleNamespace(num_class_embeds=4, in_channels=3)

    def __init__(self) -> None:
        self._mixing = 0.3 * torch.randn(8, 8, generator=generator_for("a network"))

    def __call__(self, images: Tensor, times: Tensor, class_labels: Tensor) -> SimpleNamespace:
        level = torch.as_tensor(times, dtype=torch.float32).expand(len(images)).view(-1, 1, 1, 1)
        answer = torch.tanh(images @ self._mixing) + 0.1 * torch.sin(level / 300) + 0.05 * level.clamp(-2, 2)
        return SimpleNamespace(sample=answer + 0.1 * class_labels.view(-1, 1, 1, 1))


NETWORK = NonlinearNetwork()
LABELS = torch.tensor([0, 1, 2])


def initial_noise() -> Tensor:
    return torch.randn(SHAPE, generator=generator_for("initial noise"))


def take_step(stock: Any, output: Tensor, timestep: Tensor, images: Tensor) -> Tensor:
    after: Tensor = stock.step(output, timestep, images).prev_sample
    return after


def stock_trajectory(stock: Any, step: Step = take_step) -> list[Tensor]:
    """What the scheduler makes of the noise: the images before each of its steps, and after the last."""
    images = initial_noise() * stock.init_noise_sigma
    trajectory = [images]
    for timestep in stock.timesteps:
        output = NETWORK(stock.scale_model_input(images, timestep), timestep, LABELS).sample
        images = step(stock, output, timestep, images)
        trajectory.append(images)
    return trajectory


def our_trajectory(
    process: Process, solver: str, levels: Levels, noise: torch.Generator | None = None, *, clip: bool = True
) -> list[Tensor]:
    """The same of our solver: images x_0 + sigma n, as the denoiser is shown them."""
    guided = GuidedDenoiser(NETWORK, process, levels, LABELS, SamplerSettings(solver, 1, 1.0), Runtime("cpu", "fp32"))
    trajectory: list[Tensor] = []

    def denoise(noisy: Tensor, level: int) -> Tensor:
        trajectory.append(noisy)
        if clip:
            return guided(noisy, level)
        sigmas = levels.sigmas[level].expand(len(noisy))
        output = NETWORK(network_input(process, noisy, sigmas), levels.times[level], LABELS).sample
        return denoised(process, output, noisy, sigmas)

    sigmas = levels.sigmas.tolist()
    start = initial_noise() * math.sqrt(1 + sigmas[0] ** 2)
    end = SOLVERS.get(solver).integrate(denoise, start, sigmas, lambda: torch.randn(SHAPE, generator=noise))
    return [*trajectory, end]


def assert_same_trajectory(
    ours: list[Tensor], theirs: list[Tensor], levels: Levels, *, preserves_variance: bool, tolerance: float = 2e-5
) -> None:
    """Compares at every level, in the scaling x / sqrt(1 + sigma^2), where pixels stay of the order of one."""
    sigmas = [*levels.sigmas.tolist(), 0.0]
    assert len(ours) == len(theirs) == len(sigmas)
    for sigma, one, other in zip(sigmas, ours, theirs, strict=True):
        scale = 1 / math.sqrt(1 + sigma**2)
        expected = other if preserves_variance else other * scale
        torch.testing.assert_close(one * scale, expected, rtol=0, atol=tolerance)


@every_objective
@every_schedule
@pytest.mark.parametrize("steps", [1000, 50])
def test_ancestral_sampling_is_that_of_the_ddpm_scheduler(objective: str, schedule: str, steps: int) -> None:
    stock = DDPMScheduler(
        beta_schedule=STOCK_NAMES[schedule],
        prediction_type=PREDICTIONS[objective],
        variance_type="fixed_small",
        clip_sample=True,
        timestep_spacing="trailing",
    )
    stock.set_timesteps(steps)
    noise = generator_for("ancestral noise")
    theirs = stock_trajectory(stock, lambda s, out, t, x: s.step(out, t, x, generator=noise).prev_sample)
    process = build_process(objective, schedule, None)
    levels = process.chain_levels(steps)
    assert torch.equal(levels.times, stock.timesteps)
    ours = our_trajectory(process, "ddpm", levels, generator_for("ancestral noise"))
    # diffusers accumulates the schedule in float32, which tells in a thousand steps.
    assert_same_trajectory(ours, theirs, levels, preserves_variance=True, tolerance=5e-4)


@every_objective
@every_schedule
@every_count
def test_ddim_is_that_of_the_ddim_scheduler(objective: str, schedule: str, steps: int) -> None:
    stock = DDIMScheduler(beta_schedule=STOCK_NAMES[schedule], prediction_type=PREDICTIONS[objective], clip_sample=True)
    stock.set_timesteps(steps)
    # Clipped estimates of the image go with the noise that belongs to them.
    theirs = stock_trajectory(stock, lambda s, out, t, x: s.step(out, t, x, use_clipped_model_output=True).prev_sample)
    process = build_process(objective, schedule, None)
    levels = Levels(process.all_sigmas()[stock.timesteps], stock.timesteps)
    assert_same_trajectory(our_trajectory(process, "ddim", levels), theirs, levels, preserves_variance=True)


@every_objective
@every_schedule
@every_count
@pytest.mark.parametrize(("solver", "order"), [("dpmpp", 2), ("dpmpp3m", 3)])
def test_dpmpp_is_that_of_the_exported_scheduler(
    objective: str, schedule: str, steps: int, solver: str, order: int
) -> None:
    process = build_process(objective, schedule, None)
    stock = DPMSolverMultistepScheduler.from_config(process.scheduler().config, solver_order=order)
    stock.set_timesteps(steps)
    levels = process.sampling_levels(steps)
    ours = our_trajectory(process, solver, levels)
    assert_same_trajectory(ours, stock_trajectory(stock), levels, preserves_variance=True)


@every_objective
@every_schedule
@every_count
def test_unipc_is_that_of_the_unipc_scheduler_at_the_same_levels(objective: str, schedule: str, steps: int) -> None:
    process = build_process(objective, schedule, None)
    levels = process.sampling_levels(steps)
    stock = UniPCMultistepScheduler.from_config(process.scheduler().config, solver_order=3)
    stock.set_timesteps(steps)
    stock.timesteps, stock.sigmas = levels.times, torch.cat([levels.sigmas, torch.zeros(1)])  # it spaces otherwise
    ours = our_trajectory(process, "unipc", levels)
    assert_same_trajectory(ours, stock_trajectory(stock), levels, preserves_variance=True)


@every_count
@pytest.mark.parametrize(("solver", "order"), [("dpmpp", 2), ("dpmpp3m", 3)])
def test_dpmpp_of_an_edm_is_that_of_the_exported_scheduler(steps: int, solver: str, order: int) -> None:
    process = EDMProcess()
    stock = EDMDPMSolverMultistepScheduler.from_config(process.scheduler().config, solver_order=order)
    stock.set_timesteps(steps)
    levels = process.sampling_levels(steps)
    ours = our_trajectory(process, solver, levels)
    assert_same_trajectory(ours, stock_trajectory(stock), levels, preserves_variance=False)


@every_count
def test_ddim_of_an_edm_is_eulers_method_without_clipping(steps: int) -> None:
    process = EDMProcess()
    stock = EDMEulerScheduler(sigma_min=0.002, sigma_max=80.0, sigma_data=0.5, rho=7.0)
    stock.set_timesteps(steps)
    levels = process.sampling_levels(steps)
    assert np.allclose(stock.sigmas[:-1].numpy(), levels.sigmas.numpy(), rtol=1e-4)
    ours = our_trajectory(process, "ddim", levels, clip=False)
    assert_same_trajectory(ours, stock_trajectory(stock), levels, preserves_variance=False)
