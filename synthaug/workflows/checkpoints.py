"""Finds the checkpoint that a model name stands for."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import synthaug.pretrained
from synthaug.core.errors import InputError
from synthaug.generators.base import backend_names
from synthaug.generators.checkpoint import CARD_NAME, CheckpointCard, read_card

_DEPTH = 3


@dataclass(frozen=True)
class FoundCheckpoint:
    """A checkpoint and why it was taken.

    Attributes:
        folder: Where it is.
        card: What it is.
        reason: For the user: "the newest in this folder", "packaged", ...
    """

    folder: Path
    card: CheckpointCard
    reason: str


def find_checkpoint(model: str, *, below: Path | None = None) -> FoundCheckpoint:
    """The checkpoint that `model` stands for.

    Args:
        model: A checkpoint folder, the name of a packaged one, or the name of a backend, which takes the newest
            checkpoint of that kind up to three folders below `below`, else the packaged one of the most images.
        below: Where to look; the current folder if not given.

    Raises:
        InputError: If there is none.
    """
    folder = Path(model)
    if (folder / CARD_NAME).is_file():
        return FoundCheckpoint(folder, read_card(folder), "as named")
    packaged = packaged_checkpoints()
    if model in packaged:
        return FoundCheckpoint(packaged[model], read_card(packaged[model]), "packaged with synthaug")
    if model not in backend_names():
        names = ", ".join([*backend_names(), *packaged])
        raise InputError(f"unknown model {model!r}: neither a checkpoint folder nor one of {names}")
    local = [card for card in local_checkpoints(below or Path()) if read_card(card).model == model]
    if local:
        newest = max(local, key=lambda path: (path / CARD_NAME).stat().st_mtime)
        return FoundCheckpoint(newest, read_card(newest), "the newest below this folder")
    cards = [(read_card(path), path) for path in packaged.values()]
    if own := [(card, path) for card, path in cards if card.model == model]:
        card, path = max(own, key=lambda found: sum(found[0].split.class_counts))
        reason = f"{path.name}, packaged with synthaug; no checkpoint of yours was found below this folder"
        return FoundCheckpoint(path, card, reason)
    raise InputError(
        f"no {model} checkpoint below this folder, and none is packaged; make one: synthaug train --model {model}"
    )


def find_by_hash(checkpoint: str, hints: Sequence[str], *, below: Path | None = None) -> FoundCheckpoint:
    """The checkpoint with these weights.

    Args:
        checkpoint: Hash of its weights.
        hints: Folders where it may be.
        below: Where to look further, besides the packaged ones; the current folder if not given.

    Raises:
        InputError: If it is in none of them.
    """
    named = [Path(hint) for hint in hints if (Path(hint) / CARD_NAME).is_file()]
    for folder in (*named, *packaged_checkpoints().values(), *local_checkpoints(below or Path())):
        card = read_card(folder)
        if card.checkpoint == checkpoint:
            return FoundCheckpoint(folder, card, "the one with the set's hash")
    raise InputError(
        f"the checkpoint {checkpoint[:12]}... of this set is neither packaged nor below this folder"
        + (f" nor at {', '.join(hints)}" if hints else "")
        + "; name it with --model"
    )


def local_checkpoints(below: Path) -> list[Path]:
    """Checkpoint folders up to three levels below a folder; hidden folders and unreadable cards are passed over."""
    found = []
    for depth in range(1, _DEPTH + 2):
        for card in below.glob("/".join(["*"] * (depth - 1) + [CARD_NAME])):
            if any(part.startswith(".") for part in card.relative_to(below).parts):
                continue
            with contextlib.suppress(InputError):
                read_card(card.parent)
                found.append(card.parent)
    return sorted(found)


def packaged_checkpoints() -> dict[str, Path]:
    """Name and folder of each checkpoint that comes with the package."""
    root = Path(next(iter(synthaug.pretrained.__path__)))
    return {path.parent.name: path.parent for path in sorted(root.glob(f"*/{CARD_NAME}"))}
