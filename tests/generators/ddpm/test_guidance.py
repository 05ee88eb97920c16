"""Classifier-free guidance: when the network is asked without a label, and what comes of it."""

from __future__ import annotations

import pytest
import torch

from synthaug.core.errors import InputError
from synthaug.generators.base import SamplerSettings
from synthaug.generators.ddpm.process import Process
from synthaug.generators.ddpm.sampler import sampler_levels
from synthaug.generators.ddpm.solvers import SOLVERS
from tests.generators.ddpm.test_process import PROCESSES, every_process
from tests.generators.ddpm.test_sampler import (
    EPSILON,
    NULL_LABEL,
    SHAPE,
    GaussianOracle,
    assert_grey_levels,
    draw,
)

BOTH = [(0, 0), (1, 0)]
NOBODY = [NULL_LABEL, NULL_LABEL]


@pytest.mark.parametrize("sampler", SOLVERS.names())
def test_guidance_of_one_asks_the_network_once_a_step_for_the_class_only(sampler: str) -> None:
    oracle = GaussianOracle(EPSILON, (-0.6, 0.4, 0.0))
    draw(oracle, EPSILON, BOTH, SamplerSettings(sampler, 6, 1.0))
    assert oracle.asked_labels == [[0, 1]] * 6


@pytest.mark.parametrize("guidance", [0.0, 0.5, 3.0])
def test_other_guidance_asks_twice_a_step_for_the_class_and_for_none(guidance: float) -> None:
    oracle = GaussianOracle(EPSILON, (-0.6, 0.4, 0.0))
    draw(oracle, EPSILON, BOTH, SamplerSettings("dpmpp", 6, guidance))
    assert oracle.asked_labels == [[0, 1], NOBODY] * 6


@every_process
@pytest.mark.parametrize(("guidance", "expected"), [(0.0, 0.1), (0.5, 0.2), (1.0, 0.3), (2.0, 0.5)])
def test_guidance_moves_along_the_line_from_no_class_to_the_class(
    process: Process, guidance: float, expected: float
) -> None:
    oracle = GaussianOracle(process, (0.3, 0.0, 0.1))
    images = draw(oracle, process, [(0, 0)], SamplerSettings("ddim", 10, guidance))
    assert_grey_levels(images, torch.full((1, *SHAPE), expected))


@every_process
def test_guidance_keeps_to_its_interval_of_noise_levels(process: Process) -> None:
    low, high = 0.2, 3.0
    oracle = GaussianOracle(process, (0.3, 0.0, 0.1))
    draw(oracle, process, [(0, 0)], SamplerSettings("dpmpp", 12, 2.0, guidance_interval=(low, high)))
    asked = list(zip(oracle.asked_sigmas, oracle.asked_labels, strict=True))
    without_label = [sigma for sigma, labels in asked if labels == [NULL_LABEL]]
    with_label = [sigma for sigma, labels in asked if labels == [0]]
    assert len(with_label) == 12
    assert without_label == [sigma for sigma in with_label if low <= sigma <= high]
    assert 0 < len(without_label) < 12


def test_ends_of_the_interval_belong_to_it() -> None:
    sigmas = EPSILON.sampling_levels(4).sigmas.tolist()
    oracle = GaussianOracle(EPSILON, (0.3, 0.0, 0.1))
    draw(oracle, EPSILON, [(0, 0)], SamplerSettings("dpmpp", 4, 2.0, guidance_interval=(sigmas[2], sigmas[1])))
    assert oracle.asked_labels == [[0], [0], [NULL_LABEL], [0], [NULL_LABEL], [0]]


def test_interval_over_all_levels_is_guidance_everywhere() -> None:
    everywhere, interval = (
        draw(
            GaussianOracle(EPSILON, (-0.2, 0.3, 0.0), 0.15),
            EPSILON,
            BOTH,
            SamplerSettings("dpmpp", 8, 2.5, guidance_interval=bounds),
        )
        for bounds in (None, (0.0, 1000.0))
    )
    assert torch.equal(everywhere, interval)


def test_interval_below_all_levels_is_no_guidance() -> None:
    settings = SamplerSettings("dpmpp", 8, 1.0)
    without = draw(GaussianOracle(EPSILON, (-0.2, 0.3, 0.0), 0.15), EPSILON, BOTH, settings)
    settings = SamplerSettings("dpmpp", 8, 2.5, guidance_interval=(0.0, 1e-6))
    below = draw(GaussianOracle(EPSILON, (-0.2, 0.3, 0.0), 0.15), EPSILON, BOTH, settings)
    assert torch.equal(without, below)


def test_interval_changes_nothing_at_a_guidance_of_one() -> None:
    oracle = GaussianOracle(EPSILON, (-0.6, 0.4, 0.0))
    draw(oracle, EPSILON, BOTH, SamplerSettings("dpmpp", 6, 1.0, guidance_interval=(0.0, 1000.0)))
    assert oracle.asked_labels == [[0, 1]] * 6


@pytest.mark.parametrize(
    "interval", [(-0.1, 1.0), (1.0, 1.0), (2.0, 1.0), (0.0, float("inf")), (float("nan"), 1.0), (0.0, float("nan"))]
)
def test_impossible_interval_is_refused(interval: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="--guidance-interval needs two noise levels, 0 <= LOW < HIGH, found"):
        sampler_levels(EPSILON, SamplerSettings("dpmpp", 20, 2.0, guidance_interval=interval))


@pytest.mark.parametrize("guidance", [-0.5, float("nan"), float("inf")])
def test_guidance_out_of_range_is_refused(guidance: float) -> None:
    with pytest.raises(InputError, match=f"--guidance must be a number of at least 0, found {guidance}"):
        sampler_levels(EPSILON, SamplerSettings("dpmpp", 20, guidance))


def test_unknown_sampler_is_answered_with_the_known_ones() -> None:
    known = "ddim, ddpm, dpmpp, dpmpp3m, ipndm, unipc"
    with pytest.raises(InputError, match=f"unknown sampler 'euler'; known: {known}"):
        sampler_levels(EPSILON, SamplerSettings("euler", 20, 1.0))


@pytest.mark.parametrize("steps", [0, -1, 1001])
@pytest.mark.parametrize("sampler", SOLVERS.names())
def test_steps_out_of_range_are_refused(sampler: str, steps: int) -> None:
    for process in PROCESSES.values():
        with pytest.raises(InputError, match=rf"--steps must lie in 1\.\.\d+ here, found {steps}"):
            sampler_levels(process, SamplerSettings(sampler, steps, 1.0))
