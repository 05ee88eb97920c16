"""What drawing a set took: one line for each process and run, beside the set and no part of it."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from synthaug.core.folders import LocalFolder, folder_at
from synthaug.core.runtime import hardware
from synthaug.core.storage import append_json_line, read_json_lines

COST_NAME = "cost.jsonl"


class CostLine(BaseModel):
    """One line of cost.jsonl.

    Attributes:
        images: Images that this process drew for the set.
        seconds: Time it spent on sampling and writing them.
        device: "cpu" or "cuda".
        hardware: Processor or GPU.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    images: int = Field(ge=1)
    seconds: float = Field(gt=0, allow_inf_nan=False)
    device: str
    hardware: str


class SamplingCost(BaseModel):
    """All lines of a set together.

    Attributes:
        images: Images that the lines are about; not those of the set if runs were killed or shards made again.
        seconds: Time of all processes, one after another.
        hardware: What they ran on, each with the device in use.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    images: int
    seconds: float
    hardware: tuple[str, ...]

    @property
    def images_per_second(self) -> float:
        """Of one process."""
        return self.images / self.seconds


def record_cost(folder: LocalFolder, images: int, seconds: float, device: str) -> None:
    """Notes what this process drew for the set in a folder.

    Raises:
        StorageError: If the disk refuses.
    """
    line = CostLine(images=images, seconds=round(seconds, 4), device=device, hardware=hardware())
    append_json_line(folder.path / COST_NAME, line.model_dump())


def read_cost(where: str | Path) -> SamplingCost | None:
    """What is known of a set's cost; None if nothing is. Lines that are none are passed over."""
    folder = folder_at(where)
    if not isinstance(folder, LocalFolder):
        return None
    lines = [line for row in read_json_lines(folder.path / COST_NAME) if (line := _line(row)) is not None]
    if not lines:
        return None
    return SamplingCost(
        images=sum(line.images for line in lines),
        seconds=sum(line.seconds for line in lines),
        hardware=tuple(sorted({f"{line.hardware} ({line.device})" for line in lines})),
    )


def _line(row: dict[str, object]) -> CostLine | None:
    try:
        return CostLine.model_validate(row)
    except ValidationError:
        return None
