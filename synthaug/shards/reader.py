"""Reads shards as data and nothing else: no pickle, no commands, bounded sizes, whole samples only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from synthaug.core.console import log
from synthaug.core.errors import DamageError, InputError
from synthaug.core.folders import folder_at
from synthaug.core.pixels import decode_image, decode_pixels, fit_square, from_pil
from synthaug.core.types import LabelledImages
from synthaug.shards.find import ShardFile, promised_shards
from synthaug.shards.manifest import Manifest
from synthaug.shards.tar import Member, iterate_members

OnDamage = Literal["error", "skip"]
_IMAGES = frozenset({"png", "webp", "jpg", "jpeg"})
_SUFFIXES = _IMAGES | {"cls", "json"}
#: What the images of a shard may be, in Pillow's names.
FORMATS = ("PNG", "WEBP", "JPEG")
MAX_CLASSES = 1_000_000
_SHOWN = 5


@dataclass(frozen=True)
class ShardSample:
    """One sample of a shard.

    Attributes:
        key: Its key in the shard.
        label: Class index.
        image: The encoded PNG, WebP or JPEG.
        suffix: Which of them.
        description: The encoded JSON, empty if there is none.
        offset: Where in the shard the image begins, in bytes.
    """

    key: str
    label: int
    image: bytes
    suffix: str
    description: bytes
    offset: int

    def decode(self, shard: ShardFile) -> Image.Image:
        """The picture.

        Raises:
            DamageError: If it is damaged, or holds too many pixels.
        """
        try:
            return decode_image(self.image, name=f"{shard}: sample {self.key}", formats=FORMATS)
        except InputError as error:
            raise DamageError(str(error)) from error

    def pixels(self, shard: ShardFile, channels: int) -> UInt8[Tensor, "{channels} h w"]:
        """The pixels of the picture, grey (1 channel) or RGB (3 channels).

        Raises:
            DamageError: If it is damaged, or holds too many pixels.
        """
        try:
            return decode_pixels(self.image, channels, name=f"{shard}: sample {self.key}", formats=FORMATS)
        except InputError as error:
            raise DamageError(str(error)) from error


@dataclass
class Damage:
    """What to do with damage, and what was found of it.

    Attributes:
        policy: "error" raises at the first damage; "skip" passes over damaged samples, and over the rest of a shard
            that cannot be followed any further.
        messages: One for each skipped piece.
    """

    policy: OnDamage = "error"
    messages: list[str] = field(default_factory=list)

    def found(self, error: DamageError) -> None:
        """Raises the error, or notes that something was skipped."""
        if self.policy == "error":
            raise error
        self.messages.append(str(error))

    def report(self, what: str) -> None:
        """Says on stderr what was skipped, if anything was."""
        if self.messages:
            shown = "; ".join(self.messages[:_SHOWN]) + ("; ..." if len(self.messages) > _SHOWN else "")
            log(f"warning: {what}: skipped {len(self.messages)} damaged piece(s): {shown}")


def iterate_shard(
    shard: ShardFile | str | Path, damage: Damage | None = None, *, classes: int = MAX_CLASSES
) -> Iterator[ShardSample]:
    """Gives the samples of one shard in order, each only when it is whole.

    Args:
        shard: The shard, or its path or URL.
        damage: What to do with damage; by default the first is an error.
        classes: How many classes there are.

    Raises:
        InputError: If there is no such file.
        DamageError: If the file is cut short, holds anything but plain png (webp, jpg), cls and json members, or a
            sample lacks its image or one of the classes; or if the shard is not the one its manifest promises.
    """
    if not isinstance(shard, ShardFile):
        shard = ShardFile.at(shard)
    damage = damage or Damage()
    if shard.samples is not None and not shard.folder.has(shard.name):
        damage.found(DamageError(f"{shard} is missing; synthaug verify --repair restores it"))
        return
    count, before = 0, len(damage.messages)
    for sample in _whole_samples(shard, damage, classes):
        count += 1
        yield sample
    if shard.samples not in (None, count) and len(damage.messages) == before:
        damage.found(DamageError(f"{shard}: the manifest promises {shard.samples} samples, found {count}"))


def _whole_samples(shard: ShardFile, damage: Damage, classes: int) -> Iterator[ShardSample]:
    group: dict[str, Member] = {}
    current = ""
    with shard.folder.open(shard.name) as file:
        try:
            for member in iterate_members(file, str(shard)):
                key, _, suffix = member.name.removeprefix("./").partition(".")
                if suffix not in _SUFFIXES or not key or "/" in key or "\\" in key:
                    raise DamageError(f"{shard}: unexpected member {member.name!r}")
                if group and key != current:
                    yield from _whole(shard, current, group, damage, classes)
                    group = {}
                current = key
                if suffix in group:
                    raise DamageError(f"{shard}: {member.name!r} is there twice")
                group[suffix] = member
        except DamageError as error:
            damage.found(error)
        else:
            if group:  # Only now is it certain that nothing of it was cut off.
                yield from _whole(shard, current, group, damage, classes)


def _whole(shard: ShardFile, key: str, group: dict[str, Member], damage: Damage, classes: int) -> Iterator[ShardSample]:
    try:
        sample = _sample(shard, key, group, classes)
    except DamageError as error:
        damage.found(error)
    else:
        yield sample


def _sample(shard: ShardFile, key: str, group: dict[str, Member], classes: int) -> ShardSample:
    images = sorted(_IMAGES & group.keys())
    if len(images) != 1 or "cls" not in group:
        raise DamageError(f"{shard}: sample {key} lacks its {'cls' if images else 'image'}, or has several images")
    text = group["cls"].data.strip()
    if not (text.isdigit() and len(text) < 10 and int(text) < classes):
        raise DamageError(f"{shard}: sample {key} has no class number in 0..{classes - 1}")
    image, description = group[images[0]], group["json"].data if "json" in group else b""
    return ShardSample(key, int(text), image.data, images[0], description, image.offset)


def read_shards(
    shards: list[ShardFile],
    *,
    name: str,
    class_names: tuple[str, ...] | None = None,
    image_size: int | None = None,
    channels: int | None = None,
    damage: Damage | None = None,
) -> LabelledImages:
    """Decodes all samples of some shards into memory.

    Args:
        shards: The shards.
        name: What to call the images.
        class_names: Names in label order; by default classes are called by their number.
        image_size: Crop the centre square of each image and resize it to this; needed where images differ.
        channels: 1 for grey, 3 for RGB; by default grey if all images are.
        damage: What to do with damage; by default the first is an error.

    Raises:
        InputError: If there is no image, or images differ in size.
        DamageError: If a shard is damaged.
    """
    damage, classes = damage or Damage(), MAX_CLASSES if class_names is None else len(class_names)
    labels: list[int] = []
    pictures: list[Image.Image] = []
    for shard in shards:
        for sample in iterate_shard(shard, damage, classes=classes):
            try:
                picture = sample.decode(shard)
            except DamageError as error:
                damage.found(error)
                continue
            if image_size is not None:
                picture = fit_square(picture, image_size)
            if pictures and picture.size != pictures[0].size:
                raise InputError(
                    f"{shard}: sample {sample.key} is {picture.width}x{picture.height} beside "
                    f"{pictures[0].width}x{pictures[0].height}. Give --image-size N to crop and resize them."
                )
            pictures.append(picture)
            labels.append(sample.label)
    damage.report(name)
    if not pictures:
        raise InputError(f"{name}: at least one image is needed, found none")
    if class_names is None:
        class_names = tuple(str(label) for label in range(max(labels) + 1))
    if channels is None:
        channels = 1 if all(picture.mode == "L" for picture in pictures) else 3
    images = torch.stack([from_pil(picture, channels) for picture in pictures])
    return LabelledImages.of(images, torch.tensor(labels), class_names, name)


def read_set(where: str | Path, *, on_damage: OnDamage = "error") -> tuple[LabelledImages, Manifest]:
    """All images of a finished shard set, with its manifest.

    Args:
        where: Path or URL of the set.
        on_damage: "skip" leaves damaged samples out and says so on stderr.

    Raises:
        InputError: If the set is unfinished or missing.
        DamageError: If the shards do not hold what the manifest says.
    """
    manifest = Manifest.read(where)
    plan = manifest.plan
    images = read_shards(
        promised_shards(folder_at(where), manifest),
        name=str(where),
        class_names=plan.class_names,
        channels=plan.generator.channels,
        damage=Damage(on_damage),
    )
    if on_damage == "error" and images.class_counts() != plan.label_counts():
        raise DamageError(
            f"{where}: the manifest promises {manifest.sample_count} samples, of each class "
            f"{plan.label_counts()}; found {len(images)}: {images.class_counts()}"
        )
    return images, manifest
