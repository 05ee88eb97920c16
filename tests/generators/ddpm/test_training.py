"""Training the DDPM on a handful of images: what it depends on, and what it leaves in the folder."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from synthaug.core.errors import InputError
from synthaug.core.seeding import derive_seed
from synthaug.core.types import LabelledImages
from synthaug.generators.checkpoint import read_card
from synthaug.generators.ddpm.backend import BACKEND
from synthaug.generators.ddpm.network import PRESETS, build_network
from synthaug.generators.ema import decay_at
from tests.conftest import MakeImages
from tests.generators.ddpm.conftest import BATCH, OBJECTIVES, STEPS, WEIGHTS, MakeRequest, read_state, state_of


def test_card_counts_the_images_shown(make_request: MakeRequest) -> None:
    request = make_request(budget=3 * BATCH - 5)
    BACKEND.train(request)
    training = read_card(request.out).training
    assert training.steps == 3
    assert training.images_seen == training.planned_images == 3 * BATCH
    assert training.is_complete


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_training_repeats_itself_whatever_the_global_random_state(make_request: MakeRequest, objective: str) -> None:
    requests = [
        make_request(f"seed-{seed}-{number}", seed=seed, budget=BATCH, dropout=0.1, options={"objective": objective})
        for number, seed in enumerate((0, 0, 1))
    ]
    for number, request in enumerate(requests):
        torch.manual_seed(number)
        BACKEND.train(request)
    one, same, other = (read_card(request.out).weights[WEIGHTS] for request in requests)
    assert one == same != other


def test_average_follows_the_weights_after_every_step(make_request: MakeRequest) -> None:
    request = make_request(budget=2 * BATCH, max_time=1e-6, ema_half_life=0.9)  # one step
    BACKEND.train(request)
    torch.manual_seed(derive_seed("initialise", request.seed))
    initial = build_network(PRESETS.get("digits"), image_size=8, channels=1, classes=10).state_dict()
    after = read_state(request)["state_dict"]
    decay = decay_at(BATCH, BATCH, 0.9)
    assert 0.4 < decay < 0.5
    moved = 0
    for name, value in initial.items():
        network, average = after[f"network.{name}"], after[f"average.{name}"]
        torch.testing.assert_close(average, decay * value + (1 - decay) * network, rtol=1e-4, atol=1e-6)
        moved += not torch.equal(network, value)
    assert moved > 10


def test_exported_weights_are_the_average(tiny_checkpoint: Path) -> None:
    state = torch.load(tiny_checkpoint / "training" / "state.ckpt", weights_only=True)["state_dict"]
    stored = load_file(tiny_checkpoint / WEIGHTS)
    assert all(torch.equal(value, state[f"average.{name}"]) for name, value in stored.items())
    assert not all(torch.equal(value, state[f"network.{name}"]) for name, value in stored.items())


@pytest.mark.parametrize(
    ("options", "scheduler", "prediction"),
    [
        ({}, "DPMSolverMultistepScheduler", "epsilon"),
        ({"objective": "v", "schedule": "linear"}, "DPMSolverMultistepScheduler", "v_prediction"),
        ({"objective": "edm"}, "EDMDPMSolverMultistepScheduler", "epsilon"),
    ],
)
def test_folder_names_the_scheduler_of_its_objective(
    make_request: MakeRequest, options: dict[str, str], scheduler: str, prediction: str
) -> None:
    request = make_request(budget=BATCH, options=options)
    BACKEND.train(request)
    assert json.loads((request.out / "model_index.json").read_text())["scheduler"] == ["diffusers", scheduler]
    written = json.loads((request.out / "scheduler" / "scheduler_config.json").read_text())
    assert written["prediction_type"] == prediction
    card = read_card(request.out)
    assert {"scheduler/scheduler_config.json", "unet/config.json", WEIGHTS} == set(card.weights)
    assert card.settings["objective"] == options.get("objective", "epsilon")
    assert card.settings.get("schedule") == (None if "edm" in options.values() else options.get("schedule", "cosine"))
    assert BACKEND.load(request.out, request.runtime).spec.checkpoint == card.checkpoint


def test_one_image_in_a_class_is_enough(make_request: MakeRequest, make_images: MakeImages) -> None:
    request = make_request(images=make_images(per_class=1, class_names=("a", "b", "c")), budget=2 * BATCH)
    BACKEND.train(request)
    assert read_card(request.out).class_names == ("a", "b", "c")
    assert read_card(request.out).training.images_seen == 2 * BATCH


def test_class_without_images_is_refused(make_request: MakeRequest, make_images: MakeImages) -> None:
    images = make_images(per_class=2, class_names=("a", "b"))
    lonely = LabelledImages.of(images.images, images.labels, ("a", "b", "nobody"), "lonely")
    with pytest.raises(InputError, match="every class needs at least one training image, 'nobody' has none"):
        BACKEND.plan(make_request(images=lonely))


@pytest.mark.parametrize("count", [1, 1001])
def test_too_few_or_too_many_classes_are_refused(make_request: MakeRequest, count: int) -> None:
    names = tuple(f"class {number}" for number in range(count))
    images = LabelledImages.of(torch.zeros(count, 1, 4, 4, dtype=torch.uint8), torch.arange(count), names, "classes")
    with pytest.raises(InputError, match=f"a generator learns 2 to 1000 classes, found {count}"):
        BACKEND.plan(make_request(images=images))


def test_as_many_as_a_thousand_classes_are_planned(make_request: MakeRequest) -> None:
    names = tuple(f"class {number}" for number in range(1000))
    images = LabelledImages.of(torch.zeros(1000, 1, 4, 4, dtype=torch.uint8), torch.arange(1000), names, "classes")
    assert BACKEND.plan(make_request(images=images)).parameters > 0


@pytest.mark.parametrize("preset", ["digits", "cpu"])
@pytest.mark.parametrize("size", [12, 20, 28])
def test_sizes_divisible_by_four_train_and_sample(
    make_request: MakeRequest, make_images: MakeImages, preset: str, size: int
) -> None:
    request = make_request(images=make_images(size=size), preset=preset, budget=4, batch_size=4)
    BACKEND.train(request)
    assert BACKEND.load(request.out, request.runtime).spec.image_size == size


def test_processes_must_share_a_batch_equally(make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(InputError, match="--batch-size must be divisible by the number of processes, 3, .*found 8"):
        BACKEND.plan(make_request())
    BACKEND.plan(make_request(batch_size=9))


def test_state_holds_the_weights_and_their_average_once(make_request: MakeRequest) -> None:
    request = make_request(budget=BATCH)
    BACKEND.train(request)
    names = read_state(request)["state_dict"].keys()
    assert {name.split(".")[0] for name in names} == {"network", "average"}
    weights = 4 * read_card(request.out).training.parameters
    assert state_of(request).stat().st_size < 4.2 * weights  # and two moments of each weight


def test_planned_numbers_are_those_of_the_training(make_request: MakeRequest) -> None:
    request = make_request()
    plan = BACKEND.plan(request)
    BACKEND.train(request)
    training = read_card(request.out).training
    assert plan.parameters == training.parameters
    assert plan.steps == training.steps == STEPS
    assert BACKEND.plan(replace(request, budget=STEPS * BATCH + 1)).steps == STEPS + 1
