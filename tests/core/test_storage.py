import errno
import hashlib
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from synthaug.core import storage
from synthaug.core.errors import InputError, StorageError
from synthaug.core.storage import (
    append_json_line,
    atomic_file,
    cache_home,
    check_folder,
    check_same_settings,
    disk_errors,
    read_json_lines,
    remove_leftovers,
    sha256_file,
    sha256_json,
    write_bytes,
    write_json,
    write_text,
)


@contextmanager
def files_limited_to(size: int) -> Iterator[None]:
    """A disk that refuses to let any file grow beyond `size` bytes, after taking what still fits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_finished_file_appears_whole_and_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.bin"
    with atomic_file(path) as file:
        file.write(b"abc")
        assert not path.exists()
    assert path.read_bytes() == b"abc"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("interruption", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_interrupted_file_leaves_the_old_one_and_nothing_else(tmp_path: Path, interruption) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")

    def write_half() -> None:
        with atomic_file(path) as file:
            file.write(b"half")
            raise interruption

    with pytest.raises(interruption):
        write_half()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_flushed_or_renamed_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")

    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "broken")

    for place, name in ((os, "fsync"), (Path, "replace")):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, refuse)
            with pytest.raises(StorageError, match="broken"):
                write_bytes(path, b"new")
        assert path.read_bytes() == b"old"
        assert list(tmp_path.iterdir()) == [path]


def test_two_writers_of_one_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    with atomic_file(path) as first:
        first.write(b"first")
        with atomic_file(path) as second:
            second.write(b"second")
        assert path.read_bytes() == b"second"
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


class TestLeftovers:
    WRITER = """
import sys
from pathlib import Path
from synthaug.core.storage import atomic_file
with atomic_file(Path(sys.argv[1])) as file:
    file.write(b"half")
    file.flush()
    print("writing", flush=True)
    sys.stdin.read()
