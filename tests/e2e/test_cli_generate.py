"""The real command line from training to a verified set: results, exit codes, signals and a full disk."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from synthaug.cli.main import main
from synthaug.core.errors import InputError
from tests.conftest import write_image_folder

_TIME_LIMIT = 300
_LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0}))
os.execv(sys.executable, [sys.executable, "-m", "synthaug", *sys.argv[1:]])
"""
_TINY_TRAINING = (
    "--data",
    "digits",
    "--per-class-real",
    "5",
    "--batch-size",
    "8",
    "--device",
    "cpu",
    "--precision",
    "fp32",
)


@dataclass(frozen=True)
class Answer:
    """How a command ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Answer]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """`run(*arguments)`: the command line in this process."""
    handler = signal.getsignal(signal.SIGTERM)

    def call(*arguments: object) -> Answer:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Answer(ended.value.code, captured.out, captured.err)

    yield call
    signal.signal(signal.SIGTERM, handler)


def spawn(cwd: Path, *arguments: object, file_size_limit: int | None = None) -> subprocess.Popen[str]:
    """The command line in a process of its own, whose files may be limited to so many bytes."""
    start = ["-m", "synthaug"] if file_size_limit is None else ["-c", _LIMITED.format(file_size_limit)]
    return subprocess.Popen(
        [sys.executable, *start, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "SYNTHAUG_HOME": str(cwd / "home"), "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> Answer:
    out, err = process.communicate(timeout=_TIME_LIMIT)
    return Answer(process.returncode, out, err)


def assert_short_complaint(answer: Answer, code: int, *fragments: str) -> None:
    """One short paragraph on stderr, nothing on stdout, no traceback."""
    assert answer.code == code, answer.err
    assert answer.out == ""
    assert "Traceback" not in answer.err
    assert "unexpected" not in answer.err
    complaint = [line for line in answer.err.splitlines() if line.startswith("synthaug: ")]
    assert len(complaint) == 1, answer.err
    for fragment in fragments:
        assert fragment in complaint[0]


def generation(checkpoint: Path, out: Path, per_class: int = 3) -> list[object]:
    return [
        "generate", "--model", checkpoint, "--per-class", per_class, "--shard-size", 12, "--steps", 2,
        "--device", "cpu", "--precision", "fp32", "--out", out,
    ]  # fmt: skip


@pytest.fixture
def finished_set(tiny_checkpoint: Path, tmp_path: Path, run: Run) -> Path:
    """A set of 30 images in three shards."""
    assert run(*generation(tiny_checkpoint, tmp_path / "set"), "--quiet").code == 0
    return tmp_path / "set"


def test_training_generating_and_verifying_work_one_after_the_other(tmp_path: Path) -> None:
    trained = finish(spawn(tmp_path, "train", *_TINY_TRAINING, "--steps", 5, "--out", "run"))
    assert trained.code == 0, trained.err
    assert "5 of 5 steps" in trained.out
    # Found by its kind, as the newest below the current folder.
    made = finish(
        spawn(
            tmp_path, "generate", "--model", "ddpm", "--per-class", 3, "--steps", 2, "--out", "set", "--json", "--quiet"
        )
    )
    assert made.code == 0, made.err
    result = json.loads(made.out)
    assert (result["images"], result["shards"], result["checkpoint"]) == (30, 1, "run")
    assert made.out.count("\n") == 1
    assert made.err == ""
    verified = finish(spawn(tmp_path, "verify", "set"))
    assert verified.code == 0, verified.err
    assert "1 shard(s), 30 samples" in verified.out


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_training_that_is_stopped_saves_its_state_and_continues_to_completion(
    tmp_path: Path, run: Run, number: signal.Signals, code: int
) -> None:
    out = tmp_path / "run"
    training = ["train", *_TINY_TRAINING, "--out", out]
    process = spawn(tmp_path, *training, "--steps", 100_000, "--grid-every", 2)
    try:
        deadline = time.monotonic() + _TIME_LIMIT
        while not list(out.glob("grids/step-*.png")):
            assert process.poll() is None, finish(process).err
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(number)
        answer = finish(process)
    finally:
        process.kill()
    assert answer.code == code, answer.err
    assert "Traceback" not in answer.err
    assert "unexpected" not in answer.err
    assert not (out / "synthaug.json").exists()
    assert not [path for path in out.rglob("*") if path.name.endswith(".partial")]
    done = int(torch.load(out / "training" / "state.ckpt", weights_only=True)["global_step"])
    assert done >= 2
    resumed = run(*training, "--steps", done + 2, "--resume", "auto", "--json")
    assert resumed.code == 0, resumed.err
    assert json.loads(resumed.out)["training"]["steps"] == done + 2
    assert json.loads(resumed.out)["is_complete"] is True
    assert (out / "synthaug.json").is_file()


def test_full_disk_while_generating_is_one_short_message_and_nothing_half_published(
    tiny_checkpoint: Path, tmp_path: Path, run: Run
) -> None:
    out = tmp_path / "set"
    answer = finish(spawn(tmp_path, *generation(tiny_checkpoint, out), "--quiet", file_size_limit=20_000))
    assert_short_complaint(answer, 1, "could not write", "train-000000.tar", "larger than allowed")
    assert sorted(path.name for path in out.iterdir()) == ["config.yaml", "plan.json"]
    assert run(*generation(tiny_checkpoint, out)).code == 0
    assert run("verify", out).code == 0


def test_full_disk_while_training_is_one_short_message_and_no_checkpoint(tmp_path: Path) -> None:
    out = tmp_path / "run"
    answer = finish(
        spawn(tmp_path, "train", *_TINY_TRAINING, "--steps", 2, "--out", out, "--quiet", file_size_limit=1_000_000)
    )
    assert_short_complaint(answer, 1, "could not write", "state.ckpt", "larger than allowed")
    assert not (out / "synthaug.json").exists()
    assert list((out / "training").iterdir()) == [out / "training" / "settings.json"]


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Image folders, each with a mistake."""
    write_image_folder(tmp_path / "empty-class", class_names=("cat", "dog"))
    for path in (tmp_path / "empty-class" / "dog").iterdir():
        path.unlink()
    write_image_folder(tmp_path / "one-class", class_names=("cat",))
    write_image_folder(tmp_path / "truncated")
    cut = tmp_path / "truncated" / "dog" / "002.png"
    cut.write_bytes(cut.read_bytes()[:-40])
    write_image_folder(tmp_path / "mixed", class_names=("cat",), size=8)
    write_image_folder(tmp_path / "mixed", class_names=("dog",), size=12)
    write_image_folder(tmp_path / "odd", size=9)
    return tmp_path


