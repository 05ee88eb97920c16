"""Where a mixture takes its images from: pixels in memory, or shards on disk; one form for both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Int64, UInt8
from torch import Tensor

from synthaug.core.errors import InputError
from synthaug.core.runtime import available_memory
from synthaug.core.types import LabelledImages
from synthaug.data.mixture import Loading, Synthetic
from synthaug.shards.decoded import DecodedSet
from synthaug.shards.index import IndexedSet, set_key
from synthaug.shards.manifest import Manifest
from synthaug.shards.plan import SetPlan
from synthaug.shards.reader import OnDamage


@dataclass(frozen=True, eq=False)
class Pool:
    """The images of one source.

    Attributes:
        name: For messages.
        identity: Names the images and their order; the same for the same set, wherever it is.
        class_names: In label order.
        shape: Channels, height and width.
        labels: The class of each image.
        blocks: Sizes of the runs of images that lie together on disk.
        pixels: All images, if they are in memory.
        read: Gives the images at some indices.
    """

    name: str
    identity: str
    class_names: tuple[str, ...]
    shape: tuple[int, ...]
    labels: Int64[Tensor, " n"]
    blocks: tuple[int, ...]
    pixels: UInt8[Tensor, "n c h w"] | None
    read: Callable[[Int64[Tensor, " k"]], UInt8[Tensor, "k c h w"]]

    def __len__(self) -> int:
        return len(self.labels)


def pool_of(images: LabelledImages) -> Pool:
    """Images that are in memory."""
    pixels = images.images
    return Pool(
        images.name,
        images.fingerprint,
        images.class_names,
        tuple(pixels.shape[1:]),
        images.labels,
        (len(images),),
        pixels,
        pixels.__getitem__,
    )


def open_pools(
    real: LabelledImages, synthetic: Sequence[Synthetic], *, loading: Loading, on_damage: OnDamage
) -> tuple[Pool, ...]:
    """The real images, then every synthetic set.

    Args:
        real: The real training images.
        synthetic: The sets.
        loading: Whether sets on disk are decoded into memory, or read when needed; `auto` takes the former if all fit
            into half of the memory available.
        on_damage: What to do with damaged samples.

    Raises:
        InputError: If a set is missing, unfinished or empty.
        DamageError: If a set is damaged.
    """
    pools = [pool_of(real)]
    if loading == "auto":
        plans = [Manifest.read(one.images).plan for one in synthetic if not isinstance(one.images, LabelledImages)]
        needed = real.images.nbytes + sum(map(decoded_bytes, plans))  # all are copied into one array
        loading = "memory" if 2 * needed <= available_memory() else "streaming"
    for one in synthetic:
        images = one.images
        pools.append(pool_of(images) if isinstance(images, LabelledImages) else _open(images, loading, on_damage))
    return tuple(pools)


def promised_counts(real: LabelledImages, synthetic: Sequence[Synthetic]) -> list[int]:
    """How many images each set has by its manifest, after checking that they match the real ones; reads no shard.

    Raises:
        InputError: If classes, sizes or channels differ, or a set is missing or unfinished.
    """
    counts = []
    for one in synthetic:
        if isinstance(one.images, LabelledImages):
            check_matches(real, one.images.name, one.images.class_names, tuple(one.images.images.shape[1:]))
            counts.append(len(one.images))
        else:
            plan = Manifest.read(one.images).plan
            size = plan.generator.image_size
            check_matches(real, str(one.images), plan.class_names, (plan.generator.channels, size, size))
            counts.append(plan.sample_count)
    return counts


def _open(where: str | Path, loading: Loading, on_damage: OnDamage) -> Pool:
    kind = DecodedSet if loading == "memory" else IndexedSet
    opened = kind(where, on_damage=on_damage)
    generator = opened.manifest.plan.generator
    return Pool(
        str(where),
        set_key(opened.manifest),
        opened.manifest.plan.class_names,
        (generator.channels, generator.image_size, generator.image_size),
        opened.labels,
        opened.shard_sizes,
        opened.pixels if isinstance(opened, DecodedSet) else None,
        opened.images,
    )


def decoded_bytes(plan: SetPlan) -> int:
    """Memory that a set's pixels and classes take beside the real images when it is mixed from memory."""
    return plan.sample_count * (plan.generator.channels * plan.generator.image_size**2 + 8)


def check_matches(real: LabelledImages, name: str, class_names: tuple[str, ...], shape: tuple[int, ...]) -> None:
    """Refuses a synthetic set that does not match the real images.

    Raises:
        InputError: Naming what differs.
    """
    if class_names != real.class_names:
        raise InputError(
            f"synthetic and real classes must be the same and in the same order: {name} has "
            f"{list(class_names)}, {real.name} has {list(real.class_names)}"
        )
    if shape != tuple(real.images.shape[1:]):
        raise InputError(
            f"synthetic and real images must have the same shape: {name} has {shape}, {real.name} has "
            f"{tuple(real.images.shape[1:])} (channels, height, width)"
        )
