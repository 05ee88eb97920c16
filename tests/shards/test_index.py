import copy
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest
import torch

from synthaug.core.errors import DamageError, InputError
from synthaug.core.folders import folder_at
from synthaug.core.storage import cache_home
from synthaug.core.types import LabelledImages
from synthaug.shards import decoded as decoded_module
from synthaug.shards import index as index_module
from synthaug.shards.decoded import DecodedSet
from synthaug.shards.index import IndexedSet
from synthaug.shards.reader import read_set
from tests.conftest import write_shard_set

Open = Callable[..., IndexedSet | DecodedSet]


@pytest.fixture(autouse=True)
def _cache_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SYNTHAUG_HOME", str(tmp_path / "home"))


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """Ten images in shards of 7 and 3."""
    return write_shard_set(tmp_path / "set", per_class=5, shard_size=7)


def images_of(where: Path) -> LabelledImages:
    return read_set(where)[0]


def flip_a_bit(shard: Path, position: int) -> None:
    data = bytearray(shard.read_bytes())
    data[position] ^= 1
    shard.write_bytes(data)


@pytest.mark.parametrize("kind", [IndexedSet, DecodedSet])
@pytest.mark.parametrize("image_format", ["png", "webp"])
@pytest.mark.parametrize("channels", [1, 3])
def test_samples_are_read_in_any_order(kind: Open, image_format: str, channels: int, tmp_path: Path) -> None:
    where = write_shard_set(tmp_path / "set", per_class=5, shard_size=7, channels=channels, image_format=image_format)
    opened, expected = kind(where), images_of(where)
    order = torch.tensor([9, 0, 3, 3, 8])
    for _ in range(2):
        assert torch.equal(opened.images(order), expected.images[order])
        assert torch.equal(opened.labels, expected.labels)
        assert (len(opened), opened.shard_sizes) == (10, (7, 3))
        opened = kind(where)  # from the cache
    assert opened.images(torch.tensor([], dtype=torch.int64)).shape == (0, channels, 8, 8)


def test_few_shards_are_open_at_a_time(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "_OPEN_FILES", 1)
    opened, expected = IndexedSet(made), images_of(made)
    for _ in range(3):
        assert torch.equal(opened.images(torch.arange(10).flip(0)), expected.images.flip(0))
        assert len(opened._open) == 1
    opened.close()
    assert torch.equal(opened.images(torch.tensor([4])), expected.images[[4]])


def test_other_processes_and_threads_open_their_own_files(made: Path) -> None:
    opened = IndexedSet(made)
    opened.images(torch.arange(10))
    for twin in (pickle.loads(pickle.dumps(opened)), copy.copy(opened)):
        assert not twin._open
        assert torch.equal(twin.images(torch.arange(10)), images_of(made).images)


def test_an_index_is_kept_until_a_shard_is_written_to(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    IndexedSet(made)
    with monkeypatch.context() as patch:
        patch.setattr(index_module, "iterate_shard", lambda *_, **__: pytest.fail("indexed again"))
        IndexedSet(made)
    flip_a_bit(made / "train-000001.tar", 700)
    with pytest.raises(DamageError, match=r"train-000001\.tar is not the shard that its manifest promises"):
        IndexedSet(made)


def test_decoded_pixels_are_mapped_from_the_cache(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = DecodedSet(made).pixels
    for name in ("IndexedSet", "_decoded"):
        monkeypatch.setattr(decoded_module, name, lambda *_, **__: pytest.fail("decoded again"))
    again = DecodedSet(made)
    assert torch.equal(again.pixels, expected)
    [file] = cache_home().glob("decoded/*/images.npy")
    assert file.stat().st_size == pytest.approx(again.pixels.nbytes, abs=200)
    again.pixels[0] = 0  # a private page: the file stays
    assert torch.equal(DecodedSet(made).pixels, expected)


def test_another_set_in_the_same_place_is_decoded_anew(made: Path, tmp_path: Path) -> None:
    first = DecodedSet(made).pixels.clone()
    shutil.rmtree(made)
    write_shard_set(made, per_class=5, shard_size=7, seed=1)
    assert not torch.equal(DecodedSet(made).pixels, first)


def test_a_cache_that_cannot_be_written_is_done_without(
    made: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SYNTHAUG_HOME", str(tmp_path / "file"))
    for kind in (IndexedSet, DecodedSet):
        assert torch.equal(kind(made).images(torch.arange(10)), images_of(made).images)
    assert "is not kept for later runs" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x93NUMPY"])
def test_what_is_damaged_in_the_cache_is_made_again(content: bytes, made: Path) -> None:
    expected = images_of(made)
    for kind, kept in ((IndexedSet, "indices/*.npy"), (DecodedSet, "decoded/*/*.npy")):
        kind(made)
        for file in cache_home().glob(kept):
            file.write_bytes(content)
            assert torch.equal(kind(made).images(torch.arange(10)), expected.images)
            assert torch.equal(kind(made).labels, expected.labels)
            assert file.stat().st_size > 100


# --- damage ---


@pytest.mark.parametrize("kind", [IndexedSet, DecodedSet])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda shard: flip_a_bit(shard, 700), "is not the shard that its manifest promises; synthaug verify"),
        (lambda shard: shard.write_bytes(shard.read_bytes()[:-3000]), "is not the shard that its manifest promises"),
        (lambda shard: shard.unlink(), "is missing; synthaug verify --repair restores it"),
    ],
    ids=["flipped", "cut", "missing"],
)
def test_damage_is_found_when_a_set_is_opened(
    kind: Open, damage: Callable[[Path], None], message: str, made: Path
) -> None:
    damage(made / "train-000001.tar")
    with pytest.raises(DamageError, match=message):
        kind(made)


