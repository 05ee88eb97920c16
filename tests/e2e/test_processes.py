"""Several processes make one set: torchrun and accelerate launch, and what becomes of it when one of them dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from synthaug.core.folders import folder_at
from synthaug.core.storage import sha256_file
from synthaug.shards.manifest import read_plan
from synthaug.shards.reader import read_set
from tests.e2e.commands import (
    RANKS_GUARD,
    TORCHRUN,
    Answer,
    CommandServer,
    assert_only_whole_shards,
    assert_short_complaint,
    environment,
    generation,
    hashes_of,
    launch,
    start_ranks,
)


@pytest.fixture(scope="module")
def alone(commands: CommandServer, tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The sha256 of every file of the set of 30 images in 3 shards that one process makes alone."""
    here = tmp_path_factory.mktemp("alone")
    assert commands.run(here, *generation(tiny_checkpoint, "set")).code == 0
    return hashes_of(here / "set")


def test_only_the_first_process_speaks(
    commands: CommandServer, tiny_checkpoint: Path, tmp_path: Path, alone: dict[str, str]
) -> None:
    ranks = start_ranks(commands, tmp_path, 3, *generation(tiny_checkpoint, "set"), "--json")
    first, *others = [rank.wait() for rank in ranks]
    assert first.code == 0, first.err
    assert json.loads(first.out)["new_images"] == 30
    assert others == [Answer(0, "", "")] * 2
    assert hashes_of(tmp_path / "set") == alone
    lines = (tmp_path / "set" / "cost.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["images"] for line in lines) == [6, 12, 12]  # each process tells of its own


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_torchrun_makes_the_set_that_one_process_makes(
    tiny_checkpoint: Path, tmp_path: Path, alone: dict[str, str], world_size: int
) -> None:
    words = ("-m", "synthaug", "--", *generation(tiny_checkpoint, "set"), "--json")
    answer = launch(tmp_path, *TORCHRUN, world_size, *words)
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["images"] == 30  # one object, from one of them
    images, _ = read_set(tmp_path / "set")
    assert images.class_counts() == (3,) * 10
    assert hashes_of(tmp_path / "set") == alone


def test_more_processes_than_shards_make_every_image_once_and_say_so(
    commands: CommandServer, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    command = generation(tiny_checkpoint, "set", shard_size=20)
    first, *others = [rank.wait() for rank in start_ranks(commands, tmp_path, 3, *command)]
    assert [first.code, *(other.code for other in others)] == [0, 0, 0], [first, *others]
    assert "2 shard(s) for 3 processes, some will be idle; a smaller --shard-size" in first.err
    images, manifest = read_set(tmp_path / "set")
    assert images.class_counts() == (3,) * 10
    assert len(manifest.shards) == 2


def test_accelerate_without_a_gpu_starts_one_process_which_says_so_and_makes_the_whole_set(
    tiny_checkpoint: Path, tmp_path: Path, alone: dict[str, str]
) -> None:
    launcher = (sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", 2, "-m", "synthaug")
    answer = launch(tmp_path, *launcher, *generation(tiny_checkpoint, "set"), "--json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["missing_shards"] == 0
    assert "accelerate launch was asked for several processes and started one" in answer.err
    assert "torchrun --nproc-per-node=N -m synthaug" in answer.err
    assert hashes_of(tmp_path / "set") == alone


@pytest.mark.parametrize("moment", ["half written train-000001.tar", "after rename train-000001.tar"])
def test_killed_process_ends_the_others_and_the_next_run_finishes_the_same_set(
    commands: CommandServer, tiny_checkpoint: Path, tmp_path: Path, alone: dict[str, str], moment: str
) -> None:
    out, command = tmp_path / "set", generation(tiny_checkpoint, "set")
    survivor, killed = [
        rank.wait() for rank in start_ranks(commands, tmp_path, 2, *command, "--quiet", last={"deadly": moment})
    ]
    assert killed.code == -signal.SIGKILL
    assert_short_complaint(survivor, 1, "another process of this job has failed", "run the same command again")
    plan = read_plan(folder_at(out))
    assert plan is not None
    assert_only_whole_shards(out, plan)
    assert not (out / "manifest.json").exists()
    assert [rank.wait().code for rank in start_ranks(commands, tmp_path, 2, *command)] == [0, 0]
    assert hashes_of(out) == alone


def test_full_disk_of_one_process_ends_all(
    commands: CommandServer, tiny_checkpoint: Path, tmp_path: Path, alone: dict[str, str]
) -> None:
    out, command = tmp_path / "set", generation(tiny_checkpoint, "set")
    other, full = [
        rank.wait()
        for rank in start_ranks(commands, tmp_path, 2, *command, "--quiet", last={"file_size_limit": 20_000})
    ]
    assert_short_complaint(full, 1, "could not write", "train-000001.tar", "larger than allowed")
    assert_short_complaint(other, 1, "another process of this job has failed")
    assert sorted(hashes_of(out)) == ["config.yaml", "plan.json", "train-000000.tar", "train-000002.tar"]
    assert commands.run(tmp_path, *command).code == 0
    assert hashes_of(out) == alone


def test_torchrun_ends_the_job_when_a_process_dies(
    commands: CommandServer, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "set"
    command = generation(tiny_checkpoint, "set", per_class=2000, shard_size=20)  # minutes, if nobody stops it
    job = subprocess.Popen(
        list(map(str, (*TORCHRUN, 2, "-m", "synthaug", "--", *command, "--quiet"))),
        cwd=tmp_path,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        while not list(out.glob("*.tar")):
            assert job.poll() is None, job.communicate()[0]
            time.sleep(0.05)
        workers = Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text().split()
        os.kill(int(workers[-1]), signal.SIGKILL)
        said, _ = job.communicate(timeout=RANKS_GUARD)
    finally:
        job.kill()
    assert job.returncode not in (0, None), said
    plan = read_plan(folder_at(out))
    assert plan is not None
    assert_only_whole_shards(out, plan)
    made = len(list(out.glob("*.tar")))
    assert 0 < made < plan.shard_count
    # What is there stays, what is missing comes out as if nothing had happened.
    assert commands.run(tmp_path, *command, "--shards", "0-7").code == 0
    assert commands.run(tmp_path, *command, "--shards", "0-7", "--out", "other").code == 0
    for path in (tmp_path / "other").glob("*.tar"):
        assert sha256_file(path) == sha256_file(out / path.name)
