"""The processes a launcher started for one job (torchrun, accelerate launch), or just this one."""

from __future__ import annotations

import contextlib
import datetime
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from synthaug.core.console import log, stderr
from synthaug.core.errors import InputError, SynthaugError

#: Shards of one process may take hours longer than those of another; a process that died is noticed at once, by its
#: closed connection.
_PATIENCE = datetime.timedelta(days=30)


@dataclass(frozen=True)
class Processes:
    """This process among all that work together.

    Attributes:
        rank: Its number.
        world_size: How many there are.
    """

    rank: int = 0
    world_size: int = 1
    _state: Any = None

    @classmethod
    def join(cls, device: str, *, is_part: bool = False) -> Processes:
        """Meets the other processes of the launcher, if there are any; other processes than the first fall silent.

        Args:
            device: "cpu" or "cuda"; with "cuda" each process takes the GPU of its local rank.
            is_part: Whether it was said by other means which part of the work this process does; otherwise a process
                that is alone although its launcher was asked for several is warned of.
        """
        if _world_size() < 2:
            if not is_part and (reason := _started_fewer()):
                log(f"warning: {reason}")
            return cls()
        from accelerate import PartialState

        os.environ.setdefault("OMP_NUM_THREADS", "1")  # as torchrun does
        with _immediate_signals():
            state = PartialState(cpu=device == "cpu", backend="gloo", timeout=_PATIENCE)
        if not state.is_main_process:
            stderr.quiet = True
        return cls(state.process_index, state.num_processes, state)

    @property
    def is_main(self) -> bool:
        """Whether this is the process that speaks for all."""
        return self.rank == 0

    def agree(self, value: list[int]) -> list[int]:
        """The first process's numbers, once all processes are here.

        Raises:
            SynthaugError: If another process has failed.
        """
        if self._state is None:
            return value
        from accelerate.utils import broadcast_object_list

        try:
            with _immediate_signals():
                self._state.wait_for_everyone()
                [agreed] = broadcast_object_list([value])
        except RuntimeError as error:
            raise SynthaugError(
                "another process of this job has failed, see its message; finished parts are kept: run the same "
                "command again"
            ) from error
        return list(agreed)


def is_main_process() -> bool:
    """Whether this process may print results: the first of its launcher's, or the only one."""
    return _world_size() < 2 or os.environ.get("RANK", "0") == "0"


def place_among_processes(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """This process's number and how many there are, as given, else as torch.distributed has it.

    Raises:
        InputError: If the rank is outside the world.
    """
    is_distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    if rank is None:
        rank = torch.distributed.get_rank() if is_distributed else 0
    if world_size is None:
        world_size = torch.distributed.get_world_size() if is_distributed else 1
    if not 0 <= rank < world_size:
        raise InputError(f"the rank must lie in 0..{world_size - 1}, found {rank}")
    return rank, world_size


def waits_for_others() -> bool:
    """Whether a launcher started several processes that torch.distributed does not know of yet."""
    is_distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    return _world_size() > 1 and not is_distributed


def launched_processes() -> tuple[int, int]:
    """Processes on this machine, and machines, that a launcher started for one job; (1, 1) without a launcher."""
    world, local = _world_size(), os.environ.get("LOCAL_WORLD_SIZE", "")
    if world < 2:
        return 1, 1
    on_this = int(local) if local.isdigit() and int(local) else world
    return on_this, world // on_this


def _world_size() -> int:
    size = os.environ.get("WORLD_SIZE", "1")
    return int(size) if size.isdigit() else 1


def _started_fewer() -> str | None:
    """Why this process is alone although several were asked for; None if it is rightly alone."""
    environment = os.environ
    if "RANK" not in environment and "ACCELERATE_USE_CPU" in environment and "MASTER_PORT" in environment:
        return (
            "accelerate launch was asked for several processes and started one (it does so without GPUs). It makes "
            "the whole set alone; use torchrun --nproc-per-node=N -m synthaug -- generate ..."
        )
    if "RANK" not in environment and int(environment.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        return (
            f"srun started {environment['SLURM_STEP_NUM_TASKS']} tasks that do not know of each other, each will make "
            "the whole set. Use torchrun in one task per node, or a job array with --shards K/N"
        )
    return None


@contextlib.contextmanager
def _immediate_signals() -> Iterator[None]:
    """Lets SIGTERM and SIGINT end the process at once: Python's handlers do not run while it waits in a library."""
    is_main_thread = threading.current_thread() is threading.main_thread()
    names = (signal.SIGTERM, signal.SIGINT) if is_main_thread else ()  # others cannot set handlers
    before = [signal.signal(name, signal.SIG_DFL) for name in names]
    try:
        yield
    finally:
        for name, handler in zip(names, before, strict=True):
            signal.signal(name, handler)
