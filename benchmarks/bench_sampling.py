"""Sampling: quality against network evaluations for every sampler, and speed against other implementations.

    python benchmarks/bench_sampling.py [--model ddpm-digits --data digits --per-class-real 20] [--count 200]
    python benchmarks/bench_sampling.py --part speed [--preset cpu] [--compile]

Part `quality` draws the same classes with every sampler and number of evaluations, and compares each set with real
images that the generator never saw, in the features of a classifier of real training images. The reference is
ancestral sampling with 1000 evaluations (Ho et al. 2020); all are drawn with the same seeds, several, to know the noise
of the figures.

Part `speed` compares images per second on the U-Net of a preset at 32x32, untrained (speed does not depend on the
weights), interleaved in one process: the default sampler; diffusers with the same solver and evaluations; its
DDPMPipeline with 1000 evaluations; and denoising-diffusion-pytorch's sampler on the same network, if it is installed.
Each 1000-step chain is timed over a stretch of its steps.

Writes results/bench_sampling_quality_MODEL.json or results/bench_sampling_speed.json.
"""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler
from harness import draw, interleaved, rate, ratio, unseen_images, write_result

from synthaug.core.errors import InputError
from synthaug.core.runtime import Runtime
from synthaug.core.seeding import SampleNoise
from synthaug.generators.base import Generator, SamplerSettings, load_backend
from synthaug.generators.ddpm.network import PRESETS, Preset, build_network
from synthaug.generators.ddpm.process import DiscreteProcess
from synthaug.generators.ddpm.sampler import DEFAULT_SETTINGS, sample_images
from synthaug.generators.ddpm.solvers import SOLVERS
from synthaug.workflows.bench.statistics import estimate
from synthaug.workflows.checkpoints import find_checkpoint
from synthaug.workflows.config import DataConfig
from synthaug.workflows.judge import Judge

EVALUATIONS = (5, 7, 10, 15, 20, 30, 50, 100, 250, 1000)
REFERENCE = SamplerSettings("ddpm", 1000, 1.0)
#: Whether more of a figure is better (1) or worse (-1).
SIGNS = {"frechet": -1, "recognised": 1, "coverage": 1}


class Draws:
    """Figures of drawn images by sampler, evaluations and seed, kept in a file so that a stopped run continues."""

    def __init__(self, generator: Generator, judge: Judge, count: int, file: Path) -> None:
        self._generator, self._judge, self._count, self._file = generator, judge, count, file
        lines = file.read_text().splitlines() if file.exists() else []
        self._known = {tuple(key): figures for key, figures in map(json.loads, lines)}

    def figures(self, sampler: str, evaluations: int, seed: int) -> dict[str, float]:
        """What the judge says of one set."""
        key = (sampler, evaluations, self._count, seed)
        if key not in self._known:
            settings = SamplerSettings(sampler, evaluations, 1.0)
            self._known[key] = self._judge.figures(*draw(self._generator, settings, self._count, seed))
            with self._file.open("a") as file:
                file.write(json.dumps([key, self._known[key]]) + "\n")
            print(*key, {name: round(value, 3) for name, value in self._known[key].items()}, flush=True)
        return self._known[key]


def most_evaluations(generator: Generator, sampler: str) -> int:
    """The largest number of evaluations a sampler has; solvers do not visit the noisiest timesteps of a chain."""
    for steps in range(1000, 0, -1):
        with contextlib.suppress(InputError):
            generator.check_settings(SamplerSettings(sampler, steps, 1.0))
            return steps
    raise AssertionError


