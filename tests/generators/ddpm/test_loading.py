"""Loading a checkpoint: what it says of itself, and that nothing damaged or swapped is ever used."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from synthaug.core.errors import DamageError, InputError
from synthaug.core.seeding import SampleNoise
from synthaug.generators.base import SamplerSettings
from synthaug.generators.checkpoint import CARD_NAME, read_card, weight_hashes, write_card
from synthaug.generators.ddpm.backend import BACKEND, SAMPLING_VERSION
from tests.generators.ddpm.conftest import CPU, WEIGHTS


@pytest.fixture
def folder(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A copy of a checkpoint, to be damaged."""
    return shutil.copytree(tiny_checkpoint, tmp_path / "copy")


def vouch_for(folder: Path) -> None:
    """Makes the card agree with whatever is in the folder."""
    write_card(folder, read_card(folder).model_copy(update={"weights": weight_hashes(folder)}))


def test_loaded_generator_says_what_it_makes(tiny_checkpoint: Path) -> None:
    generator, card = BACKEND.load(tiny_checkpoint, CPU), read_card(tiny_checkpoint)
    assert generator.spec.class_names == tuple("0123456789")
    assert generator.spec.noise_shape == (1, 8, 8)
    assert generator.spec.checkpoint == card.checkpoint
    assert generator.spec.split == card.split
    assert generator.spec.ancestors == ()
    assert generator.spec.sampling_version == SAMPLING_VERSION
    generator.check_settings(generator.default_settings)
    with pytest.raises(InputError, match="unknown sampler"):
        generator.check_settings(SamplerSettings("euler", 2, 1.0))


def test_a_checkpoint_may_have_a_guidance_of_its_own(folder: Path) -> None:
    before = BACKEND.load(folder, CPU).default_settings
    write_card(folder, read_card(folder).model_copy(update={"guidance": 1.75}))
    assert read_card(folder).checkpoint == read_card(folder).model_copy(update={"guidance": None}).checkpoint
    assert BACKEND.load(folder, CPU).default_settings == replace(before, guidance=1.75)
    assert before.guidance != 1.75


def test_loaded_generator_draws_the_same_from_the_same_noise_only(tiny_checkpoint: Path) -> None:
    generator = BACKEND.load(tiny_checkpoint, CPU)
    settings = SamplerSettings("dpmpp", 2, 1.0)
    images = [
        generator.sample(torch.tensor([3, 4]), SampleNoise(seed, [(3, 0), (4, 0)], (1, 8, 8)), settings)
        for seed in (0, 0, 1)
    ]
    assert images[0].shape == (2, 1, 8, 8)
    assert images[0].dtype == torch.uint8
    assert torch.equal(images[0], images[1])
    assert not torch.equal(images[0], images[2])


def test_network_is_frozen_in_evaluation_mode(tiny_checkpoint: Path) -> None:
    network = BACKEND.load(tiny_checkpoint, CPU).network
    assert not network.training
    assert not any(weight.requires_grad for weight in network.parameters())


def test_process_is_that_of_the_training(folder: Path) -> None:
    card = read_card(folder)
    write_card(folder, card.model_copy(update={"settings": {**card.settings, "objective": "v", "schedule": "linear"}}))
    process = BACKEND.load(folder, CPU).process
    assert process.objective == "v"
    assert process.schedule == "linear"


def test_damaged_weights_are_refused(folder: Path) -> None:
    data = bytearray((folder / WEIGHTS).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / WEIGHTS).write_bytes(data)
    with pytest.raises(DamageError, match="is damaged or was replaced"):
        BACKEND.load(folder, CPU)


def test_truncated_weights_are_refused(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-100])
    with pytest.raises(DamageError, match="is damaged or was replaced"):
        BACKEND.load(folder, CPU)


def test_swapped_weights_are_refused(folder: Path) -> None:
    save_file({name: value + 1 for name, value in load_file(folder / WEIGHTS).items()}, folder / WEIGHTS)
    with pytest.raises(DamageError, match="is damaged or was replaced"):
        BACKEND.load(folder, CPU)


def test_missing_weights_are_refused(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    with pytest.raises(DamageError, match=r"diffusion_pytorch_model.safetensors is missing"):
        BACKEND.load(folder, CPU)


def test_weights_of_another_network_are_refused_though_the_card_vouches_for_them(folder: Path) -> None:
    weights = load_file(folder / WEIGHTS)
    weights["conv_in.weight"] = torch.zeros(16, 1, 3, 3)
    save_file(weights, folder / WEIGHTS)
    vouch_for(folder)
    with pytest.raises(DamageError, match="the network could not be loaded"):
        BACKEND.load(folder, CPU)


def test_weights_that_lack_some_are_refused_though_the_card_vouches_for_them(folder: Path) -> None:
    weights = load_file(folder / WEIGHTS)
    del weights["conv_in.weight"]
    save_file(weights, folder / WEIGHTS)
    vouch_for(folder)
    with pytest.raises(DamageError, match="the network could not be loaded: missing keys: conv_in.weight"):
        BACKEND.load(folder, CPU)


def test_weights_with_others_among_them_are_refused_though_the_card_vouches_for_them(folder: Path) -> None:
    save_file({**load_file(folder / WEIGHTS), "conv_more.weight": torch.zeros(1)}, folder / WEIGHTS)
    vouch_for(folder)
    with pytest.raises(DamageError, match="the network could not be loaded: unexpected keys: conv_more.weight"):
        BACKEND.load(folder, CPU)


@pytest.mark.parametrize("name", ["unet/config.json", "scheduler/scheduler_config.json"])
def test_changed_configuration_is_refused(folder: Path, name: str) -> None:
    config = json.loads((folder / name).read_text())
    key = "norm_num_groups" if "unet" in name else "beta_start"
    (folder / name).write_text(json.dumps({**config, key: 8}))
    with pytest.raises(DamageError, match=r"config.json is damaged or was replaced"):
        BACKEND.load(folder, CPU)


def test_pickled_weights_are_never_loaded(folder: Path) -> None:
    torch.save(load_file(folder / WEIGHTS), folder / "unet" / "diffusion_pytorch_model.bin")
    (folder / WEIGHTS).unlink()
    vouch_for(folder)
    with pytest.raises(DamageError, match="the network could not be loaded"):
        BACKEND.load(folder, CPU)


def test_card_that_vouches_for_nothing_is_refused(folder: Path) -> None:
    write_card(folder, read_card(folder).model_copy(update={"weights": {}}))
    with pytest.raises(DamageError, match="does not vouch for the weights"):
        BACKEND.load(folder, CPU)


def test_checkpoint_of_an_earlier_version_is_answered_with_what_to_do(folder: Path) -> None:
    card = json.loads((folder / CARD_NAME).read_text())
    del card["settings"]["objective"]
    (folder / CARD_NAME).write_text(json.dumps(card))
    with pytest.raises(InputError, match="was made by an earlier version of this program; train it again"):
        BACKEND.load(folder, CPU)


def test_process_that_does_not_exist_is_refused(folder: Path) -> None:
    card = read_card(folder)
    write_card(folder, card.model_copy(update={"settings": {**card.settings, "objective": "x0"}}))
    with pytest.raises(InputError, match="unknown objective or schedule"):
        BACKEND.load(folder, CPU)
