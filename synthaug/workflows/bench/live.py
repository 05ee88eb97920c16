"""What the terminal shows while a bench runs: a table of its cells and the time to go.

It shows how cells validate, never how they test: nobody is to stop a bench because the result so far pleases.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence

from rich.live import Live
from rich.table import Table

from synthaug.core.console import log, stderr
from synthaug.core.durations import duration
from synthaug.workflows.bench.cells import Cell
from synthaug.workflows.bench.results import CellResult
from synthaug.workflows.bench.workers import Outcome


class Progress:
    """Where the cells of a bench are.

    Args:
        cells: Those of this run.
        done: Those of former runs.
        jobs: How many run at once.
    """

    def __init__(self, cells: Sequence[Cell], done: dict[str, CellResult], jobs: int) -> None:
        self._cells = list(cells)
        self._jobs = jobs
        self._states = {key: _validated(result) for key, result in done.items()}
        self._shares: dict[str, float] = {}
        self._ended = 0
        self._seconds = [result.seconds for result in done.values()]
        self._started = time.monotonic()

    def step(self, cell: Cell, steps: int) -> None:
        """Notes how far a running cell is."""
        self._shares[cell.key] = steps / (cell.regime.recipe_of(cell.view).steps or 1)

    def end(self, cell: Cell, outcome: Outcome) -> None:
        """Notes what became of a cell."""
        self._shares.pop(cell.key, None)
        self._ended += 1
        if outcome is None:
            self._states[cell.key] = "given up"
        elif isinstance(outcome, CellResult):
            self._states[cell.key] = _validated(outcome)
            self._seconds.append(outcome.seconds)
        else:
            self._states[cell.key] = "failed"
        if not stderr.is_terminal:
            log(f"{self._ended} of {len(self._cells)}: {_title(cell)}, seed {cell.seed}: {self._words(outcome)}")

    def seconds_per_cell(self) -> float | None:
        """The mean time of the cells that are done; None before."""
        return sum(self._seconds) / len(self._seconds) if self._seconds else None

    def seconds_to_go(self) -> float | None:
        """Time until all are done, as long as others took; None before one is."""
        each = self.seconds_per_cell()
        left = len(self._cells) - self._ended - sum(self._shares.values())
        return None if each is None else each * left / self._jobs

    def table(self) -> Table:
        """A row for each arm, a column for each seed."""
        table = Table(caption=self._caption(), caption_justify="left", box=None, pad_edge=False)
        seeds = sorted({cell.seed for cell in self._cells})
        table.add_column("arm")
        for seed in seeds:
            table.add_column(f"seed {seed}", justify="right")
        rows: dict[str, dict[int, Cell]] = {}
        for cell in self._cells:
            rows.setdefault(_title(cell), {})[cell.seed] = cell
        for title, row in rows.items():
            table.add_row(title, *(self._state(row.get(seed)) for seed in seeds))
        return table

    def __rich__(self) -> Table:
        return self.table()

    def _state(self, cell: Cell | None) -> str:
        if cell is None:
            return ""
        if cell.key in self._shares:
            return f"{self._shares[cell.key]:.0%} …"
        return self._states.get(cell.key, "·")

    def _words(self, outcome: Outcome) -> str:
        if outcome is None:
            return "given up, the time is over"
        if not isinstance(outcome, CellResult):
            return f"failed ({outcome.failed})"
        left = self.seconds_to_go()
        to_go = "" if left is None else f"; about {duration(left)} to go"
        return f"{_validated(outcome)} of the validation images right, {outcome.seconds:.0f} s{to_go}"

    def _caption(self) -> str:
        left = self.seconds_to_go()
        passed = duration(time.monotonic() - self._started)
        eta = "" if left is None else f", about {duration(left)} to go"
        return f"{self._ended} of {len(self._cells)} trainings, {passed}{eta}; validation accuracy"


@contextlib.contextmanager
def live(progress: Progress) -> Iterator[None]:
    """Shows the table while the block runs, on a terminal."""
    if stderr.quiet or not stderr.is_terminal:
        yield
        return
    with Live(progress, console=stderr, refresh_per_second=2):
        yield


def _title(cell: Cell) -> str:
    view = "" if cell.view == "equal steps" else f", {cell.view}"
    return f"{cell.arm.name}, {cell.regime.name}{view}"


def _validated(result: CellResult) -> str:
    return f"{result.validation_accuracy:.1%}"
