"""Runs cells side by side in processes of their own, which share the images in memory; not what they are."""

from __future__ import annotations

import io
import itertools
import multiprocessing
import os
import pickle
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from synthaug.core.console import stderr
from synthaug.core.errors import TrainingError
from synthaug.workflows.bench.cells import Cell, CellInputs, OutOfTimeError, run_cell
from synthaug.workflows.bench.results import CellFailure, CellResult

#: What became of a cell: its row, or None if there was no time to finish it.
Outcome = CellResult | CellFailure | None
#: Arrays below this many bytes travel with the message.
_SMALL = 1 << 16
#: Seconds between two looks at how far the cells are.
_LOOK = 0.25


def attempt(inputs: CellInputs, cell: Cell, on_step: Callable[[int], None], deadline: float | None) -> Outcome:
    """Runs a cell, whatever comes of it.

    Args:
        inputs: What all cells share.
        cell: The cell.
        on_step: Called with the number of steps done, after each.
        deadline: When to give up, on the monotonic clock.
    """
    max_time = None if deadline is None else deadline - time.monotonic()
    try:
        return run_cell(inputs, cell, on_step, max_time=max_time)
    except OutOfTimeError:
        return None
    except Exception as error:  # noqa: BLE001 - one cell's error must not end the others
        reason = str(error) or type(error).__name__
        return CellFailure(**cell.names(), failed=" ".join(reason.split()))


def run_together(
    inputs: CellInputs,
    cells: Sequence[Cell],
    jobs: int,
    on_done: Callable[[Cell, Outcome], None],
    on_step: Callable[[Cell, int], None],
    deadline: float | None,
    may_begin: Callable[[], bool],
) -> None:
    """Runs cells in several processes.

    Args:
        inputs: What all cells share.
        cells: The cells, in the order in which they are begun.
        jobs: Processes.
        on_done: Called with each cell that has ended.
        on_step: Called now and then with a running cell and its steps.
        deadline: When running cells are given up, on the monotonic clock.
        may_begin: Asked before a cell is begun.

    Raises:
        TrainingError: If the processes do not begin.
    """
    jobs = min(jobs, len(cells))
    context = multiprocessing.get_context("spawn")
    steps = context.RawArray("q", len(cells))
    with tempfile.TemporaryDirectory() as folder:
        message = _dump((inputs, list(cells)), Path(folder))
        begin = (message, steps, deadline)
        with ProcessPoolExecutor(jobs, context, initializer=_begin, initargs=begin) as pool:
            waiting = iter(range(len(cells)))
            running: dict[Future[Outcome], int] = {}
            try:
                _begin_all(pool, jobs)
                _refill(pool, running, waiting, jobs, may_begin)
                while running:
                    ended, _ = wait(running, timeout=_LOOK, return_when=FIRST_COMPLETED)
                    for future in ended:
                        number = running.pop(future)
                        on_done(cells[number], _outcome(future, cells[number]))
                    for number in running.values():
                        on_step(cells[number], steps[number])
                    _refill(pool, running, waiting, jobs, may_begin)
            except BaseException:
                _end(pool)
                raise
            if pool._broken:
                _kill(pool)


def _begin_all(pool: ProcessPoolExecutor, jobs: int) -> None:
    """Begins all processes at once: a pool notices the death of those only that it had when it last heard of one."""
    try:
        for future in [pool.submit(os.getpid) for _ in range(jobs)]:
            future.result()
    except BrokenProcessPool as error:
        raise TrainingError(
            "processes for side-by-side trainings did not begin; give fewer --jobs if memory is short, and in a script "
            'of your own call bench() below `if __name__ == "__main__":`'
        ) from error


def _refill(
    pool: ProcessPoolExecutor,
    running: dict[Future[Outcome], int],
    waiting: Iterator[int],
    jobs: int,
    may_begin: Callable[[], bool],
) -> None:
    while len(running) < jobs and may_begin():
        number = next(waiting, None)
        if number is None:
            return
        try:
            running[pool.submit(_run, number)] = number
        except BrokenProcessPool:  # told of by those that were running
            return


def _outcome(future: Future[Outcome], cell: Cell) -> Outcome:
    try:
        return future.result()
    except BrokenProcessPool:
        reason = "its process was ended from outside (out of memory?); fewer --jobs need less"
        return CellFailure(**cell.names(), failed=reason)


def _end(pool: ProcessPoolExecutor) -> None:
    """Ends all processes at once; what they were doing is lost."""
    for process in list((pool._processes or {}).values()):
        process.terminate()
    pool.shutdown(wait=False, cancel_futures=True)


def _kill(pool: ProcessPoolExecutor) -> None:
    """Kills what a pool that has lost a process has only asked to end: a training would end, and its process wait."""
    for process in list((pool._processes or {}).values()):
        process.kill()


class _Worker:
    """What a process keeps from one cell to the next."""

    inputs: CellInputs
    cells: list[Cell]
    steps: Any
    deadline: float | None


def _begin(message: bytes, steps: Any, deadline: float | None) -> None:
    stderr.quiet = True
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _Worker.inputs, _Worker.cells = _load(message)
    _Worker.steps, _Worker.deadline = steps, deadline


def _end_with_parent() -> None:
    """Ends this process with the one that began it, however that ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run(number: int) -> Outcome:
    def tell(done: int) -> None:
        _Worker.steps[number] = done

    cell = _Worker.cells[number]
    try:
        return attempt(_Worker.inputs, cell, tell, _Worker.deadline)
    except SystemExit:  # of this process only
        return CellFailure(**cell.names(), failed="its process was told to end")


class _Pickler(pickle.Pickler):
    """Puts large arrays into files, which processes map into memory once for all."""

    def __init__(self, file: io.BytesIO, folder: Path) -> None:
        super().__init__(file)
        self._folder = folder
        self._numbers = itertools.count()
        self._known: dict[int, tuple[str, str, tuple[int, ...]]] = {}

    def persistent_id(self, value: Any) -> Any:
        if not isinstance(value, Tensor) or value.nbytes < _SMALL:
            return None
        if id(value) not in self._known:
            path = self._folder / f"{next(self._numbers)}.bin"
            value.contiguous().cpu().numpy().tofile(path)
            self._known[id(value)] = (str(path), str(value.dtype).removeprefix("torch."), tuple(value.shape))
        return self._known[id(value)]


class _Unpickler(pickle.Unpickler):
    def persistent_load(self, place: Any) -> Tensor:
        path, kind, shape = place
        dtype, count = getattr(torch, kind), torch.Size(shape).numel()
        return torch.from_file(path, shared=False, size=count, dtype=dtype).view(shape)


def _dump(value: Any, folder: Path) -> bytes:
    file = io.BytesIO()
    _Pickler(file, folder).dump(value)
    return file.getvalue()


def _load(message: bytes) -> Any:
    return _Unpickler(io.BytesIO(message)).load()
