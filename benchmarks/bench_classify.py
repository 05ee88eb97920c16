"""Training of classifiers: steps against a plain torchvision and Lightning loop, and accuracy by the time spent.

    python benchmarks/bench_classify.py speed --images cifar10/train
    python benchmarks/bench_classify.py digits --seeds 5
    python benchmarks/bench_classify.py time --data imagefolder:cifar10 --name "CIFAR-10 (JPEG q75)" --minutes 12

`speed` trains the same networks for some steps with both loops in turn, in one process, and writes
results/bench_classify_speed.json. `digits` is `synthaug classify --data digits --recipe fast` with several seeds, and
writes results/bench_classify_digits.json. `time` trains the recipe `fast`, then others for as long, and writes
results/bench_classify_time.json and a plot.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from harness import RESULTS, rate, ratio, write_result
from lightning.pytorch.callbacks import Callback, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from matplotlib.figure import Figure
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.models import resnet18

from synthaug.classifiers.networks import build_network
from synthaug.classifiers.recipes import RECIPES, Recipe
from synthaug.classifiers.task import predict, train_classifier
from synthaug.core.runtime import Runtime, processors
from synthaug.core.seeding import derive_seed
from synthaug.data.datamodule import MixedDataModule
from synthaug.data.mixture import Mixture
from synthaug.data.sources import load_source
from synthaug.data.splits import Splits, make_splits
from synthaug.metrics.agreement import agreement
from synthaug.workflows.classify import ClassifyConfig, classify

MEAN, DEVIATION = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


class PlainClassifier(pl.LightningModule):
    """The survey's module: a network, its loss, SGD under a one-cycle schedule."""

    def __init__(self, network: nn.Module, steps: int) -> None:
        super().__init__()
        self.network, self.steps = network, steps

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], _: int) -> torch.Tensor:
        """Negative log-likelihood of one batch."""
        images, labels = batch
        loss = nn.functional.nll_loss(self.network(images).log_softmax(dim=1), labels)
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self) -> dict[str, Any]:
        """SGD under OneCycleLR."""
        optimiser = torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.1, total_steps=self.steps + 1)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Clock(Callback):
    """The time at which each step ended."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_train_batch_end(self, *_: Any) -> None:
        """Notes it."""
        self.times.append(time.perf_counter())


def survey_loop(network: Callable[[], nn.Module], folder: str, batch_size: int, steps: int) -> float:
    """Seconds of all steps but the first two, with PIL transforms in worker processes and Lightning's defaults."""
    augmentation = transforms.Compose(
        [
            transforms.RandomCrop(32, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.RandomRotation(15),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, DEVIATION),
        ]
    )
    loader = DataLoader(
        ImageFolder(folder, augmentation), batch_size=batch_size, shuffle=True, num_workers=processors(), drop_last=True
    )
    clock = Clock()
    with tempfile.TemporaryDirectory() as root, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        callbacks = [clock, LearningRateMonitor(logging_interval="step"), ModelCheckpoint(root)]
        trainer = pl.Trainer(
            max_steps=steps, accelerator="auto", devices=1, callbacks=callbacks, logger=CSVLogger(root),
            default_root_dir=root, enable_progress_bar=True, enable_model_summary=False,
        )  # fmt: skip
        with contextlib.redirect_stdout(io.StringIO()):
            trainer.fit(PlainClassifier(network(), steps), loader)
    return clock.times[-1] - clock.times[1]


def our_loop(splits: Splits, name: str, recipe: Recipe, runtime: Runtime) -> float:
    """The same of `train_classifier`, with the same network, augmentation and logging."""
    network = build_network(name, channels=3, classes=10, seed=0)
    data = MixedDataModule(splits, mixture=Mixture(batch_size=recipe.batch_size, transform="survey"))
    times: list[float] = []
    with tempfile.TemporaryDirectory() as root:
        train_classifier(
            network, data, recipe, runtime=runtime, root=Path(root), loggers=[CSVLogger(root)],
            on_step=lambda _: times.append(time.perf_counter()),
        )  # fmt: skip
    return times[-1] - times[1]


def plain_resnet18() -> nn.Module:
    """Torchvision's, with the stem for small images of Lightning's tutorial."""
    network = resnet18(weights=None, num_classes=10)
    network.conv1 = nn.Conv2d(3, 64, kernel_size=3, stride=1, padding=1, bias=False)
    network.maxpool = nn.Identity()
    return network


