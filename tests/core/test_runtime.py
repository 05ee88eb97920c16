import datetime
import importlib.metadata
import platform

import pytest
import torch

from synthaug.core import runtime
from synthaug.core.errors import InputError
from synthaug.core.runtime import Runtime, environment, hardware


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: not including_emulation)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Test GPU")


@pytest.mark.usefixtures("no_gpu")
def test_without_a_gpu_auto_means_the_cpu() -> None:
    assert Runtime.resolve().device == "cpu"
    assert Runtime.resolve().lightning_accelerator == "cpu"


@pytest.mark.usefixtures("no_gpu")
def test_asking_for_a_missing_gpu_is_refused_with_the_remedy() -> None:
    with pytest.raises(InputError, match=r"--device cuda needs .* none was found\. Use --device cpu"):
        Runtime.resolve("cuda")


@pytest.mark.usefixtures("gpu")
def test_with_a_gpu_auto_means_the_gpu_and_cpu_still_means_the_cpu() -> None:
    assert Runtime.resolve("auto", "auto") == Runtime("cuda", "bf16")
    assert Runtime.resolve("cuda").lightning_accelerator == "gpu"
    assert Runtime.resolve("cpu", "fp32") == Runtime("cpu", "fp32")


@pytest.mark.parametrize("multiplies", [True, False])
@pytest.mark.usefixtures("no_gpu")
def test_auto_precision_follows_the_hardware(monkeypatch: pytest.MonkeyPatch, multiplies: bool) -> None:
    monkeypatch.setattr(runtime, "_multiplies_bf16", lambda device: multiplies)
    assert Runtime.resolve("cpu").precision == ("bf16" if multiplies else "fp32")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.usefixtures("no_gpu")
def test_a_chosen_precision_is_kept(precision) -> None:
    assert Runtime.resolve("cpu", precision) == Runtime("cpu", precision)


@pytest.mark.usefixtures("no_gpu")
def test_compiling_on_a_cpu_needs_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime.shutil, "which", lambda name: "/usr/bin/g++" if name == "g++" else None)
    monkeypatch.delenv("CXX", raising=False)
    assert Runtime.resolve("cpu", "fp32", compiled=True) == Runtime("cpu", "fp32", compiled=True)
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(InputError, match=r"--compile needs a C\+\+ compiler \(g\+\+ or clang\+\+\)"):
        Runtime.resolve("cpu", "fp32", compiled=True)
    assert not Runtime.resolve("cpu", "fp32").compiled


@pytest.mark.usefixtures("gpu")
def test_compiling_on_a_gpu_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime.shutil, "which", lambda _: None)
    assert Runtime.resolve("cuda", "bf16", compiled=True).compiled


@pytest.mark.parametrize(
    ("precision", "dtype", "lightning"), [("fp32", torch.float32, "32-true"), ("bf16", torch.bfloat16, "bf16-mixed")]
)
def test_matrix_products_use_the_precision_and_weights_stay_float32(precision, dtype, lightning) -> None:
    layer = torch.nn.Linear(4, 4)
    chosen = Runtime("cpu", precision)
    with chosen.autocast():
        assert layer(torch.zeros(2, 4)).dtype == dtype
    assert layer.weight.dtype == torch.float32
    assert chosen.lightning_precision == lightning


@pytest.mark.usefixtures("gpu")
def test_the_hardware_line_names_the_gpu() -> None:
    assert hardware().startswith("Test GPU, ")


@pytest.mark.usefixtures("no_gpu")
def test_the_hardware_line_names_the_machine_and_its_threads() -> None:
    line = hardware()
    assert f"({platform.machine()}, {torch.backends.cpu.get_cpu_capability()})" in line
    assert line.endswith(f"{torch.get_num_threads()} threads")


def test_the_environment_names_versions_and_an_iso_date() -> None:
    found = environment()
    assert found["python"] == platform.python_version()
    for package in ("torch", "torchvision", "diffusers", "lightning", "synthaug"):
        assert found[package] == importlib.metadata.version(package)
    assert datetime.date.fromisoformat(found["date"])
