"""Files that are either whole or absent: temporary name, flush to disk, rename."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import platform
import re
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from synthaug.core.errors import InputError, StorageError

try:
    import fcntl
except ImportError:  # not on every system
    fcntl = None  # type: ignore[assignment]


def _host() -> str:
    """This machine, and in it the space of process numbers: containers may share one and not the other."""
    space = Path("/proc/self/ns/pid")
    number = space.stat().st_ino if space.exists() else 0
    return re.sub(r"[^A-Za-z0-9-]", "-", f"{platform.node()}-{number}")


_HOST = _host()
_PARTIAL = re.compile(r"\.(?P<host>[^.]*)\.(?P<pid>\d+)\.[0-9a-f]+\.partial$")
_DISK_ERRORS = {
    errno.ENOSPC: "no space is left on the disk",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file would be larger than allowed",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission was denied",
}


_REMEDIES = dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "make room")


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turns the disk's refusals into one clear `StorageError` about `path`."""
    try:
        yield
    except OSError as error:
        reason = _DISK_ERRORS.get(error.errno or 0) or error.strerror or str(error)
        remedy = _REMEDIES.get(error.errno or 0, "mend that")
        raise StorageError(
            f"could not write {path}: {reason}. Nothing half-written was published, finished parts are kept; "
            f"{remedy}, then run the same command again (train: with --resume auto)."
        ) from error


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that appears under `path` only if the block ends without an exception.

    Raises:
        StorageError: If the disk refuses.
    """
    # No two processes share this name, also on different machines that see the same folder.
    temporary = path.with_name(f".{path.name}.{_HOST}.{os.getpid()}.{secrets.token_hex(4)}.partial")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


def read_array(path: Path, dtype: str, shape: tuple[int, ...], *, is_mapped: bool = False) -> Any:
    """A numpy array of the cache, or None if there is none of that type and shape: whatever is amiss, it is made again.

    Args:
        path: The .npy file.
        dtype: Name of its numbers' type.
        shape: Its shape.
        is_mapped: Whether its pages are read when they are used; what is written to them stays in this process.
    """
    try:
        array = np.load(path, mmap_mode="c" if is_mapped else None, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return array if (array.dtype.name, array.shape) == (dtype, shape) else None


@contextlib.contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Lets one process of this machine at a time into the block, told apart by `path`; all at once where it cannot."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.with_name(f".{path.name}.lock").open("w")
    except OSError:  # what is done in the block will say why
        yield
        return
    with file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)  # given back when the file is closed, also by death
        yield


def remove_leftovers(folder: Path) -> None:
    """Removes the half-written files that processes of this machine, no longer alive, left in a folder."""
    for path in folder.glob(".*.partial"):
        match = _PARTIAL.search(path.name)
        if match is not None and match["host"] == _HOST and not _is_alive(int(match["pid"])):
            path.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text atomically."""
    with atomic_file(path) as file:
        file.write(text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Writes bytes atomically."""
    with atomic_file(path) as file:
        file.write(data)


def write_json(path: Path, value: Any) -> None:
    """Writes one JSON value atomically, indented, ending in a newline."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def append_json_line(path: Path, value: Any) -> None:
    """Appends one JSON line and flushes it to disk; a line cut short by a crash is closed off first.

    Raises:
        StorageError: If the disk refuses; a partial line is taken back.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+", buffering=0) as file:
            line = (json.dumps(value, ensure_ascii=False) + "\n").encode()
            end = file.seek(0, os.SEEK_END)
            if end:
                file.seek(end - 1)
                if file.read(1) != b"\n":
                    line = b"\n" + line
            try:
                while line:  # A disk that fills up takes a part before it refuses.
                    line = line[file.write(line) :]
                os.fsync(file.fileno())
            except OSError:
                file.truncate(end)
                raise


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """The JSON objects of a file, one on a line; other lines, as a crash leaves them, are passed over.

    A missing file has none.
    """
    if not path.exists():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        with contextlib.suppress(json.JSONDecodeError):
            row = json.loads(line)
            if isinstance(row, dict):
                rows.append(row)
    return rows


def sha256_file(path: Path) -> str:
    """The sha256 of a file's bytes in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """The sha256 of a JSON value in canonical form (sorted keys, no spaces)."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def check_same_settings(
    before: Mapping[str, Any],
    now: Mapping[str, Any],
    where: str,
    advice: str = "Repeat its settings to continue it, or choose another folder.",
) -> None:
    """Refuses to continue in `where`, which was started with other settings.

    Raises:
        InputError: Naming the first setting that differs, with both values.
    """
    for name, value in now.items():
        if isinstance(value, Mapping) and isinstance(before.get(name), Mapping):
            check_same_settings(before[name], value, where, advice)
        elif before.get(name) != value:
            found = f"{name} is {before.get(name)!r} there and {value!r} now"
            raise InputError(f"{where} was started with other settings: {found}. {advice}")


def check_folder(path: Path, *, marker: str | None, kind: str) -> None:
    """Refuses an output folder that is a file, lies below one, or holds something else than `kind`.

    Args:
        path: The folder.
        marker: What a folder of this kind contains; None if it must be empty. Hidden files do not count.
        kind: What the folder is for.

    Raises:
        InputError: Saying what is in the way.
    """
    for part in (path, *path.parents):
        if part.exists():
            if not part.is_dir():
                raise InputError(f"--out {path}: {part} is a file; a folder is needed")
            break
    names = {entry.name for entry in path.iterdir()} if path.is_dir() else set()
    is_of_kind = marker is not None and marker in names
    if not is_of_kind and any(not name.startswith(".") for name in names):
        raise InputError(f"--out {path} is not empty and holds no {kind}; choose another folder")


def cache_home() -> Path:
    """Where downloads are kept: `SYNTHAUG_HOME`, else `$XDG_CACHE_HOME/synthaug`, else `~/.cache/synthaug`."""
    if home := os.environ.get("SYNTHAUG_HOME"):
        return Path(home)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "synthaug"
