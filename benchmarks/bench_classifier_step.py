"""Training steps of classifiers: what bf16 and channels-last are worth.

    python benchmarks/bench_classifier_step.py [--rounds 5]

Writes results/bench_classifier_step.json. All variants run interleaved in one process.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from harness import interleaved, rate, ratio, write_result

from synthaug.classifiers.networks import build_network as build_classifier
from synthaug.core.pixels import to_network

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


def main() -> None:
    """Measures and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    figures: dict[str, float] = {}
    runs: dict[str, object] = {}
    cases = {
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
    write_result(
        "bench_classifier_step",
        "Each variant takes the same optimiser steps on the same random batch, all variants once per round; ratios are "
        "medians over rounds. ResNet-20 with batches of 128 and ResNet-18 with batches of 64, at 32x32.",
        figures,
        runs,
    )


if __name__ == "__main__":
    main()
