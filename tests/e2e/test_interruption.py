"""Signals and a full disk: one line, the right exit code, nothing half published, and the next run goes on."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
import torch

from tests.e2e.commands import TINY_TRAINING, CommandServer, Run, assert_short_complaint, generation, hashes_of

_TIME_LIMIT = 200


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_training_that_is_stopped_saves_its_state_and_continues_to_completion(
    commands: CommandServer, tmp_path: Path, run: Run, number: signal.Signals, code: int
) -> None:
    out = tmp_path / "run"
    training = ["train", *TINY_TRAINING, "--out", out]
    process = commands.start(tmp_path, *training, "--images", "800k", "--grid-every", 16, time_limit=_TIME_LIMIT)
    while not list(out.glob("grids/images-*.png")):
        assert process.over() is None, process.err.read_text()
        time.sleep(0.05)
    os.kill(process.pid, number)
    answer = process.wait()
    assert answer.code == code, answer.err
    assert "Traceback" not in answer.err
    assert "unexpected" not in answer.err
    assert not (out / "synthaug.json").exists()
    assert not [path for path in out.rglob("*") if path.name.endswith(".partial")]
    done = int(torch.load(out / "training" / "state.ckpt", weights_only=True)["global_step"])
    assert done >= 2
    resumed = run(*training, "--images", 8 * (done + 2), "--resume", "auto", "--json")
    assert resumed.code == 0, resumed.err
    assert json.loads(resumed.out)["training"]["steps"] == done + 2
    assert json.loads(resumed.out)["is_complete"] is True
    assert (out / "synthaug.json").is_file()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_generating_that_is_stopped_keeps_whole_shards_and_is_finished_by_the_same_command(
    commands: CommandServer, tiny_checkpoint: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    out = tmp_path / "set"
    command = generation(tiny_checkpoint, out, per_class=2000, shard_size=20)
    process = commands.start(tmp_path, *command, time_limit=_TIME_LIMIT)
    while not list(out.glob("*.tar")):
        assert process.over() is None, process.err.read_text()
        time.sleep(0.05)
    os.kill(process.pid, number)
    answer = process.wait()
    assert answer.code == code, answer.err
    assert "Traceback" not in answer.err
    assert "finished parts are kept: run the same command again" in answer.err
    shards = [*out.glob("*.tar")]
    assert {path.name for path in out.iterdir()} == {"plan.json", "config.yaml", *(path.name for path in shards)}
    again = commands.run(tmp_path, *command, "--shards", f"0-{len(shards)}", "--json")
    assert again.code == 0, again.err
    assert json.loads(again.out)["new_images"] == 20


def test_full_disk_while_generating_is_one_short_message_and_nothing_half_published(
    commands: CommandServer, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "set"
    command = generation(tiny_checkpoint, out)
    answer = commands.run(tmp_path, *command, "--quiet", file_size_limit=20_000)
    assert_short_complaint(answer, 1, "could not write", "train-000000.tar", "larger than allowed")
    assert sorted(hashes_of(out)) == ["config.yaml", "plan.json"]  # and nothing hidden
    assert commands.run(tmp_path, *command).code == 0
    assert commands.run(tmp_path, "verify", out, "--deep").code == 0


def test_full_disk_while_training_is_one_short_message_and_no_checkpoint(
    commands: CommandServer, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    training = ["train", *TINY_TRAINING, "--images", 16, "--out", out, "--quiet"]
    answer = commands.run(tmp_path, *training, file_size_limit=1_000_000)
    assert_short_complaint(answer, 1, "could not write", "state.ckpt", "larger than allowed")
    assert not (out / "synthaug.json").exists()
    assert list((out / "training").iterdir()) == [out / "training" / "settings.json"]