@pytest.mark.parametrize(
    ("flags", "fragments"),
    [
        (["--data", "imagefolder:gone"], ["no such folder", "gone"]),
        (["--data", "imagefolder:empty-class"], ["dog", "a class needs images", "found none"]),
        (["--data", "imagefolder:one-class"], ["at least two classes are needed", "cat"]),
        (["--data", "imagefolder:truncated"], [str(Path("truncated", "dog", "002.png")), "truncated image"]),
        (["--data", "imagefolder:mixed"], ["images of one square size", "12x12", "8x8", "--image-size"]),
        (["--data", "imagefolder:odd"], ["divisible by 2, found 9", "--image-size 8"]),
        (["--data", "mnist"], ["unknown data source 'mnist'", "cifar10, digits, imagefolder, wds"]),
        (["--data", "digits:7"], ["'digits' takes no argument"]),
        (["--model", "vae"], ["unknown model 'vae'", "ddpm"]),
        (["--preset", "huge"], ["preset 'huge'", "cpu, digits, small"]),
        (["--fraction", "0"], ["--fraction must lie in (0, 1], found 0.0"]),
        (["--fraction", "1.5"], ["--fraction must lie in (0, 1], found 1.5"]),
        (["--fraction", "0.5", "--per-class-real", "5"], ["--fraction or --per-class-real, not both"]),
        (["--per-class-real", "100000"], ["--per-class-real 100000 is more than the"]),
        (["--steps", "0"], ["--steps must be at least 1, found 0"]),
        (["--learning-rate", "0"], ["--learning-rate must be positive"]),
        (["--max-time", "soon"], ["--max-time", "90s, 9m or 1.5h"]),
        (["--seed", "-1"], ["--seed", "found -1"]),
        (["--image-size", "3"], ["--image-size must be at least 4 pixels, found 3"]),
    ],
)
def test_bad_input_to_training_is_explained_before_anything_is_written(
    folders: Path, monkeypatch: pytest.MonkeyPatch, run: Run, flags: list[str], fragments: list[str]
) -> None:
    monkeypatch.chdir(folders)
    for extra in ([], ["--dry-run"]):
        assert_short_complaint(run("train", "--out", "run", *flags, *extra), 2, *fragments)
    assert not (folders / "run").exists()


@pytest.mark.parametrize(
    ("flags", "fragments"),
    [
        (["--per-class", "0"], ["--per-class must be at least 1, found 0"]),
        (["--per-class", "-1"], ["--per-class must be at least 1, found -1"]),
        (["--model", "vae"], ["unknown model 'vae'", "ddpm"]),
        (["--sampler", "euler"], ["unknown sampler 'euler'; known: ddim, dpmpp"]),
        (["--guidance", "-1"], ["--guidance must be a number of at least 0"]),
        (["--shard-size", "0"], ["--shard-size must lie in 1..10000"]),
    ],
)
def test_bad_input_to_generating_is_explained_before_anything_is_written(
    tiny_checkpoint: Path, tmp_path: Path, run: Run, flags: list[str], fragments: list[str]
) -> None:
    answer = run(*generation(tiny_checkpoint, tmp_path / "set"), *flags)
    assert_short_complaint(answer, 2, *fragments)
    assert not (tmp_path / "set").exists()


