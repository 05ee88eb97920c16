"""The command line as a user meets it: words in; an exit code, stdout and stderr out."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthaug.core.folders import folder_at
from synthaug.core.storage import sha256_file
from synthaug.shards.manifest import MANIFEST_NAME
from synthaug.shards.plan import SetPlan
from synthaug.shards.verify import check_contents, verify_set
from synthaug.workflows.cost import COST_NAME

#: Needs --images and --out; of its samples, only the last grid is drawn.
TINY_TRAINING = (
    "--data", "digits", "--per-class-real", 5, "--batch-size", 8, "--grid-every", "1M",
    "--device", "cpu", "--precision", "fp32",
)  # fmt: skip
#: A job whose process died must end within this many seconds; nothing is measured, it is a guard.
RANKS_GUARD = 30
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node")


@dataclass(frozen=True)
class Answer:
    """How a command ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Answer]


@dataclass(frozen=True)
class Running:
    """A command that may not have ended yet."""

    server: CommandServer
    pid: int
    out: Path
    err: Path
    moments_file: Path

    def wait(self) -> Answer:
        """Waits for the end."""
        return self._answer(self.server.ask(wait=self.pid, block=True))

    def over(self) -> Answer | None:
        """The answer if it has ended."""
        code = self.server.ask(wait=self.pid, block=False)
        return None if code is None else self._answer(code)

    def moments(self) -> list[str]:
        """At what moments it touched the disk, if they were watched."""
        return self.moments_file.read_text().splitlines()

    def _answer(self, code: int) -> Answer:
        return Answer(code, self.out.read_text(), self.err.read_text())


class CommandServer:
    """Starts command lines in processes of their own; see fork_server.py."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("fork_server.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(folder),
        )

    def ask(self, **request: Any) -> Any:
        """Sends one request."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def start(
        self,
        cwd: Path,
        *words: object,
        environment: dict[str, object] | None = None,
        file_size_limit: int | None = None,
        is_watched: bool = False,
        deadly: str | None = None,
        time_limit: int = 240,
    ) -> Running:
        """Starts a command.

        Args:
            cwd: Its current folder.
            words: The command without the program's name.
            environment: Variables to set.
            file_size_limit: Largest file it may write, in bytes.
            is_watched: Whether to note the moments at which it touches the disk.
            deadly: At which of them to kill it.
            time_limit: Seconds after which the system ends it.
        """
        self._count += 1
        out, err, moments = (self._folder / f"{self._count}.{kind}" for kind in ("out", "err", "moments"))
        pid = self.ask(
            words=list(map(str, words)),
            cwd=str(cwd),
            out=str(out),
            err=str(err),
            environment={name: str(value) for name, value in (environment or {}).items()},
            file_size_limit=file_size_limit,
            moments=str(moments) if is_watched or deadly else None,
            deadly=deadly,
            time_limit=time_limit,
        )
        return Running(self, pid, out, err, moments)

    def run(self, cwd: Path, *words: object, **options: Any) -> Answer:
        """Starts a command and waits for its end."""
        return self.start(cwd, *words, **options).wait()

    def close(self) -> None:
        """Ends the server; its input ends, so it does."""
        self._process.communicate(timeout=60)


def start_ranks(
    commands: CommandServer,
    cwd: Path,
    world_size: int,
    *words: object,
    last: dict[str, object] | None = None,
    time_limit: int = RANKS_GUARD,
) -> list[Running]:
    """Starts what torchrun would start, with its variables; `last` are options for the last process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = []
    for rank in range(world_size):
        variables = {
            "RANK": rank,
            "LOCAL_RANK": rank,
            "WORLD_SIZE": world_size,
            "LOCAL_WORLD_SIZE": world_size,
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
        }
        options = (last or {}) if rank == world_size - 1 else {}
        started.append(commands.start(cwd, *words, environment=variables, time_limit=time_limit, **options))
    return started


def launch(cwd: Path, *words: object) -> Answer:
    """Runs a program, and waits for its end."""
    done = subprocess.run(
        list(map(str, words)), cwd=cwd, env=environment(cwd), capture_output=True, text=True, timeout=240, check=False
    )
    return Answer(done.returncode, done.stdout, done.stderr)


def environment(home: Path) -> dict[str, str]:
    """The variables of a process of its own: few threads, wide lines, a cache in `home`."""
    return {**os.environ, "SYNTHAUG_HOME": str(home / "home"), "COLUMNS": "200", "OMP_NUM_THREADS": "1"}


def assert_short_complaint(answer: Answer, code: int, *fragments: str) -> None:
    """One short paragraph on stderr, nothing on stdout, no traceback."""
    assert answer.code == code, answer.err
    assert answer.out == ""
    assert "Traceback" not in answer.err
    assert "unexpected" not in answer.err
    complaint = [line for line in answer.err.splitlines() if line.startswith("synthaug: ")]
    assert len(complaint) == 1, answer.err
    for fragment in fragments:
        assert fragment in complaint[0]


def generation(checkpoint: Path, out: object, per_class: int = 3, shard_size: int = 12) -> list[object]:
    """A quick `generate`: 30 images in three shards if nothing else is said."""
    return [
        "generate", "--model", checkpoint, "--per-class", per_class, "--shard-size", shard_size, "--steps", 2,
        "--device", "cpu", "--precision", "fp32", "--out", out,
    ]  # fmt: skip


def hashes_of(folder: Path) -> dict[str, str]:
    """The sha256 of every file of a set, hidden ones included; cost.jsonl is none, it tells times."""
    return {path.name: sha256_file(path) for path in sorted(folder.iterdir()) if path.name != COST_NAME}


def assert_only_whole_shards(folder: Path, *plans: SetPlan) -> None:
    """Every shard is a whole one of one of the plans, and a manifest, if there is one, promises nothing wrong."""
    for path in folder.glob("*.tar"):
        wanted = [shard for plan in plans for shard in plan.shards() if shard.file_name == path.name]
        assert any(_is_whole(folder, shard) for shard in wanted), f"{path.name} is not whole"
    if (folder / MANIFEST_NAME).exists():
        verify_set(folder, deep=True)


def _is_whole(folder: Path, shard: Any) -> bool:
    from synthaug.core.errors import DamageError

    try:
        return check_contents(folder_at(folder), shard) == len(shard)
    except DamageError:
        return False
