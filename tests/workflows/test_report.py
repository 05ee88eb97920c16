from __future__ import annotations

import base64
import json
import re
import shlex
from pathlib import Path

import pytest

from synthaug.cli.main import build_app
from synthaug.core.errors import InputError, TrainingError
from synthaug.workflows.bench import BenchConfig, plan_bench
from synthaug.workflows.bench.arms import DEFAULT_ARMS
from synthaug.workflows.bench.record import Extension
from synthaug.workflows.bench.sentence import verdict_sentence
from synthaug.workflows.bench.summary import BenchSummary, EqualEpochs, FailedCell
from synthaug.workflows.bench.worth import Worth
from synthaug.workflows.curate.named import NamedFilter, check_classes
from synthaug.workflows.report import bench_and_report, report
from synthaug.workflows.report.write import command_line
from synthaug.workflows.run.record import RECORD_NAME
from tests.workflows.pages import (
    CLASSES,
    COST,
    GAINS,
    Page,
    assert_reads_as,
    compare,
    make_control,
    make_costs,
    make_summary,
    undrawn_svg,
    write_bench,
)

WORTH = Worth(37.25, 12.0, 61.0, is_at_least=False, is_at_most=False)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plots without their lines, which take long; with all that they say."""
    monkeypatch.setattr("synthaug.workflows.report.drawing.svg", undrawn_svg)


def reported(folder: Path, summary: BenchSummary) -> tuple[Page, str]:
    """The page, and the Markdown, of a bench."""
    write_bench(folder, summary)
    result = report(folder)
    return Page(result.report.read_text(encoding="utf-8")), result.markdown.read_text(encoding="utf-8")


def changed(summary: BenchSummary, **changes: object) -> BenchSummary:
    """With another only number of real images."""
    [regime] = summary.regimes
    return summary.model_copy(update={"regimes": [regime.model_copy(update=changes)]})


def with_control(*, is_as_expected: bool | None) -> BenchSummary:
    control = make_control("wrong | labels", "must <not> help", GAINS["helps"], is_as_expected=is_as_expected)
    return changed(make_summary(), controls=[control])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished bench with hostile names, and its report."""
    folder = tmp_path_factory.mktemp("report")
    summary = make_summary(worth=WORTH)
    write_bench(folder, summary, make_costs(summary, generator=34.0, cost=COST))
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


def test_names_of_elements_are_unique_and_links_lead_somewhere(page: Page) -> None:
    names = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(names)) == len(names)
    links = [attributes["href"] for _, attributes in page.tags if attributes.get("href", "").startswith("#")]
    links += [attributes["xlink:href"] for _, attributes in page.tags if "xlink:href" in attributes]
    assert {link[1:] for link in links if link.startswith("#")} <= set(names)


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
    assert [plot["role"] for plot in plots] == ["img"] * 5
    assert all("width" not in plot for plot in plots)
    gain, every, accuracies, validation, loss = [plot["aria-label"] for plot in plots]
    assert gain.endswith("mixed+classic − real+classic +3.00 points (+0.52 to +5.48)")
    assert "real − real+classic -10.00 points (-10.00 to -10.00)" in every
    assert "real 60.00 % (60.00 to 60.00); real+classic 70.00 %" in accuracies
    assert "mixed+classic 73.00 % at step 10" in validation
    assert "mixed+classic 1 at step 10" in loss


