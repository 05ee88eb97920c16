"""The training step: what it shows to the network, and how fast it learns."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from synthaug.core.pixels import to_network
from synthaug.core.types import LabelledImages
from synthaug.generators.ddpm import task as task_module
from synthaug.generators.ddpm.diffusion import add_noise
from synthaug.generators.ddpm.task import DDPMTask

MakeImages = Callable[..., LabelledImages]
NULL_LABEL = 2


class Spy(nn.Module):
    """Predicts no noise at all, and remembers the labels it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(1))
        self.config = SimpleNamespace(num_class_embeds=NULL_LABEL + 1)
        self.labels = torch.empty(0)

    def forward(self, noisy_images: Tensor, timesteps: Tensor, class_labels: Tensor) -> SimpleNamespace:
        self.labels = class_labels
        return SimpleNamespace(sample=self.scale * noisy_images)


def make_task(images: LabelledImages, **options: Any) -> DDPMTask:
    defaults: dict[str, Any] = {
        "allows_flip": False,
        "batch_size": 16,
        "learning_rate": 1e-3,
        "steps": 100,
        "ema_decay": 0.99,
        "label_dropout": 0.0,
        "seed": 0,
    }
    return DDPMTask(Spy(), images, **{**defaults, **options})


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Collects (clean images, noise, timesteps) of every step."""
    steps: list[tuple[Tensor, Tensor, Tensor]] = []

    def watch(images: Tensor, noise: Tensor, timesteps: Tensor, alphas_cumprod: Tensor) -> Tensor:
        steps.append((images, noise, timesteps))
        return add_noise(images, noise, timesteps, alphas_cumprod)

    monkeypatch.setattr(task_module, "add_noise", watch)
    monkeypatch.setattr(DDPMTask, "log", lambda *_, **__: None)
    return steps


Shown = list[tuple[Tensor, Tensor, Tensor]]


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


def test_loss_is_the_power_of_the_noise_if_none_is_predicted(make_images: MakeImages, shown: Shown) -> None:
    task = make_task(make_images(per_class=8))
    loss = task.training_step(None, 0)
    torch.testing.assert_close(loss.detach(), shown[0][1].square().mean())
    assert task.recent_loss() == pytest.approx(float(loss.detach()))


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
