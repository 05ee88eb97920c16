"""Weights of networks that others trained, read from files that may be damaged or a stranger's."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load
from torch import Tensor

from synthaug.core.errors import InputError


@dataclass(frozen=True)
class WeightsSource:
    """Where weights come from.

    Attributes:
        flag: That names a file of them.
        needed: What they are, in words.
        url: Where the right ones are.
    """

    flag: str
    needed: str
    url: str

    def read(self, path: Path) -> Weights:
        """The weights of a file, from which nothing is run.

        Raises:
            InputError: If it cannot be read, is damaged, or holds more than weights.
        """
        try:
            data = path.read_bytes()
        except OSError as error:
            raise InputError(
                f"{self.flag} {path}: a file with weights of {self.needed} is needed, found none that can be read "
                f"({error.strerror}). The right one is {self.url}"
            ) from error
        try:
            values = (
                load(data)
                if path.suffix == ".safetensors"
                else torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
            )
        except Exception as error:  # what unpickling raises depends on the damage
            raise self.refusal(path, "it is damaged, or holds more than weights") from error
        if not isinstance(values, dict) or not all(
            isinstance(name, str) and torch.is_tensor(value) for name, value in values.items()
        ):
            raise self.refusal(path, "it holds something else than a state dict")
        return Weights(self, path, dict(values), hashlib.sha256(data).hexdigest())

    def refusal(self, path: Path, found: str) -> InputError:
        """The error for a file that holds something else."""
        return InputError(
            f"{self.flag} {path}: weights of {self.needed} are needed, but {found}. Delete it or name another file; "
            f"the right one is {self.url}"
        )

    def out_of_reach(self, error: Exception) -> InputError:
        """The error for a download that failed."""
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        return InputError(
            f"weights of {self.needed} are needed, but {self.url} could not be downloaded: {reason}. Download it "
            f"elsewhere and name the file: {self.flag} FILE"
        )


@dataclass(frozen=True)
class Weights:
    """What a file of weights holds.

    Attributes:
        source: Where the right ones come from.
        path: The file.
        values: The weights by name.
        sha256: Of the file.
    """

    source: WeightsSource
    path: Path
    values: dict[str, Tensor]
    sha256: str

    @contextlib.contextmanager
    def misfits_refused(self) -> Iterator[None]:
        """Lets the weights be put into a network.

        Raises:
            InputError: If they are those of another one.
        """
        try:
            yield
        except Exception as error:  # foreign names and shapes lead the libraries astray in many ways
            raise self.source.refusal(self.path, "it holds those of another network") from error


def import_library(module: str, package: str, extra: str) -> Any:
    """A library that not everybody has installed.

    Raises:
        InputError: Saying how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f"{extra} features need {package}, which cannot be imported ({error}): pip install 'synthaug[{extra}]'"
        ) from error
