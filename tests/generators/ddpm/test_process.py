"""Noise processes in closed form: how noise is added, what the network learns, and how its errors are weighed."""

from __future__ import annotations

import math
from statistics import NormalDist

import pytest
import torch
from torch import Tensor

from synthaug.core.errors import InputError
from synthaug.core.seeding import generator_for
from synthaug.generators.ddpm.process import (
    DiscreteProcess,
    EDMProcess,
    Process,
    build_process,
    denoised,
    drop_labels,
    network_input,
    per_image_losses,
    training_target,
)

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


@every_process
def test_ideal_output_of_the_network_gives_the_clean_image(process: Process) -> None:
    images, noise = random_images("clean"), random_images("noise") * 3
    sigmas = levels(0.006, 0.05, 0.3, 0.5, 1.0, 4.0, 60.0)
    noisy = images + sigmas.view(-1, 1, 1, 1) * noise
    target = training_target(process, images, noise, sigmas)
    torch.testing.assert_close(denoised(process, target, noisy, sigmas), images, rtol=0, atol=1e-10)


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
    ("name", "sigma", "image", "noise", "expected"),
    [
        ("epsilon", 0.75, 2.0, 1.0, 1.0),  # n
        ("v", 0.75, 2.0, 1.0, -0.4),  # 0.8 * 1 - 0.6 * 2
        ("edm", 1.2, 1.0, 1.0, 19 / 13),  # (1 - 25/169 * 2.2) / (6/13)
    ],
)
def test_target_equals_values_computed_by_hand(
    name: str, sigma: float, image: float, noise: float, expected: float
) -> None:
    found = training_target(PROCESSES[name], pixel(image), pixel(noise), levels(sigma))
    assert float(found) == pytest.approx(expected)


def test_one_denoiser_expressed_as_noise_velocity_and_edm_output_denoises_the_same() -> None:
    noisy, sigmas = 3 * random_images("noisy", 4), levels(0.1, 0.5, 2.0, 20.0)
    sigma = sigmas.view(-1, 1, 1, 1)
    clean = torch.tanh(noisy)  # any denoiser
    alpha = 1 / (1 + sigma**2).sqrt()
    noise = (noisy - clean) / sigma
    velocity = alpha * noise - alpha * sigma * clean  # Salimans and Ho 2022: alpha_t epsilon - sigma_t x
    edm = (clean * (sigma**2 + 0.25) - 0.25 * noisy) / (0.5 * sigma * (sigma**2 + 0.25).sqrt())
    for name, output in {"epsilon": noise, "v": velocity, "edm": edm}.items():
        found = denoised(PROCESSES[name], output, noisy, sigmas)
        torch.testing.assert_close(found, clean, rtol=0, atol=1e-12)


def test_every_image_has_the_noise_level_of_its_own() -> None:
    sigmas = levels(0.75, 4 / 3)
    seen = network_input(PROCESSES["epsilon"], torch.ones(2, 1, 1, 1, dtype=torch.float64), sigmas)
    assert seen.flatten().tolist() == pytest.approx([0.8, 0.6])


@pytest.mark.parametrize(
    ("objective", "sigma", "expected"),
    [("epsilon", 0.5, 1.0), ("epsilon", 0.25, 5 / 16), ("v", 0.5, 4 / 5), ("v", 0.25, 5 / 17), ("v", 2.0, 1 / 5)],
)
def test_min_snr_weights_equal_values_computed_by_hand(objective: str, sigma: float, expected: float) -> None:
    weights = build_process(objective, "cosine", 5.0).loss_weights(levels(sigma))
    assert weights.tolist() == pytest.approx([expected])


@pytest.mark.parametrize("objective", ["epsilon", "v"])
def test_min_snr_loss_is_the_error_of_the_image_weighted_by_the_clipped_signal_to_noise(objective: str) -> None:
    process = build_process(objective, "cosine", 5.0)
    images, noise, output = random_images("x", 5), random_images("n", 5), random_images("F", 5)
    sigmas = levels(0.1, 0.4, 0.5, 1.0, 7.0)
    clean = denoised(process, output, images + sigmas.view(-1, 1, 1, 1) * noise, sigmas)
    expected = torch.minimum(1 / sigmas**2, torch.tensor(5.0)) * (clean - images).square().mean(dim=(1, 2, 3))
    losses = per_image_losses(process, output, training_target(process, images, noise, sigmas), sigmas)
    torch.testing.assert_close(losses, expected, rtol=1e-5, atol=0)


def test_edm_loss_is_the_denoising_error_with_the_weight_of_the_paper() -> None:
    process = EDMProcess()
    images, noise, output = random_images("x", 4), random_images("n", 4), random_images("F", 4)
    sigmas = levels(0.05, 0.3, 1.0, 7.0)
    clean = denoised(process, output, images + sigmas.view(-1, 1, 1, 1) * noise, sigmas)
    weights = (sigmas**2 + 0.25) / (0.5 * sigmas) ** 2  # lambda(sigma), table 1 of Karras et al.
    expected = weights * (clean - images).square().mean(dim=(1, 2, 3))
    losses = per_image_losses(process, output, training_target(process, images, noise, sigmas), sigmas)
    torch.testing.assert_close(losses, expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", ["epsilon", "v", "edm"])
def test_unweighted_loss_is_the_mean_squared_error_of_each_image_in_float32(name: str) -> None:
    predicted = torch.tensor([[1.0, 3.0], [0.0, 2.0]], dtype=torch.bfloat16).view(2, 1, 1, 2)
    losses = per_image_losses(PROCESSES[name], predicted, torch.zeros(2, 1, 1, 2), torch.tensor([0.1, 20.0]))
    assert losses.dtype == torch.float32
    assert losses.tolist() == [5.0, 2.0]


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


def test_labels_are_hidden_at_the_given_rate() -> None:
    count, probability = 100_000, 0.1
    labels = torch.arange(count) % 10
    hidden = drop_labels(labels, probability, 10, generator_for("drop")) == 10
    spread = 4 * math.sqrt(probability * (1 - probability) / count)
    assert float(hidden.double().mean()) == pytest.approx(probability, abs=spread)


def test_labels_are_hidden_sample_by_sample_and_the_others_stay() -> None:
    labels = torch.arange(1000) % 10
    dropped = drop_labels(labels, 0.5, 10, generator_for("drop"))
    is_hidden = dropped == 10
    assert torch.equal(dropped[~is_hidden], labels[~is_hidden])
    # Neighbours do not share their fate: all four combinations are about equally common.
    pairs = is_hidden[0::2].long() * 2 + is_hidden[1::2].long()
    assert (torch.bincount(pairs, minlength=4) > 80).all()


@pytest.mark.parametrize(("probability", "expected"), [(0.0, [4, 5]), (1.0, [9, 9])])
def test_no_label_or_every_label_is_hidden_at_the_ends(probability: float, expected: list[int]) -> None:
    assert drop_labels(torch.tensor([4, 5]), probability, 9, generator_for("ends")).tolist() == expected
