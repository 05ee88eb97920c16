"""Finds shards at paths, patterns and URLs; does not read them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from synthaug.core.errors import InputError
from synthaug.core.folders import Folder, folder_at, is_url
from synthaug.shards.manifest import MANIFEST_NAME, PLAN_NAME, Manifest
from synthaug.shards.plan import MAX_SHARDS

_RANGE = re.compile(r"\{(\d{1,9})\.\.(\d{1,9})\}")


@dataclass(frozen=True)
class ShardFile:
    """Where a shard is.

    Attributes:
        folder: The folder it lies in.
        name: Its file name.
        samples: How many samples its manifest promises; None if it has none.
    """

    folder: Folder
    name: str
    samples: int | None = None

    def __str__(self) -> str:
        return self.folder.where(self.name)

    @classmethod
    def at(cls, where: str | Path) -> ShardFile:
        """The shard at a path or URL."""
        if is_url(where):
            parent, _, name = str(where).rpartition("/")
            return cls(folder_at(parent), name)
        path = Path(where)
        return cls(folder_at(path.parent), path.name)


def is_folder(where: str | Path) -> bool:
    """Whether this names a folder on disk, or a URL that is not one of a shard."""
    return bool(str(where)) and (Path(where).is_dir() or (is_url(where) and not str(where).endswith(".tar")))


def resolve_shards(where: str, *, split: str = "train") -> list[ShardFile]:
    """The shards of a folder, or of a pattern such as `set-{000000..000004}.tar`; paths or URLs.

    In a folder, files named `SPLIT-*.tar` are the split's; a folder without any such names is all training data.

    Raises:
        InputError: If the training data has no shard.
    """
    found: list[ShardFile] = []
    if is_folder(where):
        folder = folder_at(where)
        names = [name for name in folder.names() if name.endswith(".tar")]
        chosen = [name for name in names if name.startswith(f"{split}-")]
        if not chosen and split == "train":
            chosen = [name for name in names if not name.startswith("test-")]
        found = [ShardFile(folder, name) for name in chosen]
    elif split == "train" and where:
        found = [ShardFile.at(name) for name in _expand(where)]
    if not found and split == "train":
        raise InputError(f"no shards (.tar) at {where!r}: give a folder or a pattern like DIR/x-{{000..009}}.tar")
    return found


def _expand(pattern: str) -> list[str]:
    match = _RANGE.search(pattern)
    if match is None:
        return [pattern]
    first, last = match.groups()
    if int(last) - int(first) >= MAX_SHARDS:
        raise InputError(f"{pattern}: at most {MAX_SHARDS} shards can be named")
    numbers = [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]
    return [name for number in numbers for name in _expand(pattern[: match.start()] + number + pattern[match.end() :])]


def shards_of(where: str | Path) -> tuple[list[ShardFile], Manifest | None]:
    """The training shards at a place: those of the manifest if there is one, else those found by name.

    Raises:
        InputError: If there is none, or the set is unfinished.
    """
    if is_folder(where):
        folder = folder_at(where)
        if folder.has(MANIFEST_NAME) or folder.has(PLAN_NAME):  # without the manifest, says what to do
            manifest = Manifest.read(folder)
            return promised_shards(folder, manifest), manifest
    return resolve_shards(str(where)), None


def promised_shards(folder: Folder, manifest: Manifest) -> list[ShardFile]:
    """The shards of a finished set."""
    return [ShardFile(folder, record.name, record.samples) for record in manifest.shards]
