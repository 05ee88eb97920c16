"""Settings: durations, YAML files and flags, and the copy beside the output."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from synthaug.core.errors import InputError
from synthaug.workflows.config import Count, DataConfig, Duration, WorkflowConfig, parse_count, parse_duration
from synthaug.workflows.drawing import DrawConfig


class WalkConfig(WorkflowConfig):
    """Settings of a workflow of our own."""

    steps: int
    images: Count | None = None
    max_time: Duration | None = None
    out_name: str = "walk"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90.0), ("90s", 90.0), ("9m", 540.0), ("1.5h", 5400.0), (" 2m ", 120.0), ("0.5", 0.5)],
)
def test_duration_counts_seconds_minutes_and_hours(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds
    assert WalkConfig.resolve({"steps": 1, "max_time": text}).max_time == seconds


@pytest.mark.parametrize("text", ["", "m", "9d", "-5", "-5m", "1e3", "9m30s", "nine"])
def test_text_that_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InputError, match=r"--max-time: a duration like 90s, 9m or 1.5h is needed"):
        WalkConfig.resolve({"steps": 1, "max_time": text})


@pytest.mark.parametrize("value", ["0", "0s", -5, float("nan"), float("inf")])
def test_duration_that_never_or_at_once_ends_is_refused(value: object) -> None:
    with pytest.raises(InputError, match="--max-time: "):
        WalkConfig.resolve({"steps": 1, "max_time": value})


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("2M", 2_000_000),
        ("500k", 500_000),
        ("1_000_000", 1_000_000),
        ("1.5M", 1_500_000),
        (" 0.1K ", 100),
        ("7", 7),
        ("1.1m", 1_100_000),
    ],
)
def test_count_may_be_written_in_thousands_and_millions(text: str, count: int) -> None:
    assert parse_count(text) == count
    assert WalkConfig.resolve({"steps": 1, "images": text}).images == count
    assert WalkConfig.resolve({"steps": 1, "images": count}).images == count


@pytest.mark.parametrize("text", ["many", "-1", "", "M", "2G", "1e6", "2M images", "_5", "1,000"])
def test_text_that_is_no_count_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InputError, match=rf"--images: a count like 50000, 500k or 2M is needed, found '{text}'"):
        WalkConfig.resolve({"steps": 1, "images": text})


@pytest.mark.parametrize("value", ["0", "0k", "0.0001k", 0, -1, 1.5, float("nan")])
def test_count_that_is_not_a_positive_whole_number_is_refused_by_name(value: object) -> None:
    with pytest.raises(InputError, match="--images: .*, found "):
        WalkConfig.resolve({"steps": 1, "images": value})


def test_flags_win_over_the_file_and_the_file_over_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "walk.yaml"
    file.write_text("steps: 5\nseed: 7\nmax-time: 2m\n")
    config = WalkConfig.resolve({"steps": 9}, file)
    assert (config.steps, config.seed, config.max_time, config.out_name) == (9, 7, 120.0, "walk")


@pytest.mark.parametrize("key", ["out-name", "out_name"])
def test_keys_of_the_file_may_be_written_like_flags_or_like_fields(tmp_path: Path, key: str) -> None:
    file = tmp_path / "walk.yaml"
    file.write_text(f"steps: 5\n{key}: run\n")
    assert WalkConfig.resolve({}, file).out_name == "run"


def test_unknown_key_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    file = tmp_path / "walk.yaml"
    file.write_text("steps: 5\nstrides: 6\n")
    with pytest.raises(InputError, match=r"unknown setting 'strides'; known: .*seed.*steps.*max_time"):
        WalkConfig.resolve({}, file)


def test_missing_setting_is_named_as_a_flag() -> None:
    with pytest.raises(InputError, match=r"^--steps is required$"):
        WalkConfig.resolve({})


def test_all_mistakes_are_told_at_once_with_what_was_found() -> None:
    with pytest.raises(InputError) as refused:
        WalkConfig.resolve({"steps": "many", "seed": -1, "device": "tpu"})
    message = str(refused.value)
    assert "--steps: " in message
    assert "found 'many'" in message
    assert "--seed: " in message
    assert "found -1" in message
    assert "--device: " in message


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(b"- 1\n- 2\n", "a table of settings is needed, found list"), (b"a: [", "not valid YAML"), (b"\xff", "not valid")],
)
def test_file_that_is_no_table_of_settings_is_refused(tmp_path: Path, content: bytes, complaint: str) -> None:
    file = tmp_path / "walk.yaml"
    file.write_bytes(content)
    with pytest.raises(InputError, match=complaint) as refused:
        WalkConfig.resolve({}, file)
    assert str(file) in str(refused.value)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--config .*gone.yaml: No such file"):
        WalkConfig.resolve({}, tmp_path / "gone.yaml")


def test_yaml_cannot_run_code(tmp_path: Path) -> None:
    file = tmp_path / "walk.yaml"
    file.write_text(
        f"steps: !!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path [{tmp_path}/x]]"
    )
    with pytest.raises(InputError, match="not valid YAML"):
        WalkConfig.resolve({}, file)
    assert not (tmp_path / "x").exists()


def test_saved_settings_read_back_as_the_same_settings(tmp_path: Path) -> None:
    config = WalkConfig.resolve({"steps": 3, "images": "2M", "max_time": "1.5h", "seed": 4, "device": "cpu"})
    config.save(tmp_path / "out")
    assert WalkConfig.resolve({}, tmp_path / "out" / "config.yaml") == config


def test_settings_as_words_of_the_command_line_leave_defaults_out() -> None:
    config = DataConfig.resolve({"data": "imagefolder:my photos", "fraction": 0.5, "flip": False, "seed": 0})
    assert config.flags() == ["--data", "imagefolder:my photos", "--fraction", "0.5", "--no-flip"]
    assert DataConfig.resolve({}).flags() == []


@pytest.mark.parametrize("interval", ["0.3,5", " 0.3 , 5.0", [0.3, 5], (0.3, 5.0)])
def test_interval_survives_flags_and_files(tmp_path: Path, interval: object) -> None:
    config = DrawConfig.resolve({"per_class": 1, "guidance_interval": interval, "compile": True})
    assert config.guidance_interval == (0.3, 5.0)
    assert config.flags() == ["--per-class", "1", "--guidance-interval", "0.3,5.0", "--compile"]
    config.save(tmp_path)
    assert DrawConfig.resolve({}, tmp_path / "config.yaml") == config


@pytest.mark.parametrize("interval", ["0.3", "0.3,5,9", "", "low,high", "0.3,", [0.3], "0.3;5"])
def test_interval_that_is_not_two_numbers_is_refused_by_its_flag(interval: object) -> None:
    with pytest.raises(InputError, match="^--guidance-interval: "):
        DrawConfig.resolve({"per_class": 1, "guidance_interval": interval})


@pytest.mark.parametrize("where", ["sets/one", Path("sets/one"), "s3://bucket/one"])
def test_place_may_be_a_path_or_a_url(where: str | Path) -> None:
    from synthaug.workflows.verify import VerifyConfig

    assert VerifyConfig.resolve({"folder": where}).folder == str(where)


def test_data_settings_choose_the_split() -> None:
    small = DataConfig(per_class_real=3).splits()
    assert small.train.class_counts() == (3,) * 10
    other = DataConfig(per_class_real=3, split_seed=1).splits()
    assert small.record.held_out_fingerprint != other.record.held_out_fingerprint
    assert DataConfig(per_class_real=1, image_size=16).splits().train.image_size == 16


def test_images_on_both_sides_of_the_split_are_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.conftest import write_image_folder

    write_image_folder(tmp_path / "x" / "train")
    shutil.copytree(tmp_path / "x" / "train", tmp_path / "x" / "test")
    DataConfig.resolve({"data": f"imagefolder:{tmp_path / 'x'}"}).splits()
    assert "pixel for pixel" in " ".join(capsys.readouterr().err.split())


def test_the_user_may_say_whether_mirroring_keeps_the_class() -> None:
    assert not DataConfig.resolve({}).splits().allows_flip
    assert DataConfig.resolve({"flip": True}).splits().allows_flip
