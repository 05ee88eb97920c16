import base64
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from synthaug.core.types import LabelledImages
from synthaug.workflows.evaluate.gallery import sprites, words
from synthaug.workflows.evaluate.gallery.classes import class_table, confusion_section
from synthaug.workflows.evaluate.gallery.contents import ShownSet
from synthaug.workflows.evaluate.gallery.histograms import confidence_histogram, distance_histogram
from synthaug.workflows.evaluate.gallery.html import gallery_page
from synthaug.workflows.evaluate.gallery.rows import best_of_classes, extremes, picture_rows
from synthaug.workflows.evaluate.gallery.samples import chosen, script_json
from synthaug.workflows.evaluate.gallery.tables import Row, better_columns, figures_section
from synthaug.workflows.evaluate.records import CopySpace, SetReport, Value
from tests.conftest import make_images_of, random_pixels
from tests.workflows import pages
from tests.workflows.galleries import REASON, digits_gallery, page_of, report_of, result_of, shown_set, value
from tests.workflows.pages import Page

CLASSES = pages.CLASSES[:3]
SETS = ("<b>first</b>", "second & last")


@pytest.fixture(scope="module")
def shown() -> dict[str, ShownSet]:
    """Two sets with hostile names and classes, of 9 and 30 images."""
    return {
        SETS[0]: shown_set(make_images_of(per_class=3, class_names=CLASSES, size=16)),
        SETS[1]: shown_set(make_images_of(per_class=10, class_names=CLASSES, size=16, seed=1)),
    }


@pytest.fixture(scope="module")
def html(shown: dict[str, ShownSet]) -> str:
    return page_of(shown)


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


@pytest.fixture
def report(shown: dict[str, ShownSet]) -> SetReport:
    return report_of(SETS[1], shown[SETS[1]])


class Whole(Page):
    """A page whose cells have all of their words, those of elements within them too."""

    def handle_data(self, data: str) -> None:
        super().handle_data(data)
        if self._open and self._open[-1] not in ("td", "th") and {"td", "th"} & set(self._open):
            self.tables[-1][-1][-1] += data


