import errno
import hashlib
import io
import socket
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from synthaug.core.errors import InputError, StorageError
from synthaug.core.folders import (
    Folder,
    LocalFolder,
    folder_at,
    is_url,
    read_bytes,
    sha256_in,
)
from synthaug.core.remote import PROTOCOLS, RemoteFolder

NAMES = ["a.tar", "manifest.json", "two words.txt", "Käfer 狐.png", "x" * 150, "a.b.c", "-", "100%", "#1", "a+b=c&d"]


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A folder in memory that no other test uses."""
    return f"memory:/{tmp_path}/folder"


@pytest.fixture(params=["disk", "store"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, url: str) -> Folder:
    return folder_at(tmp_path / "folder" if request.param == "disk" else url)


class TestContract:
    """What holds for every folder, wherever it is."""

    def test_a_new_folder_is_empty(self, folder: Folder) -> None:
        assert isinstance(folder, Folder)
        assert folder.names() == []
        assert not folder.has("a")
        folder.prepare()
        assert folder.names() == []

    @pytest.mark.parametrize("data", [b"", b"abc", bytes(range(256)) * 9000])
    def test_a_file_comes_back_as_it_was_written(self, folder: Folder, data: bytes) -> None:
        folder.write("a.bin", data)
        assert folder.has("a.bin")
        assert folder.size("a.bin") == len(data)
        assert read_bytes(folder, "a.bin") == data
        assert sha256_in(folder, "a.bin") == hashlib.sha256(data).hexdigest()

    @pytest.mark.parametrize("name", NAMES)
    def test_any_plain_name_will_do(self, folder: Folder, name: str) -> None:
        folder.write(name, name.encode())
        assert folder.names() == [name]
        assert folder.has(name)
        assert read_bytes(folder, name) == name.encode()
        assert folder.where(name) == f"{folder}/{name}"
        folder.remove(name)
        assert folder.names() == []

    def test_a_file_is_read_from_front_to_back_in_pieces(self, folder: Folder) -> None:
        data = bytes(range(256)) * 20
        folder.write("a", data)
        pieces = []
        with folder.open("a") as file:
            while piece := file.read(1000):
                pieces.append(piece)
        assert [len(piece) for piece in pieces] == [1000, 1000, 1000, 1000, 1000, 120]
        assert b"".join(pieces) == data

    def test_names_are_in_order_without_hidden_files_and_folders_below(self, folder: Folder) -> None:
        for name in ("b", "a", "B", ".hidden", "10", "9"):
            folder.write(name, b"")
        folder_at(f"{folder}/below").write("c", b"")
        assert folder.names() == ["10", "9", "B", "a", "b"]
        assert not folder.has("below"), "a folder is no file"
        assert not folder.has("c")

    def test_names_are_seen_as_soon_as_others_write_them(self, folder: Folder) -> None:
        assert folder.names() == []
        folder_at(str(folder)).write("a", b"1")
        assert folder.names() == ["a"]
        assert folder.has("a")
        folder_at(str(folder)).remove("a")
        assert folder.names() == []
        assert not folder.has("a")

    def test_a_file_is_replaced_as_a_whole(self, folder: Folder) -> None:
        folder.write("a", b"a long first version")
        folder.write("a", b"short")
        assert read_bytes(folder, "a") == b"short"
        assert folder.size("a") == 5

    def test_removing_takes_one_file_away_and_may_be_repeated(self, folder: Folder) -> None:
        folder.write("a", b"")
        folder.write("b", b"")
        folder.remove("a")
        folder.remove("a")
        assert folder.names() == ["b"]

    def test_a_missing_file_is_an_input_error_that_names_it(self, folder: Folder) -> None:
        for read in (folder.size, lambda name: read_bytes(folder, name), lambda name: sha256_in(folder, name)):
            with pytest.raises(InputError, match=f"no such file: {folder.where('none')}"):
                read("none")

    def test_an_output_folder_may_be_empty_or_of_its_kind(self, folder: Folder) -> None:
        folder.check(marker="plan.json", kind="shard set")
        folder.write("plan.json", b"")
        folder.write("other", b"")
        folder.check(marker="plan.json", kind="shard set")
        folder.remove("plan.json")
        with pytest.raises(InputError, match=f"--out {folder} is not empty and holds no shard set; choose another"):
            folder.check(marker="plan.json", kind="shard set")
        folder.remove("other")
        folder.write(".hidden", b"")
        folder.check(marker="plan.json", kind="shard set")

    def test_an_error_in_the_middle_of_reading_passes_through(self, folder: Folder) -> None:
        folder.write("a", b"1")
        with pytest.raises(KeyError), folder.open("a"):
            raise KeyError
        assert read_bytes(folder, "a") == b"1"


class TestOnDisk:
    def test_what_is_no_url_is_a_path(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        for where in (tmp_path, str(tmp_path), "relative", "C:/x", "pipe:cat x", "a::b", "mailto:x"):
            assert isinstance(folder_at(where), LocalFolder)
            assert not is_url(where)
            assert str(folder_at(where)) == str(where)

    def test_a_file_in_the_place_of_a_folder_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        for where in (tmp_path / "file", tmp_path / "file" / "below"):
            with pytest.raises(InputError, match="file is a file; a folder is needed"):
                folder_at(where).check(marker="x", kind="shard set")
            assert folder_at(where).names() == []
            assert not folder_at(where).has("a")
            with pytest.raises(StorageError, match="could not write"):
                folder_at(where).prepare()
            with pytest.raises(StorageError, match="could not write"):
                folder_at(where).write("a", b"")

    @pytest.mark.parametrize("number", [errno.EACCES, errno.EIO])
    def test_a_disk_that_refuses_to_read_is_a_storage_error(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
    ) -> None:
        folder = folder_at(tmp_path)
        folder.write("a", b"1")

        def refuse(*_: Any, **__: Any) -> None:
            raise OSError(number, "refused")

        for name in ("open", "iterdir", "is_file"):
            with monkeypatch.context() as patch:
                patch.setattr(Path, name, refuse)
                with pytest.raises(StorageError, match=f"could not read {tmp_path}.*: refused"):
                    read_bytes(folder, "a") if name == "open" else folder.names()

    def test_a_disk_that_fails_in_the_middle_of_a_file_is_a_storage_error(self, tmp_path: Path) -> None:
        folder_at(tmp_path).write("a", b"1")
        with pytest.raises(StorageError, match=f"could not read {tmp_path}/a: broken"), folder_at(tmp_path).open("a"):
            raise OSError(errno.EIO, "broken")

    def test_a_disk_that_refuses_to_remove_is_a_storage_error(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: Any, **__: Any) -> None:
            raise PermissionError(errno.EACCES, "refused")

        monkeypatch.setattr(Path, "unlink", refuse)
        with pytest.raises(StorageError, match="permission was denied"):
            folder_at(tmp_path).remove("a")


class TestInStores:
    @pytest.mark.parametrize("protocol", ["memory", "MEMORY", "Memory"])
    def test_a_url_is_a_store_whatever_its_case(self, protocol: str, tmp_path: Path) -> None:
        where = f"{protocol}:/{tmp_path}/"
        assert is_url(where)
        folder = folder_at(where)
        assert isinstance(folder, RemoteFolder)
        assert str(folder) == where.rstrip("/")

    @pytest.mark.parametrize(
        "where",
        [
            "file:///tmp",
            "local:///tmp",
            "ftp://host/x",
            "ssh://host/x",
            "zip://x",
            "unheard-of://x",
            "memory://x::file:///tmp",
            "s3://bucket::simplecache",
            "http://host/a::b",
        ],
    )
    def test_other_protocols_and_chains_are_refused_naming_the_known(self, where: str) -> None:
        with pytest.raises(InputError, match="URLs of s3://, gs://, .*can be used, not this one"):
            folder_at(where)

    @pytest.mark.parametrize("protocol", [name for name, extra in PROTOCOLS.items() if extra])
    def test_a_missing_client_is_an_input_error_that_names_the_extra(
        self, protocol: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def missing(_: str) -> None:
            raise ImportError("Install the client")

        monkeypatch.setattr(fsspec, "get_filesystem_class", missing)
        with pytest.raises(InputError, match=rf"pip install 'synthaug\[{PROTOCOLS[protocol]}\]'"):
            folder_at(f"{protocol}://bucket/set")

    def test_a_store_that_refuses_to_write_is_a_storage_error_and_shows_nothing(
        self, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = folder_at(url)
        with monkeypatch.context() as patch:
            patch.setattr(MemoryFileSystem, "pipe_file", self.fail_with(OSError("503 Slow Down")))
            with pytest.raises(StorageError, match=f"could not write {url}/a: 503 Slow Down.*run the same command"):
                folder.write("a", b"1")
        assert folder.names() == []
        folder.write("a", b"1")
        assert folder.names() == ["a"]

    def test_a_missing_bucket_is_a_storage_error(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(MemoryFileSystem, "pipe_file", self.fail_with(FileNotFoundError("bucket")))
        with pytest.raises(StorageError, match="the bucket or folder does not exist"):
            folder_at(url).write("a", b"1")

    def test_a_store_that_cannot_write_at_all_is_an_input_error(
        self, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(MemoryFileSystem, "pipe_file", self.fail_with(NotImplementedError()))
        with pytest.raises(InputError, match="can be read, but not written to"):
            folder_at(url).write("a", b"1")

    @pytest.mark.parametrize(
        ("method", "use"),
        [
            ("ls", lambda folder: folder.names()),
            ("info", lambda folder: folder.has("a")),
            ("info", lambda folder: folder.size("a")),
            ("open", lambda folder: read_bytes(folder, "a")),
            ("rm_file", lambda folder: folder.remove("a")),
        ],
        ids=["names", "has", "size", "open", "remove"],
    )
    @pytest.mark.parametrize("error", [OSError("no answer"), TimeoutError("no answer"), ValueError("no answer")])
    def test_no_answer_is_a_storage_error_and_never_an_absent_file(
        self, url: str, monkeypatch: pytest.MonkeyPatch, method: str, use: Any, error: Exception
    ) -> None:
        folder = folder_at(url)
        folder.write("a", b"1")
        monkeypatch.setattr(MemoryFileSystem, method, self.fail_with(error))
        with pytest.raises(StorageError, match=f"could not .* {url}.*: no answer"):
            use(folder)

    def test_a_connection_lost_in_the_middle_of_a_file_is_a_storage_error(
        self, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Cut(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                if self.tell():
                    raise ConnectionResetError("connection reset")
                return super().read(100)

        folder = folder_at(url)
        monkeypatch.setattr(MemoryFileSystem, "open", lambda *_: Cut(bytes(1000)))
        with pytest.raises(StorageError, match=f"could not read {url}/a: connection reset"):
            read_bytes(folder, "a")

    def test_a_web_server_cannot_be_written_to(self) -> None:
        pytest.importorskip("aiohttp")
        with socket.socket() as unused:  # bound, but nobody listens: refused at once
            unused.bind(("127.0.0.1", 0))
            with pytest.raises((StorageError, InputError)):
                folder_at(f"http://127.0.0.1:{unused.getsockname()[1]}/set").write("a", b"1")

    @staticmethod
    def fail_with(error: Exception) -> Any:
        def fail(*_: Any, **__: Any) -> None:
            raise error

        return fail