def test_folder_with_other_settings_is_bad_input(finished_set: Path, tiny_checkpoint: Path, run: Run) -> None:
    answer = run(*generation(tiny_checkpoint, finished_set, per_class=4))
    assert_short_complaint(answer, 2, "per_class is 3 there and 4 now")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["train", "--no-such-flag"], "--no-such-flag"),
        (["no-such-verb"], "no-such-verb"),
        (["train", "--steps", "many"], "--steps"),
        (["verify"], "DIR"),
    ],
)
def test_bad_usage_has_the_exit_code_of_bad_input_and_names_the_mistake(
    run: Run, arguments: list[str], named: str
) -> None:
    answer = run(*arguments)
    assert answer.code == 2, answer.err
    assert answer.out == ""
    assert named in answer.err
    assert "Traceback" not in answer.err
    assert "unexpected" not in answer.err


def test_missing_required_flag_is_bad_input(run: Run) -> None:
    assert_short_complaint(run("train"), 2, "--out is required")


def test_damaged_shard_is_found_and_named(finished_set: Path, run: Run) -> None:
    shard = finished_set / "train-000001.tar"
    data = bytearray(shard.read_bytes())
    data[700] ^= 1
    shard.write_bytes(data)
    assert_short_complaint(run("verify", finished_set), 3, "train-000001.tar has another sha256")
    shard.write_bytes(data[:-512])
    assert_short_complaint(run("verify", finished_set), 3, "train-000001.tar has", "bytes instead of")
    shard.unlink()
    assert_short_complaint(run("verify", finished_set), 3, "train-000001.tar is missing")


def test_damaged_checkpoint_is_damage(tiny_checkpoint: Path, tmp_path: Path, run: Run) -> None:
    broken = shutil.copytree(tiny_checkpoint, tmp_path / "broken")
    weights = broken / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert_short_complaint(run(*generation(broken, tmp_path / "set")), 3, "is damaged or was replaced")


def test_folder_without_a_set_cannot_be_verified(tmp_path: Path, run: Run) -> None:
    assert_short_complaint(run("verify", tmp_path), 2, "has no manifest.json")


def test_json_is_exactly_one_object_on_stdout(
    finished_set: Path, tiny_checkpoint: Path, tmp_path: Path, run: Run
) -> None:
    commands: dict[str, list[object]] = {
        "train": ["train", *_TINY_TRAINING, "--steps", 1, "--out", tmp_path / "run"],
        "train --dry-run": ["train", *_TINY_TRAINING, "--out", tmp_path / "other", "--dry-run"],
        "generate": generation(tiny_checkpoint, finished_set),
        "generate --dry-run": [*generation(tiny_checkpoint, tmp_path / "other"), "--dry-run"],
        "verify": ["verify", finished_set],
    }
    answers = {name: run(*command, "--json") for name, command in commands.items()}
    assert {name: answer.code for name, answer in answers.items()} == dict.fromkeys(commands, 0)
    results = {name: json.loads(answer.out) for name, answer in answers.items()}
    assert all(isinstance(result, dict) for result in results.values())
    assert results["train"]["training"]["steps"] == 1
    assert results["train --dry-run"]["preset"] == "digits"
    assert results["generate"]["new_images"] == 0
    assert results["generate --dry-run"]["missing_shards"] == 3
    assert results["verify"]["class_counts"] == {str(digit): 3 for digit in range(10)}
    assert not (tmp_path / "other").exists()


def test_settings_come_from_a_file_and_flags_win(tiny_checkpoint: Path, tmp_path: Path, run: Run) -> None:
    file = tmp_path / "generate.yaml"
    file.write_text(f"model: {tiny_checkpoint}\nper-class: 5\nsteps: 2\nout: {tmp_path / 'set'}\n")
    answer = run("generate", "--config", file, "--per-class", 2, "--dry-run", "--json")
    assert answer.code == 0, answer.err
    plan = json.loads(answer.out)["settings"]
    assert (plan["per_class"], plan["steps"]) == (2, 2)
    file.write_text("per-klass: 5\n")
    assert_short_complaint(run("generate", "--config", file), 2, "unknown setting 'per_klass'; known:", "per_class")


def test_debug_shows_where_an_error_comes_from(tmp_path: Path) -> None:
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(InputError, match="--fraction"):
            main(["train", "--out", str(tmp_path / "run"), "--fraction", "0", "--debug"])
    finally:
        signal.signal(signal.SIGTERM, handler)
