"""Training a DDPM here and elsewhere: images per second, and the loss reached in equal time, with the same network.

    python benchmarks/bench_training.py --images CIFAR_FOLDER [--preset cpu] [--rounds 3] [--seconds 150]

Three loops train the same diffusers U-Net of one preset, from the same weights, on the same 32x32 images with the same
objective (epsilon, linear schedule), batch size and peak learning rate, one after the other in every round:

- synthaug's `train`: images resident as uint8, the default precision of this machine.
- the loop of diffusers' examples/unconditional_image_generation/train_unconditional.py: accelerate,
  a DataLoader that decodes and transforms each file, AdamW, EMAModel, gradient clipping, no mixed precision, as it does
  by default; 50 warm-up steps instead of 500, because the comparison is short.
- the Trainer of denoising-diffusion-pytorch with its defaults, and the network behind an adapter.

The second needs nothing more; the third `pip install denoising-diffusion-pytorch`, best in an environment of its own.
Writes results/bench_training.json.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from diffusers import DDPMScheduler
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel
from harness import rate, ratio, write_result
from torchvision import datasets, transforms

from synthaug.core.pixels import to_network
from synthaug.core.runtime import Runtime
from synthaug.core.training import EndlessSteps, fit
from synthaug.core.types import LabelledImages
from synthaug.data.sources import load_source
from synthaug.generators.ddpm.network import PRESETS, Preset, build_network
from synthaug.generators.ddpm.process import DiscreteProcess
from synthaug.generators.ddpm.task import DDPMTask

PROCESS = DiscreteProcess("epsilon", "linear")
#: Runs optimiser steps until the function says stop; returns seconds of each step and the averaged network.
Loop = Callable[[Callable[[int, float], bool]], tuple[list[float], Any]]


class _Stopwatch:
    """Seconds of each step; the first is not counted."""

    def __init__(self, is_done: Callable[[int, float], bool]) -> None:
        self.seconds: list[float] = []
        self._is_done = is_done
        self._last: float | None = None
        self._started = time.perf_counter()
        self._steps = 0

    def step(self) -> bool:
        """Notes a step; whether it was the last."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter()
        if self._last is not None:
            self.seconds.append(now - self._last)
        self._last = now
        self._steps += 1
        return self._is_done(self._steps, now - self._started)


def ours(images: LabelledImages, preset: Preset, network: Any, runtime: Runtime, steps: int) -> Loop:
    """The training of synthaug, through the same Lightning loop that `synthaug train` uses."""

    def run(is_done: Callable[[int, float], bool]) -> tuple[list[float], Any]:
        task = DDPMTask(
            copy.deepcopy(network),
            PROCESS,
            images,
            replace(preset, images=steps * preset.batch_size),
            allows_flip=True,
            label_dropout=0.0,
            seed=0,
            runtime=runtime,
        )
        watch = _Stopwatch(is_done)

        def on_step(_: int) -> None:
            if watch.step():
                task.trainer.should_stop = True

        with tempfile.TemporaryDirectory() as scratch:
            endless = torch.utils.data.DataLoader(EndlessSteps(), batch_size=None)
            fit(task, endless, runtime=runtime, steps=steps, root=Path(scratch), on_step=on_step)
        return watch.seconds, task.average

    return run


