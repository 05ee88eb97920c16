"""Several processes train one generator: what it learns does not depend on how many there are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from synthaug.generators.checkpoint import read_card
from synthaug.workflows.train import read_loss_curve
from tests.e2e.commands import (
    TINY_TRAINING,
    TORCHRUN,
    Answer,
    CommandServer,
    Running,
    assert_short_complaint,
    launch,
    start_ranks,
)

TRAINING = ("train", *TINY_TRAINING, "--images", 240, "--logger", "csv", "--out", "run", "--json")
_TIME_LIMIT = 120


@pytest.fixture(scope="module")
def losses_of_one(commands: CommandServer, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[int, float]]:
    """(step, loss) of the training of 30 steps in one process."""
    here = tmp_path_factory.mktemp("one")
    answer = commands.run(here, *TRAINING)
    assert answer.code == 0, answer.err
    return read_loss_curve(here / "run")


def ranks(commands: CommandServer, cwd: Path, *words: object) -> list[Running]:
    return start_ranks(commands, cwd, 2, *TRAINING, *words, time_limit=_TIME_LIMIT)


def assert_same_losses(out: Path, expected: list[tuple[int, float]]) -> None:
    """Of the same steps, to rounding."""
    losses = dict(read_loss_curve(out))  # also of the last steps of runs that were stopped
    assert [step for step, _ in expected] == [9, 19, 29]
    assert [losses[step] for step, _ in expected] == pytest.approx([loss for _, loss in expected], rel=1e-3)


def test_torchrun_trains_what_one_process_trains(tmp_path: Path, losses_of_one: list[tuple[int, float]]) -> None:
    answer = launch(tmp_path, *TORCHRUN, 2, "-m", "synthaug", "--", *TRAINING)
    assert answer.code == 0, answer.err
    result = json.loads(answer.out)  # one object, from one of them
    assert (result["training"]["images_seen"], result["is_complete"]) == (240, True)
    assert answer.err.count("240 images to be shown in 30 steps of 8") == 1
    assert_same_losses(tmp_path / "run", losses_of_one)
    assert [path.name for path in (tmp_path / "run" / "logs").iterdir()] == ["version_0"]
    assert read_card(tmp_path / "run").training.steps == 30


def test_time_limit_stops_all_at_one_step_and_they_go_on_from_there(
    commands: CommandServer, tmp_path: Path, losses_of_one: list[tuple[int, float]]
) -> None:
    first, other = [rank.wait() for rank in ranks(commands, tmp_path, "--max-time", 0.001)]
    assert first.code == 0, first.err
    assert other == Answer(0, "", "")
    result = json.loads(first.out)
    assert (result["is_complete"], result["training"]["steps"]) == (False, 10)
    first, other = [rank.wait() for rank in ranks(commands, tmp_path, "--resume", "auto")]
    assert first.code == 0, first.err
    assert other == Answer(0, "", "")
    assert json.loads(first.out)["is_complete"]
    assert_same_losses(tmp_path / "run", losses_of_one)


def test_training_begun_by_one_process_may_be_finished_by_two(
    commands: CommandServer, tmp_path: Path, losses_of_one: list[tuple[int, float]]
) -> None:
    assert commands.run(tmp_path, *TRAINING, "--max-time", 0.001).code == 0
    done = torch.load(tmp_path / "run" / "training" / "state.ckpt", weights_only=True)["global_step"]
    assert done < 30
    assert [rank.wait().code for rank in ranks(commands, tmp_path, "--resume", "auto")] == [0, 0]
    assert_same_losses(tmp_path / "run", losses_of_one)


def test_batch_that_cannot_be_shared_equally_is_refused(commands: CommandServer, tmp_path: Path) -> None:
    for rank in ranks(commands, tmp_path, "--batch-size", 9):
        answer = rank.wait()
        assert_short_complaint(answer, 2, "--batch-size must be divisible by the number of processes, 2", "found 9")
    assert not (tmp_path / "run").exists()
