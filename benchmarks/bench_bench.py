"""How long a bench takes: five arms with five seeds on digits, side by side and one after another.

    python benchmarks/bench_bench.py [--rounds 3]

Writes results/bench_bench.json. `digits_5x5_seconds` is the time of all trainings from the command to the report, with
the recipe `fast` and 20 labelled digits of each class. `together_vs_serial_ratio` is the time of the same trainings,
shortened, one after another (`--jobs 1` with all processors for each) over their time side by side.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from harness import interleaved, ratio, write_result

from synthaug import BenchConfig, GenerateConfig, generate
from synthaug.core.runtime import processors
from synthaug.workflows.report import bench_and_report

PER_CLASS_REAL = 20


def main() -> None:
    """Measures and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="comparisons of side by side with one after another")
    parser.add_argument("--steps", type=int, default=100, help="optimiser steps of the trainings in these")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        synthetic = generate(GenerateConfig(model="acgan-digits", per_class=200, out=str(root / "set"))).out

        def run(name: str, **settings: object) -> float:
            started = time.perf_counter()
            out = root / f"{name}-{time.monotonic_ns()}"
            values = {"data": "digits", "per_class_real": PER_CLASS_REAL, "synthetic": synthetic, "out": out}
            bench_and_report(BenchConfig.resolve({**values, **settings}))
            return time.perf_counter() - started

        whole = run("whole")
        short = {"steps": options.steps, "seeds": 2}
        seconds = interleaved(
            {
                "serial": lambda: run("serial", jobs=1, threads=processors(), **short),
                "together": lambda: run("together", jobs=processors(), **short),
            },
            options.rounds,
        )
    figures = {
        "digits_5x5_seconds": round(whole, 1),
        "together_vs_serial_ratio": ratio(seconds["serial"], seconds["together"]),
    }
    method = (
        f"digits, {PER_CLASS_REAL} labelled images of each class, 200 of each from acgan-digits; 5 arms x 5 seeds with "
        f"the recipe fast, report included, on {processors()} processors. The ratio: 5 arms x 2 seeds of "
        f"{options.steps} steps, {options.rounds} rounds, each with the start of its processes."
    )
    write_result("bench_bench", method, figures, seconds)


if __name__ == "__main__":
    main()
