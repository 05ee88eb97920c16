"""Runs command lines in processes of their own, forked from one that has imported everything: no second for each.

Every line of its input is a JSON request, every line of its output the answer: a new process's id, or how one ended. A
command may be killed (SIGKILL) at any of the moments at which it touches the disk.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import re
import resource
import signal
import sys
from pathlib import Path
from typing import Any

_IMPORTED = (
    "synthaug.cli.main",
    "accelerate.utils",
    "diffusers.models.unets.unet_2d",
    "diffusers.schedulers.scheduling_dpmsolver_multistep",
    "PIL.PngImagePlugin",
)
_PARTIAL = re.compile(r"^\.(.+)\.[^.]*\.\d+\.[0-9a-f]+\.partial$")
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


class Moments:
    """Writes down every moment at which this process touches the disk, and dies at one of them."""

    def __init__(self, file: str, deadly: str | None) -> None:
        self._file = os.open(file, _NEW_FILE)
        self._deadly = deadly
        self._synced = ""

    def now(self, what: str) -> None:
        """One moment."""
        os.write(self._file, f"{what}\n".encode())
        if what == self._deadly:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self) -> None:
        """Wraps what the package changes the disk with."""
        fsync, replace, unlink, open_ = os.fsync, os.replace, os.unlink, Path.open

        def watched_fsync(descriptor: int) -> None:
            self.now(f"before fsync {self._synced}")
            fsync(descriptor)
            self.now(f"after fsync {self._synced}")

        def watched_replace(source: Path, target: Path) -> None:
            self.now(f"before rename {target.name}")
            replace(source, target)
            self._synced = f"folder of {target.name}"
            self.now(f"after rename {target.name}")

        def watched_unlink(path: Path, **options: Any) -> None:
            self.now(f"before remove {path.name}")
            unlink(path, **options)
            self.now(f"after remove {path.name}")

        def watched_open(path: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
            file = open_(path, mode, *arguments, **options)
            match = _PARTIAL.match(path.name)
            if match is None or "x" not in mode:
                return file
            self._synced, write = match[1], file.write

            def in_halves(data: bytes) -> int:
                half = len(data) // 2
                write(data[:half])
                file.flush()
                self.now(f"half written {match[1]}")
                return half + write(data[half:])

            file.write = in_halves
            return file

        os.fsync, os.replace, os.unlink, Path.open = watched_fsync, watched_replace, watched_unlink, watched_open


def run(request: dict[str, Any]) -> None:
    """Becomes the command line; exits as it does."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
    streams = ((os.devnull, os.O_RDONLY), (request["out"], _NEW_FILE), (request["err"], _NEW_FILE))
    for target, (name, flags) in enumerate(streams):
        os.dup2(os.open(name, flags), target)
    signal.alarm(request["time_limit"])  # whatever it waits for then, the system ends it
    os.chdir(request["cwd"])
    os.environ.update(request["environment"])
    if limit := request["file_size_limit"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    if request["moments"]:
        Moments(request["moments"], request["deadly"]).watch()
    importlib.import_module("synthaug.cli.main").main(request["words"])


def serve() -> dict[str, Any]:
    """Answers requests; returns in a forked process only, with its request."""
    for line in sys.stdin:
        request: dict[str, Any] = json.loads(line)
        if "wait" in request:
            is_over, status = os.waitpid(request["wait"], 0 if request["block"] else os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if is_over else None
        else:
            answer = os.fork()
            if answer == 0:
                return request
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    sys.exit()


if __name__ == "__main__":
    for module in _IMPORTED:
        importlib.import_module(module)
    gc.freeze()
    try:
        run(serve())
    except SystemExit as ended:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(ended.code or 0))  # taking all those modules apart would take longer than the command
