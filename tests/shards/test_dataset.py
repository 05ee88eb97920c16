from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from synthaug.core.errors import DamageError, InputError
from synthaug.core.folders import folder_at
from synthaug.core.pixels import encode_png
from synthaug.shards import dataset as dataset_module
from synthaug.shards.dataset import Piece, ShardDataset, share
from synthaug.shards.find import ShardFile
from synthaug.shards.manifest import Manifest
from synthaug.shards.reader import read_set
from tests.conftest import MakeShardSet, random_pixels, write_shard_set
from tests.shards.archives import tar_of

SHARD_COUNTS = (1, 2, 3, 5, 8)


class Worker:
    """What `get_worker_info` says in a loader's worker."""

    def __init__(self, number: int, count: int) -> None:
        self.id, self.num_workers = number, count


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """A finished set of 14 samples for each number of shards."""
    root = tmp_path_factory.mktemp("sets")
    made = {
        count: write_shard_set(root / str(count), per_class=7, shard_size=-(-14 // count)) for count in SHARD_COUNTS
    }
    assert [Manifest.read(folder).plan.shard_count for folder in made.values()] == [1, 2, 3, 5, 7]
    return made


def keys_of(dataset: ShardDataset, worker: Worker | None = None) -> list[str]:
    """The keys that this process gives, or one of its workers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset_module, "get_worker_info", lambda: worker)
        return [sample.key for sample in dataset]


def all_keys(folder: Path) -> list[str]:
    return [shard.key(position) for shard in Manifest.read(folder).plan.shards() for position in range(len(shard))]


@settings(max_examples=60)
@given(count=st.sampled_from(SHARD_COUNTS), ranks=st.integers(1, 5), workers=st.integers(0, 4))
def test_all_ranks_and_workers_together_give_every_sample_once(
    sets: dict[int, Path], count: int, ranks: int, workers: int
) -> None:
    found: list[str] = []
    for rank in range(ranks):
        dataset = ShardDataset(sets[count], rank=rank, world_size=ranks)
        parts = [keys_of(dataset, Worker(number, workers)) for number in range(workers)] or [keys_of(dataset)]
        given_here = [key for part in parts for key in part]
        assert len(given_here) == len(dataset)
        assert all(part == sorted(part) for part in parts), "in order"
        found += given_here
    assert Counter(found) == Counter(all_keys(sets[count]))


@given(pieces=st.integers(0, 20), parts=st.integers(1, 8), more=st.integers(1, 4))
def test_shares_are_a_partition_however_often_they_are_shared_again(pieces: int, parts: int, more: int) -> None:
    shards = [ShardFile.at(f"{number}.tar") for number in range(pieces)]
    first = [share([Piece(shard, 1, 0) for shard in shards], part, parts) for part in range(parts)]
    second = [share(mine, part, more) for mine in first for part in range(more)]
    found = Counter(
        (piece.shard.name, number)
        for mine in second
        for piece in mine
        for number in range(piece.remainder, 97, piece.divisor)
    )
    assert found == Counter((shard.name, number) for shard in shards for number in range(97))


def test_whole_shards_go_to_one_process_as_far_as_they_go_round(sets: dict[int, Path]) -> None:
    shards = [ShardFile.at(f"{number}.tar") for number in range(6)]
    for part in range(3):
        mine = share([Piece(shard, 1, 0) for shard in shards], part, 3)
        assert [(piece.shard.name, piece.divisor) for piece in mine] == [(f"{part}.tar", 1), (f"{part + 3}.tar", 1)]


@pytest.mark.parametrize("image_format", ["png", "webp"])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_and_labels_are_those_of_the_set(make_shard_set, channels: int, image_format: str) -> None:
    folder = make_shard_set(channels=channels, image_format=image_format)
    images, manifest = read_set(folder)
    dataset = ShardDataset(folder)
    assert dataset.class_names == manifest.plan.class_names
    samples = list(dataset)
    assert torch.equal(torch.stack([sample.image for sample in samples]), images.images)
    assert [sample.label for sample in samples] == images.labels.tolist()
    assert [sample.key for sample in samples] == all_keys(folder)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than shards and cores is the point
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("workers", [1, 4])
def test_real_loader_workers_give_every_sample_once(sets: dict[int, Path], workers: int) -> None:
    dataset = ShardDataset(sets[2])
    loader = DataLoader(dataset, batch_size=3, num_workers=workers, multiprocessing_context="fork", timeout=300)
    batches = list(loader)
    keys = [key for batch in batches for key in batch.key]
    assert Counter(keys) == Counter(all_keys(sets[2]))
    images, _ = read_set(sets[2])
    order = torch.tensor([all_keys(sets[2]).index(key) for key in keys])
    assert torch.equal(torch.cat([batch.image for batch in batches]), images.images[order])
    assert torch.equal(torch.cat([batch.label for batch in batches]), images.labels[order])


def test_a_second_epoch_gives_the_same_samples(sets: dict[int, Path]) -> None:
    dataset = ShardDataset(sets[3], rank=1, world_size=2)
    assert keys_of(dataset) == keys_of(dataset)


def test_a_set_in_a_store_streams_the_same_samples(make_shard_set, tmp_path: Path) -> None:
    folder, url = make_shard_set(), f"memory:/{tmp_path}/set"
    for path in folder.iterdir():
        folder_at(url).write(path.name, path.read_bytes())
    local, remote = list(ShardDataset(folder)), list(ShardDataset(url))
    assert [sample.key for sample in remote] == [sample.key for sample in local]
    assert all(torch.equal(one.image, other.image) for one, other in zip(local, remote, strict=True))


class TestWithoutManifest:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        for number in range(2):
            entries = []
            for key in "abc":
                image = encode_png(random_pixels(1 if key == "b" else 3, 8, 8, seed=number))
                entries += [(f"{number}{key}.png", image), (f"{number}{key}.cls", b"5")]
            tar_of(tmp_path / f"x-{number}.tar", entries)
        return tmp_path

    def test_any_shards_are_streamed(self, folder: Path) -> None:
        for where in (folder, f"{folder}/x-{{0..1}}.tar"):
            dataset = ShardDataset(where)
            assert keys_of(dataset) == ["0a", "0b", "0c", "1a", "1b", "1c"]
            assert dataset.class_names is None
        assert [sample.image.shape[0] for sample in ShardDataset(folder)] == [3, 1, 3] * 2
        assert keys_of(ShardDataset(folder, rank=2, world_size=3)) == ["0c", "1c"]

    def test_their_number_is_not_known(self, folder: Path) -> None:
        with pytest.raises(TypeError, match="has no manifest, so the number of its samples is not known"):
            len(ShardDataset(folder))


class TestDamage:
    @pytest.fixture
    def folder(self, make_shard_set) -> Path:
        """Three shards of two samples; the second is cut, the third missing."""
        folder = make_shard_set(per_class=3, shard_size=2)
        path = folder / "train-000001.tar"
        path.write_bytes(path.read_bytes()[:-1100])
        (folder / "train-000002.tar").unlink()
        return folder

    def test_damage_ends_the_stream(self, folder: Path) -> None:
        with pytest.raises(DamageError, match=r"train-000001\.tar: cut short"):
            list(ShardDataset(folder))
        (folder / "train-000001.tar").unlink()
        with pytest.raises(DamageError, match=r"train-000001\.tar is missing"):
            list(ShardDataset(folder))

    def test_skipped_damage_is_counted_and_reported(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        dataset = ShardDataset(folder, on_damage="skip")
        assert keys_of(dataset) == ["0000000000", "0000000001", "0000010000"]
        assert len(dataset.damage.messages) == 2
        said = capsys.readouterr().err
        assert f"warning: {folder}: skipped 2 damaged piece(s): " in said
        assert "train-000001.tar: cut short" in said
        assert "train-000002.tar is missing" in said

    def test_an_image_that_does_not_decode_costs_only_itself(self, tmp_path: Path) -> None:
        png = encode_png(random_pixels(3, 8, 8))
        entries = [(f"{key}.{suffix}", data) for key in "abc" for suffix, data in (("png", png), ("cls", b"0"))]
        entries[2] = ("b.png", png[:100])
        path = tar_of(tmp_path / "x.tar", entries)
        for ranks in (1, 2, 3):
            datasets = [ShardDataset(path, on_damage="skip", rank=rank, world_size=ranks) for rank in range(ranks)]
            assert sorted(key for dataset in datasets for key in keys_of(dataset)) == ["a", "c"]
            assert sum(len(dataset.damage.messages) for dataset in datasets) == 1, "noticed by whoever it belongs to"
        with pytest.raises(DamageError, match="sample b"):
            list(ShardDataset(path))

    def test_a_class_that_the_set_does_not_have_is_damage(self, make_shard_set) -> None:
        folder, other = make_shard_set("a"), make_shard_set("b", class_names=("cat", "dog", "emu"))
        (other / "train-000000.tar").replace(folder / "train-000000.tar")
        with pytest.raises(DamageError, match="sample 0000000002 has no class number"):
            list(ShardDataset(folder))


@pytest.mark.parametrize(("rank", "world_size"), [(-1, 2), (2, 2), (0, 0)])
def test_a_rank_outside_the_world_is_refused(sets: dict[int, Path], rank: int, world_size: int) -> None:
    with pytest.raises(InputError, match="the rank must lie in"):
        ShardDataset(sets[1], rank=rank, world_size=world_size)


def test_no_shards_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no shards"):
        ShardDataset(tmp_path)


def test_each_pass_counts_its_own_damage(make_shard_set: MakeShardSet) -> None:
    folder = make_shard_set(per_class=4, shard_size=3)
    (folder / "train-000001.tar").unlink()
    samples = ShardDataset(folder, on_damage="skip")
    for _ in range(2):
        assert len(list(samples)) == 5
        assert len(samples.damage.messages) == 1


def test_a_shard_with_fewer_samples_than_promised_is_damage(make_shard_set: MakeShardSet) -> None:
    folder, other = make_shard_set(per_class=4, shard_size=3), make_shard_set("short", per_class=1, shard_size=3)
    (folder / "train-000001.tar").write_bytes((other / "train-000000.tar").read_bytes())
    with pytest.raises(DamageError, match=r"train-000001\.tar: the manifest promises 3 samples, found 2"):
        list(ShardDataset(folder))
    skipping = ShardDataset(folder, on_damage="skip")
    assert len(list(skipping)) == 7
    assert len(skipping.damage.messages) == 1


def test_an_unfinished_set_is_refused(make_shard_set: MakeShardSet) -> None:
    folder = make_shard_set()
    (folder / "manifest.json").unlink()
    with pytest.raises(InputError, match="is unfinished"):
        ShardDataset(folder)
