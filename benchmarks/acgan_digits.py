"""The kinds of ACGAN on digits, with equal numbers of images: which collapse?

    python benchmarks/acgan_digits.py [--images 64k] [--count 2000] [--state FOLDER]

Each trains as `synthaug train --model acgan` does, on 20 labelled digits of each class. Its samples are compared with
held-out digits, in the features of a ResNet-20 trained on all real training digits. Writes results/acgan_digits.json
and a grid for each.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from harness import RESULTS, draw, unseen_images, within_class_diversity, write_result

from synthaug.core.pixels import encode_png, grid
from synthaug.core.runtime import Runtime
from synthaug.generators.base import load_backend
from synthaug.workflows.config import DataConfig
from synthaug.workflows.demo import PER_CLASS_REAL
from synthaug.workflows.judge import Judge
from synthaug.workflows.train import TrainConfig, train

#: The numbers of the preset `digits`, for `resnet`; `classic` keeps those of its paper.
SMALL = {
    "batch_size": 32,
    "learning_rate": 1e-3,
    "discriminator_steps": 2,
    "class_weight": 0.5,
    "diffaugment": "translation",
}
KINDS = {"classic": {"preset": "classic"}, "resnet": {"preset": "resnet", **SMALL}, "reacgan": {"preset": "digits"}}


def main() -> None:
    """Trains all kinds and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", default="64k", help="real images to show to each discriminator")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--state", type=Path, default=Path("runs/acgan_digits"))
    options = parser.parse_args()
    runtime = Runtime.resolve()
    few, everything = (DataConfig(data="digits", per_class_real=count).splits() for count in (PER_CLASS_REAL, None))
    unseen = unseen_images(few)
    judge = Judge.trained(everything, runtime, reference=unseen)
    real = within_class_diversity(unseen.images, unseen.labels)
    figures, runs = {"judge_validation_accuracy": round(judge.validation_accuracy, 4)}, {}
    for kind, settings in KINDS.items():
        folder = options.state / kind
        given = {"data": "digits", "per_class_real": PER_CLASS_REAL, "model": "acgan", "images": options.images}
        trained = train(TrainConfig.resolve({**given, **settings, "out": folder, "resume": "auto"}))
        generator = load_backend("acgan").load(folder, runtime)
        images, labels = draw(generator, generator.default_settings, options.count)
        measured = {**judge.figures(images, labels), "diversity": within_class_diversity(images, labels) / real}
        figures |= {f"{kind}_{name}": round(value, 4) for name, value in measured.items()}
        figures[f"{kind}_training_seconds"] = trained.training.seconds
        runs[kind] = {"settings": settings, "training": trained.training.model_dump(mode="json")}
        (RESULTS / f"acgan_digits_{kind}.png").write_bytes(encode_png(grid(images[:100], 10, scale=3)))
    write_result(
        "acgan_digits",
        f"{10 * PER_CLASS_REAL} labelled digits; {options.images} images shown to each discriminator, the weights "
        f"with the lowest Frechet distance to validation images kept. {options.count} samples against {len(unseen)} "
        "held-out digits, five neighbours; diversity: mean root-mean-square difference of two images of one class, as "
        "a share of that of the held-out ones.",
        figures,
        runs,
    )


if __name__ == "__main__":
    main()
