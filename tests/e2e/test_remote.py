"""Sets in an object store and on a web server: a real S3-speaking server, fsspec's memory, and plain HTTP."""

from __future__ import annotations

import contextlib
import functools
import http.server
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from synthaug.core.errors import DamageError, InputError, StorageError, SynthaugError
from synthaug.core.folders import folder_at, read_bytes
from synthaug.core.remote import RemoteFolder
from synthaug.data.sources import load_source
from synthaug.shards.dataset import ShardDataset
from synthaug.shards.manifest import MANIFEST_NAME, Manifest
from synthaug.shards.reader import read_set
from synthaug.shards.verify import verify_set
from synthaug.workflows.cost import COST_NAME
from synthaug.workflows.inspect import InspectConfig, inspect
from synthaug.workflows.synthesize import GenerateConfig, generate
from synthaug.workflows.verify import VerifyConfig, verify

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of the clients, not ours to mend
    pytest.mark.filterwarnings("ignore:This DataLoader will create"),  # on a machine with one core
]


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    """A server on loopback that speaks S3."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a fresh bucket."""
    import s3fs

    for name, value in {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    name = f"sets-{uuid.uuid4().hex}"
    s3fs.S3FileSystem().mkdir(name)
    yield f"s3://{name}"
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def place(request: pytest.FixtureRequest) -> str:
    """A fresh folder in the store that the test's parameter names."""
    if request.param == "s3":
        return str(request.getfixturevalue("bucket")) + "/some/set"
    return f"memory://{uuid.uuid4().hex}/set"


everywhere = pytest.mark.parametrize("place", ["s3", "memory"], indirect=True)


def settings(checkpoint: Path, out: str | Path, **options: object) -> GenerateConfig:
    """A tiny set of 20 digits in three shards."""
    return GenerateConfig.resolve(
        {
            "model": str(checkpoint),
            "per_class": 2,
            "shard_size": 8,
            "batch_size": 4,
            "steps": 1,
            "device": "cpu",
            "precision": "fp32",
            "out": out,
            **options,
        }
    )


def contents(where: str | Path) -> dict[str, bytes]:
    """Every file of a set; config.yaml names its folder, and only folders on a disk have a cost.jsonl."""
    folder = folder_at(where)
    return {name: read_bytes(folder, name) for name in folder.names() if name not in ("config.yaml", COST_NAME)}


@pytest.fixture
def local(tmp_path: Path, tiny_checkpoint: Path) -> Path:
    """The same set on disk."""
    generate(settings(tiny_checkpoint, tmp_path / "local"))
    return tmp_path / "local"


@everywhere
def test_a_remote_set_is_the_local_one(place: str, local: Path, tiny_checkpoint: Path) -> None:
    result = generate(settings(tiny_checkpoint, place))
    assert result.manifest == f"{place}/{MANIFEST_NAME}"
    assert contents(place) == contents(local)
    assert verify_set(place, deep=True) == verify_set(local, deep=True)


@everywhere
def test_reading_from_a_url_gives_the_same_images(place: str, local: Path, tiny_checkpoint: Path) -> None:
    generate(settings(tiny_checkpoint, place))
    expected = read_set(local)[0]
    assert read_set(place)[0].fingerprint == expected.fingerprint
    assert load_source(f"wds:{place}").train.fingerprint == expected.fingerprint
    assert load_source(f"wds:{place}/train-{{000000..000002}}.tar").train.fingerprint == expected.fingerprint
    assert torch.equal(torch.stack([sample.image for sample in ShardDataset(place)]), expected.images)
    assert inspect(InspectConfig(folder=place)).class_counts == dict.fromkeys(map(str, range(10)), 2)


@everywhere
def test_an_interrupted_upload_leaves_whole_shards_and_no_manifest(
    place: str, local: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, written = RemoteFolder.write, []

    def failing(folder: RemoteFolder, name: str, data: bytes) -> None:
        if name == "train-000001.tar":
            raise StorageError("the line is dead")
        written.append(name)
        write(folder, name, data)

    with monkeypatch.context() as patch:
        patch.setattr(RemoteFolder, "write", failing)
        with pytest.raises(StorageError, match="the line is dead"):
            generate(settings(tiny_checkpoint, place))
    assert MANIFEST_NAME not in folder_at(place).names()
    with pytest.raises(InputError, match="unfinished"):
        read_set(place)
    kept = {name: data for name, data in contents(place).items() if name.endswith(".tar")}
    assert kept
    assert kept.items() <= contents(local).items()
    generate(settings(tiny_checkpoint, place))
    assert contents(place) == contents(local)


@everywhere
def test_damage_is_named_and_repaired(place: str, local: Path, tiny_checkpoint: Path) -> None:
    generate(settings(tiny_checkpoint, place))
    folder = folder_at(place)
    data = bytearray(read_bytes(folder, "train-000001.tar"))
    data[700] ^= 1
    folder.write("train-000001.tar", bytes(data))
    with pytest.raises(DamageError, match=r"train-000001\.tar has another sha256.*0000010000"):
        verify(VerifyConfig(folder=place))
    repaired = verify(VerifyConfig(folder=place, repair=True, model=str(tiny_checkpoint), device="cpu"))
    assert repaired.repaired == ("train-000001.tar",)
    assert contents(place) == contents(local)


@everywhere
def test_other_settings_and_foreign_folders_are_refused(place: str, tiny_checkpoint: Path) -> None:
    generate(settings(tiny_checkpoint, place))
    with pytest.raises(InputError, match="seed is 0 there and 1 now"):
        generate(settings(tiny_checkpoint, place, seed=1))
    folder_at(f"{place}/other").write("letter.txt", b"dear")
    with pytest.raises(InputError, match="is not empty and holds no shard set"):
        generate(settings(tiny_checkpoint, f"{place}/other"))


@everywhere
def test_job_array_tasks_finish_a_remote_set(place: str, local: Path, tiny_checkpoint: Path) -> None:
    first = generate(settings(tiny_checkpoint, place, shards="1/2"))
    assert (first.missing_shards, first.manifest) == (2, None)
    second = generate(settings(tiny_checkpoint, place, shards="0/2"))
    assert second.missing_shards == 0
    assert contents(place) == contents(local)


def test_a_store_that_does_not_answer_is_one_clear_error(
    bucket: str, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SynthaugError, match=f"{bucket}-elsewhere/set"):
        generate(settings(tiny_checkpoint, f"{bucket}-elsewhere/set"))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_loader_workers_read_from_a_store(bucket: str, local: Path, tiny_checkpoint: Path, method: str) -> None:
    generate(settings(tiny_checkpoint, f"{bucket}/set"))
    expected = read_set(f"{bucket}/set")[0]  # connects before the workers are made
    samples = ShardDataset(f"{bucket}/set")
    loader = DataLoader(samples, batch_size=None, num_workers=2, multiprocessing_context=method)
    found = sorted((sample.key, sample.label) for sample in loader)
    assert len(found) == len(expected) == len(samples)
    assert found == sorted((sample.key, sample.label) for sample in ShardDataset(local))


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web(local: Path) -> Iterator[str]:
    """The local set on a web server."""
    handler = functools.partial(_Quiet, directory=str(local.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with contextlib.suppress(KeyboardInterrupt):
            yield f"http://127.0.0.1:{server.server_address[1]}/{local.name}"
        server.shutdown()
        thread.join()


def test_a_set_is_read_and_verified_over_http(web: str, local: Path) -> None:
    assert read_set(web)[0].fingerprint == read_set(local)[0].fingerprint
    assert verify_set(web, deep=True) == verify_set(local, deep=True)
    assert Manifest.read(web) == Manifest.read(local)


def test_loader_workers_read_over_http(web: str, local: Path) -> None:
    assert read_set(web)[0].fingerprint == read_set(local)[0].fingerprint
    loader = DataLoader(ShardDataset(web), batch_size=None, num_workers=2, multiprocessing_context="fork")
    assert sorted(sample.key for sample in loader) == sorted(sample.key for sample in ShardDataset(local))


def test_damage_is_found_over_http(web: str, local: Path) -> None:
    shard = local / "train-000002.tar"
    shard.write_bytes(shard.read_bytes()[:-600])
    with pytest.raises(DamageError, match=r"train-000002\.tar has \d+ bytes instead of"):
        verify_set(web)
    with pytest.raises(DamageError, match="cut short"):
        read_set(web)


def test_a_web_server_cannot_be_written_to(web: str, tiny_checkpoint: Path) -> None:
    with pytest.raises(InputError, match="can be read, but not written to"):
        generate(settings(tiny_checkpoint, f"{web}-new"))
