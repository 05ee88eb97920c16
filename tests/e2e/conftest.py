"""The command line, in this process and in processes of its own."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from synthaug.cli.main import main
from tests.e2e.commands import Answer, CommandServer, Run, generation


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """`run(*words)`: the command line in this process."""
    handler = signal.getsignal(signal.SIGTERM)

    def call(*words: object) -> Answer:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        captured = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Answer(ended.value.code, captured.out, captured.err)

    yield call
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture(scope="session")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandServer]:
    """`commands.run(cwd, *words)` and `commands.start(...)`: the command line in processes of its own."""
    server = CommandServer(tmp_path_factory.mktemp("commands"))
    yield server
    server.close()


@pytest.fixture
def finished_set(tiny_checkpoint: Path, tmp_path: Path, run: Run) -> Path:
    """A set of 30 images in three shards."""
    assert run(*generation(tiny_checkpoint, tmp_path / "set"), "--quiet").code == 0
    return tmp_path / "set"
