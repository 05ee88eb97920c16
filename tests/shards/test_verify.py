from pathlib import Path

import pytest

from synthaug.core.errors import DamageError, InputError
from synthaug.shards.manifest import MANIFEST_NAME, Manifest
from synthaug.shards.verify import Verification, verify_set


@pytest.fixture
def folder(make_shard_set) -> Path:
    return make_shard_set(class_names=("cat", "dog"), per_class=4, shard_size=3)


def test_an_intact_set_passes_with_its_totals(folder: Path) -> None:
    size = sum(path.stat().st_size for path in folder.glob("*.tar"))
    assert verify_set(folder) == Verification(shards=3, samples=8, bytes=size, class_counts={"cat": 4, "dog": 4})


def test_a_flipped_bit_anywhere_is_found(folder: Path) -> None:
    path = folder / "train-000001.tar"
    data = bytearray(path.read_bytes())
    for position in (0, 600, len(data) // 2, len(data) - 1):
        data[position] ^= 1
        path.write_bytes(data)
        with pytest.raises(DamageError, match=r"train-000001\.tar has another sha256") as caught:
            verify_set(folder)
        assert caught.value.exit_code == 3
        assert "train-000000" not in str(caught.value)
        data[position] ^= 1
    path.write_bytes(data)
    verify_set(folder)


def test_a_truncated_shard_is_found_with_both_sizes(folder: Path) -> None:
    path = folder / "train-000000.tar"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(DamageError, match=rf"train-000000\.tar has {len(whole) - 1} bytes instead of {len(whole)}"):
        verify_set(folder)


def test_a_deleted_shard_is_found(folder: Path) -> None:
    (folder / "train-000002.tar").unlink()
    with pytest.raises(DamageError, match=r"train-000002\.tar is missing"):
        verify_set(folder)


def test_all_damage_is_named_at_once_with_the_remedy(folder: Path) -> None:
    (folder / "train-000000.tar").unlink()
    (folder / "train-000002.tar").write_bytes(b"")
    with pytest.raises(DamageError, match=r"000000\.tar is missing; train-000002\.tar has 0 bytes.*generate again"):
        verify_set(folder)


def test_swapped_shards_are_found(folder: Path) -> None:
    first, second = folder / "train-000000.tar", folder / "train-000001.tar"
    assert first.stat().st_size == second.stat().st_size
    data = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(data)
    with pytest.raises(DamageError, match=r"000000\.tar has another sha256; train-000001\.tar has another sha256"):
        verify_set(folder)


def test_a_set_without_a_manifest_cannot_be_verified(folder: Path) -> None:
    (folder / MANIFEST_NAME).unlink()
    with pytest.raises(InputError, match="run the same generate command again to finish it"):
        verify_set(folder)


def test_verifying_changes_nothing(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    verify_set(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert Manifest.read(folder).sample_count == 8