def test_first_come_verdict_gain_cost_and_worth(html: str, markdown: str) -> None:
    words = [
        "Synthetic data helps this classifier (+3.00 points of test accuracy, 95 % interval +0.52 to +5.48",
        "13 s per point gained",
        "generator 34 s + sampling 4 s + training +0.5 s = 38 s",
        "equals about 37 extra real images per class",
        "95 % interval 12 to 61",
    ]
    for text in (html, markdown):
        places = [text.index(word) for word in words]
        assert places == sorted(places)
        assert places[-1] < text.index("What it is worth, and what it took")
    assert html.index(words[0]) < html.index("<svg") < html.index(words[1])


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("worth", "words"),
    [
        (Worth(120.0, 100.0, 120.0, is_at_least=True, is_at_most=False), "at least 120 extra real images per class"),
        (Worth(0.0, 0.0, 3.5, is_at_least=False, is_at_most=True), "no more than 0 extra real images per class"),
        (Worth(0.0, 0.0, 0.0, is_at_least=True, is_at_most=False), ""),
        (Worth(2.5, None, None, is_at_least=False, is_at_most=False), "about 2.5 extra real images per class"),
    ],
)
def test_worth_beyond_the_curve_is_said_so(worth: Worth, words: str, tmp_path: Path) -> None:
    page, markdown = reported(tmp_path, make_summary(worth=worth))
    told = [text for text in (*page.texts["dd"], *markdown.splitlines()) if "equals" in text]
    assert len(told) == (2 if words else 0)
    assert all(f"equals {words}" in text for text in told)
    [row] = page.table("real images", "set")
    assert row[3] == (words.removesuffix(" extra real images per class") or "not known")
    assert row[4] == {120.0: "100 to 120", 3.5: "0 to 3.5", 0.0: "–", None: "–"}[worth.high]


@pytest.mark.usefixtures("undrawn")
def test_without_a_gain_there_is_no_break_even(tmp_path: Path) -> None:
    page, markdown = reported(tmp_path, make_summary(GAINS["hurts"]))
    for text in (" ".join(page.texts["dd"]), markdown):
        assert "no gain shown, so no break-even" in text
        assert "per point gained" not in text
    [row] = page.table("real images", "set")
    took = ["21 min", "not recorded", "+0.5 s", "at least 21 min"]
    assert row[1:] == ["ddpm", "-3.00", "not known", "–", *took, "no gain shown"]


def test_every_difference_stands_with_all_its_figures(page: Page, markdown: str) -> None:
    rows = page.table("comparison")
    assert rows[0] == [
        "mixed+classic − real+classic",
        "+3.00",
        "+0.52 to +5.48",
        "+1.75 to +4.25",
        "+0.25 to +5.75",
        "0.250 (0.250)",
        "0.043",
        "helps",
        "3.21",
        "17",
    ]
    assert [row[0].partition(" ")[0] for row in rows[1:]] == ["real", "synthetic", "mixed"]
    for row in rows:
        assert f"| {' | '.join(row)} |" in markdown.splitlines()


def test_every_arm_stands_with_all_its_figures(page: Page, markdown: str) -> None:
    rows = page.table("arm", "test accuracy, %")
    assert [row[0] for row in rows] == ["real", "real+classic", "synthetic", "mixed", "mixed+classic"]
    assert rows[4] == [
        "mixed+classic",
        "73.00",
        "70.52 to 75.48",
        "72.00, 74.00, 73.00",
        "72.00",
        "1.5 s",
        "real and synthetic images in each batch, with the same classic augmentation",
    ]
    assert page.table("arm", "calibration error, points")[0] == [
        *("real", "4.25", "3.63 to 4.87"),
        *("0.863", "0.707 to 1.018"),
    ]
    corrupted = page.table("arm", "corrupted, mean %", "95 % interval", "blur, %", "noise, %")
    assert corrupted[4] == ["mixed+classic", "53.00", "50.52 to 55.48", "58.0", "48.0"]
    for row in [*rows, *corrupted]:
        assert f"| {' | '.join(row)} |" in markdown.splitlines()


@pytest.mark.usefixtures("undrawn")
def test_corruptions_that_were_not_looked_at_have_no_table(tmp_path: Path) -> None:
    summary = make_summary()
    plain = {"corrupted_accuracy": None, "per_corruption": {}}
    arms = [arm.model_copy(update=plain) for arm in summary.regimes[0].arms]
    page, markdown = reported(tmp_path, changed(summary, arms=arms))
    assert "Corrupted images" not in page.texts["h2"]
    assert "corrupted" not in markdown


