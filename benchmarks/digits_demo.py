"""The demo as a measurement: how long it takes and what it says.

    python benchmarks/digits_demo.py --out demo

Writes results/digits_demo.json. The folder must not exist yet, so that the time is that of a first run.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from harness import study_figures, study_runs, write_result

from synthaug.workflows.bench import read_summary
from synthaug.workflows.demo import DemoConfig, demo
from synthaug.workflows.train import read_loss_curve


def main() -> None:
    """Runs the demo and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="a folder that does not exist yet")
    out: Path = parser.parse_args().out
    if out.exists():
        parser.error(f"{out} exists; a first run is to be measured")
    result = demo(DemoConfig(out=out))
    summary = read_summary(result.report.parent)
    figures = {"seconds": result.seconds, **study_figures(result.report.parent)}
    runs = {
        **study_runs(summary),
        "loss_curves": {model: read_loss_curve(folder) for model, folder in result.checkpoints.items()},
    }
    write_result("digits_demo", f"`synthaug demo` from an empty folder. {result.sentence}", figures, runs)


if __name__ == "__main__":
    main()
