"""Writes the samples of a shard set as image files in a folder per class, under names that any file system can hold."""

from __future__ import annotations

import contextlib
import hashlib
import re
import unicodedata
from collections import Counter
from pathlib import Path

from synthaug.core.console import progress
from synthaug.core.errors import DamageError, InputError
from synthaug.core.storage import write_json
from synthaug.shards.find import ShardFile
from synthaug.shards.reader import ShardSample
from synthaug.workflows.export.stream import ShardStream

CLASSES_NAME = "classes.json"
_LONGEST_NAME = 255


def write_image_folder(stream: ShardStream, root: Path) -> Counter[int]:
    """Writes every image, the same bytes as in its shard, into the folder of its class, and `classes.json`.

    Args:
        stream: The set.
        root: An empty folder.

    Returns:
        Images per label.

    Raises:
        InputError: If the disk cannot tell the folders of two classes apart.
        DamageError: At damage that is not to be skipped.
    """
    counts: Counter[int] = Counter()
    folders: dict[int, Path] = {}
    with progress("exporting", len(stream.shards)) as advance:
        for number, shard in enumerate(stream.shards):
            for sample in stream.samples(number):
                if sample.label not in folders:
                    folders[sample.label] = _make_class_folder(root, stream.class_name(sample.label))
                try:
                    _write_image(folders[sample.label], sample, shard)
                except DamageError as error:
                    stream.damage.found(error)
                else:
                    counts[sample.label] += 1
            advance(number + 1)
    classes = {
        folder.name: {"label": label, "class": stream.class_name(label), "images": counts[label]}
        for label, folder in sorted(folders.items())
    }
    write_json(root / CLASSES_NAME, classes)
    return counts


def _make_class_folder(root: Path, class_name: str) -> Path:
    folder = root / class_folder(class_name)
    try:
        folder.mkdir()
    except FileExistsError as error:
        raise InputError(
            f"the class {class_name!r} and another one would share a folder on this disk, which does not tell such "
            "names apart; choose --out on another disk, or --to parquet"
        ) from error
    return folder


def _write_image(folder: Path, sample: ShardSample, shard: ShardFile) -> None:
    """Writes one image; shards of others may use a key again, which then is preceded by the name of its shard."""
    suffix = f".{sample.suffix}"
    for key in (sample.key, f"{shard.name}-{sample.key}"):
        path = folder / (safe_name(key, _LONGEST_NAME - len(suffix)) + suffix)
        with contextlib.suppress(FileExistsError), path.open("xb") as file:
            file.write(sample.image)
            return
    raise DamageError(f"{shard}: sample {sample.key} is there twice")


def class_folder(class_name: str) -> str:
    """The name of a class's folder; `urllib.parse.unquote` gives the class name again, unless it was cut."""
    return "%74rain" if class_name == "train" else safe_name(class_name)


def safe_name(name: str, limit: int = _LONGEST_NAME) -> str:
    """A name that a file can have: percent-encoded where needed, different for different names.

    Args:
        name: Any text.
        limit: Bytes it may have; longer ones are cut and end in a hash.
    """
    encoded = "".join(_percent(letter) if letter in "/%" or _is_control(letter) else letter for letter in name) or "%"
    if encoded[0] == ".":
        encoded = "%2E" + encoded[1:]
    if len(encoded.encode()) <= limit:
        return encoded
    ending = "%~" + hashlib.sha256(name.encode()).hexdigest()[:16]
    kept = encoded.encode()[: limit - len(ending)].decode(errors="ignore")
    return re.sub(r"%[0-9A-F]?$", "", kept) + ending


def _percent(letter: str) -> str:
    return "".join(f"%{byte:02X}" for byte in letter.encode())


def _is_control(letter: str) -> bool:
    return unicodedata.category(letter) == "Cc"
