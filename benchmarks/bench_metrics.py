"""Metrics: how near each comes to what it cannot do without.

    python benchmarks/bench_metrics.py neighbours [--count 50000] [--dimensions 512] [--rounds 3]
    python benchmarks/bench_metrics.py frechet [--rounds 3]
    python benchmarks/bench_metrics.py inception [--images 128] [--rounds 2]

Part `neighbours` compares exact nearest neighbours, and precision, recall, density and coverage on top of them, with
the float32 matrix products that both need, interleaved in one process. Part `frechet` compares the Frechet distance of
given features with torchmetrics and with the products of its covariances; part `inception`, the FID of images with
torchmetrics.

Merges its figures into results/bench_metrics.json, beside those of other parts.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import os
import resource
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import torch
from harness import RESULTS, rate, ratio, write_result
from torch import nn
from torch_fidelity import feature_extractor_inceptionv3
from torchmetrics.image.fid import FrechetInceptionDistance

from synthaug.core.runtime import environment
from synthaug.core.seeding import generator_for
from synthaug.metrics.features import extract
from synthaug.metrics.frechet import frechet_distance
from synthaug.metrics.inception import inception_extractor
from synthaug.metrics.neighbours import nearest
from synthaug.metrics.prdc import prdc

NAME = "bench_metrics"
NEIGHBOURS = 5
BLOCKS = (512, 1024, 2048, 4096)
GIB = 2**30
ROWS = 1024
BATCH_SIZES = (8, 32)
LARGEST_DIFFERENCE = 1e-3

METHODS = {
    "neighbours": "Neighbours: the 5 nearest of as many references for random normal float32 features whose variance "
    "falls with 1/i, turned at random, against the plain blocked product of the same matrices in the fastest of 16 "
    "block sizes, written over one buffer; precision, recall, density and coverage of the same two sets against three "
    "such products. Their times over those of the products are overheads, so that 1 is the limit: medians over rounds "
    "in which each runs once, in processor seconds, as the machine is shared. Peak memory is the resident set's, "
    "beyond what was resident with the features.",
    "frechet": "Frechet distance of given float32 features of that kind, 50,000 of 512 and 5,000 of 2,048 dimensions "
    "in each set: against torchmetrics' FrechetInceptionDistance, updated with 1,024 at a time through a module that "
    "does nothing, and at 512 dimensions against the plain product of each set with itself, already in float64, in "
    "blocks of 1,024. `fid_vs_matmul_ratio` is an overhead, and may be below 1, as covariances are symmetric and "
    "hardly more than half of them is computed.",
    "inception": "FID from uint8 images of 32x32 to the number, networks built from a file of weights on both sides: "
    "against torchmetrics with the same Inception v3 of torch-fidelity. Weights are random, as time does not depend on "
    "them. For equal results torchmetrics resizes as TensorFlow 1 (antialias=False); its default gives another "
    "number, and `probe` has its time. It takes images in the faster of the batch sizes 8 and 32, by the probe. The "
    "ratios hold at `fid_images` of each kind only: torchmetrics' statistics of 2,048 features cost about the same for "
    "any number of images, ours less when images are fewer than features; `fid_extraction_vs_torchmetrics_ratio` is "
    "without the statistics. With a cached reference, ours finds the features of the real images in its cache, as a "
    "second evaluation does; torchmetrics keeps none between processes. Both sides compute the same convolutions, "
    "which are most of the time of either and bound what extraction can gain. Medians over rounds, in processor "
    "seconds.",
}


def features(name: str, count: int, dimensions: int) -> torch.Tensor:
    """Normal features of a low intrinsic dimension, not along the axes."""
    generator = generator_for("bench_metrics", name)
    values = torch.randn(count, dimensions, generator=generator).div_(torch.arange(1, dimensions + 1).sqrt())
    mixing = torch.randn(dimensions, dimensions, generator=generator_for("bench_metrics", "mixing"))
    return values @ torch.linalg.qr(mixing).Q


def multiply(queries: torch.Tensor, references: torch.Tensor, rows: int, columns: int) -> None:
    """All products in float32, block by block; nothing is kept of them."""
    buffer = torch.empty(rows * columns)
    for left in queries.split(rows):
        for right in references.split(columns):
            out = buffer[: len(left) * len(right)].view(len(left), len(right))
            torch.mm(left, right.T, out=out)


def processor_seconds(action: Callable[[], object]) -> float:
    """What an action takes of the processor, whatever else runs beside it."""
    started = time.process_time()
    action()
    return time.process_time() - started


def fastest_blocks(queries: torch.Tensor, references: torch.Tensor) -> tuple[int, int]:
    """Rows and columns of the blocks in which a part of the product is fastest."""
    some, others = queries[: max(BLOCKS)], references[: 4 * max(BLOCKS)]
    choices = list(itertools.product(BLOCKS, BLOCKS))
    seconds: dict[tuple[int, int], list[float]] = {choice: [] for choice in choices}
    for _ in range(3):
        for choice in choices:
            seconds[choice].append(processor_seconds(functools.partial(multiply, some, others, *choice)))
    return min(choices, key=lambda choice: min(seconds[choice]))


def resident() -> int:
    """Bytes of memory in use."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def peak() -> int:
    """The most bytes of memory that were ever in use."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure_neighbours(count: int, dimensions: int, rounds: int) -> tuple[dict[str, float], dict[str, Any]]:
    """Figures and runs of part `neighbours`."""
    real, generated = features("real", count, dimensions), features("generated", count, dimensions)
    blocks = fastest_blocks(real, generated)
    actions: dict[str, Callable[[], object]] = {
        "matmul": functools.partial(multiply, real, generated, *blocks),
        "knn": functools.partial(nearest, real, generated, NEIGHBOURS),
        "prdc": functools.partial(prdc, real, generated, neighbours=NEIGHBOURS),
    }
    before = resident()
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    memory: dict[str, float] = {}
    for _ in range(rounds):
        for name, action in actions.items():
            seconds[name].append(processor_seconds(action))
            memory.setdefault(name, round((peak() - before) / GIB, 3))
            print(f"{name}: {seconds[name][-1]:.1f} s", flush=True)
    figures = {
        "knn_images": count,
        "knn_dimensions": dimensions,
        "knn_vs_matmul_ratio": ratio(seconds["knn"], seconds["matmul"]),
        "prdc_vs_matmul_ratio": ratio(seconds["prdc"], [3 * each for each in seconds["matmul"]]),
        "knn_processor_seconds": round(statistics.median(seconds["knn"]), 1),
        "prdc_processor_seconds": round(statistics.median(seconds["prdc"]), 1),
        "knn_peak_gib": memory["knn"],
        "prdc_peak_gib": memory["prdc"],
    }
    runs = {"threads": torch.get_num_threads(), "matmul_blocks": blocks, "seconds": seconds, "peak_gib": memory}
    return figures, runs


def moment_products(sets: Sequence[torch.Tensor]) -> None:
    """The product of each set with itself, in blocks of as many rows as the distance takes."""
    for one in sets:
        products = one.new_zeros(one.shape[1], one.shape[1])
        for rows in one.split(ROWS):
            products.addmm_(rows.T, rows)


class Given(nn.Module):
    """Stands for a network where features are given."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """The features."""
        return features


def update(metric: FrechetInceptionDistance, sets: Sequence[torch.Tensor], batch_size: int) -> None:
    """Shows a metric real and generated features, or images."""
    for one, is_real in zip(sets, (True, False), strict=True):
        for batch in one.split(batch_size):
            metric.update(batch, real=is_real)


def statistics_by_torchmetrics(sets: Sequence[torch.Tensor]) -> float:
    """Torchmetrics' distance of two sets of features."""
    metric = FrechetInceptionDistance(feature=Given(sets[0].shape[1]))
    update(metric, sets, ROWS)
    return float(metric.compute())


