"""The training step: what it shows to the network, and how fast it learns."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synthaug.core.pixels import to_network
from synthaug.core.runtime import Runtime
from synthaug.core.types import LabelledImages
from synthaug.generators.ddpm import task as task_module
from synthaug.generators.ddpm.network import PRESETS
from synthaug.generators.ddpm.objective import network_input, training_target
from synthaug.generators.ddpm.process import DiscreteProcess, EDMProcess, Process
from synthaug.generators.ddpm.task import DDPMTask

MakeImages = Callable[..., LabelledImages]
NULL_LABEL = 2


class Spy(nn.Module):
    """Predicts nothing at all, and remembers what it was shown."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(1))
        self.config = SimpleNamespace(num_class_embeds=NULL_LABEL + 1, in_channels=channels)
        self.inputs = self.times = self.labels = torch.empty(0)

    def forward(self, inputs: Tensor, times: Tensor, class_labels: Tensor) -> SimpleNamespace:
        self.inputs, self.times, self.labels = inputs, times, class_labels
        return SimpleNamespace(sample=self.scale * inputs)


def make_task(
    images: LabelledImages,
    *,
    process: Process | None = None,
    patch: int = 1,
    batch_size: int = 16,
    steps: int = 100,
    learning_rate: float = 1e-3,
    **options: Any,
) -> DDPMTask:
    preset = replace(
        PRESETS.get("digits"), batch_size=batch_size, images=steps * batch_size, learning_rate=learning_rate
    )
    defaults: dict[str, Any] = {
        "allows_flip": False,
        "label_dropout": 0.0,
        "seed": 0,
        "runtime": Runtime("cpu", "fp32"),
    }
    spy = Spy(images.channels * patch**2)
    return DDPMTask(spy, process or DiscreteProcess(), images, preset, **{**defaults, **options})


Shown = list[tuple[Tensor, Tensor, Tensor]]
Logged = list[tuple[str, float]]


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Logged:
    """Collects (name, value) of everything that is logged."""
    values: Logged = []
    monkeypatch.setattr(DDPMTask, "log", lambda self, name, value, **_: values.append((name, float(value))))
    return values


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, logged: Logged) -> Shown:
    """Collects (clean images, noise, sigmas) of every step."""
    steps: Shown = []

    def watch(process: Process, images: Tensor, noise: Tensor, sigmas: Tensor) -> Tensor:
        steps.append((images, noise, sigmas))
        return training_target(process, images, noise, sigmas)

    monkeypatch.setattr(task_module, "training_target", watch)
    return steps


