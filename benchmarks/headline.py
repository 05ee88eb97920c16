"""The whole study of a set of images as one job: two generators, their sets, what is in these, and what they are worth.

    python benchmarks/headline.py --data imagefolder:CIFAR --state runs/study --out runs/home --total 3h --max-time 9m

Stages, each with its share of --total: train a DDPM, train an ACGAN, draw a set from each, evaluate them, curate them,
bench classifiers with the sets as drawn and curated, and bench generators trained on a part of the real images with
just that part. Run again it goes on where it stopped. After every slice of --max-time the folder --out holds what there
is to take home: headline.json (for benchmarks/results), a grid of each generator, its weights in bfloat16 in files of
less than 16 MiB, and the reports. A checkpoint or the name of a packaged one in place of a preset is not trained. With
--smoke all of it is tried out on digits within three minutes of a CPU; figures mean nothing then.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pydantic import TypeAdapter
from staged import Ledger, StagedJob
from study import MODELS, Study, is_trained

from synthaug.workflows.checkpoints import find_checkpoint
from synthaug.workflows.config import Duration
from synthaug.workflows.train import TrainConfig, plan_training

SMOKE = {
    "data": "digits",
    "name": "digits (a trial, its figures mean nothing)",
    "per_class_real": 20,
    "total": "1h",
    "max_time": "10m",
    "ddpm": "digits",
    "ddpm_images": 1500,
    "acgan": "digits",
    "acgan_images": 1500,
    "per_class": 20,
    "features": ["classifier"],
    "judge_steps": 60,
    "cas_steps": 20,
    "recipe": "fast",
    "network": None,
    "steps": 20,
    "seeds": 3,
    "synthetic_fractions": "",
    "fractions": "0.05",
    "fraction_generators": "acgan/digits",
    "fraction_images": "1000",
    "fraction_per_class": 10,
}
#: What may be another from slice to slice.
_OF_A_SLICE = ("state", "out", "max_time", "smoke")


def parsed() -> argparse.Namespace:
    """The settings; those of a trial where the command line does not say otherwise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="try all stages on digits")
    parser.add_argument("--state", type=Path, required=True, help="folder for everything in between")
    parser.add_argument("--out", type=Path, required=True, help="folder for what is to be taken home")
    parser.add_argument("--max-time", default="9m", help="time for this slice")
    parser.add_argument("--total", default="3h", help="time for all slices together")
    parser.add_argument("--data", default="cifar10", help="SPEC of the real images")
    parser.add_argument("--name", default="CIFAR-10", help="what to call them")
    parser.add_argument("--note", default="", help="a sentence to add to the method")
    parser.add_argument("--per-class-real", type=int, help="real training images of each class; all if not given")
    parser.add_argument("--ddpm", default="small", help="preset, checkpoint or packaged name")
    parser.add_argument("--ddpm-images", type=int, help="images to show to it; what fits, by a trial, if not given")
    parser.add_argument("--guidance", type=float, help="guidance to draw its set with, instead of its own")
    parser.add_argument("--acgan", default="reacgan-large", help="preset, checkpoint or packaged name")
    parser.add_argument("--acgan-images", type=int, help="images to show to it, likewise")
    parser.add_argument("--per-class", type=int, default=5000, help="images to draw of each class")
    parser.add_argument("--features", nargs="+", default=["classifier"], help="what sets are compared by")
    parser.add_argument("--judge-steps", type=int, help="optimiser steps of the judge of sets")
    parser.add_argument("--cas-steps", type=int, help="optimiser steps of classifiers of one set alone")
    parser.add_argument(
        "--curate", nargs="*", choices=MODELS, default=list(MODELS), help="whose sets to curate as well"
    )
    parser.add_argument("--recipe", default="strong", help="recipe of classifiers")
    parser.add_argument("--network", default="resnet18", help="their network, instead of the recipe's")
    parser.add_argument("--steps", type=int, help="their optimiser steps, instead of the recipe's epochs")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="more settings of these trainings")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--synthetic-fractions", default="0.25,0.75", help="more shares of a batch that is synthetic")
    parser.add_argument("--fractions", default="0.01,0.05,0.1,0.2", help="shares of the real images for the last stage")
    parser.add_argument("--fraction-generators", default="ddpm/small,acgan/reacgan-large")
    parser.add_argument("--fraction-images", help="images to show to each of these, instead of its preset's")
    parser.add_argument("--fraction-per-class", type=int, default=500, help="images to draw of each class from these")
    if parser.parse_known_args()[0].smoke:
        parser.set_defaults(**SMOKE)
    return parser.parse_args()


def check(options: argparse.Namespace) -> None:
    """Refuses now what a stage would refuse in hours."""
    for model in MODELS:
        asked = getattr(options, model)
        if is_trained(asked):
            kind = find_checkpoint(asked).card.model
            if kind != model:
                raise SystemExit(f"--{model} {asked} is of kind {kind}")
            continue
        config = {"data": options.data, "model": model, "preset": asked, "out": options.state / model, "resume": "auto"}
        plan_training(TrainConfig.resolve({**config, "per_class_real": options.per_class_real}))
    if options.data.startswith("imagefolder") and options.name == "CIFAR-10":
        raise SystemExit('--name says what these images are: "CIFAR-10 (JPEG q75)" for its JPEG copy')


def main() -> None:
    """Runs one slice."""
    options = parsed()
    time = TypeAdapter(Duration)
    options.total, options.max_time = time.validate_python(options.total), time.validate_python(options.max_time)
    check(options)
    options.state.mkdir(parents=True, exist_ok=True)
    lasting = {name: value for name, value in vars(options).items() if name not in _OF_A_SLICE}
    study = Study(options, Ledger.open(options.state / "study.json", lasting))
    try:
        is_over = StagedJob(study.ledger, study.stages(), total=options.total, max_time=options.max_time).run()
    finally:
        print(study.bring_home())
    print("all stages are done" if is_over else "run it again to go on")


if __name__ == "__main__":
    main()
