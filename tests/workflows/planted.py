"""Synthetic sets with known contents: real images in place of drawn ones, with faults that are planted in them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from synthaug.core.folders import folder_at
from synthaug.core.pixels import from_pil, to_pil
from synthaug.core.seeding import generator_for
from synthaug.core.types import LabelledImages
from synthaug.data.splits import Splits
from synthaug.shards.finish import finish_set
from synthaug.shards.manifest import write_plan
from synthaug.shards.writer import encode_images, write_shard
from tests.conftest import plan_of


def write_set_of(folder: Path, images: LabelledImages, splits: Splits, *, shard_size: int = 64, seed: int = 0) -> Path:
    """A finished set of these images, whose record says that its generator saw the training images of `splits`.

    There have to be as many of each class. Sample number i is the (i // k)-th image of class i % k, k being the number
    of classes. Plans with different seeds are those of different sets.
    """
    counts = set(images.class_counts())
    assert len(counts) == 1, counts
    classes = len(images.class_names)
    plan = plan_of(
        split=splits.record,
        class_names=images.class_names,
        per_class=counts.pop(),
        shard_size=shard_size,
        size=images.image_size,
        channels=images.channels,
        allows_flip=splits.allows_flip,
        seed=seed,
    )
    order = torch.stack(list(images.indices_by_class()), dim=1).flatten()
    assert len(order) == plan.per_class * classes
    folder.mkdir(parents=True)
    write_plan(folder_at(folder), plan)
    records = {}
    for shard in plan.shards():
        pixels = images.images[order[shard.start : shard.stop]]
        records[shard.number] = write_shard(folder_at(folder), shard, encode_images(pixels, plan.image_format))
    assert not finish_set(folder_at(folder), plan, records)
    return folder


def balanced(images: LabelledImages, per_class: int) -> LabelledImages:
    """The first images of each class, in turn."""
    rows = [members[:per_class] for members in images.indices_by_class()]
    assert all(len(row) == per_class for row in rows)
    return images.take(torch.stack(rows, dim=1).flatten())


def relabelled(images: LabelledImages, share: float) -> tuple[LabelledImages, Tensor]:
    """A share of the images exchanged between neighbouring classes; and which they are.

    The first images of each class get the label of the next class, so classes keep their size.
    """
    labels, is_wrong = images.labels.clone(), torch.zeros(len(images), dtype=torch.bool)
    for label, members in enumerate(images.indices_by_class()):
        wrong = members[: round(share * len(members))]
        labels[wrong] = (label + 1) % len(images.class_names)
        is_wrong[wrong] = True
    return LabelledImages.of(images.images, labels, images.class_names, images.name), is_wrong


def noisy(images: Tensor, *, levels: int = 1, seed: int = 0) -> Tensor:
    """uint8 images with uniform noise of up to so many levels in every pixel."""
    generator = generator_for("planted noise", seed)
    noise = torch.randint(-levels, levels + 1, images.shape, generator=generator)
    return (images.int() + noise).clamp(0, 255).to(torch.uint8)


def recompressed(images: Tensor, *, quality: int = 75) -> Tensor:
    """uint8 images after a JPEG has been made of each."""
    found = []
    for image in images:
        buffer = io.BytesIO()
        to_pil(image).save(buffer, format="JPEG", quality=quality)
        with Image.open(io.BytesIO(buffer.getvalue())) as picture:
            found.append(from_pil(Image.fromarray(np.asarray(picture)), image.shape[0]))
    return torch.stack(found)