def at_step(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    monkeypatch.setattr(DDPMTask, "global_step", property(lambda self: step))


def positions(images: LabelledImages, clean: Tensor) -> list[int]:
    """Which image each row is; -1 for none of them."""
    known = to_network(images.images).flatten(1)
    return [next((i for i, row in enumerate(known) if torch.equal(row, image)), -1) for image in clean.flatten(1)]


def test_batch_holds_real_images_with_their_own_labels(make_images: MakeImages, shown: Shown) -> None:
    images = make_images(per_class=8)
    task = make_task(images)
    task.training_step(None, 0)
    found = positions(images, shown[0][0])
    assert sorted(found) == list(range(16))  # One whole epoch: every image once.
    assert task.network.labels.tolist() == images.labels[found].tolist()


def test_step_is_a_pure_function_of_the_seed(make_images: MakeImages, shown: Shown) -> None:
    images = make_images(per_class=8)
    for seed in (0, 0, 1):
        torch.rand(seed + 3)  # The global random state does not matter.
        make_task(images, seed=seed).training_step(None, 0)
    first, again, other = shown
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    assert not any(torch.equal(one, two) for one, two in zip(first, other, strict=True))


def test_network_is_shown_what_diffusers_would_add_noise_to(make_images: MakeImages, shown: Shown) -> None:
    from diffusers import DDPMScheduler

    task = make_task(make_images(per_class=8))
    task.training_step(None, 0)
    images, noise, _ = shown[0]
    stock = DDPMScheduler(beta_schedule="squaredcos_cap_v2")
    expected = stock.add_noise(images, noise, task.network.times)
    torch.testing.assert_close(task.network.inputs, expected, rtol=0, atol=1e-4)


def test_edm_network_is_shown_scaled_images_and_the_logarithm_of_the_noise(
    make_images: MakeImages, shown: Shown
) -> None:
    process = EDMProcess()
    task = make_task(make_images(per_class=8), process=process)
    task.training_step(None, 0)
    images, noise, sigmas = shown[0]
    torch.testing.assert_close(task.network.times, sigmas.log() / 4)
    noisy = images + sigmas.view(-1, 1, 1, 1) * noise
    torch.testing.assert_close(task.network.inputs, network_input(process, noisy, sigmas))


def test_loss_is_the_power_of_the_noise_if_none_is_predicted(make_images: MakeImages, shown: Shown) -> None:
    task = make_task(make_images(per_class=8))
    loss = task.training_step(None, 0)
    torch.testing.assert_close(loss.detach(), shown[0][1].square().mean())
    assert task.recent_loss() == pytest.approx(float(loss.detach()))


def test_noise_is_normal_and_every_pixel_has_its_own(make_images: MakeImages, shown: Shown) -> None:
    make_task(make_images(per_class=64, size=16), batch_size=128).training_step(None, 0)
    noise = shown[0][1].double()
    count = noise.numel()
    assert float(noise.mean()) == pytest.approx(0.0, abs=4 / count**0.5)
    assert float(noise.var()) == pytest.approx(1.0, abs=4 * (2 / count) ** 0.5)
    assert len(noise.unique()) > 0.99 * count


@pytest.mark.parametrize("step", [0, 7])
def test_quantiles_of_a_batch_are_evenly_spread_from_a_random_start(
    make_images: MakeImages, logged: Logged, step: int
) -> None:
    task = make_task(make_images(per_class=8))
    quantiles = task._draw(step)[3].sort().values
    assert 0 <= quantiles[0] < 1 / 16
    torch.testing.assert_close(quantiles.diff(), torch.full((15,), 1 / 16))


def test_quantiles_of_an_image_are_uniform_over_the_steps(make_images: MakeImages) -> None:
    task = make_task(make_images(per_class=8))
    quantiles = torch.stack([task._draw(step)[3] for step in range(2000)]).double()
    for column in (quantiles[:, 0], quantiles[:, 5], quantiles[:, 15]):
        ordered = column.sort().values
        steps = (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000
        assert float((ordered - steps).abs().max()) < 1.63 / 2000**0.5  # Kolmogorov and Smirnov, at 1 %


def test_patches_of_an_image_become_channels(make_images: MakeImages, shown: Shown) -> None:
    images = make_images(per_class=8)
    make_task(images).training_step(None, 0)
    task = make_task(images, patch=2)
    task.training_step(None, 0)
    plain, patched = shown
    for one, other in zip(plain[:2], patched[:2], strict=True):
        assert torch.equal(F.pixel_shuffle(other, 2), one)
    assert torch.equal(plain[2], patched[2])
    assert task.network.inputs.shape == (16, 12, 4, 4)


def test_parts_of_two_processes_put_together_are_the_batch(
    make_images: MakeImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = make_images(per_class=32)
    options = {"allows_flip": True, "label_dropout": 0.3}
    whole = make_task(images, **options)._draw(3)
    parts = []
    for rank in (0, 1):
        monkeypatch.setattr(DDPMTask, "global_rank", property(lambda self, rank=rank: rank))
        monkeypatch.setattr(DDPMTask, "_world_size", lambda self: 2)
        parts.append(make_task(images, **options)._draw(3))
    assert [len(part[1]) for part in parts] == [8, 8]
    for expected, first, second in zip(whole, *parts, strict=True):
        together = torch.stack([first, second], dim=1).flatten(0, 1)
        assert torch.equal(together, expected)


def test_parts_of_both_processes_hold_all_noise_levels(
    make_images: MakeImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DDPMTask, "_world_size", lambda self: 2)
    quantiles = make_task(make_images(per_class=8))._draw(0)[3]
    assert (quantiles * 4).long().unique().tolist() == [0, 1, 2, 3]


def test_loss_is_logged_by_noise_level_in_four_groups(
    make_images: MakeImages, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_task(make_images(per_class=8))
    monkeypatch.setattr(  # each image's loss is its timestep
        task_module, "per_image_losses", lambda process, prediction, target, sigmas: task.network.times.float()
    )
    at_step(monkeypatch, 9)
    task.training_step(None, 0)
    figures = dict(logged)
    assert set(figures) == {"loss", *(f"loss_noise_{group}_of_4" for group in (1, 2, 3, 4))}
    for group in (1, 2, 3, 4):
        assert 250 * (group - 1) + 50 < figures[f"loss_noise_{group}_of_4"] < 250 * group - 50
    assert figures["loss"] == pytest.approx(float(task.network.times.float().mean()))


def test_loss_by_noise_level_is_logged_at_every_tenth_step(
    make_images: MakeImages, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_task(make_images(per_class=8))
    seen = []
    for step in range(20):
        at_step(monkeypatch, step)
        logged.clear()
        task.training_step(None, 0)
        if len(logged) > 1:
            seen.append(step)
    assert seen == [9, 19]


def test_noise_level_without_images_is_left_out(
    make_images: MakeImages, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_step(monkeypatch, 9)
    make_task(make_images(per_class=8), batch_size=2).training_step(None, 0)
    assert len(logged) == 1 + 2


def test_mirroring_shows_some_images_reversed_and_others_not(make_images: MakeImages, shown: Shown) -> None:
    images = make_images(per_class=8)
    make_task(images, allows_flip=True).training_step(None, 0)
    clean = shown[0][0]
    is_original = [position >= 0 for position in positions(images, clean)]
    is_mirrored = [position >= 0 for position in positions(images, clean.flip(3))]
    assert [not original for original in is_original] == is_mirrored
    assert any(is_original)
    assert any(is_mirrored)


def test_label_dropout_hides_labels_behind_the_extra_class(make_images: MakeImages, shown: Shown) -> None:
    task = make_task(make_images(per_class=64), batch_size=128, label_dropout=0.5)
    task.training_step(None, 0)
    hidden = int((task.network.labels == NULL_LABEL).sum())
    assert 40 < hidden < 88


def test_learning_rate_warms_up_holds_and_cools_down(make_images: MakeImages) -> None:
    chosen = make_task(make_images(), learning_rate=0.01, steps=100).configure_optimizers()
    optimiser, schedule = chosen["optimizer"], chosen["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(100):
        rates.append(schedule.get_last_lr()[0])
        optimiser.step()
        schedule.step()
    assert chosen["lr_scheduler"]["interval"] == "step"
    assert rates[0] == pytest.approx(0.002)
    assert rates[4:71] == pytest.approx([0.01] * 67)
    assert all(later < earlier for earlier, later in itertools.pairwise(rates[70:]))
    assert 0 < rates[-1] < 0.001


def test_gradient_is_clipped_to_norm_one(make_images: MakeImages) -> None:
    task = make_task(make_images())
    task.network.scale.grad = torch.tensor([-50.0])
    task.configure_gradient_clipping()
    assert float(task.network.scale.grad) == pytest.approx(-1.0, rel=1e-4)


def test_small_gradient_is_left_alone(make_images: MakeImages) -> None:
    task = make_task(make_images())
    task.network.scale.grad = torch.tensor([0.25])
    task.configure_gradient_clipping()
    assert float(task.network.scale.grad) == 0.25
