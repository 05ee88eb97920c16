"""The ACGAN's training step, its sampling, and how it compares with the DDPM, each against what it could be.

    python benchmarks/bench_acgan.py [--part training|sampling] [--preset resnet] [--steps 10] [--rounds 5]

Everything of a part runs in turn, in one process, on 32x32 images of noise (speed does not depend on what they show):

- `train_vs_eager_ratio`: the training step of `synthaug train` (without what looks at samples now and then) against a
  plain loop in fp32, with the same networks, losses, numbers of steps and Adam, batches cut from a tensor of floats,
  and a weight average.
- `sample_vs_forward_ratio`: images per second of sampling (noise of each image's own seed, evaluation, uint8) as a
  share of those of the generator's evaluation alone.
- `acgan_vs_ddpm_images_per_second_ratio`: sampling with the defaults of both, by the presets named.

Writes results/bench_acgan_training_PRESET.json and results/bench_acgan_sampling.json.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from harness import interleaved, rate, ratio, write_result
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from synthaug.core.runtime import Runtime
from synthaug.core.seeding import SampleNoise
from synthaug.core.training import EndlessSteps, fit
from synthaug.core.types import LabelledImages
from synthaug.generators.acgan import presets, sampler
from synthaug.generators.acgan.discriminators import build_discriminator
from synthaug.generators.acgan.layers import MEMORY_FORMAT
from synthaug.generators.acgan.losses import discriminator_source_loss, generator_source_loss
from synthaug.generators.acgan.task import ACGANTask
from synthaug.generators.ddpm import network as ddpm
from synthaug.generators.ddpm.process import build_process
from synthaug.generators.ddpm.sampler import DEFAULT_SETTINGS, sample_images

CLASSES = 10
SHAPE = {"image_size": 32, "channels": 3, "classes": CLASSES}


def networks(preset: presets.Preset) -> tuple[Any, Any]:
    """A generator and its discriminator, with the same weights every time."""
    torch.manual_seed(0)
    return presets.build_generator(preset, **SHAPE), build_discriminator(preset, **SHAPE)


def ours(images: LabelledImages, preset: presets.Preset, runtime: Runtime, steps: int) -> list[float]:
    """Seconds of each step of the generator, of the training that `synthaug train` runs, without monitors and logs."""
    preset = replace(preset, images=steps * preset.images_per_step)
    task = ACGANTask(*networks(preset), images, preset, allows_flip=True, seed=0, runtime=runtime)
    times: list[float] = []

    def note(_: int) -> None:
        times.append(now(runtime))

    with tempfile.TemporaryDirectory() as scratch:
        endless = torch.utils.data.DataLoader(EndlessSteps(), batch_size=None)
        fit(task, endless, runtime=runtime, steps=steps, root=Path(scratch), on_step=note)
    return [later - earlier for earlier, later in itertools.pairwise(times)]


def eager(images: LabelledImages, preset: presets.Preset, runtime: Runtime, steps: int) -> list[float]:
    """The same of a loop as people write it: float32, contiguous, one statement after the other."""
    device = torch.device(runtime.device)
    generator, discriminator = (network.to(device).train() for network in networks(preset))
    average = AveragedModel(generator, multi_avg_fn=get_ema_multi_avg_fn(0.999))
    adams = [
        torch.optim.Adam(network.parameters(), lr=preset.learning_rate, betas=preset.betas)
        for network in (generator, discriminator)
    ]
    pixels, labels = images.images.to(device).float() / 127.5 - 1, images.labels.to(device)
    times = []

    def fake() -> tuple[torch.Tensor, torch.Tensor]:
        wanted = torch.randint(CLASSES, (preset.batch_size,), device=device)
        return generator(torch.randn(preset.batch_size, preset.latent, device=device), wanted), wanted

    @torch.no_grad()
    def fixed_fake() -> torch.Tensor:
        return fake()[0]

    for _ in range(steps):
        for _ in range(preset.discriminator_steps):
            chosen = torch.randint(len(labels), (preset.batch_size,), device=device)
            real = pixels[chosen]
            mirrored = torch.rand(preset.batch_size, 1, 1, 1, device=device) < 0.5
            of_real = discriminator(torch.where(mirrored, real.flip(3), real))
            of_fake = discriminator(fixed_fake())
            loss = discriminator_source_loss(discriminator.source_loss, of_real.source, of_fake.source)
            loss = loss + preset.class_weight * discriminator.class_loss(of_real, labels[chosen])
            adams[1].zero_grad()
            loss.backward()
            adams[1].step()
        made, wanted = fake()
        judged = discriminator(made)
        loss = generator_source_loss(discriminator.source_loss, judged.source)
        loss = loss + preset.class_weight * discriminator.class_loss(judged, wanted)
        adams[0].zero_grad()
        loss.backward()
        adams[0].step()
        average.update_parameters(generator)
        times.append(now(runtime))
    return [later - earlier for earlier, later in itertools.pairwise(times)]


def now(runtime: Runtime) -> float:
    """The time when all work so far is done."""
    if runtime.device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def training(options: argparse.Namespace, preset: presets.Preset, runtime: Runtime) -> dict[str, list[float]]:
    """Seconds of the median step of both loops, in each round."""
    random = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (5000, 3, 32, 32), dtype=torch.uint8, generator=random)
    names = tuple(str(label) for label in range(CLASSES))
    images = LabelledImages.of(pixels, torch.arange(len(pixels)) % CLASSES, names, "noise")
    seconds: dict[str, list[float]] = {"ours": [], "eager": []}
    for _ in range(options.rounds):
        for name, loop in (("ours", ours), ("eager", eager)):
            seconds[name].append(statistics.median(loop(images, preset, runtime, options.steps)))
    return seconds


@torch.no_grad()
def sampling(options: argparse.Namespace, preset: presets.Preset, runtime: Runtime) -> dict[str, list[float]]:
    """Seconds for `count` images: sampling, the generator's evaluation alone, and the DDPM's sampling of fewer."""
    network = networks(preset)[0].eval().requires_grad_(False).to(runtime.device, memory_format=MEMORY_FORMAT)
    labels = torch.arange(options.count) % CLASSES
    latents = torch.randn(options.count, preset.latent, device=runtime.device)
    samples = [(int(label), index) for index, label in enumerate(labels)]
    torch.manual_seed(0)
    unet = ddpm.build_network(ddpm.PRESETS.get(options.ddpm_preset), **SHAPE)
    unet = unet.eval().requires_grad_(False).to(runtime.device, memory_format=runtime.memory_format)
    process, few = build_process("edm", "cosine", None), options.ddpm_count

    def evaluate() -> None:
        with runtime.autocast():
            network(latents, labels.to(runtime.device))
        now(runtime)

    actions: dict[str, Callable[[], object]] = {
        "acgan": lambda: sampler.draw_images(
            network, labels, SampleNoise(0, samples, (preset.latent, 1, 1)), sampler.DEFAULT_SETTINGS, runtime
        ),
        "forward": evaluate,
        "ddpm": lambda: sample_images(
            unet, process, labels[:few], SampleNoise(0, samples[:few], (3, 32, 32)), DEFAULT_SETTINGS, runtime
        ),
    }
    return interleaved(actions, options.rounds)


def measure_training(options: argparse.Namespace, preset: presets.Preset, runtime: Runtime) -> None:
    """Measures both loops and writes the result."""
    steps = training(options, preset, runtime)
    write_result(
        f"bench_acgan_training_{options.preset}",
        f"Preset {options.preset}, 32x32 RGB, batches of {preset.batch_size}, {preset.discriminator_steps} "
        f"discriminator steps for each of the generator, {runtime.precision}; the eager loop in fp32. Medians of "
        f"{options.rounds} rounds in turn.",
        {
            "train_images_per_second": rate(preset.images_per_step, steps["ours"]),
            "eager_images_per_second": rate(preset.images_per_step, steps["eager"]),
            "train_vs_eager_ratio": ratio(steps["eager"], steps["ours"]),
        },
        {"step_seconds": steps},
    )


def measure_sampling(options: argparse.Namespace, preset: presets.Preset, runtime: Runtime) -> None:
    """Measures sampling by both models and writes the result."""
    drawing = sampling(options, preset, runtime)
    per_image = [seconds / options.ddpm_count for seconds in drawing["ddpm"]]
    write_result(
        "bench_acgan_sampling",
        f"Preset {options.preset}, 32x32 RGB, {runtime.precision}. Medians of {options.rounds} rounds in turn. Batches "
        f"of {options.count}; the DDPM of preset {options.ddpm_preset}, {DEFAULT_SETTINGS.sampler} with "
        f"{DEFAULT_SETTINGS.steps} evaluations, batches of {options.ddpm_count}.",
        {
            "acgan_images_per_second": rate(options.count, drawing["acgan"]),
            "forward_images_per_second": rate(options.count, drawing["forward"]),
            "ddpm_images_per_second": rate(options.ddpm_count, drawing["ddpm"]),
            "sample_vs_forward_ratio": ratio(drawing["forward"], drawing["acgan"]),
            "acgan_vs_ddpm_images_per_second_ratio": ratio(
                per_image, [seconds / options.count for seconds in drawing["acgan"]]
            ),
        },
        {"sampling_seconds": drawing},
    )


PARTS = {"training": measure_training, "sampling": measure_sampling}


def main() -> None:
    """Measures the parts asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=list(PARTS), help="both if not given")
    parser.add_argument("--preset", default="resnet")
    parser.add_argument("--ddpm-preset", default="cpu")
    parser.add_argument("--batch-size", type=int, default=None, help="the preset's if not given")
    parser.add_argument(
        "--steps", type=int, default=10, help="steps of the generator in a round; the first not counted"
    )
    parser.add_argument("--count", type=int, default=256, help="images of a batch that an ACGAN draws")
    parser.add_argument("--ddpm-count", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    runtime = Runtime.resolve()
    preset = presets.PRESETS.get(options.preset)
    preset = replace(preset, batch_size=options.batch_size or preset.batch_size)
    for name, measure in PARTS.items():
        if options.part in (None, name):
            measure(options, preset, runtime)


if __name__ == "__main__":
    main()
