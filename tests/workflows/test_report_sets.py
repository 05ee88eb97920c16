"""What becomes of the report with several sets and several numbers of real images."""

from __future__ import annotations

import base64
import json
import re
import shlex
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthaug.cli.main import build_app
from synthaug.cli.verb import to_json
from synthaug.core.errors import InputError
from synthaug.data.splits import Splits
from synthaug.generators.checkpoint import read_card, write_card
from synthaug.shards.manifest import Manifest
from synthaug.workflows.bench import BenchConfig
from synthaug.workflows.bench.record import RegimeRecord, SetFacts, SetRecord, StudyRecord
from synthaug.workflows.bench.summary import BenchSummary, FailedCell
from synthaug.workflows.bench.worth import Worth
from synthaug.workflows.checkpoints import packaged_checkpoints
from synthaug.workflows.report import figures, report
from synthaug.workflows.report.drawing import INK, Entry, rows_plot, shortened
from synthaug.workflows.report.making import commands
from synthaug.workflows.report.provenance import Provenance
from synthaug.workflows.synthesize import generate
from tests.workflows.benches import noise_set
from tests.workflows.pages import (
    COST,
    GAINS,
    Page,
    assert_reads_as,
    make_costs,
    make_regime,
    make_summary,
    rendered,
    undrawn_svg,
    write_bench,
)
from tests.workflows.sets import MakeConfig, samples_of, shards_in

NAMES = ("ddpm", "my $x^{$ \\1 a|b <i>\"set\"</i> & 'more'")
HEADER = ["set", "images", "curated", "recognised, %", "Frechet distance", "precision", "recall", "density"]
LIVE = (
    "![x](https://evil.example/p.png)", "[free](javascript:alert(1))", "[a]: /url 'b'", "# x", "x #", "1. x", "23) x",
    "- x", "+ x", "> x", "---", "- - -", "***", "___", "===", "``` x", "`` `x` ``", "*a* **b**", "_a_ __b__ c_d_",
    "~~x~~", "\\", "\\*x\\*", "<https://evil.example>", "&lt;b&gt; &#35;", "x | y \\| z", "| --- |",
)  # fmt: skip
ROWS = [
    ["ddpm", "40", "no", "62.5", "1.5", "0.900", "0.800", "1.100", "0.700", "9"],
    [NAMES[1], "40", "no", "50.0", "1.5", "0.900", "0.800", "1.100", "0.700", "9"],
]


def three_regimes() -> BenchSummary:
    """1 % of the real images gain, 10 % gain nothing sure, all of them lose."""
    worth = Worth(37.25, 12.0, 61.0, is_at_least=False, is_at_most=False)
    return make_summary(
        regimes=[
            make_regime(name="1 %", fraction=0.01, images_per_class=5.0, level=50.0, worth=worth),
            make_regime(GAINS["inconclusive"], name="10 %", fraction=0.1, images_per_class=50.0, level=60.0),
            make_regime(GAINS["hurts"], name="100 %", fraction=1.0, images_per_class=500.0),
        ]
    )


