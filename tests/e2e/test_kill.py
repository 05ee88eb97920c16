"""Killed with SIGKILL at any moment, a run leaves whole shards only; the same command then makes the very same set."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest

from synthaug.core.folders import folder_at
from synthaug.shards.manifest import read_plan
from tests.e2e.commands import CommandServer, assert_only_whole_shards, generation, hashes_of

_FILES = ("plan.json", "config.yaml", "preview.png", "README.md", "croissant.json", "manifest.json")
#: What is done to each file that appears.
_STEPS = ("half written {}", "before fsync {}", "after fsync {}", "before rename {}", "after rename {}")
_FOLDER = ("before fsync folder of {}", "after fsync folder of {}")

FRESH = [
    *(step.format("train-000001.tar") for step in (*_STEPS, *_FOLDER)),  # in the middle
    *(step.format("train-000002.tar") for step in (*_STEPS[::2], *_FOLDER)),  # the last, the manifest comes next
    *(step.format(name) for name in _FILES for step in ("half written {}", "before rename {}", "after rename {}")),
]
EXTEND = [
    "before remove manifest.json",
    "after remove manifest.json",
    "half written plan.json",
    "after rename plan.json",
    "before rename config.yaml",
    *(f"{moment} train-00000{number}.tar" for number in (2, 3) for moment in ("half written", "after rename")),
    "after rename croissant.json",
    "before rename manifest.json",
]
OVERWRITE = [
    "before remove manifest.json",
    "after remove manifest.json",
    *(f"{moment} remove train-00000{number}.tar" for number in (0, 1, 3) for moment in ("before", "after")),
    "before rename plan.json",
    "after rename plan.json",
    "half written train-000001.tar",
    "after rename train-000001.tar",
    "half written manifest.json",
]


@pytest.mark.parametrize(
    ("before", "now", "moments"),
    [
        pytest.param(None, [3, 12], FRESH, id="fresh"),
        pytest.param([3, 12], [4, 12, "--mode", "extend"], EXTEND, id="extend"),
        pytest.param([4, 12], [3, 16, "--seed", 1, "--mode", "overwrite"], OVERWRITE, id="overwrite"),
    ],
)
def test_killed_at_any_moment_and_run_again_gives_the_same_set_to_the_byte(
    commands: CommandServer,
    tiny_checkpoint: Path,
    tmp_path: Path,
    before: list[int] | None,
    now: list[object],
    moments: list[str],
) -> None:
    out, start = tmp_path / "set", tmp_path / "start"
    per_class, shard_size, *flags = now
    command = [*generation(tiny_checkpoint, out, per_class, shard_size), *flags, "--quiet"]
    out.mkdir()
    if before is not None:
        assert commands.run(tmp_path, *generation(tiny_checkpoint, out, *before), "--quiet").code == 0
    shutil.copytree(out, start)
    whole = commands.start(tmp_path, *command, is_watched=True)
    assert whole.wait().code == 0
    expected = hashes_of(out)
    plans = [plan for folder in (start, out) if (plan := read_plan(folder_at(folder)))]
    assert not set(moments) - set(whole.moments())
    for moment in moments:
        shutil.rmtree(out)
        shutil.copytree(start, out)
        killed = commands.run(tmp_path, *command, deadly=moment)
        assert killed.code == -signal.SIGKILL, moment
        assert_only_whole_shards(out, *plans)
        left = hashes_of(out)
        assert "manifest.json" not in left or left in (hashes_of(start), expected), moment  # it comes last, goes first
        again = commands.run(tmp_path, *command)
        assert (again.code, again.err) == (0, ""), moment
        assert hashes_of(out) == expected, moment  # also nothing hidden is left