def difference(ours: float, theirs: float) -> float:
    """Relative difference of two distances that have to agree."""
    found = abs(ours - theirs) / theirs
    if found > LARGEST_DIFFERENCE:
        raise SystemExit(f"the distances differ: {ours} and {theirs}")
    return found


def measure_frechet(rounds: int) -> tuple[dict[str, float], dict[str, Any]]:
    """Figures and runs of part `frechet`."""
    figures: dict[str, float] = {}
    runs: dict[str, Any] = {"threads": torch.get_num_threads()}
    for count, dimensions in ((50_000, 512), (5_000, 2048)):
        sets = [features("real", count, dimensions), 1.2 * features("generated", count, dimensions) + 0.02]
        in_float64 = [one.double() for one in sets]
        values: dict[str, float] = {}
        seconds: dict[str, list[float]] = {"matmul": [], "ours": [], "torchmetrics": []}
        for _ in range(rounds):
            started = time.process_time()
            moment_products(in_float64)
            products = time.process_time()
            values["ours"] = frechet_distance(*sets)
            ours = time.process_time()
            values["torchmetrics"] = statistics_by_torchmetrics(sets)
            ended = time.process_time()
            for name, taken in zip(seconds, (products - started, ours - products, ended - ours), strict=True):
                seconds[name].append(taken)
                print(f"{dimensions} {name}: {taken:.2f} s", flush=True)
        figures[f"fid_statistics_{dimensions}_vs_torchmetrics_ratio"] = ratio(seconds["torchmetrics"], seconds["ours"])
        figures[f"fid_statistics_{dimensions}_relative_difference"] = difference(values["ours"], values["torchmetrics"])
        if dimensions == 512:
            figures["fid_vs_matmul_ratio"] = ratio(seconds["ours"], seconds["matmul"])
        runs[str(dimensions)] = {"count": count, "seconds": seconds, "distances": values}
    return figures, runs


