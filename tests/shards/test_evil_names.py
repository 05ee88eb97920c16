"""Names made to run commands, or to reach what is no file of the user's: they are files, known URLs, or refused."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from synthaug.core.errors import DamageError, InputError
from synthaug.core.folders import folder_at
from synthaug.data.sources import load_source
from synthaug.shards.dataset import ShardDataset
from synthaug.shards.find import resolve_shards
from synthaug.shards.reader import iterate_shard, read_set
from synthaug.shards.verify import verify_set
from tests.shards.archives import tar_of

pytestmark = pytest.mark.usefixtures("harm")

NAMES = [
    "pipe:cat /etc/passwd",
    "pipe:touch ran",
    "| touch ran",
    "$(touch ran)",
    "`touch ran`",
    "simplecache::s3://bucket/x.tar",
    "simplecache::file:///etc/passwd",
    "filecache::memory://x.tar",
    "memory://x::file:///etc/passwd.tar",
    "s3://bucket::file:///etc/passwd/x.tar",
    "file:///etc/passwd",
    "FILE:///etc/x.tar",
    "local:///etc/x.tar",
    "zip://x.tar::file:///etc/passwd",
    "tar://x.tar",
    "reference://x.tar",
    "dir::file:///etc",
    "ftp://host/x.tar",
    "sftp://host/x.tar",
    "ssh://host/x.tar",
    "smb://host/x.tar",
    "data://text,x.tar",
    "git://repo/x.tar",
    "jlab://x.tar",
    "gopher://x/x.tar",
    "unheard-of://x/x.tar",
    "/dev/zero",
    "/dev/stdin",
]


class TestNames:
    @pytest.mark.parametrize("name", NAMES)
    def test_a_name_is_a_file_or_a_known_url_and_never_a_command(self, tmp_path: Path, name: str) -> None:
        ways: list[Callable[[], object]] = [
            lambda: read_set(name),
            lambda: verify_set(name),
            lambda: list(iterate_shard(name)),
            lambda: list(ShardDataset(name)),
            lambda: load_source(f"wds:{name}"),
            lambda: [list(iterate_shard(shard)) for shard in resolve_shards(name)],
        ]
        for way in ways:
            with pytest.raises(InputError):
                way()
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("name", ["pipe:cat passwd", "| x", "$(x)"])
    def test_a_file_that_is_called_like_a_command_is_just_a_file(self, tmp_path: Path, png: bytes, name: str) -> None:
        tar_of(tmp_path / name, [("a.png", png), ("a.cls", b"0")])
        assert len(load_source(f"wds:{name}").train) == 1

    def test_a_pipe_or_device_in_the_place_of_a_shard_is_not_opened(self, tmp_path: Path, make_shard_set) -> None:
        folder = make_shard_set(per_class=2)
        victim = folder / "train-000001.tar"
        victim.unlink()
        os.mkfifo(victim)
        with pytest.raises(DamageError, match="is missing"):
            verify_set(folder)
        with pytest.raises(DamageError, match="is missing"):
            read_set(folder)
        with pytest.raises(InputError, match="no such file"):
            list(iterate_shard(victim))

    def test_what_a_store_lists_cannot_name_a_file_elsewhere(self, tmp_path: Path, png: bytes) -> None:
        url = f"memory:/{tmp_path}"
        folder_at(f"{url}/deeper").write("x.tar", tar_of(tmp_path / "x.tar", []).read_bytes())
        assert folder_at(url).names() == [], "what lies in folders below is not listed"
