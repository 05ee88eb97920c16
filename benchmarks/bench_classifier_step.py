"""Training steps and sampling: what bf16, channels-last and few-step solvers are worth.

    python benchmarks/bench_train_step.py [--rounds 5]

Writes results/bench_train_step.json. All variants run interleaved in one process.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from diffusers import DDPMPipeline, DDPMScheduler
from harness import interleaved, rate, ratio, write_result

from synthaug.classifiers.resnet import build_network as build_classifier
from synthaug.core.pixels import to_network
from synthaug.core.runtime import Runtime
from synthaug.core.seeding import SampleNoise
from synthaug.generators.base import SamplerSettings
from synthaug.generators.ddpm.diffusion import (
    SCHEDULER,
    TRAIN_TIMESTEPS,
    add_noise,
    cosine_alphas_cumprod,
    simple_loss,
)
from synthaug.generators.ddpm.network import PRESETS, build_network
from synthaug.generators.ddpm.sampler import sample_images

STEPS_PER_ROUND = 4
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
VARIANTS = {
    f"{precision}_{layout}": (precision, layout)
    for precision in ("fp32", "bf16")
    for layout in ("contiguous", "channels_last")
}


def training_step(
    network: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
    loss_of: Callable[[torch.nn.Module], torch.Tensor],
    precision: str,
    losses: list[float],
) -> None:
    """A few optimiser steps; the loss of each is kept."""
    for _ in range(STEPS_PER_ROUND):
        with torch.autocast(DEVICE, torch.bfloat16, enabled=precision == "bf16"):
            loss = loss_of(network)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        losses.append(float(loss.detach()))


def ddpm_variants(preset_name: str, image_size: int, channels: int) -> tuple[dict, dict[str, list[float]], int]:
    """Actions that take DDPM training steps, their losses, and images per action."""
    preset = PRESETS.get(preset_name)
    torch.manual_seed(0)
    images = torch.randn(preset.batch_size, channels, image_size, image_size).clamp(-1, 1)
    noise, labels = torch.randn_like(images), torch.randint(0, 10, (len(images),))
    timesteps = torch.randint(0, TRAIN_TIMESTEPS, (len(images),))
    noisy = add_noise(images, noise, timesteps, cosine_alphas_cumprod()).to(DEVICE)
    noise, labels, timesteps = noise.to(DEVICE), labels.to(DEVICE), timesteps.to(DEVICE)
    actions, losses = {}, {}
    for name, (precision, layout) in VARIANTS.items():
        torch.manual_seed(0)
        network = build_network(preset, image_size=image_size, channels=channels, classes=10)
        memory = torch.channels_last if layout == "channels_last" else torch.contiguous_format
        network = network.to(DEVICE, memory_format=memory)
        optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)
        losses[name] = []
        actions[name] = functools.partial(
            training_step,
            network,
            optimiser,
            lambda net: simple_loss(net(noisy, timesteps, class_labels=labels).sample, noise),
            precision,
            losses[name],
        )
    return actions, losses, preset.batch_size * STEPS_PER_ROUND


def classifier_variants(network_name: str, batch_size: int) -> tuple[dict, dict[str, list[float]], int]:
    """Actions that take classifier training steps at 32x32, their losses, and images per action."""
    torch.manual_seed(0)
    images = torch.randint(0, 256, (batch_size, 3, 32, 32), dtype=torch.uint8, device=DEVICE)
    labels = torch.arange(batch_size, device=DEVICE) % 10
    actions, losses = {}, {}
    for name, (precision, layout) in VARIANTS.items():
        memory = torch.channels_last if layout == "channels_last" else torch.contiguous_format
        network = build_classifier(network_name, channels=3, classes=10, seed=0).to(DEVICE, memory_format=memory)
        optimiser = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, nesterov=True)
        losses[name] = []
        actions[name] = functools.partial(
            training_step,
            network,
            optimiser,
            lambda net, memory=memory: F.cross_entropy(
                net(to_network(images).contiguous(memory_format=memory)).float(), labels
            ),
            precision,
            losses[name],
        )
    return actions, losses, batch_size * STEPS_PER_ROUND


def sampling_variants(count: int) -> dict[str, Callable[[], object]]:
    """Our default sampler, and diffusers' DDPMPipeline with 1000 steps, on the same 8x8 network and batch."""
    network = build_network(PRESETS.get("digits"), image_size=8, channels=1, classes=10)
    network = network.to(DEVICE).eval().requires_grad_(False)
    labels = torch.arange(count, device=DEVICE) % 10
    runtime, alphas = Runtime.resolve("auto"), cosine_alphas_cumprod()
    original = network.forward

    def ours() -> None:
        network.forward = original
        noise = SampleNoise(0, [(int(label), index) for index, label in enumerate(labels)], (1, 8, 8))
        settings = SamplerSettings("dpmpp", 20, 1.0)
        sample_images(network, SCHEDULER, alphas, labels, noise, settings, runtime)

    def stock() -> None:
        # The stock pipeline cannot pass labels; bound to the network, they make it the same computation.
        network.forward = functools.partial(original, class_labels=labels)
        pipeline = DDPMPipeline(network, DDPMScheduler(**SCHEDULER))
        pipeline.set_progress_bar_config(disable=True)
        pipeline(batch_size=count, num_inference_steps=TRAIN_TIMESTEPS, output_type="pt")

    return {"ours_20": ours, "ddpm_pipeline_1000": stock}