def quality(options: argparse.Namespace) -> None:
    """Measures the curve and writes it."""
    data = DataConfig(
        data=options.data, fraction=options.fraction, per_class_real=options.per_class_real, image_size=None
    )
    splits = data.splits()
    runtime = Runtime.resolve()
    unseen = unseen_images(splits)
    everything = DataConfig(data=options.data).splits()  # the judge may know more real images than the generator
    judge = Judge.trained(everything, runtime, reference=unseen, steps=options.judge_steps)
    found = find_checkpoint(options.model)
    generator = load_backend(found.card.model).load(found.folder, runtime)
    name = options.name or Path(options.model).name
    options.state.mkdir(parents=True, exist_ok=True)
    draws = Draws(generator, judge, options.count, options.state / f"{name}.jsonl")
    seeds = range(options.seeds)
    reference = [draws.figures(REFERENCE.sampler, REFERENCE.steps, seed) for seed in seeds]
    curve: dict[str, dict[int, dict[str, Any]]] = {}
    for sampler in options.samplers.split(","):
        most = min(most_evaluations(generator, sampler), options.most)
        points = sorted({min(evaluations, most) for evaluations in EVALUATIONS})
        curve[sampler] = {n: compared([draws.figures(sampler, n, seed) for seed in seeds], reference) for n in points}
    figures: dict[str, float] = {
        "seeds": options.seeds,
        "images_per_seed": options.count,
        "judge_validation_accuracy": round(judge.validation_accuracy, 4),
        **{f"reference_{key}": round(estimate([f[key] for f in reference]).mean, 4) for key in SIGNS},
    }
    for sampler, points in curve.items():
        enough = [n for n in points if all(points[m]["is_within_noise"] for m in points if m >= n)]
        figures[f"{sampler}_evaluations_within_noise"] = min(enough) if enough else -1
        for evaluations, point in points.items():
            figures[f"{sampler}_{evaluations}_frechet"] = round(point["mean"]["frechet"], 4)
    if point := curve.get(DEFAULT_SETTINGS.sampler, {}).get(DEFAULT_SETTINGS.steps):
        difference = point["better_by"]["frechet"]
        figures["default_frechet_better_by"] = round(difference["mean"], 4)
        figures["default_frechet_better_by_low"] = round(difference["low"], 4)
        figures["default_frechet_better_by_high"] = round(difference["high"], 4)
    write_result(
        f"bench_sampling_quality_{name}",
        f"Checkpoint {name} ({found.card.settings['objective']}), {options.seeds} seeds of {options.count} "
        f"images of all classes, unguided, in {runtime.precision}, each against {len(unseen)} {unseen.name} of "
        f"the same source: Frechet distance, share recognised, coverage (k = 5) in the features of a ResNet-20 trained "
        "on real training images; means over seeds. Reference: ddpm with 1000 evaluations, the same seeds. Within "
        "noise: the 95 % interval (Student's t) of the difference from the reference, paired by seed, does not show "
        "any of the three figures to be worse, there and with every larger number of evaluations measured; -1 where "
        "none is. The intervals are in runs.curve. A solver's largest number is that of its useful noise levels.",
        figures,
        {"reference": reference, "curve": curve, "default": asdict(DEFAULT_SETTINGS)},
    )


def compared(figures: list[dict[str, float]], reference: list[dict[str, float]]) -> dict[str, Any]:
    """Means of the figures, and their differences from the reference, above 0 where better."""
    better = {
        name: estimate([sign * (mine[name] - theirs[name]) for mine, theirs in zip(figures, reference, strict=True)])
        for name, sign in SIGNS.items()
    }
    return {
        "mean": {name: estimate([figure[name] for figure in figures]).mean for name in figures[0]},
        "better_by": {name: asdict(difference) for name, difference in better.items()},
        "is_within_noise": all(difference.high is not None and difference.high >= 0 for difference in better.values()),
    }


def speed(options: argparse.Namespace) -> None:
    """Measures the ratios and writes them."""
    count, chain = options.count, options.chain_steps
    runtime = Runtime.resolve()
    actions = speed_actions(PRESETS.get(options.preset), count, chain, runtime, compiles=options.compile)
    seconds = interleaved(actions, options.rounds)
    for name in ("ddpm_pipeline", "lucidrains"):  # from a stretch of the chain to all of it
        if name in seconds:
            seconds[name] = [time * 1000 / chain for time in seconds[name]]
    best = seconds["ours_compiled" if options.compile else "ours"]
    figures = {f"{name}_images_per_second": rate(count, times) for name, times in seconds.items()}
    for name in ("ddpm_pipeline", "diffusers_same_solver", "lucidrains"):
        if name in seconds:
            figures[f"vs_{name}_ratio"] = ratio(seconds[name], best)
    figures["vs_diffusers_same_solver_uncompiled_ratio"] = ratio(seconds["diffusers_same_solver"], seconds["ours"])
    steps = DEFAULT_SETTINGS.steps
    write_result(
        "bench_sampling_speed",
        f"U-Net of preset {options.preset}, 32x32 RGB, batches of {count}, {options.rounds} rounds in turn, medians. "
        f"ours: {DEFAULT_SETTINGS.sampler} with {steps} evaluations in {runtime.precision}"
        f"{' and torch.compile (compiling not counted)' if options.compile else ''}; the others in their default, "
        f"fp32. 1000-step chains are timed over their first {chain} steps and scaled. At equal quality: "
        "bench_sampling_quality_*.json compare the same number of evaluations with the 1000-step chain.",
        figures,
        {"seconds": seconds},
    )


