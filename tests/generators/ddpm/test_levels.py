"""Noise schedules and the levels at which solvers ask the network, against diffusers."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
import torch

from synthaug.core.errors import InputError
from synthaug.generators.ddpm.process import DiscreteProcess, EDMProcess, Process
from tests.generators.ddpm.test_process import PROCESSES, every_process

# diffusers hands tensors to numpy in a way that numpy 2 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
STOCK_NAMES = {"cosine": "squaredcos_cap_v2", "linear": "linear"}


@pytest.mark.parametrize("schedule", STOCK_NAMES)
def test_noise_schedule_equals_that_of_diffusers(schedule: Any) -> None:
    from diffusers import DDPMScheduler

    theirs = DDPMScheduler(num_train_timesteps=1000, beta_schedule=STOCK_NAMES[schedule]).alphas_cumprod.double()
    ours = 1 / (1 + DiscreteProcess("epsilon", schedule).all_sigmas().double().square())
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("schedule", STOCK_NAMES)
def test_noise_grows_from_almost_none_to_almost_nothing_else(schedule: Any) -> None:
    sigmas = DiscreteProcess("epsilon", schedule).all_sigmas()
    assert len(sigmas) == 1000
    assert (sigmas.diff() > 0).all()
    assert sigmas[0] < 0.011
    assert 100 < sigmas[-1] < float("inf")


@every_process
@pytest.mark.parametrize("steps", [1, 2, 5, 18, 20, 30, 50, 100, 200])
def test_stock_scheduler_visits_the_same_levels_from_its_configuration_alone(process: Process, steps: int) -> None:
    written = json.loads(json.dumps(dict(process.scheduler().config)))
    stock = type(process.scheduler()).from_config(written)
    stock.set_timesteps(steps)
    levels = process.sampling_levels(steps)
    torch.testing.assert_close(stock.timesteps.to(levels.times.dtype), levels.times, rtol=0, atol=1e-6)
    torch.testing.assert_close(stock.sigmas[:-1], levels.sigmas, rtol=1e-4, atol=0)
    assert stock.sigmas[-1] == 0


@pytest.mark.parametrize("schedule", STOCK_NAMES)
@pytest.mark.parametrize("steps", [1, 7, 50, 1000])
def test_ancestral_sampling_visits_the_timesteps_of_the_stock_scheduler(schedule: Any, steps: int) -> None:
    from diffusers import DDPMScheduler

    stock = DDPMScheduler(beta_schedule=STOCK_NAMES[schedule], timestep_spacing="trailing")
    stock.set_timesteps(steps)
    process = DiscreteProcess("epsilon", schedule)
    sigmas, times = process.chain_levels(steps)
    assert torch.equal(times, stock.timesteps)
    assert torch.equal(sigmas, process.all_sigmas()[times])


@pytest.mark.parametrize("steps", [1, 2, 300, 501, 700, 900, 1000])
def test_ancestral_sampling_begins_in_pure_noise_whatever_its_steps(steps: int) -> None:
    times = DiscreteProcess().chain_levels(steps).times
    assert len(times) == steps
    assert times[0] == 999


@pytest.mark.parametrize("objective", ["epsilon", "v"])
@pytest.mark.parametrize("schedule", STOCK_NAMES)
def test_deterministic_sampling_starts_at_the_noisiest_useful_timestep(objective: Any, schedule: Any) -> None:
    log_snr = -4.0
    process = DiscreteProcess(objective, schedule)
    first = int(process.sampling_levels(10).times[0])
    logs = -process.all_sigmas().log()
    assert logs[first] >= log_snr
    assert logs[first + 1] < log_snr


@pytest.mark.parametrize("steps", [2, 18, 1000])
def test_edm_levels_are_evenly_spaced_in_the_seventh_root(steps: int) -> None:
    levels = EDMProcess().sampling_levels(steps)
    roots = levels.sigmas.double() ** (1 / 7)
    torch.testing.assert_close(roots, torch.linspace(80 ** (1 / 7), 0.002 ** (1 / 7), steps, dtype=torch.float64))
    assert float(levels.sigmas[0]) == pytest.approx(80.0)
    torch.testing.assert_close(levels.times, levels.sigmas.log() / 4)


@every_process
@pytest.mark.parametrize("grid", ["sampling_levels", "chain_levels"])
def test_levels_go_down_without_repeats_up_to_the_most_steps_and_no_further(process: Process, grid: str) -> None:
    most = {"epsilon": 987, "epsilon-linear": 888, "v": 987, "v-linear": 888}
    name = next(name for name, known in PROCESSES.items() if known is process)
    limit = most.get(name, 1000) if grid == "sampling_levels" else 1000
    sigmas = getattr(process, grid)(limit).sigmas.tolist()
    assert len(sigmas) == limit
    assert all(later < earlier for earlier, later in itertools.pairwise(sigmas))
    for steps in (limit + 1, 0, -1):
        with pytest.raises(InputError, match=rf"--steps must lie in 1\.\.{limit} here, found {steps}"):
            getattr(process, grid)(steps)
