from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from synthaug.workflows.bench.summary import BenchSummary, FailedCell
from synthaug.workflows.bench.worth import Worth
from synthaug.workflows.report import compare_reports, report
from tests.e2e.browser import open_browser, open_page
from tests.workflows.pages import CLASSES, COST, GAINS, make_control, make_costs, make_regime, make_summary, write_bench

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = pytest.mark.browser

PHONE, DESKTOP, PAPER = 390, 1280, 688
#: All that there is, for two sets with names of some length.
ARMS = (
    "real", "real+classic", "real+strong", "synthetic", "mixed", "mixed+classic", "pretrain-then-finetune",
    "real-repeated", "synthetic-wrong-labels", "mixed+classic@0.25",
)  # fmt: skip
NAMES = ("ddpm", "an acgan <b>with</b> a $name$ that is far too long for a line of a phone, let alone a label")
WORTH = Worth(37.25, 12.0, 61.0, is_at_least=False, is_at_most=False)
#: Boxes of the words of each plot, and of the plot itself, in pixels.
BOXES = """svg => {
    const box = (one) => { const b = one.getBoundingClientRect(); return [b.left, b.top, b.right, b.bottom] };
    return [box(svg), [...svg.querySelectorAll("text")].map(box)];
}"""
LINE_BOXES = BOXES.replace('"text"', '"[id*=line2d] > path, [id*=line2d] use"')
WORD_SIZE = """svg => Math.min(...[...svg.querySelectorAll("text")].map(
    (one) => parseFloat(getComputedStyle(one).fontSize) * Math.abs(one.getScreenCTM().a)))"""


