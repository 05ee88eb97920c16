"""Each trick of a training does what it is called for."""

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from synthaug.classifiers.networks import build_network
from synthaug.classifiers.task import TrainedClassifier, progressive_size, train_classifier
from synthaug.core.loggers import loggers_in
from synthaug.core.runtime import Runtime
from synthaug.data.datamodule import MixedDataModule
from synthaug.data.mixture import Mixture
from synthaug.data.splits import Splits
from tests.classifiers.trainings import CPU, RECIPE, Scripted, accuracy, digits_network, train

# --- tricks ---


class Linear(nn.Module):
    """A network without batch norm: what a batch holds besides does not change an image's gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        nn.init.zeros_(self.layers[1].weight)
        nn.init.zeros_(self.layers[1].bias)

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)

    @property
    def weight(self) -> Tensor:
        return self.layers[1].weight.detach().clone()


def train_linear(splits: Splits, root: Path, **changes: Any) -> tuple[Linear, TrainedClassifier, list[Tensor]]:
    """A linear network on digits as they are, how it was trained, and its weights after each step."""
    network, after = Linear(), []
    recipe = replace(RECIPE, schedule="constant", weight_decay=0.0, **changes)
    mixture = Mixture(batch_size=recipe.batch_size, transform="none", seed=3)
    trained = train_classifier(
        network,
        MixedDataModule(splits, mixture=mixture),
        recipe,
        runtime=CPU,
        root=root,
        on_step=lambda _: after.append(network.weight),
    )
    return network, trained, after


@pytest.mark.parametrize("text", ["4", "0:4,9:4"])
def test_gradients_of_four_batches_are_that_of_one_of_four_times_the_size(
    text: str, digits_splits: Splits, tmp_path: Path
) -> None:
    few, several, _ = train_linear(digits_splits, tmp_path, batch_size=8, accumulate=text, steps=6)
    many, one, _ = train_linear(digits_splits, tmp_path, batch_size=32, steps=6)
    assert (several.steps, one.steps) == (6, 6)
    torch.testing.assert_close(few.weight, many.weight)


@pytest.mark.parametrize(("text", "count"), [("1", 8), ("0:1,100:4", 8), ("0:1,3:4", 8), ("4", 7), ("0:4,2:1", 8)])
def test_validations_are_as_many_however_batches_are_accumulated(
    text: str, count: int, digits_splits: Splits, tmp_path: Path
) -> None:
    _, trained, _ = train_linear(digits_splits, tmp_path, batch_size=16, steps=48, accumulate=text)
    assert trained.curve[-1].step == 48
    assert abs(len(trained.curve) - count) <= 1


def test_accumulation_may_begin_later(digits_splits: Splits, tmp_path: Path) -> None:
    plain, _, _ = train_linear(digits_splits, tmp_path, batch_size=40, steps=5)  # an epoch of 200 images
    later, _, after = train_linear(digits_splits, tmp_path, batch_size=40, steps=7, accumulate="0:1,1:5")
    torch.testing.assert_close(after[4], plain.weight)
    whole, _, _ = train_linear(digits_splits, tmp_path, batch_size=40, steps=7)
    assert not torch.allclose(later.weight, whole.weight)


def test_no_step_is_longer_than_the_clipped_gradient(digits_splits: Splits, tmp_path: Path) -> None:
    def longest(clip: float) -> float:
        changes = {"gradient_clip": clip, "learning_rate": 1.0, "optimiser": "sgd", "steps": 1, "validations": 1}
        network, _, _ = train_linear(digits_splits, tmp_path, **changes)
        return float(torch.cat([network.weight.flatten(), network.layers[1].bias.detach()]).norm())

    momentum = 1.9  # a first Nesterov step is gradient + 0.9 gradient
    assert longest(0.01) == pytest.approx(0.01 * momentum, rel=1e-3)
    assert longest(0.0) > 0.1


def test_stochastic_weight_averaging_ends_with_the_mean_of_the_weights(digits_splits: Splits, tmp_path: Path) -> None:
    network, _, after = train_linear(digits_splits, tmp_path, steps=16, swa=0.05, validations=1)
    torch.testing.assert_close(network.weight, torch.stack(after[12:]).mean(dim=0))


def test_moving_average_forgets_by_its_decay(digits_splits: Splits, tmp_path: Path) -> None:
    network, _, after = train_linear(digits_splits, tmp_path, steps=5, ema=0.8, validations=1)
    average = after[0]
    for weights in after[1:]:
        average = 0.8 * average + 0.2 * weights
    torch.testing.assert_close(network.weight, average)


def test_averages_are_what_is_validated_and_training_goes_on_without_them(
    digits_splits: Splits, tmp_path: Path
) -> None:
    _, plain, before = train_linear(digits_splits, tmp_path, steps=8)
    _, averaged, after = train_linear(digits_splits, tmp_path, steps=8, ema=0.9)
    for one, other in zip(before, after, strict=True):
        assert torch.equal(one, other)
    assert plain.curve != averaged.curve
    assert [point.loss for point in plain.curve] == [point.loss for point in averaged.curve]


def test_weights_from_before_the_averaging_are_not_kept(four_to_validate: Splits, tmp_path: Path) -> None:
    script = [0, 1, 4, 4, 4, 4, 4, 2, 2]  # the best are those of the first six steps
    assert train(Scripted(script), four_to_validate, tmp_path).best_step == 6
    averaged = train(Scripted(script), four_to_validate, tmp_path, replace(RECIPE, swa=0.1))
    assert averaged.best_step > 6


def test_nothing_is_averaged_before_its_time(digits_splits: Splits, tmp_path: Path) -> None:
    _, plain, _ = train_linear(digits_splits, tmp_path, steps=8)
    _, averaged, _ = train_linear(digits_splits, tmp_path, steps=8, swa=0.1)
    assert averaged.curve[:6] == plain.curve[:6]


def test_averaging_keeps_the_statistics_of_batch_norm_fit_for_use(digits_splits: Splits, tmp_path: Path) -> None:
    network = build_network("cifarnet", channels=1, classes=10, seed=0)
    trained = train(network, digits_splits, tmp_path, replace(RECIPE, steps=40, ema=0.8))
    assert accuracy(trained.network, digits_splits.validation) == pytest.approx(trained.validation_accuracy)
    assert trained.validation_accuracy > 0.5


@pytest.mark.parametrize(
    ("patience", "right", "steps", "best"),
    [
        (1, [1, 3, 2, 3, 0, 3, 1, 2], 3, 2),
        (2, [1, 3, 2, 3, 0, 3, 1, 2], 4, 4),  # as good as the best is no better
        (3, [1, 3, 2, 3, 4, 4, 1, 2], 8, 6),
        (0, [1, 3, 2, 3, 0, 3, 1, 2], 8, 6),
    ],
)
def test_training_ends_after_so_many_validations_without_a_better_one(
    patience: int, right: list[int], steps: int, best: int, four_to_validate: Splits, tmp_path: Path
) -> None:
    recipe = replace(RECIPE, early_stopping=patience)
    trained = train(Scripted([0, *right]), four_to_validate, tmp_path, recipe)
    assert (trained.steps, trained.best_step) == (steps, best)
    assert len(trained.curve) == steps


def test_frozen_weights_do_not_move_nor_do_their_statistics(digits_splits: Splits, tmp_path: Path) -> None:
    network = digits_network()
    names = {name for name in network.state_dict() if not name.startswith("head.")}
    start = {name: value.clone() for name, value in network.state_dict().items()}
    train_frozen(network, names, digits_splits, tmp_path, freeze=1.0)
    for name, value in network.state_dict().items():
        assert torch.equal(value, start[name]) == (name in names), name
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_frozen_weights_learn_from_their_step_on(digits_splits: Splits, tmp_path: Path) -> None:
    network, moved = digits_network(), {}
    names = {name for name in network.state_dict() if name.startswith("backbone.")}
    start = {name: value.clone() for name, value in network.state_dict().items()}

    def look(step: int) -> None:
        moved[step] = {name for name, value in network.state_dict().items() if not torch.equal(value, start[name])}

    train_frozen(network, names, digits_splits, tmp_path, freeze=0.5, on_step=look)
    assert moved[4] == {"head.weight", "head.bias"}
    assert moved[5] == set(start)


def train_frozen(
    network: nn.Module,
    names: set[str],
    splits: Splits,
    root: Path,
    *,
    freeze: float,
    on_step: Callable[[int], None] = lambda step: None,
) -> None:
    recipe = replace(RECIPE, freeze=freeze, schedule="constant", weight_decay=0.1, validations=1)
    data = MixedDataModule(splits, mixture=Mixture(batch_size=recipe.batch_size))
    train_classifier(network, data, recipe, runtime=CPU, root=root, on_step=on_step, pretrained=names)


def test_deterministic_trainings_are_equal_bit_by_bit_and_leave_no_trace(digits_splits: Splits, tmp_path: Path) -> None:
    recipe, runtime, asked = replace(RECIPE, steps=3), Runtime("cpu", "fp32", deterministic=True), []
    networks = [digits_network(), digits_network()]
    for network in networks:
        train_classifier(
            network,
            MixedDataModule(digits_splits, mixture=Mixture(batch_size=16)),
            recipe,
            runtime=runtime,
            root=tmp_path,
            on_step=lambda _: asked.append(torch.are_deterministic_algorithms_enabled()),
        )
    for one, other in zip(*(network.state_dict().values() for network in networks), strict=True):
        assert torch.equal(one, other)
    assert all(asked)
    assert not torch.are_deterministic_algorithms_enabled()


def test_images_are_small_at_first_and_have_their_full_size_later() -> None:
    assert [progressive_size(32, 0.5, progress / 10) for progress in range(11)] == [16] * 6 + [32] * 5
    assert {progressive_size(32, 1.0, progress / 10) for progress in range(11)} == {32}
    assert (progressive_size(64, 0.625, 0.0), progressive_size(64, 0.6, 0.0)) == (40, 40)  # multiples of 4
    assert progressive_size(8, 0.5, 0.0) == 8
    assert progressive_size(20, 0.5, 0.0) == 16


class Pooled(nn.Module):
    """Classifies by the mean brightness, and notes the size of the images that it is trained on."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.seen = nn.Linear(1, 10), []

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            self.seen.append(images.shape[-1])
        return self.head(images.mean(dim=(2, 3)))


