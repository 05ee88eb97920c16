"""Which form of U-Net learns most in equal time: width, depth, attention, patches.

    python benchmarks/bench_networks.py --images CIFAR_FOLDER [--seconds 300] [--preset base] [--state FOLDER]

Each form trains with the same objective, batch size and rate on as many images as it can be shown in the given seconds,
by a speed measured with all forms in turn; then it is judged on held-out images. Finished forms are kept in the state
folder. Writes results/bench_networks_PRESET.json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from bench_presets import gmacs
from harness import interleaved, rate, write_result

from synthaug.core.console import progress
from synthaug.core.pixels import encode_png, grid, to_network
from synthaug.core.runtime import Runtime
from synthaug.core.seeding import SampleNoise
from synthaug.core.training import EndlessSteps, fit
from synthaug.core.types import LabelledImages
from synthaug.data.sources import load_source
from synthaug.data.splits import make_splits
from synthaug.generators.ddpm.network import PRESETS, Preset, build_network
from synthaug.generators.ddpm.objective import network_input, training_target
from synthaug.generators.ddpm.process import Process, build_process
from synthaug.generators.ddpm.sampler import DEFAULT_SETTINGS, sample_images
from synthaug.generators.ddpm.task import DDPMTask
from synthaug.workflows.judge import Judge

CPU, BASE = (replace(PRESETS.get(name), dropout=0.0) for name in ("cpu", "base"))
#: The forms that were tried for a preset, by what distinguishes them.
FORMS = {
    "cpu": {
        "4 levels, no patches": replace(CPU, patch=1, widths=(32, 64, 128, 128), attention=1),
        "patches of 2": replace(CPU, patch=2, widths=(64, 128, 128), attention=1),
        "patches of 2, no attention": replace(CPU, patch=2, widths=(64, 128, 128), attention=0),
        "patches of 2, wide": replace(CPU, patch=2, widths=(64, 128, 256), attention=1),
        "patches of 2, 2 levels": replace(CPU, patch=2, widths=(64, 128), attention=1),
        "patches of 2, 2 levels, no attention": replace(CPU, patch=2, widths=(64, 128), attention=0),
        "patches of 2, deep": replace(CPU, patch=2, widths=(64, 128, 128), layers=2, attention=1),
        "patches of 4": replace(CPU, patch=4, widths=(128, 128), layers=2, attention=1),
    },
    "base": {
        "attention at 8x8": BASE,
        "attention at 16x16 and 8x8": replace(BASE, attention=2),
        "wide": replace(BASE, widths=(128, 256, 256)),
        "deep": replace(BASE, widths=(96, 192, 256), layers=3),
        "patches of 2": replace(BASE, patch=2, widths=(192, 384)),
    },
}


def new_network(form: Preset) -> Any:
    """The same initial weights every time."""
    torch.manual_seed(0)
    return build_network(form, image_size=32, channels=3, classes=10)


def train(
    form: Preset, process: Process, images: LabelledImages, count: int, runtime: Runtime
) -> tuple[DDPMTask, float]:
    """A training on `count` images; the task and its seconds."""
    preset = replace(form, images=max(count, form.batch_size))
    task = DDPMTask(
        new_network(form), process, images, preset, allows_flip=True, label_dropout=0.1, seed=0, runtime=runtime
    )
    loader = torch.utils.data.DataLoader(EndlessSteps(), batch_size=None)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch, progress("training", task.steps) as advance:
        fit(task, loader, runtime=runtime, steps=task.steps, root=Path(scratch), on_step=advance)
    return task, time.perf_counter() - started


@torch.no_grad()
def held_out_loss(task: DDPMTask, images: LabelledImages, patch: int) -> float:
    """The training loss of the averaged weights, with the same noise and levels for all forms of one patch size."""
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randperm(len(images), generator=generator)[:1024]
    losses = []
    network, process = task.average.to("cpu"), task.process
    for number, block in enumerate(chosen.split(128)):
        clean = to_network(images.images[block])
        noise = torch.randn(clean.shape, generator=generator)
        quantiles = (torch.arange(len(block)) + (number + 0.5) / 8) / len(block)
        sigmas, times = process.training_levels(quantiles)
        clean, noise = F.pixel_unshuffle(clean, patch), F.pixel_unshuffle(noise, patch)
        inputs = network_input(process, clean + sigmas.view(-1, 1, 1, 1) * noise, sigmas)
        output = network(inputs, times, class_labels=images.labels[block]).sample
        losses.append((output - training_target(process, clean, noise, sigmas)).square().mean())
    return float(torch.stack(losses).mean())


def samples(task: DDPMTask, count: int, runtime: Runtime) -> tuple[torch.Tensor, torch.Tensor]:
    """Images of all classes in turn, and their labels."""
    task.average.to(runtime.device)
    wanted = [(i % 10, i // 10) for i in range(count)]
    parts = []
    for start in range(0, count, 100):
        some = wanted[start : start + 100]
        labels = torch.tensor([label for label, _ in some])
        noise = SampleNoise(0, some, (3, 32, 32))
        parts.append(sample_images(task.average, task.process, labels, noise, DEFAULT_SETTINGS, runtime))
    return torch.cat(parts), torch.tensor([label for label, _ in wanted])


def main() -> None:
    """Measures what is missing and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", required=True, help="image folder of 32x32 images in 10 classes, train/ and test/")
    parser.add_argument("--preset", choices=tuple(FORMS), default="cpu")
    parser.add_argument("--name", default="CIFAR-10 (JPEG q75)")
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--objective", default="edm")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--judge-steps", type=int, default=3000)
    parser.add_argument("--only", default=None, help="forms to measure, with semicolons; all if not given")
    parser.add_argument("--state", type=Path, default=Path("runs/bench_networks"))
    options = parser.parse_args()
    runtime, process = Runtime.resolve(), build_process(options.objective, "cosine", None)
    splits = make_splits(load_source(f"imagefolder:{options.images}"))
    options.state.mkdir(parents=True, exist_ok=True)
    forms = FORMS[options.preset]
    chosen = forms if options.only is None else {name: forms[name] for name in options.only.split(";")}
    kept = options.state / "rates.json"
    if not kept.exists():
        kept.write_text(json.dumps(training_rates(chosen, process, splits.train, runtime)))
    rates = json.loads(kept.read_text())
    judge = None
    for name, form in chosen.items():
        file = options.state / f"{name.replace(' ', '_')}.json"
        if file.exists():
            continue
        count = int(rates[name] * options.seconds)
        task, seconds = train(form, process, splits.train, count, runtime)
        judge = judge or Judge.trained(splits, runtime, steps=options.judge_steps)
        images, labels = samples(task, options.count, runtime)
        row = {
            "form": {
                key: value for key, value in asdict(form).items() if key in ("patch", "widths", "layers", "attention")
            },
            "parameters": sum(weight.numel() for weight in task.network.parameters()),
            "gmacs": round(gmacs(form, (3, 32, 32)), 4),
            "images_per_second": rates[name],
            "images_seen": task.images_seen(),
            "seconds": round(seconds, 1),
            "loss": round(held_out_loss(task, splits.validation, form.patch), 5),
            **{key: round(value, 4) for key, value in judge.figures(images, labels).items()},
            "judge_validation_accuracy": round(judge.validation_accuracy, 4),
        }
        print(name, row, flush=True)
        file.write_text(json.dumps(row))
        file.with_suffix(".png").write_bytes(encode_png(grid(images[:80], 10, scale=2)))
    write(options, runtime)


