from dataclasses import replace

import pytest

from synthaug.classifiers.networks import build_network
from synthaug.classifiers.recipes import RECIPES, Recipe, accumulation, factor_at, recipe_settings
from synthaug.core.errors import InputError
from synthaug.data.batch_transforms import TRANSFORMS

PLAIN = Recipe("test", "resnet20", batch_size=10, optimiser="sgd", learning_rate=0.1, weight_decay=0.0)


@pytest.mark.parametrize(("name", "recipe"), RECIPES.items())
def test_every_recipe_is_in_order_and_says_what_it_is_for(name: str, recipe: Recipe) -> None:
    recipe.check()
    build_network(recipe.architecture, channels=3, classes=10, seed=0)
    assert recipe.transform in TRANSFORMS.names()
    assert recipe.purpose
    assert recipe.expected


def test_recipe_of_the_survey_sees_the_images_fifty_times() -> None:
    sized = RECIPES.get("survey-50").sized(45_000)
    assert sized.steps is not None
    assert sized.steps * sized.batch_size / 45_000 == pytest.approx(50, rel=0.01)


@pytest.mark.parametrize(
    ("change", "steps"),
    [
        ({"epochs": 3.0}, 30),
        ({"epochs": 2.5}, 25),
        ({"epochs": 3.0, "accumulate": "4"}, 9),  # 10 batches are 4 + 4 + 2
        ({"epochs": 3.0, "accumulate": "0:1,2:5"}, 22),
        ({"epochs": 1.0, "least_steps": 77}, 77),
        ({"epochs": 50.0, "steps": 5}, 5),
    ],
)
def test_steps_follow_from_the_number_of_images(change: dict[str, object], steps: int) -> None:
    assert replace(PLAIN, **change).sized(100).steps == steps


@pytest.mark.parametrize(("name", "recipe"), RECIPES.items())
def test_settings_of_a_recipe_are_all_of_it_but_what_it_says_of_itself(name: str, recipe: Recipe) -> None:
    settings = recipe_settings(recipe)
    assert not {"purpose", "expected"} & settings.keys()
    assert Recipe(purpose=recipe.purpose, expected=recipe.expected, **settings) == recipe


def test_unknown_recipe_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="unknown recipe 'slow'; known: fast, strong, survey-50"):
        RECIPES.get("slow")


def test_numbers_from_epochs_on_hold_until_the_next() -> None:
    factors = accumulation("0:1,2:3,10:8")
    assert [factor_at(factors, epoch) for epoch in (0, 1, 2, 9, 10, 99)] == [1, 1, 3, 3, 8, 8]
    assert accumulation("4") == {0: 4}


@pytest.mark.parametrize("text", ["", "0", "four", "1:4", "0:0", "0:2,", "0:2;3:4", "-1", "2.5"])
def test_numbers_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="--accumulate .*found"):
        accumulation(text)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"label_smoothing": 1.0}, "--label-smoothing must lie in"),
        ({"ema": 1.0}, "--ema must lie in"),
        ({"freeze": 1.5}, "--freeze must lie in"),
        ({"progressive": 0.1}, "--progressive must lie in"),
        ({"gradient_clip": -1.0}, "--gradient-clip must be at least 0, found -1.0"),
        ({"weight_decay": float("nan")}, "--weight-decay must be at least 0, found nan"),
        ({"epochs": 0.0}, "--epochs must be a positive number, found 0.0"),
        ({"validations": 0}, "--validations must be at least 1, found 0"),
        ({"early_stopping": -1}, "--early-stopping must be at least 0"),
        ({"attention_heads": 0}, "--attention-heads must be at least 1"),
        ({"swa": 0.01, "ema": 0.9}, "--swa or --ema, not both"),
        ({"network": "vgg"}, "unknown network 'vgg'"),
    ],
)
def test_numbers_out_of_range_are_refused(change: dict[str, object], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        replace(PLAIN, **change).check()