def ours_contiguous(name: str) -> nn.Module:
    """A network of ours as a plain loop would have it: not in channels-last memory format."""
    return build_network(name, channels=3, classes=10, seed=0).to(memory_format=torch.contiguous_format)


def speed(options: argparse.Namespace) -> None:
    """Steps a second of both loops."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    source = load_source(f"imagefolder:{options.images}", image_size=None)
    splits = make_splits(source)
    splits = replace(splits, validation=splits.validation.take(torch.arange(10)))
    runtime = Runtime.resolve("auto", "auto")
    figures: dict[str, float] = {}
    runs: dict[str, Any] = {}
    for name, steps, plain in (
        ("resnet18", options.steps, plain_resnet18),
        ("resnet20", 4 * options.steps, lambda: ours_contiguous("resnet20")),
        ("cifarnet", 8 * options.steps, lambda: ours_contiguous("cifarnet")),
    ):
        recipe = replace(
            RECIPES.get("survey-50"), network=name, batch_size=options.batch_size, steps=steps, validations=1
        )
        seconds: dict[str, list[float]] = {"survey loop": [], "synthaug": []}
        for _ in range(options.rounds):
            seconds["survey loop"].append(survey_loop(plain, options.images, options.batch_size, steps))
            seconds["synthaug"].append(our_loop(splits, name, recipe, runtime))
        prefix, images = "" if name == "resnet18" else f"{name}_", options.batch_size * (steps - 2)
        figures[f"{prefix}step_vs_survey_loop_ratio"] = ratio(seconds["survey loop"], seconds["synthaug"])
        figures[f"{name}_images_per_second"] = rate(images, seconds["synthaug"])
        figures[f"{name}_survey_loop_images_per_second"] = rate(images, seconds["survey loop"])
        runs[name] = seconds
        print(name, figures, flush=True)
    method = (
        f"{options.rounds} rounds in turn in one process; {options.batch_size} images a step, all steps but the first "
        "two of a training, median. Survey loop: ImageFolder of PNG or JPEG files, PIL transforms (crop, flip, "
        f"rotation, normalisation) in {processors()} workers, Lightning in its default precision (fp32), learning-rate "
        "monitor, CSV log, progress bar. synthaug: the same augmentation on batches from memory, channels-last, "
        f"{runtime.precision}, the same log."
    )
    write_result("bench_classify_speed", method, figures, runs)


def digits(options: argparse.Namespace) -> None:
    """Accuracy and time of `fast` on digits."""
    results = [classify(ClassifyConfig(data="digits", recipe="fast", seed=seed)) for seed in range(options.seeds)]
    accuracies = [100 * result.test.overall for result in results]
    figures = {
        "seeds": options.seeds,
        "test_accuracy_percent": round(statistics.mean(accuracies), 3),
        "lowest_test_accuracy_percent": round(min(accuracies), 3),
        "seconds": statistics.median(result.seconds for result in results),
        "training_images_per_second": statistics.median(result.training_images_per_second for result in results),
        "calibration_error": round(statistics.mean(result.calibration_error for result in results), 4),
    }
    method = (
        "`synthaug classify --data digits --recipe fast`, all training images; training and test, without start-up."
    )
    runs = [{"seed": seed, "test_accuracy_percent": accuracy} for seed, accuracy in enumerate(accuracies)]
    write_result("bench_classify_digits", method, figures, runs)


@dataclass(frozen=True)
class Contender:
    """A recipe in the comparison by time, with the number of epochs that its schedule is made for."""

    title: str
    recipe: Recipe


def contenders(epochs: float, resnet_epochs: float) -> dict[str, Contender]:
    """`fast`, the same for ResNet-20, and the survey's recipe, whose schedule is made for fifty epochs."""
    fast = replace(RECIPES.get("fast"), epochs=epochs, validations=20)
    return {
        "fast": Contender("fast (cifarnet)", fast),
        "resnet20": Contender("fast, with ResNet-20", replace(fast, network="resnet20", epochs=resnet_epochs)),
        "survey-50": Contender("survey-50 (ResNet-18)", replace(RECIPES.get("survey-50"), validations=1500)),
    }