"""

    def test_the_half_file_of_a_killed_process_is_removed_and_that_of_a_living_one_kept(self, tmp_path: Path) -> None:
        path = tmp_path / "train-000000.tar"
        command = [sys.executable, "-c", self.WRITER, str(path)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"writing\n"
            [half] = tmp_path.iterdir()
            assert half.read_bytes() == b"half"
            remove_leftovers(tmp_path)
            assert half.exists()
            writer.kill()
            writer.wait()
        assert [*tmp_path.iterdir()] == [half]
        remove_leftovers(tmp_path)
        assert list(tmp_path.iterdir()) == []

    def test_files_of_other_machines_and_of_this_process_are_kept(self, tmp_path: Path) -> None:
        with subprocess.Popen(["true"]) as gone:
            pass
        host = storage._HOST
        names = [
            f".a.tar.other-{host}.{gone.pid}.0a1b2c3d.partial",
            f".a.tar.{host}.{os.getpid()}.0a1b2c3d.partial",
            f"a.tar.{host}.{gone.pid}.0a1b2c3d.partial",
            ".a.tar.partial",
            ".a.partial",
            "a.tar",
        ]
        for name in (*names, f".a.tar.{host}.{gone.pid}.0a1b2c3d.partial"):
            (tmp_path / name).touch()
        remove_leftovers(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == set(names)

    def test_a_process_of_another_user_is_alive(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def forbid(*_: int) -> None:
            raise PermissionError

        monkeypatch.setattr(os, "kill", forbid)
        path = tmp_path / f".a.{storage._HOST}.1.0a.partial"
        path.touch()
        remove_leftovers(tmp_path)
        assert path.exists()

    def test_a_folder_that_is_not_there_has_none(self, tmp_path: Path) -> None:
        remove_leftovers(tmp_path / "none")
        assert not (tmp_path / "none").exists()


class TestOutputFolders:
    @pytest.mark.parametrize("marker", [None, "plan.json"])
    def test_a_new_or_empty_folder_will_do(self, tmp_path: Path, marker: str | None) -> None:
        check_folder(tmp_path, marker=marker, kind="shard set")
        check_folder(tmp_path / "a" / "b", marker=marker, kind="shard set")
        (tmp_path / ".hidden").touch()
        check_folder(tmp_path, marker=marker, kind="shard set")

    def test_a_folder_of_its_kind_will_do(self, tmp_path: Path) -> None:
        for name in ("plan.json", "other"):
            (tmp_path / name).touch()
        check_folder(tmp_path, marker="plan.json", kind="shard set")
        with pytest.raises(InputError, match="is not empty and holds no checkpoint"):
            check_folder(tmp_path, marker="model_index.json", kind="checkpoint")
        with pytest.raises(InputError, match="is not empty and holds no report"):
            check_folder(tmp_path, marker=None, kind="report")

    @pytest.mark.parametrize("below", ["", "a", "a/b"])
    def test_a_file_in_the_way_is_named(self, tmp_path: Path, below: str) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(InputError, match=f"{tmp_path}/file is a file; a folder is needed"):
            check_folder(tmp_path / "file" / below, marker="plan.json", kind="shard set")


@pytest.mark.parametrize("data", [b"x" * 5_000, b"x" * 500_000])
def test_a_full_disk_is_one_clear_error_and_leaves_nothing(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "file.bin"
    with files_limited_to(1000), pytest.raises(StorageError, match=r"could not write .*file\.bin: the file would be"):
        write_bytes(path, data)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENOSPC, "no space is left"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "permission was denied"),
    ],
)
def test_the_disks_refusals_are_named(number: int, reason: str) -> None:
    with pytest.raises(StorageError, match=f"could not write out: .*{reason}") as caught, disk_errors(Path("out")):
        raise OSError(number, "refused")
    assert caught.value.exit_code == 1


def test_other_refusals_of_the_disk_are_told_in_its_own_words() -> None:
    with pytest.raises(StorageError, match="could not write out: broken"), disk_errors(Path("out")):
        raise OSError(errno.EIO, "broken")


def test_text_is_written_as_utf8(tmp_path: Path) -> None:
    write_text(tmp_path / "t", "grün")
    assert (tmp_path / "t").read_bytes() == "grün".encode()


def test_json_is_indented_utf8_with_a_final_newline(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"name": "grün", "values": [1, 2]})
    text = (tmp_path / "x.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"name": "grün", "values": [1, 2]}
    assert "grün" in text
    assert text.endswith("}\n")


def test_appended_lines_are_read_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "new" / "lines.jsonl"
    rows = [{"a": 1}, {"b": "grün\nzwei"}, {"c": "\u2028 \x85 \x1c"}]
    for row in rows:
        append_json_line(path, row)
    assert read_json_lines(path) == rows
    assert path.read_bytes().count(b"\n") == 3


def test_a_missing_file_has_no_lines(tmp_path: Path) -> None:
    assert read_json_lines(tmp_path / "none.jsonl") == []


def test_a_line_cut_short_by_a_crash_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    append_json_line(path, {"a": 1})
    append_json_line(path, {"b": "grün"})
    whole = path.read_bytes()
    first_line = whole.index(b"\n") + 1
    for length in range(first_line, len(whole) - 1):
        path.write_bytes(whole[:length])
        append_json_line(path, {"c": 3})
        assert read_json_lines(path) == [{"a": 1}, {"c": 3}]


def test_a_line_that_the_disk_refuses_is_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    append_json_line(path, {"a": 1})
    before = path.read_bytes()
    with files_limited_to(len(before) + 10), pytest.raises(StorageError, match="could not write"):
        append_json_line(path, {"b": "x" * 100})
    assert path.read_bytes() == before


def test_the_hash_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000
    (tmp_path / "x").write_bytes(data)
    assert sha256_file(tmp_path / "x") == hashlib.sha256(data).hexdigest()


def test_the_hash_of_a_value_ignores_the_order_of_keys_only() -> None:
    assert sha256_json({"a": 1, "b": [1, 2]}) == sha256_json({"b": [1, 2], "a": 1})
    assert sha256_json({"a": 1, "b": [1, 2]}) != sha256_json({"a": 1, "b": [2, 1]})
    assert sha256_json({"a": 1}) == hashlib.sha256(b'{"a":1}').hexdigest()


def test_the_same_settings_may_continue() -> None:
    check_same_settings({"seed": 1, "steps": 2}, {"steps": 2, "seed": 1}, "out")


@pytest.mark.parametrize(("before", "found"), [({"seed": 1, "steps": 2}, "2"), ({"seed": 1}, "None")])
def test_other_settings_are_refused_naming_the_first_and_both_values(before, found) -> None:
    with pytest.raises(InputError, match=f"out was started with other settings: steps is {found} there and 3 now"):
        check_same_settings(before, {"seed": 1, "steps": 3}, "out")


def test_a_difference_inside_a_nested_setting_is_named() -> None:
    before, now = {"split": {"seed": 1, "parts": {"a": 1}}}, {"split": {"seed": 1, "parts": {"a": 2}}}
    check_same_settings(before, before, "out")
    with pytest.raises(InputError, match=r"a is 1 there and 2 now\. Ask Ada"):
        check_same_settings(before, now, "out", "Ask Ada.")


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SYNTHAUG_HOME", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_home() == tmp_path / "own"
    monkeypatch.delenv("SYNTHAUG_HOME")
    assert cache_home() == tmp_path / "xdg" / "synthaug"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_home() == tmp_path / ".cache" / "synthaug"