def random_weights(file: Path) -> None:
    """Writes weights in torch-fidelity's layout with which features depend on the images."""
    module = feature_extractor_inceptionv3
    with (
        patch.object(module, "load_state_dict_from_url", lambda *_, **__: {}),
        patch.object(module.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None),
    ):
        network = module.FeatureExtractorInceptionV3("any", ["2048"])
    generator = generator_for("bench_metrics", "weights")
    for value in network.parameters():
        drawn = torch.randn(value.shape, generator=generator)
        value.data = drawn * (2 / value[0].numel()) ** 0.5 if value.ndim > 1 else value + 0.1 * drawn
    torch.save(network.state_dict(), file)


def coloured_noise(name: str, count: int, brightness: float) -> torch.Tensor:
    """uint8 images whose colours and contrasts differ."""
    generator = generator_for("bench_metrics", name)
    colours = torch.rand(count, 3, 1, 1, generator=generator) * brightness
    return (torch.rand(count, 3, 32, 32, generator=generator) * colours * 255).byte()


def inception_metric(weights: Path, *, antialias: bool) -> FrechetInceptionDistance:
    """Torchmetrics' FID with the same weights."""
    return FrechetInceptionDistance(feature_extractor_weights_path=str(weights), antialias=antialias)


def probe(weights: Path, images: torch.Tensor) -> dict[str, dict[int, float]]:
    """Seconds that torchmetrics takes for the features of some images, by its way to resize and batch size."""
    seconds: dict[str, dict[int, float]] = {}
    for name, antialias in (("as TensorFlow", False), ("default", True)):
        network = inception_metric(weights, antialias=antialias).inception
        for size in BATCH_SIZES:
            started = time.process_time()
            for batch in images.split(size):
                network(batch)
            seconds.setdefault(name, {})[size] = time.process_time() - started
    return seconds