@pytest.mark.usefixtures("undrawn")
def test_an_inconclusive_bench_says_what_it_could_have_found(tmp_path: Path) -> None:
    page, markdown = reported(tmp_path, make_summary(GAINS["inconclusive"]))
    words = (
        "mixed+classic − real+classic: by the test over seeds, corrected for the number of sets (Holm), 3 seeds find a "
        "true difference of 3.21 points in 80 of 100 benches; to find one point as surely takes 17 seeds. Luck with "
        "the test images, which more seeds do not remove, comes on top."
    )
    assert words in page.texts["p"]
    assert words in markdown


@pytest.mark.usefixtures("undrawn")
def test_an_interval_above_zero_without_a_verdict_is_explained(tmp_path: Path) -> None:
    summary = make_summary()
    one = summary.regimes[0].sets[0]
    gain = one.gain.model_copy(update={"adjusted_p": 0.0625, "verdict": "inconclusive"})
    sets = [one.model_copy(update={"gain": gain, "verdict": "inconclusive"})]
    page, markdown = reported(tmp_path, changed(summary, sets=sets))
    words = "the seeds agree, but p is 0.062 after correction"
    assert words in page.texts["p"][0]
    assert words in markdown


@pytest.mark.usefixtures("undrawn")
def test_a_bench_that_grew_says_so(tmp_path: Path) -> None:
    summary = make_summary().model_copy(update={"extensions": [Extension(done=10, seeds=2, arms=5)]})
    page, markdown = reported(tmp_path, summary)
    assert any(text.startswith("Seeds or arms were added when results were there.") for text in page.texts["div"])
    assert page.texts["li"] == ["after 10 trainings, of a bench of 5 arms and 2 seeds"]
    assert markdown.index("after 10 trainings") < markdown.index("Synthetic data helps")


@pytest.mark.usefixtures("undrawn")
def test_a_bench_that_lost_seeds_or_arms_says_so_and_what(tmp_path: Path) -> None:
    told = [
        Extension(done=12, seeds=4, arms=3, left_out=("seed 3", "real-repeated")),
        Extension(done=6, seeds=3, arms=2, added=("seed 4",)),
    ]
    steps = [
        "after 12 trainings, of a bench of 3 arms and 4 seeds; left out: seed 3, real-repeated",
        "after 6 trainings, of a bench of 2 arms and 3 seeds; added: seed 4",
    ]
    for count, change in ((1, "left out"), (2, "added and left out")):
        summary = make_summary().model_copy(update={"extensions": told[:count]})
        (tmp_path / str(count)).mkdir()
        page, markdown = reported(tmp_path / str(count), summary)
        [warning] = [text for text in page.texts["div"] if text.startswith("Seeds or arms were ")]
        assert warning.startswith(f"Seeds or arms were {change} when results were there.")
        assert warning.endswith("what was left out might have said otherwise.")
        assert page.texts["li"] == steps[:count]
        assert markdown.index("left out: seed 3") < markdown.index("Synthetic data helps")


