"""Training, resuming, exporting and loading the DDPM on a handful of images."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from synthaug.core.errors import DamageError, InputError
from synthaug.core.runtime import Runtime
from synthaug.core.seeding import SampleNoise, derive_seed
from synthaug.data.splits import Splits
from synthaug.generators.base import SamplerSettings, TrainRequest
from synthaug.generators.checkpoint import CARD_NAME, read_card, weight_hashes, write_card
from synthaug.generators.ddpm.backend import BACKEND
from synthaug.generators.ddpm.network import PRESETS, build_network
from synthaug.generators.ddpm.task import DDPMTask
from synthaug.generators.ema import decay_at

CPU = Runtime("cpu", "fp32")
STEPS = 6
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
MakeRequest = Callable[..., TrainRequest]
InterruptAt = Callable[[int, signal.Signals], None]


@pytest.fixture
def make_request(tmp_path: Path, digits_splits: Splits) -> MakeRequest:
    """`make_request(out_name, **changes)`: a training of a few steps on 200 digits."""

    def make(out: str = "checkpoint", **changes: Any) -> TrainRequest:
        request = TrainRequest(
            images=digits_splits.train,
            split=digits_splits.record,
            allows_flip=False,
            preset="digits",
            out=tmp_path / out,
            runtime=CPU,
            steps=STEPS,
            batch_size=8,
        )
        return replace(request, **changes)

    return make


@pytest.fixture
def interrupt_at(monkeypatch: pytest.MonkeyPatch) -> InterruptAt:
    """`interrupt_at(step, signal)`: this process gets the signal once, while it computes that step (0-based)."""
    original = DDPMTask.training_step

    def arrange(step: int, number: signal.Signals) -> None:
        def training_step(self: DDPMTask, batch: Any, batch_idx: int) -> torch.Tensor:
            if self.global_step == step:
                monkeypatch.setattr(DDPMTask, "training_step", original)
                signal.raise_signal(number)
            return original(self, batch, batch_idx)

        monkeypatch.setattr(DDPMTask, "training_step", training_step)

    return arrange


def state_of(request: TrainRequest) -> Path:
    return request.out / "training" / "state.ckpt"


def read_state(request: TrainRequest) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(state_of(request), weights_only=True)
    return state


def assert_same_training(one: TrainRequest, two: TrainRequest) -> None:
    first, second = read_state(one), read_state(two)
    assert first["global_step"] == second["global_step"]
    weights, others = first["state_dict"], second["state_dict"]
    assert {name.split(".")[0] for name in weights} == {"network", "average"}
    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    assert read_card(one.out).weights == read_card(two.out).weights


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_and_resumed_training_equals_an_uninterrupted_one_bit_for_bit(
    make_request: MakeRequest, interrupt_at: InterruptAt, number: signal.Signals
) -> None:
    whole, parts = make_request("whole"), make_request("parts")
    BACKEND.train(whole)
    interrupt_at(2, number)
    with pytest.raises(KeyboardInterrupt if number == signal.SIGINT else SystemExit) as stopped:
        BACKEND.train(parts)
    if number == signal.SIGTERM:
        assert stopped.value.code == 143
    assert read_state(parts)["global_step"] == 3
    assert not (parts.out / CARD_NAME).exists()
    BACKEND.train(replace(parts, resume_from=state_of(parts)))
    assert_same_training(whole, parts)
    assert read_card(parts.out).training.steps == STEPS


def test_training_stopped_in_its_last_step_becomes_a_checkpoint_when_resumed(
    make_request: MakeRequest, interrupt_at: InterruptAt
) -> None:
    whole, parts = make_request("whole", steps=2), make_request("parts", steps=2)
    BACKEND.train(whole)
    interrupt_at(1, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        BACKEND.train(parts)
    assert not (parts.out / CARD_NAME).exists()
    BACKEND.train(replace(parts, resume_from=state_of(parts)))
    assert_same_training(whole, parts)
    assert read_card(parts.out).training.loss == read_card(whole.out).training.loss


def test_resuming_a_finished_training_changes_nothing(make_request: MakeRequest) -> None:
    request = make_request(steps=2)
    BACKEND.train(request)
    before = {path: path.stat().st_mtime_ns for path in (request.out / CARD_NAME, request.out / WEIGHTS)}
    BACKEND.train(replace(request, resume_from=state_of(request)))
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_time_limit_stops_between_two_steps_with_a_checkpoint_to_continue(make_request: MakeRequest) -> None:
    request = make_request(max_time=1e-6)
    BACKEND.train(request)
    training = read_card(request.out).training
    assert 1 <= training.steps < STEPS
    assert training.planned_steps == STEPS
    assert training.images_seen == training.steps * 8
    BACKEND.train(replace(request, max_time=None, resume_from=state_of(request)))
    assert read_card(request.out).training.steps == STEPS


def test_training_can_be_made_longer(make_request: MakeRequest) -> None:
    request = make_request(steps=2)
    BACKEND.train(request)
    before = read_card(request.out).checkpoint
    BACKEND.train(replace(request, steps=3, resume_from=state_of(request)))
    assert read_card(request.out).training.steps == 3
    assert read_card(request.out).checkpoint != before


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"preset": "cpu"}, "preset"),
        ({"batch_size": 9}, "batch_size"),
        ({"learning_rate": 1.0}, "learning_rate"),
        ({"label_dropout": 0.3}, "label_dropout"),
        ({"allows_flip": True}, "allows_flip"),
        ({"seed": 1}, "seed"),
    ],
)
def test_resuming_with_another_setting_is_refused_by_name(
    tiny_checkpoint: Path, digits_splits: Splits, make_request: MakeRequest, change: dict[str, Any], named: str
) -> None:
    split = read_card(tiny_checkpoint).split
    same = make_request(split=split, resume_from=tiny_checkpoint / "training" / "state.ckpt")
    BACKEND.plan(same)
    for refuse in (BACKEND.plan, BACKEND.train):
        with pytest.raises(InputError, match=rf"\b{named}\b"):
            refuse(replace(same, **change))
    assert not same.out.exists()


def test_resuming_on_other_images_is_refused(tiny_checkpoint: Path, make_request: MakeRequest) -> None:
    with pytest.raises(InputError, match="train_fingerprint"):
        BACKEND.plan(make_request(resume_from=tiny_checkpoint / "training" / "state.ckpt"))


def test_state_without_its_settings_is_refused(tmp_path: Path, make_request: MakeRequest) -> None:
    (tmp_path / "state.ckpt").write_bytes(b"")
    with pytest.raises(InputError, match=r"cannot be resumed: settings.json is missing"):
        BACKEND.train(make_request(resume_from=tmp_path / "state.ckpt"))


@pytest.mark.parametrize("name", ["state.ckpt", "settings.json"])
def test_damaged_state_is_damage(tiny_checkpoint: Path, tmp_path: Path, make_request: MakeRequest, name: str) -> None:
    folder = shutil.copytree(tiny_checkpoint / "training", tmp_path / "training")
    (folder / name).write_bytes((folder / name).read_bytes()[:50])
    request = make_request(split=read_card(tiny_checkpoint).split, resume_from=folder / "state.ckpt")
    with pytest.raises(DamageError, match=rf"{name} is damaged"):
        BACKEND.train(request)


def test_average_follows_the_weights_after_every_step(make_request: MakeRequest) -> None:
    request = make_request(steps=1)
    BACKEND.train(request)
    torch.manual_seed(derive_seed("initialise", request.seed))
    initial = build_network(PRESETS.get("digits"), image_size=8, channels=1, classes=10).state_dict()
    after = read_state(request)["state_dict"]
    decay = decay_at(0, PRESETS.get("digits").ema_decay)
    moved = 0
    for name, value in initial.items():
        network, average = after[f"network.{name}"], after[f"average.{name}"]
        torch.testing.assert_close(average, decay * value + (1 - decay) * network, rtol=1e-4, atol=1e-6)
        moved += not torch.equal(network, value)
    assert moved > 10


def test_training_depends_on_its_seed_and_not_on_the_global_random_state(make_request: MakeRequest) -> None:
    requests = [make_request(f"seed-{seed}-{number}", seed=seed, steps=1) for number, seed in enumerate((0, 0, 1))]
    for number, request in enumerate(requests):
        torch.manual_seed(number)
        BACKEND.train(request)
    one, same, other = (read_card(request.out).checkpoint for request in requests)
    assert one == same != other


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"steps": 0}, "--steps must be at least 1, found 0"),
        ({"steps": -1}, "--steps must be at least 1, found -1"),
        ({"batch_size": 0}, "--batch-size must be at least 1, found 0"),
        ({"grid_every": 0}, "--grid-every must be at least 1, found 0"),
        ({"learning_rate": 0.0}, "--learning-rate must be positive, found 0.0"),
        ({"learning_rate": -1e-3}, "--learning-rate must be positive"),
        ({"learning_rate": float("nan")}, "--learning-rate must be positive, found nan"),
        ({"learning_rate": float("inf")}, "--learning-rate must be positive, found inf"),
        ({"label_dropout": 1.0}, r"--label-dropout must lie in \[0, 1\), found 1.0"),
        ({"label_dropout": -0.1}, "--label-dropout must lie in"),
        ({"preset": "huge"}, "unknown DDPM preset 'huge'; known: cpu, digits, small"),
    ],
)
def test_impossible_request_is_refused_before_anything_is_written(
    make_request: MakeRequest, change: dict[str, Any], complaint: str
) -> None:
    request = make_request(**change)
    for refuse in (BACKEND.plan, BACKEND.train):
        with pytest.raises(InputError, match=complaint):
            refuse(request)
    assert not request.out.exists()


def test_plan_takes_from_the_preset_what_the_request_leaves_open(make_request: MakeRequest) -> None:
    preset = PRESETS.get("digits")
    plan = BACKEND.plan(make_request(steps=None, batch_size=None))
    assert (plan.steps, plan.batch_size, plan.learning_rate) == (preset.steps, preset.batch_size, preset.learning_rate)
    assert BACKEND.plan(make_request(steps=7)).steps == 7


def test_plan_counts_the_parameters_that_training_has(tiny_checkpoint: Path, make_request: MakeRequest) -> None:
    assert BACKEND.plan(make_request()).parameters == read_card(tiny_checkpoint).training.parameters


@pytest.mark.parametrize(("size", "preset"), [(8, "digits"), (16, "digits"), (32, "cpu")])
def test_default_preset_suits_the_image_size(size: int, preset: str) -> None:
    assert BACKEND.default_preset(size) == preset


def test_exported_folder_opens_in_stock_diffusers(tiny_checkpoint: Path) -> None:
    from diffusers import DDPMPipeline, UNet2DModel

    pipeline = DDPMPipeline.from_pretrained(tiny_checkpoint, local_files_only=True)
    network = UNet2DModel.from_pretrained(tiny_checkpoint, subfolder="unet", local_files_only=True)
    stored = load_file(tiny_checkpoint / WEIGHTS)
    assert stored.keys() == network.state_dict().keys()
    assert all(torch.equal(value, stored[name]) for name, value in network.state_dict().items())
    assert all(torch.equal(value, stored[name]) for name, value in pipeline.unet.state_dict().items())
    assert pipeline.scheduler.config.beta_schedule == "squaredcos_cap_v2"
    assert pipeline.scheduler.config.num_train_timesteps == 1000


def test_exported_weights_are_the_average(tiny_checkpoint: Path) -> None:
    state = torch.load(tiny_checkpoint / "training" / "state.ckpt", weights_only=True)["state_dict"]
    stored = load_file(tiny_checkpoint / WEIGHTS)
    assert all(torch.equal(value, state[f"average.{name}"]) for name, value in stored.items())
    assert not all(torch.equal(value, state[f"network.{name}"]) for name, value in stored.items())


def test_checkpoint_holds_its_last_sample_grid(tiny_checkpoint: Path) -> None:
    from PIL import Image

    with Image.open(tiny_checkpoint / "grids" / "step-0000005.png") as picture:
        assert picture.width > 8 * 8
        assert picture.height > 10 * 8


def test_loaded_generator_says_what_it_makes_and_draws_it(tiny_checkpoint: Path) -> None:
    generator, card = BACKEND.load(tiny_checkpoint, CPU), read_card(tiny_checkpoint)
    assert generator.spec.class_names == tuple("0123456789")
    assert generator.spec.noise_shape == (1, 8, 8)
    assert generator.spec.checkpoint == card.checkpoint
    assert generator.spec.split == card.split
    samples = [(3, 0), (4, 0)]
    settings = SamplerSettings("dpmpp", 2, 1.0)
    images = [
        generator.sample(torch.tensor([3, 4]), SampleNoise(seed, samples, generator.spec.noise_shape), settings)
        for seed in (0, 0, 1)
    ]
    assert images[0].shape == (2, 1, 8, 8)
    assert torch.equal(images[0], images[1])
    assert not torch.equal(images[0], images[2])
    with pytest.raises(InputError, match="unknown sampler"):
        generator.check_settings(SamplerSettings("euler", 2, 1.0))


def test_swapped_weights_are_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_checkpoint, tmp_path / "copy")
    save_file({name: value + 1 for name, value in load_file(folder / WEIGHTS).items()}, folder / WEIGHTS)
    with pytest.raises(DamageError, match="is damaged or was replaced"):
        BACKEND.load(folder, CPU)


def test_pickled_weights_are_never_loaded(tiny_checkpoint: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_checkpoint, tmp_path / "copy")
    torch.save(load_file(folder / WEIGHTS), folder / "unet" / "diffusion_pytorch_model.bin")
    (folder / WEIGHTS).unlink()
    write_card(folder, read_card(folder).model_copy(update={"weights": weight_hashes(folder)}))
    with pytest.raises(DamageError, match="does not vouch for the weights"):
        BACKEND.load(folder, CPU)
