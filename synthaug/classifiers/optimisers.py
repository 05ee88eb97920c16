"""Optimisers and learning-rate schedules by name; torch's, and Muon."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.optim import lr_scheduler
from torch.optim.swa_utils import SWALR

from synthaug.classifiers.muon import Muon
from synthaug.classifiers.recipes import Recipe

#: Where averaging of weights begins, as a share of the steps.
SWA_START = 0.75


def make_optimiser(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimiser for all weights of a network, also those that are frozen at first."""
    parameters, rate, decay = network.parameters(), recipe.learning_rate, recipe.weight_decay
    match recipe.optimiser:
        case "sgd":
            momentum = 0.95 if recipe.schedule == "onecycle" else 0.9
            return torch.optim.SGD(parameters, lr=rate, momentum=momentum, nesterov=True, weight_decay=decay)
        case "adam":
            return torch.optim.Adam(parameters, lr=rate, weight_decay=decay)
        case "adamw":
            return torch.optim.AdamW(parameters, lr=rate, weight_decay=decay)
        case "muon":
            last = [parameter for name, parameter in network.named_parameters() if name.startswith("head.")]
            hidden = [parameter for name, parameter in network.named_parameters() if not name.startswith("head.")]
            groups: list[dict[str, Any]] = [{"params": hidden}, {"params": last, "is_hidden": False}]
            return Muon([group for group in groups if group["params"]], lr=rate, weight_decay=decay)


def make_schedule(optimiser: torch.optim.Optimizer, recipe: Recipe, steps: int) -> Any:
    """The recipe's schedule, to be moved after every one of `steps` steps.

    With `swa`, the rate goes to that value over a twentieth of the steps, from three quarters of them on.
    """
    schedule = _schedule(optimiser, recipe, steps)
    start = swa_start(steps)
    if not recipe.swa or start < 1:
        return schedule
    level = SWALR(optimiser, swa_lr=recipe.swa, anneal_epochs=max(1, steps // 20), anneal_strategy="linear")
    return lr_scheduler.SequentialLR(optimiser, [schedule, level], milestones=[start])


def swa_start(steps: int) -> int:
    """The step from which weights are averaged."""
    return int(SWA_START * steps)


def _schedule(optimiser: torch.optim.Optimizer, recipe: Recipe, steps: int) -> Any:
    match recipe.schedule:
        case "onecycle":
            # Smith and Topin 2018. Momentum (beta_1) goes from 0.95 to 0.85 while the rate rises, and back while it
            # falls. One step more than will be taken: its own last step would divide by zero when there is one step.
            return lr_scheduler.OneCycleLR(
                optimiser,
                recipe.learning_rate,
                total_steps=steps + 1,
                cycle_momentum=recipe.optimiser != "muon",
                base_momentum=0.85,
                max_momentum=0.95,
            )
        case "cosine":
            return lr_scheduler.CosineAnnealingLR(optimiser, T_max=steps)
        case "linear":
            return lr_scheduler.LinearLR(optimiser, start_factor=1.0, end_factor=0.0, total_iters=steps)
        case "step":
            return lr_scheduler.MultiStepLR(optimiser, milestones=[steps // 2, 3 * steps // 4])
        case "constant":
            return lr_scheduler.ConstantLR(optimiser, factor=1.0)
