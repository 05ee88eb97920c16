"""The samplers on networks whose answer is known in closed form."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from synthaug.core.errors import InputError
from synthaug.core.pixels import to_storage
from synthaug.core.runtime import Runtime
from synthaug.core.seeding import SampleNoise
from synthaug.generators.base import SamplerSettings
from synthaug.generators.ddpm.diffusion import SCHEDULER, cosine_alphas_cumprod
from synthaug.generators.ddpm.sampler import DEFAULT_SETTINGS, SAMPLERS, check_settings, sample_images

ALPHAS_CUMPROD = cosine_alphas_cumprod()
SHAPE = (1, 4, 4)
NULL_LABEL = 2


class GaussianOracle:
    """The best noise prediction there is, if the pixels of each class are independent N(mean, deviation^2)."""

    config = SimpleNamespace(num_class_embeds=NULL_LABEL + 1)

    def __init__(self, means: tuple[float, float, float], deviation: float = 0.0) -> None:
        self._means, self._deviation = torch.tensor(means), deviation
        self.asked_labels: list[list[int]] = []
        self.asked_timesteps: list[int] = []

    def __call__(self, noisy_images: Tensor, timesteps: Tensor, class_labels: Tensor) -> SimpleNamespace:
        self.asked_labels.append(class_labels.tolist())
        self.asked_timesteps.append(int(timesteps[0]))
        alpha_bar = ALPHAS_CUMPROD[timesteps].view(-1, 1, 1, 1)
        mean = self._means[class_labels].view(-1, 1, 1, 1)
        centred = noisy_images - alpha_bar.sqrt() * mean
        variance = alpha_bar * self._deviation**2 + 1 - alpha_bar
        return SimpleNamespace(sample=(1 - alpha_bar).sqrt() * centred / variance)


def draw(oracle: object, samples: list[tuple[int, int]], settings: SamplerSettings) -> Tensor:
    labels = torch.tensor([label for label, _ in samples])
    noise = SampleNoise(0, samples, SHAPE)
    return sample_images(oracle, SCHEDULER, ALPHAS_CUMPROD, labels, noise, settings, Runtime("cpu", "fp32"))


@pytest.mark.parametrize("sampler", SAMPLERS.names())
@pytest.mark.parametrize("steps", [2, 20, 900])
def test_data_of_one_point_per_class_is_recovered_exactly(sampler: str, steps: int) -> None:
    images = draw(GaussianOracle((-0.6, 0.4, 0.0)), [(0, 0), (1, 0)], SamplerSettings(sampler, steps, 1.0))
    expected = to_storage(torch.tensor([-0.6, 0.4]).view(2, 1, 1, 1).expand(2, *SHAPE))
    assert (images.int() - expected.int()).abs().max() <= 1


@pytest.mark.parametrize(("sampler", "steps"), [("dpmpp", 60), ("ddim", 500)])
def test_gaussian_data_follows_the_closed_form_from_the_initial_noise(sampler: str, steps: int) -> None:
    samples = [(label, index) for label in (0, 1) for index in range(4)]
    deviation = 0.15
    images = draw(GaussianOracle((-0.2, 0.3, 0.0), deviation), samples, SamplerSettings(sampler, steps, 1.0))
    # The flow keeps how many standard deviations a pixel is from the mean; it starts at an amplitude of a tenth.
    means = torch.tensor([-0.2, 0.3]).repeat_interleave(4).view(8, 1, 1, 1)
    noise = SampleNoise(0, samples, SHAPE).draw()
    standardised = (noise - 0.1 * means) / math.sqrt(0.01 * deviation**2 + 0.99)
    assert (images.int() - to_storage(means + deviation * standardised).int()).abs().max() <= 2


@pytest.mark.parametrize("sampler", SAMPLERS.names())
@pytest.mark.parametrize("steps", [1, 7, 900])
def test_sampling_starts_where_a_tenth_of_the_image_is_left_and_goes_down_without_repeats(
    sampler: str, steps: int
) -> None:
    oracle = GaussianOracle((-0.6, 0.4, 0.0))
    draw(oracle, [(0, 0)], SamplerSettings(sampler, steps, 1.0))
    assert float(ALPHAS_CUMPROD[oracle.asked_timesteps[0]].sqrt()) == pytest.approx(0.1, abs=0.005)
    assert len(oracle.asked_timesteps) == steps
    assert all(later < earlier for earlier, later in itertools.pairwise(oracle.asked_timesteps))


@pytest.mark.parametrize("sampler", SAMPLERS.names())
def test_sample_does_not_depend_on_its_neighbours_in_the_batch(sampler: str) -> None:
    oracle = GaussianOracle((-0.2, 0.3, 0.0), deviation=0.15)
    settings = SamplerSettings(sampler, 5, 1.5)
    together = draw(oracle, [(0, 0), (1, 7), (0, 3)], settings)
    alone = draw(oracle, [(1, 7)], settings)
    reversed_order = draw(oracle, [(0, 3), (1, 7), (0, 0)], settings)
    assert torch.equal(together[1:2], alone)
    assert torch.equal(together.flip(0), reversed_order)
    assert not torch.equal(together[0], together[2])


@pytest.mark.parametrize("sampler", SAMPLERS.names())
def test_guidance_of_one_asks_the_network_once_a_step_for_the_class_only(sampler: str) -> None:
    oracle = GaussianOracle((-0.6, 0.4, 0.0))
    draw(oracle, [(0, 0), (1, 0)], SamplerSettings(sampler, 6, 1.0))
    assert oracle.asked_labels == [[0, 1]] * 6


@pytest.mark.parametrize("guidance", [0.0, 0.5, 3.0])
def test_other_guidance_asks_twice_a_step_for_the_class_and_for_none(guidance: float) -> None:
    oracle = GaussianOracle((-0.6, 0.4, 0.0))
    draw(oracle, [(0, 0), (1, 0)], SamplerSettings("dpmpp", 6, guidance))
    assert oracle.asked_labels == [[0, 1], [NULL_LABEL, NULL_LABEL]] * 6


@pytest.mark.parametrize(("guidance", "expected"), [(0.0, 0.1), (0.5, 0.2), (1.0, 0.3), (2.0, 0.5)])
def test_guidance_moves_along_the_line_from_no_class_to_the_class(guidance: float, expected: float) -> None:
    images = draw(GaussianOracle((0.3, 0.0, 0.1)), [(0, 0)], SamplerSettings("ddim", 10, guidance))
    assert (images.int() - to_storage(torch.full((1, *SHAPE), expected)).int()).abs().max() <= 1


def test_unknown_sampler_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="unknown sampler 'euler'; known: ddim, dpmpp"):
        check_settings(SamplerSettings("euler", 20, 1.0))


@pytest.mark.parametrize("steps", [0, -1, 901])
def test_steps_out_of_range_are_refused(steps: int) -> None:
    with pytest.raises(InputError, match=rf"--steps must lie in 1\.\.900, found {steps}"):
        check_settings(SamplerSettings("dpmpp", steps, 1.0))


@pytest.mark.parametrize("guidance", [-0.5, float("nan"), float("inf")])
def test_guidance_out_of_range_is_refused(guidance: float) -> None:
    with pytest.raises(InputError, match=f"--guidance must be a number of at least 0, found {guidance}"):
        check_settings(SamplerSettings("dpmpp", 20, guidance))


def test_default_settings_pass_their_own_check() -> None:
    check_settings(DEFAULT_SETTINGS)
    assert DEFAULT_SETTINGS.sampler in SAMPLERS.names()
