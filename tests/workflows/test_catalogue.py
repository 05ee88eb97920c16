import shutil
from pathlib import Path

import pytest

import synthaug.pretrained
from synthaug.classifiers.networks import NETWORKS
from synthaug.classifiers.recipes import RECIPES
from synthaug.data.batch_transforms import TRANSFORMS
from synthaug.data.sources import SOURCES
from synthaug.generators.base import load_backend
from synthaug.workflows.catalogue import catalogue


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of packaged checkpoints, empty."""
    folder = tmp_path / "package"
    folder.mkdir()
    monkeypatch.setattr(synthaug.pretrained, "__path__", [str(folder)])
    return folder


def test_every_name_that_can_be_chosen_is_listed(tmp_path: Path) -> None:
    found = catalogue(tmp_path / "nothing here")
    assert found.generators["ddpm"] == load_backend("ddpm").presets
    assert {"digits", "cpu", "small", "base", "large"} <= set(found.generators["ddpm"])
    assert list(found.recipes) == RECIPES.names()
    for name, recipe in RECIPES.items():
        assert recipe.purpose in found.recipes[name]
        assert recipe.expected in found.recipes[name]
    assert found.networks == NETWORKS.names()
    assert found.transforms == TRANSFORMS.names()
    assert found.sources == SOURCES.names()
    assert found.checkpoints == {}


def test_checkpoints_of_yours_are_described_by_what_they_learned(tiny_checkpoint: Path, tmp_path: Path) -> None:
    yours = shutil.copytree(tiny_checkpoint, tmp_path / "runs" / "mine")
    [(name, description)] = catalogue(tmp_path / "runs").checkpoints.items()
    assert name == str(yours)
    assert description.startswith("ddpm ")
    assert description.endswith("10 classes at 8x8, trained on 50 images of digits, 5 steps")


def test_packaged_checkpoints_are_listed_by_name(tiny_checkpoint: Path, package: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_checkpoint, package / "ddpm-digits")
    assert list(catalogue(tmp_path / "nothing here").checkpoints) == ["ddpm-digits"]


def test_broken_checkpoint_hides_no_other(tiny_checkpoint: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_checkpoint, tmp_path / "runs" / "whole")
    (tmp_path / "runs" / "broken").mkdir()
    (tmp_path / "runs" / "broken" / "synthaug.json").write_text("{")
    assert list(catalogue(tmp_path / "runs").checkpoints) == [str(tmp_path / "runs" / "whole")]
