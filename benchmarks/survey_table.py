"""The techniques of a survey of image classification, each on and off with the same seeds: claimed vs measured.

    python benchmarks/survey_table.py --data digits --name digits --per-class-real 20 --seeds 5 --state /tmp/survey
    python benchmarks/survey_table.py --data imagefolder:cifar10 --name cifar10-tenth --fraction 0.1 \
        --network cifarnet --seeds 3 --state /tmp/survey

Trainings run in --jobs processes of one thread each, and continue where they stopped when run again with the same
--state. Writes results/survey_NAME.json. The survey: https://lucajiang.github.io/PyTorch_ImageClassifiction_Techniques/slideshow/
"""

from __future__ import annotations

import argparse
import concurrent.futures
import functools
import multiprocessing
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from harness import write_result
from safetensors.torch import load_file

from synthaug.classifiers.finder import find_learning_rate
from synthaug.classifiers.networks import ImageClassifier, build_network
from synthaug.classifiers.recipes import Recipe
from synthaug.classifiers.saved import weights_of
from synthaug.classifiers.task import predict, train_classifier
from synthaug.core.runtime import Runtime
from synthaug.core.seeding import derive_seed
from synthaug.core.storage import append_json_line, read_json_lines
from synthaug.data.datamodule import MixedDataModule
from synthaug.data.mixture import Mixture
from synthaug.data.sources import load_source
from synthaug.data.splits import Splits, make_splits
from synthaug.metrics.agreement import agreement
from synthaug.workflows.bench.statistics import estimate


@dataclass(frozen=True)
class Condition:
    """What differs from the base training: the recipe's numbers, how images are prepared, where weights begin.

    Attributes:
        recipe: Numbers of the recipe.
        mixture: Settings of the mixture.
        share: Steps, as a share of the base training's.
        start: Condition whose weights (of the same seed) it begins with; "rest": trained on the real images not in use.
        finds_rate: Whether the learning rate is found first.
    """

    recipe: Mapping[str, Any] = field(default_factory=dict)
    mixture: Mapping[str, Any] = field(default_factory=dict)
    share: float = 1.0
    start: str | None = None
    finds_rate: bool = False


def attached(attention: str, freeze: float) -> Condition:
    """A trained network with new attention, for a tenth of the steps, as five epochs are of fifty."""
    recipe = {"learning_rate": 0.01, "attention": attention, "freeze": freeze}
    return Condition(recipe, share=0.1, start="base")


CONDITIONS: dict[str, Condition] = {
    "base": Condition(),
    "again": Condition(),
    "plain": Condition(mixture={"transform": "none"}),
    "basic": Condition(mixture={"transform": "basic"}),
    "strong": Condition(mixture={"transform": "strong"}),
    "raw": Condition(mixture={"normalise": False}),
    "halved": Condition(mixture={"input_size": 0.5}),
    "constant": Condition({"schedule": "constant"}),
    "cosine": Condition({"schedule": "cosine"}),
    "step": Condition({"schedule": "step"}),
    "clip": Condition({"gradient_clip": 0.5}),
    "accumulate": Condition({"accumulate": "4"}, share=0.25),
    "swa": Condition({"swa": 0.01}),
    "ema": Condition({"ema": 0.99}),
    "smoothing": Condition({"label_smoothing": 0.1}),
    "stopping": Condition({"early_stopping": 3, "validations": 20}),
    "validated": Condition({"validations": 20}),
    "found": Condition(finds_rate=True),
    "adam": Condition({"optimiser": "adam", "learning_rate": 0.003}),
    "adamw": Condition({"optimiser": "adamw", "learning_rate": 0.003, "weight_decay": 0.05}),
    "muon": Condition({"optimiser": "muon", "learning_rate": 0.03}),
    "graph": Condition({"attention": "graph"}),
    "self": Condition({"attention": "self"}),
    "longer": Condition({"learning_rate": 0.01}, share=0.1, start="base"),
    "graph_added": attached("graph", 1.0),
    "self_added": attached("self", 1.0),
    "graph_added_all": attached("graph", 0.5),
    "transfer": Condition({"learning_rate": 0.01}, start="rest"),
    "base_long": Condition(share=2.5),
    "plain_long": Condition(mixture={"transform": "none"}, share=2.5),
}


