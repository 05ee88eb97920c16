"""Metrics: how near each comes to what it cannot do without.

    python benchmarks/bench_metrics.py neighbours [--count 50000] [--dimensions 512] [--rounds 3]

Part `neighbours` compares exact nearest neighbours, and precision, recall, density and coverage on top of them, with
the float32 matrix products that both need, interleaved in one process.

Merges its figures into results/bench_metrics.json, beside those of other parts.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import resource
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from harness import RESULTS, ratio, write_result

from synthaug.core.runtime import environment
from synthaug.core.seeding import generator_for
from synthaug.metrics.neighbours import nearest
from synthaug.metrics.prdc import prdc

NAME = "bench_metrics"
NEIGHBOURS = 5
BLOCKS = (512, 1024, 2048, 4096)
GIB = 2**30

METHODS = {
    "neighbours": "Neighbours: the 5 nearest of as many references for random normal float32 features whose variance "
    "falls with 1/i, turned at random, against the plain blocked product of the same matrices in the fastest of 16 "
    "block sizes, written over one buffer; precision, recall, density and coverage of the same two sets against three "
    "such products. Their times over those of the products are overheads, so that 1 is the limit: medians over rounds "
    "in which each runs once, in processor seconds, as the machine is shared. Peak memory is the resident set's, "
    "beyond what was resident with the features.",
}


def features(name: str, count: int, dimensions: int) -> torch.Tensor:
    """Normal features of a low intrinsic dimension, not along the axes."""
    generator = generator_for("bench_metrics", name)
    values = torch.randn(count, dimensions, generator=generator).div_(torch.arange(1, dimensions + 1).sqrt())
    mixing = torch.randn(dimensions, dimensions, generator=generator_for("bench_metrics", "mixing"))
    return values @ torch.linalg.qr(mixing).Q


def multiply(queries: torch.Tensor, references: torch.Tensor, rows: int, columns: int) -> None:
    """All products in float32, block by block; nothing is kept of them."""
    buffer = torch.empty(rows * columns)
    for left in queries.split(rows):
        for right in references.split(columns):
            out = buffer[: len(left) * len(right)].view(len(left), len(right))
            torch.mm(left, right.T, out=out)


def processor_seconds(action: Callable[[], object]) -> float:
    """What an action takes of the processor, whatever else runs beside it."""
    started = time.process_time()
    action()
    return time.process_time() - started


def fastest_blocks(queries: torch.Tensor, references: torch.Tensor) -> tuple[int, int]:
    """Rows and columns of the blocks in which a part of the product is fastest."""
    some, others = queries[: max(BLOCKS)], references[: 4 * max(BLOCKS)]
    choices = list(itertools.product(BLOCKS, BLOCKS))
    seconds: dict[tuple[int, int], list[float]] = {choice: [] for choice in choices}
    for _ in range(3):
        for choice in choices:
            seconds[choice].append(processor_seconds(functools.partial(multiply, some, others, *choice)))
    return min(choices, key=lambda choice: min(seconds[choice]))


def resident() -> int:
    """Bytes of memory in use."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def peak() -> int:
    """The most bytes of memory that were ever in use."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure_neighbours(count: int, dimensions: int, rounds: int) -> tuple[dict[str, float], dict[str, Any]]:
    """Figures and runs of part `neighbours`."""
    real, generated = features("real", count, dimensions), features("generated", count, dimensions)
    blocks = fastest_blocks(real, generated)
    actions: dict[str, Callable[[], object]] = {
        "matmul": functools.partial(multiply, real, generated, *blocks),
        "knn": functools.partial(nearest, real, generated, NEIGHBOURS),
        "prdc": functools.partial(prdc, real, generated, neighbours=NEIGHBOURS),
    }
    before = resident()
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    memory: dict[str, float] = {}
    for _ in range(rounds):
        for name, action in actions.items():
            seconds[name].append(processor_seconds(action))
            memory.setdefault(name, round((peak() - before) / GIB, 3))
            print(f"{name}: {seconds[name][-1]:.1f} s", flush=True)
    figures = {
        "knn_images": count,
        "knn_dimensions": dimensions,
        "knn_vs_matmul_ratio": ratio(seconds["knn"], seconds["matmul"]),
        "prdc_vs_matmul_ratio": ratio(seconds["prdc"], [3 * each for each in seconds["matmul"]]),
        "knn_processor_seconds": round(statistics.median(seconds["knn"]), 1),
        "prdc_processor_seconds": round(statistics.median(seconds["prdc"]), 1),
        "knn_peak_gib": memory["knn"],
        "prdc_peak_gib": memory["prdc"],
    }
    runs = {"threads": torch.get_num_threads(), "matmul_blocks": blocks, "seconds": seconds, "peak_gib": memory}
    return figures, runs


def merge_result(part: str, figures: Mapping[str, float], runs: Mapping[str, Any]) -> None:
    """Writes the figures of a part beside those of the other parts."""
    file = RESULTS / f"{NAME}.json"
    known = json.loads(file.read_text()) if file.exists() else {"figures": {}, "runs": {}}
    all_runs = known["runs"] | {part: {"environment": environment(), **runs}}
    method = " ".join(METHODS[name] for name in METHODS if name in all_runs)
    write_result(NAME, method, known["figures"] | figures, all_runs)


def main() -> None:
    """Measures one part and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    neighbours = parts.add_parser("neighbours", help="nearest neighbours against matrix products")
    neighbours.add_argument("--count", type=int, default=50_000)
    neighbours.add_argument("--dimensions", type=int, default=512)
    neighbours.add_argument("--rounds", type=int, default=3)
    neighbours.set_defaults(measure=lambda given: measure_neighbours(given.count, given.dimensions, given.rounds))
    given = parser.parse_args()
    figures, runs = given.measure(given)
    merge_result(given.part, figures, runs)


if __name__ == "__main__":
    main()