@pytest.mark.parametrize("kind", [IndexedSet, DecodedSet])
def test_damaged_samples_may_be_left_out(kind: Open, made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = images_of(made)
    data = (made / "train-000000.tar").read_bytes()
    flip_a_bit(made / "train-000000.tar", data.index(b"IDAT") + 10)  # in the first image
    (made / "train-000001.tar").unlink()
    for _ in range(2):
        opened = kind(made, on_damage="skip")
        assert opened.shard_sizes == (6, 0)
        assert torch.equal(opened.labels, whole.labels[1:7])
        assert torch.equal(opened.images(torch.arange(6)), whole.images[1:7])
        assert "skipped 2 damaged piece(s)" in capsys.readouterr().err


def test_a_set_of_which_nothing_is_whole_is_refused(made: Path) -> None:
    for shard in made.glob("*.tar"):
        shard.unlink()
    for kind in (IndexedSet, DecodedSet):
        with pytest.raises(InputError, match="at least one whole sample is needed, found none"):
            kind(made, on_damage="skip")


def test_damage_that_comes_later_is_found_when_it_is_read(made: Path) -> None:
    opened = IndexedSet(made)
    flip_a_bit(made / "train-000000.tar", (made / "train-000000.tar").read_bytes().index(b"IDAT") + 10)
    with pytest.raises(DamageError, match=r"train-000000\.tar: image 0: damaged"):
        opened.images(torch.tensor([0]))


def test_an_unfinished_set_is_refused(made: Path) -> None:
    (made / "manifest.json").unlink()
    for kind in (IndexedSet, DecodedSet):
        with pytest.raises(InputError, match="is unfinished"):
            kind(made)


# --- sets at URLs ---


@pytest.fixture
def remote(made: Path) -> str:
    """The same set in an object store in memory."""
    url = f"memory://{made.name}-{made.parent.name}"
    folder_at(url).prepare()
    for file in made.iterdir():
        folder_at(url).write(file.name, file.read_bytes())
    return url


@pytest.mark.parametrize("kind", [IndexedSet, DecodedSet])
def test_a_set_at_a_url_is_copied_once(kind: Open, remote: str, made: Path) -> None:
    expected = images_of(made)
    assert torch.equal(kind(remote).images(torch.arange(10)), expected.images)
    system = fsspec.filesystem("memory")
    for path in system.glob(f"{remote.removeprefix('memory:/')}/*.tar"):
        system.rm(path)
    assert torch.equal(kind(remote).images(torch.arange(10)), expected.images)


def test_a_damaged_copy_is_not_kept(remote: str, made: Path) -> None:
    shard = made / "train-000001.tar"
    whole = shard.read_bytes()
    folder_at(remote).write(shard.name, whole[:-512])
    with pytest.raises(DamageError, match=r"train-000001\.tar is not the shard that its manifest promises"):
        IndexedSet(remote)
    folder_at(remote).write(shard.name, whole)
    assert len(IndexedSet(remote)) == 10
