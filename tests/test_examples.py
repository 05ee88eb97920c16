"""The examples run as they are on a real shard set: scripts as programs, job files through the real command."""

import json
import math
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

from synthaug.cli.main import main
from synthaug.core.console import stderr
from synthaug.core.folders import folder_at
from synthaug.core.pixels import from_pil
from synthaug.data.sources import load_source
from synthaug.data.splits import Splits
from synthaug.shards.finish import missing_shards
from synthaug.shards.manifest import read_plan
from synthaug.shards.verify import verify_set
from synthaug.workflows.checkpoints import packaged_checkpoints
from synthaug.workflows.train import TrainConfig, train
from tests.conftest import write_shard_set

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
OFFLINE = ROOT / "tests" / "offline.py"
PER_CLASS = {"a.b": 10, "dog": 10, "ünï": 10}
#: Few images of few steps, as nothing but the job files is on trial.
TINY = ["--steps", "2", "--shard-size", "5", "--batch-size", "5", "--device", "cpu", "--precision", "fp32", "--quiet"]


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Takes back what the command line changes in this process."""
    terminate, is_quiet = signal.getsignal(signal.SIGTERM), stderr.quiet
    yield
    signal.signal(signal.SIGTERM, terminate)
    stderr.quiet = is_quiet


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shard_set(
        tmp_path_factory.mktemp("examples") / "set", class_names=("dog", "a.b", "ünï"), per_class=10, shard_size=7
    )


def run(name: str, *words: object, without: str, cwd: Path, secure: str = "1") -> list[str]:
    """The lines an example prints, run in isolation from the environment, some packages and the network."""
    done = subprocess.run(
        [sys.executable, "-I", str(OFFLINE), "--without", without, str(EXAMPLES / name), *map(str, words)],
        env={**os.environ, "WDS_SECURE": secure, "OMP_NUM_THREADS": "1", "HOME": str(cwd), "HF_HOME": str(cwd)},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def counts(line: str) -> dict[str, int]:
    assert line.startswith("per class: ")
    return json.loads(line.removeprefix("per class: "))


def test_webdataset_loop(made: Path, tmp_path: Path) -> None:
    words = (made, "--epochs", 2, "--batch-size", 8)
    lines = run("webdataset_loop.py", *words, without="synthaug,datasets", cwd=tmp_path, secure="0")
    losses = []
    for epoch, (first, second) in enumerate([lines[:2], lines[2:]]):
        match = re.fullmatch(rf"epoch {epoch}: 30 images of shape \[\(3, 8, 8\)\], mean loss (\d\.\d+)", first)
        assert match is not None
        losses.append(float(match[1]))
        assert counts(second) == PER_CLASS
    assert losses[1] < losses[0]


def test_webdataset_loop_in_secure_mode_with_more_workers_than_shards(tmp_path: Path) -> None:
    made = write_shard_set(tmp_path / "set", per_class=3, shard_size=6)
    lines = run("webdataset_loop.py", made, without="synthaug", cwd=tmp_path, secure="1")
    assert lines[0].startswith("epoch 0: 6 images of shape [(3, 8, 8)], mean loss ")
    assert counts(lines[1]) == {"cat": 3, "dog": 3}


def test_huggingface_datasets(made: Path, tmp_path: Path) -> None:
    lines = run("huggingface_datasets.py", made, without="synthaug,webdataset", cwd=tmp_path)
    assert lines[0] == "table: 30 images, first of (8, 8) pixels"
    assert lines[1] == (
        "fields: __key__, __url__, cls, json, png; "
        "json: checkpoint, class, guidance, index, label, model, sampler, scores, seed, steps"
    )
    assert lines[3] == "stream: 30 images of [(8, 8)] pixels"
    assert counts(lines[2]) == counts(lines[4]) == PER_CLASS


def test_torchvision_only(made: Path, tmp_path: Path) -> None:
    lines = run("torchvision_only.py", made, without="synthaug,webdataset,datasets,fsspec", cwd=tmp_path)
    assert lines[0] == "30 images of shape [(3, 8, 8)]"
    assert counts(lines[1]) == PER_CLASS


def test_synthaug_loader(made: Path, tmp_path: Path) -> None:
    lines = run("synthaug_loader.py", made, without="webdataset,datasets", cwd=tmp_path)
    assert lines[0] == "30 of 30 images of shape [(3, 8, 8)]"
    assert counts(lines[1]) == PER_CLASS


def test_diffusers_only_draws_one_image_of_each_class_in_ten_lines(tmp_path: Path) -> None:
    words = (packaged_checkpoints()["ddpm-digits"], "classes.png")
    assert run("diffusers_only.py", *words, without="synthaug,webdataset,datasets,lightning", cwd=tmp_path) == []
    with Image.open(tmp_path / "classes.png") as picture:
        cells = from_pil(picture.convert("L"), 1)[0].float()
    drawn = cells[2:, 2:].unfold(0, 8, 10).unfold(1, 8, 10).reshape(-1, 64)[:10]  # eight in a row, two pixels between
    real = load_source("digits").train
    nearest = torch.cdist(drawn, real.images.reshape(len(real), 64).float()).argmin(dim=1)
    assert int((real.labels[nearest] == torch.arange(10)).sum()) >= 6
    code = (EXAMPLES / "diffusers_only.py").read_text().split('"""')[2]
    lines = [line for line in code.splitlines() if line and not line.startswith(("import ", "from "))]
    assert len(lines) <= 10


