"""Processes of their own for benches: no second for each, and one may be killed at a moment that is known."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

#: A bench that hangs fails its test after so many seconds; nothing is measured.
_GUARD = 120


def quick_context() -> ForkServerContext:
    """Where processes begin that have imported everything and know the perceptron."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.workflows.preloaded"])
    return context


def run_bench(config: Path, log: Path, deadly: int | None = None) -> int:
    """Runs the bench of a file of settings in a process of its own, and waits for its end.

    Args:
        config: The file.
        log: Where it writes down its moments, a line each.
        deadly: At which of them it is killed, counted from 0.

    Returns:
        Its exit code.
    """
    process = quick_context().Process(target=_bench, args=(str(config), str(log), deadly))
    process.start()
    process.join(_GUARD)
    assert process.exitcode is not None
    return process.exitcode


def _bench(config: str, log: str, deadly: int | None) -> None:
    from synthaug.core.console import stderr
    from synthaug.workflows.bench import BenchConfig, bench

    stderr.quiet = True
    _Moments(log, deadly).watch()
    bench(BenchConfig.resolve({}, Path(config)))


class _Moments:
    """Writes down every moment at which a bench has something to lose, and dies at one of them."""

    def __init__(self, log: str, deadly: int | None) -> None:
        self._file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        self._deadly, self._count = deadly, 0

    def now(self, what: str) -> None:
        """One moment."""
        os.write(self._file, f"{what}\n".encode())
        if self._count == self._deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        self._count += 1

    def watch(self) -> None:
        """Wraps every step of a training, every file that appears and every row."""
        from synthaug.workflows.bench import live, results

        step, append, replace = live.Progress.step, results.append_json_line, os.replace

        def watched_step(progress: Any, cell: Any, steps: int) -> None:
            self.now(f"step {steps}")
            step(progress, cell, steps)

        def watched_append(path: Path, row: Any) -> None:
            self.now("before row")
            line = json.dumps(row).encode()
            with path.open("ab") as file:
                end = file.tell()
                file.write(line[: len(line) // 2])
                file.flush()
                self.now("half a row")
                file.truncate(end)
            append(path, row)
            self.now("row")

        def watched_replace(source: Any, target: Any, **others: Any) -> None:
            self.now(f"before {Path(target).name}")
            replace(source, target, **others)
            self.now(f"after {Path(target).name}")

        live.Progress.step, results.append_json_line, os.replace = watched_step, watched_append, watched_replace
