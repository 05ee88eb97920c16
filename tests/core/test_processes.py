import os
import re
import signal
from collections.abc import Iterator

import pytest

from synthaug.core.console import stderr
from synthaug.core.processes import Processes, is_main_process, launched_processes

LAUNCHERS = (
    "RANK",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "LOCAL_RANK",
    "ACCELERATE_USE_CPU",
    "MASTER_PORT",
    "SLURM_STEP_NUM_TASKS",
)


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in LAUNCHERS:
        monkeypatch.delenv(name, raising=False)
    handlers = [signal.getsignal(name) for name in (signal.SIGTERM, signal.SIGINT)]
    yield
    assert [signal.getsignal(name) for name in (signal.SIGTERM, signal.SIGINT)] == handlers
    assert not stderr.quiet


def test_without_a_launcher_a_process_is_alone_and_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    processes = Processes.join("cpu")
    assert (processes.rank, processes.world_size, processes.is_main) == (0, 1, True)
    assert capsys.readouterr().err == ""


def test_a_single_process_of_a_launcher_is_alone_and_says_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "1", "MASTER_PORT": "29500", "ACCELERATE_USE_CPU": "true"}.items():
        monkeypatch.setenv(name, value)
    assert Processes.join("cpu") == Processes()
    assert capsys.readouterr().err == ""


def test_alone_one_agrees_with_oneself() -> None:
    assert Processes.join("cpu").agree([3, 1, 2]) == [3, 1, 2]
    assert Processes().agree([]) == []


@pytest.mark.parametrize(
    ("environment", "warning"),
    [
        (
            {"ACCELERATE_USE_CPU": "true", "MASTER_PORT": "29500"},
            r"accelerate launch was asked for several processes and started one.*torchrun --nproc-per-node=N",
        ),
        ({"SLURM_STEP_NUM_TASKS": "4"}, r"srun started 4 tasks that do not know of each other.*--shards K/N"),
    ],
)
def test_a_launcher_that_started_fewer_than_asked_is_warned_of(
    environment: dict[str, str], warning: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert Processes.join("cpu") == Processes()
    said = capsys.readouterr().err
    assert said.startswith("warning: ")
    assert said.count("\n") == 1
    assert re.search(warning, said)
    Processes.join("cpu", is_part=True)
    assert capsys.readouterr().err == "", "whoever was told its part needs no warning"
    monkeypatch.setenv("RANK", "0")
    Processes.join("cpu")
    assert capsys.readouterr().err == "", "a launcher that numbers its processes is understood"


@pytest.mark.parametrize(
    "environment", [{"ACCELERATE_USE_CPU": "true"}, {"MASTER_PORT": "1"}, {"SLURM_STEP_NUM_TASKS": "1"}]
)
def test_other_environments_are_not_warned_of(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    Processes.join("cpu")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("world_size", [None, "", "1", "many"])
def test_a_process_without_others_prints_whatever_its_rank_is_called(
    world_size: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    if world_size is not None:
        monkeypatch.setenv("WORLD_SIZE", world_size)
    assert is_main_process()
    assert Processes.join("cpu").is_main


@pytest.mark.parametrize(("rank", "is_main"), [(None, True), ("0", True), ("1", False), ("7", False)])
def test_only_the_first_process_prints_results(
    rank: str | None, is_main: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "8")
    if rank is not None:
        monkeypatch.setenv("RANK", rank)
    assert is_main_process() is is_main
    assert Processes(int(rank or 0), 8).is_main is is_main


@pytest.mark.parametrize(
    ("world_size", "on_this_machine", "expected"),
    [
        (None, None, (1, 1)),
        (None, "2", (1, 1)),
        ("1", "1", (1, 1)),
        ("2", "2", (2, 1)),
        ("8", "4", (4, 2)),
        ("3", None, (3, 1)),
        ("4", "0", (4, 1)),
    ],
)
def test_processes_of_a_launcher_are_counted_by_machine(
    world_size: str | None, on_this_machine: str | None, expected: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"WORLD_SIZE": world_size, "LOCAL_WORLD_SIZE": on_this_machine}.items():
        if value is not None:
            monkeypatch.setenv(name, value)
    assert launched_processes() == expected


def test_joining_alone_leaves_the_environment_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    before = dict(os.environ)
    Processes.join("cpu")
    assert dict(os.environ) == before
