r"""What synthetic images are worth with little of CIFAR-10: a generator for each share of it, and a bench of both.

    python benchmarks/cifar10_fractions.py --data imagefolder:cifar10 --name "CIFAR-10 (JPEG q75)" --state state

Some hours on two CPU cores. Continues where it stopped when run again with the same --state, also after --max-time;
finished, it writes results/cifar10_fractions.json and the report with its grids into reports/cifar10_fractions/. The
report names all places that it is given, which have to be relative: link to what is elsewhere.

The generators of the report there were trained before, with DiffAugment and fewer images than their preset has:

    synthaug train --model acgan --preset resnet --data CIFAR --fraction 0.01 --images 48k \
        --diffaugment colour,translation --out GENERATORS/acgan-resnet-0.01/generator
    synthaug train --model acgan --preset resnet --data CIFAR --fraction 0.1 --images 96k \
        --diffaugment colour,translation --out GENERATORS/acgan-resnet-0.1/generator

Of the 96k images, 64,640 were shown: that training was ended by --max-time. This took them by --generators GENERATORS.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from harness import copy_report, study_figures, study_runs, write_result

from synthaug import BenchConfig
from synthaug.generators.checkpoint import read_card
from synthaug.workflows.report import bench_and_report

REPORTS = Path(__file__).parent / "reports"


def main() -> None:
    """Runs what is missing and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="SPEC of CIFAR-10: cifar10 or imagefolder:PATH")
    parser.add_argument("--name", required=True, help="what to call the images, for example CIFAR-10 (JPEG q75)")
    parser.add_argument("--state", type=Path, required=True, help="folder for everything in between")
    parser.add_argument("--fractions", default="0.01,0.1")
    parser.add_argument("--generator", default="acgan/resnet", help="kind and preset")
    parser.add_argument("--generators", type=Path, help="where generators of these shares are, or will be kept")
    parser.add_argument("--images", help="images to show to each generator, instead of as many as its preset")
    parser.add_argument("--per-class", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=500, help="optimiser steps of every classifier")
    parser.add_argument("--max-time", help="stop after this long (9m, 1h)")
    options = parser.parse_args()
    places = (options.data.rpartition(":")[2], options.state, options.generators or "")
    if absolute := [str(place) for place in places if Path(place).is_absolute()]:
        parser.error(f"the report that is kept names its places, which have to be relative; found {absolute[0]}")
    config = BenchConfig.resolve(
        {
            "data": options.data,
            "fractions": options.fractions,
            "generator_per_fraction": options.generator,
            "generator_images": options.images,
            "generators": options.generators or options.state / "generators",
            "per_class": options.per_class,
            "arms": ("real", "real+classic", "mixed+classic"),
            "network": "resnet20",
            "optimiser": "sgd",
            "learning_rate": 0.1,
            "weight_decay": 5e-4,
            "progressive": 1.0,
            "schedule": "onecycle",
            "validations": 4,
            "steps": options.steps,
            "seeds": options.seeds,
            "max_time": options.max_time,
            "out": options.state / "bench",
        }
    )
    reported = bench_and_report(config)
    summary = reported.summary
    if not summary.is_complete:
        print(f"{summary.done} of {summary.cells} trainings are done; run it again")
        return
    copy_report(config.out, REPORTS / "cifar10_fractions")
    figures = study_figures(config.out)
    method = (
        f"{options.name}; for each share of the training images a generator trained on exactly these "
        f"({_generators(config)}), {options.per_class} synthetic images a class, ResNet-20, {options.steps} steps of "
        f"64, half of each mixed batch synthetic. Trainings ran beside other work, so their times are rough. "
        f"{reported.sentence}"
    )
    write_result("cifar10_fractions", method, figures, study_runs(summary))


def _generators(config: BenchConfig) -> str:
    """What the cards of the generators say of them."""
    return "; ".join(
        f"{card.model} {card.preset}, DiffAugment {card.settings.get('diffaugment', 'none')}, "
        f"{card.training.images_seen:,} images shown, {sum(card.split.class_counts)} of them different"
        for card in map(read_card, sorted((config.generators or config.out).glob("*/generator")))
    )


if __name__ == "__main__":
    main()
