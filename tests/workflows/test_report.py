import base64
import json
import re
import shlex
from pathlib import Path

import pytest

from synthaug.cli.main import build_app
from synthaug.core.errors import InputError
from synthaug.workflows.bench import BenchConfig, plan_bench
from synthaug.workflows.bench.arms import arms_of
from synthaug.workflows.report import report
from synthaug.workflows.report.tables import command_line
from synthaug.workflows.report.write import bench_and_report
from tests.workflows.pages import CLASSES, GAINS, Page, make_summary, write_bench


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished bench with hostile names, and its report."""
    folder = tmp_path_factory.mktemp("report")
    write_bench(folder, make_summary())
    report(folder)
    return folder


@pytest.fixture(scope="module")
def html(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


@pytest.fixture(scope="module")
def markdown(folder: Path) -> str:
    return (folder / "report.md").read_text(encoding="utf-8")


def test_page_loads_nothing_from_anywhere(html: str, page: Page) -> None:
    namespaces = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert set(re.findall(r"https?://[^\s\"'<>)]+", html)) <= namespaces
    assert not {"script", "link", "iframe", "object", "embed", "base"} & {tag for tag, _ in page.tags}
    for tag, attributes in page.tags:
        for name in ("src", "href", "xlink:href"):
            assert attributes.get(name, "#").startswith(("#", "data:image/png;base64,")), (tag, attributes)
    assert "@import" not in html
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", html))


def test_page_shows_both_pictures_with_a_description(page: Page, folder: Path) -> None:
    pictures = page.all("img")
    assert [picture["alt"] for picture in pictures] == [
        "Real training images, one class a row",
        "Synthetic images, one class a row",
    ]
    for picture, name in zip(pictures, ("real.png", "synthetic.png"), strict=True):
        data = picture["src"].removeprefix("data:image/png;base64,")
        assert base64.b64decode(data) == (folder / name).read_bytes()


def test_plots_tell_their_figures_to_those_who_cannot_see_them(page: Page) -> None:
    plots = page.all("svg")
    assert [plot["role"] for plot in plots] == ["img"] * 4
    gains, accuracies, *_ = [plot["aria-label"] for plot in plots]
    assert "mixed+classic − real+classic +3.00 points" in gains
    assert "real 60.00 %; real+classic 70.00 %; mixed+classic 73.00 %" in accuracies
    assert all("width" not in plot for plot in plots)


def test_page_has_every_arm_and_every_gain_in_its_tables(page: Page) -> None:
    arms = page.table("arm")
    assert [row[:2] for row in arms] == [["real", "60.00"], ["real+classic", "70.00"], ["mixed+classic", "73.00"]]
    assert [row[5] for row in arms] == [arm.meaning for arm in arms_of(["ddpm"])]
    first, *_ = page.table("comparison")
    assert first == ["mixed+classic − real+classic", "+3.00", "+0.52 to +5.48", "helps"]


def test_page_has_a_table_of_settings_with_nested_names_and_short_hashes(page: Page) -> None:
    assert page.table("setting") == [
        ["data.source", "imagefolder:my <b>images</b>"],
        ["data.class_counts", "5, 5, 5"],
        ["data.train_fingerprint", "abababababab…"],
        ["synthetic_fraction", "0.5"],
        ["recipe.network", "resnet20"],
        ["recipe.steps", "10"],
    ]


def test_page_has_a_row_for_each_class_and_blanks_where_nothing_was_tested(page: Page) -> None:
    rows = page.table("class")
    assert [row[0] for row in rows] == list(CLASSES)
    assert [row[1] for row in rows] == ["25.0", "50.0", "75.0"]
    assert rows[2][2:] == ["", "", ""]


def test_markdown_has_the_same_tables(page: Page, markdown: str) -> None:
    lines = markdown.splitlines()
    start = lines.index("## Arms") + 2
    assert lines[start + 1] == "| --- | --- | --- | --- | --- | --- |"
    assert lines[start + 2 : start + 5] == [f"| {' | '.join(row)} |" for row in page.table("arm")]
    for row in page.table("comparison"):
        assert f"| {' | '.join(row)} |" in lines
    assert "| recipe.steps | 10 |" in lines
    assert "![real training images](real.png)" in markdown
    assert "![synthetic images](synthetic.png)" in markdown


def test_hostile_names_stay_words(html: str, markdown: str) -> None:
    for text in (html, markdown):
        assert "<script" not in text
        assert "&lt;script&gt;" in text
        assert "<b>images" not in text
        assert "<i>abacus" not in text
    [row] = [line for line in markdown.splitlines() if "dog" in line]
    assert row.startswith('| a&#124;b &amp; "dog" | 50.0 |')
    assert row.count("|") == 6
    assert "| two lines | 75.0 |" in markdown


@pytest.mark.parametrize("verdict", GAINS)
def test_verdict_stands_at_the_top_in_words(verdict: str, tmp_path: Path) -> None:
    summary = make_summary(GAINS[verdict])
    assert summary.verdict == verdict
    write_bench(tmp_path, summary)
    result = report(tmp_path)
    page = Page(result.report.read_text(encoding="utf-8"))
    [attributes] = [attributes for attributes in page.all("p") if attributes.get("class", "").startswith("verdict")]
    assert attributes["class"] == f"verdict {verdict.partition(' ')[0]}"
    assert page.texts["p"][0] == summary.sentence() == result.sentence
    assert result.markdown.read_text(encoding="utf-8").startswith(
        f"# synthaug: {verdict}\n\n**{summary.sentence()}**\n"
    )


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        (
            "helps",
            r"helps this classifier \(\+3\.00 points of test accuracy, 95 % interval \+0\.52 to \+5\.48, 3 ",
        ),
        ("hurts", r"hurts this classifier \(-3\.00 points of test accuracy, 95 % interval -5\.48 to -0\.52, 3 paired"),
        ("inconclusive", r"do not show whether .* \(\+0\.67 points of test accuracy, 95 % interval -6\.92 to \+8\.26"),
        ("no verdict", r"at least 3 seeds are needed \(\+3\.00 points .*, 2 paired seeds\)"),
    ],
)
def test_sentence_tells_gain_interval_and_seeds(verdict: str, words: str) -> None:
    assert re.search(words, make_summary(GAINS[verdict]).sentence())


def test_report_of_a_single_seed_has_no_interval(tmp_path: Path) -> None:
    write_bench(tmp_path, make_summary((2.0,)))
    page = Page(report(tmp_path).report.read_text(encoding="utf-8"))
    assert [row[2] for row in page.table("comparison")] == ["", "", ""]
    assert [row[2] for row in page.table("arm")] == ["", "", ""]


def test_report_is_the_same_file_every_time(folder: Path, html: str, markdown: str) -> None:
    result = report(folder)
    assert result.report.read_text(encoding="utf-8") == html
    assert result.markdown.read_text(encoding="utf-8") == markdown


def test_command_in_the_report_gives_the_settings_of_the_bench(tmp_path: Path) -> None:
    folder = tmp_path / 'it\'s my "bench" & more'
    folder.mkdir()
    others = {"data": "imagefolder:my images", "fraction": 0.25, "steps": 12, "learning_rate": 1e-5, "device": "cpu"}
    config = write_bench(folder, make_summary(), **others)
    result = report(folder)
    [shown] = Page(result.report.read_text(encoding="utf-8")).texts["pre"]
    assert f"    {shown}\n" in result.markdown.read_text(encoding="utf-8")
    program, verb, *words = shlex.split(shown)
    assert (program, verb) == ("synthaug", "bench")
    given = {flag[2:].replace("-", "_"): value for flag, value in zip(words[::2], words[1::2], strict=True)}
    assert BenchConfig.resolve(given) == config


def test_command_in_the_report_continues_the_bench_that_it_describes(
    digits_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = {"per_class_real": 20, "seeds": 1, "steps": 1, "batch_size": 4, "device": "cpu", "precision": "fp32"}
    config = BenchConfig.resolve({**few, "synthetic": digits_set, "out": tmp_path / "out"})
    reported = bench_and_report(config)
    assert reported.report.is_file()
    _, *words = shlex.split(command_line(config.out))
    build_app()([*words, "--dry-run", "--json"], standalone_mode=False)
    plan = json.loads(capsys.readouterr().out)
    assert plan["missing_cells"] == 0
    assert plan["settings"] == json.loads((config.out / "settings.json").read_text()) == plan_bench(config).settings


def test_folder_without_a_finished_bench_is_refused(tmp_path: Path) -> None:
    for empty in (tmp_path, tmp_path / "missing"):
        with pytest.raises(InputError, match=r"holds no finished bench \(report\.json is missing\)"):
            report(empty)
    assert not list(tmp_path.iterdir())


def test_summary_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text('{"format": 2}')
    with pytest.raises(InputError, match=r"report\.json is not readable"):
        report(tmp_path)


@pytest.mark.parametrize("name", ["real.png", "synthetic.png"])
def test_missing_picture_is_named(name: str, tmp_path: Path) -> None:
    write_bench(tmp_path, make_summary())
    (tmp_path / name).unlink()
    with pytest.raises(InputError, match=f"{re.escape(name)} is missing"):
        report(tmp_path)
    assert not (tmp_path / "report.html").exists()