@pytest.mark.parametrize(("objective", "preset", "size"), [("edm", "digits", 8), ("v", "cpu", 16)])
def test_diffusers_only_follows_the_scheduler_and_the_patches_of_the_folder(
    tmp_path: Path, objective: str, preset: str, size: int
) -> None:
    few = {"images": 4, "batch_size": 4, "per_class_real": 2, "grid_every": 1000, "device": "cpu", "precision": "fp32"}
    choices = {"objective": objective, "preset": preset, "image_size": size}
    out = train(TrainConfig.resolve({**few, **choices, "out": tmp_path / "run"})).checkpoint
    run("diffusers_only.py", out, "classes.png", without="synthaug", cwd=tmp_path)
    with Image.open(tmp_path / "classes.png") as picture:
        assert picture.size == (8 * (size + 2) + 2, 2 * (size + 2) + 2)


@pytest.fixture(scope="module")
def digits_sets(tmp_path_factory: pytest.TempPathFactory, digits_splits: Splits) -> list[Path]:
    """Two sets that fit what the mixing examples take by default: 200 real digits, in 4 batches of 64."""
    root = tmp_path_factory.mktemp("mixed")
    return [
        write_shard_set(
            root / f"set {seed}",
            split=digits_splits.record,
            class_names=digits_splits.train.class_names,
            channels=1,
            allows_flip=False,
            shard_size=16,
            seed=seed,
        )
        for seed in (0, 1)
    ]


def test_mix_lightning_takes_several_sets(digits_sets: list[Path], tmp_path: Path) -> None:
    words = (*digits_sets, "--epochs", 1)
    lines = run("mix_lightning.py", *words, without="timm,datasets", cwd=tmp_path)
    match = re.fullmatch(r"50\.0% synthetic, validation accuracy (\d+\.\d)%", lines[-1])
    assert match is not None
    assert 0 < float(match[1]) <= 100


def test_mix_pytorch_lets_the_synthetic_share_fall_to_none(digits_sets: list[Path], tmp_path: Path) -> None:
    words = (digits_sets[0], "--epochs", 3)
    lines = run("mix_pytorch.py", *words, without="lightning,timm,transformers,datasets", cwd=tmp_path)
    found = [re.fullmatch(r"epoch (\d): loss (\d+\.\d+), (\d+\.\d)% synthetic", line) for line in lines]
    epochs, losses, shares = zip(*(map(float, match.groups()) for match in found if match is not None), strict=True)
    assert epochs == (0, 1, 2)
    assert losses[2] < losses[0]
    assert shares == pytest.approx((70, 35, 0), abs=100 / 256)  # to one image of an epoch


def test_mix_timm_trains_on_half_synthetic_batches(digits_sets: list[Path], tmp_path: Path) -> None:
    words = (digits_sets[0], "--epochs", 2)
    lines = run("mix_timm.py", *words, without="lightning,transformers,datasets", cwd=tmp_path)
    assert len(lines) == 2
    for epoch, line in enumerate(lines):
        assert re.fullmatch(rf"epoch {epoch}: loss \d+\.\d+, 50\.0% synthetic", line)


def test_mix_huggingface_takes_as_many_steps_as_its_epochs_have_batches(
    digits_sets: list[Path], tmp_path: Path
) -> None:
    words = (digits_sets[0], "--epochs", 2, "--per-class-real", 30)
    lines = run("mix_huggingface.py", *words, without="lightning,timm,datasets", cwd=tmp_path)
    steps = 2 * math.ceil(10 * 30 / 64)
    assert re.fullmatch(rf"{steps} steps, loss \d+\.\d+, 50\.0% synthetic", lines[-1])


