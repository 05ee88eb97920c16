import inspect
import json
import re
import shlex
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from synthaug.cli import report as report_verb
from synthaug.cli.main import build_app, main
from synthaug.core.console import stderr
from synthaug.core.errors import DamageError, InputError, StorageError, TrainingError
from synthaug.core.version import __version__
from synthaug.workflows.bench.arms import DEFAULT_ARMS
from synthaug.workflows.config import Settings

VERBS = sorted(str(command.name) for command in build_app().registered_commands)
#: What `add_verb` was given for each verb with settings.
GIVEN: dict[str, dict[str, Any]] = {
    str(command.name): given
    for command in build_app().registered_commands
    if command.callback and "config" in (given := inspect.getclosurevars(inspect.unwrap(command.callback)).nonlocals)
}


class Outcome(NamedTuple):
    code: object
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """`run(words...)`: the command line in this process; its exit code, stdout and stderr, wide and without colour."""
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv("NO_COLOR", "1")
    terminate, is_quiet = signal.getsignal(signal.SIGTERM), stderr.quiet

    def call(*words: str | Path) -> Outcome:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        out, err = (re.sub(r"\x1b\[[0-9;]*m", "", text) for text in capsys.readouterr())
        return Outcome(ended.value.code, out, err)

    yield call
    signal.signal(signal.SIGTERM, terminate)
    stderr.quiet = is_quiet


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder and an empty cache."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SYNTHAUG_HOME", str(folder / "cache"))
    return folder


