"""Drawing images from networks whose answer is known in closed form."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from synthaug.core.pixels import to_storage
from synthaug.core.runtime import Runtime
from synthaug.core.seeding import SampleNoise
from synthaug.generators.base import SamplerSettings
from synthaug.generators.ddpm.process import Process
from synthaug.generators.ddpm.sampler import DEFAULT_SETTINGS, sample_images, sampler_levels
from synthaug.generators.ddpm.solvers import SOLVERS
from tests.generators.ddpm.test_process import PROCESSES, every_process

SHAPE = (1, 4, 4)
NULL_LABEL = 2
EPSILON = PROCESSES["epsilon"]
every_sampler = pytest.mark.parametrize("sampler", SOLVERS.names())


class GaussianOracle:
    """The best network there is, if the pixels of each class are independent N(mean, deviation^2)."""

    def __init__(
        self, process: Process, means: tuple[float, float, float], deviation: float = 0.0, channels: int = 1
    ) -> None:
        self.config = SimpleNamespace(num_class_embeds=NULL_LABEL + 1, in_channels=channels)
        self._process = process
        self._means, self._deviation = torch.tensor(means), deviation
        self.asked_labels: list[list[int]] = []
        self.asked_sigmas: list[float] = []
        self.asked_times: list[float] = []

    def __call__(self, inputs: Tensor, times: Tensor, class_labels: Tensor) -> SimpleNamespace:
        sigma = self._sigma_at(times[0])
        self.asked_labels.append(class_labels.tolist())
        self.asked_sigmas.append(sigma)
        self.asked_times.append(float(times[0]))
        skip, out, into = (float(value) for value in self._process.coefficients(torch.tensor([sigma])))
        mean = self._means[class_labels].view(-1, 1, 1, 1)
        noisy, gain = inputs / into, self._deviation**2 / (self._deviation**2 + sigma**2)
        clean = mean + gain * (noisy - mean)
        return SimpleNamespace(sample=(clean - skip * noisy) / out)

    def _sigma_at(self, time: Tensor) -> float:
        """Back from what the network is told."""
        if time.is_floating_point():
            return math.exp(4 * float(time))
        return float(self._process.training_levels((time.reshape(1) + 0.5) / 1000).sigmas)


def draw(oracle: GaussianOracle, process: Process, samples: list[tuple[int, int]], settings: SamplerSettings) -> Tensor:
    labels = torch.tensor([label for label, _ in samples])
    noise = SampleNoise(0, samples, SHAPE)
    return sample_images(oracle, process, labels, noise, settings, Runtime("cpu", "fp32"))


def assert_grey_levels(images: Tensor, expected: Tensor, tolerance: int = 1) -> None:
    assert (images.int() - to_storage(expected).int()).abs().max() <= tolerance


@every_process
@every_sampler
@pytest.mark.parametrize("steps", [2, 20, 500])
def test_data_of_one_point_per_class_is_recovered_exactly(process: Process, sampler: str, steps: int) -> None:
    oracle = GaussianOracle(process, (-0.6, 0.4, 0.0))
    images = draw(oracle, process, [(0, 0), (1, 0)], SamplerSettings(sampler, steps, 1.0))
    assert_grey_levels(images, torch.tensor([-0.6, 0.4]).view(2, 1, 1, 1).expand(2, *SHAPE))


@every_process
@pytest.mark.parametrize(("sampler", "steps"), [("dpmpp", 200), ("dpmpp3m", 200), ("unipc", 200), ("ddim", 600)])
def test_gaussian_data_follows_the_closed_form_from_the_initial_noise(
    process: Process, sampler: str, steps: int
) -> None:
    samples = [(label, index) for label in (0, 1) for index in range(4)]
    deviation = 0.15
    oracle = GaussianOracle(process, (-0.2, 0.3, 0.0), deviation)
    images = draw(oracle, process, samples, SamplerSettings(sampler, steps, 1.0))
    # The flow keeps how many standard deviations a pixel is from the mean.
    sigma = oracle.asked_sigmas[0]
    means = torch.tensor([-0.2, 0.3]).repeat_interleave(4).view(8, 1, 1, 1)
    start = SampleNoise(0, samples, SHAPE).draw() * math.sqrt(1 + sigma**2)
    standardised = (start - means) / math.sqrt(deviation**2 + sigma**2)
    assert_grey_levels(images, means + deviation * standardised, tolerance=2)


@pytest.mark.parametrize("name", ["epsilon", "v", "edm"])
def test_ancestral_samples_have_the_mean_and_deviation_of_the_data(name: str) -> None:
    process = PROCESSES[name]
    oracle = GaussianOracle(process, (-0.2, 0.3, 0.0), 0.15)
    samples = [(1, index) for index in range(250)]
    pixels = draw(oracle, process, samples, SamplerSettings("ddpm", 1000, 1.0)).double() / 127.5 - 1
    count = pixels.numel()
    assert float(pixels.mean()) == pytest.approx(0.3, abs=4 * 0.15 / math.sqrt(count) + 0.005)
    assert float(pixels.std()) == pytest.approx(0.15, rel=4 / math.sqrt(2 * count) + 0.01)


@every_process
@every_sampler
@pytest.mark.parametrize("steps", [1, 7, 500])
def test_network_is_asked_once_at_each_of_the_announced_levels(process: Process, sampler: str, steps: int) -> None:
    settings = SamplerSettings(sampler, steps, 1.0)
    oracle = GaussianOracle(process, (-0.6, 0.4, 0.0))
    draw(oracle, process, [(0, 0)], settings)
    assert oracle.asked_times == sampler_levels(process, settings).times.tolist()
    assert len(oracle.asked_times) == steps


@every_sampler
def test_sample_does_not_depend_on_its_neighbours_in_the_batch(sampler: str) -> None:
    oracle = GaussianOracle(EPSILON, (-0.2, 0.3, 0.0), deviation=0.15)
    settings = SamplerSettings(sampler, 5, 1.5)
    together = draw(oracle, EPSILON, [(0, 0), (1, 7), (0, 3)], settings)
    alone = draw(oracle, EPSILON, [(1, 7)], settings)
    reversed_order = draw(oracle, EPSILON, [(0, 3), (1, 7), (0, 0)], settings)
    assert torch.equal(together[1:2], alone)
    assert torch.equal(together.flip(0), reversed_order)
    assert not torch.equal(together[0], together[2])


@pytest.mark.parametrize(("sampler", "draws"), [("ddpm", 5), ("ddim", 1), ("dpmpp", 1), ("unipc", 1), ("ipndm", 1)])
def test_only_ancestral_sampling_draws_noise_on_the_way_and_always_that_of_the_sample(sampler: str, draws: int) -> None:
    class Counting(SampleNoise):
        count = 0

        def draw(self) -> Tensor:
            self.count += 1
            return super().draw()

    noise = Counting(0, [(0, 0)], SHAPE)
    oracle = GaussianOracle(EPSILON, (-0.2, 0.3, 0.0), deviation=0.15)
    before = torch.default_generator.get_state()
    settings = SamplerSettings(sampler, 5, 1.0)
    sample_images(oracle, EPSILON, torch.tensor([0]), noise, settings, Runtime("cpu", "fp32"))
    assert noise.count == draws
    assert torch.equal(torch.default_generator.get_state(), before)


@every_sampler
def test_patches_are_put_back_in_their_places(sampler: str) -> None:
    """Independent pixels do not mind patches: with or without, the same noise gives the same picture."""
    settings = SamplerSettings(sampler, 5, 1.0)
    plain = draw(GaussianOracle(EPSILON, (-0.2, 0.3, 0.0), 0.15), EPSILON, [(0, 0), (1, 1)], settings)
    patched = draw(GaussianOracle(EPSILON, (-0.2, 0.3, 0.0), 0.15, channels=4), EPSILON, [(0, 0), (1, 1)], settings)
    assert_grey_levels(patched, plain.float() / 127.5 - 1)
    assert plain.float().std() > 10


def test_network_of_patches_sees_four_neighbours_as_channels() -> None:
    seen: list[Tensor] = []
    oracle = GaussianOracle(EPSILON, (0.0, 0.0, 0.0), 0.15, channels=4)

    def watch(inputs: Tensor, times: Tensor, class_labels: Tensor) -> SimpleNamespace:
        seen.append(inputs)
        return oracle(inputs, times, class_labels)

    watch.config = oracle.config  # type: ignore[attr-defined]
    noise = SampleNoise(0, [(0, 0)], SHAPE)
    settings = SamplerSettings("ddim", 2, 1.0)
    sample_images(watch, EPSILON, torch.tensor([0]), noise, settings, Runtime("cpu", "fp32"))
    # c_in sqrt(1 + sigma^2) = 1: the network sees the noise itself at first.
    expected = F.pixel_unshuffle(SampleNoise(0, [(0, 0)], SHAPE).draw(), 2)
    torch.testing.assert_close(seen[0], expected)
    assert seen[0][0, :, 0, 0].tolist() == pytest.approx(
        SampleNoise(0, [(0, 0)], SHAPE).draw()[0, 0, :2, :2].flatten().tolist()
    )


def test_estimates_outside_the_range_of_pixels_are_clipped() -> None:
    images = draw(GaussianOracle(EPSILON, (3.0, -3.0, 0.0)), EPSILON, [(0, 0), (1, 0)], SamplerSettings("ddim", 5, 1.0))
    assert images[0].unique().tolist() == [255]
    assert images[1].unique().tolist() == [0]


def test_default_settings_pass_their_own_check() -> None:
    for process in PROCESSES.values():
        assert len(sampler_levels(process, DEFAULT_SETTINGS).sigmas) == DEFAULT_SETTINGS.steps
