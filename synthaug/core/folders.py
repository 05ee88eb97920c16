"""Folders of files that may lie on a disk or in an object store; files appear in them whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, runtime_checkable

from synthaug.core.errors import InputError, StorageError
from synthaug.core.storage import atomic_file, check_folder, disk_errors, remove_leftovers

_URL = re.compile(r"^([a-z][a-z0-9+.-]*)://", re.IGNORECASE)


@runtime_checkable
class Readable(Protocol):
    """A binary file that can be read from front to back."""

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes: all of them, or fewer than `size` only at the end."""


@runtime_checkable
class Folder(Protocol):
    """Files by name, without folders below.

    Every method raises StorageError if the disk or the store refuses; those that read raise InputError for a file that
    is not there.
    """

    def names(self) -> list[str]:
        """Names of the files in order, without hidden ones; none if there is no such folder."""

    def has(self, name: str) -> bool:
        """Whether there is such a file."""

    def size(self, name: str) -> int:
        """Bytes of a file."""

    def open(self, name: str) -> contextlib.AbstractContextManager[Readable]:
        """A file to be read from its beginning."""

    def write(self, name: str, data: bytes) -> None:
        """Puts a whole file, durably and atomically, replacing one of that name."""

    def remove(self, name: str) -> None:
        """Takes a file away; it may be missing."""

    def where(self, name: str) -> str:
        """Path or URL of a file, for messages."""

    def check(self, *, marker: str, kind: str) -> None:
        """Refuses an output folder that holds something, but no file called `marker`. Raises InputError."""

    def prepare(self) -> None:
        """Makes the folder, and clears away what killed processes left half-written in it."""


def folder_at(where: str | Path) -> Folder:
    """The folder at a path or URL (s3://, gs://, hf://, http://, memory://).

    Raises:
        InputError: For a URL of another kind, or if its client is not installed.
    """
    match = _URL.match(str(where))
    if match is None:
        return LocalFolder(Path(where))
    from synthaug.core.remote import RemoteFolder

    return RemoteFolder(str(where))


def is_url(where: str | Path) -> bool:
    """Whether this names something outside the file system."""
    return _URL.match(str(where)) is not None


def read_bytes(folder: Folder, name: str) -> bytes:
    """The whole of a small file."""
    with folder.open(name) as file:
        return file.read()


def sha256_in(folder: Folder, name: str) -> str:
    """The sha256 of a file's bytes in hexadecimal."""
    digest = hashlib.sha256()
    with folder.open(name) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class LocalFolder:
    """A folder on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def where(self, name: str) -> str:
        """Path of a file, for messages."""
        return str(self.path / name)

    def names(self) -> list[str]:
        """Names of the files in order, without hidden ones; none if there is no such folder."""
        with _reading(self.path):
            if not self.path.is_dir():
                return []
            return sorted(entry.name for entry in self.path.iterdir() if entry.is_file() and entry.name[0] != ".")

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        with _reading(self.path / name):
            return (self.path / name).is_file()

    def size(self, name: str) -> int:
        """Bytes of a file."""
        with _reading(self.path / name):
            self._require(name)
            return (self.path / name).stat().st_size

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[Readable]:
        """A file to be read from its beginning."""
        with _reading(self.path / name):
            self._require(name)
            with (self.path / name).open("rb") as file:
                yield file

    def _require(self, name: str) -> None:
        if not (self.path / name).is_file():  # a device or a pipe would never end
            raise InputError(f"no such file: {(self.path / name).absolute()}")

    def write(self, name: str, data: bytes) -> None:
        """Puts a whole file: temporary name, flush to disk, rename."""
        with atomic_file(self.path / name) as file:
            file.write(data)

    def remove(self, name: str) -> None:
        """Takes a file away; it may be missing."""
        with disk_errors(self.path / name):
            (self.path / name).unlink(missing_ok=True)

    def check(self, *, marker: str, kind: str) -> None:
        """Refuses an output folder that holds something, but no file called `marker`."""
        check_folder(self.path, marker=marker, kind=kind)

    def prepare(self) -> None:
        """Makes the folder, and clears away what killed processes left half-written in it."""
        with disk_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            remove_leftovers(self.path)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"could not read {path}: {error.strerror or error}") from error