def write_study(folder: Path, summary: BenchSummary, names: list[str]) -> None:
    """What the bench set out to do: as many sets with each of these numbers of real images."""
    known = {name: getattr(summary.regimes[0].sets[0], name) for name in SetFacts.model_fields}
    known |= {"training_seconds": 34.0, "cost": None}
    regimes = [
        RegimeRecord(
            name=name, fraction=None, images_per_class=1.0, counts={}, steps=1, longer_steps=None, real_epochs=1.0,
            arms=[], sets=[SetRecord(**known)], cells=[],
        )
        for name in names
    ]  # fmt: skip
    names_of = ("source", "class_names", "seeds", "settings", "environment", "extensions")
    facts = {name: getattr(summary, name) for name in names_of}
    StudyRecord(regimes=regimes, **facts).write(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished bench of two sets, one with a hostile name, and its report."""
    folder = tmp_path_factory.mktemp("report")
    summary = make_summary(names=NAMES)
    write_bench(folder, summary, make_costs(summary, cost=COST), synthetic=["sets/a", "sets/b,c"])
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


@pytest.fixture
def regimes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Page, str]:
    """A bench of three numbers of real images, and its report without the lines of its plots."""
    monkeypatch.setattr("synthaug.workflows.report.drawing.svg", undrawn_svg)
    summary = three_regimes()
    write_bench(tmp_path, summary, make_costs(summary, generator=34.0, cost=COST))
    result = report(tmp_path)
    return tmp_path, Page(result.report.read_text(encoding="utf-8")), result.markdown.read_text(encoding="utf-8")


def test_table_of_sets_has_a_row_for_each(page: Page, markdown: str) -> None:
    [rows] = [rows for rows in page.tables if rows[0][: len(HEADER)] == HEADER]
    assert rows[1:] == ROWS
    assert f"| {' | '.join(ROWS[0])} |" in markdown.splitlines()
    assert len([line for line in markdown.splitlines() if line.endswith("| 0.700 | 9 |")]) == 2


def test_what_was_neither_measured_nor_recorded_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synthaug.workflows.report.drawing.svg", undrawn_svg)
    write_bench(tmp_path, make_summary((2.0,), quality=None))
    result = report(tmp_path)
    for text in (result.report, result.markdown):
        assert "Images were drawn on" not in text.read_text(encoding="utf-8")
        assert "sampling not recorded" in text.read_text(encoding="utf-8")
    [row] = Page(result.report.read_text(encoding="utf-8")).table("set")
    assert row == ["ddpm", "40", "no", "62.5", *["not measured"] * 5, "9"]


def test_hardware_of_the_sampling_is_named(page: Page, markdown: str) -> None:
    [note] = [text for text in page.texts["p"] if "Images were drawn on" in text]
    assert "one <b>GPU</b> (cuda)" in note
    assert "one &lt;b&gt;GPU&lt;/b&gt; (cuda)" in markdown


def test_every_arm_comparison_and_class_is_in_the_tables(page: Page) -> None:
    per_set = ("synthetic", "mixed", "mixed+classic")
    arms = ["real", "real+classic", *(f"{kind} ({name})" for kind in per_set for name in NAMES)]
    assert [row[0] for row in page.table("arm", "test accuracy, %")] == arms
    assert [row[0] for row in page.table("comparison")] == [
        f"{arm} − real+classic" for arm in [*arms[-2:], arms[0], *arms[2:-2]]
    ]
    assert len([rows for rows in page.tables if rows[0][:2] == ["class", "gain, points"]]) == 2


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


def test_missing_picture_of_a_set_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synthaug.workflows.report.drawing.svg", undrawn_svg)
    write_bench(tmp_path, make_summary(names=NAMES))
    (tmp_path / "synthetic-2.png").unlink()
    with pytest.raises(InputError, match=r"synthetic-2\.png is missing"):
        report(tmp_path)


def test_names_of_sets_stay_words(html: str, page: Page, markdown: str) -> None:
    for text in (html, markdown):
        assert '<i>"set' not in text
        assert "<b>GPU" not in text
    assert f"{NAMES[1]} +2.00 points" in page.all("svg")[0]["aria-label"]
    drawn = "".join("".join(page.texts["text"]).split())
    assert "".join(NAMES[1].split()) in drawn  # neither a formula nor markup


@pytest.mark.parametrize("group", range(3))
def test_names_that_are_markdown_read_as_they_are(group: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synthaug.workflows.report.drawing.svg", undrawn_svg)
    names = LIVE[group::3]
    write_bench(tmp_path, make_summary(names=names, classes=(*LIVE[:2], "plain")))
    result = report(tmp_path)
    page, markdown = Page(result.report.read_text("utf-8")), result.markdown.read_text("utf-8")
    assert_reads_as(markdown, page)
    read = rendered(markdown)
    assert read.texts["strong"] == page.texts["b"]
    assert [text.partition(": mixed")[0] for text in read.texts["p"] if ": mixed+classic (" in text] == list(names)


def test_names_are_drawn_as_they_are() -> None:
    """Whatever they have in common with the colours, letters and names of the drawing."""
    name = """#777777 #fefefe id="a" href="#b" url(#c) font 'DejaVu Sans'"""
    entry = Entry("plain", name, 1.0, None, None, (), INK)
    drawing = rows_plot([entry], "points", name, has_zero=True)
    texts = ["".join(found.itertext()) for found in ET.fromstring(drawing).iter() if found.tag.endswith("text")]
    assert {"plain", name} <= set(texts)
    assert ET.fromstring(drawing).get("aria-label") == name
    assert f"var(--dim, {INK})" in drawing
    assert "system-ui" in drawing


def test_verdicts_stand_at_the_top_each_in_its_colour(page: Page, folder: Path, markdown: str) -> None:
    assert report(folder).sentence.startswith("ddpm helps this classifier (+3.00, +0.52 to +5.48); my $x")
    assert page.texts["title"] == ["synthaug: 2 synthetic sets compared"]
    verdicts = ["ddpm: helps, +3.00 (+0.52 to +5.48)", f"{NAMES[1]}: inconclusive, +2.00 (-0.48 to +4.48)"]
    assert page.texts["b"] == verdicts
    assert [item["class"] for item in page.all("li")] == ["helps", "inconclusive"]
    assert "cost 21 min: 7 min per point gained" in page.texts["span"]
    assert markdown.startswith(
        "# synthaug: 2 synthetic sets compared\n\n- **ddpm: helps, +3.00 (+0.52 to +5.48)**: cost"
    )


def test_each_number_of_real_images_has_a_verdict_and_a_part(regimes: tuple[Path, Page, str]) -> None:
    _, page, markdown = regimes
    assert page.texts["title"] == ["synthaug: one synthetic set, 3 amounts of real images"]
    assert page.texts["b"] == [
        "1 %: helps, +3.00 (+0.52 to +5.48)",
        "10 %: inconclusive, +0.67 (-6.92 to +8.26)",
        "100 %: hurts, -3.00 (-5.48 to -0.52)",
    ]
    assert "equals about 37 extra real images per class (12 to 61); cost 38 s: 13 s per point gained" in markdown
    parts = [f"With {name} of the real images ({count} a class)" for name, count in PARTS.items()]
    assert [text for text in page.texts["h2"] if text.startswith("With")] == parts
    assert [line[3:] for line in markdown.splitlines() if line.startswith("## With")] == parts
    links = [link["href"] for link in page.all("a")]
    assert links == ["#regime-1", "#regime-2", "#regime-3", "#measured", "#settings"]
    gains = [rows for rows in page.tables if rows[0][0] == "comparison"]
    assert [rows[1][1] for rows in gains] == ["+3.00", "+0.67", "-3.00"]


PARTS = {"1 %": "5", "10 %": "50", "100 %": "500"}


def test_worth_and_costs_have_a_row_for_each_number_of_real_images(regimes: tuple[Path, Page, str]) -> None:
    _, page, _ = regimes
    rows = page.table("real images", "set")
    took = ["34 s", "4 s", "+0.5 s", "38 s"]
    assert rows == [
        ["1 % (5 a class)", "ddpm", "+3.00", "about 37", "12 to 61", *took, "13 s"],
        ["10 % (50 a class)", "ddpm", "+0.67", "not known", "–", *took, "no gain shown"],
        ["100 % (500 a class)", "ddpm", "-3.00", "not known", "–", *took, "no gain shown"],
    ]


def test_accuracy_by_real_images_is_a_curve(regimes: tuple[Path, Page, str]) -> None:
    _, page, markdown = regimes
    [curve] = [plot["aria-label"] for plot in page.all("svg") if "by real images" in plot["aria-label"]]
    real = "real only: 50.00 % with 5, 60.00 % with 50, 70.00 % with 500"
    assert curve.endswith(f"{real}; with ddpm: 53.00 % with 5, 60.67 % with 50, 67.00 % with 500")
    assert real in markdown


def test_each_number_of_real_images_shows_its_own_pictures(regimes: tuple[Path, Page, str]) -> None:
    folder, page, markdown = regimes
    data = [base64.b64decode(picture["src"].partition(",")[2]) for picture in page.all("img")]
    files = [f"regime-{number}/{name}" for number in (1, 2, 3) for name in ("real.png", "synthetic.png")]
    assert data == [(folder / name).read_bytes() for name in files]
    assert all(f"]({name})" in markdown for name in files)


def test_failures_say_with_how_many_real_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synthaug.workflows.report.drawing.svg", undrawn_svg)
    failed = [FailedCell(regime="10 %", arm="mixed", seed=1, reason="no memory")]
    summary = three_regimes()
    write_bench(tmp_path, summary.model_copy(update={"failed": failed, "done": summary.done - 1}))
    assert "> - failed: mixed, seed 1 (10 %): no memory" in report(tmp_path).markdown.read_text(encoding="utf-8")


def test_numbers_of_real_images_with_nothing_to_compare_yet_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("synthaug.workflows.report.drawing.svg", undrawn_svg)
    summary = three_regimes()
    write_bench(tmp_path, summary)
    write_study(tmp_path, summary, ["1 %", "10 %", "100 %"])
    partly = summary.model_copy(update={"regimes": summary.regimes[1:2], "done": 20})
    monkeypatch.setattr("synthaug.workflows.report.write.refresh_summary", lambda _: partly)
    result = report(tmp_path)
    text = result.markdown.read_text(encoding="utf-8")
    assert "> - nothing to compare yet: 1 %, 100 %" in text
    assert "](regime-2/real.png)" in text
    assert "regime-1" not in text


@pytest.mark.parametrize("count", [1, 2, 5, 12])
def test_plots_show_all_arms_however_many(count: int) -> None:
    names = tuple(f"{number} {'long ' * 50}" for number in range(count))
    summary = make_summary(GAINS["helps"], names, arms=("real+classic", "mixed+classic"))
    [regime] = summary.regimes
    for draw in (figures.comparisons_plot, figures.accuracy_plot, figures.validation_plot, figures.loss_plot):
        drawing = ET.fromstring(draw(regime).svg)
        lines = [group for group in drawing.iter() if "line2d_" in group.get("id", "")]
        assert len(lines) >= count
    curves = figures.validation_plot(regime).svg
    styles = set(re.findall(r'style="(fill: none; stroke[^"]*)"', curves))
    assert len([style for style in styles if "--dim" not in style]) >= count + 1


@settings(max_examples=50, deadline=None)
@given(st.text(min_size=1, max_size=200), st.floats(20, 400))
def test_shortened_names_keep_their_ends(name: str, room: float) -> None:
    short, line = shortened(name, room), " ".join(name.split())
    if short != line:
        front, _, back = short.partition("…")
        assert line.startswith(front)
        assert line.endswith(back)
        assert len(short) < len(line) + 1
    assert shortened(line, 1e9) == line


def of_set(where: Path, folder: Path, **facts: Any) -> BenchSummary:
    """A bench of a set that is there, in a folder."""
    plan = Manifest.read(where).plan
    known = {"per_class": plan.label_counts(), "images_seen": plan.generator.images_seen, "quotas": None}
    summary = make_summary(classes=plan.class_names, **known | facts)
    data = {"data": {"source_fingerprint": plan.generator.split.source_fingerprint}}
    [regime] = summary.regimes
    regime = regime.model_copy(update={"sets": [regime.sets[0].model_copy(update={"where": str(where)})]})
    summary = summary.model_copy(update={"source": "digits", "settings": data, "regimes": [regime]})
    folder.mkdir(exist_ok=True)
    write_bench(folder, summary)
    return summary


def told(folder: Path) -> tuple[Page, list[list[str]]]:
    """The page of a bench, and the words of its commands but the bench's own, without the program's name."""
    page = Page(report(folder).report.read_text(encoding="utf-8"))
    lines = [shlex.split(line) for text in page.texts["pre"] for line in text.splitlines()]
    assert all(line[0] == "synthaug" for line in lines)
    return page, [line[1:] for line in lines if line[1] in ("train", "generate", "curate")]


@pytest.fixture
def made(tiny_checkpoint: Path, make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A set beside its generator, of which nobody has made a report."""
    monkeypatch.setattr("synthaug.workflows.report.drawing.svg", undrawn_svg)
    shutil.copytree(tiny_checkpoint, tmp_path / "generator")
    generate(make_config(model=str(tmp_path / "generator"), seed=3))
    return tmp_path / "set"


def test_commands_of_the_report_make_the_set_that_it_judges(made: Path, tmp_path: Path) -> None:
    """The same generator, from its images and settings on, and with it the same bytes of every sample."""
    of_set(made, tmp_path / "bench")
    page, commands = told(tmp_path / "bench")
    assert [line[0] for line in commands] == ["train", "generate"]
    shutil.rmtree(tmp_path / "generator")
    original = str(made.rename(tmp_path / "original"))
    for line, quicker in zip(commands, [["--grid-every", "1000"], []], strict=True):
        build_app()([*line, *quicker, "--device", "cpu", "--quiet"], standalone_mode=False)
    assert samples_of(str(made)) == samples_of(original)
    assert shards_in(str(made)) == shards_in(original)
    [row] = page.table("set", "generator")
    assert row[1:5] == ["ddpm, preset digits", "50 real images", "40", "the last"]
    assert "batch size 8" in row[5]
    assert row[6] == "sampler dpmpp, 2 steps, guidance 1, seed 3, fp32"


def test_a_training_that_ended_early_is_told(made: Path, tmp_path: Path) -> None:
    card = read_card(tmp_path / "generator")
    training = card.training.model_copy(update={"planned_images": 96_000, "kept_after": 32})
    write_card(tmp_path / "generator", card.model_copy(update={"training": training}))
    of_set(made, tmp_path / "bench", remark="trained otherwise: <b> instead of none")
    page, [train, _] = told(tmp_path / "bench")
    assert train[train.index("--images") + 1] == "96000"
    assert any("ended early: 40 of 96,000 images were shown" in text for text in page.texts["p"])
    assert page.table("set", "generator")[0][3:5] == ["40 of 96,000 planned", "after 32 images"]
    assert "ddpm: trained otherwise: <b> instead of none." in page.texts["p"]


def test_what_only_the_card_knows_is_said_to_be_unknown_without_it(made: Path, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "generator")
    of_set(made, tmp_path / "bench")
    page, [train, generate] = told(tmp_path / "bench")
    assert train[train.index("--images") + 1] == "40"
    assert "--batch-size" not in train
    assert generate[generate.index("--seed") + 1] == "3"
    assert any("the card of its generator was not at hand; the command takes" in text for text in page.texts["p"])


def test_how_a_set_was_made_is_kept_when_it_is_gone_or_replaced(made: Path, tmp_path: Path) -> None:
    of_set(made, tmp_path / "bench")
    before = report(tmp_path / "bench").report.read_bytes()
    made.rename(tmp_path / "away")
    shutil.rmtree(tmp_path / "generator")
    assert report(tmp_path / "bench").report.read_bytes() == before
    split = Manifest.read(tmp_path / "away").plan.generator.split
    noise_set(made, split)
    assert report(tmp_path / "bench").report.read_bytes() == before
    of_set(tmp_path / "away", tmp_path / "other", per_class=(1,) * 10)  # another set than was benched
    page, commands = told(tmp_path / "other")
    assert not commands
    assert "How ddpm was made was not recorded: no manifest of it was at hand." in page.texts["p"]


def test_a_packaged_generator_is_called_by_its_name(
    digits_splits: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("synthaug.workflows.report.drawing.svg", undrawn_svg)
    where = noise_set(tmp_path / "set", digits_splits.record)
    manifest = json.loads((where / "manifest.json").read_text())
    card = read_card(packaged_checkpoints()["acgan-digits"])
    manifest["plan"]["generator"] |= {"model": card.model, "checkpoint": card.checkpoint}
    (where / "manifest.json").write_text(json.dumps(manifest))
    of_set(where, tmp_path / "bench")
    _, [line] = told(tmp_path / "bench")
    assert (line[0], line[line.index("--model") + 1]) == ("generate", "acgan-digits")


def test_a_chosen_set_has_the_commands_that_chose_it() -> None:
    one = Provenance(
        where="sets/best", fingerprint="f", model="ddpm", preset="small", real=(5, 6), images_seen=9, seconds=1.0,
        card=None, folder="sets/best-generator", train=None, generate={"per_class": 4}, drawn="",
        filters=[["duplicates", "quota=cat:1,dog:2"], ["confidence=0.5"]],
    )  # fmt: skip
    lines, doubts = commands(one)
    assert [line[1] for line in lines] == ["generate", "curate", "curate"]
    drawn, first, second = (line[line.index("--out") + 1] for line in lines)
    assert (lines[1][2], lines[2][2], second) == (drawn, first, "sets/best")
    assert lines[1][3:7] == ["--filter", "duplicates", "--filter", "quota=cat:1,dog:2"]
    assert any("No setting asks for the 11 real images" in text for text in doubts)


def test_the_kept_report_of_cifar10_is_written_again_from_its_folder_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("synthaug.workflows.report.drawing.svg", undrawn_svg)
    monkeypatch.chdir(tmp_path)
    kept = Path(__file__).parents[2] / "benchmarks" / "reports" / "cifar10_fractions"
    folder = shutil.copytree(kept, tmp_path / "copy")
    _, commands = told(folder)
    images = [line[line.index("--images") + 1] for line in commands if line[0] == "train"]
    assert images == ["48000", "96000"]
    assert all(line[line.index("--diffaugment") + 1] == "colour,translation" for line in commands if line[0] == "train")
    verdicts = [line for line in (kept / "report.md").read_text("utf-8").splitlines() if line.startswith("- **")]
    assert verdicts
    assert set(verdicts) <= set((folder / "report.md").read_text("utf-8").splitlines())
    places = [word for line in commands for word in line if "/" in word]
    assert places
    assert not any(Path(word.partition(":")[2] or word).is_absolute() for word in places)


def test_command_in_the_report_names_every_set(page: Page) -> None:
    [shown] = [text for text in page.texts["pre"] if text.startswith("synthaug bench")]
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
