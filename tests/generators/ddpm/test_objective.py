"""What the network learns, and how its errors are weighed, against values computed by hand."""

from __future__ import annotations

import math

import pytest
import torch

from synthaug.core.seeding import generator_for
from synthaug.generators.ddpm.objective import denoised, drop_labels, network_input, per_image_losses, training_target
from synthaug.generators.ddpm.process import EDMProcess, Process, build_process
from tests.generators.ddpm.test_process import PROCESSES, every_process, levels, pixel, random_images


@every_process
def test_ideal_output_of_the_network_gives_the_clean_image(process: Process) -> None:
    images, noise = random_images("clean"), random_images("noise") * 3
    sigmas = levels(0.006, 0.05, 0.3, 0.5, 1.0, 4.0, 60.0)
    noisy = images + sigmas.view(-1, 1, 1, 1) * noise
    target = training_target(process, images, noise, sigmas)
    torch.testing.assert_close(denoised(process, target, noisy, sigmas), images, rtol=0, atol=1e-10)


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