def measure_inception(count: int, rounds: int) -> tuple[dict[str, float], dict[str, Any]]:
    """Figures and runs of part `inception`."""
    sets = [coloured_noise("real images", count, 1.0), coloured_noise("generated images", count, 0.7)]
    seconds: dict[str, list[float]] = {}
    values: dict[str, float] = {}

    def timed(name: str, action: Callable[[], object]) -> None:
        seconds.setdefault(name, []).append(processor_seconds(action))
        print(f"{name}: {seconds[name][-1]:.2f} s", flush=True)

    def torchmetrics() -> None:
        metric = inception_metric(weights, antialias=False)
        update(metric, sets, batch_size)
        timed("torchmetrics_statistics", lambda: values.update(torchmetrics=float(metric.compute())))

    def ours(name: str, keys: tuple[str, str]) -> None:
        extractor = inception_extractor(weights, device="cpu")
        found = [extract(extractor, one, key=key) for one, key in zip(sets, keys, strict=True)]
        timed(f"{name}_statistics", lambda: values.update({name: frechet_distance(*found)}))

    with TemporaryDirectory() as folder, patch.dict(os.environ, SYNTHAUG_HOME=f"{folder}/cache"):
        weights = Path(folder) / "weights.pth"
        random_weights(weights)
        probed = probe(weights, sets[0][: max(BATCH_SIZES)])
        batch_size = min(BATCH_SIZES, key=lambda size: probed["as TensorFlow"][size])
        for number in range(rounds):
            real, generated = f"real {number}", f"generated {number}"
            timed("torchmetrics", torchmetrics)
            timed("ours", lambda keys=(real, generated): ours("ours", keys))
            timed("cached_reference", lambda keys=(real, f"new {generated}"): ours("cached_reference", keys))
    extraction = {
        name: [whole - part for whole, part in zip(seconds[name], seconds[f"{name}_statistics"], strict=True)]
        for name in ("torchmetrics", "ours")
    }
    figures = {
        "fid_images": count,
        "fid_vs_torchmetrics_ratio": ratio(seconds["torchmetrics"], seconds["ours"]),
        "fid_with_cached_reference_vs_torchmetrics_ratio": ratio(seconds["torchmetrics"], seconds["cached_reference"]),
        "fid_extraction_vs_torchmetrics_ratio": ratio(extraction["torchmetrics"], extraction["ours"]),
        "fid_extraction_images_per_second": rate(2 * count, extraction["ours"]),
        "fid_relative_difference": difference(values["ours"], values["torchmetrics"]),
    }
    runs = {"threads": torch.get_num_threads(), "torchmetrics_batch_size": batch_size, "probe": probed}
    return figures, {**runs, "seconds": seconds, "distances": values}


def merge_result(part: str, figures: Mapping[str, float], runs: Mapping[str, Any]) -> None:
    """Writes the figures of a part beside those of the other parts."""
    file = RESULTS / f"{NAME}.json"
    known = json.loads(file.read_text()) if file.exists() else {"figures": {}, "runs": {}}
    all_runs = known["runs"] | {part: {"environment": environment(), **runs}}
    method = " ".join(METHODS[name] for name in METHODS if name in all_runs)
    write_result(NAME, method, known["figures"] | figures, all_runs)


def main() -> None:
    """Measures one part and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    neighbours = parts.add_parser("neighbours", help="nearest neighbours against matrix products")
    neighbours.add_argument("--count", type=int, default=50_000)
    neighbours.add_argument("--dimensions", type=int, default=512)
    neighbours.add_argument("--rounds", type=int, default=3)
    neighbours.set_defaults(measure=lambda given: measure_neighbours(given.count, given.dimensions, given.rounds))
    frechet = parts.add_parser("frechet", help="Frechet distance of given features against torchmetrics")
    frechet.add_argument("--rounds", type=int, default=3)
    frechet.set_defaults(measure=lambda given: measure_frechet(given.rounds))
    inception = parts.add_parser("inception", help="FID of images against torchmetrics")
    inception.add_argument("--images", type=int, default=128)
    inception.add_argument("--rounds", type=int, default=2)
    inception.set_defaults(measure=lambda given: measure_inception(given.images, given.rounds))
    given = parser.parse_args()
    figures, runs = given.measure(given)
    merge_result(given.part, figures, runs)


if __name__ == "__main__":
    main()
