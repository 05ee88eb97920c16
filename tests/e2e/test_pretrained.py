"""The packaged digits generator, used as it is right after installation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from synthaug.classifiers.recipes import RECIPES
from synthaug.classifiers.resnet import build_network
from synthaug.classifiers.task import predict, train_classifier
from synthaug.cli.main import main
from synthaug.core.runtime import Runtime
from synthaug.core.seeding import generator_for
from synthaug.data.datamodule import MixedDataModule
from synthaug.data.sources import load_source
from synthaug.data.splits import leak, make_splits
from synthaug.metrics.agreement import agreement
from synthaug.shards.reader import read_set
from synthaug.workflows.checkpoints import packaged_checkpoints
from synthaug.workflows.demo import PER_CLASS_REAL


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packaged")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        with pytest.raises(SystemExit) as stop:
            main(["generate", "--model", "ddpm", "--per-class", "50", "--out", "x", "--json", "--quiet"])
    assert stop.value.code == 0
    return folder / "x"


def test_generate_takes_the_packaged_model_where_there_is_no_other(generated: Path) -> None:
    images, manifest = read_set(generated)
    assert images.class_counts() == (50,) * 10
    assert manifest.plan.generator.checkpoint == json_hash("ddpm-digits")


def json_hash(name: str) -> str:
    from synthaug.generators.checkpoint import read_card

    return read_card(packaged_checkpoints()[name]).checkpoint


def test_generate_says_which_checkpoint_it_took(
    generated: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(generated.parent)
    with pytest.raises(SystemExit):
        main(["generate", "--model", "ddpm", "--per-class", "50", "--out", "x", "--json"])
    result = json.loads(capsys.readouterr().out)
    assert "packaged" in result["reason"]
    assert result["checkpoint"].endswith("ddpm-digits")
    assert result["new_images"] == 0


def test_the_packaged_model_may_be_benched_on_the_split_of_the_demo(generated: Path) -> None:
    splits = make_splits(load_source("digits"), per_class_real=PER_CLASS_REAL)
    assert leak(read_set(generated)[1].plan.generator.split, splits.record) is None


def test_a_classifier_of_real_digits_recognises_the_synthetic_ones(generated: Path, tmp_path: Path) -> None:
    splits = make_splits(load_source("digits"))
    runtime = Runtime.resolve("cpu")
    network = build_network("resnet20", channels=1, classes=10, seed=0)
    recipe = RECIPES.get("fast")
    data = MixedDataModule(splits, batch_size=recipe.batch_size, seed=0)
    judge = train_classifier(network, data, recipe, runtime=runtime, root=tmp_path, on_step=lambda _: None).network
    on_test = agreement(predict(judge, splits.test.images, runtime).argmax(1), splits.test.labels, 10)
    assert on_test.overall >= 0.97  # A judge worth asking.
    images, _ = read_set(generated)
    fidelity = agreement(predict(judge, images.images, runtime).argmax(1), images.labels, 10)
    assert fidelity.overall >= 0.9
    assert min(share for share in fidelity.per_class if share is not None) >= 0.7
    shuffled = images.labels[torch.randperm(len(images), generator=generator_for("shuffle"))]
    assert agreement(predict(judge, images.images, runtime).argmax(1), shuffled, 10).overall < 0.25
