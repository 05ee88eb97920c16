"""How long a bench takes: five arms with five seeds on digits, side by side and one after another.

    python benchmarks/bench_bench.py [--rounds 1]

Writes results/bench_bench.json. `digits_5x5_seconds` is the time of all trainings from the settings to the report, with
the recipe `fast` and 20 labelled digits of each class. `together_vs_serial_ratio` is the time of the same trainings one
after another (`--jobs 1` with all processors for each) over that. `short_together_vs_serial_ratio` is the same of two
seeds with a quarter of the steps, where processes of their own are forced although they do not pay.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from harness import ratio, write_result

from synthaug import BenchConfig, GenerateConfig, generate
from synthaug.core.runtime import processors
from synthaug.workflows.report import bench_and_report

PER_CLASS_REAL = 20
SHORT_STEPS = 100


def main() -> None:
    """Measures and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1, help="comparisons of side by side with one after another")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        synthetic = generate(GenerateConfig(model="acgan-digits", per_class=200, out=str(root / "set"))).out

        def run(**settings: object) -> float:
            started = time.perf_counter()
            values = {"data": "digits", "per_class_real": PER_CLASS_REAL, "synthetic": synthetic}
            out = root / f"bench-{time.monotonic_ns()}"
            bench_and_report(BenchConfig.resolve({**values, "out": out, **settings}))
            return time.perf_counter() - started

        ways: dict[str, dict[str, object]] = {
            "together": {"jobs": processors()},
            "serial": {"jobs": 1, "threads": processors()},
        }
        run(steps=2, seeds=1, jobs=1)  # not counted
        whole: dict[str, list[float]] = {way: [] for way in ways}
        short: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(options.rounds):
            for way, settings in ways.items():
                whole[way].append(run(**settings))
                short[way].append(run(**settings, steps=SHORT_STEPS, seeds=2))
    figures = {
        "digits_5x5_seconds": round(statistics.median(whole["together"]), 1),
        "together_vs_serial_ratio": ratio(whole["serial"], whole["together"]),
        "short_together_vs_serial_ratio": ratio(short["serial"], short["together"]),
    }
    method = (
        f"digits, {PER_CLASS_REAL} labelled images of each class, 200 of each from acgan-digits; 5 arms x 5 seeds with "
        f"the recipe fast, report and start of processes included, on {processors()} processors, {options.rounds} "
        f"round(s). Short: 5 arms x 2 seeds of {SHORT_STEPS} steps."
    )
    write_result("bench_bench", method, figures, {"whole": whole, "short": short})


if __name__ == "__main__":
    main()
