from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from synthaug.classifiers.networks import build_network
from synthaug.classifiers.task import ClassifierTask, predict
from synthaug.core.errors import InputError, TrainingError
from synthaug.core.pixels import to_network
from synthaug.core.types import LabelledImages
from synthaug.data.datamodule import MixedDataModule
from synthaug.data.mixture import Batch, Mixture
from synthaug.data.sources import load_source
from synthaug.data.splits import Splits, make_splits
from tests.classifiers.trainings import CPU, RECIPE, Scripted, accuracy, digits_network, train


def batch_of(part: LabelledImages, count: int) -> Batch:
    datamodule = MixedDataModule(make_splits(load_source("digits")), mixture=Mixture(batch_size=count))
    batch = next(iter(datamodule.train_dataloader()))
    targets = nn.functional.one_hot(part.labels[:count], len(part.class_names)).float()
    return batch._replace(images=to_network(part.images[:count]), labels=part.labels[:count], targets=targets)


def test_images_count_by_their_weights_and_targets(digits_splits: Splits) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    task = ClassifierTask(network, RECIPE, 8)
    batch = batch_of(digits_splits.train, 2)
    targets = torch.tensor([[0.3, 0.7, *[0.0] * 8], [0.0, 0.0, 1.0, *[0.0] * 7]])
    log_probabilities = network(batch.images).log_softmax(dim=1)
    first = -0.3 * log_probabilities[0, 0] - 0.7 * log_probabilities[0, 1]
    second = -log_probabilities[1, 2]
    weighted = task.training_step(batch._replace(targets=targets, weights=torch.tensor([1.0, 0.25])), 0)
    torch.testing.assert_close(weighted, (first + 0.25 * second) / 1.25)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_loss_is_the_negative_log_likelihood_of_a_softmax(smoothing: float, digits_splits: Splits) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    task = ClassifierTask(network, replace(RECIPE, label_smoothing=smoothing), 8)
    batch = batch_of(digits_splits.train, 16)
    logits = network(batch.images)
    log_probabilities = logits - logits.exp().sum(dim=1, keepdim=True).log()
    right = -log_probabilities[torch.arange(16), batch.labels].mean()
    anywhere = -log_probabilities.mean()
    torch.testing.assert_close(task.training_step(batch, 0), (1 - smoothing) * right + smoothing * anywhere)


@pytest.mark.parametrize("steps", [1, 5, 9])
def test_training_takes_exactly_the_steps_of_the_recipe(steps: int, four_to_validate: Splits, tmp_path: Path) -> None:
    told: list[int] = []
    network = Scripted([0] * 10)
    trained = train(network, four_to_validate, tmp_path, replace(RECIPE, steps=steps), on_step=told.append)
    assert trained.steps == steps
    assert told == list(range(1, steps + 1))


def test_long_training_validates_eight_times(four_to_validate: Splits, tmp_path: Path) -> None:
    trained = train(Scripted([0] * 33), four_to_validate, tmp_path, replace(RECIPE, steps=32))
    assert [point.step for point in trained.curve] == [4, 8, 12, 16, 20, 24, 28, 32]


def test_weights_that_validate_best_are_kept_and_among_equals_the_latest(
    four_to_validate: Splits, tmp_path: Path
) -> None:
    network = Scripted([0, 1, 3, 2, 3, 0, 3, 1, 2])  # right after 0, 1, 2, ... steps
    trained = train(network, four_to_validate, tmp_path)
    assert [point.validation_accuracy for point in trained.curve] == [0.25, 0.75, 0.5, 0.75, 0.0, 0.75, 0.25, 0.5]
    assert (trained.best_step, trained.validation_accuracy) == (6, 0.75)
    assert int(trained.network.steps) == 6
    assert accuracy(trained.network, four_to_validate.validation) == 0.75


