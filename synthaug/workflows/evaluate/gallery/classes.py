"""What the gallery says of each class: figures, and which classes are taken for which."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from html import escape

from synthaug.workflows.evaluate.gallery import words
from synthaug.workflows.evaluate.gallery.tables import MANY_CLASSES
from synthaug.workflows.evaluate.records import SetReport, Value

#: A matrix of more classes would be too large to look at, and to load.
_LARGEST_MATRIX = 200
_MISTAKES = 50
_LONGEST_LEVEL_NAME = 3


def class_table(report: SetReport, names: Sequence[str]) -> str:
    """All figures that a set has by class, closed until asked for."""
    columns = _columns(report)
    heads = "".join(f'<th scope="col">{escape(title)}</th>' for title in ("class", "images", *columns))
    rows = "\n".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{report.class_counts[label]:,}</td>'
        + "".join(f"<td>{_value(values[label], kind)}</td>" for values, kind in columns.values())
        + "</tr>"
        for label, name in enumerate(names)
    )
    reasons = dict.fromkeys(
        words.reason(value) for values, _ in columns.values() for value in values if not words.is_known(value.value)
    )
    note = f'<p class="note">–: {escape("; ".join(reasons))}</p>' if reasons else ""
    return f"""<details><summary>By class: {escape(report.name)}</summary>
<div class="scroll tall"><table class="classes"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>
{note}</details>"""


def _columns(report: SetReport) -> dict[str, tuple[tuple[Value, ...], str]]:
    """Values of each class and how they are written, by the heading of their column."""
    columns = {}
    if report.fidelity.per_class:
        columns[report.fidelity.title] = (report.fidelity.per_class, "percent")
    for comparison in report.comparisons:
        for figure in comparison.figures:
            if figure.per_class:
                columns[f"{figure.title} ({comparison.space.name})"] = (figure.per_class, "plain")
    if report.accuracy_score is not None and report.accuracy_score.per_class:
        columns["accuracy gap, points"] = (report.accuracy_score.per_class, "points")
    return columns


def _value(value: Value, kind: str) -> str:
    if value.value is None or not words.is_known(value.value):
        return f'<span class="none" title="{escape(words.reason(value))}">–</span>'
    show = {"plain": words.plain, "percent": words.percent, "points": words.points}[kind]
    ends = words.interval(value, kind)
    return show(value.value) + (f"<small>{ends}</small>" if ends else "")


def confusion_section(report: SetReport, names: Sequence[str]) -> str:
    """Which classes of a set are taken for which; of many classes, the most frequent mistakes first."""
    if len(names) <= MANY_CLASSES:
        return _matrix(report, names)
    mistakes = _mistakes(report, names)
    if len(names) > _LARGEST_MATRIX:
        return mistakes
    return f"{mistakes}<details><summary>All classes</summary>{_matrix(report, names)}</details>"


def _matrix(report: SetReport, names: Sequence[str]) -> str:
    is_level = max(map(len, names)) <= _LONGEST_LEVEL_NAME
    heads = "".join(f'<th scope="col" title="{escape(name)}"><span>{escape(name)}</span></th>' for name in names)
    rows = "\n".join(_matrix_row(label, name, report.confusion[label]) for label, name in enumerate(names))
    return f"""<div><h3>{escape(report.name)}</h3>
<div class="scroll tall"><table class="confusion{"" if is_level else " upright"}">
<thead><tr><th scope="col">class</th>{heads}</tr></thead>
<tbody>{rows}</tbody></table></div></div>"""


def _matrix_row(label: int, name: str, counts: Sequence[int]) -> str:
    total = sum(counts)
    cells = []
    for column, count in enumerate(counts):
        kind = "right" if column == label else "wrong"
        shade = f' class="{kind}" style="--share:{count / total:.3f}"' if count else ""
        cells.append(f"<td{shade}>{count:,}</td>" if count else "<td></td>")
    title = escape(name)
    return f'<tr><th scope="row" title="{title}"><span>{title}</span></th>{"".join(cells)}</tr>'


def _mistakes(report: SetReport, names: Sequence[str]) -> str:
    found = (
        (count, -label, -column)
        for label, counts in enumerate(report.confusion)
        for column, count in enumerate(counts)
        if count and column != label
    )
    rows = "".join(
        f'<tr><th scope="row">{escape(names[-label])}</th><td>{escape(names[-column])}</td><td>{count:,}</td>'
        f"<td>{words.percent(count / sum(report.confusion[-label]))}</td></tr>"
        for count, label, column in heapq.nlargest(_MISTAKES, found)
    )
    if not rows:
        return f'<p class="note">{escape(report.name)}: every image is recognised as its label.</p>'
    heads = "".join(f'<th scope="col">{head}</th>' for head in ("class", "recognised as", "images", "of the class"))
    return f"""<h3>{escape(report.name)}: most frequent mistakes</h3>
<div class="scroll tall"><table class="mistakes">
<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"""