def flags(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", text))


def arguments_of(config: type[Settings]) -> dict[str, str]:
    """The settings that are given without a flag, each with what the help calls it."""
    extras = {name: field.json_schema_extra for name, field in config.model_fields.items()}
    return {name: str(extra["argument"]) for name, extra in extras.items() if isinstance(extra, dict)}


def test_help_lists_every_verb_and_the_exit_codes(run: Run) -> None:
    outcome = run("--help")
    assert outcome.code == 0
    listed = re.findall(r"^\W*([a-z]+)  +[A-Z]", outcome.out, flags=re.MULTILINE)
    assert sorted(listed) == VERBS
    assert {"bench", "classify", "demo", "generate", "models", "report", "train", "verify"} <= set(VERBS)
    assert "Exit codes: 0 done, 1 failed, 2 bad input or usage, 3 damage found, 130" in outcome.out


def test_version_is_printed(run: Run) -> None:
    assert run("--version") == Outcome(0, f"synthaug {__version__}\n", "")


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb_shows_an_example_that_works_with_its_flags(verb: str, run: Run) -> None:
    outcome = run(verb, "--help")
    assert outcome.code == 0
    example = re.search(r"Example: (synthaug .*?)\s*$", outcome.out, flags=re.MULTILINE)
    assert example is not None
    words = shlex.split(example[1])
    assert words[:2] == ["synthaug", verb]
    assert {word for word in words if word.startswith("--")} <= flags(outcome.out)
    assert "--json" in flags(outcome.out)


@pytest.mark.parametrize("verb", GIVEN)
def test_help_of_a_verb_has_every_setting_as_a_flag_or_argument_with_its_description(verb: str, run: Run) -> None:
    text, arguments = run(verb, "--help").out, arguments_of(GIVEN[verb]["config"])
    for name, field in GIVEN[verb]["config"].model_fields.items():
        assert arguments[name] in text if name in arguments else f"--{name.replace('_', '-')}" in flags(text)
        assert field.description
        assert field.description in text
    assert {"--config", "--json", "--quiet"} <= flags(text)
    assert ("--dry-run" in flags(text)) is (GIVEN[verb]["plan"] is not None)


def test_every_verb_that_writes_or_computes_long_takes_settings(run: Run) -> None:
    assert {"bench", "classify", "demo", "generate", "train", "verify"} <= set(GIVEN)
    assert {verb for verb in VERBS if "--config" in flags(run(verb, "--help").out)} == set(GIVEN)


@pytest.mark.parametrize("verb", GIVEN)
def test_unknown_key_in_a_config_file_is_bad_usage(verb: str, run: Run, here: Path) -> None:
    config = GIVEN[verb]["config"]
    (here / "config.yaml").write_text("sede: 3\n")
    outcome = run(verb, *arguments_of(config), "--config", "config.yaml")
    assert outcome.code == 2
    assert f"unknown setting 'sede'; known: {', '.join(config.model_fields)}" in outcome.err
    assert outcome.out == ""
    assert [path.name for path in here.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize(
    "words",
    [
        ["frobnicate"],
        ["train", "--frobnicate"],
        ["train"],
        ["train", "--out", "x", "--images", "many"],
        ["train", "--out", "x", "--images", "0"],
        ["train", "--out", "x", "--steps", "7"],
        ["train", "--out", "x", "--device", "abacus"],
        ["verify"],
        ["verify", "missing"],
        ["report", "missing"],
        ["classify", "--data", "imagefolder:missing"],
        ["bench", "--synthetic", "missing", "--out", "x"],
    ],
    ids=" ".join,
)
def test_bad_usage_exits_with_2_and_writes_nothing(words: list[str], run: Run, here: Path) -> None:
    outcome = run(*words)
    assert outcome.code == 2
    assert outcome.out == ""
    assert outcome.err.strip()
    assert "Traceback" not in outcome.err
    assert not list(here.iterdir())


def test_damage_exits_with_3(run: Run, digits_set: Path) -> None:
    (digits_set / "train-000000.tar").unlink()
    outcome = run("verify", digits_set)
    assert outcome.code == 3
    assert "train-000000.tar is missing" in outcome.err


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyboardInterrupt(), 130, "synthaug: interrupted; finished parts are kept: run the same command again"),
        (SystemExit(143), 143, "synthaug: terminated; finished parts are kept: run the same command again"),
        (TrainingError("the loss is no longer a number"), 1, "synthaug: the loss is no longer a number"),
        (StorageError("the disk is [full]"), 1, "synthaug: the disk is [full]"),
        (InputError("no such thing"), 2, "synthaug: no such thing"),
        (DamageError("a shard is cut short"), 3, "synthaug: a shard is cut short"),
        (ZeroDivisionError("oh"), 1, "synthaug: unexpected ZeroDivisionError: oh (run again with --debug"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_end_has_its_exit_code_and_one_line(
    error: BaseException, code: int, message: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(folder: Path) -> None:
        raise error

    monkeypatch.setattr(report_verb, "report", fail)
    outcome = run("report", "bench")
    assert outcome.code == code
    assert outcome.err.startswith(message)
    assert outcome.err.count("\n") == 1
    assert outcome.out == ""


def dry_run_of_train(_: Path) -> tuple[list[Any], dict[str, Any]]:
    return ["train", "--per-class-real", 5, "--out", "made", "--images", "2k", "--batch-size", 500], {
        "images": 2000,
        "batch_size": 500,
    }


def dry_run_of_classify(digits_set: Path) -> tuple[list[Any], dict[str, Any]]:
    words = ["classify", "--per-class-real", 20, "--out", "made", "--synthetic", digits_set]
    return words, {"train": 200, "synthetic": 40}


def dry_run_of_bench(digits_set: Path) -> tuple[list[Any], dict[str, Any]]:
    words = ["bench", "--per-class-real", 20, "--out", "made", "--synthetic", digits_set, "--seeds", 4]
    return words, {"cells": 20, "missing_cells": 20, "arms": list(DEFAULT_ARMS)}


def dry_run_of_demo(_: Path) -> tuple[list[Any], dict[str, Any]]:
    return ["demo", "--out", "made"], {}


@pytest.mark.parametrize("words_of", [dry_run_of_train, dry_run_of_classify, dry_run_of_bench, dry_run_of_demo])
def test_dry_run_prints_one_json_object_and_creates_nothing(
    words_of: Callable[[Path], tuple[list[Any], dict[str, Any]]], run: Run, here: Path, digits_set: Path
) -> None:
    words, expected = words_of(digits_set)
    outcome = run(*words, "--device", "cpu", "--dry-run", "--json")
    assert outcome.code == 0, outcome.err
    plan = json.loads(outcome.out)
    assert {name: plan[name] for name in expected} == expected
    assert outcome.out.count("\n") == 1
    assert not list(here.iterdir())


def test_dry_run_without_json_prints_the_same_for_people(run: Run, here: Path) -> None:
    plan = json.loads(run("demo", "--dry-run", "--json").out)
    text = run("demo", "--dry-run").out
    assert list(plan) == ["train", "generate", "bench"]
    assert f"\n  per_class_real: {plan['bench']['per_class_real']}\n" in text


def test_flags_win_over_the_config_file(run: Run, here: Path) -> None:
    (here / "config.yaml").write_text("per-class-real: 5\nimages: 7\nout: made\n")
    plan = json.loads(run("train", "--config", "config.yaml", "--images", 9, "--dry-run", "--json").out)
    assert plan["images"] == 9


def test_classify_prints_one_json_object_and_talks_on_stderr_unless_told_to_be_quiet(run: Run, here: Path) -> None:
    words = ["classify", "--per-class-real", "5", "--steps", "1", "--batch-size", "4", "--device", "cpu", "--json"]
    talking, silent = run(*words), run(*words, "--quiet")
    for outcome in (talking, silent):
        assert outcome.code == 0
        assert json.loads(outcome.out)["steps"] == 1
    assert "cifarnet: 50 real and 0 synthetic images" in talking.err
    assert silent.err == ""


def test_verify_prints_one_json_object(run: Run, digits_set: Path) -> None:
    outcome = run("verify", digits_set, "--json")
    assert outcome.code == 0
    assert json.loads(outcome.out)["verification"]["class_counts"] == dict.fromkeys("0123456789", 4)


def test_models_are_listed_for_programs_and_for_people(run: Run, here: Path) -> None:
    outcome = run("models", "--json")
    assert outcome.code == 0
    names = json.loads(outcome.out)
    assert "ddpm" in names["generators"]
    assert list(names["recipes"]) == ["fast", "survey-50", "strong"]
    assert {"resnet20", "resnet18"} <= set(names["networks"])
    assert names["sources"] == ["digits", "cifar10", "imagefolder", "wds"]
    text = run("models").out
    for name in [*names["generators"]["ddpm"], *names["recipes"], *names["networks"], *names["transforms"]]:
        assert re.search(rf"\b{re.escape(name)}\b", text)


def test_debug_shows_the_error_itself_before_and_after_the_verb(run: Run, here: Path) -> None:
    for words in (["--debug", "report", "missing"], ["report", "missing", "--debug"]):
        with pytest.raises(InputError, match="holds no finished bench"):
            main(words)