def test_the_folder_of_a_run_points_to_its_bench(tmp_path: Path) -> None:
    (tmp_path / RECORD_NAME).write_text("{}")
    with pytest.raises(InputError, match=f"holds a run.*run: synthaug report {tmp_path / 'bench'}$"):
        report(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [RECORD_NAME]
    with pytest.raises(InputError, match="holds no finished bench .*run: synthaug bench --out"):
        report(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


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
    gains = page.table("class", "gain, points")
    assert [row[0] for row in gains] == list(CLASSES)
    assert [row[1:] for row in gains[:3]] == [
        ["+4.00", "+2.50 to +5.50", "helps", "25.0", "14"],
        ["-4.00", "-5.50 to -2.50", "hurts", "50.0", "13"],
        ["not tested", "–", "no verdict", "75.0", "13"],
    ]
    assert [row[1:] for row in page.table("class", "gain on validation images, points")[:3]] == [
        ["+4.00", "+2.50 to +5.50", "helps", "14", "20"],
        ["-4.00", "-5.50 to -2.50", "hurts", "13", "0"],
        ["no images", "–", "no verdict", "13", "10"],
    ]
    accuracies = page.table("class", "real, %")
    assert [row[1:] for row in accuracies[:3]] == [
        ["60.0", "70.0", "66.5", "71.0", "73.0"],
        ["59.0", "69.0", "65.5", "70.0", "72.0"],
        ["–"] * 5,
    ]


@pytest.mark.usefixtures("undrawn")
def test_nothing_is_suggested_by_the_test_images(tmp_path: Path) -> None:
    summary = make_summary(classes=("cat", "dog", "owl"), validated_classes=None, quotas=None)
    page, markdown = reported(tmp_path, summary)
    assert [row[3] for row in page.table("class", "gain, points")] == ["helps", "hurts", "no verdict"]
    for text in (" ".join(page.texts["p"] + page.texts["th"] + page.texts["pre"]), markdown):
        assert not any(word in text for word in ("Suggested", "suggested images", "synthaug curate"))


@pytest.mark.usefixtures("undrawn")
def test_quotas_of_former_versions_are_passed_over(tmp_path: Path) -> None:
    """They were chosen by the test images."""
    summary = make_summary(classes=("cat", "dog", "owl"), validated_classes=None, quotas=None)
    write_bench(tmp_path, summary)
    kept = json.loads((tmp_path / "report.json").read_text())
    [one] = kept["regimes"][0]["sets"]
    del one["validated_classes"], one["quotas"]
    for found in one["classes"]:
        found["quota"] = 7
    (tmp_path / "report.json").write_text(json.dumps(kept))
    result = report(tmp_path)
    assert result.summary == summary
    assert "synthaug curate" not in result.markdown.read_text(encoding="utf-8")


@pytest.mark.usefixtures("undrawn")
def test_suggested_quotas_come_as_a_command_that_curate_takes(tmp_path: Path) -> None:
    names = ("cat", "a dog: large", "it's")
    page, markdown = reported(tmp_path, make_summary(classes=names))
    [shown] = [text for text in page.texts["pre"] if "curate" in text]
    assert f"    {shown}" in markdown.splitlines()
    words = shlex.split(shown)
    assert words[:4] == ["synthaug", "curate", "sets/ddpm", "--filter"]
    assert words[4] == "quota=cat:20,a dog: large:0,it's:10"
    check_classes([NamedFilter.parse(words[4])], names)
    assert words[5:] == ["--out", "ddpm-chosen"]
    assert any("More have to be drawn of cat." in text for text in page.texts["p"])


def test_classes_that_no_command_can_name_have_none(page: Page) -> None:
    assert not any("curate" in text for text in page.texts["pre"])
    assert any("No command can choose by these names of classes." in text for text in page.texts["p"])


def test_markdown_shows_pictures_and_settings(markdown: str) -> None:
    assert "| recipe.steps | 10 |" in markdown
    assert "![real training images](real.png)" in markdown
    assert "![synthetic images](synthetic.png)" in markdown
    assert "mixed+classic 73.00 % at step 10" in markdown


def test_hostile_names_stay_words(html: str, markdown: str) -> None:
    for text in (html, markdown):
        assert "<script" not in text
        assert "&lt;script&gt;" in text
        assert "<b>" not in re.sub(r"<b>[^<]*</b>(?=<span>)", "", text)
        assert "<i>abacus" not in text
    row = next(line for line in markdown.splitlines() if "dog" in line and "hurts" in line)
    assert row.startswith('| a&#124;b &amp; "dog" | -4.00 |')
    assert row.count("|") == 7
    assert "| two lines | not tested |" in markdown


def test_markdown_reads_as_the_page_does(page: Page, markdown: str) -> None:
    assert_reads_as(markdown, page)


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("verdict", GAINS)
def test_verdict_stands_at_the_top_in_words(verdict: str, tmp_path: Path) -> None:
    summary = make_summary(GAINS[verdict])
    page, markdown = reported(tmp_path, summary)
    [attributes] = [attributes for attributes in page.all("p") if attributes.get("class", "").startswith("verdict")]
    assert attributes["class"] == f"verdict {verdict.partition(' ')[0]}"
    sentence = verdict_sentence(summary)
    assert page.texts["p"][0] == sentence == report(tmp_path).sentence
    assert markdown.startswith(f"# synthaug: {verdict}\n\n**{sentence}**\n")


@pytest.mark.usefixtures("undrawn")
def test_report_of_a_single_seed_has_no_interval(tmp_path: Path) -> None:
    page, _ = reported(tmp_path, make_summary((2.0,)))
    for row in page.table("comparison"):
        assert row[2:5] == ["–"] * 3
        assert row[8:] == ["–"] * 2
    assert [row[2] for row in page.table("arm", "test accuracy, %")] == ["–"] * 5


def test_a_finished_bench_has_no_banner(page: Page, markdown: str) -> None:
    assert not any(attributes.get("role") == "alert" for attributes in page.all("div"))
    assert "\n> " not in markdown


@pytest.mark.usefixtures("undrawn")
def test_an_unfinished_bench_says_so_and_what_failed(tmp_path: Path) -> None:
    failed = [FailedCell(regime="20 a class", arm="mixed+classic", seed=2, reason="loss of <nan> at step 3")]
    summary = changed(make_summary(missing=4), missing=4).model_copy(update={"failed": failed})
    page, markdown = reported(tmp_path, summary)
    words = "This bench is unfinished: 15 of 19 trainings are done, 1 failed. Run the same command again to retry"
    assert any(text.startswith(words) for text in page.texts["div"])
    assert page.texts["li"] == ["failed: mixed+classic, seed 2 (20 a class): loss of <nan> at step 3"]
    assert f"\n\n> **{words}" in markdown
    assert "> - failed: mixed+classic, seed 2 (20 a class): loss of &lt;nan&gt; at step 3\n" in markdown
    assert any("4 trainings are still to be done." in text for text in page.texts["p"])


@pytest.mark.usefixtures("undrawn")
def test_a_bench_with_nothing_to_compare_yet_has_a_report(tmp_path: Path) -> None:
    summary = make_summary(missing=10).model_copy(update={"regimes": [], "done": 3})
    page, markdown = reported(tmp_path, summary)
    assert page.texts["p"][0] == "No verdict yet: 3 of 25 trainings are done." == report(tmp_path).sentence
    assert markdown.startswith("# synthaug: no verdict yet\n\n> **This bench is unfinished")
    assert page.table("setting")


@pytest.mark.usefixtures("undrawn")
def test_arms_that_are_not_done_are_absent(tmp_path: Path) -> None:
    summary = make_summary(missing=3)
    [regime] = summary.regimes
    arms = [arm for arm in regime.arms if arm.name != "synthetic"]
    comparisons = [one for one in regime.comparisons if one.arm != "synthetic"]
    page, markdown = reported(tmp_path, changed(summary, arms=arms, comparisons=comparisons))
    assert [row[0] for row in page.table("arm", "test accuracy, %")] == [arm.name for arm in arms]
    assert "| synthetic |" not in markdown


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("is_as_expected", [True, False, None])
def test_a_control_that_fails_is_a_warning_before_the_verdict(is_as_expected: bool | None, tmp_path: Path) -> None:
    page, markdown = reported(tmp_path, with_control(is_as_expected=is_as_expected))
    assert page.table("control") == [
        [
            "wrong | labels",
            "must <not> help",
            "wrong | labels − real+classic: +3.00 (+0.52 to +5.48)",
            "helps",
            {True: "yes", False: "NO", None: "too few seeds to tell"}[is_as_expected],
        ]
    ]
    banners = [attributes for attributes in page.all("div") if attributes.get("role") == "alert"]
    assert len(banners) == (is_as_expected is False)
    warning = markdown.find("A control came out otherwise than it must.")
    assert (warning == -1) == (is_as_expected is not False)
    assert warning < markdown.index("Synthetic data helps")


@pytest.mark.usefixtures("undrawn")
def test_the_view_at_equal_real_epochs_has_tables_of_its_own(tmp_path: Path) -> None:
    summary = make_summary()
    comparison = compare("mixed+classic", GAINS["hurts"], "real+classic (20 steps)")
    view = EqualEpochs(steps=20, comparisons=[comparison], arms=summary.regimes[0].arms[:2])
    write_bench(tmp_path, changed(summary, equal_epochs=view))
    page = Page(report(tmp_path).report.read_text(encoding="utf-8"))
    assert any("take 20 steps instead of 10" in text for text in page.texts["p"])
    tables = [rows for rows in page.tables if rows[0][0] == "comparison"]
    assert tables[1][1][:2] == ["mixed+classic − real+classic (20 steps)", "-3.00"]
    assert len([rows for rows in page.tables if rows[0][:2] == ["arm", "test accuracy, %"]]) == 2


@pytest.mark.usefixtures("undrawn")
def test_arms_that_differ_in_their_share_alone_make_a_curve(tmp_path: Path) -> None:
    arms = (*DEFAULT_ARMS, "mixed+classic@0.25", "mixed+classic@0.75")
    page, _ = reported(tmp_path, make_summary(arms=arms))
    [curve] = [plot["aria-label"] for plot in page.all("svg") if "by share" in plot["aria-label"]]
    assert curve.endswith("mixed+classic: -2.75 at 25%, +3.00 at 50%, -3.25 at 75%")


def test_report_is_the_same_file_every_time(folder: Path, html: str, markdown: str) -> None:
    result = report(folder)
    assert result.report.read_text(encoding="utf-8") == html
    assert result.markdown.read_text(encoding="utf-8") == markdown


@pytest.mark.usefixtures("undrawn")
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


@pytest.mark.usefixtures("undrawn")
def test_command_in_the_report_continues_the_bench_that_it_describes(
    digits_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = {"per_class_real": 20, "seeds": 1, "steps": 1, "batch_size": 4, "device": "cpu", "precision": "fp32"}
    few |= {"arms": "real,mixed", "robustness": False}
    config = BenchConfig.resolve({**few, "synthetic": digits_set, "out": tmp_path / "out"})
    result = bench_and_report(config)
    assert result.report.is_file()
    _, *words = shlex.split(command_line(config.out))
    build_app()([*words, "--dry-run", "--json"], standalone_mode=False)
    plan = json.loads(capsys.readouterr().out)
    assert plan["missing_cells"] == 0
    assert plan["settings"] == result.summary.settings == plan_bench(config).settings


@pytest.mark.usefixtures("undrawn")
def test_a_bench_in_which_a_training_failed_has_a_report_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_bench(tmp_path, make_summary(missing=1))

    def fail(config: BenchConfig) -> None:
        raise TrainingError("1 of 16 trainings failed")

    monkeypatch.setattr("synthaug.workflows.report.write.bench", fail)
    with pytest.raises(TrainingError, match="1 of 16"):
        bench_and_report(config)
    assert "This bench is unfinished" in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_folder_without_a_bench_is_refused(tmp_path: Path) -> None:
    for empty in (tmp_path, tmp_path / "missing"):
        with pytest.raises(InputError, match=r"report\.json is missing"):
            report(empty)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("undrawn")
def test_summary_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text('{"format": 3}')
    with pytest.raises(InputError, match=r"report\.json is not readable"):
        report(tmp_path)


@pytest.mark.usefixtures("undrawn")
def test_summary_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text('{"format": 2}')
    with pytest.raises(InputError, match=r"has format 2, this version reads 3"):
        report(tmp_path)


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("name", ["real.png", "synthetic.png", "costs.json", "config.yaml"])
def test_missing_file_is_named(name: str, tmp_path: Path) -> None:
    write_bench(tmp_path, make_summary())
    (tmp_path / name).unlink()
    with pytest.raises(InputError, match=f"{re.escape(name)} is missing"):
        report(tmp_path)
    assert not (tmp_path / "report.html").exists()
