"""The demo as a measurement: how long it takes and what it says.

    python benchmarks/digits_demo.py --out demo

Writes results/digits_demo.json. The folder must not exist yet, so that the time is that of a first run.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from harness import write_result

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
    low, high = summary.gain.difference.low, summary.gain.difference.high
    figures = {
        "seconds": result.seconds,
        "real_training_images": summary.counts["train"],
        "validation_images": summary.counts["validation"],
        "synthetic_images": summary.counts["synthetic"],
        "label_fidelity_percent": round(result.label_fidelity, 2),
        **{f"{arm.name}_test_accuracy_percent": round(arm.test_accuracy.mean, 2) for arm in summary.arms},
        "gain_points": round(summary.gain.difference.mean, 2),
        **({} if low is None or high is None else {"gain_low": round(low, 2), "gain_high": round(high, 2)}),
        "seeds": len(summary.seeds),
        "classifier_steps": summary.steps,
    }
    runs = {
        "verdict": summary.verdict,
        "per_seed": {arm.name: arm.per_seed for arm in summary.arms},
        "loss_curve": read_loss_curve(result.checkpoint),
    }
    write_result("digits_demo", f"`synthaug demo` from an empty folder. {result.sentence}", figures, runs)


if __name__ == "__main__":
    main()
