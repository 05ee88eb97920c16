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
from synthaug.core.seeding import SampleNoise, generator_for
from synthaug.core.types import LabelledImages
from synthaug.data.splits import Splits
from synthaug.generators.acgan import sampler, training, watch
from synthaug.generators.acgan.augment import augment
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
def make_request(tmp_path: Path, digits_splits: Splits, monkeypatch: pytest.MonkeyPatch) -> MakeRequest:
    """`make_request(out_name, **changes)`: a training of a few steps on 200 digits."""
    monkeypatch.setattr(sampler, "_BATCHES", 2)  # of the images for batch-norm statistics, to be quick

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


def test_a_step_updates_the_discriminator_as_often_as_asked(make_request: MakeRequest) -> None:
    request = make_request(options={"discriminator_steps": 3}, budget=3 * BATCH)
    BACKEND.train(request)
    counts = [
        {int(moment["step"]) for moment in one["state"].values()} for one in read_state(request)["optimizer_states"]
    ]
    assert counts == [{1}, {3}]


def test_the_average_follows_by_the_recursion(make_request: MakeRequest) -> None:
    half_life = 0.5
    requests = [make_request(str(steps), budget=steps * PER_STEP, ema_half_life=half_life) for steps in (1, 2)]
    for request in requests:
        BACKEND.train(request)
    name = "blocks.0.conv1.parametrizations.weight.original"
    average = make_task(requests[0], resolve(requests[0])).network.state_dict()[name]
    for step, request in enumerate(requests, start=1):
        decay = decay_at(step * PER_STEP, PER_STEP, half_life)
        assert 0.1 < decay < 0.9
        state = read_state(request)["state_dict"]
        average = decay * average + (1 - decay) * state[f"network.{name}"]
        torch.testing.assert_close(state[f"average.{name}"], average)
        assert not torch.allclose(average, state[f"network.{name}"], atol=1e-5)


def losses_of(make_request: MakeRequest, preset: str, **options: float) -> tuple[Tensor, Tensor]:
    """The losses of both networks for the same batch, in evaluation mode, where nothing is dropped."""
    request = make_request(preset=preset, options=options)
    task = make_task(request, resolve(request))
    task.eval()
    task.log_dict = lambda *_: None  # it has no trainer
    real, labels = task._real(0, generator_for("images"))
    discriminators = task._discriminator_loss(real, labels, generator_for("step"))
    return discriminators.detach(), task._generator_loss(generator_for("step")).detach()


@pytest.mark.parametrize("preset", ["digits", "resnet", "classic"])
def test_both_networks_learn_classes_by_the_weight_given(make_request: MakeRequest, preset: str) -> None:
    request = make_request(preset=preset)
    task = make_task(request, resolve(request))
    task.eval()
    random = generator_for("images")
    real, labels = task._real(0, random)
    random = generator_for("step")
    fake, fake_labels = task._fake(random)
    judge = task.discriminator
    of_real, of_fake = (
        judge.class_loss(judge(augmented), known)
        for augmented, known in (
            (augment(real, task._changes, random), labels),
            (augment(fake, task._changes, random), fake_labels),
        )
    )
    expected = of_real + of_fake if preset == "classic" else of_real
    nothing, half = (losses_of(make_request, preset, class_weight=weight) for weight in (0.0, 0.5))
    torch.testing.assert_close(half[0] - nothing[0], 0.5 * expected.detach(), rtol=1e-4, atol=1e-5)
    random = generator_for("step")
    fake, fake_labels = task._fake(random)
    of_fake = judge.class_loss(judge(augment(fake, task._changes, random)), fake_labels)
    torch.testing.assert_close(half[1] - nothing[1], 0.5 * of_fake.detach(), rtol=1e-4, atol=1e-5)
    assert of_fake > 0.1


def test_r1_adds_gamma_times_the_penalty_to_the_discriminators_loss_only(make_request: MakeRequest) -> None:
    request = make_request()
    task = make_task(request, resolve(request))
    task.eval()
    real = task._real(0, generator_for("images"))[0].requires_grad_(True)
    (slopes,) = torch.autograd.grad(task.discriminator(real).source.sum(), real)
    penalty = slopes.square().sum(dim=(1, 2, 3)).mean() / 2
    without, with_it = (losses_of(make_request, "digits", r1=gamma) for gamma in (0.0, 3.0))
    torch.testing.assert_close(with_it[0] - without[0], 3.0 * penalty, rtol=1e-3, atol=1e-6)
    assert torch.equal(with_it[1], without[1])
    assert penalty > 0


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