@pytest.mark.parametrize("framework", ["huggingface", "lightning", "pytorch", "timm"])
def test_mixing_takes_less_than_forty_lines(framework: str) -> None:
    assert len((EXAMPLES / f"mix_{framework}.py").read_text().splitlines()) < 40


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_a_script_says_how_to_run_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    given = "CHECKPOINT" if path.name == "diffusers_only.py" else "SET"
    assert f"python examples/{path.name} {given}" in text
    assert ("import synthaug" in text or "from synthaug" in text) is path.name.startswith(("mix_", "synthaug_"))


def missing_of(made: Path) -> list[int]:
    folder = folder_at(made)
    plan = read_plan(folder)
    assert plan is not None
    return missing_shards(folder, plan)


def finish_by_shares(command_of: Callable[[int], list[str]], out: Path, shares: int) -> None:
    """Runs the command of every task but one, then that one: the set is whole, and only now."""
    order = [*range(1, shares), 0]
    for place, task in enumerate(order):
        program, *words = command_of(task)
        assert program == "synthaug"
        with pytest.raises(SystemExit) as ended:
            main([*words, *TINY])
        assert not ended.value.code
        left = sorted(missing_of(out))
        assert left == sorted(number for later in order[place + 1 :] for number in range(later, 6, shares))
        assert (out / "manifest.json").exists() is (not left)
    assert verify_set(out, deep=True).samples == 30


@pytest.fixture
def stub(tmp_path: Path) -> Path:
    """A folder for PATH whose `synthaug` prints the words it is given."""
    program = tmp_path / "bin" / "synthaug"
    program.parent.mkdir()
    program.write_text(f'#!{sys.executable}\nimport json, sys\nprint(json.dumps(["synthaug", *sys.argv[1:]]))\n')
    program.chmod(0o755)
    return program.parent


def slurm(stub: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(EXAMPLES / "slurm_array.sh"), *words],
        env={"PATH": f"{stub}:{os.environ['PATH']}", **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_slurm_array_makes_a_set_task_by_task(stub: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "a set"

    def command_of(task: int) -> list[str]:
        variables = {"MODEL": str(tiny_checkpoint), "OUT": str(out), "PER_CLASS": "3", "N": "3"}
        done = slurm(stub, "--seed", "1", **variables, SLURM_ARRAY_TASK_ID=str(task))
        assert done.returncode == 0, done.stderr
        words = json.loads(done.stdout)
        assert words[-4:] == ["--shards", f"{task}/3", "--seed", "1"]
        return words

    finish_by_shares(command_of, out, shares=3)


def test_slurm_array_has_as_many_tasks_as_shares(stub: Path) -> None:
    header = re.search(r"^#SBATCH --array=0-(\d+)$", (EXAMPLES / "slurm_array.sh").read_text(), flags=re.MULTILINE)
    assert header is not None
    done = slurm(stub, MODEL="ddpm", OUT="x", PER_CLASS="1", SLURM_ARRAY_TASK_ID=header[1])
    assert json.loads(done.stdout)[-1] == f"{header[1]}/{int(header[1]) + 1}"


@pytest.mark.parametrize("missing", ["MODEL", "OUT", "PER_CLASS", "SLURM_ARRAY_TASK_ID"])
def test_slurm_array_says_what_it_lacks(missing: str, stub: Path) -> None:
    variables = {"MODEL": "ddpm", "OUT": "x", "PER_CLASS": "1", "SLURM_ARRAY_TASK_ID": "0"}
    del variables[missing]
    done = slurm(stub, **variables)
    assert done.returncode != 0
    assert f"{missing}: " in done.stderr
    assert done.stdout == ""


def test_kubernetes_job_makes_a_set_pod_by_pod(tiny_checkpoint: Path, tmp_path: Path) -> None:
    job = yaml.safe_load((EXAMPLES / "kubernetes_job.yaml").read_text())
    assert (job["apiVersion"], job["kind"], job["spec"]["completionMode"]) == ("batch/v1", "Job", "Indexed")
    assert job["spec"]["parallelism"] <= job["spec"]["completions"]
    pod = job["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert pod["restartPolicy"] in ("Never", "OnFailure")
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    command = container["command"]
    assert all(isinstance(word, str) for word in command)
    assert f"$(JOB_COMPLETION_INDEX)/{job['spec']['completions']}" == command[command.index("--shards") + 1]
    out = tmp_path / "set"
    own = {"--model": str(tiny_checkpoint), "--out": str(out), "--per-class": "3"}

    def command_of(index: int) -> list[str]:
        words = [word.replace("$(JOB_COMPLETION_INDEX)", str(index)) for word in command]
        for flag, value in own.items():
            words[words.index(flag) + 1] = value
        return words

    finish_by_shares(command_of, out, shares=16)
