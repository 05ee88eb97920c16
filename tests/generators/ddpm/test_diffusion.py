"""The forward process and its inversion, in closed form and against diffusers."""

from __future__ import annotations

import math

import pytest
import torch

from synthaug.core.seeding import generator_for
from synthaug.generators.ddpm.diffusion import (
    TRAIN_TIMESTEPS,
    add_noise,
    cosine_alphas_cumprod,
    drop_labels,
    predict_images,
    simple_loss,
)


def test_cosine_schedule_equals_that_of_diffusers() -> None:
    from diffusers import DDPMScheduler

    theirs = DDPMScheduler(num_train_timesteps=TRAIN_TIMESTEPS, beta_schedule="squaredcos_cap_v2").alphas_cumprod
    torch.testing.assert_close(cosine_alphas_cumprod(), theirs, rtol=5e-5, atol=1e-6)


def test_schedule_falls_from_almost_one_to_almost_zero() -> None:
    alphas_cumprod = cosine_alphas_cumprod()
    assert (alphas_cumprod.diff() < 0).all()
    assert alphas_cumprod[0] > 0.9999
    assert 0 < alphas_cumprod[-1] < 1e-5


@pytest.mark.parametrize("timestep", [0, 250, 600, 999])
def test_noisy_images_have_the_mean_and_variance_of_the_forward_process(timestep: int) -> None:
    count = 200_000
    alphas_cumprod = cosine_alphas_cumprod()
    noise = torch.randn(count, 1, 1, 1, generator=generator_for("moments", timestep))
    clean = torch.full((count, 1, 1, 1), 0.6)
    noisy = add_noise(clean, noise, torch.full((count,), timestep), alphas_cumprod).double()
    alpha_bar = float(alphas_cumprod[timestep])
    deviation = math.sqrt(1 - alpha_bar)
    assert noisy.mean() == pytest.approx(math.sqrt(alpha_bar) * 0.6, abs=4 * deviation / math.sqrt(count))
    assert noisy.var() == pytest.approx(deviation**2, rel=4 * math.sqrt(2 / count))


def test_every_image_gets_the_noise_of_its_own_timestep() -> None:
    alphas_cumprod = cosine_alphas_cumprod()
    images, noise = torch.ones(2, 1, 2, 2), torch.zeros(2, 1, 2, 2)
    noisy = add_noise(images, noise, torch.tensor([10, 900]), alphas_cumprod)
    torch.testing.assert_close(noisy[:, 0, 0, 0], alphas_cumprod[[10, 900]].sqrt())


def test_prediction_inverts_the_noise_inside_the_clip_range() -> None:
    generator = generator_for("inversion")
    images = torch.rand(8, 3, 4, 4, generator=generator) * 2 - 1
    noise = torch.randn(images.shape, generator=generator)
    timesteps = torch.tensor([0, 1, 50, 100, 300, 500, 700, 900])
    alphas_cumprod = cosine_alphas_cumprod()
    noisy = add_noise(images, noise, timesteps, alphas_cumprod)
    torch.testing.assert_close(predict_images(noisy, noise, timesteps, alphas_cumprod), images, rtol=0, atol=1e-5)


def test_prediction_outside_the_range_is_clipped() -> None:
    alphas_cumprod = cosine_alphas_cumprod()
    images = torch.tensor([3.0, -3.0]).view(2, 1, 1, 1)
    timesteps = torch.tensor([100, 100])
    noisy = add_noise(images, torch.zeros_like(images), timesteps, alphas_cumprod)
    predicted = predict_images(noisy, torch.zeros_like(images), timesteps, alphas_cumprod)
    assert predicted.flatten().tolist() == [1.0, -1.0]


def test_loss_is_the_mean_squared_error_in_float32() -> None:
    predicted = torch.tensor([1.0, 3.0], dtype=torch.bfloat16).view(2, 1, 1, 1)
    loss = simple_loss(predicted, torch.zeros(2, 1, 1, 1))
    assert loss.dtype == torch.float32
    assert float(loss) == 5.0


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