@dataclass(frozen=True)
class Row:
    """One claim: what is compared, and what the survey says of it; whether it is about time."""

    technique: str
    claim: str
    on: str
    off: str
    is_about_time: bool = False


ROWS = (
    Row("classic augmentation (crop, flip, rotation)", "at least +3 points", "base", "plain"),
    Row("the same, trained 2.5 times as long", "at least +3 points", "base_long", "plain_long"),
    Row("stronger augmentation (TrivialAugment, cutout)", "not in the survey", "strong", "base"),
    Row("normalisation by the data's statistics", "converges more easily", "base", "raw"),
    Row("images of half the size", "saves time", "halved", "base", is_about_time=True),
    Row("transfer learning, from the other real images", "useful when the data set is small", "transfer", "base"),
    Row("learning-rate finder", "sometimes does not work well", "found", "base"),
    Row("one-cycle schedule vs constant rate", "converges faster", "base", "constant"),
    Row("cosine schedule vs constant rate", "converges faster", "cosine", "constant"),
    Row("step schedule vs constant rate", "converges faster", "step", "constant"),
    Row("gradients of 4 batches accumulated, same images", "stability and generalisation", "accumulate", "base"),
    Row("gradient clipping at 0.5", "avoids exploding gradients", "clip", "base"),
    Row("stochastic weight averaging", "improves generalisation", "swa", "base"),
    Row("moving average of the weights", "not in the survey", "ema", "base"),
    Row("early stopping (3 of 20 validations)", "stops at the best epoch", "stopping", "validated"),
    Row("label smoothing 0.1", "not in the survey", "smoothing", "base"),
    Row("Adam vs SGD", "both are offered", "adam", "base"),
    Row("AdamW vs SGD", "not in the survey", "adamw", "base"),
    Row("Muon vs SGD", "not in the survey", "muon", "base"),
    Row("graph attention, trained from the beginning", "-0.8 points (0.926 to 0.918)", "graph", "base"),
    Row("classical attention, trained from the beginning", "not in the survey", "self", "base"),
    Row(
        "trained network + graph attention, new weights only, a tenth of the steps",
        "+0.9 points",
        "graph_added",
        "base",
    ),
    Row("trained network + classical attention, likewise", "+0.5 points", "self_added", "base"),
    Row("the same steps without attention, all weights", "no such control in the survey", "longer", "base"),
    Row("graph attention against that control", "no such control in the survey", "graph_added", "longer"),
    Row("trained network + graph attention, then all weights", "not in the survey", "graph_added_all", "longer"),
)


@functools.cache
def images(data: str, fraction: float, per_class_real: int | None) -> tuple[Splits, Splits]:
    """The split in use, and one whose training images are all the other ones."""
    source = load_source(data)
    used = make_splits(source, fraction=fraction, per_class_real=per_class_real)
    everything = make_splits(source)
    known = {pixels.numpy().tobytes() for pixels in used.train.images}
    rest = [place for place, pixels in enumerate(everything.train.images) if pixels.numpy().tobytes() not in known]
    return used, replace(used, train=everything.train.take(torch.tensor(rest))) if rest else used


