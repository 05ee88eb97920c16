"""What tests look at in the sets that `generate` makes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from torch import Tensor

from synthaug.core.pixels import decode_image, from_pil
from synthaug.core.storage import sha256_file
from synthaug.generators.checkpoint import read_card, weight_hashes, write_card
from synthaug.generators.ddpm.backend import DDPMGenerator
from synthaug.shards.reader import iterate_shard
from synthaug.workflows.cost import COST_NAME
from synthaug.workflows.synthesize import GenerateConfig

MakeConfig = Callable[..., GenerateConfig]


def pixels_of(folder: str) -> dict[tuple[int, int], Tensor]:
    """Pixels by (class, index), the index counted in the order of the shards."""
    found: dict[tuple[int, int], Tensor] = {}
    counts = [0] * 10
    for path in sorted(Path(folder).glob("*.tar")):
        for sample in iterate_shard(path):
            picture = decode_image(sample.image, name=sample.key, formats=("PNG", "WEBP"))
            found[sample.label, counts[sample.label]] = from_pil(picture, 1)
            counts[sample.label] += 1
    return found


def samples_of(folder: str) -> dict[str, tuple[int, bytes, bytes]]:
    """Class, image file and description by key."""
    paths = sorted(Path(folder).glob("*.tar"))
    return {
        sample.key: (sample.label, sample.image, sample.description) for path in paths for sample in iterate_shard(path)
    }


def largest_difference(one: dict[tuple[int, int], Tensor], two: dict[tuple[int, int], Tensor]) -> int:
    """Between any two pixels of samples that are in both, in 0..255."""
    return max(int((one[key].int() - two[key].int()).abs().max()) for key in one.keys() & two.keys())


def hashes_of(folder: str) -> dict[str, str]:
    """sha256 of every file of the set, hidden ones included; config.yaml names the folder, cost.jsonl tells times."""
    others = ("config.yaml", COST_NAME)
    return {path.name: sha256_file(path) for path in Path(folder).iterdir() if path.name not in others}


def states_of(folder: str) -> dict[str, tuple[int, int]]:
    """What changes when a file is written anew, even with the same bytes."""
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in Path(folder).iterdir()}


def shards_in(folder: str) -> list[str]:
    """Names of the tars, in order."""
    return sorted(path.name for path in Path(folder).glob("*.tar"))


def flip_a_bit(path: Path, position: int) -> None:
    """Damages a file without changing its size."""
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def other_checkpoint(checkpoint: Path, folder: Path) -> Path:
    """A copy of a checkpoint with other weights, and a card that says so."""
    other = shutil.copytree(checkpoint, folder)
    weights = other / "unet" / "diffusion_pytorch_model.safetensors"
    save_file({name: value * 1.01 for name, value in load_file(weights).items()}, weights)
    write_card(other, read_card(other).model_copy(update={"weights": weight_hashes(other)}))
    return other


def interrupt(monkeypatch: pytest.MonkeyPatch, *, at_call: int) -> None:
    """Makes the generator fail as Ctrl-C does, the `at_call`-th time from now that it is asked for images."""
    original, calls = DDPMGenerator.sample, []

    def interrupted(self: DDPMGenerator, *arguments: Any) -> Tensor:
        calls.append(1)
        if len(calls) == at_call:
            raise KeyboardInterrupt
        return original(self, *arguments)

    monkeypatch.setattr(DDPMGenerator, "sample", interrupted)
