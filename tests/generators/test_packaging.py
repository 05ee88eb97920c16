"""Packing a checkpoint: the same generator in fewer bytes, in files of a bounded size, without what training left."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from synthaug.core.errors import DamageError, InputError
from synthaug.core.runtime import Runtime
from synthaug.core.seeding import SampleNoise
from synthaug.generators import packaging
from synthaug.generators.base import load_backend
from synthaug.generators.checkpoint import read_card, verify_weights
from synthaug.generators.packaging import pack_checkpoint
from synthaug.workflows.checkpoints import packaged_checkpoints

CPU = Runtime("cpu", "fp32")
DIGITS = "ddpm-digits"


def drawn(folder: Path) -> torch.Tensor:
    generator = load_backend(read_card(folder).model).load(folder, CPU)
    noise = SampleNoise(0, [(3, 0), (7, 0)], generator.spec.noise_shape)
    return generator.sample(torch.tensor([3, 7]), noise, generator.default_settings)


def files_of(folder: Path) -> dict[str, int]:
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("name", "kilobytes"), [(DIGITS, 300), ("acgan-digits", 100)])
def test_a_copy_in_many_files_draws_the_same(name: str, kilobytes: int, tmp_path: Path) -> None:
    original = packaged_checkpoints()[name]
    packed = pack_checkpoint(original, tmp_path / "copy", shard_size=f"{kilobytes}KB")
    weights = {name: size for name, size in files_of(tmp_path / "copy").items() if name.endswith(".safetensors")}
    assert len(weights) > 1
    assert max(weights.values()) < 1100 * kilobytes  # names and shapes besides
    assert packed == read_card(tmp_path / "copy")
    verify_weights(tmp_path / "copy", packed)
    assert torch.equal(drawn(tmp_path / "copy"), drawn(original))


def test_the_index_of_several_files_is_vouched_for(tmp_path: Path) -> None:
    pack_checkpoint(packaged_checkpoints()[DIGITS], tmp_path / "copy", shard_size="1MB")
    [index] = (tmp_path / "copy").glob("*/*.index.json")
    index.write_text(index.read_text() + " ")
    with pytest.raises(DamageError, match=r"index.json is damaged or was replaced"):
        drawn(tmp_path / "copy")


def test_rounding_halves_the_files_and_is_hardly_seen(tiny_checkpoint: Path, tmp_path: Path) -> None:
    pack_checkpoint(tiny_checkpoint, tmp_path / "exact")
    pack_checkpoint(tiny_checkpoint, tmp_path / "rounded", is_rounded=True)
    sizes = [files_of(tmp_path / name)["unet/diffusion_pytorch_model.safetensors"] for name in ("exact", "rounded")]
    assert 0.45 < sizes[1] / sizes[0] < 0.8
    assert torch.equal(drawn(tmp_path / "exact"), drawn(tiny_checkpoint))
    difference = (drawn(tmp_path / "rounded").float() - drawn(tiny_checkpoint).float()).abs()
    assert 0 < difference.mean() < 5


def test_what_training_left_behind_stays_behind(tiny_checkpoint: Path, tmp_path: Path) -> None:
    source = shutil.copytree(tiny_checkpoint, tmp_path / "source")
    (source / "training").mkdir(exist_ok=True)
    (source / "training" / "state.ckpt").write_bytes(b"much")
    packed = pack_checkpoint(source, tmp_path / "copy", source="photographs", guidance=1.25)
    assert set(files_of(tmp_path / "copy")) == {"synthaug.json", "model_index.json", *packed.weights}
    assert packed.split == read_card(source).split.model_copy(update={"source": "photographs"})
    assert packed.guidance == 1.25
    assert packed.training == read_card(source).training


def test_a_former_copy_is_replaced_and_nothing_else(tiny_checkpoint: Path, tmp_path: Path) -> None:
    pack_checkpoint(packaged_checkpoints()[DIGITS], tmp_path / "copy", shard_size="1MB")
    pack_checkpoint(tiny_checkpoint, tmp_path / "copy")
    assert torch.equal(drawn(tmp_path / "copy"), drawn(tiny_checkpoint))
    with pytest.raises(InputError, match="cannot be a copy of itself"):
        pack_checkpoint(tmp_path / "copy", tmp_path / "copy")
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match="not a checkpoint"):
        pack_checkpoint(tiny_checkpoint, tmp_path / "else")
    assert (tmp_path / "else" / "letter.txt").read_text() == "dear"


def test_a_kill_leaves_the_former_copy(tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack_checkpoint(packaged_checkpoints()[DIGITS], tmp_path / "copy")
    before = files_of(tmp_path)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(packaging, "write_card", killed)
        with pytest.raises(KeyboardInterrupt):
            pack_checkpoint(tiny_checkpoint, tmp_path / "copy")
    assert files_of(tmp_path) == before
    pack_checkpoint(tiny_checkpoint, tmp_path / "copy")
    assert torch.equal(drawn(tmp_path / "copy"), drawn(tiny_checkpoint))
