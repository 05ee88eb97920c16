"""What the page's script gets to know of the samples: which are shown, and what is known of each."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from html import escape
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from synthaug.workflows.evaluate.gallery import sprites
from synthaug.workflows.evaluate.gallery.contents import ShownSet
from synthaug.workflows.evaluate.records import EvaluateResult

_DIGITS = 4


def chosen(labels: Int64[Tensor, " n"], classes: int, shown: int) -> Int64[Tensor, " k"]:
    """Positions of samples to show, class by class: as many of each as possible, spread evenly over the set's order.

    Args:
        labels: Of all samples.
        classes: Number of classes.
        shown: How many at most; all are chosen if there are no more.
    """
    counts = torch.bincount(labels, minlength=classes).tolist()
    by_class = torch.split(torch.sort(labels, stable=True).indices, counts)
    quotas = _quotas(counts, min(shown, len(labels)))
    return torch.cat(
        [positions[_spread(len(positions), quota)] for positions, quota in zip(by_class, quotas, strict=True)]
    )


def _quotas(counts: Sequence[int], total: int) -> list[int]:
    """Shares of a total, as equal as the counts allow; those of small classes go to the larger ones."""
    quotas, left = [0] * len(counts), total
    for rank, label in enumerate(sorted(range(len(counts)), key=counts.__getitem__)):
        quotas[label] = min(counts[label], left // (len(counts) - rank))
        left -= quotas[label]
    return quotas


def _spread(count: int, wanted: int) -> Int64[Tensor, " wanted"]:
    """So many numbers below a count, in equal steps."""
    return torch.arange(wanted) * count // max(1, wanted)


def samples_section(result: EvaluateResult, sets: Sequence[ShownSet], *, shown: int) -> str:
    """The samples of all sets: what is known of each as JSON, and sheets of their thumbnails."""
    described, scripts = [], []
    for number, (report, one) in enumerate(zip(result.sets, sets, strict=True)):
        positions = chosen(one.images.labels, len(result.class_names), shown)
        pictures = sprites.thumbnails(one.images.images[positions])
        side = int(pictures.shape[-1])
        for place, sheet in enumerate(sprites.sheets(pictures)):
            url = f"data:image/webp;base64,{base64.b64encode(sheet).decode()}"
            scripts.append(f'<script type="text/plain" id="sheet-{number}-{place}">{url}</script>')
        described.append(
            {"name": report.name, "images": len(one.images), "side": side, "columns": sprites.columns_of(side)}
            | _facts(one, positions)
        )
    data = {"classes": list(result.class_names), "sets": described}
    return f'<script type="application/json" id="samples">{script_json(data)}</script>\n' + "\n".join(scripts)


def script_json(data: Any) -> str:
    """JSON that ends no script element, whatever its words are."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def choice_sentence(result: EvaluateResult, sets: Sequence[ShownSet], *, shown: int) -> str:
    """Which samples can be looked through, in words."""
    cut = [
        f"{report.name}: {shown:,} of {len(one.images):,}"
        for report, one in zip(result.sets, sets, strict=True)
        if len(one.images) > shown
    ]
    if not cut:
        return "All samples are here."
    rest = "" if len(cut) == len(sets) else "; all of the others"
    return f"Shown: {'; '.join(cut)}{rest}; evenly over classes, and over each set's order."


def set_options(result: EvaluateResult) -> str:
    """Choices of a select element, by the position of the set."""
    return "".join(f'<option value="{place}">{escape(one.name)}</option>' for place, one in enumerate(result.sets))


def _facts(one: ShownSet, positions: Int64[Tensor, " k"]) -> dict[str, Any]:
    """Columns, one entry for each thumbnail in the order of the sheets."""
    return {
        "positions": positions.tolist(),
        "keys": [one.keys[position] for position in positions.tolist()],
        "labels": one.images.labels[positions].tolist(),
        "predicted": one.predicted[positions].tolist(),
        "confidence": _rounded(one.confidence[positions]),
        "distance": _rounded(one.relative_distance[positions]),
    }


def _rounded(values: Float[Tensor, " k"]) -> list[float | None]:
    """Values short enough for a page; none where there is no number."""
    return [round(value, _DIGITS) if math.isfinite(value) else None for value in values.tolist()]