def main() -> None:
    """Measures and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    figures: dict[str, float] = {}
    runs: dict[str, object] = {}
    cases = {
        "ddpm_step": ddpm_variants("cpu", 32, 3),
        "ddpm_digits_step": ddpm_variants("digits", 8, 1),
        "classifier_step": classifier_variants("resnet20", 128),
        "resnet18_step": classifier_variants("resnet18", 64),
    }
    for case, (actions, losses, images) in cases.items():
        seconds = interleaved(actions, rounds)
        for variant, times in seconds.items():
            figures[f"{case}_{variant}_images_per_second"] = rate(images, times)
        base = seconds["fp32_contiguous"]
        figures[f"{case}_bf16_vs_fp32_ratio"] = ratio(base, seconds["bf16_contiguous"])
        figures[f"{case}_bf16_channels_last_vs_fp32_ratio"] = ratio(base, seconds["bf16_channels_last"])
        figures[f"{case}_channels_last_vs_contiguous_bf16_ratio"] = ratio(
            seconds["bf16_contiguous"], seconds["bf16_channels_last"]
        )
        figures[f"{case}_last_loss_fp32"] = round(losses["fp32_contiguous"][-1], 5)
        figures[f"{case}_last_loss_bf16"] = round(losses["bf16_contiguous"][-1], 5)
        runs[case] = {"seconds": seconds, "losses": losses}
    count = 64
    seconds = interleaved(sampling_variants(count), max(1, rounds // 2))
    figures["sampling_vs_ddpm_pipeline_ratio"] = ratio(seconds["ddpm_pipeline_1000"], seconds["ours_20"])
    figures["sampling_images_per_second"] = rate(count, seconds["ours_20"])
    figures["ddpm_pipeline_images_per_second"] = rate(count, seconds["ddpm_pipeline_1000"])
    runs["sampling"] = {"seconds": seconds}
    write_result(
        "bench_train_step",
        "Each variant takes the same optimiser steps on the same random batch, all variants once per round; ratios are "
        "medians over rounds. DDPM: presets cpu (32x32, RGB) and digits (8x8, grey). Classifier: ResNet-20 batch 128 "
        "and ResNet-18 batch 64 at 32x32. Sampling: 20 steps of dpmpp in the default precision against diffusers' "
        "DDPMPipeline with 1000 steps in its default fp32, same digits network, batch of 64, whatever the quality.",
        figures,
        runs,
    )


if __name__ == "__main__":
    main()
