"""The checkpoint folder: its card, and the check of its weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from synthaug.core.errors import DamageError, InputError
from synthaug.core.storage import sha256_file
from synthaug.core.types import SplitRecord
from synthaug.generators.checkpoint import (
    CARD_NAME,
    CheckpointCard,
    TrainingSummary,
    read_card,
    verify_weights,
    weight_hashes,
    write_card,
)

WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


def card_with(weights: dict[str, str]) -> CheckpointCard:
    return CheckpointCard(
        model="ddpm",
        preset="digits",
        class_names=("Käse", "naïve"),
        image_size=8,
        channels=1,
        allows_flip=False,
        split=SplitRecord(
            source="digits",
            source_fingerprint="1" * 64,
            seed=3,
            class_counts=(5, 6),
            train_fingerprint="2" * 64,
            held_out_fingerprint="3" * 64,
        ),
        training=TrainingSummary(
            steps=5,
            planned_images=80,
            images_seen=40,
            seconds=1.5,
            images_per_second=26.7,
            loss=0.75,
            parameters=100,
            precision="fp32",
            hardware="a processor",
        ),
        settings={"images": 80, "learning_rate": 0.002},
        weights=weights,
    )


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A folder with one weight file and the card that belongs to it."""
    folder = tmp_path / "checkpoint"
    (folder / "unet").mkdir(parents=True)
    (folder / WEIGHTS).write_bytes(b"these are the weights")
    write_card(folder, card_with(weight_hashes(folder)))
    return folder


def test_card_reads_back_as_it_was_written(tmp_path: Path) -> None:
    card = card_with({WEIGHTS: "a" * 64})
    write_card(tmp_path, card)
    assert read_card(tmp_path) == card


def test_hashes_name_every_weight_file_by_its_path_in_the_folder(checkpoint: Path) -> None:
    (checkpoint / "notes.txt").write_text("no weights")
    assert weight_hashes(checkpoint) == {WEIGHTS: sha256_file(checkpoint / WEIGHTS)}


def test_hashes_name_the_configurations_beside_the_weights(checkpoint: Path) -> None:
    names = ["scheduler/scheduler_config.json", "unet/config.json"]
    for name in names:
        (checkpoint / name).parent.mkdir(exist_ok=True)
        (checkpoint / name).write_text(name)
    (checkpoint / "model_index.json").write_text("{}")
    found = weight_hashes(checkpoint)
    assert list(found) == sorted([*names, WEIGHTS])
    assert found["unet/config.json"] == sha256_file(checkpoint / "unet" / "config.json")


def test_changed_configuration_is_damage(checkpoint: Path) -> None:
    (checkpoint / "unet" / "config.json").write_text('{"layers": 1}')
    write_card(checkpoint, card_with(weight_hashes(checkpoint)))
    verify_weights(checkpoint, read_card(checkpoint))
    (checkpoint / "unet" / "config.json").write_text('{"layers": 2}')
    with pytest.raises(DamageError, match=r"config.json is damaged or was replaced"):
        verify_weights(checkpoint, read_card(checkpoint))


@pytest.mark.parametrize(("seen", "expected"), [(79, False), (80, True), (96, True)])
def test_training_is_complete_once_all_planned_images_were_shown(seen: int, expected: bool) -> None:
    training = card_with({}).training.model_copy(update={"images_seen": seen})
    assert training.is_complete is expected


def test_card_remembers_the_trainings_before(tmp_path: Path) -> None:
    card = card_with({WEIGHTS: "a" * 64})
    older = card.split.model_copy(update={"source": "older"})
    card = card.model_copy(update={"ancestors": (older, card.split)})
    write_card(tmp_path, card)
    assert read_card(tmp_path).ancestors == (older, card.split)


def test_checkpoint_hash_changes_with_the_weights_and_with_nothing_else() -> None:
    card = card_with({WEIGHTS: "a" * 64})
    assert card.checkpoint == card.model_copy(update={"preset": "another"}).checkpoint
    assert card.checkpoint != card_with({WEIGHTS: "b" * 64}).checkpoint
    assert card.checkpoint != card_with({WEIGHTS: "a" * 64, "unet/config.json": "c" * 64}).checkpoint


def test_untouched_weights_pass(checkpoint: Path) -> None:
    verify_weights(checkpoint, read_card(checkpoint))


def test_one_flipped_bit_in_the_weights_is_damage(checkpoint: Path) -> None:
    data = bytearray((checkpoint / WEIGHTS).read_bytes())
    data[3] ^= 1
    (checkpoint / WEIGHTS).write_bytes(data)
    with pytest.raises(DamageError, match=r"diffusion_pytorch_model.safetensors is damaged or was replaced"):
        verify_weights(checkpoint, read_card(checkpoint))


def test_weights_that_the_card_does_not_list_are_damage(checkpoint: Path) -> None:
    (checkpoint / "unet" / "other.safetensors").write_bytes(b"x")
    with pytest.raises(DamageError, match="does not vouch for the weights unet/other.safetensors"):
        verify_weights(checkpoint, read_card(checkpoint))


def test_missing_weight_file_is_damage(checkpoint: Path) -> None:
    (checkpoint / WEIGHTS).unlink()
    with pytest.raises(DamageError, match=r"diffusion_pytorch_model.safetensors is missing"):
        verify_weights(checkpoint, read_card(checkpoint))


@pytest.mark.parametrize("is_absolute", [False, True])
def test_weights_outside_the_folder_are_refused_though_their_hash_is_right(checkpoint: Path, is_absolute: bool) -> None:
    outside = checkpoint.parent / "outside.safetensors"
    outside.write_bytes(b"not yours")
    name = str(outside) if is_absolute else "../outside.safetensors"
    with pytest.raises(DamageError, match="is missing"):
        verify_weights(checkpoint, card_with({name: sha256_file(outside)}))


def test_weights_behind_a_link_out_of_the_folder_are_refused(checkpoint: Path) -> None:
    outside = checkpoint.parent / "outside.safetensors"
    outside.write_bytes(b"not yours")
    (checkpoint / "linked.safetensors").symlink_to(outside)
    with pytest.raises(DamageError, match="is missing"):
        verify_weights(checkpoint, card_with({"linked.safetensors": sha256_file(outside)}))


def test_folder_without_a_card_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is not a checkpoint: it has no synthaug.json"):
        read_card(tmp_path)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"channels": 2}, "channels"),
        ({"format": 99}, "format"),
        ({"command": "rm"}, "command"),
        ({"image_size": "large"}, "image_size"),
    ],
)
def test_card_with_an_impossible_field_is_refused_by_name(
    checkpoint: Path, change: dict[str, object], complaint: str
) -> None:
    content = json.loads((checkpoint / CARD_NAME).read_text())
    (checkpoint / CARD_NAME).write_text(json.dumps({**content, **change}))
    with pytest.raises(InputError, match=rf"synthaug.json is not readable: {complaint}"):
        read_card(checkpoint)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]"])
def test_card_that_is_no_table_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / CARD_NAME).write_bytes(content)
    with pytest.raises(InputError, match="is not readable"):
        read_card(tmp_path)
