from __future__ import annotations

import json
from pathlib import Path

import pytest

from synthaug.cli.main import build_app
from synthaug.core.errors import InputError
from synthaug.workflows.report import ComparedBenches, compare_reports
from tests.workflows.pages import (
    COST,
    GAINS,
    Page,
    make_costs,
    make_regime,
    make_summary,
    rendered,
    undrawn_svg,
    write_bench,
)

HOSTILE = "b <i>two & ![x](y) *z* _1_"


@pytest.fixture(autouse=True)
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plots without their lines, which take long; with all that they say."""
    monkeypatch.setattr("synthaug.workflows.report.drawing.svg", undrawn_svg)


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Two benches, one of two numbers of real images and unfinished, in the current folder."""
    monkeypatch.chdir(tmp_path)
    other = make_summary(
        regimes=[
            make_regime(GAINS["hurts"], name="1 %", fraction=0.01, images_per_class=5.0),
            make_regime(GAINS["inconclusive"], name="10 %", fraction=0.1, images_per_class=50.0, level=80.0),
        ],
        missing=2,
    )
    recipe = {"network": "resnet20", "steps": 99}
    summaries = {
        "a": make_summary(),
        HOSTILE: other.model_copy(update={"settings": other.settings | {"recipe": recipe, "new": "z"}}),
    }
    for name, summary in summaries.items():
        Path(name).mkdir()
        write_bench(Path(name), summary)
    make_costs(summaries["a"], generator=34.0, cost=COST).write(Path("a"))
    return [Path(name) for name in summaries]


def compared(folders: list[Path]) -> tuple[ComparedBenches, Page, str]:
    result = compare_reports(folders, Path("sub/page.html"))
    return result, Page(Path("sub/page.html").read_text(encoding="utf-8")), Path("sub/page.md").read_text("utf-8")


def test_there_is_a_row_for_each_bench_number_of_real_images_and_set(folders: list[Path]) -> None:
    result, page, markdown = compared(folders)
    source = "imagefolder:my <b>images</b>"
    base = "(real+classic)"
    rows = [
        ["a", source, "20 (20 a class)", "ddpm", f"70.00 {base}", "73.00 (mixed+classic)", "+3.00",
         "+0.52 to +5.48", "+0.25 to +5.75", "helps", "13 s"],
        [f"{HOSTILE} (unfinished)", source, "5 (1 %)", "ddpm", f"70.00 {base}", "67.00 (mixed+classic)", "-3.00",
         "-5.48 to -0.52", "-5.75 to -0.25", "hurts", "–"],
        [f"{HOSTILE} (unfinished)", source, "50 (10 %)", "ddpm", f"80.00 {base}", "80.67 (mixed+classic)", "+0.67",
         "-6.92 to +8.26", "-2.08 to +3.42", "inconclusive", "–"],
    ]  # fmt: skip
    assert page.table("bench") == rows == result.table()[1:]
    assert f"| {' | '.join(rows[0])} |".replace("<b>", "&lt;b&gt;").replace("</b>", "&lt;/b&gt;") in markdown


def test_the_plot_has_all_gains(folders: list[Path]) -> None:
    _, page, _ = compared(folders)
    [plot] = page.all("svg")
    assert plot["aria-label"] == (
        f"Gain in test accuracy: a +3.00 points (+0.52 to +5.48); {HOSTILE}, 1 % -3.00 points (-5.48 to -0.52); "
        f"{HOSTILE}, 10 % +0.67 points (-6.92 to +8.26)"
    )


def test_settings_that_differ_are_named_and_no_others(folders: list[Path]) -> None:
    result, page, _ = compared(folders)
    assert page.table("setting", "a", HOSTILE) == [
        ["real images", "20 a class", "1 %, 10 %"],
        ["steps", "10", "10, 10"],
        ["recipe.steps", "10", "99"],
        ["new", "–", "z"],
    ]
    assert result.differing["new"] == [None, "z"]


def test_equal_benches_differ_in_no_setting(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_bench(tmp_path / name, make_summary())
    result = compare_reports([tmp_path / "a", tmp_path / "b"], tmp_path / "page.html")
    assert result.differing == {}
    assert "In no setting." in Page(result.comparison.read_text("utf-8")).texts["p"]


def test_names_stay_words(folders: list[Path]) -> None:
    compared(folders)
    for name in ("sub/page.html", "sub/page.md"):
        text = Path(name).read_text(encoding="utf-8")
        assert "<i>two" not in text
        assert "&lt;i&gt;two" in text
    read = rendered(Path("sub/page.md").read_text(encoding="utf-8"))
    assert read.tables == Page(Path("sub/page.html").read_text(encoding="utf-8")).tables
    assert not {"a", "img", "em"} & {tag for tag, _ in read.tags}


def test_a_bench_with_nothing_to_compare_yet_is_told(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_bench(tmp_path / name, make_summary(missing=10).model_copy(update={"regimes": []}))
    page = Page(compare_reports([tmp_path / "a", tmp_path / "b"], tmp_path / "page.html").comparison.read_text("utf-8"))
    assert page.texts["p"][:1] == [f"{tmp_path / 'a'}: No verdict yet: 15 of 25 trainings are done."]
    assert not page.all("svg")


def test_command_line_writes_a_page_here_and_prints_a_table(
    folders: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    build_app()(["report", *map(str, folders)], standalone_mode=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["bench", "data", "real/class"]
    assert lines[1].split()[0] == "a"
    assert "+3.00 (+0.52 to +5.48)  helps" in lines[1]
    assert lines[-1] == "comparison: comparison.html"
    assert all((folder / "report.html").is_file() for folder in folders)
    assert Path("comparison.md").is_file()


def test_command_line_prints_one_json_object(folders: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    build_app()(["report", *map(str, folders), "--json", "--out", "other.html"], standalone_mode=False)
    found = json.loads(capsys.readouterr().out)
    assert found["comparison"] == "other.html"
    assert found["reports"] == [str(folder / "report.html") for folder in folders]
    rows = [(row["run"], row["regime"], row["verdict"], row["is_complete"]) for row in found["rows"]]
    assert rows == [
        ("a", "20 a class", "helps", True),
        (HOSTILE, "1 %", "hurts", False),
        (HOSTILE, "10 %", "inconclusive", False),
    ]
    assert found["rows"][0]["gain"]["per_seed"] == [2.0, 4.0, 3.0]
    assert found["differing"]["recipe.steps"] == ["10", "99"]


def test_one_bench_is_only_reported(folders: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    build_app()(["report", "a"], standalone_mode=False)
    assert capsys.readouterr().out.splitlines()[-1] == "report: a/report.html"
    assert not Path("comparison.html").exists()
    with pytest.raises(InputError, match="--out is for the page that compares several"):
        build_app()(["report", "a", "--out", "page.html"], standalone_mode=False)


def test_what_cannot_be_compared_is_refused(folders: list[Path]) -> None:
    with pytest.raises(InputError, match="found page.pdf"):
        compare_reports(folders, Path("page.pdf"))
    with pytest.raises(InputError, match="given twice"):
        compare_reports([folders[0], folders[0].resolve()], Path("page.html"))
    with pytest.raises(InputError, match=r"report\.json is missing"):
        compare_reports([folders[0], Path("nothing")], Path("page.html"))
    assert not Path("page.html").exists()