def speed_actions(
    preset: Preset, count: int, chain: int, runtime: Runtime, *, compiles: bool
) -> dict[str, Callable[[], object]]:
    """What is compared: each action draws `count` images, or takes the first `chain` steps towards them."""
    device = runtime.device
    torch.manual_seed(0)
    network = build_network(preset, image_size=32, channels=3, classes=10).to(device).eval().requires_grad_(False)
    process, labels = DiscreteProcess("epsilon", "cosine"), torch.arange(count, device=device) % 10
    samples = [(int(label), index) for index, label in enumerate(labels)]

    def ours_with(model: Any) -> Callable[[], object]:
        return lambda: sample_images(
            model, process, labels, SampleNoise(0, samples, (3, 32, 32)), DEFAULT_SETTINGS, runtime
        )

    @torch.no_grad()
    def walk(scheduler: Any, steps: int, taken: int) -> torch.Tensor:
        """The body of DDPMPipeline.__call__, which cannot pass labels, with any scheduler."""
        x = F.pixel_unshuffle(torch.randn(count, 3, 32, 32, device=device), preset.patch)
        scheduler.set_timesteps(steps, device=device)
        for timestep in scheduler.timesteps[:taken]:
            x = scheduler.step(network(x, timestep, class_labels=labels).sample, timestep, x).prev_sample
        return ((F.pixel_shuffle(x, preset.patch) / 2 + 0.5).clamp(0, 1) * 255).round().byte().cpu()

    steps = DEFAULT_SETTINGS.steps
    ancestral = DDPMScheduler(num_train_timesteps=1000, beta_schedule="squaredcos_cap_v2")
    actions: dict[str, Callable[[], object]] = {
        "ours": ours_with(network),
        "diffusers_same_solver": lambda: walk(process.scheduler(), steps, steps),
        "ddpm_pipeline": lambda: walk(ancestral, 1000, chain),
    }
    if compiles:
        actions["ours_compiled"] = ours_with(torch.compile(network))
    if lucidrains := lucidrains_chain(network, preset.patch, labels, chain):
        actions["lucidrains"] = lucidrains
    return actions


def lucidrains_chain(network: Any, patch: int, labels: torch.Tensor, steps: int) -> Callable[[], object] | None:
    """The first steps of `GaussianDiffusion.p_sample_loop` on the same network; None if the package is missing."""
    try:
        from denoising_diffusion_pytorch import GaussianDiffusion
    except ImportError:
        return None

    class Adapter(torch.nn.Module):
        """The U-Net as that package's models look."""

        channels = out_dim = 3
        self_condition = False

        def __init__(self) -> None:
            super().__init__()
            self.unet = network

        def forward(self, x: torch.Tensor, times: torch.Tensor, _: None = None) -> torch.Tensor:
            output = self.unet(F.pixel_unshuffle(x, patch), times, class_labels=labels).sample
            return F.pixel_shuffle(output, patch)

    diffusion = GaussianDiffusion(
        Adapter(), image_size=32, timesteps=1000, objective="pred_noise", beta_schedule="cosine"
    ).to(labels.device)

    @torch.inference_mode()
    def run() -> None:
        x = torch.randn(len(labels), 3, 32, 32, device=labels.device)
        for time in range(999, 999 - steps, -1):
            x, _ = diffusion.p_sample(x, time, None)

    return run


def main() -> None:
    """Measures one part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("quality", "speed"), default="quality")
    parser.add_argument("--count", type=int, default=None, help="images (quality: 200 for each seed, speed: 64)")
    parser.add_argument("--model", default="ddpm-digits")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--fraction", type=float, default=1.0)
    parser.add_argument("--per-class-real", type=int, default=None)
    parser.add_argument("--judge-steps", type=int, default=None)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--samplers", default=",".join(SOLVERS.names()))
    parser.add_argument("--most", type=int, default=1000, help="most evaluations of the curve")
    parser.add_argument("--state", type=Path, default=Path("runs/bench_sampling"), help="what was measured before")
    parser.add_argument("--name", default=None, help="end of the result's name; the model's if not given")
    parser.add_argument("--preset", default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--chain-steps", type=int, default=20)
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    options.count = options.count or (200 if options.part == "quality" else 64)
    (quality if options.part == "quality" else speed)(options)


if __name__ == "__main__":
    main()
