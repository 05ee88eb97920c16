"""Beginning a training from a checkpoint: other classes, other sizes, and what does not go together."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from synthaug.core.errors import DamageError, InputError
from synthaug.generators.base import TrainRequest
from synthaug.generators.checkpoint import CARD_NAME, read_card
from synthaug.generators.ddpm.backend import BACKEND
from synthaug.generators.ddpm.settings import resolve
from synthaug.generators.ddpm.training import make_task
from tests.conftest import MakeImages
from tests.generators.ddpm.conftest import BATCH, WEIGHTS, MakeRequest, read_state, state_of

EMBEDDING = "class_embedding.weight"
DIGITS = tuple("0123456789")


def initial_weights(request: TrainRequest) -> dict[str, Tensor]:
    """What the training of a request begins with, the same in network and average."""
    task = make_task(request, resolve(request))
    weights: dict[str, Tensor] = task.network.state_dict()
    assert all(torch.equal(value, task.average.state_dict()[name]) for name, value in weights.items())
    return weights


@pytest.fixture
def begin(make_request: MakeRequest, make_images: MakeImages, tiny_checkpoint: Path) -> MakeRequest:
    """`begin(out, class_names=, size=, channels=, **changes)`: a training from the tiny checkpoint of digits."""

    def make(
        out: str = "tuned", class_names: tuple[str, ...] = DIGITS, size: int = 8, channels: int = 1, **changes: Any
    ) -> TrainRequest:
        images = make_images(class_names=class_names, size=size, channels=channels)
        return make_request(out, images=images, **{"init": tiny_checkpoint, "preset": None, **changes})

    return make


@pytest.mark.parametrize(
    ("class_names", "rows"),
    [
        (DIGITS, [*range(11)]),
        (DIGITS[::-1], [*range(9, -1, -1), 10]),
        (("7", "2"), [7, 2, 10]),
        (("ten", "3", *DIGITS), None),
        ((*DIGITS, "ten", "eleven"), [*range(10), 10, 10, 10]),
        (("cat", "5", "dog"), [10, 5, 10, 10]),
    ],
)
def test_classes_keep_their_embedding_by_name_and_new_ones_begin_as_no_label(
    begin: MakeRequest, tiny_checkpoint: Path, class_names: tuple[str, ...], rows: list[int] | None
) -> None:
    if rows is None:
        class_names, rows = ("ten", "3", "0"), [10, 3, 0, 10]
    before = load_file(tiny_checkpoint / WEIGHTS)
    after = initial_weights(begin(class_names=class_names))
    assert torch.equal(after[EMBEDDING], before[EMBEDDING][rows])
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before.keys() - {EMBEDDING})


@pytest.mark.parametrize("size", [4, 12, 16])
def test_other_image_sizes_take_the_same_weights(begin: MakeRequest, tiny_checkpoint: Path, size: int) -> None:
    before = load_file(tiny_checkpoint / WEIGHTS)
    after = initial_weights(begin(size=size))
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_training_from_a_checkpoint_trains_and_samples(begin: MakeRequest) -> None:
    request = begin(class_names=("3", "cat"), size=12, budget=BATCH)
    BACKEND.train(request)
    spec = BACKEND.load(request.out, request.runtime).spec
    assert spec.class_names == ("3", "cat")
    assert spec.image_size == 12


def test_preset_and_objective_are_those_of_the_checkpoint(make_request: MakeRequest, make_images: MakeImages) -> None:
    images = make_images(size=32)
    options = {"objective": "v", "schedule": "linear"}
    first = make_request("first", images=images, preset="digits", budget=2, batch_size=2, options=options)
    BACKEND.train(first)
    plan = BACKEND.plan(make_request("second", images=images, preset=None, init=first.out))
    assert plan.preset == "digits"  # that of the size would be `cpu`
    assert plan.options == options


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"channels": 3}, "makes grey images, these are RGB"),
        ({"preset": "small"}, "has the network of preset digits; leave out --preset small"),
        ({"options": {"objective": "v"}}, "was trained with objective epsilon; leave out --objective"),
        ({"options": {"objective": "edm"}}, "was trained with objective epsilon; leave out --objective"),
        ({"options": {"schedule": "linear"}}, "was trained with schedule cosine; leave out --schedule"),
    ],
)
def test_checkpoint_that_does_not_suit_is_refused(begin: MakeRequest, change: dict[str, Any], complaint: str) -> None:
    request = begin(**change)
    for refuse in (BACKEND.plan, BACKEND.train):
        with pytest.raises(InputError, match=complaint):
            refuse(request)
    assert not request.out.exists()


def test_size_with_other_resolutions_is_refused_with_the_size_that_suits(
    make_request: MakeRequest, make_images: MakeImages
) -> None:
    first = make_request("first", images=make_images(size=8), preset="cpu", budget=2, batch_size=2)
    BACKEND.train(first)
    request = make_request("second", images=make_images(size=12), preset=None, init=first.out)
    with pytest.raises(InputError, match="network of 3 resolutions, 12 pixels allow 2; give --image-size 8"):
        BACKEND.plan(request)
    BACKEND.plan(replace(request, images=make_images(size=16)))


def test_min_snr_may_change(begin: MakeRequest) -> None:
    assert BACKEND.plan(begin(options={"min_snr": 5.0})).options["min_snr"] == 5.0


def test_checkpoint_of_another_backend_is_refused(begin: MakeRequest, tiny_checkpoint: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_checkpoint, tmp_path / "foreign")
    card = json.loads((folder / CARD_NAME).read_text())
    (folder / CARD_NAME).write_text(json.dumps({**card, "model": "acgan"}))
    with pytest.raises(InputError, match="is a checkpoint of acgan, not of ddpm"):
        BACKEND.plan(begin(init=folder))


def test_folder_that_is_no_checkpoint_is_refused(begin: MakeRequest, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a checkpoint"):
        BACKEND.plan(begin(init=tmp_path))


def test_damaged_checkpoint_is_damage(begin: MakeRequest, tiny_checkpoint: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_checkpoint, tmp_path / "damaged")
    data = bytearray((folder / WEIGHTS).read_bytes())
    data[-3] ^= 1
    (folder / WEIGHTS).write_bytes(data)
    with pytest.raises(DamageError, match="is damaged or was replaced"):
        BACKEND.train(begin(init=folder))


def test_checkpoints_before_this_one_are_on_its_card_newest_first(begin: MakeRequest, tiny_checkpoint: Path) -> None:
    first = begin("first", class_names=("3", "cat"), budget=BATCH)
    split = read_card(tiny_checkpoint).split
    other = {"source": "first", "train_fingerprint": "a" * 64}
    first = replace(first, split=first.split.model_copy(update=other))
    BACKEND.train(first)
    second = begin("second", class_names=("dog", "cat"), budget=BATCH, init=first.out)
    BACKEND.train(second)
    assert read_card(tiny_checkpoint).ancestors == ()
    assert read_card(first.out).ancestors == (split,)
    assert read_card(second.out).ancestors == (first.split, split)
    assert BACKEND.load(second.out, second.runtime).spec.ancestors == (first.split, split)


def test_training_from_a_checkpoint_resumes_from_its_own_state(begin: MakeRequest, tiny_checkpoint: Path) -> None:
    request = begin(budget=2 * BATCH)
    BACKEND.train(request)
    longer = replace(request, budget=3 * BATCH, resume_from=state_of(request))
    BACKEND.train(longer)
    assert read_state(longer)["global_step"] == 3
    card = read_card(request.out)
    assert card.training.images_seen == 3 * BATCH
    assert card.settings["init"] == read_card(tiny_checkpoint).checkpoint


def test_resuming_from_another_beginning_is_refused(begin: MakeRequest) -> None:
    request = begin(budget=BATCH)
    BACKEND.train(request)
    with pytest.raises(InputError, match=r"\binit\b"):
        BACKEND.plan(replace(request, init=None, preset="digits", resume_from=state_of(request)))
