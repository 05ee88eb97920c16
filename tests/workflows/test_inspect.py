"""What `inspect` says of finished, unfinished and foreign sets."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synthaug.core.errors import DamageError, InputError
from synthaug.shards.reader import read_set
from synthaug.workflows.inspect import InspectConfig, inspect

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