def crowded() -> BenchSummary:
    """Two numbers of real images, two sets, failures and a control that failed."""
    classes = (*CLASSES, "an unusually long name of a class, which does not fit into a line of a phone, let alone two")
    known = {"names": NAMES, "arms": ARMS, "classes": classes, "worth": WORTH}
    few = make_regime(name="1 %", fraction=0.01, images_per_class=5.0, **known)
    every = make_regime(GAINS["hurts"], name="100 %", fraction=1.0, images_per_class=500.0, **known)
    control = make_control("synthetic-wrong-labels (ddpm)", "must not help", GAINS["helps"], is_as_expected=False)
    failed = FailedCell(regime="1 %", arm="mixed", seed=1, reason="the loss is not finite at step 3")
    few = few.model_copy(update={"controls": [control], "missing": 3})
    summary = make_summary(regimes=[few, every], classes=classes, missing=3)
    return summary.model_copy(update={"failed": [failed]})


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A report of one verdict, one of several, and a comparison of both."""
    folder = tmp_path_factory.mktemp("reports")
    summaries = {"one": make_summary(worth=WORTH), "crowded": crowded()}
    for name, summary in summaries.items():
        (folder / name).mkdir()
        write_bench(folder / name, summary, make_costs(summary, generator=34.0, cost=COST))
    pages = {name: report(folder / name).report for name in summaries}
    return pages | {"compared": compare_reports([folder / name for name in summaries], folder / "page.html").comparison}


def bottom(found: Locator) -> float:
    box = found.bounding_box()
    assert box is not None
    return box["y"] + box["height"]


def goto(page: Page, path: Path) -> Page:
    page.goto(path.as_uri())
    return page


def test_the_first_screen_has_verdict_plot_cost_and_worth(browser: Browser, pages: dict[str, Path]) -> None:
    with open_page(browser, width=DESKTOP) as page:
        goto(page, pages["one"])
        for words in ("Synthetic data helps this classifier", "13 s per point gained", "generator 34 s + sampling 4 s"):
            assert bottom(page.get_by_text(words).first) < 800
        assert bottom(page.get_by_text("equals about 37 extra real images per class")) < 800
        assert bottom(page.locator("svg").first) < 800
        assert page.locator(".verdict").evaluate("one => getComputedStyle(one).borderLeftColor") == "rgb(0, 158, 115)"


def test_the_first_screen_has_a_line_for_each_of_several_verdicts(browser: Browser, pages: dict[str, Path]) -> None:
    with open_page(browser, width=DESKTOP) as page:
        goto(page, pages["crowded"])
        for banner in page.get_by_role("alert").all():
            assert bottom(banner) < 400
        lines = page.locator("ul.verdicts li").all()
        assert len(lines) == 4
        assert all(bottom(line) < 800 for line in lines)
        assert bottom(page.locator("svg").first) < 800


@pytest.mark.parametrize("name", ["one", "crowded", "compared"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_nothing_is_wider_than_the_window(
    browser: Browser, pages: dict[str, Path], name: str, scheme: Any, width: int
) -> None:
    with open_page(browser, width=width, color_scheme=scheme) as page:
        goto(page, pages[name])
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        paper, ink = page.evaluate(
            "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
        )
        brightness = [
            sum(map(int, colour.removeprefix("rgb(").removesuffix(")").split(","))) for colour in (paper, ink)
        ]
        assert (brightness[0] < brightness[1]) == (scheme == "dark")
        words = page.locator("svg text").first.evaluate("one => getComputedStyle(one).fill")
        dim = page.evaluate("getComputedStyle(document.querySelector('figcaption')).color")
        assert words == dim


@pytest.mark.parametrize("name", ["one", "crowded", "compared"])
def test_words_of_plots_are_legible_on_a_phone(browser: Browser, pages: dict[str, Path], name: str) -> None:
    with open_page(browser, width=PHONE) as page:
        goto(page, pages[name])
        sizes = [svg.evaluate(WORD_SIZE) for svg in page.locator("svg").all()]
        assert min(sizes) >= 9
        assert max(sizes) < 20


@pytest.mark.parametrize("name", ["one", "crowded", "compared"])
def test_words_of_plots_neither_overflow_nor_collide(browser: Browser, pages: dict[str, Path], name: str) -> None:
    with open_page(browser, width=DESKTOP) as page:
        goto(page, pages[name])
        for svg in page.locator("svg").all():
            (left, top, right, low), words = svg.evaluate(BOXES)
            assert words
            for box in words:
                assert left - 1 <= box[0] <= box[2] <= right + 1
                assert top - 1 <= box[1] <= box[3] <= low + 1
            for one, other in itertools.combinations(words, 2):
                across = min(one[2], other[2]) - max(one[0], other[0])
                down = min(one[3], other[3]) - max(one[1], other[1])
                assert across < 2 or down < 4, (svg.get_attribute("aria-label"), one, other)


@pytest.mark.parametrize("name", ["one", "crowded", "compared"])
def test_lines_of_plots_are_where_they_can_be_seen(browser: Browser, pages: dict[str, Path], name: str) -> None:
    with open_page(browser, width=DESKTOP) as page:
        goto(page, pages[name])
        for svg in page.locator("svg").all():
            (left, top, right, low), lines = svg.evaluate(LINE_BOXES)
            assert lines
            for box in lines:
                assert left - 1 <= box[0] <= box[2] <= right + 1
                assert top - 1 <= box[1] <= box[3] <= low + 1


@pytest.mark.parametrize("name", ["one", "crowded", "compared"])
def test_on_paper_no_table_is_cut_off(browser: Browser, pages: dict[str, Path], name: str) -> None:
    with open_page(browser, width=PAPER, color_scheme="dark") as page:
        page.emulate_media(media="print")
        goto(page, pages[name])
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        for table in page.locator("table").all():
            box = table.bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= PAPER + 1
            assert table.evaluate("one => getComputedStyle(one.parentElement).overflowX") == "visible"
        assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
        assert page.pdf(format="A4").startswith(b"%PDF")


def test_tables_scroll_on_their_own_and_can_be_reached_by_keyboard(browser: Browser, pages: dict[str, Path]) -> None:
    with open_page(browser, width=PHONE) as page:
        goto(page, pages["crowded"])
        wide = [
            one for one in page.locator(".scroll").all() if one.evaluate("one => one.scrollWidth > one.clientWidth")
        ]
        assert wide
        for one in wide:
            assert one.get_attribute("tabindex") == "0"


def test_links_lead_to_the_parts(browser: Browser, pages: dict[str, Path]) -> None:
    with open_page(browser, width=DESKTOP) as page:
        goto(page, pages["crowded"])
        page.get_by_role("link", name="100 %").click()
        page.wait_for_function("document.querySelector(':target') !== null")
        assert str(page.locator(":target").text_content()).startswith("With 100 %")
