"""Training an ACGAN: exact resumption, what is kept, warnings, the stop when its discriminator wins, and bad input."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from synthaug.core.errors import DamageError, InputError, TrainingError
from synthaug.core.runtime import Runtime
from synthaug.core.seeding import SampleNoise
from synthaug.data.splits import Splits
from synthaug.generators.acgan import watch
from synthaug.generators.acgan.backend import BACKEND
from synthaug.generators.acgan.settings import resolve
from synthaug.generators.acgan.task import ACGANTask
from synthaug.generators.acgan.training import make_task
from synthaug.generators.base import SamplerSettings, TrainRequest
from synthaug.generators.checkpoint import CARD_NAME, read_card
from synthaug.generators.ema import decay_at

MakeRequest = Callable[..., TrainRequest]
CPU = Runtime("cpu", "fp32")
BATCH, STEPS = 8, 6
PER_STEP = 2 * BATCH  # two updates of the discriminator
SAMPLES = [(i % 10, i // 10) for i in range(20)]
LABELS = torch.tensor([label for label, _ in SAMPLES])


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
            budget=STEPS * PER_STEP,
            batch_size=BATCH,
            grid_every=1_000_000,
            logger="csv",
        )
        return replace(request, **changes)

    return make


def state_of(request: TrainRequest) -> Path:
    return request.out / "training" / "state.ckpt"


def read_state(request: TrainRequest) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(state_of(request), weights_only=True)
    return state


def samples(request: TrainRequest, settings: SamplerSettings | None = None) -> Tensor:
    generator = BACKEND.load(request.out, CPU)
    noise = SampleNoise(0, SAMPLES, generator.spec.noise_shape)
    return generator.sample(LABELS, noise, settings or generator.default_settings)


@pytest.mark.parametrize("preset", ["digits", "resnet", "classic"])
def test_stopped_and_resumed_training_equals_an_uninterrupted_one_bit_for_bit(
    make_request: MakeRequest, preset: str
) -> None:
    def measured(images: Tensor, labels: Tensor) -> dict[str, float]:
        return {"frechet": float(images.float().std())}

    changes = {"preset": preset, "options": {"discriminator_steps": 2}, "monitor": measured, "monitor_every": PER_STEP}
    whole, parts = (make_request(name, **changes) for name in ("whole", "parts"))
    BACKEND.train(whole)
    BACKEND.train(replace(parts, max_time=0.0))
    stopped = read_state(parts)["global_step"]
    assert 0 < stopped < STEPS
    BACKEND.train(replace(parts, resume_from=state_of(parts)))
    first, second = read_state(whole), read_state(parts)
    assert first["global_step"] == second["global_step"] == STEPS
    assert {name.split(".")[0] for name in first["state_dict"]} == {"network", "average", "discriminator"}
    different = [
        name for name, value in first["state_dict"].items() if not torch.equal(value, second["state_dict"][name])
    ]
    assert different == []
    for one, other in zip(first["optimizer_states"], second["optimizer_states"], strict=True):
        moments, others = one["state"], other["state"]
        assert len(moments) > 5
        assert all(torch.equal(moments[i]["exp_avg_sq"], others[i]["exp_avg_sq"]) for i in moments)
    assert first["synthaug"]["recent_losses"] == second["synthaug"]["recent_losses"]
    assert read_card(whole.out).weights == read_card(parts.out).weights
    assert read_card(whole.out).training.kept_after == read_card(parts.out).training.kept_after


def test_one_step_updates_the_discriminator_as_often_as_asked_and_the_average_follows(
    make_request: MakeRequest,
) -> None:
    request = make_request(options={"discriminator_steps": 3}, budget=3 * BATCH)
    BACKEND.train(request)
    state = read_state(request)
    counts = [{int(moment["step"]) for moment in one["state"].values()} for one in state["optimizer_states"]]
    assert counts == [{1}, {3}]
    before = make_task(request, resolve(request))
    decay = decay_at(3 * BATCH, 3 * BATCH, 0.05)
    name = "blocks.0.conv1.parametrizations.weight.original"
    begun, learned = before.network.state_dict()[name], state["state_dict"][f"network.{name}"]
    expected = decay * begun + (1 - decay) * learned
    torch.testing.assert_close(state["state_dict"][f"average.{name}"], expected)
    assert not torch.equal(begun, learned)


def test_the_weights_measured_best_are_kept(make_request: MakeRequest) -> None:
    figures = iter([3.0, 1.0, 2.0, 5.0, 4.0, 6.0])
    kept: list[Tensor] = []

    def monitor(images: Tensor, labels: Tensor) -> dict[str, float]:
        kept.append(images[:20])
        return {"frechet": next(figures)}

    request = make_request(monitor=monitor, monitor_every=PER_STEP)
    BACKEND.train(request)
    assert read_card(request.out).training.kept_after == 2 * PER_STEP
    assert (samples(request).int() - kept[1].int()).abs().max() <= 1
    assert not torch.equal(kept[1], kept[-1])


def test_checkpoint_draws_what_its_pipeline_draws(make_request: MakeRequest) -> None:
    from synthaug.generators.acgan.pipeline import ACGANPipeline

    request = make_request()
    BACKEND.train(request)
    pipeline = ACGANPipeline.from_pretrained(request.out)
    latents = SampleNoise(0, SAMPLES, (32, 1, 1)).draw().flatten(1)
    made = pipeline.components["generator"](latents, LABELS)
    assert ((made * 127.5 + 127.5) - samples(request)).abs().max() <= 1
    pictures = pipeline([3, 5], truncation=1.0, generator=torch.manual_seed(0)).images
    assert [picture.size for picture in pictures] == [(8, 8), (8, 8)]
    with pytest.raises(InputError, match=r"class_labels must be numbers in 0..9"):
        pipeline([10])


def test_samplers_and_truncation_draw_different_images(make_request: MakeRequest) -> None:
    request = make_request()
    BACKEND.train(request)
    plain = samples(request)
    assert torch.equal(plain, samples(request))
    for settings in (SamplerSettings("stored", 1, 1.0, None, 0.5), SamplerSettings("standing", 1, 1.0, None, 0.5)):
        assert not torch.equal(plain, samples(request, settings))
    small = samples(request, SamplerSettings("stored", 1, 1.0, None, 0.01))
    assert (small[:10].int() - small[10:].int()).abs().max() <= 10  # all of a class are nearly one


def test_classes_that_collapse_are_warned_of(
    make_request: MakeRequest, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_COLLAPSED", 10.0)
    BACKEND.train(make_request(budget=20 * PER_STEP))
    shown = " ".join(capsys.readouterr().err.split())
    assert "samples of a class look alike" in shown
    assert "their diversity as a share of that of real images: " in shown


def test_diversity_is_the_mean_distance_between_two_images() -> None:
    images = torch.zeros(3, 1, 2, 2, dtype=torch.uint8)
    images[1] = 255
    assert watch.diversity(images) == pytest.approx(2 * (2 / 3))
    assert watch.diversity(images[:1]) == 0.0


def test_a_discriminator_that_wins_ends_the_training_with_the_best_weights(
    make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_WINDOW", 50)
    original = ACGANTask.training_step

    def training_step(self: ACGANTask, batch: Any, batch_idx: int) -> Tensor:
        loss = original(self, batch, batch_idx)
        if self.global_step > 40:
            self.source_loss = torch.zeros(())
        return loss

    monkeypatch.setattr(ACGANTask, "training_step", training_step)
    figures = {"frechet": 7.0}
    request = make_request(budget=300 * PER_STEP, monitor=lambda *_: figures, monitor_every=20 * PER_STEP)
    with pytest.raises(TrainingError, match=r"the discriminator has won at step 100: .* is 0, guessing costs 2"):
        BACKEND.train(request)
    training = read_card(request.out).training
    assert training.kept_after == 20 * PER_STEP
    assert not training.is_complete
    assert samples(request).float().std() > 1


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"preset": "cpu"}, "unknown ACGAN preset 'cpu'"),
        ({"batch_size": 1}, "--batch-size must be at least 2"),
        ({"budget": 0}, "--images must be at least 1"),
        ({"learning_rate": 0.0}, "--learning-rate must be positive"),
        ({"dropout": 0.1}, "leave out --dropout"),
        ({"label_dropout": 0.1}, "leave out --label-dropout"),
        ({"init": Path("x")}, "leave out --init"),
        ({"options": {"objective": "edm"}}, "the acgan backend has no option 'objective'"),
        ({"options": {"diffaugment": "blur"}}, "--diffaugment takes none or a list"),
        ({"options": {"discriminator_steps": 0}}, "--discriminator-steps must be at least 1"),
        ({"options": {"r1": -1.0}}, "--r1 must be at least 0"),
        ({"options": {"class_weight": -0.1}}, "--class-weight must be at least 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    make_request: MakeRequest, changes: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint):
        BACKEND.plan(make_request(**changes))


def test_resuming_with_other_settings_is_refused(make_request: MakeRequest) -> None:
    request = make_request()
    BACKEND.train(request)
    again = replace(request, resume_from=state_of(request), options={"r1": 1.0})
    with pytest.raises(InputError, match="r1"):
        BACKEND.train(again)


def test_r1_and_every_change_of_the_images_can_be_trained_with(make_request: MakeRequest) -> None:
    options = {"r1": 1.0, "diffaugment": "colour,translation,cutout"}
    plain, other = make_request("plain"), make_request("other", options=options)
    BACKEND.train(plain)
    BACKEND.train(other)
    assert json.loads((other.out / "training" / "settings.json").read_text())["r1"] == 1.0
    assert read_card(plain.out).weights != read_card(other.out).weights


def test_damaged_checkpoints_are_refused(make_request: MakeRequest) -> None:
    request = make_request()
    BACKEND.train(request)
    weights = request.out / "generator" / "diffusion_pytorch_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(DamageError, match="is damaged or was replaced"):
        BACKEND.load(request.out, CPU)
    weights.unlink()
    with pytest.raises(DamageError, match="is missing"):
        BACKEND.load(request.out, CPU)
    (request.out / CARD_NAME).unlink()
    with pytest.raises(InputError, match="is not a checkpoint"):
        BACKEND.load(request.out, CPU)


def test_a_state_in_which_the_discriminator_makes_no_mistake_is_not_worth_keeping() -> None:
    stop = watch.StopWhenDiscriminatorWins()
    assert stop.is_sound()
    stop.load_state_dict({"losses": [torch.tensor(0.0), torch.tensor(0.5)]})
    assert stop.is_sound()
    stop.load_state_dict({"losses": [torch.tensor(0.0)]})
    assert not stop.is_sound()
