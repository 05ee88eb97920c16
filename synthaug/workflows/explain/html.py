"""explained.html: one file with everything in it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from synthaug.core.pixels import encode_png
from synthaug.workflows.explain.pictures import Row, completeness, flatness, heat_over, signed_colours, verdict
from synthaug.workflows.explain.records import ExplainedImage, ExplainResult, Explanation, Likeness
from synthaug.workflows.page import document, picture, table

_STYLE = """
.looks { width: auto } .looks td { padding: .5rem .45rem .7rem }
.looks th { font-weight: 600 } .looks th span { display: block; color: var(--dim); font-weight: 400 }
.looks td:nth-child(even), .looks th:nth-child(even) { border-left: 1px solid var(--line) }
.looks td { overflow-wrap: anywhere } .looks th:first-child, .looks td:first-child { white-space: normal }
.looks img, .looks p { width: var(--side) } .looks { --side: 9.5rem } .looks.many { --side: 8rem }
.looks img { display: block; border-radius: .2rem; outline: 1px solid var(--line) }
.looks p { margin: .3rem 0 0; font-size: .8rem; line-height: 1.35; color: var(--dim) }
.looks p b { color: var(--ink) } .looks .right b { color: var(--good) } .looks .wrong b { color: var(--bad) }
:root { --good: #00704f; --bad: #b34700 }
@media (prefers-color-scheme: dark) { :root { --good: #4fd1a5; --bad: #ff9a57 } }
.key { display: flex; gap: .6rem; align-items: center; flex-wrap: wrap; color: var(--dim); font-size: .9rem }
.key i { display: inline-block; width: 9rem; height: .7rem; border-radius: .2rem; border: 1px solid var(--line) }
"""
#: So many classifiers fit on the page with larger pictures.
_FEW = 2
_WHICH = {
    "spread": "chosen at random from all classes",
    "wrong": "among those that {first} gets wrong",
    "disagree": "among those on which the classifiers differ",
}
_BASELINES = {
    "black": "a black image",
    "grey": "a grey image (128)",
    "mean": "an image of the mean colour of the real training images",
}


def html_page(result: ExplainResult, rows: Sequence[Row]) -> str:
    """The whole page; it loads nothing from anywhere."""
    question = "what do these classifiers look at?" if len(rows[0].maps) > 1 else "what does this classifier look at?"
    body = f"""<h1>synthaug: {question}</h1>
<p class="verdict several">{escape(_sentence(result))}</p>
{_classifiers(result)}
<h2>Images</h2>
<div class="key"><span>integrated gradients: against the predicted class</span>
<i style="background: linear-gradient(90deg, #2166ac, #92c5de, #f7f7f7, #f4a582, #b2182b)"></i><span>for it</span></div>
<div class="key"><span>Grad-CAM: 0</span>
<i style="background: linear-gradient(90deg, #0d0887, #7e03a8, #cc4778, #f89540, #f0f921)"></i><span>most</span></div>
<p class="note">{escape(_scale_sentence())}</p>
{_looks(result, rows)}
{_same_places(result)}
<h2>Completeness</h2>
<p class="note">{escape(_completeness_sentence(result))}</p>
<div class="lines">{table(_figure_rows(result.images))}</div>
<h2>How to read it</h2>
{_reading(result)}"""
    return document("synthaug: what classifiers look at", body, style=_STYLE)


def _sentence(result: ExplainResult) -> str:
    names = [facts.name for facts in result.classifiers]
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    which = _WHICH[result.which].format(first=names[0])
    return f"{listed} on {len(result.images)} of {result.test} test images of {result.data}, {which}"


def _classifiers(result: ExplainResult) -> str:
    rows = [["classifier", "trained on", "network", "steps", "validation accuracy, %", "test accuracy, %", "folder"]]
    for facts in result.classifiers:
        sets = "no synthetic set" if not facts.synthetic else f"synthetic {', '.join(facts.synthetic)}"
        known = (facts.validation_accuracy, facts.test_accuracy)
        accuracies = ["not tested" if value is None else f"{100 * value:.2f}" for value in known]
        trained = f"{facts.train} real images, {sets}"
        rows.append([facts.name, trained, facts.network, str(facts.steps), *accuracies, facts.folder])
    return table(rows)


def _looks(result: ExplainResult, rows: Sequence[Row]) -> str:
    heads = ["<th>test image</th>"]
    for facts in result.classifiers:
        name = escape(facts.name)
        heads += [f"<th>{name}<span>{method}</span></th>" for method in ("integrated gradients", "Grad-CAM")]
    lines = "\n".join(_look(row) for row in rows)
    many = " many" if len(result.classifiers) > _FEW else ""
    return (
        f'<div class="scroll"><table class="looks{many}"><thead><tr>{"".join(heads)}</tr></thead>\n'
        f"<tbody>{lines}</tbody></table></div>"
    )


def _look(row: Row) -> str:
    record, of = row.record, f"test image {row.record.position}"
    cells = [
        f"<td>{picture(encode_png(row.image), of)}"
        f"<p><b>{escape(record.true_class)}</b><br>number {record.position}</p></td>"
    ]
    for said, maps in zip(record.explanations, row.maps, strict=True):
        tone = "right" if said.is_right else "wrong"
        sums = "<br>".join(escape(line) for line in completeness(said))
        gradients, heat = (
            encode_png(signed_colours(maps.gradients)),
            encode_png(heat_over(row.image, maps.heat)),
        )
        cells.append(
            f"<td>{picture(gradients, f'integrated gradients of {said.classifier} in {of}')}"
            f'<p class="{tone}"><b>{escape(verdict(said))}</b><br>{sums}</p></td>'
        )
        words = f"Grad-CAM of {said.classifier} on {of}"
        cells.append(f"<td>{picture(heat, words)}<p>{' '.join(flatness(said, maps))}</p></td>")
    return f"<tr>{''.join(cells)}</tr>"


def _figure_rows(images: Sequence[ExplainedImage]) -> list[list[str]]:
    """Header and one row per image and classifier."""
    heads = ["test image", "class", "classifier", "predicted", "probability, %", "F(x) − F(x')", "sum", "gap", "steps"]
    return [heads, *(_figure_row(image, said) for image in images for said in image.explanations)]


def _figure_row(image: ExplainedImage, said: Explanation) -> list[str]:
    share = "" if said.relative_gap is None else f" ({100 * said.relative_gap:.2g} %)"
    return [
        str(image.position),
        image.true_class,
        said.classifier,
        f"{said.predicted}{'' if said.is_right else ' (wrong)'}",
        f"{100 * said.probability:.2f}",
        f"{said.output - said.baseline_output:.4f}",
        f"{said.attribution_sum:.4f}",
        f"{said.gap:.2g}{share}{'' if said.is_complete else ', incomplete'}",
        str(said.steps),
    ]


def _same_places(result: ExplainResult) -> str:
    if not result.likenesses:
        return ""
    heads = ["classifiers", "same class predicted", "integrated gradients", "Grad-CAM"]
    rows = [heads, *(_likeness_row(entry, len(result.images)) for entry in result.likenesses)]
    return f"""<h2>Do they look at the same places?</h2>
<p class="note">Means over images of Spearman's rank correlation, over pixels, of the absolute integrated gradients and
of the Grad-CAM maps: 1 is the same places, 0 unrelated ones. Pixels that equal the baseline are left out of integrated
gradients: there is nothing to attribute to them, whatever the classifier.</p>
{table(rows)}"""


def _likeness_row(entry: Likeness, images: int) -> list[str]:
    def shown(value: float | None, count: int) -> str:
        return "not defined" if value is None else f"{value:.2f} ({count} images)"

    return [
        f"{entry.first} and {entry.second}",
        f"{entry.same_class} of {images} images",
        shown(entry.gradients, entry.gradient_images),
        shown(entry.heat, entry.heat_images),
    ]


def _scale_sentence() -> str:
    return (
        "Each map has a scale of its own (integrated gradients: to the 99th percentile of the absolute values; "
        "Grad-CAM: to its maximum), so compare where maps are strong, not how strong."
    )


def _completeness_sentence(result: ExplainResult) -> str:
    return (
        f"x is the image, x' the baseline, {_BASELINES[result.baseline]}, and F the logit of the class that a "
        "classifier predicts. Integrated gradients have to sum to F(x) − F(x'), which is computed apart from them; the "
        "gap is what is missing. Unless told otherwise, the steps are doubled until it is at most 1 %, or 0.01 logits."
    )


def _reading(result: ExplainResult) -> str:
    sizes = sorted({said.heat_size for image in result.images for said in image.explanations})
    maps = " or ".join(f"{height} × {width}" for height, width in sizes)
    return f"""<p>Integrated gradients (Sundararajan, Taly and Yan 2017) add up the gradient of the logit along the
straight path from {_BASELINES[result.baseline]} to the image: a red pixel, as it differs from the baseline, raises the
logit, a blue one lowers it. A pixel that equals the baseline gets nothing, however much the classifier relies on it;
look with another --baseline before concluding that it is ignored. Grad-CAM (Selvaraju et al. 2017) weights the last
feature maps by how much each raises the logit, and keeps what is positive. These maps have {maps} positions here and
are enlarged, so they tell of regions, not of pixels; with 1 × 1, of no region at all.</p>
<p>Both explain a function, not causes: what raises this classifier's output in this image, not why it was learned, and
not what makes a thing belong to its class. A map on the object does not show that a prediction is right for good
reasons, and a few images do not show what a classifier does on others. Every classifier is asked about the class that
it predicts itself; where predictions differ, so do the questions. What was trained on synthetic images may look at
other places without being better or worse: that is for its test accuracy to say, over several seeds (synthaug
bench).</p>"""
