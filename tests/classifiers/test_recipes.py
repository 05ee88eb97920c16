import pytest
import torch

from synthaug.classifiers.recipes import RECIPES, Recipe, recipe_settings
from synthaug.classifiers.resnet import build_network
from synthaug.classifiers.task import ClassifierTask
from synthaug.core.errors import InputError


@pytest.mark.parametrize(("name", "recipe"), RECIPES.items())
def test_every_recipe_can_be_trained_with(name: str, recipe: Recipe) -> None:
    network = build_network(recipe.network, channels=3, classes=10, seed=0)
    chosen = ClassifierTask(network, recipe, recipe.steps).configure_optimizers()
    assert chosen["lr_scheduler"]["scheduler"].total_steps > recipe.steps
    assert recipe.batch_size >= 2
    assert 0.0 <= recipe.label_smoothing < 1.0


def test_recipe_for_a_gpu_sees_cifar10_fifty_times() -> None:
    survey = RECIPES.get("survey")
    training_images_left_by_a_tenth_for_validation = 45_000
    assert survey.steps * survey.batch_size >= 50 * training_images_left_by_a_tenth_for_validation


@pytest.mark.parametrize(("name", "recipe"), RECIPES.items())
def test_settings_of_a_recipe_are_all_of_it_but_its_purpose(name: str, recipe: Recipe) -> None:
    settings = recipe_settings(recipe)
    assert "purpose" not in settings
    assert Recipe(recipe.purpose, **settings) == recipe


def test_unknown_recipe_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="unknown recipe 'slow'; known: fast, survey"):
        RECIPES.get("slow")


def test_optimisers_are_the_ones_named() -> None:
    network = torch.nn.Linear(2, 2)
    for name, kind in (("sgd", torch.optim.SGD), ("adam", torch.optim.Adam)):
        recipe = Recipe("test", "resnet20", 10, 4, name, 0.3, 0.01, 0.0)
        optimiser = ClassifierTask(network, recipe, 10).configure_optimizers()["optimizer"]
        assert type(optimiser) is kind
        [group] = optimiser.param_groups
        assert (group["max_lr"], group["weight_decay"]) == (0.3, 0.01)
        if name == "sgd":
            assert group["nesterov"]
