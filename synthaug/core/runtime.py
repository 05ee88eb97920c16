"""Which device and precision to compute with, and what machine that is."""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from synthaug.core.errors import InputError
from synthaug.core.version import __version__

DeviceName = Literal["auto", "cpu", "cuda"]
PrecisionName = Literal["auto", "fp32", "bf16"]


@dataclass(frozen=True)
class Runtime:
    """A device and the number format of its matrix products; weights and sums stay float32.

    Attributes:
        device: "cpu" or "cuda".
        precision: "fp32" or "bf16".
        compiled: Whether networks go through `torch.compile`, which rounds differently.
        deterministic: Whether a training refuses operations whose result differs from time to time (on a GPU).
    """

    device: Literal["cpu", "cuda"]
    precision: Literal["fp32", "bf16"]
    compiled: bool = False
    deterministic: bool = False

    @classmethod
    def resolve(
        cls,
        device: DeviceName = "auto",
        precision: PrecisionName = "auto",
        *,
        compiled: bool = False,
        deterministic: bool = False,
    ) -> Runtime:
        """Chooses what "auto" leaves open: a GPU where there is one, bf16 where the hardware multiplies it.

        Raises:
            InputError: If "cuda" is asked for and there is none, or compilation without a C++ compiler.
        """
        has_cuda = torch.cuda.is_available()
        if device == "cuda" and not has_cuda:
            raise InputError("--device cuda needs a CUDA GPU and a driver; none was found. Use --device cpu.")
        chosen: Literal["cpu", "cuda"] = "cuda" if has_cuda and device != "cpu" else "cpu"
        if compiled and chosen == "cpu" and not any(map(shutil.which, (os.environ.get("CXX", "g++"), "clang++"))):
            raise InputError("--compile needs a C++ compiler (g++ or clang++) to be installed; none was found")
        if precision != "auto":
            return cls(chosen, precision, compiled, deterministic)
        return cls(chosen, "bf16" if _multiplies_bf16(chosen) else "fp32", compiled, deterministic)

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """Mixed precision for the block, or nothing for fp32."""
        if self.precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(self.device, torch.bfloat16)

    @property
    def memory_format(self) -> torch.memory_format:
        """The layout of images and weights in which a U-Net is fastest: channels-last on a GPU only."""
        return torch.channels_last if self.device == "cuda" else torch.contiguous_format

    @property
    def lightning_precision(self) -> Literal["bf16-mixed", "32-true"]:
        """The same choice in Lightning's words."""
        return "bf16-mixed" if self.precision == "bf16" else "32-true"

    @property
    def lightning_accelerator(self) -> Literal["gpu", "cpu"]:
        """The same choice in Lightning's words."""
        return "gpu" if self.device == "cuda" else "cpu"


def _multiplies_bf16(device: Literal["cpu", "cuda"]) -> bool:
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on every system
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def computing_threads(count: int | None) -> Iterator[None]:
    """Lets torch compute with so many threads, on which the rounding of sums depends; then as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def available_memory(device: torch.device | str = "cpu") -> int:
    """Bytes that a new array on this device can take without pushing others out, as far as can be known."""
    if torch.device(device).type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with contextlib.suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                available = 1024 * int(line.split()[1])
    with contextlib.suppress(OSError, ValueError):  # a container may have less than the machine
        limit, used = (int(Path(f"/sys/fs/cgroup/memory.{name}").read_text()) for name in ("max", "current"))
        available = min(available, limit - used)
    return max(0, available)


def hardware() -> str:
    """One line naming the GPU, or the processor with the vector instructions that torch uses and its threads."""
    if torch.cuda.is_available():
        return f"{torch.cuda.get_device_name()}, {os.cpu_count()} CPU cores"
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    instructions = torch.backends.cpu.get_cpu_capability()
    return f"{model} ({platform.machine()}, {instructions}), {torch.get_num_threads()} threads"


def environment() -> dict[str, str]:
    """Hardware, versions and date, to stand beside every measured number."""
    packages = ("torch", "torchvision", "diffusers", "lightning")
    versions = {name: importlib.metadata.version(name) for name in packages}
    return {
        "hardware": hardware(),
        "platform": platform.system(),
        "python": platform.python_version(),
        "synthaug": __version__,
        **versions,
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
    }