def diffusers_loop(folder: Path, preset: Preset, network: Any) -> Loop:
    """The steps of train_unconditional.py with its defaults, but for batch size, rate, 50 warm-up steps, and labels."""

    def run(is_done: Callable[[int, float], bool]) -> tuple[list[float], Any]:
        torch.manual_seed(0)
        augmentations = transforms.Compose(
            [
                transforms.Resize(32, interpolation=transforms.InterpolationMode.BILINEAR),
                transforms.CenterCrop(32),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize([0.5], [0.5]),
            ]
        )
        loader = torch.utils.data.DataLoader(
            datasets.ImageFolder(str(folder), augmentations), batch_size=preset.batch_size, shuffle=True, num_workers=0
        )
        accelerator = Accelerator(mixed_precision="no", cpu=not torch.cuda.is_available())
        model = copy.deepcopy(network)
        average = EMAModel(
            model.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=3 / 4, model_cls=type(model)
        )
        optimiser = torch.optim.AdamW(
            model.parameters(), lr=preset.learning_rate, betas=(0.95, 0.999), weight_decay=1e-6, eps=1e-8
        )
        schedule = get_scheduler("cosine", optimizer=optimiser, num_warmup_steps=50, num_training_steps=10**6)
        model, optimiser, loader, schedule = accelerator.prepare(model, optimiser, loader, schedule)
        average.to(accelerator.device)
        noise_scheduler = DDPMScheduler(num_train_timesteps=1000, beta_schedule="linear", prediction_type="epsilon")
        watch = _Stopwatch(is_done)
        model.train()
        while True:
            for batch, labels in loader:
                clean = F.pixel_unshuffle(batch, preset.patch)
                noise = torch.randn(clean.shape, device=clean.device)
                timesteps = torch.randint(0, 1000, (len(clean),), device=clean.device).long()
                noisy = noise_scheduler.add_noise(clean, noise, timesteps)
                with accelerator.accumulate(model):
                    loss = F.mse_loss(model(noisy, timesteps, class_labels=labels).sample.float(), noise.float())
                    accelerator.backward(loss)
                    if accelerator.sync_gradients:
                        accelerator.clip_grad_norm_(model.parameters(), 1.0)
                    optimiser.step()
                    schedule.step()
                    optimiser.zero_grad()
                average.step(model.parameters())
                loss.detach().item()  # its progress bar shows it
                if watch.step():
                    result = copy.deepcopy(accelerator.unwrap_model(model))
                    average.copy_to(result.parameters())
                    return watch.seconds, result

    return run


def lucidrains_loop(folder: Path, preset: Preset, network: Any) -> Loop:
    """denoising-diffusion-pytorch's own Trainer, with its defaults but for batch size and rate."""
    from denoising_diffusion_pytorch import GaussianDiffusion, Trainer

    class Adapter(torch.nn.Module):
        """The U-Net as that package's models look: no labels (all samples show class 0)."""

        channels = out_dim = 3
        self_condition = False

        def __init__(self) -> None:
            super().__init__()
            self.unet = copy.deepcopy(network)

        def forward(self, x: torch.Tensor, times: torch.Tensor, _: None = None) -> torch.Tensor:
            patch = preset.patch
            labels = torch.zeros(len(x), dtype=torch.int64, device=x.device)
            output = self.unet(F.pixel_unshuffle(x, patch), times, class_labels=labels).sample
            return F.pixel_shuffle(output, patch)

    def run(is_done: Callable[[int, float], bool]) -> tuple[list[float], Any]:
        torch.manual_seed(0)
        diffusion = GaussianDiffusion(
            Adapter(), image_size=32, timesteps=1000, objective="pred_noise", beta_schedule="linear"
        )
        with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stderr(io.StringIO()):
            trainer = Trainer(
                diffusion,
                str(folder),
                train_batch_size=preset.batch_size,
                train_lr=preset.learning_rate,
                train_num_steps=10**9,
                save_and_sample_every=10**9,
                calculate_fid=False,
                results_folder=scratch,
            )
            watch, update = _Stopwatch(is_done), trainer.ema.update

            def updated() -> None:
                update()
                if watch.step():
                    trainer.train_num_steps = trainer.step

            trainer.ema.update = updated
            trainer.train()
        return watch.seconds, trainer.ema.ema_model.model.unet

    return run


