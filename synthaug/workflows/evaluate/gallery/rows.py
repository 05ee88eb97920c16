"""The gallery's fixed rows of pictures: the best, the worst, and the likeliest copies beside what they resemble."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from synthaug.core.pixels import encode_png
from synthaug.core.types import LabelledImages
from synthaug.workflows.evaluate.gallery import words
from synthaug.workflows.evaluate.gallery.contents import ShownSet
from synthaug.workflows.evaluate.gallery.sprites import thumbnails
from synthaug.workflows.page import picture

_PICTURES = 16
_COPY = 1.0
_PLACES = 3


def picture_rows(name: str, one: ShownSet, real: LabelledImages) -> str:
    """The rows of one set; samples without a number come last, equal ones in the order of the set.

    Args:
        name: Of the set.
        one: Its samples.
        real: The training images.
    """
    best, worst = best_of_classes(one.confidence, one.images.labels), extremes(one.confidence)
    copied = extremes(one.relative_distance)
    title = escape(name)
    return f"""<h3>{title}: best recognised, of each class in turn</h3>
<div class="tiles">{_tiles(one, best)}</div>
<h3>{title}: worst recognised</h3>
<div class="tiles">{_tiles(one, worst)}</div>
<h3>{title}: nearest to training images</h3>
<p class="note">Left: the sample; right: the real training image nearest to it. Distances here are in units of the
largest that makes a copy: up to 1 is a copy.</p>
<div class="tiles pairs">{_pairs(one, copied, real)}</div>"""


def extremes(values: Float[Tensor, " n"], count: int = _PICTURES) -> Int64[Tensor, " k"]:
    """Positions of the lowest values, lowest first."""
    return torch.sort(values.nan_to_num(nan=torch.inf), stable=True).indices[:count]


def best_of_classes(
    values: Float[Tensor, " n"], labels: Int64[Tensor, " n"], count: int = _PICTURES
) -> Int64[Tensor, " k"]:
    """Positions of the highest value of each class, then of the second highest, and so on."""
    order = extremes(-values, len(values))
    seen: Counter[int] = Counter()
    ranks = []
    for label in labels[order].tolist():
        ranks.append((seen[label], label))
        seen[label] += 1
    places = sorted(range(len(ranks)), key=ranks.__getitem__)
    return order[torch.tensor(places[:count], dtype=torch.int64)]


def _tiles(one: ShownSet, positions: Int64[Tensor, " k"]) -> str:
    pictures = thumbnails(one.images.images[positions])
    return "".join(
        f"<figure>{picture(encode_png(image), f'sample {one.keys[position]}')}"
        f"<figcaption>{_caption(one, position)}</figcaption></figure>"
        for position, image in zip(positions.tolist(), pictures, strict=True)
    )


def _pairs(one: ShownSet, positions: Int64[Tensor, " k"], real: LabelledImages) -> str:
    nearest = one.nearest[positions]
    samples, originals = thumbnails(one.images.images[positions]), thumbnails(real.images[nearest])
    tiles = []
    for position, place, sample, original in zip(positions.tolist(), nearest.tolist(), samples, originals, strict=True):
        of = real.class_names[int(real.labels[place])]
        pair = picture(encode_png(sample), f"sample {one.keys[position]}") + picture(
            encode_png(original), f"training image {place}"
        )
        tiles.append(
            f"<figure><div>{pair}</div><figcaption>{_distance(float(one.relative_distance[position]))}"
            f"{_caption(one, position)}<small>beside: {escape(of)}, training image {place}</small>"
            "</figcaption></figure>"
        )
    return "".join(tiles)


def _distance(distance: float) -> str:
    copy = ", a copy" if distance <= _COPY else ""
    return f"<b>distance {words.number_or_dash(distance, _PLACES)}{copy}</b>"


def _caption(one: ShownSet, position: int) -> str:
    names: Sequence[str] = one.images.class_names
    label, predicted = int(one.images.labels[position]), int(one.predicted[position])
    tone = "" if predicted == label else ' class="mistaken"'
    confidence = words.number_or_dash(float(one.confidence[position]), _PLACES)
    asked, taken = escape(names[label]), escape(names[predicted])
    return (
        f'<span title="{asked}">label {asked}</span><span{tone} title="{taken}">taken for {taken}</span>'
        f"<span>confidence {confidence}</span>"
        f"<small>{escape(one.keys[position])}</small>"
    )