def train_one(options: argparse.Namespace, name: str, seed: int) -> dict[str, Any]:
    """Trains one condition with one seed, keeps its weights and gives what was measured."""
    torch.set_num_threads(options.threads)
    used, rest = images(options.data, options.fraction, options.per_class_real)
    condition = Condition() if name == "rest" else CONDITIONS[name]
    splits = rest if name == "rest" else used
    base = Recipe(
        "survey", options.network, batch_size=options.batch_size, optimiser="sgd", learning_rate=0.1, weight_decay=5e-4,
        epochs=options.epochs, least_steps=options.least_steps, transform="survey",
    ).sized(len(used.train))  # fmt: skip
    recipe = replace(base, **condition.recipe, steps=max(1, round(condition.share * (base.steps or 0))))
    size = splits.train.image_size
    settings = {"transform": "survey", "normalise": True, **condition.mixture}
    if "input_size" in settings:
        settings["input_size"] = round(settings["input_size"] * size)
    mixture = Mixture(batch_size=recipe.batch_size, seed=derive_seed("batches", seed), **settings)
    runtime = Runtime.resolve(options.device, "auto")
    network = build_network(
        recipe.architecture,
        channels=splits.train.channels,
        classes=len(splits.train.class_names),
        seed=derive_seed("initialise", seed),
    )
    pretrained: set[str] = set()
    if condition.start is not None:
        pretrained = begin_with(network, weights_file(options, condition.start, seed), is_new_head=name == "transfer")
    with tempfile.TemporaryDirectory() as scratch:
        if condition.finds_rate:
            data = MixedDataModule(splits, mixture=mixture)
            found = find_learning_rate(network, data, recipe, runtime=runtime, root=Path(scratch))
            recipe = replace(recipe, learning_rate=found.chosen)
        data = MixedDataModule(splits, mixture=mixture)
        started = time.perf_counter()
        trained = train_classifier(
            network, data, recipe, runtime=runtime, root=Path(scratch), on_step=lambda _: None, pretrained=pretrained
        )
        seconds = time.perf_counter() - started
    weights_file(options, name, seed).write_bytes(weights_of(network))
    probabilities = predict(network, splits.test.images, runtime, preparation=data.preparation)
    test = agreement(probabilities.argmax(dim=1), splits.test.labels, len(splits.test.class_names))
    return {
        "condition": name,
        "seed": seed,
        "test_accuracy_percent": 100 * test.overall,
        "validation_accuracy_percent": 100 * trained.validation_accuracy,
        "steps": trained.steps,
        "learning_rate": recipe.learning_rate,
        "seconds": round(seconds, 2),
        "curve": [asdict(point) for point in trained.curve],
    }


def begin_with(network: ImageClassifier, path: Path, *, is_new_head: bool) -> set[str]:
    """Loads the weights that there are, but no head for a transfer; gives their names."""
    weights = load_file(path)
    taken = {name: value for name, value in weights.items() if not (is_new_head and name.startswith("head."))}
    network.load_state_dict({**network.state_dict(), **taken})
    return set(taken)


def weights_file(options: argparse.Namespace, name: str, seed: int) -> Path:
    """Where the weights of a training are kept."""
    return Path(options.state) / options.name / f"{name}-{seed}.safetensors"


def run_all(options: argparse.Namespace, names: list[str]) -> list[dict[str, Any]]:
    """All trainings, those that others begin with first; finished ones are read."""
    folder = Path(options.state) / options.name
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "runs.jsonl"
    runs = read_json_lines(log)
    done = {(run["condition"], run["seed"]) for run in runs}
    first = [name for name in names if name == "rest" or CONDITIONS[name].start is None]
    context = multiprocessing.get_context("spawn")
    for stage in (first, [name for name in names if name not in first]):
        jobs = [(name, seed) for seed in range(options.seeds) for name in stage if (name, seed) not in done]
        with concurrent.futures.ProcessPoolExecutor(options.jobs, mp_context=context) as pool:
            for future in concurrent.futures.as_completed([pool.submit(train_one, options, *job) for job in jobs]):
                run = future.result()
                append_json_line(log, run)
                runs.append(run)
                print(f"{run['condition']} {run['seed']}: {run['test_accuracy_percent']:.2f} %", flush=True)
    return [run for run in runs if run["condition"] in names and run["seed"] < options.seeds]


