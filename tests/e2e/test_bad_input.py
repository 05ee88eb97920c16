"""Bad input and bad usage: exit code 2, one short paragraph on what was found and what to do, nothing written."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthaug.core.storage import sha256_file
from tests.conftest import write_image_folder
from tests.e2e.commands import Run, assert_short_complaint, generation


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
        (["--preset", "huge"], ["preset 'huge'", "base, cpu, digits, large, small"]),
        (["--fraction", "0"], ["--fraction must lie in (0, 1], found 0.0"]),
        (["--fraction", "1.5"], ["--fraction must lie in (0, 1], found 1.5"]),
        (["--fraction", "0.5", "--per-class-real", "5"], ["--fraction or --per-class-real, not both"]),
        (["--per-class-real", "100000"], ["--per-class-real 100000 is more than the"]),
        (["--images", "0"], ["--images: input should be greater than or equal to 1, found '0'"]),
        (["--images", "-1"], ["--images: a count like 50000, 500k or 2M is needed, found '-1'"]),
        (["--images", "many"], ["--images: a count like 50000, 500k or 2M is needed, found 'many'"]),
        (["--init", "gone"], ["unknown model 'gone'", "ddpm-digits"]),
        (["--objective", "edm", "--min-snr", "5"], ["--min-snr weighs epsilon and v"]),
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
        (["--per-class", "0"], ["--per-class: input should be greater than or equal to 1, found 0"]),
        (["--per-class", "-1"], ["--per-class: input should be greater than or equal to 1, found -1"]),
        (["--model", "vae"], ["unknown model 'vae'", "ddpm"]),
        (["--sampler", "euler"], ["unknown sampler 'euler'; known: ddim, ddpm, dpmpp, dpmpp3m, ipndm, unipc"]),
        (["--guidance", "-1"], ["--guidance must be a number of at least 0"]),
        (
            ["--guidance-interval", "5,0.3"],
            ["--guidance-interval needs two noise levels, 0 <= LOW < HIGH, found 5,0.3"],
        ),
        (["--guidance-interval", "5"], ["--guidance-interval: two numbers with a comma between them are needed"]),
        (["--guidance-interval", "low,5"], ["--guidance-interval: input should be a valid number", "found 'low'"]),
        (["--sampler", "ddpm", "--steps", "1001"], ["--steps must lie in 1..1000 here, found 1001"]),
        (["--shard-size", "0"], ["--shard-size: input should be greater than or equal to 1, found 0"]),
        (["--shard-size", "10001"], ["--shard-size: input should be less than or equal to 10000, found 10001"]),
        (["--batch-size", "0"], ["--batch-size: input should be greater than or equal to 1, found 0"]),
        (["--classes", "10"], ["--classes: numbers must lie in 0..9, found '10'"]),
        (["--classes", "0,cat"], ["--classes: unknown class 'cat'; known: 0, 1, 2"]),
        (["--shard-size", "1", "--per-class", "200000"], ["at most 1000000 shards: give a larger --shard-size"]),
        (["--shards", "1-3"], ["--shards: numbers must lie in 0..2, found '1-3'"]),
        (["--shards", "3/3"], ["--shards K/N: K must lie in 0..N-1, found 3/3"]),
        (["--shards", "first"], ["--shards takes numbers like 0-99", "found 'first'"]),
        (["--shards", "0/2", "--mode", "overwrite"], ["--mode overwrite", "cannot be combined with --shards"]),
        (["--out", "ftp://host/set"], ["ftp://host/set: URLs of s3://"]),
    ],
)
def test_bad_input_to_generating_is_explained_before_anything_is_written(
    tiny_checkpoint: Path, tmp_path: Path, run: Run, flags: list[str], fragments: list[str]
) -> None:
    for extra in ([], ["--dry-run"]):
        answer = run(*generation(tiny_checkpoint, tmp_path / "set"), *flags, *extra)
        assert_short_complaint(answer, 2, *fragments)
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(("flag", "value"), [("--image-format", "gif"), ("--mode", "replace")])
def test_word_that_is_no_choice_is_bad_usage(
    tiny_checkpoint: Path, tmp_path: Path, run: Run, flag: str, value: str
) -> None:
    answer = run(*generation(tiny_checkpoint, tmp_path / "set"), flag, value)
    assert (answer.code, answer.out) == (2, "")
    assert flag in answer.err
    assert value in answer.err
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    ("flags", "fragments"),
    [
        (["--per-class", "4"], ["per_class is 3 there and 4 now", "--mode extend"]),
        (["--per-class", "2", "--mode", "extend"], ["--per-class must be at least 3, found 2"]),
    ],
)
def test_set_with_other_settings_is_bad_input_and_left_alone(
    finished_set: Path, tiny_checkpoint: Path, run: Run, flags: list[str], fragments: list[str]
) -> None:
    before = {path: sha256_file(path) for path in finished_set.iterdir()}
    assert_short_complaint(run(*generation(tiny_checkpoint, finished_set), *flags), 2, *fragments)
    assert {path: sha256_file(path) for path in finished_set.iterdir()} == before


@pytest.mark.parametrize("mode", ["incremental", "extend", "overwrite"])
def test_folder_of_something_else_is_bad_input_and_left_alone(
    tiny_checkpoint: Path, tmp_path: Path, run: Run, mode: str
) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train-000000.tar").write_text("years of work")
    answer = run(*generation(tiny_checkpoint, tmp_path / "set"), "--mode", mode)
    assert_short_complaint(answer, 2, "is not empty and holds no shard set")
    assert [path.read_text() for path in (tmp_path / "set").iterdir()] == ["years of work"]


def test_folder_without_a_set_cannot_be_verified(tmp_path: Path, run: Run) -> None:
    for flags in ([], ["--deep"], ["--repair"]):
        assert_short_complaint(run("verify", tmp_path, *flags), 2, "has no manifest.json")
    assert_short_complaint(run("verify", tmp_path, "--finish"), 2, "neither a plan nor a manifest")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["train", "--no-such-flag"], "--no-such-flag"),
        (["no-such-verb"], "no-such-verb"),
        (["train", "--steps", "7"], "--steps"),
        (["train", "--batch-size", "many"], "--batch-size"),
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
