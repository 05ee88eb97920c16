"""Sampling: quality against network evaluations for every sampler, and speed against other implementations.

    python benchmarks/bench_sampling.py [--model ddpm-digits --data digits --per-class-real 20] [--count 1000]
    python benchmarks/bench_sampling.py --part speed [--preset cpu] [--compile]

Part `quality` draws the same classes with every sampler and number of evaluations, and compares each set with real
images that the generator never saw, in the features of a classifier of real training images. The reference is
ancestral sampling with 1000 evaluations (Ho et al. 2020), drawn with several seeds to know the noise of the figures.

Part `speed` compares images per second on the U-Net of a preset at 32x32, untrained (speed does not depend on the
weights), interleaved in one process: the default sampler; diffusers with the same solver and evaluations; its
DDPMPipeline with 1000 evaluations; and denoising-diffusion-pytorch's sampler on the same network, if it is installed.
Each 1000-step chain is timed over a stretch of its steps.

Writes results/bench_sampling_quality_MODEL.json or results/bench_sampling_speed.json.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler
from harness import interleaved, rate, ratio, write_result

from synthaug.core.runtime import Runtime
from synthaug.core.seeding import SampleNoise
from synthaug.core.types import LabelledImages
from synthaug.generators.base import Generator, SamplerSettings, load_backend
from synthaug.generators.ddpm.network import PRESETS, Preset, build_network
from synthaug.generators.ddpm.process import DiscreteProcess
from synthaug.generators.ddpm.sampler import DEFAULT_SETTINGS, sample_images
from synthaug.generators.ddpm.solvers import SOLVERS
from synthaug.workflows.checkpoints import find_checkpoint
from synthaug.workflows.config import DataConfig
from synthaug.workflows.judge import Judge

EVALUATIONS = (5, 7, 10, 15, 20, 30, 50, 100, 250)
#: How much worse than the reference's mean a figure may be, in standard deviations of the reference between seeds.
WITHIN = 2.0


def draw(generator: Generator, settings: SamplerSettings, count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images of all classes in turn, and their labels."""
    classes = len(generator.spec.class_names)
    samples = [(i % classes, i // classes) for i in range(count)]
    parts = []
    for start in range(0, count, 250):
        some = samples[start : start + 250]
        labels = torch.tensor([label for label, _ in some])
        parts.append(generator.sample(labels, SampleNoise(seed, some, generator.spec.noise_shape), settings))
    return torch.cat(parts), torch.tensor([label for label, _ in samples])


def quality(options: argparse.Namespace) -> None:
    """Measures the curve and writes it."""
    data = DataConfig(
        data=options.data, fraction=options.fraction, per_class_real=options.per_class_real, image_size=None
    )
    splits = data.splits()
    runtime = Runtime.resolve()
    unseen = LabelledImages.of(
        torch.cat([splits.validation.images, splits.test.images]),
        torch.cat([splits.validation.labels, splits.test.labels]),
        splits.test.class_names,
        "validation and test images",
    )
    everything = DataConfig(data=options.data).splits()  # the judge may know more real images than the generator
    judge = Judge.trained(everything, runtime, reference=unseen, steps=options.judge_steps)
    found = find_checkpoint(options.model)
    generator = load_backend(found.card.model).load(found.folder, runtime)

    def measure(settings: SamplerSettings, seed: int = 0) -> dict[str, float]:
        return judge.figures(*draw(generator, settings, options.count, seed))

    seeds = range(1, options.reference_seeds + 1)
    reference = [measure(SamplerSettings("ddpm", 1000, 1.0), seed) for seed in seeds]
    real = judge.figures(everything.validation.images, everything.validation.labels)
    limits = {}
    for name in ("frechet", "recognised", "coverage"):
        values = [figures[name] for figures in reference]
        worse = 1 if name == "frechet" else -1
        limits[name] = statistics.mean(values) + worse * WITHIN * statistics.stdev(values)
    curve: dict[str, dict[int, dict[str, float]]] = {}
    for sampler in SOLVERS.names():
        curve[sampler] = {}
        for evaluations in EVALUATIONS:
            curve[sampler][evaluations] = measure(SamplerSettings(sampler, evaluations, 1.0))
            print(sampler, evaluations, {k: round(v, 3) for k, v in curve[sampler][evaluations].items()}, flush=True)

    def is_within(figures: dict[str, float]) -> bool:
        return (
            figures["frechet"] <= limits["frechet"]
            and figures["recognised"] >= limits["recognised"]
            and figures["coverage"] >= limits["coverage"]
        )

    figures: dict[str, float] = {
        "images_per_setting": options.count,
        "reference_frechet": round(statistics.mean(f["frechet"] for f in reference), 4),
        "reference_frechet_deviation": round(statistics.stdev(f["frechet"] for f in reference), 4),
        "reference_recognised": round(statistics.mean(f["recognised"] for f in reference), 4),
        "reference_coverage": round(statistics.mean(f["coverage"] for f in reference), 4),
        "judge_validation_accuracy": round(judge.validation_accuracy, 4),
    }
    for sampler, points in curve.items():
        enough = [n for i, n in enumerate(EVALUATIONS) if all(is_within(points[m]) for m in EVALUATIONS[i:])]
        figures[f"{sampler}_evaluations_within_noise"] = enough[0] if enough else -1
        for evaluations, values in points.items():
            figures[f"{sampler}_{evaluations}_frechet"] = round(values["frechet"], 4)
    write_result(
        f"bench_sampling_quality_{options.name or Path(options.model).name}",
        f"Checkpoint {options.model} ({found.card.settings['objective']}), {options.count} images of all classes per "
        f"setting, unguided, in {runtime.precision}, against {len(unseen)} {unseen.name} of {options.data}: Frechet "
        "distance, share recognised, coverage (k = 5) in the features of a ResNet-20 trained on real training images. "
        f"Reference: ddpm with 1000 evaluations, {options.reference_seeds} seeds. Within noise: all three figures no "
        f"worse than the reference's mean by more than {WITHIN:g} standard deviations between its seeds, there and "
        "with every larger number of evaluations measured; -1 where none is. The curve is one seed, not among the "
        "reference's, and the limit is one-sided.",
        figures,
        {"reference": reference, "curve": curve, "real_validation_images": real, "default": asdict(DEFAULT_SETTINGS)},
    )


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
    parser.add_argument("--count", type=int, default=None, help="images (quality: 1000 per setting, speed: 64)")
    parser.add_argument("--model", default="ddpm-digits")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--fraction", type=float, default=1.0)
    parser.add_argument("--per-class-real", type=int, default=None)
    parser.add_argument("--judge-steps", type=int, default=None)
    parser.add_argument("--reference-seeds", type=int, default=3)
    parser.add_argument("--name", default=None, help="end of the result's name; the model's if not given")
    parser.add_argument("--preset", default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--chain-steps", type=int, default=20)
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    options.count = options.count or (1000 if options.part == "quality" else 64)
    (quality if options.part == "quality" else speed)(options)


if __name__ == "__main__":
    main()
