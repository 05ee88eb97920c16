"""Folders in object stores and on web servers, through fsspec."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from synthaug.core.errors import InputError, StorageError
from synthaug.core.folders import Readable

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer as Buffer

#: Protocols that may be opened, each with the extra that installs its client.
PROTOCOLS = {
    "s3": "s3",
    "gs": "gs",
    "gcs": "gs",
    "hf": "hf",
    "http": "http",
    "https": "http",
    "memory": "",  # a part of fsspec
}


class RemoteFolder:
    """A folder in an object store or on a web server, through fsspec."""

    def __init__(self, url: str) -> None:
        import fsspec

        protocol = url.partition("://")[0].lower()
        if protocol not in PROTOCOLS or "::" in url:
            raise InputError(
                f"{url}: URLs of {', '.join(f'{name}://' for name in PROTOCOLS)} can be used, not this one"
            )
        try:
            self._kind: Any = fsspec.get_filesystem_class(protocol)
        except ImportError as error:
            raise InputError(
                f"{url}: {protocol}:// needs another package: pip install 'synthaug[{PROTOCOLS[protocol]}]' ({error})"
            ) from error
        self.url = url.rstrip("/")
        self._client: tuple[int, Any] | None = None
        self._root = str(self._kind._strip_protocol(self.url)).rstrip("/")

    @property
    def _system(self) -> Any:
        """The client, one for each process: its connections do not survive a fork, nor being sent to a worker."""
        if self._client is None or self._client[0] != os.getpid():
            with self._errors("open", self.url):
                self._client = (os.getpid(), self._kind(use_listings_cache=False, skip_instance_cache=True))
        return self._client[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_client": None}

    def __str__(self) -> str:
        return self.url

    def where(self, name: str) -> str:
        """URL of a file, for messages."""
        return f"{self.url}/{name}"

    def names(self) -> list[str]:
        """Names of the files in order, without hidden ones; none if there is no such folder."""
        with self._errors("list", str(self)):
            try:
                self._system.invalidate_cache()
                found = self._system.ls(self._root, detail=True)
            except FileNotFoundError:
                return []
        names = (entry["name"].rstrip("/").rpartition("/")[2] for entry in found if entry["type"] == "file")
        return sorted(name for name in names if name and name[0] != ".")

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        with self._errors("look for", self.where(name)):
            try:  # fsspec's isfile() takes every failure for "no"
                return bool(self._system.info(self._path(name))["type"] == "file")
            except FileNotFoundError:
                return False

    def size(self, name: str) -> int:
        """Bytes of a file."""
        with self._errors("read", self.where(name)):
            return int(self._system.size(self._path(name)))

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[Readable]:
        """A file to be read from its beginning."""
        with self._errors("read", self.where(name)):
            file = self._system.open(self._path(name), "rb")
        with file:
            yield io.BufferedReader(_Guarded(self, name, file), buffer_size=1 << 20)

    def write(self, name: str, data: bytes) -> None:
        """Puts a whole object; stores show an object only when its upload is complete."""
        with self._errors("write", self.where(name)):
            self._system.pipe_file(self._path(name), data)

    def remove(self, name: str) -> None:
        """Takes a file away; it may be missing."""
        with self._errors("remove", self.where(name)), contextlib.suppress(FileNotFoundError):
            self._system.rm_file(self._path(name))

    def check(self, *, marker: str, kind: str) -> None:
        """Refuses an output folder that holds something, but no file called `marker`."""
        names = self.names()
        if names and marker not in names:
            raise InputError(f"--out {self.url} is not empty and holds no {kind}; choose another folder")

    def prepare(self) -> None:
        """Nothing to do: stores know no folders, and half-written objects do not appear."""

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    @contextlib.contextmanager
    def _errors(self, doing: str, what: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            if doing != "write":
                raise InputError(f"no such file: {what}") from error
            raise StorageError(f"could not write {what}: the bucket or folder does not exist") from error
        except NotImplementedError as error:
            raise InputError(f"{self.url} can be read, but not written to") from error
        except Exception as error:  # every client has error types of its own
            reason = str(error) or type(error).__name__
            raise StorageError(
                f"could not {doing} {what}: {reason}. Finished parts are kept; when the store answers again, run the "
                "same command again."
            ) from error


class _Guarded(io.RawIOBase):
    """A remote file whose failures are StorageErrors."""

    def __init__(self, folder: RemoteFolder, name: str, file: Any) -> None:
        self._folder, self._name, self._file = folder, name, file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        view = memoryview(buffer)
        with self._folder._errors("read", self._folder.where(self._name)):
            data = self._file.read(len(view))
        view[: len(data)] = data
        return len(data)