def test_a_progressive_training_sees_small_images_first(digits_splits: Splits, tmp_path: Path) -> None:
    network, data = Pooled(), MixedDataModule(digits_splits, mixture=Mixture(batch_size=16, input_size=32))
    recipe = replace(RECIPE, progressive=0.5, steps=10)
    train_classifier(network, data, recipe, runtime=CPU, root=tmp_path, on_step=lambda _: None)
    assert network.seen == [16] * 6 + [32] * 4


def test_a_training_ends_when_its_time_is_up(digits_splits: Splits, tmp_path: Path) -> None:
    data, recipe = MixedDataModule(digits_splits, mixture=Mixture(batch_size=16)), replace(RECIPE, steps=100_000)
    trained = train_classifier(Linear(), data, recipe, runtime=CPU, root=tmp_path, on_step=lambda _: None, max_time=0.3)
    assert 0 < trained.steps < 100_000
    assert trained.best_step == trained.curve[-1].step == trained.steps


def test_compiled_trainings_go_through_what_the_compiler_gives(
    digits_splits: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[bool] = []

    def pretend(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def compiled(images: Tensor) -> Tensor:
            calls.append(True)
            return function(images)

        return compiled

    monkeypatch.setattr(torch, "compile", pretend)
    data, runtime = (
        MixedDataModule(digits_splits, mixture=Mixture(batch_size=16)),
        Runtime("cpu", "fp32", compiled=True),
    )
    train_classifier(Linear(), data, RECIPE, runtime=runtime, root=tmp_path, on_step=lambda _: None)
    assert len(calls) == RECIPE.steps


def test_images_seen_in_a_second_are_those_of_the_steps(digits_splits: Splits, tmp_path: Path) -> None:
    _, trained, _ = train_linear(digits_splits, tmp_path, batch_size=8, accumulate="2", steps=10)
    seconds = trained.curve[-1].seconds
    assert seconds == max(point.seconds for point in trained.curve) > 0
    assert trained.images_per_second == pytest.approx(160 / seconds, rel=0.5)


def test_metrics_and_learning_rates_are_logged(digits_splits: Splits, tmp_path: Path) -> None:
    data = MixedDataModule(digits_splits, mixture=Mixture(batch_size=16))
    recipe = replace(RECIPE, steps=40, accumulate="2")
    with loggers_in(tmp_path, "csv") as loggers:
        trained = train_classifier(
            Linear(), data, recipe, runtime=CPU, root=tmp_path, on_step=lambda _: None, loggers=loggers
        )
    [file] = tmp_path.glob("logs/*/metrics.csv")
    with file.open(newline="") as rows:
        logged = list(csv.DictReader(rows))
    [rate] = [name for name in logged[0] if name.startswith("lr-")]
    rates = [float(row[rate]) for row in logged if row[rate]]
    assert len(set(rates)) == 4
    assert max(rates) == pytest.approx(recipe.learning_rate, rel=0.1)
    assert sum(bool(row["validation_accuracy"]) for row in logged) == len(trained.curve)
    losses = [float(row["loss"]) for row in logged if row["loss"]]
    assert losses[0] == pytest.approx(trained.curve[0].loss, rel=0.3)  # and not half of it
