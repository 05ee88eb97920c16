"""Trains an ACGAN and exports its generator as a checkpoint folder."""

from __future__ import annotations

from pathlib import Path

import torch

from synthaug.core.errors import InputError
from synthaug.core.processes import launched_processes
from synthaug.core.seeding import derive_seed
from synthaug.generators.acgan.discriminators import build_discriminator
from synthaug.generators.acgan.generators import ACGANGenerator
from synthaug.generators.acgan.layers import without_spectral_norm
from synthaug.generators.acgan.pipeline import ACGANPipeline
from synthaug.generators.acgan.presets import build_generator
from synthaug.generators.acgan.settings import Choices, resolve
from synthaug.generators.acgan.task import ACGANTask
from synthaug.generators.acgan.watch import CollapseMonitor, StopWhenDiscriminatorWins
from synthaug.generators.base import TrainRequest
from synthaug.generators.training import Training, check_resumption

_LOOKS = 20


def train(request: TrainRequest) -> Path:
    """Trains and writes a checkpoint folder; see `synthaug.generators.training`.

    Raises:
        InputError: For impossible settings, or a state to resume from that was made with others.
        DamageError: If that state cannot be read.
        TrainingError: If a loss is no longer a number, or the discriminator has won.
    """
    choices = check(request)
    stop = StopWhenDiscriminatorWins()
    training = Training(
        request,
        choices,
        lambda: make_task(request, choices),
        save_networks,
        callbacks=(stop, CollapseMonitor(request.images, max(1, choices.images // _LOOKS))),
        is_sound=stop.is_sound,
    )
    return training.run()


def check(request: TrainRequest) -> Choices:
    """Resolves a request.

    Raises:
        InputError: For anything that `train` would refuse.
        DamageError: If the settings of the state to resume from cannot be read.
    """
    choices = resolve(request)
    if launched_processes() != (1, 1):
        raise InputError("an ACGAN trains in one process; start it without torchrun")
    check_resumption(request, choices)
    return choices


def make_task(request: TrainRequest, choices: Choices) -> ACGANTask:
    """New networks with their training."""
    images, preset = request.images, choices.preset
    shape = {"image_size": images.image_size, "channels": images.channels, "classes": len(images.class_names)}
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive_seed("initialise", request.seed))
        network = build_generator(preset, **shape)
        discriminator = build_discriminator(preset, **shape)
    return ACGANTask(
        network,
        discriminator,
        images,
        preset,
        allows_flip=request.allows_flip,
        seed=request.seed,
        runtime=request.runtime,
    )


def save_networks(task: ACGANTask, folder: Path) -> None:
    """Writes the generator in diffusers' layout, with plain weights."""
    network = task.kept_network()
    without_spectral_norm(network)
    plain = ACGANGenerator(**{**network.config, "is_spectral": False})
    plain.load_state_dict(network.state_dict())
    ACGANPipeline(plain.to(memory_format=torch.contiguous_format)).save_pretrained(folder, safe_serialization=True)