def by_time(options: argparse.Namespace) -> None:
    """Validation accuracy by training time, and test accuracy at the end."""
    splits = make_splits(load_source(options.data))
    few = torch.arange(len(splits.validation))[:: options.thin]
    splits = replace(splits, validation=splits.validation.take(few))
    runtime = Runtime.resolve("auto", "auto")
    figures: dict[str, float] = {"real_training_images": len(splits.train), "minutes": options.minutes}
    runs: dict[str, Any] = {}
    for name, contender in contenders(options.epochs, options.resnet_epochs).items():
        if name in options.skip:
            continue
        recipe = contender.recipe.sized(len(splits.train))
        mixture = Mixture(batch_size=recipe.batch_size, transform=recipe.transform, seed=derive_seed("batches", 0))
        data = MixedDataModule(splits, mixture=mixture)
        network = build_network(recipe.architecture, channels=3, classes=10, seed=derive_seed("initialise", 0))
        with tempfile.TemporaryDirectory() as root:
            trained = train_classifier(
                network, data, recipe, runtime=runtime, root=Path(root), on_step=lambda _: None,
                max_time=60 * options.minutes,
            )  # fmt: skip
        predicted = predict(network, splits.test.images, runtime, preparation=data.preparation).argmax(dim=1)
        test = agreement(predicted, splits.test.labels, 10)
        key = name.replace("-", "_")
        figures |= {
            f"{key}_test_accuracy_percent": round(100 * test.overall, 2),
            f"{key}_training_seconds": trained.curve[-1].seconds,
            f"{key}_epochs": round(trained.steps * recipe.batch_size / len(splits.train), 2),
            f"{key}_images_per_second": trained.images_per_second,
        }
        runs[name] = {"title": contender.title, "curve": [asdict(point) for point in trained.curve]}
        print(name, test.overall, flush=True)
    if {"fast", "survey-50"} <= runs.keys():
        best = max(point["validation_accuracy"] for point in runs["survey-50"]["curve"])
        reached = [point["seconds"] for point in runs["fast"]["curve"] if point["validation_accuracy"] >= best]
        if reached:
            spent = next(p["seconds"] for p in runs["survey-50"]["curve"] if p["validation_accuracy"] == best)
            figures["time_to_accuracy_of_survey_50_ratio"] = round(spent / reached[0], 3)
    method = (
        f"{options.name}; each training alone, on all training images, ended after {options.minutes:g} minutes if not "
        f"before. Validation accuracy on {len(splits.validation)} images, whose time does not count; weights selected "
        "by it, tested once. survey-50's schedule is made for fifty epochs, of which it does what it can in "
        f"that time. {runtime.precision}. time_to_accuracy_of_survey_50: the time of its "
        "best validation over that in which `fast` is as good."
    )
    write_result("bench_classify_time", method, figures, runs)
    (RESULTS / "bench_classify_time.png").write_bytes(plotted(runs))


def plotted(runs: dict[str, Any]) -> bytes:
    """Validation accuracy by minutes of training, as a PNG."""
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.add_subplot()
    for run in runs.values():
        points = run["curve"]
        minutes = [point["seconds"] / 60 for point in points]
        axes.plot(minutes, [100 * point["validation_accuracy"] for point in points], ".-", label=run["title"])
    axes.set_xlabel("minutes of training")
    axes.set_ylabel("validation accuracy, %")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


def main() -> None:
    """Measures one part and writes its result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    first = parts.add_parser("speed")
    first.add_argument("--images", required=True, help="folder of image files, one folder a class")
    first.add_argument("--batch-size", type=int, default=64)
    first.add_argument("--steps", type=int, default=8, help="of ResNet-18; the others take more")
    first.add_argument("--rounds", type=int, default=3)
    parts.add_parser("digits").add_argument("--seeds", type=int, default=5)
    second = parts.add_parser("time")
    second.add_argument("--data", required=True, help="SPEC of CIFAR-10: cifar10 or imagefolder:PATH")
    second.add_argument("--name", required=True, help="what to call the images, for example CIFAR-10 (JPEG q75)")
    second.add_argument("--minutes", type=float, default=12.0)
    second.add_argument("--epochs", type=float, default=8.0, help="that the schedule of `fast` is made for")
    second.add_argument("--resnet-epochs", type=float, default=5.0, help="the same with ResNet-20")
    second.add_argument("--thin", type=int, default=5, help="validate on every so manieth image")
    second.add_argument("--skip", nargs="*", default=[])
    options = parser.parse_args()
    {"speed": speed, "digits": digits, "time": by_time}[options.part](options)


if __name__ == "__main__":
    main()
