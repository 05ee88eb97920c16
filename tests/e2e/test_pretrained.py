"""The packaged generators, used as they are right after installation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from synthaug.cli.main import main
from synthaug.core.runtime import Runtime
from synthaug.core.seeding import SampleNoise, generator_for
from synthaug.data.sources import load_source
from synthaug.data.splits import leak, make_splits
from synthaug.generators.base import SamplerSettings, load_backend
from synthaug.generators.checkpoint import read_card
from synthaug.shards.reader import read_set
from synthaug.workflows.checkpoints import packaged_checkpoints
from synthaug.workflows.demo import PER_CLASS_REAL
from synthaug.workflows.judge import Judge

#: What their samples must reach: recognised, recall, coverage.
LIMITS = {"ddpm": (0.97, 0.5, 0.8), "acgan": (0.95, 0.3, 0.5)}


@pytest.fixture(scope="module", params=list(LIMITS))
def model(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory, model: str) -> Path:
    folder = tmp_path_factory.mktemp("packaged")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        with pytest.raises(SystemExit) as stop:
            main(["generate", "--model", f"{model}-digits", "--per-class", "50", "--out", "x", "--json", "--quiet"])
    assert stop.value.code == 0
    return folder / "x"


def test_generate_takes_the_packaged_model_that_was_named(generated: Path, model: str) -> None:
    images, manifest = read_set(generated)
    assert images.class_counts() == (50,) * 10
    assert manifest.plan.generator.checkpoint == read_card(packaged_checkpoints()[f"{model}-digits"]).checkpoint


def test_a_kind_alone_draws_photographs_right_after_installation(
    model: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["generate", "--model", model, "--per-class", "1", "--out", "x", "--json"])
    assert stop.value.code == 0
    result = json.loads(capsys.readouterr().out)
    assert f"{model}-cifar10, packaged" in result["reason"]
    images, manifest = read_set(tmp_path / "x")
    assert (images.channels, images.image_size, images.class_names[3]) == (3, 32, "cat")
    assert manifest.plan.guidance == {"ddpm": 1.5, "acgan": 1.0}[model]


def test_the_packaged_model_may_be_benched_on_the_split_of_the_demo(generated: Path) -> None:
    splits = make_splits(load_source("digits"), per_class_real=PER_CLASS_REAL)
    assert leak(read_set(generated)[1].plan.generator.split, splits.record) is None


@pytest.fixture(scope="module")
def judge() -> Judge:
    """Trained on all real training digits; compares with test digits, which the generator has not seen."""
    splits = make_splits(load_source("digits"))
    unseen = make_splits(load_source("digits"), per_class_real=PER_CLASS_REAL).test
    trained = Judge.trained(splits, Runtime("cpu", "fp32"), reference=unseen)
    assert trained.validation_accuracy >= 0.97  # a judge worth asking
    return trained


def test_a_classifier_of_real_digits_recognises_the_synthetic_ones(generated: Path, model: str, judge: Judge) -> None:
    images, _ = read_set(generated)
    assert judge.figures(images.images, images.labels)["recognised"] >= LIMITS[model][0]
    shuffled = images.labels[torch.randperm(len(images), generator=generator_for("shuffle"))]
    assert judge.figures(images.images, shuffled)["recognised"] < 0.25


def test_synthetic_digits_are_varied_and_repeated_ones_are_not(generated: Path, model: str, judge: Judge) -> None:
    images, _ = read_set(generated)
    figures = judge.figures(images.images, images.labels)
    assert figures["recall"] >= LIMITS[model][1]
    assert figures["coverage"] >= LIMITS[model][2]
    first = torch.stack([(images.labels == label).nonzero()[0, 0] for label in range(10)]).repeat(50)
    collapsed = judge.figures(images.images[first], images.labels[first])
    assert collapsed["recognised"] >= 0.9  # their labels are right ...
    assert collapsed["recall"] < 0.1  # ... and that is all
    assert collapsed["coverage"] < 0.5


@pytest.mark.parametrize("name", list(packaged_checkpoints()))
def test_every_packaged_generator_draws_pictures_that_differ_by_class(name: str) -> None:
    folder = packaged_checkpoints()[name]
    card = read_card(folder)
    generator = load_backend(card.model).load(folder, Runtime("cpu", "fp32"))
    samples, default = [(0, 0), (1, 0), (1, 1)], generator.default_settings
    noise = SampleNoise(0, samples, generator.spec.noise_shape)
    settings = SamplerSettings(default.sampler, min(5, default.steps), default.guidance)
    images = generator.sample(torch.tensor([0, 1, 1]), noise, settings)
    assert images.shape == (3, card.channels, card.image_size, card.image_size)
    assert images.float().flatten(1).std(dim=1).min() > 10  # none is empty
    assert torch.pdist(images.float().flatten(1)).min() > 10 * card.image_size  # ten of 255 for each pixel
