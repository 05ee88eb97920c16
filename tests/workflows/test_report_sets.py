"""The report's table of generators, and what becomes of the page with several sets."""

from __future__ import annotations

import base64
import re
import shlex
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from synthaug.cli.main import build_app
from synthaug.cli.verb import to_json
from synthaug.core.errors import InputError
from synthaug.workflows.bench import BenchConfig
from synthaug.workflows.cost import SamplingCost
from synthaug.workflows.report import report
from synthaug.workflows.report.figures import accuracy_plot, curves_plot, gain_plot, loss_plot
from tests.workflows.pages import GAINS, Page, make_summary, write_bench

NAMES = ("ddpm", "my $x^{$ \\1 a|b <i>\"set\"</i> & 'more'")
HEADER = ["generator", "verdict", "gain, points", "recognised, %", "Frechet distance", "recall", "coverage"]
COSTS = ["training, s", "sampling, images/s", "images"]
ROWS = [
    ["ddpm", "helps", "+3.00 (+0.52 to +5.48)", "62.5", "1.5", "0.800", "0.700", "1,234", "2,500.0", "40"],
    [NAMES[1], "inconclusive", "+2.00 (-0.48 to +4.48)", "50.0", "2.5", "0.800", "0.700", "1,234", "2,500.0", "40"],
]
COST = SamplingCost(images=10_000, seconds=4.0, hardware=("one <b>GPU</b> (cuda)",))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished bench of two sets, one with a hostile name, and its report."""
    folder = tmp_path_factory.mktemp("report")
    write_bench(folder, make_summary(names=NAMES, cost=COST), synthetic=["sets/a", "sets/b,c"])
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


def test_table_of_generators_has_a_row_for_each_set(page: Page, markdown: str) -> None:
    assert page.tables[0][0] == HEADER + COSTS  # on the first screen
    assert page.table("generator") == ROWS
    assert f"| {' | '.join(ROWS[0])} |" in markdown.splitlines()
    assert len([line for line in markdown.splitlines() if "| 2,500.0 | 40 |" in line]) == 2


def test_table_of_generators_has_one_row_for_one_set(tmp_path: Path) -> None:
    write_bench(tmp_path, make_summary(cost=COST))
    assert Page(report(tmp_path).report.read_text(encoding="utf-8")).table("generator") == ROWS[:1]


def test_what_was_neither_measured_nor_recorded_is_said_so(tmp_path: Path) -> None:
    summary = make_summary((2.0,))
    plain = summary.model_copy(update={"sets": [summary.sets[0].model_copy(update={"quality": None})]})
    write_bench(tmp_path, plain)
    result = report(tmp_path)
    for text in (result.report, result.markdown):
        assert "Sampling was timed" not in text.read_text(encoding="utf-8")
    [row] = Page(result.report.read_text(encoding="utf-8")).table("generator")
    assert row == ["ddpm", "no verdict", "+2.00", "62.5", *["not measured"] * 3, "1,234", "not recorded", "40"]


def test_hardware_of_the_sampling_is_named(page: Page, markdown: str) -> None:
    [note] = [text for text in page.texts["p"] if "Sampling was timed" in text]
    assert "one <b>GPU</b> (cuda)" in note
    assert "one &lt;b&gt;GPU&lt;/b&gt; (cuda)" in markdown


def test_every_arm_comparison_and_class_share_is_in_the_tables(page: Page) -> None:
    arms = ["real", "real+classic", *(f"mixed+classic ({name})" for name in NAMES)]
    assert [row[0] for row in page.table("arm")] == arms
    assert [row[0] for row in page.table("comparison")] == [
        *(f"{arm} − real+classic" for arm in arms[2:]),
        *(f"{arm} − real" for arm in arms[2:]),
        "real+classic − real",
        f"{arms[2]} − {arms[3]}",
    ]
    shares = [f"{name} recognised, %" for name in NAMES]
    assert [row[1:3] for row in page.table("class", *shares)] == [["25.0"] * 2, ["50.0"] * 2, ["75.0"] * 2]


def test_every_set_is_shown_with_its_name(page: Page, folder: Path, markdown: str) -> None:
    pictures = page.all("img")
    captions = [
        "Real training images, one class a row",
        *(f"Synthetic images of {name}, one class a row" for name in NAMES),
    ]
    assert [picture["alt"] for picture in pictures] == captions
    for picture, name in zip(pictures, ("real.png", "synthetic-1.png", "synthetic-2.png"), strict=True):
        data = picture["src"].removeprefix("data:image/png;base64,")
        assert base64.b64decode(data) == (folder / name).read_bytes()
        assert f"]({name})" in markdown


def test_missing_picture_of_a_set_is_named(tmp_path: Path) -> None:
    write_bench(tmp_path, make_summary(names=NAMES))
    (tmp_path / "synthetic-2.png").unlink()
    with pytest.raises(InputError, match=r"synthetic-2\.png is missing"):
        report(tmp_path)


def test_names_of_sets_stay_words(html: str, page: Page, markdown: str) -> None:
    for text in (html, markdown):
        assert '<i>"set' not in text
        assert "<b>GPU" not in text
    assert [plot["role"] for plot in page.all("svg")] == ["img"] * 4
    assert f"mixed+classic ({NAMES[1]}) − real+classic +2.00 points" in page.all("svg")[0]["aria-label"]


def test_verdicts_stand_at_the_top_in_words(page: Page, folder: Path, markdown: str) -> None:
    sentence = report(folder).sentence
    assert sentence.startswith("ddpm helps this classifier (+3.00, +0.52 to +5.48); my $x")
    assert page.texts["p"][0] == sentence
    assert page.texts["title"] == ["synthaug: 2 synthetic sets compared"]
    assert markdown.startswith("# synthaug: 2 synthetic sets compared\n\n**ddpm helps this classifier")


@pytest.mark.parametrize("count", [1, 2, 5, 12])
def test_plots_show_all_arms_however_many(count: int) -> None:
    summary = make_summary(GAINS["helps"], tuple(f"{number} {'long ' * 50}" for number in range(count)))
    for draw in (accuracy_plot, gain_plot, curves_plot, loss_plot):
        drawing = ET.fromstring(draw(summary))
        lines = [group for group in drawing.iter() if group.get("id", "").startswith("line2d_")]
        assert len(lines) > (count + 2)
    curves = curves_plot(summary)
    styles = set(re.findall(r'style="(fill: none; stroke[^"]*)"', curves))
    assert len([style for style in styles if "#777777" not in style]) >= count + 2


def test_command_in_the_report_names_every_set(page: Page) -> None:
    [shown] = page.texts["pre"]
    _, verb, *words = shlex.split(shown)
    assert verb == "bench"
    assert [value for flag, value in zip(words[::2], words[1::2], strict=True) if flag == "--synthetic"] == [
        "sets/a",
        "sets/b,c",
    ]


def test_the_command_line_takes_several_sets_and_those_of_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [verb] = [command for command in build_app().registered_commands if command.name == "bench"]
    assert verb.callback is not None
    seen: list[BenchConfig] = []
    monkeypatch.setattr("synthaug.cli.bench.plan_bench", lambda config: seen.append(config) or {})
    config = BenchConfig.resolve({}, folder / "config.yaml")
    for words in (config.flags(), ["--config", str(folder / "config.yaml")]):
        build_app()(["bench", *words, "--dry-run", "--json"], standalone_mode=False)
    assert seen == [config, config]
    assert to_json(config)["synthetic"] == ["sets/a", "sets/b,c"]
