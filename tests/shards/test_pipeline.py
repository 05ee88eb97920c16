import threading
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synthaug.core.errors import StorageError
from synthaug.core.folders import LocalFolder, folder_at
from synthaug.shards.finish import finish_set
from synthaug.shards.pipeline import publish_shards
from synthaug.shards.plan import SetPlan
from synthaug.shards.verify import check_contents
from synthaug.shards.writer import encode_images, pack_shard
from tests.conftest import plan_of, random_pixels

PLAN = plan_of(per_class=6, shard_size=5, batch_size=2)


def draw(positions: range) -> torch.Tensor:
    """Images that depend on their position in the set and on nothing else."""
    return torch.cat([random_pixels(1, 3, 8, 8, seed=position) for position in positions])


def expected(plan: SetPlan) -> dict[str, bytes]:
    """The shards, made one after another in the plainest way."""
    return {
        shard.file_name: pack_shard(shard, encode_images(draw(range(shard.start, shard.stop)), plan.image_format))
        for shard in plan.shards()
    }


def shards_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith("manifest")}


@pytest.mark.parametrize("image_format", ["png", "webp"])
def test_the_shards_are_those_of_the_plainest_way(tmp_path: Path, image_format: str) -> None:
    plan = PLAN.model_copy(update={"image_format": image_format})
    records = publish_shards(folder_at(tmp_path), plan, range(plan.shard_count), draw)
    assert shards_in(tmp_path) == expected(plan)
    assert sorted(records) == [0, 1, 2]
    assert finish_set(folder_at(tmp_path), plan, records) == []


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), batch_size=st.integers(1, 7), shard_size=st.integers(1, 7))
def test_order_and_division_of_the_work_change_nothing(
    tmp_path: Path, data: st.DataObject, batch_size: int, shard_size: int
) -> None:
    plan = plan_of(per_class=4, shard_size=shard_size, batch_size=batch_size)
    folder = folder_at(f"memory:/{tmp_path}/{batch_size}-{shard_size}")
    for name in folder.names():
        folder.remove(name)
    numbers = data.draw(st.permutations(range(plan.shard_count)))
    cut = data.draw(st.integers(0, len(numbers)))
    for part in (numbers[:cut], numbers[cut:]):
        assert sorted(publish_shards(folder, plan, part, draw)) == sorted(part)
    for name, content in expected(plan).items():
        with folder.open(name) as file:
            assert file.read() == content


def test_batches_are_drawn_as_planned_one_after_another(tmp_path: Path) -> None:
    drawn: list[range] = []
    threads = set()

    def watched(positions: range) -> torch.Tensor:
        drawn.append(positions)
        threads.add(threading.get_ident())
        return draw(positions)

    publish_shards(folder_at(tmp_path), PLAN, [0, 1, 2], watched)
    assert drawn == [batch for shard in PLAN.shards() for batch in shard.batches()]
    assert threads == {threading.get_ident()}, "a network is used from one thread only"


@pytest.mark.parametrize("per_class", [1, 2, 3, 5, 6])
def test_a_longer_set_is_the_same_as_if_made_at_once_and_draws_nothing_twice(tmp_path: Path, per_class: int) -> None:
    shorter = PLAN.model_copy(update={"per_class": per_class})
    publish_shards(folder_at(tmp_path), shorter, range(shorter.shard_count), draw)
    drawn: list[range] = []

    def watched(positions: range) -> torch.Tensor:
        drawn.append(positions)
        return draw(positions)

    publish_shards(folder_at(tmp_path), PLAN, range(PLAN.shard_count), watched)
    assert shards_in(tmp_path) == expected(PLAN)
    kept = {position for shard in shorter.shards() for position in range(shard.start, shard.stop)}
    assert all(set(batch) - kept for batch in drawn), "a batch of which everything is kept is not drawn"


@pytest.mark.parametrize("failing", range(7))
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_whatever_stops_the_drawing_leaves_whole_shards_only(
    tmp_path: Path, failing: int, error: type[BaseException]
) -> None:
    calls = 0

    def stopping(positions: range) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls > failing:
            raise error
        return draw(positions)

    with pytest.raises(error):
        publish_shards(folder_at(tmp_path), PLAN, [0, 1, 2], stopping)
    found = shards_in(tmp_path)
    assert found.items() <= expected(PLAN).items()
    assert not list(tmp_path.glob(".*"))
    rest = [shard.number for shard in PLAN.shards() if shard.file_name not in found]
    publish_shards(folder_at(tmp_path), PLAN, rest, draw)
    assert shards_in(tmp_path) == expected(PLAN)


@pytest.mark.parametrize("refused", [0, 1, 2])
def test_a_disk_that_refuses_a_shard_is_one_clear_error_and_the_others_stay(tmp_path: Path, refused: int) -> None:
    class Refusing(LocalFolder):
        def write(self, name: str, data: bytes) -> None:
            if name == PLAN.shard(refused).file_name:
                raise StorageError("no space is left on the disk")
            super().write(name, data)

    with pytest.raises(StorageError, match="no space is left on the disk"):
        publish_shards(Refusing(tmp_path), PLAN, [0, 1, 2], draw)
    assert PLAN.shard(refused).file_name not in shards_in(tmp_path)
    for shard in PLAN.shards():
        if shard.number < refused:
            assert check_contents(folder_at(tmp_path), shard) == len(shard)


def test_nothing_to_make_is_nothing_made(tmp_path: Path) -> None:
    assert publish_shards(folder_at(tmp_path), PLAN, [], draw) == {}
    assert list(tmp_path.iterdir()) == []
