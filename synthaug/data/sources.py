"""Real labelled images from a SPEC: digits, cifar10[:ROOT], imagefolder:PATH or wds:DIR_OR_PATTERN."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from synthaug.core.console import log
from synthaug.core.errors import InputError
from synthaug.core.pixels import decode_image, fit_square, from_pil
from synthaug.core.registry import Registry
from synthaug.core.storage import cache_home
from synthaug.core.types import LabelledImages
from synthaug.shards.find import resolve_shards, shards_of
from synthaug.shards.reader import read_shards

#: Files an image folder may hold; everything else in it is passed over.
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff")
_FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF")


@dataclass(frozen=True)
class Source:
    """Everything a SPEC names, before splitting.

    Attributes:
        spec: The SPEC as given.
        train: Images to train and validate on, or all images if there is no official test set.
        test: The official test set, if the source has one.
        allows_flip: Whether a mirrored image still shows its class.
    """

    spec: str
    train: LabelledImages
    test: LabelledImages | None
    allows_flip: bool


def load_source(spec: str, *, image_size: int | None = None) -> Source:
    """Loads the images a SPEC names.

    Args:
        spec: `digits` (scikit-learn's 8x8 grey digits, embedded), `cifar10[:ROOT]` (downloaded on demand),
            `imagefolder:PATH` (one folder per class, optionally under train/ and test/) or
            `wds:DIR_OR_PATTERN` (WebDataset shards with png + cls).
        image_size: Centre-crop and resize to this many pixels; needed where images differ or are not square.

    Raises:
        InputError: If the SPEC is unknown or what it names is missing, empty, unreadable or of mixed sizes.
    """
    if image_size is not None and image_size < 4:
        raise InputError(f"--image-size must be at least 4 pixels, found {image_size}")
    kind, _, argument = spec.partition(":")
    return SOURCES.get(kind)(spec, argument, image_size)


def _digits(spec: str, argument: str, image_size: int | None) -> Source:
    from sklearn.datasets import load_digits

    if argument:
        raise InputError(f"the source 'digits' takes no argument, found {spec!r}")
    raw = load_digits()
    pixels = torch.from_numpy((raw.images * (255.0 / 16.0)).round().astype("uint8"))[:, None]
    images = LabelledImages.of(
        _resized(pixels, image_size),
        torch.from_numpy(raw.target.astype("int64")),
        tuple(str(name) for name in raw.target_names),
        "digits",
    )
    return Source(spec, images, None, allows_flip=False)


def _cifar10(spec: str, argument: str, image_size: int | None) -> Source:
    from torchvision.datasets import CIFAR10

    root = Path(argument) if argument else cache_home() / "cifar10"
    parts = []
    for is_train in (True, False):
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                part = CIFAR10(str(root), train=is_train, download=True)  # checks md5 before it unpickles
        except (OSError, RuntimeError) as error:
            raise InputError(
                f"CIFAR-10 is not in {root} and could not be downloaded ({error}). Connect to a network, put "
                "cifar-10-batches-py there, or use imagefolder:PATH on a copy you have."
            ) from error
        pixels = torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous()
        name = "cifar10/train" if is_train else "cifar10/test"
        parts.append(
            LabelledImages.of(_resized(pixels, image_size), torch.tensor(part.targets), tuple(part.classes), name)
        )
    return Source(spec, parts[0], parts[1], allows_flip=True)


def _image_folder(spec: str, argument: str, image_size: int | None) -> Source:
    root = Path(argument)
    if not argument or not root.is_dir():
        raise InputError(f"{spec!r}: no such folder: {root.absolute()}")
    if not (root / "train").is_dir():
        return Source(spec, _read_folder(root, image_size, spec), None, allows_flip=True)
    train = _read_folder(root / "train", image_size, spec)
    if not (root / "test").is_dir():
        return Source(spec, train, None, allows_flip=True)
    test = _read_folder(root / "test", image_size, spec, channels=train.channels)
    _check_same_size(train, test)
    if test.class_names != train.class_names:
        raise InputError(
            f"{root}: train/ and test/ must have the same class folders, found {list(train.class_names)} "
            f"and {list(test.class_names)}"
        )
    return Source(spec, train, test, allows_flip=True)


def _list_folder(root: Path) -> tuple[list[Path], list[tuple[Path, int]]]:
    """The class folders in order, and every image with its class."""
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not folders:
        raise InputError(f"{root}: one folder per class is needed, found no folder")
    files: list[tuple[Path, int]] = []
    passed_over: set[str] = set()
    for label, folder in enumerate(folders):
        if any("\ud800" <= letter <= "\udfff" for letter in folder.name):  # how Python shows undecodable bytes
            raise InputError(f"{root}: the class folder {folder.name!a} has a name that is not valid UTF-8; rename it")
        inside = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
        found = [path for path in inside if path.suffix.lower() in SUFFIXES]
        if not found:
            raise InputError(f"{folder}: a class needs images ({', '.join(SUFFIXES)}), found none")
        passed_over |= {path.suffix.lower() for path in inside} - set(SUFFIXES)
        files.extend((path, label) for path in found)
    if passed_over:
        log(f"{root}: files passed over, not images that can be read: {', '.join(sorted(passed_over))}")
    return folders, files


def _read_folder(root: Path, image_size: int | None, name: str, channels: int | None = None) -> LabelledImages:
    folders, files = _list_folder(root)
    with ThreadPoolExecutor() as pool:
        pictures = list(pool.map(lambda item: _read_picture(item[0], image_size), files))
    if image_size is None:
        image_size = pictures[0].width
        for picture, (path, _) in zip(pictures, files, strict=True):
            if picture.size != (image_size, image_size):
                raise InputError(
                    f"{path}: images of one square size are needed, found {picture.width}x{picture.height} where the "
                    f"first is {pictures[0].width}x{pictures[0].height}. Give --image-size N to crop and resize them."
                )
    if channels is None:
        channels = 1 if all(picture.mode == "L" for picture in pictures) else 3
    images = torch.stack([from_pil(picture, channels) for picture in pictures])
    labels = torch.tensor([label for _, label in files], dtype=torch.int64)
    return LabelledImages.of(images, labels, tuple(folder.name for folder in folders), name)


def _read_picture(path: Path, image_size: int | None) -> Image.Image:
    """One picture, already cropped and resized if a size is given: large originals are not kept in memory."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: could not be read ({error.strerror})") from error
    picture = decode_image(data, name=str(path), formats=_FORMATS)
    return picture if image_size is None else fit_square(picture, image_size)


