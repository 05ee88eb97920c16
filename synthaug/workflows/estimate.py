"""Predicts what a set will cost, from a few batches measured on this machine."""

from __future__ import annotations

import time
from dataclasses import dataclass

from pydantic import Field

from synthaug.core.console import progress
from synthaug.core.runtime import hardware
from synthaug.data.pools import decoded_bytes
from synthaug.shards.plan import SetPlan
from synthaug.workflows.drawing import DrawConfig, Drawing
from synthaug.workflows.synthesize import draw_images, packed_size


class EstimateConfig(DrawConfig):
    """Settings of `synthaug estimate`; the field descriptions are the help texts."""

    batches: int = Field(2, ge=1, description="Batches to measure, after one that is not counted.")


@dataclass(frozen=True)
class EstimateResult:
    """What a set will cost on this machine, with one process.

    Attributes:
        images: Images in the whole set.
        shards: Shards in the whole set.
        images_per_second: Measured, sampling and encoding.
        seconds: Predicted for the whole set.
        bytes: Predicted size of all shards.
        memory_bytes: What the set's pixels and classes take when it is mixed from memory; real images and the buffers
            of batches, some tens of megabytes, come on top.
        measured_images: Images the prediction rests on.
        hardware: The machine.
        settings: What identifies every sample.
    """

    images: int
    shards: int
    images_per_second: float
    seconds: float
    bytes: int
    memory_bytes: int
    measured_images: int
    hardware: str
    settings: SetPlan


def estimate(config: EstimateConfig) -> EstimateResult:
    """Predict time, disk space and memory of a set from a few batches, without writing anything.

    Raises:
        InputError: For any setting that `generate` would refuse.
    """
    drawing = Drawing.of(config)
    plan = drawing.plan
    size = plan.batch_size
    with progress("measuring", (1 + config.batches) * size) as advance:
        draw_images(drawing, range(size))  # compiles kernels, warms caches
        advance(size)
        encoded: list[bytes] = []
        started = time.perf_counter()
        for number in range(config.batches):
            encoded += draw_images(drawing, range(number * size, (number + 1) * size))
            advance((2 + number) * size)
        seconds = time.perf_counter() - started
    rate = len(encoded) / seconds
    return EstimateResult(
        images=plan.sample_count,
        shards=plan.shard_count,
        images_per_second=round(rate, 2),
        seconds=round(plan.sample_count / rate, 1),
        bytes=round(packed_size(plan, encoded) / len(encoded) * plan.sample_count),
        memory_bytes=decoded_bytes(plan),
        measured_images=len(encoded),
        hardware=hardware(),
        settings=plan,
    )
