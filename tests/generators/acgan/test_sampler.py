"""Drawing: truncation, batch-norm statistics, and that a sample is its own whatever the batch."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from synthaug.core.errors import InputError
from synthaug.core.runtime import Runtime
from synthaug.core.seeding import SampleNoise
from synthaug.generators.acgan.presets import PRESETS, build_generator
from synthaug.generators.acgan.sampler import (
    DEFAULT_SETTINGS,
    check_settings,
    draw_images,
    truncated,
    with_standing_statistics,
)
from synthaug.generators.base import SamplerSettings

CPU = Runtime("cpu", "fp32")


def network() -> object:
    torch.manual_seed(0)
    return build_generator(PRESETS.get("digits"), image_size=8, channels=1, classes=3)


@pytest.mark.parametrize("limit", [0.1, 0.5, 2.0])
def test_truncated_values_have_the_moments_of_a_truncated_normal(limit: float) -> None:
    values = truncated(torch.randn(400_000, generator=torch.Generator().manual_seed(0)), limit)
    assert values.abs().max() <= limit
    density = math.exp(-(limit**2) / 2) / math.sqrt(2 * math.pi)
    variance = 1 - 2 * limit * density / math.erf(limit / math.sqrt(2))
    assert values.mean().item() == pytest.approx(0.0, abs=0.01 * limit)
    assert values.var().item() == pytest.approx(variance, rel=0.01)


def test_truncation_keeps_the_order_and_none_keeps_everything() -> None:
    values = torch.tensor([-40.0, -3.0, 0.0, 1.0, 40.0])
    limited = truncated(values, 1.5)
    assert bool((limited.diff() > 0).all())
    assert limited.tolist()[0] == -1.5
    assert truncated(values, None) is values


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (SamplerSettings("dpmpp", 1, 1.0), "unknown ACGAN sampler 'dpmpp'"),
        (SamplerSettings("stored", 20, 1.0), "takes one step, found --steps 20"),
        (SamplerSettings("stored", 1, 2.0), "no classifier-free guidance"),
        (SamplerSettings("stored", 1, 1.0, (0.1, 1.0)), "no classifier-free guidance"),
        (SamplerSettings("stored", 1, 1.0, None, 0.0), "--truncation must be a positive number, found 0.0"),
        (SamplerSettings("stored", 1, 1.0, None, math.nan), "--truncation must be a positive number, found nan"),
    ],
)
def test_settings_that_one_evaluation_cannot_follow_are_refused(settings: SamplerSettings, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        check_settings(settings)


def test_a_sample_does_not_depend_on_its_batch() -> None:
    ready = with_standing_statistics(network())
    samples = [(i % 3, i) for i in range(12)]
    labels = torch.tensor([label for label, _ in samples])
    whole = draw_images(ready, labels, SampleNoise(0, samples, (32, 1, 1)), DEFAULT_SETTINGS, CPU)
    parts = [
        draw_images(ready, labels[i : i + 5], SampleNoise(0, samples[i : i + 5], (32, 1, 1)), DEFAULT_SETTINGS, CPU)
        for i in range(0, 12, 5)
    ]
    assert (whole.int() - torch.cat(parts).int()).abs().max() <= 1
    assert whole.shape == (12, 1, 8, 8)


def test_standing_statistics_are_those_of_the_images_drawn() -> None:
    raw = network()
    before = {name: value.clone() for name, value in raw.state_dict().items()}
    ready = with_standing_statistics(raw)
    assert all(torch.equal(value, before[name]) for name, value in raw.state_dict().items())
    seen: list[torch.Tensor] = []
    ready.norm.register_forward_hook(lambda module, inputs, output: seen.append(output))
    samples = [(i % 3, i) for i in range(600)]
    labels = torch.tensor([label for label, _ in samples])
    draw_images(ready, labels, SampleNoise(5, samples, (32, 1, 1)), DEFAULT_SETTINGS, CPU)
    torch.testing.assert_close(seen[0].mean(dim=(0, 2, 3)), torch.zeros(32), rtol=0, atol=0.15)
    torch.testing.assert_close(seen[0].std(dim=(0, 2, 3)), torch.ones(32), rtol=0, atol=0.15)
    again = with_standing_statistics(raw)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in ready.state_dict().items())
    truncated_ones = with_standing_statistics(raw, 0.3)
    assert not torch.equal(truncated_ones.norm.running_var, ready.norm.running_var)
    assert all(layer.momentum == 0.1 for layer in ready.modules() if isinstance(layer, nn.BatchNorm2d))