def _check_same_size(train: LabelledImages, test: LabelledImages) -> None:
    if train.image_size != test.image_size:
        raise InputError(
            f"{train.name}: training and test images must have one size, found {train.image_size} and "
            f"{test.image_size} pixels. Give --image-size N to crop and resize them."
        )


def _wds(spec: str, argument: str, image_size: int | None) -> Source:
    train, manifest = shards_of(argument)
    test = resolve_shards(argument, split="test") if manifest is None else []
    if manifest is None:
        images = read_shards(train, name=spec, image_size=image_size)
    else:
        names, channels = manifest.plan.class_names, manifest.plan.generator.channels
        images = read_shards(train, name=spec, class_names=names, channels=channels, image_size=image_size)
        return Source(spec, images, None, manifest.plan.generator.allows_flip)
    if not test:
        return Source(spec, images, None, allows_flip=True)
    read = read_shards(test, name=spec, image_size=image_size, channels=images.channels)
    held_out = LabelledImages.of(read.images, read.labels, images.class_names, spec)
    _check_same_size(images, held_out)
    return Source(spec, images, held_out, allows_flip=True)


def _resized(pixels: torch.Tensor, image_size: int | None) -> torch.Tensor:
    if image_size is None or image_size == pixels.shape[-1]:
        return pixels
    from torchvision.transforms.v2 import functional as transforms

    resized: torch.Tensor = transforms.resize(pixels, [image_size, image_size], antialias=True)
    return resized


SOURCES: Registry[Callable[[str, str, int | None], Source]] = Registry(
    "data source", {"digits": _digits, "cifar10": _cifar10, "imagefolder": _image_folder, "wds": _wds}
)
