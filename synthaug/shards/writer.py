"""Writes one shard whole or not at all; knows nothing of where the images come from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from jaxtyping import UInt8
from torch import Tensor

from synthaug.core.folders import Folder, sha256_in
from synthaug.core.pixels import encode_png, encode_webp
from synthaug.shards import tar
from synthaug.shards.curation import Scores
from synthaug.shards.manifest import FORMAT, FORMER_FORMAT, ShardRecord
from synthaug.shards.plan import ImageFormat, SetPlan, ShardPlan

#: Embedded in every image, so that it says of itself what it is wherever it goes: the IPTC's term for images that a
#: trained model made.
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    b'Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"/>'
    b"</rdf:RDF></x:xmpmeta>"
)
_ENCODERS = {"png": encode_png, "webp": encode_webp}


def encode_images(images: UInt8[Tensor, "n c h w"], image_format: ImageFormat) -> list[bytes]:
    """The files of some images, each marked as made by a trained model."""
    encode = _ENCODERS[image_format]
    return [encode(image, xmp=XMP) for image in images]


def write_shard(
    folder: Folder, shard: ShardPlan, images: Sequence[bytes], scores: Sequence[Scores] | None = None
) -> ShardRecord:
    """Writes one shard under its final name, atomically, the same bytes every time.

    Args:
        folder: The shard set.
        shard: Which samples these are.
        images: Their files, in the order of `shard.samples`.
        scores: What was measured of each; nothing if not given.

    Returns:
        The manifest's entry for it.

    Raises:
        StorageError: If the disk refuses; nothing appears under the final name.
    """
    data = pack_shard(shard, images, scores)
    folder.write(shard.file_name, data)
    return _record(shard, len(data), hashlib.sha256(data).hexdigest())


def pack_shard(
    shard: ShardPlan, images: Sequence[bytes], scores: Sequence[Scores] | None = None, *, set_format: int = FORMAT
) -> bytes:
    """The bytes of a shard.

    Args:
        shard: Which samples these are.
        images: Their files, in the order of `shard.samples`.
        scores: What was measured of each; nothing if not given.
        set_format: Version of the on-disk format.
    """
    suffix = shard.plan.image_format
    parts: list[bytes] = []
    measured = [Scores()] * len(shard) if scores is None else scores
    samples = zip(shard.samples, images, measured, strict=True)
    for position, ((label, index), image, score) in enumerate(samples):
        key = shard.key(position)
        for name, data in (
            (f"{key}.{suffix}", image),
            (f"{key}.cls", str(label).encode()),
            (f"{key}.json", describe(shard.plan, label, index, score, set_format=set_format)),
        ):
            parts.append(tar.header(name, len(data)))
            parts.extend(tar.padded(data))
    parts.append(tar.END)
    return b"".join(parts)


def record_of(folder: Folder, shard: ShardPlan) -> ShardRecord:
    """The manifest's entry for a shard that stands in the folder."""
    return _record(shard, folder.size(shard.file_name), sha256_in(folder, shard.file_name))


def _record(shard: ShardPlan, size: int, sha256: str) -> ShardRecord:
    return ShardRecord(
        name=shard.file_name, bytes=size, sha256=sha256, samples=len(shard), class_counts=shard.class_counts()
    )


def describe(plan: SetPlan, label: int, index: int, scores: Scores | None = None, *, set_format: int = FORMAT) -> bytes:
    """The JSON of a sample; no field is ever missing or null, scores of -1 are not measured.

    Args:
        plan: The set.
        label: Class of the sample.
        index: Its index among those drawn of its class.
        scores: What was measured of it; nothing if not given.
        set_format: Version of the on-disk format.
    """
    numbers = (scores or Scores()).rounded()
    if set_format == FORMER_FORMAT:
        del numbers["relative_train_distance"]
    value = {
        "class": plan.class_names[label],
        "label": label,
        "index": index,
        "seed": plan.seed,
        "model": plan.generator.model,
        "checkpoint": plan.generator.checkpoint,
        "sampler": plan.sampler,
        "steps": plan.steps,
        "guidance": float(plan.guidance),
        "scores": numbers,
    }
    return json.dumps(value, ensure_ascii=False).encode()