@pytest.mark.parametrize(
    ("right", "kept"),
    [
        ([50, 90, 88, 86, 88, 80, 70, 60], 5),  # 88 of 100 is within a standard error, 3.1, of 90
        ([50, 90, 86, 86, 86, 86, 86, 86], 2),  # 86 is not
        ([50, 80, 79, 90, 88, 60, 60, 60], 5),  # what is enough rises with the best
        ([50, 60, 70, 80, 90, 96, 99, 100], 8),
        ([100, 99, 98, 99, 50, 50, 99, 50], 7),  # also at 100 % there is an error
    ],
)
def test_latest_weights_within_a_standard_error_of_the_best_are_kept(
    right: list[int], kept: int, make_images: Callable[..., LabelledImages], tmp_path: Path
) -> None:
    pool, record = make_images(per_class=60), make_splits(load_source("digits"), per_class_real=1).record
    ones = torch.ones(100, dtype=torch.int64)
    validation = LabelledImages.of(pool.images[:100], ones, pool.class_names, "validation")
    trained = train(Scripted([0, *right]), Splits(pool, validation, pool, record, allows_flip=True), tmp_path)
    assert (trained.best_step, trained.validation_accuracy) == (kept, pytest.approx(right[kept - 1] / 100))
    assert int(trained.network.steps) == kept


def test_kept_weights_of_a_real_network_are_those_after_the_best_step(digits_splits: Splits, tmp_path: Path) -> None:
    network, snapshots = digits_network(), {}

    def keep(step: int) -> None:
        snapshots[step] = {name: value.clone() for name, value in network.state_dict().items()}

    trained = train(network, digits_splits, tmp_path, on_step=keep)
    [kept] = [point for point in trained.curve if point.step == trained.best_step]
    assert trained.validation_accuracy == kept.validation_accuracy
    assert accuracy(trained.network, digits_splits.validation) == pytest.approx(trained.validation_accuracy)
    for name, value in trained.network.state_dict().items():
        assert torch.equal(value, snapshots[trained.best_step][name]), name


def test_same_seed_gives_the_same_curve_and_weights(digits_splits: Splits, tmp_path: Path) -> None:
    recipe = replace(RECIPE, steps=4)
    runs = []
    for state in (1, 2):
        torch.default_generator.manual_seed(state)
        runs.append(train(digits_network(seed=7), digits_splits, tmp_path, recipe))
    first, second = runs
    assert first.curve == second.curve
    for name, value in first.network.state_dict().items():
        assert torch.equal(value, second.network.state_dict()[name]), name


@pytest.mark.parametrize(("optimiser", "rate"), [("sgd", 0.1), ("adam", 0.01), ("adamw", 0.01), ("muon", 0.03)])
def test_digits_are_learned_with_every_optimiser(optimiser: str, rate: float, tmp_path: Path) -> None:
    splits = make_splits(load_source("digits"))
    recipe = replace(RECIPE, steps=60, batch_size=48, optimiser=optimiser, learning_rate=rate)
    trained = train(build_network("cifarnet", channels=1, classes=10, seed=0), splits, tmp_path, recipe)
    assert accuracy(trained.network, splits.test) > 0.8
    assert trained.curve[-1].loss < trained.curve[0].loss / 2


def test_loss_that_is_not_a_number_ends_the_training(digits_splits: Splits, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no longer a number"):
        train(digits_network(), digits_splits, tmp_path, replace(RECIPE, steps=4, learning_rate=1e30))


def test_training_without_a_step_is_refused(digits_splits: Splits, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least one training step is needed, found 0"):
        train(digits_network(), digits_splits, tmp_path, replace(RECIPE, steps=0))


def test_predictions_are_probabilities_whatever_the_batch_size(digits_splits: Splits) -> None:
    network, images = digits_network().train(), digits_splits.test.images[:50]
    whole = predict(network, images, CPU)
    torch.testing.assert_close(whole.sum(dim=1), torch.ones(50))
    torch.testing.assert_close(predict(network, images, CPU, batch_size=7), whole)
    with torch.no_grad():
        torch.testing.assert_close(whole, network.eval()(to_network(images)).softmax(dim=1))
