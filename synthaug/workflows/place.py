"""A folder that appears whole or not at all: everything is written beside it, under a hidden name, and then renamed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from synthaug.core.errors import InputError
from synthaug.core.folders import is_url
from synthaug.core.storage import check_folder, disk_errors

_UNFINISHED = ".unfinished"


def empty_place(where: str, *, kind: str) -> Path:
    """The path of a folder that may appear.

    Args:
        where: What was asked for.
        kind: What the folder is for, as a noun.

    Raises:
        InputError: If it is a URL, holds something, or cannot be replaced.
    """
    if is_url(where):
        raise InputError(f"--out must be a folder on a disk, found {where}; upload it from there when it is complete")
    out = Path(where).resolve()
    if out.is_dir() and (names := [entry.name for entry in out.iterdir()]):
        files = "hidden files" if all(name.startswith(".") for name in names) else "files"
        raise InputError(f"--out {where} holds {files}; the {kind} needs a new or empty folder, choose another one")
    check_folder(out, marker=None, kind=kind)
    if out.is_mount():
        raise InputError(f"--out {where} is where a disk is mounted, it cannot be renamed to; choose a folder in it")
    return out


@contextlib.contextmanager
def appearing(out: Path) -> Iterator[Path]:
    """A folder that appears as `out` only if the block ends without an exception.

    Raises:
        StorageError: If the disk refuses.
    """
    with disk_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(out.parent)
        unfinished = out.parent / f".{secrets.token_hex(8)}{_UNFINISHED}"
        unfinished.mkdir()
        with _locked(unfinished):
            try:
                yield unfinished
                os.sync()  # once, instead of flushing every one of many small files
                unfinished.replace(out)
            except BaseException:
                shutil.rmtree(unfinished, ignore_errors=True)
                raise


def _remove_leftovers(folder: Path) -> None:
    """Removes what killed processes left: what nobody has locked."""
    for path in folder.glob(f".*{_UNFINISHED}"):
        with contextlib.suppress(OSError), _locked(path) as is_locked:
            if is_locked:
                shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Keeps others from taking this folder for a leftover; False if somebody else does, or the disk cannot lock."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
