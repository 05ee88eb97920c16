"""Trains a class-conditional DDPM and exports it as a checkpoint folder."""

from __future__ import annotations

from pathlib import Path

import torch

from synthaug.core.seeding import derive_seed
from synthaug.generators.base import TrainRequest
from synthaug.generators.ddpm.export import begin_from, save_networks
from synthaug.generators.ddpm.network import build_network
from synthaug.generators.ddpm.settings import Choices, resolve
from synthaug.generators.ddpm.task import DDPMTask
from synthaug.generators.training import Training, check_resumption
from synthaug.generators.watch import StopOnDivergence


def train(request: TrainRequest) -> Path:
    """Trains and writes a checkpoint folder that stock diffusers can load; see `synthaug.generators.training`.

    Raises:
        InputError: For impossible settings, or a state to resume from that was made with others.
        DamageError: If that state or the checkpoint to begin from cannot be read.
        TrainingError: If the loss is no longer a number, or has risen far above what it was.
    """
    choices = check(request)
    divergence = StopOnDivergence()
    training = Training(
        request,
        choices,
        lambda: make_task(request, choices),
        save_networks,
        callbacks=(divergence,),
        is_sound=divergence.is_sound,
    )
    return training.run()


def check(request: TrainRequest) -> Choices:
    """Resolves a request.

    Raises:
        InputError: For anything that `train` would refuse.
        DamageError: If the settings of the state to resume from cannot be read.
    """
    choices = resolve(request)
    check_resumption(request, choices)
    return choices


def make_task(request: TrainRequest, choices: Choices) -> DDPMTask:
    """The network, new or from a checkpoint, with its training.

    Raises:
        DamageError: If the checkpoint to begin from is damaged.
    """
    images = request.images
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive_seed("initialise", request.seed))
        network = build_network(
            choices.preset, image_size=images.image_size, channels=images.channels, classes=len(images.class_names)
        )
    if request.init is not None:
        begin_from(network, request.init, images.class_names)
    return DDPMTask(
        network,
        choices.process,
        images,
        choices.preset,
        allows_flip=request.allows_flip,
        label_dropout=choices.label_dropout,
        seed=request.seed,
        runtime=request.runtime,
    )
