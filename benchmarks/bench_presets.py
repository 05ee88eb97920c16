"""The table of DDPM presets: parameters, multiply-accumulates, and images per second of training and sampling.

    python benchmarks/bench_presets.py [--rounds 3]

All presets run in turn. Writes results/bench_presets.json.
"""

from __future__ import annotations

import argparse
import functools

import torch
import torch.nn.functional as F
from harness import interleaved, rate, write_result
from torch.utils.flop_counter import FlopCounterMode

from synthaug.core.runtime import Runtime
from synthaug.core.seeding import SampleNoise
from synthaug.generators.ddpm.network import PRESETS, Preset, build_network
from synthaug.generators.ddpm.process import EDMProcess
from synthaug.generators.ddpm.sampler import DEFAULT_SETTINGS, sample_images


def shape_for(name: str) -> tuple[int, int, int]:
    """Images the preset is meant for: grey digits, else 32x32 RGB."""
    return (1, 8, 8) if name == "digits" else (3, 32, 32)


def gmacs(preset: Preset, shape: tuple[int, int, int]) -> float:
    """Billions of multiply-accumulates of one evaluation for one image."""
    network = build_network(preset, image_size=shape[1], channels=shape[0], classes=10).eval()
    images = F.pixel_unshuffle(torch.zeros(1, *shape), preset.patch)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(images, torch.zeros(1), class_labels=torch.zeros(1, dtype=torch.int64))
    return counter.get_total_flops() / 2e9


def main() -> None:
    """Measures and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=32)
    options = parser.parse_args()
    runtime, count = Runtime.resolve(), options.batch_size
    figures: dict[str, float] = {}
    training, sampling = {}, {}
    for name in PRESETS.names():
        preset, shape = PRESETS.get(name), shape_for(name)
        network = build_network(preset, image_size=shape[1], channels=shape[0], classes=10).to(runtime.device)
        figures[f"{name}_parameters"] = sum(weight.numel() for weight in network.parameters())
        figures[f"{name}_gmacs"] = round(gmacs(preset, shape), 3)
        figures[f"{name}_images"] = preset.images
        optimiser = torch.optim.AdamW(network.parameters(), fused=True)
        training[name] = functools.partial(step, network, optimiser, preset, shape, count, runtime)
        sampling[name] = functools.partial(sample, network, shape, count, runtime)
    for what, actions in (("training", training), ("sampling", sampling)):
        seconds = interleaved(actions, options.rounds)
        for name, times in seconds.items():
            figures[f"{name}_{what}_images_per_second"] = rate(count, times)
    write_result(
        "bench_presets",
        f"Batches of {count} in {runtime.precision}, not compiled, all presets in turn, {options.rounds} rounds. "
        f"digits: 8x8 grey; the others: 32x32 RGB. Sampling: {DEFAULT_SETTINGS.sampler}, {DEFAULT_SETTINGS.steps} "
        "evaluations, unguided.",
        figures,
        {},
    )


def step(
    network: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
    preset: Preset,
    shape: tuple[int, int, int],
    count: int,
    runtime: Runtime,
) -> None:
    """One optimiser step on random images."""
    images = F.pixel_unshuffle(torch.randn(count, *shape, device=runtime.device), preset.patch)
    labels = torch.arange(count, device=runtime.device) % 10
    with runtime.autocast():
        output = network(images, torch.rand(count, device=runtime.device), class_labels=labels).sample
    (output.float() - images).square().mean().backward()
    optimiser.step()
    optimiser.zero_grad()
    if runtime.device == "cuda":
        torch.cuda.synchronize()


def sample(network: torch.nn.Module, shape: tuple[int, int, int], count: int, runtime: Runtime) -> None:
    """One batch of samples."""
    samples = [(i % 10, i // 10) for i in range(count)]
    labels = torch.tensor([label for label, _ in samples])
    sample_images(network, EDMProcess(), labels, SampleNoise(0, samples, shape), DEFAULT_SETTINGS, runtime)


if __name__ == "__main__":
    main()
