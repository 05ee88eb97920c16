"""What `inspect` says of finished, unfinished and foreign sets."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synthaug.cli.inspect import _show
from synthaug.core.errors import DamageError, InputError
from synthaug.core.folders import folder_at
from synthaug.shards.reader import read_set
from synthaug.shards.resume import prepare_folder
from synthaug.workflows import inspect as inspect_module
from synthaug.workflows.inspect import InspectConfig, inspect
from tests.conftest import plan_of, write_curated_set
from tests.shards.archives import tar_of

MakeShardSet = Callable[..., Path]


def test_a_finished_set_is_described_by_its_manifest(make_shard_set: MakeShardSet) -> None:
    folder = make_shard_set(class_names=("cat", "dog"), per_class=4, shard_size=3)
    found = inspect(InspectConfig(folder=str(folder)))
    assert (found.state, found.samples, found.shards, found.missing_shards) == ("finished", 8, 3, 0)
    assert found.class_counts == {"cat": 4, "dog": 4}
    assert found.bytes == sum(path.stat().st_size for path in folder.glob("*.tar"))
    assert found.settings is not None
    assert found.settings.generator.model == "test"


def test_an_unfinished_set_says_what_is_missing(make_shard_set: MakeShardSet) -> None:
    folder = make_shard_set(per_class=4, shard_size=3)
    (folder / "manifest.json").unlink()
    (folder / "train-000001.tar").unlink()
    found = inspect(InspectConfig(folder=str(folder)))
    assert (found.state, found.samples, found.shards, found.missing_shards) == ("unfinished", 5, 2, 1)


def test_a_set_on_its_way_to_become_longer_is_counted_as_it_is(make_shard_set: MakeShardSet) -> None:
    folder = make_shard_set(per_class=4, shard_size=3)
    longer = plan_of(per_class=6, shard_size=3)
    prepare_folder(folder_at(folder), longer, [3], is_new=False)
    found = inspect(InspectConfig(folder=str(folder)))
    assert (found.state, found.samples, found.shards, found.missing_shards) == ("unfinished", 8, 3, 2)
    assert found.class_counts == {"cat": 4, "dog": 4}


def test_a_curated_set_says_what_was_kept_by_what(make_shard_set: MakeShardSet, tmp_path: Path) -> None:
    source = make_shard_set(class_names=("cat", "dog", "fox"), per_class=4, shard_size=3)
    once = write_curated_set(tmp_path / "once", source, [0, 1, 3, 4, 6, 9])
    twice = write_curated_set(tmp_path / "twice", once, [0, 1, 2])
    found = inspect(InspectConfig(folder=str(twice), grid=tmp_path / "grid.png"))
    assert (found.state, found.samples, found.shards, found.missing_shards) == ("finished", 3, 1, 0)
    assert found.class_counts == {"cat": 2, "dog": 1, "fox": 0}
    text = _show(found)
    assert "curated: 3 of 12 images kept\ncuration: confidence 0.2 removed 6\njudged by: resnet20, 400 steps" in text
    assert text.count("validation accuracy 97.50 %, trained on 12 images of imagefolder:elsewhere (split seed 0)") == 2
    assert text.index("removed 6") < text.index("removed 3")
    assert "curated:" not in _show(inspect(InspectConfig(folder=str(source))))
    with Image.open(tmp_path / "grid.png") as picture:
        assert picture.size == (2 * 33 + 1, 2 * 33 + 1), "a row for each class that is left"
    (once / "manifest.json").unlink()
    (once / "train-000001.tar").unlink()
    found = inspect(InspectConfig(folder=str(once)))
    assert (found.state, found.samples, found.missing_shards) == ("unfinished", 3, 1)


@pytest.mark.parametrize("kind", ["drawn", "curated"])
def test_a_picture_is_made_of_no_more_shards_than_needed(
    kind: str, make_shard_set: MakeShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_shard_set(class_names=("cat", "dog", "fox"), per_class=8, shard_size=6)
    if kind == "curated":  # no fox is left
        folder = write_curated_set(tmp_path / "curated", folder, [place for place in range(24) if place % 3 < 2])
    read: list[str] = []
    original = inspect_module.iterate_shard
    monkeypatch.setattr(inspect_module, "iterate_shard", lambda file: read.append(file.name) or original(file))
    inspect(InspectConfig(folder=str(folder), grid=tmp_path / "grid.png", per_class=2))
    assert read == ["train-000000.tar"]


def test_pictures_of_any_size_make_a_small_grid(tmp_path: Path) -> None:
    members = []
    for number, size in enumerate([(3000, 2000), (40, 500), (500, 500)]):
        buffer = io.BytesIO()
        Image.new("RGB", size, (250, 0, 0)).save(buffer, "PNG")
        members += [(f"{number}.png", buffer.getvalue()), (f"{number}.cls", b"0")]
    inspect(InspectConfig(folder=str(tar_of(tmp_path / "x.tar", members)), grid=tmp_path / "grid.png"))
    picture = np.asarray(Image.open(tmp_path / "grid.png"))
    assert picture.shape == (130, 3 * 129 + 1, 3)
    assert (picture[1:129, 1:129] == (250, 0, 0)).all()


def test_foreign_shards_are_counted_by_reading_them(make_shard_set: MakeShardSet, tmp_path: Path) -> None:
    folder = make_shard_set(per_class=4, shard_size=3)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    for shard in folder.glob("*.tar"):
        shutil.copy(shard, foreign)
    for where in (str(foreign), f"{foreign}/train-{{000000..000002}}.tar"):
        found = inspect(InspectConfig(folder=where))
        assert (found.state, found.samples, found.shards, found.settings) == ("foreign", 8, 3, None)
        assert found.class_counts == {"0": 4, "1": 4}


@pytest.mark.parametrize("channels", [1, 3])
def test_the_picture_shows_the_first_images_of_each_class(
    channels: int, make_shard_set: MakeShardSet, tmp_path: Path
) -> None:
    folder = make_shard_set(per_class=5, shard_size=3, size=32, channels=channels)
    inspect(InspectConfig(folder=str(folder), grid=tmp_path / "grid.png", per_class=4))
    picture = np.asarray(Image.open(tmp_path / "grid.png"))
    assert picture.shape[:2] == (2 * 33 + 1, 4 * 33 + 1)
    images = read_set(folder)[0]
    for row, members in enumerate(images.indices_by_class()):
        for column in range(4):
            shown = picture[row * 33 + 1 : row * 33 + 33, column * 33 + 1 : column * 33 + 33]
            expected = images.images[members[column]].permute(1, 2, 0).numpy().squeeze()
            assert np.array_equal(shown, expected)


def test_places_without_shards_and_damaged_manifests_are_errors(make_shard_set: MakeShardSet, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no shards"):
        inspect(InspectConfig(folder=str(tmp_path)))
    folder = make_shard_set()
    (folder / "manifest.json").write_text("{}")
    with pytest.raises((InputError, DamageError), match=r"manifest\.json"):
        inspect(InspectConfig(folder=str(folder)))
