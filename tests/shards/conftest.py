"""A picture, and a watch over what tests with hostile input may do: open files in their own folder, run nothing."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import synthaug
from synthaug.core.pixels import encode_png
from tests.conftest import random_pixels

RUNNING_CODE = {"os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "pickle.find_class", "socket.connect"}
CHANGING_FILES = {"os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.symlink", "os.link", "os.chmod", "shutil.move"}
ALLOWED = tuple(str(path) for path in (sys.prefix, sys.base_prefix, Path(synthaug.__file__).parents[1]))
_watching: list[Callable[[str, tuple[Any, ...]], None]] = []


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    for watch in _watching:
        watch(event, arguments)


@pytest.fixture
def png() -> bytes:
    """The file of one image."""
    return encode_png(random_pixels(3, 8, 8))


@pytest.fixture(scope="session")
def audit() -> None:
    """Python's own record of what is opened and run; it cannot be taken away again, but stays silent."""
    sys.addaudithook(_audit)


@pytest.fixture(params=["1", None], ids=["secure", "plain"])
def harm(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, audit: None
) -> Iterator[list[str]]:
    """Fails a test that runs anything, or opens a file outside its folder; with webdataset's switch and without."""
    if request.param is None:
        monkeypatch.delenv("WDS_SECURE", raising=False)
    else:
        monkeypatch.setenv("WDS_SECURE", request.param)
    monkeypatch.chdir(tmp_path)
    harm: list[str] = []

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event in RUNNING_CODE:
            harm.append(f"{event}{arguments}")
        if (event == "open" or event in CHANGING_FILES) and isinstance(arguments[0], str | bytes | os.PathLike):
            path = os.path.abspath(os.fsdecode(arguments[0]))  # noqa: PTH100 - Path.absolute() keeps the ".."
            if not path.startswith((str(tmp_path), *ALLOWED)):
                harm.append(f"{event}{arguments}")

    _watching.append(watch)
    yield harm
    _watching.remove(watch)
    assert harm == []