def test_classes_that_collapse_are_warned_of_and_no_others(
    make_request: MakeRequest, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    request = make_request(budget=20 * PER_STEP)
    real = request.images

    def draw(self: ACGANTask, labels: Tensor, noise: SampleNoise) -> Tensor:
        """Real images, but class 3 always the same one."""
        members = [list(real.indices_by_class())[int(label)] for label in labels]
        return torch.stack(
            [
                real.images[own[0 if label == 3 else i % len(own)]]
                for i, (label, own) in enumerate(zip(labels, members, strict=True))
            ]
        )

    monkeypatch.setattr(ACGANTask, "draw", draw)
    BACKEND.train(request)
    shown = " ".join(capsys.readouterr().err.split())
    assert shown.count("samples of a class look alike") == 1
    assert "their diversity as a share of that of real images: 3 (0 %). A smaller" in shown


def test_single_images_of_a_class_have_no_diversity_to_compare_with(make_request: MakeRequest) -> None:
    request = make_request()
    chosen = torch.stack([own[0] for own in request.images.indices_by_class()])
    few = LabelledImages.of(
        request.images.images[chosen], request.images.labels[chosen], request.images.class_names, "one of each"
    )
    BACKEND.train(replace(request, images=few))
    assert read_card(request.out).training.is_complete


def test_diversity_is_the_mean_distance_between_two_images() -> None:
    images = torch.zeros(3, 1, 2, 2, dtype=torch.uint8)
    images[1] = 255
    assert watch.diversity(images) == pytest.approx(2 * (2 / 3))
    assert watch.diversity(images[:1]) == 0.0


@pytest.fixture
def winning(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """`winning(step)`: from that step on, the discriminator is said to err no more."""
    monkeypatch.setattr(watch, "_WINDOW", 20)
    monkeypatch.setattr(watch, "_EVERY", 10)
    original = ACGANTask.training_step

    def since(step: int) -> None:
        def training_step(self: ACGANTask, batch: Any, batch_idx: int) -> Tensor:
            loss = original(self, batch, batch_idx)
            if self.global_step > step:
                self.source_loss = torch.full((), 1e-4)
            return loss

        monkeypatch.setattr(ACGANTask, "training_step", training_step)

    return since


@pytest.mark.parametrize(("is_measured", "kept_after"), [(True, 20 * PER_STEP), (False, 40 * PER_STEP)])
def test_a_discriminator_that_wins_ends_the_training_with_the_best_weights(
    make_request: MakeRequest,
    winning: Callable[[int], None],
    capsys: pytest.CaptureFixture[str],
    is_measured: bool,
    kept_after: int,
) -> None:
    winning(40)
    measuring = {"monitor": lambda *_: {"frechet": 7.0}, "monitor_every": 20 * PER_STEP} if is_measured else {}
    request = make_request(budget=300 * PER_STEP, **measuring)
    with pytest.raises(
        TrainingError, match=r"the discriminator has won at step 60: .* is 0\.0001, guessing costs 2.*--r1 1"
    ):
        BACKEND.train(request)
    shown = " ".join(capsys.readouterr().err.split())
    assert (
        "warning: at step 50 the discriminator hardly errs: its source loss is 0.005 % of what guessing costs" in shown
    )
    training = read_card(request.out).training
    assert training.kept_after == kept_after
    assert not training.is_complete
    assert samples(request).float().std() > 1


def test_a_discriminator_that_wins_from_the_beginning_leaves_no_checkpoint(
    make_request: MakeRequest, winning: Callable[[int], None]
) -> None:
    winning(0)
    request = make_request(budget=300 * PER_STEP)
    with pytest.raises(TrainingError, match="no earlier weights were worth keeping"):
        BACKEND.train(request)
    assert not (request.out / CARD_NAME).exists()


def test_a_discriminator_that_really_wins_is_noticed(
    make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_WINDOW", 20)
    monkeypatch.setattr(watch, "_EVERY", 10)
    monkeypatch.setattr(watch, "_WON", 0.2)
    # Real and generated images cannot be told apart by a generator that learns nothing.
    monkeypatch.setattr(ACGANTask, "_generator_loss", lambda self, _: 0 * self.network.first.weight.sum())
    request = make_request(budget=1000 * PER_STEP, learning_rate=5e-3, options={"diffaugment": "none"})
    with pytest.raises(TrainingError, match="the discriminator has won"):
        BACKEND.train(request)
    assert 0 < read_card(request.out).training.kept_after < 1000 * PER_STEP


def test_a_resumed_training_measures_what_it_kept_by_its_own_monitor(make_request: MakeRequest) -> None:
    request = make_request(monitor_every=PER_STEP)
    BACKEND.train(replace(request, monitor=lambda *_: {"frechet": 1.0}, max_time=0.0))
    assert read_card(request.out).training.kept_after == PER_STEP
    figures = iter([5.0, 4.0, 6.0, 6.0, 6.0, 6.0])  # of the kept weights first
    BACKEND.train(replace(request, monitor=lambda *_: {"frechet": next(figures)}, resume_from=state_of(request)))
    assert read_card(request.out).training.kept_after == 2 * PER_STEP


def test_several_processes_are_refused(make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "launched_processes", lambda: (2, 1))
    with pytest.raises(InputError, match="an ACGAN trains in one process; start it without torchrun"):
        BACKEND.plan(make_request())


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
        ({"options": {"objective": "edm"}}, "--objective is not for acgan, leave it out; its own choices are --discr"),
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


def test_a_state_in_which_the_discriminator_hardly_errs_is_not_worth_keeping() -> None:
    stop = watch.StopWhenDiscriminatorWins()
    assert stop.is_sound()
    stop.load_state_dict({"losses": [torch.tensor(0.5)], "share": 0.25})
    assert stop.is_sound()
    stop.load_state_dict({"losses": [torch.tensor(0.1)], "share": 0.05})
    assert not stop.is_sound()
