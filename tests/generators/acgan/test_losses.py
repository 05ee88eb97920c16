"""The losses against values computed by hand."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from synthaug.generators.acgan.losses import (
    class_loss,
    d2d_ce,
    discriminator_source_loss,
    generator_source_loss,
    r1_penalty,
)

REAL, FAKE = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 0.0])


def unit(*degrees: float) -> torch.Tensor:
    """Unit vectors in the plane."""
    angles = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def test_hinge_losses() -> None:
    # max(0, 1 - 2), max(0, 1 - 0.5); max(0, 1 - 3), max(0, 1 + 0)
    assert discriminator_source_loss("hinge", REAL, FAKE).item() == pytest.approx(0.25 + 0.5)
    assert generator_source_loss("hinge", FAKE).item() == pytest.approx(1.5)


def test_cross_entropy_losses() -> None:
    sigmoid = lambda x: 1 / (1 + math.exp(-x))  # noqa: E731
    real = -(math.log(sigmoid(2.0)) + math.log(sigmoid(0.5))) / 2
    fake = -(math.log(1 - sigmoid(-3.0)) + math.log(1 - sigmoid(0.0))) / 2
    assert discriminator_source_loss("cross-entropy", REAL, FAKE).item() == pytest.approx(real + fake)
    pleasing = -(math.log(sigmoid(-3.0)) + math.log(sigmoid(0.0))) / 2
    assert generator_source_loss("cross-entropy", FAKE).item() == pytest.approx(pleasing)


def test_guessing_costs_what_the_discriminators_say_it_does() -> None:
    nothing = torch.zeros(3)
    assert discriminator_source_loss("hinge", nothing, nothing).item() == pytest.approx(2.0)
    assert discriminator_source_loss("cross-entropy", nothing, nothing).item() == pytest.approx(2 * math.log(2))


def test_class_loss_is_the_negative_log_probability() -> None:
    logits = torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0]])
    assert class_loss(logits, torch.tensor([0, 1])).item() == pytest.approx(-(math.log(0.75) + math.log(0.5)) / 2)


def test_d2d_ce_equals_a_value_computed_by_hand() -> None:
    # Two images of class 0 at 0 and 60 degrees, one of class 1 at 90; the proxies at 0 and 90. t = 0.5.
    embeddings, proxies, labels = unit(0, 60, 90), unit(0, 0, 90), torch.tensor([0, 0, 1])
    cosine = lambda degrees: math.cos(math.radians(degrees))  # noqa: E731

    def term(proxy: float, others: list[float]) -> float:
        positive = math.exp(min(0.0, cosine(proxy) - 0.98) / 0.5)
        negatives = sum(math.exp(max(0.0, cosine(other) - 0.02) / 0.5) for other in others)
        return -math.log(positive / (positive + negatives))

    expected = (term(0, [90]) + term(60, [30]) + term(0, [90, 30])) / 3
    assert d2d_ce(embeddings, proxies, labels).item() == pytest.approx(expected)


def test_d2d_ce_gives_no_gradient_for_easy_images() -> None:
    embeddings = unit(1, 179).requires_grad_(True)
    proxies = unit(0, 180).requires_grad_(True)
    d2d_ce(embeddings, proxies, torch.tensor([0, 1])).backward()
    for gradient in (embeddings.grad, proxies.grad):
        assert gradient is not None
        assert torch.equal(gradient, torch.zeros(2, 2, dtype=torch.float64))


def test_d2d_ce_pulls_towards_the_proxy_and_away_from_other_classes_only() -> None:
    angles = torch.tensor([40.0, 60.0, 80.0], dtype=torch.float64, requires_grad=True)
    radians = angles.deg2rad()
    embeddings = torch.stack([radians.cos(), radians.sin()], dim=1)
    d2d_ce(embeddings, unit(0, 0, 120), torch.tensor([0, 0, 1])).backward()
    assert angles.grad is not None
    descent = -angles.grad
    assert descent[0] < 0  # towards its proxy at 0 and away from the other class at 80
    assert descent[1] < 0
    assert descent[2] > 0  # towards its proxy at 120
    # The images of one class neither pull nor push each other: without the other class nothing but the proxy counts.
    alone = unit(40, 60).requires_grad_(True)
    d2d_ce(alone, unit(0, 0), torch.tensor([0, 0])).backward()
    assert alone.grad is not None
    assert torch.equal(alone.grad, torch.zeros(2, 2, dtype=torch.float64))


def test_d2d_ce_does_not_grow_with_the_features_as_softmax_cross_entropy_does() -> None:
    """Gradients of a softmax over classes grow with the norm of the features (Kang et al. 2021, section 3)."""
    labels = torch.tensor([1, 0])

    def slopes(scale: float) -> tuple[float, float]:
        features = scale * torch.tensor([[3.0, 1.0], [-1.0, 4.0]], dtype=torch.float64)
        weights = torch.eye(2, dtype=torch.float64, requires_grad=True)
        (softmax,) = torch.autograd.grad(class_loss(features @ weights, labels), weights)
        loss = d2d_ce(F.normalize(features @ weights, dim=1), unit(90, 0), labels)
        (ours,) = torch.autograd.grad(loss, weights)
        return float(softmax.norm()), float(ours.norm())

    small, large = slopes(1.0), slopes(100.0)
    assert large[0] > 90 * small[0]
    assert large[1] == pytest.approx(small[1])


def test_r1_is_half_the_squared_slope_and_can_be_differentiated() -> None:
    weight = torch.tensor(3.0, requires_grad=True)
    images = torch.ones(2, 1, 2, 2, requires_grad=True)
    penalty = r1_penalty((weight * images).sum(dim=(1, 2, 3)), images)
    assert penalty.item() == pytest.approx(4 * 9 / 2)
    penalty.backward()
    assert weight.grad is not None
    assert weight.grad.item() == pytest.approx(4 * 3)
