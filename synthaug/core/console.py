"""What the terminal shows while work goes on, on stderr only; results on stdout are the command line's business."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

#: Everything that is not a result goes here; the command line sets `stderr.quiet` for `--quiet`.
stderr = Console(stderr=True, highlight=False, soft_wrap=True)


def log(message: str) -> None:
    """Prints one line for people on stderr."""
    stderr.print(message, markup=False)


@contextlib.contextmanager
def progress(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar with the time remaining.

    Args:
        description: What is being done.
        total: Number of items to come.

    Yields:
        A function that moves the bar to so many items done.
    """
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("eta"),
        TimeRemainingColumn(),
        console=stderr,
        disable=stderr.quiet,
    )
    with bar:
        task = bar.add_task(description, total=total)
        yield lambda done: bar.update(task, completed=done)
