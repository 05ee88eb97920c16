"""gallery.html: one file with everything in it, from what the sets are to every sample of them."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.resources import files

from synthaug.core.types import LabelledImages
from synthaug.workflows.evaluate.gallery import words
from synthaug.workflows.evaluate.gallery.classes import class_table, confusion_section
from synthaug.workflows.evaluate.gallery.contents import ShownSet
from synthaug.workflows.evaluate.gallery.histograms import confidence_histogram, distance_histogram
from synthaug.workflows.evaluate.gallery.rows import picture_rows
from synthaug.workflows.evaluate.gallery.samples import choice_sentence, samples_section, set_options
from synthaug.workflows.evaluate.gallery.tables import figures_section
from synthaug.workflows.evaluate.records import EvaluateResult, SetReport
from synthaug.workflows.page import document, table

_SORTS = {
    "order": "order of the set",
    "confidence-down": "confidence, highest first",
    "confidence-up": "confidence, lowest first",
    "distance-up": "distance to training images, nearest first",
    "distance-down": "distance to training images, farthest first",
}


def gallery_page(result: EvaluateResult, sets: Sequence[ShownSet], real: LabelledImages, *, shown: int = 5000) -> str:
    """The whole page; it loads nothing from anywhere.

    Args:
        result: What the evaluation found.
        sets: The samples of each set, in the order of `result.sets`.
        real: The real training images.
        shown: Samples of each set that can be looked through; of larger sets, so many are chosen.
    """
    names, pairs = result.class_names, list(zip(result.sets, sets, strict=True))
    title = "what is in this set?" if len(pairs) == 1 else "what is in these sets?"
    body = f"""<h1>synthaug: {title}</h1>
<div class="heads">{"".join(_head(report) for report in result.sets)}</div>
<p class="lead">{escape(words.reference_sentences(result))}</p>
<nav aria-label="on this page"><a href="#figures">figures</a> <a href="#copies">copies and labels</a>
<a href="#confusion">confusion</a> <a href="#pictures">best, worst, likeliest copies</a>
<a href="#samples-title">samples</a></nav>
<h2 id="figures">Figures</h2>
{figures_section(result)}
{"".join(class_table(report, names) for report in result.sets)}
<h2 id="copies">Copies and labels</h2>
{_plots(result, sets)}
<h2 id="confusion">What classes are taken for</h2>
<p class="note">Images of each class (rows) that are recognised as each class (columns).</p>
<div class="matrices">{"".join(confusion_section(report, names) for report in result.sets)}</div>
<h2 id="pictures">Best, worst, likeliest copies</h2>
{"".join(picture_rows(report.name, one, real) for report, one in pairs)}
{_browser(result, sets, shown=shown)}
<h2>Environment</h2>
{_environment(result)}
{samples_section(result, sets, shown=shown)}
<script>{_resource("gallery.js")}</script>"""
    return document(f"synthaug: {', '.join(one.name for one in result.sets)}", body, style=_resource("gallery.css"))


def _resource(name: str) -> str:
    return files("synthaug.workflows.evaluate.gallery").joinpath(name).read_text(encoding="utf-8")


def _head(report: SetReport) -> str:
    tone = words.TONES[report.memorisation.verdict]
    more = " ".join(
        part for part in (words.sentence(report.memorisation.sentence), words.first_figures(report)) if part
    )
    return (
        f'<p class="verdict {tone}">{escape(report.name)}: {escape(words.headline(report))}'
        f"<span>{escape(more)}</span></p>"
    )


def _plots(result: EvaluateResult, sets: Sequence[ShownSet]) -> str:
    reference, blocks = result.reference, []
    for number, (report, one) in enumerate(zip(result.sets, sets, strict=True)):
        plots = [
            distance_histogram(
                copies,
                of=report.name,
                name=f"distance-{number}-{place}",
                images=len(one.images),
                real_images=reference.validation,
            )
            for place, copies in enumerate(report.memorisation.spaces)
        ]
        titles = [f"{report.name}: nearest training image, by {copies.space}" for copies in report.memorisation.spaces]
        plots.append(confidence_histogram(one.confidence, of=report.name, name=f"confidence-{number}"))
        titles.append(f"{report.name}: confidence of the label")
        blocks += [
            f"<figure>{plot}<figcaption>{escape(title)}</figcaption></figure>"
            for plot, title in zip(plots, titles, strict=True)
        ]
    return f"""<p class="note key"><i class="bars"></i>the set <i class="real"></i>real validation images, which no
generator saw <i class="edge"></i>left of this: copies</p>
<div class="plots">{"".join(blocks)}</div>"""


def _environment(result: EvaluateResult) -> str:
    return table([["", ""], *map(list, result.environment.items()), ["seconds", f"{result.seconds:,.0f}"]])


def _browser(result: EvaluateResult, sets: Sequence[ShownSet], *, shown: int) -> str:
    sorts = "".join(f'<option value="{name}">{title}</option>' for name, title in _SORTS.items())
    is_single = " hidden" if len(sets) == 1 else ""
    return f"""<section id="browser" aria-labelledby="samples-title">
<h2 id="samples-title">Samples</h2>
<p class="note">{escape(choice_sentence(result, sets, shown=shown))} Framed: recognised as something else than the
label.</p>
<noscript><p class="note">Looking through samples needs JavaScript; what is above does not.</p></noscript>
<div id="controls" hidden>
<p><label{is_single}>set <select id="choose-set">{set_options(result)}</select></label>
<label>sorted by <select id="choose-sort">{sorts}</select></label>
<label><input type="checkbox" id="choose-wrong"> only those recognised as something else</label></p>
<div id="choose-class" role="group" aria-label="class"></div>
<p id="count" role="status"></p>
<div id="look"><div id="box" role="listbox" tabindex="0" aria-label="samples"><div id="cells"></div></div>
<aside id="details" aria-live="polite" aria-label="the chosen sample"><p class="note">Choose a sample to see what is
known of it.</p></aside></div>
</div>
</section>"""
