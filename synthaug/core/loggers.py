"""Where the metrics of a training go."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from synthaug.core.errors import InputError

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger

LoggerName = Literal["auto", "csv", "tensorboard", "wandb"]


def loggers_in(out: Path, name: LoggerName) -> list[Logger]:
    """CSV always, and what is asked for.

    Weights & Biases writes to disk only, without an account, if WANDB_MODE is `offline`.

    Args:
        out: Folder for `logs/`, `tensorboard/` and `wandb/`.
        name: What else; `auto` takes TensorBoard if it is installed.

    Raises:
        InputError: If the package of a logger that was asked for is not installed.
    """
    from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger, WandbLogger

    is_installed = {package: importlib.util.find_spec(package) is not None for package in ("tensorboard", "wandb")}
    if not is_installed.get(name, True):
        raise InputError(f"--logger {name} needs the package {name}, which is not installed: pip install {name}")
    loggers: list[Logger] = [CSVLogger(str(out), name="logs")]
    if name == "tensorboard" or (name == "auto" and is_installed["tensorboard"]):
        loggers.append(TensorBoardLogger(str(out), name="tensorboard"))
    if name == "wandb":
        loggers.append(
            WandbLogger(save_dir=str(out), project="synthaug", offline=os.environ.get("WANDB_MODE") == "offline")
        )
    return loggers
