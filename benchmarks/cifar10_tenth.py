"""The whole path on a tenth of CIFAR-10 with the `cpu` preset: train, generate, bench, report.

    python benchmarks/cifar10_tenth.py --data imagefolder:cifar10 --name "CIFAR-10 (JPEG q75)" --state runs/cifar10

About two hours on two CPU cores. Continues where it stopped when run again with the same --state; writes
results/cifar10_tenth.json, and the grids and the report beside it.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from harness import RESULTS, study_figures, study_runs, write_result

from synthaug import BenchConfig, GenerateConfig, TrainConfig, generate, train
from synthaug.workflows.report import bench_and_report

FRACTION = 0.1


def main() -> None:
    """Runs what is missing and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="SPEC of CIFAR-10: cifar10 or imagefolder:PATH")
    parser.add_argument("--name", required=True, help="what to call the images, for example CIFAR-10 (JPEG q75)")
    parser.add_argument("--state", type=Path, required=True, help="folder for everything in between")
    parser.add_argument("--images", default="240k", help="images to show to the generator")
    parser.add_argument("--per-class", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1200, help="optimiser steps of every classifier")
    options = parser.parse_args()
    state: Path = options.state

    trained = train(
        TrainConfig(
            data=options.data,
            fraction=FRACTION,
            preset="cpu",
            images=options.images,
            out=state / "generator",
            resume="auto",
        )
    )
    synthetic = generate(GenerateConfig(model=str(trained.checkpoint), per_class=options.per_class, out=state / "set"))
    reported = bench_and_report(
        BenchConfig(
            data=options.data,
            fraction=FRACTION,
            synthetic=synthetic.out,
            seeds=options.seeds,
            steps=options.steps,
            batch_size=128,
            out=state / "bench",
        )
    )
    summary, training = reported.summary, trained.training
    figures = {
        "ddpm_images_seen": training.images_seen,
        "ddpm_parameters": training.parameters,
        "ddpm_loss": round(training.loss, 5),
        **study_figures(summary),
    }
    runs = {
        **study_runs(summary),
        "label_fidelity_per_class": dict(zip(summary.class_names, summary.label_fidelity_per_class, strict=True)),
        "loss_curve": trained.loss_curve[:: max(1, len(trained.loss_curve) // 200)],
    }
    write_result(
        "cifar10_tenth",
        f"{options.name}, {FRACTION:.0%} of the training images, DDPM preset cpu, {options.per_class} synthetic images "
        f"a class, ResNet-20, half of each mixed batch synthetic. {reported.sentence}",
        figures,
        runs,
    )
    for name in ("real.png", "synthetic.png"):
        shutil.copyfile(state / "bench" / name, RESULTS / f"cifar10_tenth_{name}")


if __name__ == "__main__":
    main()
