import gc
import hashlib
import io
import json
import tarfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
import torch
import webdataset
from PIL import Image

from synthaug.core.errors import StorageError
from synthaug.core.folders import folder_at, sha256_in
from synthaug.shards.curation import Scores
from synthaug.shards.manifest import Manifest
from synthaug.shards.plan import ImageFormat, ShardPlan
from synthaug.shards.reader import iterate_shard, read_set
from synthaug.shards.writer import XMP, describe, encode_images, pack_shard, record_of, write_shard
from tests.conftest import plan_of, random_pixels
from tests.shards.archives import members_of

FORMATS: tuple[ImageFormat, ...] = ("png", "webp")
PLAN = plan_of(class_names=("Käfer", "dog"), per_class=4, shard_size=6, seed=3)
NAMES = {
    "dots": "v1.0.tar.gz",
    "slashes": "../etc/passwd",
    "scripts": "Käfer 狐 🦊 חתול",
    "spaces": "  two  words  ",
    "long": "x" * 200,
    "lines": "one\ntwo\r\nthree\ttab",
    "quotes": "\"double\" 'single' \\ `back` {{0}} %s",
    "html": "<b>&amp;</b>",
    "empty": "",
    "null": "null",
}


@pytest.fixture
def shard() -> ShardPlan:
    return PLAN.shard(1)


@pytest.fixture
def images(shard: ShardPlan) -> list[bytes]:
    return encode_images(random_pixels(len(shard), 3, 8, 8), "png")


