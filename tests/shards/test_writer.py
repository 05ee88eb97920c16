import gc
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
import webdataset
from PIL import Image

from synthaug.core.storage import sha256_file
from synthaug.shards import writer
from synthaug.shards.manifest import Manifest
from synthaug.shards.plan import SetPlan, ShardPlan
from synthaug.shards.writer import write_shard

PLAN = SetPlan(
    model="ddpm",
    checkpoint="c" * 64,
    sampler="ddim",
    steps=10,
    guidance=1.5,
    seed=3,
    class_names=("Käfer", "dog"),
    per_class=4,
    shard_size=6,
)


@pytest.fixture
def shard() -> ShardPlan:
    return PLAN.shards()[1]


@pytest.fixture
def images(make_pixels, shard: ShardPlan) -> torch.Tensor:
    return make_pixels(len(shard.samples), 3, 8, 8)


def test_the_same_shard_has_the_same_bytes_every_time(tmp_path: Path, shard: ShardPlan, images) -> None:
    first = write_shard(tmp_path / "a", PLAN, shard, images)
    second = write_shard(tmp_path / "b", PLAN, shard, images)
    assert first == second
    assert (tmp_path / "a" / first.name).read_bytes() == (tmp_path / "b" / first.name).read_bytes()


def test_the_record_describes_the_file(tmp_path: Path, shard: ShardPlan, images) -> None:
    record = write_shard(tmp_path, PLAN, shard, images)
    path = tmp_path / "train-000001.tar"
    assert record.name == path.name
    assert record.bytes == path.stat().st_size
    assert record.sha256 == sha256_file(path)
    assert record.samples == 2
    assert record.class_counts == (1, 1)


def test_members_have_a_fixed_time_owner_and_mode(tmp_path: Path, shard: ShardPlan, images) -> None:
    record = write_shard(tmp_path, PLAN, shard, images)
    with tarfile.open(tmp_path / record.name) as tar:
        members = tar.getmembers()
    assert [member.name for member in members] == [
        f"000001000{position}.{suffix}" for position in range(2) for suffix in ("png", "cls", "json")
    ]
    for member in members:
        assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, "", "")
        assert member.mode == 0o644
        assert member.isreg()


@pytest.mark.parametrize("channels", [1, 3])
def test_every_sample_holds_its_pixels_class_and_description(
    tmp_path: Path, make_pixels, shard: ShardPlan, channels: int
) -> None:
    images = make_pixels(2, channels, 8, 8)
    record = write_shard(tmp_path, PLAN, shard, images)
    with tarfile.open(tmp_path / record.name) as tar:
        data = {member.name: tar.extractfile(member).read() for member in tar.getmembers()}
    for position, (label, index) in enumerate(shard.samples):
        key = shard.key(position)
        with Image.open(io.BytesIO(data[f"{key}.png"])) as picture:
            pixels = np.asarray(picture).reshape(8, 8, channels)
        assert np.array_equal(pixels, images[position].permute(1, 2, 0).numpy())
        assert data[f"{key}.cls"] == str(label).encode()
        assert json.loads(data[f"{key}.json"]) == {
            "class": PLAN.class_names[label],
            "label": label,
            "index": index,
            "seed": 3,
            "model": "ddpm",
            "checkpoint": "c" * 64,
            "sampler": "ddim",
            "steps": 10,
            "guidance": 1.5,
            "scores": {"label_confidence": -1.0, "nearest_train_distance": -1.0},
        }


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # webdataset leaves its shards to the collector
def test_webdataset_reads_a_set_unchanged(make_shard_set) -> None:
    folder = make_shard_set(per_class=4, shard_size=3)
    manifest = Manifest.read(folder)
    urls = [str(folder / shard.name) for shard in manifest.shards]
    samples = list(webdataset.WebDataset(urls, shardshuffle=False).decode("rgb8"))
    gc.collect()
    expected = [(shard, position) for shard in manifest.plan.shards() for position in range(len(shard.samples))]
    assert len(samples) == len(expected) == 8
    for sample, (shard, position) in zip(samples, expected, strict=True):
        label, index = shard.samples[position]
        assert sample["__key__"] == shard.key(position)
        assert sample["cls"] == label
        assert (sample["json"]["label"], sample["json"]["index"]) == (label, index)
        assert sample["png"].shape == (8, 8, 3)
        assert sample["png"].dtype == np.uint8


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_shard_leaves_no_file(
    tmp_path: Path, shard: ShardPlan, images, monkeypatch: pytest.MonkeyPatch, interruption
) -> None:
    encode, calls = writer.encode_png, []

    def interrupted(image: torch.Tensor) -> bytes:
        calls.append(image)
        if len(calls) == 2:
            raise interruption
        return encode(image)

    monkeypatch.setattr(writer, "encode_png", interrupted)
    with pytest.raises(interruption):
        write_shard(tmp_path, PLAN, shard, images)
    assert len(calls) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("count", [1, 3])
def test_another_number_of_images_than_planned_leaves_no_file(
    tmp_path: Path, make_pixels, shard: ShardPlan, count: int
) -> None:
    with pytest.raises(ValueError, match="zip"):
        write_shard(tmp_path, PLAN, shard, make_pixels(count, 3, 8, 8))
    assert list(tmp_path.iterdir()) == []
