from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import numpy as np
import pytest
import torch
from PIL import Image

from synthaug.core.types import LabelledImages
from tests.conftest import random_pixels
from tests.e2e.browser import open_browser, open_page
from tests.workflows.galleries import page_of, shown_set
from tests.workflows.pages import CLASSES

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = pytest.mark.browser

NAMES = (
    *CLASSES[:3],
    "plain",
    "an unusually long name of a class, which does not fit into a line of a phone, let alone two",
)
SETS = ("first <set> & co", "second")
PER_CLASS = {"first <set> & co": 120, "second": 20}
CELLS = "#cells > div"
#: Read from a copy, as the browser remarks on canvases that are read often.
PIXELS = """cell => {
    const canvas = cell.querySelector("canvas"), copy = document.createElement("canvas");
    [copy.width, copy.height] = [canvas.width, canvas.height];
    const context = copy.getContext("2d", { willReadFrequently: true });
    context.drawImage(canvas, 0, 0);
    return [...context.getImageData(0, 0, copy.width, copy.height).data];
}"""
IS_PAINTED = f"cell => ({PIXELS})(cell)[3] === 255"


def colourful(per_class: int) -> LabelledImages:
    """Images whose classes come in turn; all are different."""
    count = per_class * len(NAMES)
    pixels = random_pixels(count, 3, 16, 16, seed=per_class)
    return LabelledImages.of(pixels, torch.arange(count) % len(NAMES), NAMES, "colourful")


SHOWN = {name: shown_set(colourful(PER_CLASS[name])) for name in SETS}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gallery") / "gallery.html"
    path.write_text(page_of(SHOWN), encoding="utf-8")
    return path


@pytest.fixture
def page(browser: Browser, gallery: Path) -> Iterator[Page]:
    with open_page(browser) as page:
        page.goto(gallery.as_uri())
        yield page


def view(gallery: Path, **words: str) -> str:
    return f"{gallery.as_uri()}#{urlencode(words)}"


def keys(page: Page) -> list[str]:
    """Keys of the cells there are, in the order of the view."""
    cells = page.locator(CELLS).evaluate_all("cells => cells.map(cell => [+cell.dataset.place, cell.dataset.key])")
    return [key for _, key in sorted(map(tuple, cells))]


def keys_of(name: str, label: int | None = None, *, by: Any = None, is_wrong: bool = False) -> list[str]:
    """Keys of the samples that belong into a view, in its order."""
    one = SHOWN[name]
    labels, predicted = one.images.labels.tolist(), one.predicted.tolist()
    found = [
        place for place, own in enumerate(labels) if label in (None, own) and (not is_wrong or own != predicted[place])
    ]
    return [one.keys[place] for place in sorted(found, key=by or (lambda place: place))]


def painted(cell: Locator) -> Locator:
    """The cell once its thumbnail is there."""
    cell.page.wait_for_function(IS_PAINTED, arg=cell.element_handle())
    return cell


def wait_for_count(page: Page, words: str) -> None:
    """Waits until the page has followed a link within itself."""
    page.wait_for_function("words => document.getElementById('count').textContent === words", arg=words)


def details(page: Page) -> dict[str, str]:
    names, values = (page.locator(f"#details {tag}").all_text_contents() for tag in ("dt", "dd"))
    return dict(zip(names, values, strict=True))


def test_thumbnails_are_the_samples_pixel_for_pixel(page: Page) -> None:
    for cell in page.locator(CELLS).all()[:20]:
        place = SHOWN[SETS[0]].keys.index(cell.get_attribute("data-key"))
        pixels = np.array(painted(cell).evaluate(PIXELS)).reshape(16, 16, 4)[..., :3]
        expected = SHOWN[SETS[0]].images.images[place].permute(1, 2, 0).numpy()
        np.testing.assert_array_equal(pixels, expected)


