import gc
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import webdataset

from synthaug.core.errors import DamageError, InputError, StorageError
from synthaug.core.folders import LocalFolder, folder_at
from synthaug.core.pixels import decode_pixels
from synthaug.shards import select as select_module
from synthaug.shards.curation import Scores
from synthaug.shards.dataset import ShardDataset
from synthaug.shards.decoded import DecodedSet
from synthaug.shards.index import IndexedSet, set_key
from synthaug.shards.manifest import MANIFEST_NAME, Manifest, read_plan
from synthaug.shards.plan import ImageFormat
from synthaug.shards.reader import ShardSample, iterate_shard, read_set
from synthaug.shards.select import write_selection
from synthaug.shards.tar import BLOCK
from synthaug.shards.verify import check_contents, verify_set
from synthaug.shards.writer import record_of
from tests.conftest import curation_of, write_curated_set, write_shard_set
from tests.shards.archives import in_format_4, members_of, tar_of

KEPT = [0, 1, 2, 4, 5, 8, 10]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Twelve images in shards of four."""
    return write_shard_set(tmp_path / "source", class_names=("cat", "dog", "fox"), per_class=4, shard_size=4)


@pytest.fixture
def curated(source: Path, tmp_path: Path) -> Path:
    """Seven of them, in shards of four and three."""
    return write_curated_set(tmp_path / "curated", source, KEPT)


def samples_of(folder: Path) -> list[ShardSample]:
    return [sample for path in sorted(folder.glob("*.tar")) for sample in iterate_shard(path)]


class TestSelection:
    @pytest.mark.parametrize("image_format", ["png", "webp"])
    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("kept", [KEPT, [0], [11], list(range(12)), [3, 6, 9]], ids=str)
    def test_a_kept_image_is_the_same_bytes_in_the_same_order(
        self, tmp_path: Path, image_format: ImageFormat, channels: int, kept: list[int]
    ) -> None:
        options: dict[str, Any] = {"class_names": ("cat", "dog", "fox"), "shard_size": 5}
        source = write_shard_set(tmp_path / "a", image_format=image_format, channels=channels, **options)
        curated = write_curated_set(tmp_path / "b", source, kept)
        before, after = samples_of(source), samples_of(curated)
        assert [(one.image, one.label, one.suffix) for one in after] == [
            (before[place].image, before[place].label, before[place].suffix) for place in kept
        ]
        found, others = ([json.loads(one.description) for one in part] for part in (after, before))
        for value, place in zip(found, kept, strict=True):
            assert value.pop("scores").keys() == others[place].pop("scores").keys()
            assert value == others[place], "what is said of an image stays true"
        assert [one.key for one in after] == [f"{place // 5:06d}{place % 5:04d}" for place in range(len(kept))]
        verification = verify_set(curated, deep=True)
        assert verification.samples == len(kept)
        assert list(verification.class_counts.values()) == [
            [place % 3 for place in kept].count(label) for label in range(3)
        ]

    def test_it_says_what_was_chosen_from_what_and_by_whom(self, source: Path, curated: Path) -> None:
        plan, manifest = Manifest.read(source).plan, Manifest.read(curated)
        assert manifest.format == 5
        assert manifest.plan.curations == (curation_of(source, KEPT),)
        assert manifest.plan.curations[0].source == set_key(Manifest.read(source))
        assert manifest.plan.curations[0].filters[0].removed == (3, 1, 1)
        assert manifest.plan.model_copy(update={"kept": None, "curations": ()}) == plan
        assert read_plan(folder_at(curated)) == manifest.plan
        assert sorted(path.name for path in curated.iterdir()) == sorted(path.name for path in source.iterdir())[:-1]

    def test_every_sample_has_its_scores(self, source: Path, tmp_path: Path) -> None:
        scores = [Scores(0.1 * place, 0.2 * place, 1 + place / 3) for place in range(7)]
        found = samples_of(write_curated_set(tmp_path / "out", source, KEPT, scores=scores))
        assert [json.loads(one.description)["scores"] for one in found] == [
            {
                "label_confidence": round(0.1 * place, 6),
                "nearest_train_distance": round(0.2 * place, 6),
                "relative_train_distance": round(1 + place / 3, 6),
            }
            for place in range(7)
        ]

    def test_two_selections_after_another_are_one_of_the_drawn_set(
        self, source: Path, curated: Path, tmp_path: Path
    ) -> None:
        twice = write_curated_set(tmp_path / "twice", curated, [0, 3, 6])
        before = samples_of(source)
        assert [one.image for one in samples_of(twice)] == [before[KEPT[place]].image for place in (0, 3, 6)]
        verify_set(twice, deep=True)
        plan = Manifest.read(twice).plan
        assert plan.kept == bitmap_of(source, [KEPT[0], KEPT[3], KEPT[6]])
        assert [one.source for one in plan.curations] == [set_key(Manifest.read(where)) for where in (source, curated)]
        assert plan.drawn_count == 12

    def test_the_same_selection_is_the_same_bytes(self, source: Path, curated: Path, tmp_path: Path) -> None:
        again = write_curated_set(tmp_path / "again", source, KEPT)
        assert {path.name: path.read_bytes() for path in again.iterdir()} == {
            path.name: path.read_bytes() for path in curated.iterdir()
        }

    def test_a_set_in_a_store_is_chosen_from_and_written(self, source: Path, curated: Path, tmp_path: Path) -> None:
        here, there = folder_at(f"memory:/{tmp_path}/source"), f"memory:/{tmp_path}/out"
        for path in source.iterdir():
            here.write(path.name, path.read_bytes())
        plan, scores = Manifest.read(curated).plan, [Scores.parse(one.description) for one in samples_of(curated)]
        for origin in (here, str(here)):
            write_selection(folder_at(f"{there}/{type(origin).__name__}"), origin, plan, KEPT, scores)
            for path in curated.iterdir():
                with folder_at(f"{there}/{type(origin).__name__}").open(path.name) as file:
                    assert file.read() == path.read_bytes()

    def test_a_set_of_format_4_can_be_chosen_from(self, source: Path, tmp_path: Path) -> None:
        before = samples_of(source)
        curated = write_curated_set(tmp_path / "out", in_format_4(source), KEPT)
        assert [one.image for one in samples_of(curated)] == [before[place].image for place in KEPT]
        assert (Manifest.read(source).format, Manifest.read(curated).format) == (4, 5)
        verify_set(curated, deep=True)

    def test_no_more_than_the_images_of_two_shards_are_in_memory(
        self, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        events: list[str] = []
        iterate, write = select_module.iterate_shard, select_module.write_shard
        monkeypatch.setattr(select_module, "iterate_shard", lambda file: events.append("r") or iterate(file))
        monkeypatch.setattr(select_module, "write_shard", lambda *words: events.append("w") or write(*words))
        write_curated_set(tmp_path / "out", source, list(range(12)))
        assert "".join(events) == "rwrwrw"


def bitmap_of(source: Path, kept: Sequence[int]) -> str | None:
    return Manifest.read(source).plan.selected(kept, curation_of(source, kept)).kept


class TestReaders:
    @pytest.mark.parametrize("kept", [KEPT, [2, 5, 8], [7]], ids=str)
    def test_all_give_the_same_images(self, source: Path, tmp_path: Path, kept: list[int]) -> None:
        curated = write_curated_set(tmp_path / "out", source, kept)
        drawn, (images, manifest) = read_set(source)[0], read_set(curated)
        assert torch.equal(images.images, drawn.images[kept])
        assert torch.equal(images.labels, drawn.labels[kept])
        assert images.class_names == ("cat", "dog", "fox")
        everything = torch.arange(len(kept))
        for kind in (IndexedSet, DecodedSet, DecodedSet):  # the second time from the cache
            opened = kind(curated)
            assert torch.equal(opened.images(everything), images.images)
            assert torch.equal(opened.labels, images.labels)
            assert sum(opened.shard_sizes) == len(opened) == manifest.sample_count
        streamed = [ShardDataset(curated, rank=rank, world_size=2) for rank in range(2)]
        found = sorted((sample.key, sample.label) for part in streamed for sample in part)
        assert found == [(one.key, one.label) for one in samples_of(curated)]
        assert sum(map(len, streamed)) == len(kept)
        pixels = torch.stack([sample.image for sample in ShardDataset(curated, rank=0, world_size=1)])
        assert torch.equal(pixels, images.images)

    @pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # webdataset leaves its shards to the collector
    def test_webdataset_reads_it(self, curated: Path) -> None:
        urls = [str(path) for path in sorted(curated.glob("*.tar"))]
        found = list(webdataset.WebDataset(urls, shardshuffle=False))
        gc.collect()
        assert [(one["__key__"], one["png"], one["json"]) for one in found] == [
            (one.key, one.image, one.description) for one in samples_of(curated)
        ]

    def test_a_set_that_holds_something_else_is_damaged(self, curated: Path) -> None:
        path = curated / "train-000001.tar"
        members = members_of(path)
        tar_of(path, [(name, b"0" if name.endswith(".cls") else data) for name, data in members.items()])
        with pytest.raises(DamageError, match=r"promises 7 samples, of each class \(1, 3, 3\); found 7: \("):
            read_set(curated)


class TestDamage:
    @pytest.mark.parametrize("shard", [0, 1, 2])
    def test_a_source_that_is_not_what_its_manifest_promises_is_refused_before_anything_is_written(
        self, source: Path, tmp_path: Path, shard: int
    ) -> None:
        path = source / f"train-00000{shard}.tar"
        data = bytearray(path.read_bytes())
        data[BLOCK + 100] ^= 1
        path.write_bytes(data)
        pattern = rf"train-00000{shard}\.tar has another sha256.*verify --repair makes"
        for kept in (KEPT, [0]):
            with pytest.raises(DamageError, match=pattern):
                write_curated_set(tmp_path / "out", source, kept)
        assert not (tmp_path / "out").exists()

    def test_a_source_whose_manifest_was_changed_to_hide_it_is_refused(self, source: Path, tmp_path: Path) -> None:
        manifest = Manifest.read(source)
        folder, shard = folder_at(source), manifest.plan.shard(1)
        members = members_of(source / shard.file_name)
        members["0000010000.json"] = members["0000010000.json"].replace(b'"index": 1', b'"index": 2')
        tar_of(source / shard.file_name, list(members.items()))
        records = list(manifest.shards)
        records[1] = record_of(folder, shard)
        manifest.model_copy(update={"shards": tuple(records)}).write(folder)
        with pytest.raises(DamageError, match="sample 0000010000 has another description"):
            write_curated_set(tmp_path / "out", source, KEPT)
        assert not (tmp_path / "out" / MANIFEST_NAME).exists()

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ((b"relative_train_distance", b"relative_train_distances"), "no proper scores: it has other scores"),
            ((b'"label_confidence": 0.25', b'"label_confidence": NaN'), "no proper scores: scores must be finite"),
            ((b'"label_confidence": 0.25', b'"label_confidence": null'), "no proper scores: a score is no number"),
            ((b'"label_confidence": 0.25', b'"label_confidence": 0.250'), "another description than the plan's"),
            ((b'"label_confidence": 0.25', b'"label_confidence": 0.2500001'), "another description than the plan's"),
            ((b'"index": 0', b'"index": 1'), "another description than the plan's"),
            ((b'"scores": {', b'"scores": {}, "scores": {'), "another description than the plan's"),
        ],
        ids=str,
    )
    def test_a_changed_description_of_a_curated_sample_is_found(
        self, curated: Path, change: tuple[bytes, bytes], reason: str
    ) -> None:
        path = curated / "train-000000.tar"
        members = members_of(path)
        assert change[0] in members["0000000002.json"]
        members["0000000002.json"] = members["0000000002.json"].replace(*change)
        tar_of(path, list(members.items()))
        with pytest.raises(DamageError, match=f"sample 0000000002 has {reason}"):
            check_contents(folder_at(curated), Manifest.read(curated).plan.shard(0))
        with pytest.raises(DamageError, match="synthaug curate makes it again from the set it was taken from"):
            verify_set(curated, deep=True)

    def test_scores_in_a_drawn_set_are_damage(self, source: Path) -> None:
        path = source / "train-000000.tar"
        members = members_of(path)
        members["0000000001.json"] = members["0000000001.json"].replace(b": -1.0", b": 0.5")
        tar_of(path, list(members.items()))
        with pytest.raises(DamageError, match="sample 0000000001 has another description"):
            check_contents(folder_at(source), Manifest.read(source).plan.shard(0))

    def test_another_plan_positions_or_number_of_scores_is_a_mistake(self, source: Path, curated: Path) -> None:
        plan, folder = Manifest.read(curated).plan, folder_at(curated.parent / "out")
        scores = [Scores()] * 7
        with pytest.raises(ValueError, match="not one of a selection from this set"):
            write_selection(folder, curated, plan, KEPT, scores)
        with pytest.raises(ValueError, match="not one of a selection from this set"):
            write_selection(folder, source, Manifest.read(source).plan, KEPT, scores)
        with pytest.raises(ValueError, match="not one of these positions"):
            write_selection(folder, source, plan, [*KEPT[:-1], 11], scores)
        with pytest.raises(ValueError, match="7 samples need as many scores, found 8"):
            write_selection(folder, source, plan, KEPT, [*scores, Scores()])
        assert folder.names() == []

    def test_a_folder_with_a_set_is_left_alone(self, source: Path, curated: Path) -> None:
        before = {path.name: path.read_bytes() for path in source.iterdir()}
        with pytest.raises(InputError, match="holds a shard set already"):
            write_curated_set(source, source, KEPT)
        assert {path.name: path.read_bytes() for path in source.iterdir()} == before

    def test_a_source_that_is_unfinished_is_refused(self, source: Path, curated: Path, tmp_path: Path) -> None:
        plan = Manifest.read(curated).plan
        (source / MANIFEST_NAME).unlink()
        with pytest.raises(InputError, match="is unfinished"):
            write_selection(folder_at(tmp_path / "out"), source, plan, KEPT, [Scores()] * 7)

    def test_a_disk_that_refuses_leaves_no_manifest(self, source: Path, curated: Path, tmp_path: Path) -> None:
        class Full(LocalFolder):
            def write(self, name: str, data: bytes) -> None:
                if name == "train-000001.tar":
                    raise StorageError("the disk is full")
                super().write(name, data)

        plan = Manifest.read(curated).plan
        with pytest.raises(StorageError, match="full"):
            write_selection(Full(tmp_path / "out"), source, plan, KEPT, [Scores()] * 7)
        assert not (tmp_path / "out" / MANIFEST_NAME).exists()

    def test_images_are_what_their_source_shows(self, source: Path, curated: Path) -> None:
        shutil.rmtree(source)
        decoded = [decode_pixels(one.image, 3, name="", formats=("PNG",)) for one in samples_of(curated)]
        assert torch.equal(torch.stack(decoded), read_set(curated)[0].images)