def figures_of(runs: list[dict[str, Any]], rows: tuple[Row, ...]) -> dict[str, float]:
    """Accuracy of every condition, and difference, interval and time of every row, in points of test accuracy."""
    by_condition: dict[str, dict[int, dict[str, Any]]] = {}
    for run in runs:
        by_condition.setdefault(run["condition"], {})[run["seed"]] = run
    figures = {}
    for name, found in by_condition.items():
        figures[f"{name}_test_accuracy_percent"] = round(
            mean([run["test_accuracy_percent"] for run in found.values()]), 3
        )
    for row in rows:
        on, off = by_condition[row.on], by_condition[row.off]
        seeds = sorted(on.keys() & off.keys())
        gains = [on[seed]["test_accuracy_percent"] - off[seed]["test_accuracy_percent"] for seed in seeds]
        gain, key = estimate(gains), f"{row.on}_vs_{row.off}"
        figures[f"{key}_points"] = round(gain.mean, 3)
        if gain.low is not None and gain.high is not None:
            figures |= {f"{key}_low": round(gain.low, 3), f"{key}_high": round(gain.high, 3)}
        if row.is_about_time:
            times = [on[seed]["seconds"] / off[seed]["seconds"] for seed in seeds]
            figures[f"{key}_time_share"] = round(sorted(times)[len(times) // 2], 3)
    return figures


def mean(values: list[float]) -> float:
    """Of at least one value."""
    return sum(values) / len(values)


def main() -> None:
    """Trains what is missing and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--name", default="digits", help="of the result: results/survey_NAME.json")
    parser.add_argument("--title", help="what to call the images; the SPEC if not given")
    parser.add_argument("--fraction", type=float, default=1.0)
    parser.add_argument("--per-class-real", type=int)
    parser.add_argument("--network", default="resnet20")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--epochs", type=float, default=10.0)
    parser.add_argument("--least-steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--skip", nargs="*", default=[], help="conditions to leave out")
    parser.add_argument("--state", type=Path, required=True, help="folder for everything in between")
    options = parser.parse_args()
    used, rest = images(options.data, options.fraction, options.per_class_real)
    skipped = {*options.skip, *(["transfer"] if rest is used else [])}
    if not used.allows_flip or used.train.image_size < 16:
        skipped |= {"halved"}
    rows = tuple(row for row in ROWS if not skipped & {row.on, row.off})
    names = {name for row in rows for name in (row.on, row.off)} | ({"again"} - skipped)
    names = sorted(names, key=list(CONDITIONS).index)
    runs = run_all(options, ["rest", *names] if "transfer" in names else names)
    figures: dict[str, float] = {
        "real_training_images": len(used.train),
        "seeds": options.seeds,
        **figures_of(runs, rows),
    }
    if "again" in names:
        equal = [same_weights(options, "base", "again", seed) for seed in range(options.seeds)]
        figures["same_seed_same_weights"] = float(all(equal))
    method = (
        f"{options.network} on {len(used.train)} training images of {options.title or options.data}, "
        f"{options.batch_size} a step, SGD with Nesterov momentum under a one-cycle schedule to 0.1, the survey's "
        "augmentation and normalisation; each technique alone is switched on or off. Weights selected on validation "
        f"images, tested once. Differences are paired over {options.seeds} seeds, intervals are Student's t, 95 %. "
        "time_share is the median ratio of times of trainings that ran beside others, so it is rough. Transferred "
        "weights were trained on the real images not in use, for want of ImageNet's."
    )
    write_result(f"survey_{options.name}", method, figures, {"rows": [asdict(row) for row in rows], "trainings": runs})


def same_weights(options: argparse.Namespace, first: str, second: str, seed: int) -> bool:
    """Whether two trainings ended with the same weights, bit by bit."""
    ones, others = (load_file(weights_file(options, name, seed)) for name in (first, second))
    return all(torch.equal(value, others[name]) for name, value in ones.items())


if __name__ == "__main__":
    main()