@torch.no_grad()
def held_out_loss(network: Any, images: torch.Tensor, labels: torch.Tensor, patch: int) -> float:
    """L_simple on held-out images, the same noise and timesteps for every network, in float32."""
    generator = torch.Generator().manual_seed(0)
    network = network.to("cpu").eval()
    losses = []
    for block, classes in zip(images.split(64), labels.split(64), strict=True):
        clean = to_network(block)
        noise = torch.randn(clean.shape, generator=generator)
        times = torch.randint(0, 1000, (len(clean),), generator=generator)
        sigmas = PROCESS.all_sigmas()[times].view(-1, 1, 1, 1)
        noisy = (clean + sigmas * noise) / (1 + sigmas.square()).sqrt()
        inputs, target = F.pixel_unshuffle(noisy, patch), F.pixel_unshuffle(noise, patch)
        losses.append((network(inputs, times, class_labels=classes).sample - target).square().mean())
    return float(torch.stack(losses).mean())


def main() -> None:
    """Measures and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--images", type=Path, required=True, help="folder with train/ and test/, one folder per class in each"
    )
    parser.add_argument("--preset", default="cpu")
    parser.add_argument("--batch-size", type=int, default=None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8, help="steps of each loop in each round")
    parser.add_argument("--seconds", type=float, default=150, help="time of each loop for the loss at equal time")
    parser.add_argument("--compile", action="store_true", help="compile the network in synthaug's loop")
    options = parser.parse_args()
    preset = PRESETS.get(options.preset)
    preset = replace(preset, dropout=0.0, batch_size=options.batch_size or preset.batch_size)
    runtime = Runtime.resolve(compiled=options.compile)
    source = load_source(f"imagefolder:{options.images}")
    images = source.train
    torch.manual_seed(0)
    network = build_network(preset, image_size=32, channels=3, classes=len(images.class_names))

    loops: dict[str, Callable[[int], Loop]] = {
        "synthaug": lambda steps: ours(images, preset, network, runtime, steps),
        "diffusers_loop": lambda _: diffusers_loop(options.images / "train", preset, network),
        "lucidrains": lambda _: lucidrains_loop(options.images / "train", preset, network),
    }
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(options.rounds):
        for name, loop in loops.items():
            times, _ = loop(options.steps + 2)(lambda step, _: step > options.steps + 1)
            seconds[name].append(statistics.median(times[1:]))
    figures: dict[str, float] = {}
    for name, times in seconds.items():
        figures[f"{name}_images_per_second"] = rate(preset.batch_size, times)
    for name in ("diffusers_loop", "lucidrains"):
        figures[f"vs_{name}_ratio"] = ratio(seconds[name], seconds["synthaug"])

    held_out = source.test if source.test is not None else source.train
    chosen = torch.randperm(len(held_out), generator=torch.Generator().manual_seed(1))[:512]
    losses = {}
    for name, loop in loops.items():
        # As many steps as synthaug's learning rate is to fall over; the clock stops every loop, whatever it counts.
        steps = int(options.seconds / statistics.median(seconds[name]))
        times, trained = loop(steps)(lambda _, spent: spent >= options.seconds)
        figures[f"{name}_seconds_for_loss"] = round(sum(times), 1)
        losses[name] = held_out_loss(trained, held_out.images[chosen], held_out.labels[chosen], preset.patch)
        figures[f"{name}_loss_at_time"] = round(losses[name], 5)
    figures["loss_at_time_diffusers_loop_ratio"] = round(losses["diffusers_loop"] / losses["synthaug"], 3)
    write_result("bench_training", method(options, preset, runtime), figures, {"seconds_per_step": seconds})


def method(options: argparse.Namespace, preset: Preset, runtime: Runtime) -> str:
    """What was done, in words."""
    return (
        f"Preset {options.preset} (no dropout), batches of {preset.batch_size}, 32x32 RGB, epsilon objective, linear "
        f"schedule, peak rate {preset.learning_rate}; {options.rounds} rounds of {options.steps} steps of each loop in "
        f"turn, median step. synthaug in {runtime.precision}{', compiled' if runtime.compiled else ''}; the others in "
        "their default, fp32. Loss at time: L_simple of the averaged weights on 512 held-out images, same noise for "
        f"all, after {options.seconds:.0f} seconds of each loop from the same weights. The lucidrains loop trains "
        "without labels, so its loss at time is not compared."
    )


if __name__ == "__main__":
    main()
