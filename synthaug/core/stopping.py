"""Ends trainings between two steps, so that their state is whole: on a signal, or when their time is used up."""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.exceptions import SIGTERMException

#: Steps between two times that processes training together ask each other whether to stop.
_COMPARE_EVERY = 10


class Stop(Callback):
    """Ends a training between two steps, so that its state is whole: on a signal, or when this run's time is used up.

    Processes that train together stop at the same step, the first at which one of them asked for it when they compare.
    """

    def __init__(self, max_time: float | None) -> None:
        self.received: int | None = None
        self._max_time = math.inf if max_time is None else max_time
        self._started_at = 0.0

    def receive(self, number: int, _: FrameType | None) -> None:
        """Notes a signal; a second one interrupts at once."""
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = number

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the clock."""
        self._started_at = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Ends the training if it is time."""
        wants = self.received is not None or time.monotonic() - self._started_at >= self._max_time
        if trainer.world_size > 1:
            if trainer.global_step % _COMPARE_EVERY:
                return
            wants = trainer.strategy.reduce_boolean_decision(wants, all=False)
        if wants:
            trainer.should_stop = True


@contextlib.contextmanager
def stoppable(max_time: float | None = None) -> Iterator[Stop]:
    """Lets a signal, or the time, end a training between two steps; then an interrupt or an exit goes on from here.

    Args:
        max_time: Seconds of training.

    Yields:
        What a trainer is to be given as a callback.

    Raises:
        KeyboardInterrupt: After SIGINT.
        SystemExit: With code 143, after SIGTERM.
    """
    stop = Stop(max_time)
    with _signals(stop):
        try:
            yield stop
        except (SIGTERMException, SystemExit):  # Lightning exits with 1 after a second signal
            if stop.received is None:
                raise
    if stop.received == signal.SIGINT:
        raise KeyboardInterrupt
    if stop.received == signal.SIGTERM:
        raise SystemExit(143)


@contextlib.contextmanager
def _signals(stop: Stop) -> Iterator[None]:
    try:
        previous = {number: signal.signal(number, stop.receive) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # Only the main thread may set handlers; elsewhere the caller's stay in place.
        yield
        return
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
