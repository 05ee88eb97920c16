from pathlib import Path

import pytest

from synthaug.core.errors import InputError
from synthaug.core.folders import folder_at
from synthaug.shards.find import resolve_shards, shards_of


@pytest.fixture(params=["disk", "store"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder with shards of two splits and other files, on a disk or in a store."""
    found = str(tmp_path / "shards") if request.param == "disk" else f"memory:/{tmp_path}/shards"
    for name in ("train-000001.tar", "train-000000.tar", "test-000000.tar", "other.tar", "train-x.txt", ".train-2.tar"):
        folder_at(found).write(name, b"")
    return found


def names(where: str, split: str = "train") -> list[str]:
    return [shard.name for shard in resolve_shards(where, split=split)]


def test_a_folder_gives_the_shards_of_a_split_in_order(where: str) -> None:
    assert names(where) == ["train-000000.tar", "train-000001.tar"]
    assert names(where, "test") == ["test-000000.tar"]
    assert [str(shard) for shard in resolve_shards(where)] == [f"{where}/train-00000{number}.tar" for number in (0, 1)]


def test_a_folder_without_train_names_is_all_training_data_but_for_the_test_shards(where: str) -> None:
    for number in range(2):
        folder_at(where).remove(f"train-00000{number}.tar")
    assert names(where) == ["other.tar"]
    assert names(where, "test") == ["test-000000.tar"]


def test_a_pattern_names_its_shards_wherever_they_are(where: str) -> None:
    assert [str(shard) for shard in resolve_shards(where + "/train-{000000..000001}.tar")] == [
        f"{where}/train-000000.tar",
        f"{where}/train-000001.tar",
    ]
    assert names(f"{where}/other.tar") == ["other.tar"]


def test_a_folder_without_a_manifest_gives_its_shards_and_no_manifest(where: str) -> None:
    shards, manifest = shards_of(where)
    assert [shard.name for shard in shards] == names(where)
    assert manifest is None


def test_a_finished_set_gives_the_shards_of_its_manifest(make_shard_set) -> None:
    folder = make_shard_set(per_class=4, shard_size=3)
    (folder / "train-000001.tar").unlink()
    (folder / "train-000009.tar").touch()
    shards, manifest = shards_of(folder)
    assert manifest is not None
    assert [shard.name for shard in shards] == [f"train-00000{number}.tar" for number in range(3)]


def test_ranges_expand_with_their_leading_zeros() -> None:
    assert [str(shard) for shard in resolve_shards("d/x-{008..011}.tar")] == [
        "d/x-008.tar",
        "d/x-009.tar",
        "d/x-010.tar",
        "d/x-011.tar",
    ]
    assert [str(shard) for shard in resolve_shards("{0..1}/{1..2}.tar")] == ["0/1.tar", "0/2.tar", "1/1.tar", "1/2.tar"]


def test_a_pattern_names_no_test_shards() -> None:
    assert resolve_shards("d/x-{000..002}.tar", split="test") == []


@pytest.mark.parametrize("where", ["", "x-{5..4}.tar"])
def test_nothing_to_train_on_is_refused_with_an_example(where: str) -> None:
    with pytest.raises(InputError, match=r"no shards .* give a folder or a pattern like DIR/x-\{000\.\.009\}\.tar"):
        resolve_shards(where)


def test_an_empty_folder_has_no_shards_but_may_lack_test_shards(tmp_path: Path) -> None:
    for where in (str(tmp_path), f"memory:/{tmp_path}"):
        with pytest.raises(InputError, match="no shards"):
            resolve_shards(where)
        assert resolve_shards(where, split="test") == []


def test_a_range_is_bounded() -> None:
    with pytest.raises(InputError, match="at most 1000000 shards can be named"):
        resolve_shards("x-{0..999999999}.tar")
    endless = "x-{0.." + "9" * 50 + "}.tar"
    assert [shard.name for shard in resolve_shards(endless)] == [endless], "too long for a range: just a name"