class TestShards:
    def test_the_same_shard_has_the_same_bytes_every_time(
        self, tmp_path: Path, shard: ShardPlan, images: list[bytes]
    ) -> None:
        first, second = folder_at(tmp_path / "a"), folder_at("memory://test-writer/b")
        assert write_shard(first, shard, images) == write_shard(second, shard, images)
        packed = pack_shard(shard, images)
        for folder in (first, second):
            assert sha256_in(folder, shard.file_name) == hashlib.sha256(packed).hexdigest()

    @pytest.mark.parametrize("image_format", FORMATS)
    def test_the_same_pixels_become_the_same_file_every_time(self, image_format: ImageFormat) -> None:
        pixels = random_pixels(3, 3, 16, 16)
        assert encode_images(pixels, image_format) == encode_images(pixels.clone(), image_format)
        assert encode_images(pixels[1:2], image_format) == encode_images(pixels, image_format)[1:2]

    def test_the_record_describes_the_file(self, tmp_path: Path, shard: ShardPlan, images: list[bytes]) -> None:
        record = write_shard(folder_at(tmp_path), shard, images)
        data = (tmp_path / "train-000001.tar").read_bytes()
        assert record.name == "train-000001.tar"
        assert record.bytes == len(data)
        assert record.sha256 == hashlib.sha256(data).hexdigest()
        assert record.samples == 2
        assert record.class_counts == (1, 1)
        assert record_of(folder_at(tmp_path), shard) == record

    def test_members_are_regular_files_with_a_fixed_time_owner_and_mode(
        self, tmp_path: Path, shard: ShardPlan, images: list[bytes]
    ) -> None:
        record = write_shard(folder_at(tmp_path), shard, images)
        with tarfile.open(tmp_path / record.name) as archive:
            members = archive.getmembers()
        assert [member.name for member in members] == [
            f"000001000{position}.{suffix}" for position in range(2) for suffix in ("png", "cls", "json")
        ]
        for member in members:
            assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, "", "")
            assert member.mode == 0o644
            assert member.isreg()

    @pytest.mark.parametrize("change", [-1, 1])
    def test_another_number_of_images_than_planned_leaves_no_file(
        self, tmp_path: Path, shard: ShardPlan, images: list[bytes], change: int
    ) -> None:
        with pytest.raises(ValueError, match="zip"):
            write_shard(folder_at(tmp_path), shard, images[:change] if change < 0 else [*images, images[0]])
        assert list(tmp_path.iterdir()) == []

    def test_a_disk_that_refuses_leaves_no_file(
        self, tmp_path: Path, shard: ShardPlan, images: list[bytes], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(_: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", refuse)
        with pytest.raises(StorageError, match=r"train-000001\.tar: no space is left on the disk"):
            write_shard(folder_at(tmp_path), shard, images)
        assert list(tmp_path.iterdir()) == []


class TestSamples:
    @pytest.mark.parametrize("image_format", FORMATS)
    @pytest.mark.parametrize("channels", [1, 3])
    def test_every_sample_holds_its_pixels_class_and_description(
        self, tmp_path: Path, channels: int, image_format: ImageFormat
    ) -> None:
        shard = PLAN.model_copy(update={"image_format": image_format}).shard(1)
        pixels = random_pixels(2, channels, 8, 8)
        write_shard(folder_at(tmp_path), shard, encode_images(pixels, image_format))
        data = members_of(tmp_path / shard.file_name)
        assert len(data) == 6
        for position, (label, index) in enumerate(shard.samples):
            key = shard.key(position)
            with Image.open(io.BytesIO(data[f"{key}.{image_format}"])) as picture:
                assert picture.format == image_format.upper()
                shown = torch.from_numpy(np.array(picture.convert("L" if channels == 1 else "RGB"))).reshape(8, 8, -1)
            assert torch.equal(shown, pixels[position].permute(1, 2, 0)), "both formats keep every pixel"
            assert data[f"{key}.cls"] == str(label).encode()
            assert data[f"{key}.json"] == describe(shard.plan, label, index)

    def test_the_description_has_one_fixed_schema_without_nulls(self) -> None:
        assert json.loads(describe(PLAN, 0, 7)) == {
            "class": "Käfer",
            "label": 0,
            "index": 7,
            "seed": 3,
            "model": "test",
            "checkpoint": "0" * 64,
            "sampler": "none",
            "steps": 1,
            "guidance": 1.0,
            "scores": {
                "label_confidence": -1.0,
                "nearest_train_distance": -1.0,
                "relative_train_distance": -1.0,
            },
        }

    def test_a_shard_holds_the_scores_given_and_needs_one_for_each_image(
        self, tmp_path: Path, shard: ShardPlan, images: list[bytes]
    ) -> None:
        scores = [Scores(0.25, 3.0, 1.5), Scores(label_confidence=1.0)]
        write_shard(folder_at(tmp_path), shard, images, scores)
        assert (tmp_path / shard.file_name).read_bytes() == pack_shard(shard, images, scores)
        found = [json.loads(sample.description)["scores"] for sample in iterate_shard(tmp_path / shard.file_name)]
        assert list(found[0].values()) == [0.25, 3.0, 1.5]
        assert list(found[1].values()) == [1.0, -1.0, -1.0]
        for wrong in (scores[:1], [*scores, Scores()], []):
            with pytest.raises(ValueError, match="zip"):
                pack_shard(shard, images, wrong)

    def test_a_number_keeps_its_type_whatever_its_value(self) -> None:
        # Readers that infer a schema from the first sample must meet the same types in all others.
        for guidance in (1, 1.5, 2.0):
            text = describe(PLAN.model_copy(update={"guidance": guidance}), 0, 0).decode()
            assert isinstance(json.loads(text)["guidance"], float)

    @pytest.mark.parametrize("image_format", FORMATS)
    @pytest.mark.parametrize("channels", [1, 3])
    def test_every_image_says_that_a_trained_model_made_it(self, channels: int, image_format: ImageFormat) -> None:
        [data] = encode_images(random_pixels(1, channels, 8, 8), image_format)
        with Image.open(io.BytesIO(data)) as picture:
            packet = picture.info["xmp"]
        assert packet == XMP
        [description] = ElementTree.fromstring(packet).iter("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description")
        kind = description.attrib["{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"]
        assert kind == "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"

    @pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
    def test_a_class_name_comes_back_as_it_was(self, make_shard_set, name: str) -> None:
        folder = make_shard_set(class_names=("other", name), per_class=2, shard_size=3)
        images, manifest = read_set(folder)
        assert manifest.plan.class_names == images.class_names == ("other", name)
        assert json.loads((folder / "plan.json").read_text(encoding="utf-8"))["class_names"] == ["other", name]
        found = [
            json.loads(sample.description)["class"]
            for record in manifest.shards
            for sample in iterate_shard(folder / record.name)
        ]
        assert found == ["other", name] * 2
        assert {path.parent for path in folder.rglob("*")} == {folder}, "names become no paths"


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # webdataset leaves its shards to the collector
@pytest.mark.parametrize("image_format", FORMATS)
def test_webdataset_reads_a_set_unchanged(make_shard_set, image_format: ImageFormat) -> None:
    folder = make_shard_set(per_class=4, shard_size=3, image_format=image_format)
    manifest = Manifest.read(folder)
    urls = [str(folder / shard.name) for shard in manifest.shards]
    samples = list(webdataset.WebDataset(urls, shardshuffle=False).decode("rgb8"))
    gc.collect()
    expected = [(shard, position) for shard in manifest.plan.shards() for position in range(len(shard))]
    images, _ = read_set(folder)
    assert len(samples) == len(expected) == 8
    for number, (sample, (shard, position)) in enumerate(zip(samples, expected, strict=True)):
        label, index = shard.samples[position]
        assert sample["__key__"] == shard.key(position)
        assert sample["cls"] == label
        assert (sample["json"]["label"], sample["json"]["index"]) == (label, index)
        assert np.array_equal(sample[image_format], images.images[number].permute(1, 2, 0).numpy())
