"""Where the metrics of a training go."""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from synthaug.core.errors import InputError

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger, WandbLogger

LoggerName = Literal["auto", "csv", "tensorboard", "wandb"]


@contextlib.contextmanager
def loggers_in(out: Path, name: LoggerName) -> Iterator[list[Logger]]:
    """CSV always, and what is asked for; closed at the end, so that the next training gets a log of its own.

    Weights & Biases writes to disk only, without an account, if WANDB_MODE is `offline`.

    Args:
        out: Folder for `logs/`, `tensorboard/` and `wandb/`.
        name: What else; `auto` takes TensorBoard if it is installed.

    Raises:
        InputError: If the package of a logger that was asked for is not installed, or there is no account for it.
    """
    from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

    check_logger(name)
    loggers: list[Logger] = [CSVLogger(str(out), name="logs")]
    if name == "tensorboard" or (name == "auto" and _is_installed("tensorboard")):
        loggers.append(TensorBoardLogger(str(out), name="tensorboard"))
    if name != "wandb":
        yield loggers
        return
    opened = _wandb(out)
    try:
        yield [*loggers, opened]
    finally:
        opened.experiment.finish()


def check_logger(name: LoggerName) -> None:
    """Refuses a logger that cannot be used.

    Raises:
        InputError: If its package is not installed.
    """
    if name in ("tensorboard", "wandb") and not _is_installed(name):
        raise InputError(f"--logger {name} needs the package {name}, which is not installed: pip install {name}")


def _wandb(out: Path) -> WandbLogger:
    import wandb
    from lightning.pytorch.loggers import WandbLogger

    logger = WandbLogger(save_dir=str(out), project="synthaug", offline=os.environ.get("WANDB_MODE") == "offline")
    try:
        logger.experiment  # noqa: B018 - opens it
    except wandb.errors.UsageError as error:
        raise InputError(
            "--logger wandb needs an account (wandb login), or WANDB_MODE=offline to write to disk only; Weights & "
            f"Biases says: {error}"
        ) from error
    return logger


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
