"""Noise processes: how noise is added, what the network predicts, and at which noise levels it learns and samples.

All of them are written in one set of coordinates (Karras et al. 2022, "Elucidating the Design Space of Diffusion-Based
Generative Models", section 2): a noisy image is x = x_0 + sigma n with n standard normal, and the network F becomes a
denoiser

    D(x; sigma) = c_skip(sigma) x + c_out(sigma) F(c_in(sigma) x; c_noise(sigma))        (equation 7)

An image x_t = sqrt(alpha-bar_t) x_0 + sqrt(1 - alpha-bar_t) n of Ho et al. 2020 is the same x, scaled by
sqrt(alpha-bar_t) = 1 / sqrt(1 + sigma^2).

| objective | c_skip | c_out | c_in | F learns |
| --- | --- | --- | --- | --- |
| epsilon | 1 | -sigma | 1 / sqrt(1 + sigma^2) | n |
| v | 1 / (1 + sigma^2) | -sigma / sqrt(1 + sigma^2) | 1 / sqrt(1 + sigma^2) | (n - sigma x_0) / sqrt(1 + sigma^2) |
| edm | s^2 / (sigma^2 + s^2) | sigma s / sqrt(sigma^2 + s^2) | 1 / sqrt(sigma^2 + s^2) | (x_0 - c_skip x) / c_out |

with s = 0.5, the standard deviation of images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from synthaug.core.errors import InputError

ObjectiveName = Literal["epsilon", "v", "edm"]
ScheduleName = Literal["cosine", "linear"]
TRAIN_TIMESTEPS = 1000
_SIGMA_DATA = 0.5


class Levels(NamedTuple):
    """Noise levels.

    Attributes:
        sigmas: Standard deviation of the noise, images being in [-1, 1].
        times: What the network is given to know the level, c_noise.
    """

    sigmas: Float[Tensor, " k"]
    times: Int64[Tensor, " k"] | Float[Tensor, " k"]


class Coefficients(NamedTuple):
    """The preconditioning at some noise levels; see the head of this module."""

    skip: Float[Tensor, " k"]
    out: Float[Tensor, " k"]
    into: Float[Tensor, " k"]


class Process(Protocol):
    """One noise process with its objective."""

    @property
    def objective(self) -> ObjectiveName:
        """What the network predicts."""

    def coefficients(self, sigmas: Float[Tensor, " k"]) -> Coefficients:
        """c_skip, c_out and c_in."""

    def training_levels(self, quantiles: Float[Tensor, " n"]) -> Levels:
        """The noise levels at which to train, from quantiles uniform in [0, 1); ascending in them."""

    def loss_weights(self, sigmas: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """The weight of the squared error of F at each level."""

    def sampling_levels(self, steps: int) -> Levels:
        """The descending noise levels a solver visits before it arrives at no noise."""

    def chain_levels(self, steps: int) -> Levels:
        """The same for ancestral sampling, which begins in pure noise."""

    def scheduler(self) -> Any:
        """The diffusers scheduler that visits `sampling_levels` with DPM-Solver++(2M)."""


def signal_to_noise(sigmas: Float[Tensor, " k"]) -> Float[Tensor, " k"]:
    """SNR = alpha-bar / (1 - alpha-bar) = 1 / sigma^2."""
    return 1.0 / sigmas.square()


def cosine_alphas_cumprod(timesteps: int = TRAIN_TIMESTEPS) -> Float[Tensor, " t"]:
    """The cosine schedule: alpha-bar(s) = cos^2((s + 0.008) / 1.008 * pi / 2), with each beta at most 0.999.

    Source: Nichol and Dhariwal 2021, "Improved DDPM", equation 17; diffusers calls it `squaredcos_cap_v2`.
    """
    edges = torch.arange(timesteps + 1, dtype=torch.float64) / timesteps
    alpha_bar = torch.cos((edges + 0.008) / 1.008 * math.pi / 2) ** 2
    betas = (1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(max=0.999)
    return torch.cumprod(1 - betas, dim=0).to(torch.float32)


def linear_alphas_cumprod(timesteps: int = TRAIN_TIMESTEPS) -> Float[Tensor, " t"]:
    """The schedule of Ho et al. 2020, section 4: betas from 1e-4 to 0.02 in equal steps."""
    return torch.cumprod(1 - torch.linspace(1e-4, 0.02, timesteps, dtype=torch.float64), dim=0).to(torch.float32)


_SCHEDULES = {
    "cosine": ("squaredcos_cap_v2", cosine_alphas_cumprod),
    "linear": ("linear", linear_alphas_cumprod),
}
#: Sampling starts where log(sqrt(alpha-bar) / sqrt(1 - alpha-bar)) = -ln(sigma) reaches this value: sigma is four times
#: the spread of 32x32 photographs in the direction in which they differ most. The cosine schedule goes on to sigma =
#: 20,000 in ever larger steps, where an epsilon network's error is all there is in an estimate of x_0.
_FIRST_LOG_SNR = -4.0


@dataclass(frozen=True)
class DiscreteProcess:
    """The process of Ho et al. 2020: 1000 timesteps, and a network that is given their number.

    Attributes:
        objective: `epsilon` with L_simple (equation 14), or `v` (Salimans and Ho 2022, appendix D).
        schedule: `cosine` (Nichol and Dhariwal 2021) or `linear` (Ho et al. 2020).
        min_snr: gamma of Min-SNR weighting (Hang et al. 2023): the squared error of x_0 gets the weight
            min(SNR, gamma), that is, min(SNR, gamma) / SNR for epsilon and min(SNR, gamma) / (SNR + 1) for v. None
            weighs all levels equally.
    """

    objective: Literal["epsilon", "v"] = "epsilon"
    schedule: ScheduleName = "cosine"
    min_snr: float | None = None

    def all_sigmas(self) -> Float[Tensor, " t"]:
        """Sigma = sqrt((1 - alpha-bar) / alpha-bar) of every timestep, ascending."""
        alphas_cumprod = _SCHEDULES[self.schedule][1]()
        return ((1 - alphas_cumprod) / alphas_cumprod).sqrt()

    def coefficients(self, sigmas: Float[Tensor, " k"]) -> Coefficients:
        """See the head of the module."""
        into = 1 / (1 + sigmas.square()).sqrt()
        if self.objective == "epsilon":
            return Coefficients(torch.ones_like(sigmas), -sigmas, into)
        return Coefficients(into.square(), -sigmas * into, into)

    def training_levels(self, quantiles: Float[Tensor, " n"]) -> Levels:
        """Timesteps, each equally likely (algorithm 1 of Ho et al.)."""
        times = (quantiles * TRAIN_TIMESTEPS).to(torch.int64).clamp(0, TRAIN_TIMESTEPS - 1)
        return Levels(self.all_sigmas().to(times.device)[times], times)

    def loss_weights(self, sigmas: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """1, or those of Min-SNR."""
        if self.min_snr is None:
            return torch.ones_like(sigmas)
        snr = signal_to_noise(sigmas)
        return snr.clamp(max=self.min_snr) / (snr if self.objective == "epsilon" else snr + 1)

    def sampling_levels(self, steps: int) -> Levels:
        """Timesteps in even distances from the first useful one to the last, as diffusers spaces them ("linspace").

        Raises:
            InputError: If there are more steps than timesteps.
        """
        sigmas = self.all_sigmas()
        last = int((-sigmas.log() >= _FIRST_LOG_SNR).sum())
        _check_steps(steps, last - 1)
        # With numpy, as in diffusers: torch rounds some of the halves to the other side.
        times = torch.from_numpy(np.linspace(0, last - 1, steps + 1).round().astype(np.int64)).flip(0)[:-1]
        return Levels(sigmas[times], times)

    def chain_levels(self, steps: int) -> Levels:
        """Timesteps in even distances from the very last, 999, on ("trailing" in diffusers); with 1000 steps, all.

        Raises:
            InputError: If there are more steps than timesteps.
        """
        _check_steps(steps, TRAIN_TIMESTEPS)
        times = torch.arange(steps, 0, -1, dtype=torch.float64) * TRAIN_TIMESTEPS / steps
        indices = times.round().to(torch.int64) - 1
        return Levels(self.all_sigmas()[indices], indices)

    def scheduler(self) -> Any:
        """A `DPMSolverMultistepScheduler`; other diffusers schedulers can be made from its configuration."""
        from diffusers import DPMSolverMultistepScheduler

        return DPMSolverMultistepScheduler(
            num_train_timesteps=TRAIN_TIMESTEPS,
            beta_schedule=_SCHEDULES[self.schedule][0],
            prediction_type="epsilon" if self.objective == "epsilon" else "v_prediction",
            thresholding=True,  # with a largest value of 1: clips x_0 to [-1, 1]
            sample_max_value=1.0,
            lambda_min_clipped=_FIRST_LOG_SNR,
        )


@dataclass(frozen=True)
class EDMProcess:
    """The process of Karras et al. 2022: continuous noise levels, preconditioning, and log-normal training levels.

    With their loss weight (sigma^2 + s^2) / (sigma s)^2 = 1 / c_out^2, the squared error of F weighs 1 at every level.

    Attributes:
        log_mean: Mean of ln(sigma) in training.
        log_deviation: Its standard deviation.
        sigma_min: Lowest level when sampling.
        sigma_max: Highest level when sampling.
    """

    log_mean: float = -1.2
    log_deviation: float = 1.2
    sigma_min: float = 0.002
    sigma_max: float = 80.0
    objective: Literal["edm"] = "edm"

    def coefficients(self, sigmas: Float[Tensor, " k"]) -> Coefficients:
        """Table 1 of Karras et al."""
        total = sigmas.square() + _SIGMA_DATA**2
        return Coefficients(_SIGMA_DATA**2 / total, sigmas * _SIGMA_DATA / total.sqrt(), 1 / total.sqrt())

    def training_levels(self, quantiles: Float[Tensor, " n"]) -> Levels:
        """ln(sigma) ~ N(log_mean, log_deviation^2), cut off five deviations from the mean."""
        normal = math.sqrt(2.0) * torch.erfinv((2 * quantiles - 1).clamp(-0.9999994, 0.9999994))
        return self._levels((self.log_mean + self.log_deviation * normal).exp())

    def loss_weights(self, sigmas: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """1 at every level."""
        return torch.ones_like(sigmas)

    def sampling_levels(self, steps: int) -> Levels:
        """Equation 5 with rho = 7: evenly spaced in sigma^(1/7), from sigma_max to sigma_min.

        Raises:
            InputError: If there are more than 1000 steps.
        """
        _check_steps(steps, TRAIN_TIMESTEPS)
        ramp = torch.linspace(0, 1, steps)
        highest, lowest = self.sigma_max ** (1 / 7), self.sigma_min ** (1 / 7)
        return self._levels((highest + ramp * (lowest - highest)) ** 7)

    def chain_levels(self, steps: int) -> Levels:
        """The same levels."""
        return self.sampling_levels(steps)

    def scheduler(self) -> Any:
        """An `EDMDPMSolverMultistepScheduler`."""
        from diffusers import EDMDPMSolverMultistepScheduler

        return EDMDPMSolverMultistepScheduler(
            sigma_min=self.sigma_min,
            sigma_max=self.sigma_max,
            sigma_data=_SIGMA_DATA,
            rho=7.0,
            thresholding=True,
            sample_max_value=1.0,
        )

    @staticmethod
    def _levels(sigmas: Float[Tensor, " k"]) -> Levels:
        return Levels(sigmas, sigmas.log() / 4)


def build_process(objective: str, schedule: str, min_snr: float | None) -> Process:
    """The process that training settings name.

    Raises:
        InputError: If the names are unknown or do not go together.
    """
    if objective == "edm":
        if min_snr is not None:
            raise InputError("--min-snr weighs epsilon and v; the edm objective has a weighting of its own")
        return EDMProcess()
    if objective not in ("epsilon", "v") or schedule not in ("cosine", "linear"):
        raise InputError(f"unknown objective or schedule: {objective}, {schedule}")
    if min_snr is not None and not 0 < min_snr < math.inf:
        raise InputError(f"--min-snr must be positive, found {min_snr}")
    return DiscreteProcess(objective, schedule, min_snr)  # type: ignore[arg-type]


def _check_steps(steps: int, most: int) -> None:
    if not 1 <= steps <= most:
        raise InputError(f"--steps must lie in 1..{most} here, found {steps}")
