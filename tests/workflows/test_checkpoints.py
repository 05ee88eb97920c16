"""Which checkpoint a name stands for."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

import synthaug.pretrained
from synthaug.core.errors import InputError
from synthaug.generators.checkpoint import CARD_NAME, read_card
from synthaug.workflows.checkpoints import find_by_hash, find_checkpoint, local_checkpoints, packaged_checkpoints


def place(card: Path, folder: Path, *, modified: int = 1, model: str = "ddpm", per_class: int | None = None) -> Path:
    """A checkpoint folder with nothing but its card, last changed at second `modified`."""
    folder.mkdir(parents=True)
    entry = json.loads((card / CARD_NAME).read_text()) | {"model": model}
    if per_class is not None:
        entry["split"]["class_counts"] = [per_class] * len(entry["class_names"])
    (folder / CARD_NAME).write_text(json.dumps(entry))
    os.utime(folder / CARD_NAME, (modified, modified))
    return folder


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_checkpoint: Path) -> Path:
    """The folder of packaged checkpoints, with one called `ddpm-digits` in it."""
    root = tmp_path / "package"
    place(tiny_checkpoint, root / "ddpm-digits", modified=1)
    monkeypatch.setattr(synthaug.pretrained, "__path__", [str(root)])
    return root


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """An empty folder to look below."""
    folder = tmp_path / "here"
    folder.mkdir()
    return folder


def test_folder_stands_for_itself(tiny_checkpoint: Path, here: Path) -> None:
    found = find_checkpoint(str(tiny_checkpoint), below=here)
    assert found.folder == tiny_checkpoint
    assert found.card.model == "ddpm"


def test_newest_of_your_own_wins_over_older_and_packaged_ones(tiny_checkpoint: Path, package: Path, here: Path) -> None:
    place(tiny_checkpoint, here / "old", modified=100)
    newest = place(tiny_checkpoint, here / "runs" / "deep" / "new", modified=200)
    place(tiny_checkpoint, here / "other", modified=150)
    found = find_checkpoint("ddpm", below=here)
    assert found.folder == newest
    assert "newest" in found.reason


def test_newest_is_of_the_kind_that_was_asked_for(tiny_checkpoint: Path, here: Path) -> None:
    asked = place(tiny_checkpoint, here / "old", modified=100)
    place(tiny_checkpoint, here / "new", modified=200, model="another")
    assert find_checkpoint("ddpm", below=here).folder == asked


def test_packaged_one_is_taken_where_you_have_none(package: Path, here: Path) -> None:
    found = find_checkpoint("ddpm", below=here)
    assert found.folder == package / "ddpm-digits"
    assert "packaged" in found.reason


def test_of_several_packaged_ones_the_one_trained_on_most_images_is_taken(
    tiny_checkpoint: Path, package: Path, here: Path
) -> None:
    place(tiny_checkpoint, package / "ddpm-a", per_class=100)
    place(tiny_checkpoint, package / "ddpm-m", per_class=4500)
    place(tiny_checkpoint, package / "ddpm-z", per_class=5)
    place(tiny_checkpoint, package / "acgan-a", per_class=9000, model="acgan")
    found = find_checkpoint("ddpm", below=here)
    assert found.folder == package / "ddpm-m"
    assert found.reason.startswith("ddpm-m, packaged with synthaug")


def test_packaged_one_can_be_named_even_beside_your_own(tiny_checkpoint: Path, package: Path, here: Path) -> None:
    place(tiny_checkpoint, here / "new", modified=200)
    assert packaged_checkpoints() == {"ddpm-digits": package / "ddpm-digits"}
    assert find_checkpoint("ddpm-digits", below=here).folder == package / "ddpm-digits"


def test_hidden_and_deeply_buried_folders_are_passed_over(tiny_checkpoint: Path, here: Path) -> None:
    place(tiny_checkpoint, here / ".hidden", modified=1)
    place(tiny_checkpoint, here / "a" / "b" / "c" / "d", modified=1)
    third = place(tiny_checkpoint, here / "a" / "b" / "third", modified=1)
    assert local_checkpoints(here) == [third]


def test_unknown_name_is_answered_with_backends_and_packaged_names(package: Path, here: Path) -> None:
    with pytest.raises(InputError, match=r"unknown model 'vae': .*\bddpm\b.*ddpm-digits"):
        find_checkpoint("vae", below=here)


def test_folder_that_is_no_checkpoint_is_unknown(here: Path) -> None:
    with pytest.raises(InputError, match="unknown model"):
        find_checkpoint(str(here), below=here)


def test_nothing_to_be_found_tells_how_to_make_one(package: Path, here: Path) -> None:
    shutil.rmtree(package / "ddpm-digits")
    with pytest.raises(InputError, match="synthaug train --model ddpm"):
        find_checkpoint("ddpm", below=here)


def test_hash_stands_for_one_checkpoint_wherever_it_is(tiny_checkpoint: Path, package: Path, here: Path) -> None:
    checkpoint, packaged = read_card(tiny_checkpoint).checkpoint, package / "ddpm-digits"
    mine = place(tiny_checkpoint, here / "runs" / "mine", modified=1)
    hints = [str(here / "gone"), str(tiny_checkpoint)]
    assert find_by_hash(checkpoint, hints, below=here).folder == tiny_checkpoint
    assert find_by_hash(checkpoint, [], below=here).folder == packaged
    shutil.rmtree(packaged)
    assert find_by_hash(checkpoint, [], below=here).folder == mine
    with pytest.raises(InputError, match=r"^the checkpoint 0{12}\.\.\. of this set .*gone.*name it with --model$"):
        find_by_hash("0" * 64, hints, below=here)