def test_thumbnails_are_seen(page: Page) -> None:
    cell = painted(page.locator(CELLS).first)
    seen = np.asarray(Image.open(io.BytesIO(cell.screenshot())).convert("RGB"))
    image = SHOWN[SETS[0]].images.images[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(seen[2::4, 2::4], image, atol=2)


def test_only_cells_in_sight_are_made_and_scrolling_makes_the_others(page: Page) -> None:
    assert len(keys(page)) < 400 < len(keys_of(SETS[0]))
    assert keys(page) == keys_of(SETS[0])[: len(keys(page))]
    page.locator("#box").evaluate("box => { box.scrollTop = box.scrollHeight }")
    page.wait_for_function("key => document.querySelector(`[data-key='${key}']`)", arg=keys_of(SETS[0])[-1])
    painted(page.locator(CELLS).last)
    assert keys(page) == keys_of(SETS[0])[-len(keys(page)) :]
    assert len(keys(page)) < 400


def test_a_click_on_a_class_leaves_only_its_samples(page: Page) -> None:
    buttons = page.get_by_role("group", name="class").get_by_role("button")
    for label, name in enumerate(NAMES):
        button = buttons.nth(label + 1)
        assert button.text_content() == f"{name}120"
        button.click()
        assert page.locator("#choose-class [aria-pressed=true]").all_text_contents() == [f"{name}120"]
        assert keys(page) == keys_of(SETS[0], label)[: len(keys(page))]
        assert page.locator("#count").text_content() == f"120 samples of class {name}"


def test_a_link_leads_to_a_class_of_a_set(page: Page, gallery: Path) -> None:
    for label, name in enumerate(NAMES):
        page.goto(view(gallery, set=SETS[1], **{"class": name}))
        wait_for_count(page, f"20 samples of class {name}")
        assert keys(page) == keys_of(SETS[1], label)
        assert page.locator("#choose-set").input_value() == "1"


def test_a_click_makes_a_link_and_going_back_undoes_it(page: Page, browser: Browser) -> None:
    page.locator("#choose-set").select_option("1")
    page.locator("#choose-class button").nth(2).click()
    page.locator("#choose-wrong").check()
    page.locator("#choose-sort").select_option("confidence-up")
    found = keys(page)
    assert found
    with open_page(browser) as other:
        other.goto(page.url)
        assert keys(other) == found
        assert other.locator("#count").evaluate("count => count.getBoundingClientRect().bottom < innerHeight")
    for _ in range(4):
        page.go_back()
    page.wait_for_function("document.getElementById('choose-set').value === '0'")
    assert keys(page) == keys_of(SETS[0])[: len(keys(page))]


def test_a_link_to_nothing_known_shows_everything(page: Page, gallery: Path) -> None:
    page.goto(view(gallery, set=SETS[1]))
    wait_for_count(page, "100 samples")
    page.goto(view(gallery, set="nowhere", sort="constructor", **{"class": "no such class"}))
    wait_for_count(page, "600 samples")
    assert keys(page) == keys_of(SETS[0])[: len(keys(page))]


def test_links_within_the_page_leave_the_view_as_it_is(page: Page, gallery: Path) -> None:
    page.goto(view(gallery, set=SETS[1], **{"class": "plain"}))
    wait_for_count(page, "20 samples of class plain")
    page.get_by_role("link", name="figures").click()
    page.wait_for_function("scrollY > 0 && document.querySelector(':target').id === 'figures'")
    assert keys(page) == keys_of(SETS[1], NAMES.index("plain"))


def test_only_mistakes(page: Page) -> None:
    page.locator("#choose-set").select_option("1")
    page.get_by_label("only those recognised as something else").check()
    mistakes = keys_of(SETS[1], is_wrong=True)
    assert keys(page) == mistakes
    assert page.locator("#count").text_content() == f"{len(mistakes)} samples recognised as something else"
    assert page.locator("#choose-class button").first.text_content() == f"all classes{len(mistakes)}"


def test_sorting(page: Page) -> None:
    page.locator("#choose-set").select_option("1")
    page.locator("#choose-class button").nth(1).click()
    for sort, fact, sign in (
        ("confidence-down", "confidence", -1),
        ("confidence-up", "confidence", 1),
        ("distance-up", "relative_distance", 1),
        ("distance-down", "relative_distance", -1),
    ):
        values = getattr(SHOWN[SETS[1]], fact).tolist()
        page.get_by_label("sorted by").select_option(sort)
        assert keys(page) == keys_of(SETS[1], 0, by=lambda place, sign=sign, values=values: sign * values[place])


def test_a_click_tells_of_a_sample(page: Page) -> None:
    one = SHOWN[SETS[0]]
    distances = one.relative_distance[:50].tolist()
    copy = next(place for place, distance in enumerate(distances) if distance <= 1)
    other = next(place for place, distance in enumerate(distances) if distance > 1)
    for place, judgement in ((copy, ", a copy"), (other, " (copies: up to 1)")):
        page.locator(CELLS).nth(place).click()
        assert details(page) == {
            "class": NAMES[int(one.images.labels[place])],
            "recognised as": NAMES[int(one.predicted[place])],
            "confidence": f"{float(one.confidence[place]):.4f}",
            "distance to training images": f"{distances[place]:.3f}{judgement}",
            "key": one.keys[place],
            "place in the set": str(place + 1),
        }
        painted(page.locator("#details"))


def test_the_keyboard_does_all_that_the_mouse_does(page: Page) -> None:
    page.locator("#choose-sort").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.locator("#count").text_content() == f"120 samples of class {NAMES[0]}"
    page.get_by_role("listbox", name="samples").focus()
    expected = keys_of(SETS[0], 0)
    for key, place in (
        ("Enter", 0),
        ("ArrowRight", 1),
        ("ArrowLeft", 0),
        ("End", 119),
        ("ArrowLeft", 118),
        ("Home", 0),
    ):
        page.keyboard.press(key)
        assert details(page)["key"] == expected[place]
        chosen = page.locator("[role=option][aria-selected=true]")
        assert chosen.get_attribute("data-key") == expected[place]
        assert page.locator("#box").get_attribute("aria-activedescendant") == chosen.get_attribute("id")
    columns = page.locator(CELLS).evaluate_all(
        """cells => { const top = (cell) => cell.getBoundingClientRect().top;
            return cells.filter((cell) => top(cell) === top(cells[0])).length }"""
    )
    page.keyboard.press("ArrowDown")
    assert details(page)["key"] == expected[columns]


def test_pictures_are_there_without_scripts(browser: Browser, gallery: Path) -> None:
    with open_page(browser, java_script_enabled=False) as page:
        page.goto(gallery.as_uri())
        picture = page.locator(".tiles img").first
        seen = np.asarray(Image.open(io.BytesIO(picture.screenshot())).convert("RGB"))
        assert seen.std() > 20
        assert page.locator("noscript").is_visible()
        assert not page.locator("#controls").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1200])
def test_nothing_is_wider_than_the_window(browser: Browser, gallery: Path, scheme: Any, width: int) -> None:
    with open_page(browser, width=width, color_scheme=scheme) as page:
        page.goto(gallery.as_uri())
        for details in page.locator("details").all():
            details.locator("summary").click()
        page.locator(CELLS).first.click()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        paper, ink = page.evaluate(
            "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
        )
        brightness = [
            sum(map(int, colour.removeprefix("rgb(").removesuffix(")").split(","))) for colour in (paper, ink)
        ]
        assert (brightness[0] < brightness[1]) == (scheme == "dark")
