"""The command line from training to a verified set."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from synthaug.cli.main import main
from synthaug.core.errors import InputError
from synthaug.core.storage import sha256_file
from tests.e2e.commands import TINY_TRAINING, CommandServer, Run, assert_short_complaint, environment, generation


def test_training_generating_and_verifying_work_one_after_the_other(commands: CommandServer, tmp_path: Path) -> None:
    trained = commands.run(tmp_path, "train", *TINY_TRAINING, "--images", 40, "--out", "run")
    assert trained.code == 0, trained.err
    assert "40 of 40 images" in trained.out
    # Found by its kind, as the newest below the current folder.
    words = ["--model", "ddpm", "--per-class", 3, "--steps", 2, "--out", "set", "--json", "--quiet"]
    made = commands.run(tmp_path, "generate", *words)
    assert made.code == 0, made.err
    result = json.loads(made.out)
    assert (result["images"], result["shards"], result["checkpoint"]) == (30, 1, "run")
    assert made.out.count("\n") == 1
    assert made.err == ""
    verified = commands.run(tmp_path, "verify", "set")
    assert verified.code == 0, verified.err
    assert "1 shard(s), 30 samples" in verified.out


def test_it_is_also_a_module(finished_set: Path) -> None:
    words = [sys.executable, "-m", "synthaug", "verify", finished_set.name, "--deep"]
    done = subprocess.run(
        words,
        cwd=finished_set.parent,
        env=environment(finished_set.parent),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "30 samples" in done.stdout
    assert "every image decoded" in done.stdout


def test_classes_are_chosen_by_number_or_name_and_counted(tiny_checkpoint: Path, tmp_path: Path, run: Run) -> None:
    made = run(*generation(tiny_checkpoint, tmp_path / "set"), "--classes", "0,2,5-7", "--json")
    assert made.code == 0, made.err
    assert json.loads(made.out)["images"] == 15
    counts = json.loads(run("verify", tmp_path / "set", "--deep", "--json").out)["verification"]["class_counts"]
    assert counts == {str(digit): 3 * (digit in (0, 2, 5, 6, 7)) for digit in range(10)}


def test_tasks_that_share_a_set_say_what_is_missing_until_the_last_finishes_it(
    tiny_checkpoint: Path, tmp_path: Path, run: Run
) -> None:
    command = generation(tiny_checkpoint, tmp_path / "set")
    first = run(*command, "--shards", "0-1")
    assert first.code == 0, first.err
    assert "1 shard(s) are still missing" in first.out
    assert_short_complaint(run("verify", tmp_path / "set"), 2, "is unfinished", "verify --finish")
    refused = run("verify", tmp_path / "set", "--finish")
    assert_short_complaint(refused, 1, "1 of 3 shards are missing", "--shards 2")
    last = run(*command, "--shards", "2/3", "--json")
    assert json.loads(last.out)["missing_shards"] == 0
    assert run("verify", tmp_path / "set").code == 0


def test_damaged_checkpoint_is_damage(tiny_checkpoint: Path, tmp_path: Path, run: Run) -> None:
    broken = shutil.copytree(tiny_checkpoint, tmp_path / "broken")
    weights = broken / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert_short_complaint(run(*generation(broken, tmp_path / "set")), 3, "is damaged or was replaced")


def test_damaged_shard_is_named_with_its_sample_and_repaired(finished_set: Path, run: Run) -> None:
    shard = finished_set / "train-000001.tar"
    before, data = sha256_file(shard), bytearray(shard.read_bytes())
    data[700] ^= 1
    shard.write_bytes(data)
    named = ("train-000001.tar has another sha256", "sample 0000010000", "verify --repair")
    assert_short_complaint(run("verify", finished_set), 3, *named)
    shard.write_bytes(data[:-512])
    assert_short_complaint(run("verify", finished_set), 3, "train-000001.tar has", "bytes instead of")
    shard.unlink()
    assert_short_complaint(run("verify", finished_set), 3, "train-000001.tar is missing")
    repaired = run("verify", finished_set, "--repair", "--device", "cpu")
    assert repaired.code == 0, repaired.err
    assert "made again: train-000001.tar" in repaired.out
    assert sha256_file(shard) == before
    assert run("verify", finished_set, "--deep").code == 0


def test_json_is_exactly_one_object_on_stdout(
    finished_set: Path, tiny_checkpoint: Path, tmp_path: Path, run: Run
) -> None:
    commands: dict[str, list[object]] = {
        "train": ["train", *TINY_TRAINING, "--images", 8, "--out", tmp_path / "run"],
        "train --dry-run": ["train", *TINY_TRAINING, "--out", tmp_path / "other", "--dry-run"],
        "generate": generation(tiny_checkpoint, finished_set),
        "generate --dry-run": [*generation(tiny_checkpoint, tmp_path / "other"), "--dry-run"],
        "verify": ["verify", finished_set],
    }
    answers = {name: run(*command, "--json") for name, command in commands.items()}
    assert {name: answer.code for name, answer in answers.items()} == dict.fromkeys(commands, 0)
    results = {name: json.loads(answer.out) for name, answer in answers.items()}
    assert all(isinstance(result, dict) for result in results.values())
    assert results["train"]["training"]["steps"] == 1
    assert results["train --dry-run"]["preset"] == "digits"
    assert results["generate"]["new_images"] == 0
    assert results["generate --dry-run"]["missing_shards"] == 3
    assert results["verify"]["verification"]["class_counts"] == {str(digit): 3 for digit in range(10)}
    assert not (tmp_path / "other").exists()


def test_settings_come_from_a_file_and_flags_win(tiny_checkpoint: Path, tmp_path: Path, run: Run) -> None:
    file = tmp_path / "generate.yaml"
    file.write_text(f"model: {tiny_checkpoint}\nper-class: 5\nsteps: 2\nout: {tmp_path / 'set'}\n")
    answer = run("generate", "--config", file, "--per-class", 2, "--dry-run", "--json")
    assert answer.code == 0, answer.err
    plan = json.loads(answer.out)["settings"]
    assert (plan["per_class"], plan["steps"]) == (2, 2)
    file.write_text("per-klass: 5\n")
    assert_short_complaint(run("generate", "--config", file), 2, "unknown setting 'per_klass'; known:", "per_class")


def test_debug_shows_where_an_error_comes_from(tmp_path: Path) -> None:
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(InputError, match="--fraction"):
            main(["train", "--out", str(tmp_path / "run"), "--fraction", "0", "--debug"])
    finally:
        signal.signal(signal.SIGTERM, handler)