class Scripts(HTMLParser):
    """The script elements of a page by their id."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.texts: dict[str, str] = {}
        self._id: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self._id = dict(attributes).get("id", "") if tag == "script" else None
        if self._id is not None:
            self.texts[self._id] = ""

    def handle_data(self, data: str) -> None:
        if self._id is not None:
            self.texts[self._id] += data

    def handle_endtag(self, tag: str) -> None:
        self._id = None

    def samples(self) -> dict:
        """What the script is told; numbers that are none are no JSON."""

        def refuse(word: str) -> None:
            raise ValueError(word)

        return json.loads(self.texts["samples"], parse_constant=refuse)

    def sheet(self, number: int, place: int) -> np.ndarray:
        return pixels_of(self.texts[f"sheet-{number}-{place}"])


def pixels_of(url: str) -> np.ndarray:
    """RGB pixels of a picture within a page."""
    head, data = url.split(",")
    assert head in ("data:image/png;base64", "data:image/webp;base64")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def rgb(image: torch.Tensor) -> np.ndarray:
    return image.expand(3, -1, -1).permute(1, 2, 0).numpy()


def test_page_loads_nothing_from_anywhere(html: str, page: Page) -> None:
    assert not re.findall(r"https?://[^\s\"'<>)]+", html)
    assert not {"link", "iframe", "object", "embed", "base"} & {tag for tag, _ in page.tags}
    for tag, attributes in page.tags:
        for name in ("src", "href", "xlink:href"):
            assert attributes.get(name, "#").startswith(("#", "data:image/png;base64,")), (tag, attributes)
        assert not [name for name in attributes if name.startswith("on")]
    assert "@import" not in html
    assert "url(" not in html


def test_hostile_names_stay_words(html: str, page: Page) -> None:
    scripts = Scripts(html)
    assert len(page.all("script")) == len(scripts.texts) == html.count("<script")
    assert "alert('cat')" not in "".join(scripts.texts.values()).replace("\\u003cscript\\u003ealert('cat')", "")
    for hostile in ("<b>first", "<b>images", "<i>abacus", "<2015>", "<b>this"):
        assert hostile not in html
    data = scripts.samples()
    assert data["classes"] == list(CLASSES)
    assert [one["name"] for one in data["sets"]] == list(SETS)


@given(st.text())
def test_no_words_end_the_script_that_holds_them(text: str) -> None:
    written = script_json({"classes": [text, f"</script>{text}", f"<!--{text}"]})
    assert not {"<", ">", "&", "\u2028"} & set(written)
    assert json.loads(written)["classes"] == [text, f"</script>{text}", f"<!--{text}"]


def test_ids_are_unique_and_every_link_within_the_page_leads_somewhere(page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.tags:
        assert {
            name for key in ("aria-labelledby", "aria-describedby") for name in attributes.get(key, "").split()
        } <= {*ids}
        if attributes.get("href", "").startswith("#"):
            assert attributes["href"][1:] in ids


def test_the_script_and_its_style_never_make_markup_of_data() -> None:
    script = files("synthaug.workflows.evaluate.gallery").joinpath("gallery.js").read_text(encoding="utf-8")
    assert script in page_of({"one": shown_set(make_images_of())})
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "</script"):
        assert word not in script


def test_two_pages_of_the_same_are_the_same(html: str, shown: dict[str, ShownSet]) -> None:
    assert page_of(shown) == html


@pytest.mark.parametrize(
    ("verdict", "tone"),
    [
        ("copies", "hurts"),
        ("some copies", "inconclusive"),
        ("no sign of copies", "helps"),
    ],
)
def test_head_says_what_a_set_is_in_the_tone_of_its_verdict(
    shown: dict[str, ShownSet], verdict: str, tone: str
) -> None:
    one = shown[SETS[1]]
    report = report_of("my set", one, verdict=verdict)
    page = Page(gallery_page(result_of([report], CLASSES), [one], one.images))
    [head] = [attributes for attributes in page.all("p") if "verdict" in attributes.get("class", "")]
    assert head["class"] == f"verdict {tone}"
    [first] = [text for text in page.texts["p"] if text.startswith("my set")]
    assert first.startswith("my set: 80.0 % of 30 images are recognised as their label; ")
    [more] = [text for text in page.texts["span"] if verdict in text.lower()]
    assert more.endswith("Fréchet distance 25.1, precision 0.600, recall 0.505 (classifier).")


def test_head_warns_if_other_images_trained_the_generators(shown: dict[str, ShownSet]) -> None:
    one = shown[SETS[1]]
    result = result_of([report_of("my set", one)], CLASSES)
    other = replace(result, reference=replace(result.reference, is_generators=False))
    assert "copies may be missed" in gallery_page(other, [one], one.images)
    assert "copies may be missed" not in gallery_page(result, [one], one.images)


def figure_rows(*reports: SetReport) -> dict[str, list[str]]:
    """Cells of the table of figures by their titles; of figures with the same title, those of the last space."""
    return {row[0]: row[1:] for row in Whole(figures_section(result_of(list(reports), CLASSES))).table("figure")}


def test_table_has_the_figures_of_the_sets_side_by_side(report: SetReport) -> None:
    rows = figure_rows(report, replace(report, images=31))
    assert rows["Images"] == ["30", "31"]
    assert rows["Precision\xa0↑higher is better"] == ["0.6000.575 to 0.625"] * 2
    assert rows["Spread"] == ["2.502.45 to 2.55"] * 2
    assert rows["Label fidelity\xa0↑higher is better"] == ["80.0 %79.0 to 81.0 %", "80.0 %79.0 to 81.0 %n = 30"]
    assert rows["Gap, points\xa0↓lower is better"] == ["+15.0+13.0 to +17.0"] * 2
    assert rows["Verdict"] == ["no sign of copies"] * 2
    assert rows["Exact duplicates"] == ["2"] * 2


def test_table_says_once_what_all_figures_were_computed_from(report: SetReport) -> None:
    section = figures_section(result_of([report], CLASSES))
    assert "200 images of each set against 100 real validation images" in section
    first, second = report.comparisons
    fewer = replace(second.figures[1], overall=value(0.5, n=20, n_reference=10))
    mixed = replace(report, comparisons=(first, replace(second, figures=(fewer,))))
    section = figures_section(result_of([mixed], CLASSES))
    assert "of each set against" not in section
    rows = figure_rows(mixed)
    assert rows["Kernel distance\xa0↓lower is better"] == ["0.5000.500 to 0.500n = 20, real 10"]
    assert rows["Recall\xa0↑higher is better"] == ["0.5050.455 to 0.555n = 200, real 100"]


def test_refused_figures_say_why_shortly_in_their_cell_and_wholly_below(report: SetReport) -> None:
    page = Whole(figures_section(result_of([report, report], CLASSES)))
    refused = [row for row in page.table("figure") if row[0].startswith("Fréchet")][1]
    assert refused[1:] == ["an Inception distance needs… 1"] * 2
    assert page.texts["li"] == [REASON]


def test_short_reasons_need_no_note(report: SetReport) -> None:
    space = report.comparisons[1]
    figures = (replace(space.figures[0], overall=value(None, reason="too few images")),)
    page = Whole(figures_section(result_of([replace(report, comparisons=(replace(space, figures=figures),))], CLASSES)))
    assert "too few images" in page.texts["span"]
    assert "li" not in page.texts


def test_what_one_set_lacks_was_not_measured(report: SetReport) -> None:
    poorer = replace(report, comparisons=report.comparisons[:1], accuracy_score=None)
    rows = figure_rows(report, poorer)
    assert rows["Kernel distance\xa0↓lower is better"][1] == "not measured"
    assert rows["Trained on the set"] == ["80.0 %", "not measured"]
    assert "Trained on the set" not in figure_rows(poorer, poorer)


def test_better_figures_are_those_whose_intervals_lie_apart_on_the_good_side() -> None:
    low, middle, high, none = value(1.0, 0.5), value(2.0, 0.5), value(3.0, 0.5), value(None)
    wide = value(2.0, 1.7)

    def best(better: str, *cells: Value | str | None) -> set[int]:
        return better_columns(Row("figure", cells, better=better))

    assert best("lower", middle, low, high) == {1}
    assert best("higher", middle, low, high) == {2}
    assert best("neither", middle, low, high) == set()
    assert best("lower", low, wide) == best("higher", low, wide) == set()
    assert best("lower", low, none) == best("lower", low) == best("lower", low, None) == set()
    assert best("higher", none, low, "words", high) == {3}
    assert best("higher", low, value(5.0), replace(high, low=None, high=None)) == {1}


def test_better_figures_are_bold(shown: dict[str, ShownSet]) -> None:
    one = shown[SETS[1]]
    good, bad = report_of("good", one, quality=0.9), report_of("bad", one, quality=0.1)
    page = Whole(figures_section(result_of([bad, good], CLASSES)))
    assert page.texts["b"] == ["13.1", "0.840"]


NOT_NUMBERS = (float("nan"), float("inf"), -float("inf"))


def test_what_is_no_number_is_never_written_as_one(shown: dict[str, ShownSet], report: SetReport) -> None:
    one = shown[SETS[1]]
    odd = torch.tensor(NOT_NUMBERS).repeat(10)
    copies = replace(report.memorisation.spaces[0], median=NOT_NUMBERS[0], real_median=NOT_NUMBERS[1])
    none = Value(None, None, None, 0, 0, None)
    strange = replace(
        report,
        fidelity=replace(report.fidelity, overall=none, per_class=(none, replace(none, value=NOT_NUMBERS[0]), none)),
        memorisation=replace(report.memorisation, share=none, expected=none, spaces=(copies,)),
        duplicates=replace(report.duplicates, share=replace(none, value=NOT_NUMBERS[0])),
    )
    text = gallery_page(
        result_of([strange], CLASSES), [replace(one, confidence=odd, relative_distance=odd)], one.images
    )
    data = Scripts(text).samples()["sets"][0]
    assert data["confidence"] == data["distance"] == [None] * 30
    seen = re.sub(r"<(script|style).*?</\1>|data:[^\"]*", "", text, flags=re.DOTALL)
    assert not re.findall(r"\b(nan|inf|none|null)\b(?!\")", seen, flags=re.IGNORECASE)


def test_numbers_have_three_digits_and_intervals_as_many_decimals() -> None:
    assert [words.plain(number) for number in (0.0, 0.001234, 0.5, 12.345, 123.4, 12345.6)] == [
        "0",
        "0.00123",
        "0.500",
        "12.3",
        "123",
        "12,346",
    ]
    assert words.interval(value(12.345, 1.0), "plain") == "11.8 to 12.8"
    assert words.interval(value(0.0012, 0.001), "percent") == "0.07 to 0.17 %"
    assert words.interval(value(0.12, 0.1), "points") == "+7.0 to +17.0"
    assert words.interval(value(None), "plain") == ""


def test_every_class_has_a_row_in_the_table_of_its_set(report: SetReport) -> None:
    page = Whole(class_table(report, CLASSES))
    [rows] = page.tables
    assert rows[0] == ["class", "images", "label fidelity", "precision (classifier)", "accuracy gap, points"]
    assert [row[:2] for row in rows[1:]] == [[name, "10"] for name in CLASSES]
    assert [row[3] for row in rows[1:]] == ["0.7500.700 to 0.800", "–", "0.7500.700 to 0.800"]
    assert REASON in page.texts["p"][-1]
    assert page.all("details") == [{}]


def test_confusion_has_the_counts_and_shades_of_their_share(report: SetReport) -> None:
    page = Whole(confusion_section(replace(report, confusion=((3, 1, 0), (0, 0, 0), (5, 0, 5))), CLASSES))
    [rows] = page.tables
    assert rows[0] == ["class", *CLASSES]
    assert rows[1:] == [[CLASSES[0], "3", "1", ""], [CLASSES[1], "", "", ""], [CLASSES[2], "5", "", "5"]]
    shades = [(cell["class"], cell["style"]) for cell in page.all("td") if cell]
    assert shades == [
        ("right", "--share:0.750"),
        ("wrong", "--share:0.250"),
        ("wrong", "--share:0.500"),
        ("right", "--share:0.500"),
    ]


@pytest.mark.parametrize(("classes", "tables", "closed"), [(50, 1, 0), (51, 2, 1), (201, 1, 0)])
def test_confusion_of_many_classes_begins_with_the_most_frequent_mistakes(
    report: SetReport, classes: int, tables: int, closed: int
) -> None:
    counts = torch.eye(classes, dtype=torch.int64) * 10
    counts[3, 7], counts[9, 2] = 30, 10
    page = Whole(
        confusion_section(
            replace(report, confusion=tuple(map(tuple, counts.tolist()))),
            [f"thing {label}" for label in range(classes)],
        )
    )
    assert len(page.tables) == tables
    assert len(page.all("details")) == closed
    if classes > 50:
        expected = [["thing 3", "thing 7", "30", "75.0 %"], ["thing 9", "thing 2", "10", "50.0 %"]]
        assert page.tables[0][1:] == expected


def bars(svg: str) -> list[tuple[float, float]]:
    """Left end and height of each."""
    return [(float(bar["x"]), float(bar["height"])) for bar in Page(svg).all("rect")]


def copy_space(*shares: float, threshold: float = 0.5) -> CopySpace:
    real = tuple(reversed(shares))
    return CopySpace("pixels", threshold, 0.7, 0.6, 3, 1, 0.75, 0.5, shares, real, 1.0)


def test_distance_histogram_has_a_bar_for_each_share_and_the_threshold_in_its_place() -> None:
    svg = distance_histogram(
        copy_space(0.1, 0.0, 0.4, 0.5, threshold=0.25), of="a <set>", name="plot", images=10, real_images=20
    )
    (first, low), (third, middle), (fourth, high) = bars(svg)
    assert (low / high, middle / high) == pytest.approx((0.2, 0.8), abs=0.01)
    width = fourth - third
    assert third - first == pytest.approx(2 * width, abs=0.2)
    [edge] = [line for line in Page(svg).all("line") if line["class"] == "edge"]
    assert float(edge["x1"]) == pytest.approx(first + width, abs=0.2)


def test_histograms_tell_their_figures_to_those_who_cannot_see_them(html: str, page: Page) -> None:
    svg = distance_histogram(copy_space(0.5, 0.5), of="a <set>", name="plot", images=10, real_images=20)
    alone = Page(svg)
    assert alone.all("svg")[0]["role"] == "img"
    assert alone.texts["title"] == ["a <set>: distance to training images in pixels"]
    assert "3 of 10 images of a <set>, 1 of 20 validation images" in alone.texts["desc"][0]
    plots = page.all("svg")
    assert len(plots) == 6
    assert all(plot["role"] == "img" and "width" not in plot for plot in plots)


def test_confidence_histogram_counts_every_sample_once() -> None:
    confidence = torch.tensor([0.0, 0.02, 0.3, 1.0, *[0.97] * 99, float("nan")])
    svg = confidence_histogram(confidence, of="a set", name="plot")
    (_, two), (_, one), (_, hundred) = bars(svg)
    assert two - one == pytest.approx((hundred - one) * np.log10(2) / 2, abs=0.2)
    assert "Median 0.970; below 0.5: 3 of 103 images" in Page(svg).texts["desc"][0]


def test_rows_show_best_worst_and_likeliest_copies_beside_what_they_resemble() -> None:
    _, [one, _], real = digits_gallery()
    page = Page(picture_rows("a set", one, real))
    pictures = [pixels_of(picture["src"]) for picture in page.all("img")]
    confidence, distance = one.confidence.numpy(), one.relative_distance.numpy()
    best = best_of_classes(one.confidence, one.images.labels).tolist()
    worst, copies = np.argsort(confidence, kind="stable"), np.argsort(distance, kind="stable")
    expected = [one.images.images[place] for place in (*best[:16], *worst[:16])]
    for place in copies[:16]:
        expected += [one.images.images[place], real.images[one.nearest[place]]]
    np.testing.assert_array_equal(np.stack(pictures), np.stack([rgb(image) for image in expected]))
    captions = [text for text in page.texts["small"] if text.isdigit()]
    assert captions == [one.keys[place] for place in (*best[:16], *worst[:16], *copies[:16])]
    assert page.texts["b"] == [
        f"distance {distance[place]:.3f}{', a copy' if distance[place] <= 1 else ''}" for place in copies[:16]
    ]
    assert "mistaken" in {span.get("class") for span in page.all("span")}


def test_extremes_leave_what_is_no_number_to_the_end_and_equals_in_their_order() -> None:
    values = torch.tensor([2.0, float("nan"), 1.0, 2.0, -1.0])
    assert extremes(values).tolist() == [4, 2, 0, 3, 1]
    assert extremes(values, 2).tolist() == [4, 2]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(1, 70))
def test_chosen_samples_are_spread_over_classes_and_order(labels: list[int], shown: int) -> None:
    places = chosen(torch.tensor(labels), 6, shown).tolist()
    assert len(places) == len(set(places)) == min(shown, len(labels))
    assert places == sorted(places, key=lambda place: (labels[place], place))
    counts = {label: labels.count(label) for label in set(labels)}
    taken = {label: sum(labels[place] == label for place in places) for label in counts}
    rest = [taken[label] for label in counts if taken[label] < counts[label]]
    assert not rest or max(taken.values()) - min(rest) <= 1
    for label, count in counts.items():
        own = [place for place, one in enumerate(labels) if one == label]
        ranks = [own.index(place) for place in places if labels[place] == label]
        assert all(abs(rank - count * number / len(ranks)) < 1 for number, rank in enumerate(ranks))


def test_page_says_how_many_samples_it_shows(shown: dict[str, ShownSet], html: str) -> None:
    assert "All samples are here." in html
    text = page_of(shown, shown=9)
    assert "Shown: second &amp; last: 9 of 30; all of the others; evenly over classes" in text
    first, second = Scripts(text).samples()["sets"]
    assert (len(first["keys"]), first["images"], len(second["keys"]), second["images"]) == (9, 9, 9, 30)
    assert second["labels"] == [0] * 3 + [1] * 3 + [2] * 3


@pytest.mark.parametrize(("size", "channels"), [(8, 1), (24, 3), (64, 1)])
def test_sheets_hold_the_samples_where_the_script_looks_for_them(size: int, channels: int) -> None:
    one = shown_set(make_images_of(per_class=150, size=size, channels=channels))
    scripts = Scripts(page_of({"set": one}))
    data = scripts.samples()["sets"][0]
    side, columns = data["side"], data["columns"]
    assert side == size
    assert data["labels"] == one.images.labels[data["positions"]].tolist()
    assert data["keys"] == [one.keys[place] for place in data["positions"]]
    for sample in (0, 1, columns, 149, 150, 299):
        sheet, cell = divmod(sample, columns * columns)
        row, column = divmod(cell, columns)
        pixels = scripts.sheet(0, sheet)[row * side : (row + 1) * side, column * side : (column + 1) * side]
        np.testing.assert_array_equal(pixels, rgb(one.images.images[data["positions"][sample]]))
    assert f"sheet-0-{299 // columns**2}" in scripts.texts
    assert f"sheet-0-{299 // columns**2 + 1}" not in scripts.texts


def test_large_images_are_shrunk_by_averaging() -> None:
    images = random_pixels(2, 3, 128, 128)
    blocks = images.numpy().reshape(2, 3, 64, 2, 64, 2).astype(float).mean((3, 5))
    np.testing.assert_array_equal(sprites.thumbnails(images).numpy(), np.round(blocks))
    assert sprites.thumbnails(random_pixels(1, 1, 100, 100)).shape == (1, 1, 64, 64)
    small = random_pixels(2, 1, 64, 64)
    assert sprites.thumbnails(small) is small


def test_page_of_large_images_stays_small() -> None:
    images = LabelledImages.of(
        torch.full((40, 3, 256, 256), 77, dtype=torch.uint8), torch.arange(40) % 2, ("cat", "dog"), "large"
    )
    scripts = Scripts(page_of({"set": shown_set(images)}))
    assert scripts.samples()["sets"][0]["side"] == 64
    assert (scripts.sheet(0, 0)[:256] == 77).all()


@pytest.mark.parametrize("classes", [1, 300])
def test_any_number_of_classes(classes: int) -> None:
    names = tuple(f"thing {label}" for label in range(classes))
    one = shown_set(make_images_of(per_class=2, class_names=names), training=2 * classes)
    scripts = Scripts(page_of({"set": one}))
    assert scripts.samples()["classes"] == list(names)


def test_best_samples_are_those_of_each_class_in_turn() -> None:
    values, labels = torch.tensor([0.9, 0.99, 0.98, 0.1, 0.2, 0.97]), torch.tensor([0, 0, 0, 1, 2, 1])
    assert best_of_classes(values, labels, 5).tolist() == [1, 5, 4, 2, 3]