def training_rates(
    forms: dict[str, Preset], process: Process, images: LabelledImages, runtime: Runtime
) -> dict[str, float]:
    """Images per second of each form's training, all forms in turn."""
    count = 6 * CPU.batch_size
    actions = {name: lambda form=form: train(form, process, images, count, runtime) for name, form in forms.items()}
    return {name: rate(count, seconds) for name, seconds in interleaved(actions, 3).items()}


def write(options: argparse.Namespace, runtime: Runtime) -> None:
    """The result of all forms measured so far."""
    rows = {}
    for name in FORMS[options.preset]:
        file = options.state / f"{name.replace(' ', '_')}.json"
        if file.exists():
            rows[name] = json.loads(file.read_text())
    preset = PRESETS.get(options.preset)
    figures = {
        f"{name.replace(', ', '_').replace(' ', '_')}_{key}": row[key]
        for name, row in rows.items()
        for key in ("parameters", "gmacs", "images_per_second", "images_seen", "loss", "frechet", "recognised")
    }
    write_result(
        f"bench_networks_{options.preset}",
        f"{options.name}, 45,000 training images, {options.objective} objective, batches of {preset.batch_size}, peak "
        f"rate {preset.learning_rate}, {runtime.precision}; each form trained for the images it can be shown in "
        f"{options.seconds:.0f} s at the speed measured with all forms in turn. Loss: of the averaged weights on 1024 "
        f"validation images. Frechet distance and share recognised: {options.count} unguided samples "
        f"({DEFAULT_SETTINGS.sampler}, {DEFAULT_SETTINGS.steps} evaluations) against the validation images, in the "
        "features of a ResNet-20 trained on the training images.",
        figures,
        rows,
    )


if __name__ == "__main__":
    main()
