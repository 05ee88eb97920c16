"""Reads shards as data and nothing else: no pickle, no commands, bounded sizes, whole samples only."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from synthaug.core.errors import DamageError, InputError
from synthaug.core.pixels import decode_image, fit_square, from_pil
from synthaug.core.types import LabelledImages
from synthaug.shards.manifest import MANIFEST_NAME, Manifest

_IMAGES = frozenset({"png", "jpg", "jpeg"})
_SUFFIXES = _IMAGES | {"cls", "json"}
_MAX_MEMBER_BYTES = 64 * 1024 * 1024
_MAX_CLASSES = 1_000_000
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


@dataclass(frozen=True)
class ShardSample:
    """One sample of a shard.

    Attributes:
        key: Its key in the shard.
        label: Class index.
        image: The encoded PNG or JPEG.
        description: The encoded JSON, empty if there is none.
    """

    key: str
    label: int
    image: bytes
    description: bytes


def iterate_shard(path: Path) -> Iterator[ShardSample]:
    """Gives the samples of one shard in order.

    Raises:
        InputError: If there is no such file.
        DamageError: If the file is cut short, holds anything but plain png (or jpg), cls and json members, or a sample
            lacks its image or class.
    """
    if not path.is_file():
        raise InputError(f"no such shard: {path.absolute()}")
    try:
        with tarfile.open(path, mode="r:") as tar:
            group: dict[str, bytes] = {}
            current = ""
            for member in tar:
                key, _, suffix = member.name.partition(".")
                if not member.isreg() or "/" in member.name or suffix not in _SUFFIXES:
                    raise DamageError(f"{path}: unexpected member {member.name!r}")
                if member.size > _MAX_MEMBER_BYTES:
                    raise DamageError(f"{path}: member {member.name!r} declares {member.size} bytes, too many")
                if group and key != current:
                    yield _sample(path, current, group)
                    group = {}
                current = key
                stream = tar.extractfile(member)
                data = stream.read() if stream is not None else b""
                if len(data) != member.size:
                    raise DamageError(f"{path}: cut short in {member.name!r}")
                group[suffix] = data
            if group:
                yield _sample(path, current, group)
            end = tar.offset
    except (tarfile.TarError, EOFError, OSError, OverflowError, MemoryError, ValueError) as error:
        raise DamageError(f"{path}: not a whole tar file ({error})") from error
    _check_end(path, end)


def _check_end(path: Path, end: int) -> None:
    with path.open("rb") as file:
        file.seek(end)
        rest = file.read()
    if len(rest) < 1024 or end == 0:
        raise DamageError(f"{path}: cut short, the end-of-archive marker is missing")
    if any(rest):  # tarfile takes a damaged header for the end of the archive
        raise DamageError(f"{path}: damaged after byte {end}")


def _sample(path: Path, key: str, group: dict[str, bytes]) -> ShardSample:
    images = [group[suffix] for suffix in sorted(_IMAGES & group.keys())]
    if len(images) != 1 or "cls" not in group:
        raise DamageError(f"{path}: sample {key} lacks its {'cls' if images else 'png'}, or has more than one image")
    try:
        label = int(group["cls"])
    except ValueError as error:
        raise DamageError(f"{path}: sample {key} has no class number") from error
    if not 0 <= label < _MAX_CLASSES:
        raise DamageError(f"{path}: sample {key} has class {label}, outside 0..{_MAX_CLASSES - 1}")
    return ShardSample(key, label, images[0], group.get("json", b""))


def resolve_shards(where: str, *, split: str = "train") -> list[Path]:
    """The shard files of a folder, or of a pattern such as `set-{000000..000004}.tar`.

    In a folder, files named `SPLIT-*.tar` are the split's; a folder without any such names is all training data.

    Raises:
        InputError: If the training data has no shard.
    """
    folder = Path(where)
    if where and folder.is_dir():
        found = sorted(folder.glob(f"{split}-*.tar"))
        if not found and split == "train":
            found = sorted(path for path in folder.glob("*.tar") if not path.name.startswith("test-"))
    elif split == "train" and where:
        found = [Path(name) for name in _expand(where)]
    else:
        found = []
    if not found and split == "train":
        raise InputError(
            f"no shards (.tar) at {where!r}: give a folder of shards or a pattern like DIR/x-{{000..009}}.tar"
        )
    return found


def _expand(pattern: str) -> list[str]:
    match = _RANGE.search(pattern)
    if match is None:
        return [pattern]
    first, last = match.group(1), match.group(2)
    numbers = [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]
    return [name for number in numbers for name in _expand(pattern[: match.start()] + number + pattern[match.end() :])]


def read_shards(
    paths: list[Path], *, name: str, folder: str = "", image_size: int | None = None, channels: int | None = None
) -> LabelledImages:
    """Decodes all samples of some shards into memory.

    Args:
        paths: The shard files.
        name: What to call the images.
        folder: Where a manifest may name the classes; without one they are called by their number.
        image_size: Crop the centre square of each image and resize it to this; needed where images differ.
        channels: 1 for grey, 3 for RGB; by default grey if all images are.

    Raises:
        InputError: If there is no image, or images differ in size.
        DamageError: If a shard is damaged.
    """
    labels: list[int] = []
    pictures: list[Image.Image] = []
    for path in paths:
        for sample in iterate_shard(path):
            try:
                picture = decode_image(sample.image, name=f"{path}: sample {sample.key}", formats=("PNG", "JPEG"))
            except InputError as error:
                raise DamageError(str(error)) from error
            if image_size is not None:
                picture = fit_square(picture, image_size)
            if pictures and picture.size != pictures[0].size:
                raise InputError(
                    f"{path}: sample {sample.key} is {picture.width}x{picture.height} beside "
                    f"{pictures[0].width}x{pictures[0].height}. Give --image-size N to crop and resize them."
                )
            pictures.append(picture)
            labels.append(sample.label)
    if not pictures:
        raise InputError(f"{name}: at least one image is needed, found none")
    if folder and (Path(folder) / MANIFEST_NAME).is_file():
        class_names = Manifest.read(Path(folder)).plan.class_names
    else:
        class_names = tuple(str(label) for label in range(max(labels) + 1))
    if channels is None:
        channels = 1 if all(picture.mode == "L" for picture in pictures) else 3
    images = torch.stack([from_pil(picture, channels) for picture in pictures])
    return LabelledImages.of(images, torch.tensor(labels), class_names, name)


def read_set(folder: Path) -> tuple[LabelledImages, Manifest]:
    """All images of a finished shard set, with its manifest.

    Raises:
        InputError: If the set is unfinished or missing.
        DamageError: If the shards do not hold what the manifest says.
    """
    manifest = Manifest.read(folder)
    paths = [folder / shard.name for shard in manifest.shards]
    for path in paths:
        if not path.is_file():
            raise DamageError(f"{path} is missing; run the same generate command again to restore it")
    images = read_shards(paths, name=str(folder), folder=str(folder))
    if len(images) != manifest.sample_count:
        raise DamageError(f"{folder}: the manifest promises {manifest.sample_count} samples, found {len(images)}")
    return images, manifest
