"""The gallery's table of figures, sets side by side, and the tables by class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from synthaug.workflows.evaluate.gallery import words
from synthaug.workflows.evaluate.records import Better, CopySpace, EvaluateResult, Figure, SetReport, Value

_ARROWS = {"lower": ("↓", "lower is better"), "higher": ("↑", "higher is better"), "neither": ("", "")}
_SHOWS: dict[str, words.Show] = {"plain": words.plain, "percent": words.percent, "points": words.points}
#: Fewer trainings say nothing of which set is better.
_SEEDS_FOR_BOLD = 3
#: Tables of more classes are closed until asked for.
MANY_CLASSES = 50


@dataclass(frozen=True)
class Row:
    """One figure of every set.

    Attributes:
        title: For people.
        cells: A figure, words, or None for a set that has no such figure.
        kind: How numbers are written: "plain", "percent" or "points".
        better: Which values are good.
    """

    title: str
    cells: tuple[Value | str | None, ...]
    kind: str = "plain"
    better: Better = "neither"


@dataclass(frozen=True)
class Group:
    """Rows that belong together.

    Attributes:
        title: Of the group.
        note: What its figures are, in words.
        rows: Its figures.
        counts: Images (synthetic, real) behind a figure of each set that need no mention in its cell.
    """

    title: str
    note: str
    rows: tuple[Row, ...]
    counts: tuple[tuple[int, int] | int | None, ...]


class Notes:
    """Reasons too long for a cell, numbered in the order they were asked for."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def cell(self, value: Value) -> str:
        """HTML of a reason, with a link to the rest of it if it was shortened."""
        whole = words.reason(value)
        short = words.shortened(whole)
        if short == whole:
            return f'<span class="none">{escape(whole)}</span>'
        if whole not in self.lines:
            self.lines.append(whole)
        number = self.lines.index(whole) + 1
        return f'<span class="none">{escape(short)} <a href="#note-{number}"><sup>{number}</sup></a></span>'

    def html(self) -> str:
        """All of them."""
        lines = "".join(f'<li id="note-{number}">{escape(line)}</li>' for number, line in enumerate(self.lines, 1))
        return f'<ol class="note notes">{lines}</ol>' if lines else ""


def figures_section(result: EvaluateResult) -> str:
    """The table of all figures, and what they mean."""
    sets, notes = result.sets, Notes()
    common = _common_counts(sets)
    groups = [_set_group(sets), *_space_groups(sets, common), *_score_groups(sets), _copies(sets), _duplicates(sets)]
    heads = "".join(f'<th scope="col">{escape(one.name)}</th>' for one in sets)
    bodies = "\n".join(_body(group, notes) for group in groups if group.rows)
    meanings = {figure.title: figure.meaning for one in sets for figure in _all_figures(one)}
    terms = "".join(f"<dt>{escape(title)}</dt><dd>{escape(meaning)}</dd>" for title, meaning in meanings.items())
    return f"""<p class="note" id="about-figures">{escape(_caption(result, common))}</p>
<div class="scroll"><table class="figures" aria-describedby="about-figures">
<thead><tr><th scope="col">figure</th>{heads}</tr></thead>
{bodies}</table></div>
{notes.html()}
<details><summary>What the figures mean</summary><dl>{terms}</dl></details>"""


def better_columns(row: Row) -> set[int]:
    """The column whose interval lies on the good side of every other one; empty if there is none such."""
    ends = {
        column: (cell.low, cell.high)
        for column, cell in enumerate(row.cells)
        if isinstance(cell, Value) and words.is_known(cell.value) and cell.low is not None and cell.high is not None
    }
    if row.better == "neither" or len(ends) < 2:
        return set()
    return {
        column
        for column in ends
        if all(_is_better(row.better, ends[column], ends[other]) for other in ends if other != column)
    }


def _is_better(better: Better, one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one[1] < other[0] if better == "lower" else one[0] > other[1]


def _body(group: Group, notes: Notes) -> str:
    columns = 1 + len(group.rows[0].cells)
    note = f"<span>{escape(group.note)}</span>" if group.note else ""
    head = f'<tr><th colspan="{columns}" scope="rowgroup"><div>{escape(group.title)} {note}</div></th></tr>'
    return f"<tbody>{head}{''.join(_row(row, group, notes) for row in group.rows)}</tbody>"


def _row(row: Row, group: Group, notes: Notes) -> str:
    arrow, meaning = _ARROWS[row.better]
    mark = f'&nbsp;<abbr title="{meaning}">{arrow}<span class="unseen">{meaning}</span></abbr>' if arrow else ""
    best = better_columns(row)
    cells = "".join(
        f"<td>{_cell(cell, row.kind, notes, known=known, is_best=column in best)}</td>"
        for column, (cell, known) in enumerate(zip(row.cells, group.counts, strict=True))
    )
    return f'<tr><th scope="row">{escape(words.capitalised(row.title))}{mark}</th>{cells}</tr>'


def _cell(
    cell: Value | str | None, kind: str, notes: Notes, *, known: tuple[int, int] | int | None, is_best: bool
) -> str:
    if cell is None:
        return '<span class="none">not measured</span>'
    if isinstance(cell, str):
        return escape(cell)
    if cell.value is None or not words.is_known(cell.value):
        return notes.cell(cell)
    shown = _SHOWS[kind](cell.value)
    number = f"<b>{shown}</b>" if is_best else shown
    ends = words.interval(cell, kind)
    counts = "" if known in (cell.n, (cell.n, cell.n_reference)) else _counts_words(cell, is_compared=known is None)
    return number + "".join(f"<small>{line}</small>" for line in (ends, counts) if line)


def _counts_words(value: Value, *, is_compared: bool) -> str:
    real = f", real {value.n_reference:,}" if is_compared and value.n_reference else ""
    return f"n = {value.n:,}{real}"


def _caption(result: EvaluateResult, common: tuple[int, int] | None) -> str:
    several = " Bold: better than every other set, intervals apart." if len(result.sets) > 1 else ""
    split = result.reference.split
    if common is None:
        return f"Smaller print: 95 % intervals and numbers of images; real ones are {split} images.{several}"
    return (
        f"Distances and likeness: {common[0]:,} images of each set against {common[1]:,} real {split} images. "
        f"Smaller print: 95 % intervals.{several}"
    )


def _common_counts(sets: Sequence[SetReport]) -> tuple[int, int] | None:
    """Images behind the figures of all spaces, if all have as many."""
    values = [figure.overall for one in sets for part in one.comparisons for figure in part.figures]
    counts = {(value.n, value.n_reference) for value in values if words.is_known(value.value)}
    return counts.pop() if len(counts) == 1 else None


def _all_figures(report: SetReport) -> Iterable[Figure]:
    yield report.fidelity
    for comparison in report.comparisons:
        yield from comparison.figures


def _set_group(sets: Sequence[SetReport]) -> Group:
    fidelity = sets[0].fidelity
    rows = (
        Row("Images", tuple(f"{one.images:,}" for one in sets)),
        Row("Made", tuple(one.made for one in sets)),
        Row(fidelity.title, tuple(one.fidelity.overall for one in sets), "percent", fidelity.better),
    )
    return Group("The set", "", rows, tuple(one.images for one in sets))


def _space_groups(sets: Sequence[SetReport], common: tuple[int, int] | None) -> list[Group]:
    groups = []
    for space in {part.space.name: part.space for one in sets for part in one.comparisons}.values():
        found = [
            {
                figure.name: figure
                for part in one.comparisons
                if part.space.name == space.name
                for figure in part.figures
            }
            for one in sets
        ]
        named = {name: figure for figures in found for name, figure in figures.items()}
        rows = tuple(
            Row(
                figure.title,
                tuple(figures[name].overall if name in figures else None for figures in found),
                better=figure.better,
            )
            for name, figure in named.items()
        )
        note = f"{space.backend}; resize: {space.resize}; {space.width:,} features"
        groups.append(Group(f"Likeness: {space.name}", note, rows, (common,) * len(sets)))
    return groups


def _score_groups(sets: Sequence[SetReport]) -> list[Group]:
    scores = [one.accuracy_score for one in sets]
    first = next((score for score in scores if score is not None), None)
    if first is None:
        return []
    better: Better = "lower" if first.seeds >= _SEEDS_FOR_BOLD else "neither"
    rows = (
        Row("Trained on the set", tuple(None if score is None else words.percent(score.synthetic) for score in scores)),
        Row("Trained on real images", tuple(None if score is None else words.percent(score.real) for score in scores)),
        Row("Gap, points", tuple(None if score is None else score.gap for score in scores), "points", better),
    )
    note = (
        f"Accuracy on {first.test:,} real test images; recipe {first.recipe}, {first.steps:,} steps, mean of "
        f"{first.seeds} {'training' if first.seeds == 1 else 'trainings'}. Real validation images choose the "
        "weights of all. Intervals are over test images, not over trainings: another seed may give another gap"
    )
    return [
        Group(
            "Classification accuracy score",
            note,
            rows,
            tuple(None if score is None else score.test for score in scores),
        )
    ]


def _copies(sets: Sequence[SetReport]) -> Group:
    found = [one.memorisation for one in sets]
    rows = [
        Row("Verdict", tuple(one.verdict for one in found)),
        Row("Copies", tuple(one.share for one in found), "percent", "lower"),
        Row("The same of validation images", tuple(one.expected for one in found), "percent"),
        Row("Equal to a training image", tuple(f"{one.exact:,}" for one in found)),
    ]
    for space in dict.fromkeys(part.space for one in found for part in one.spaces):
        parts = [next((part for part in one.spaces if part.space == space), None) for one in found]
        rows += [
            Row(
                f"Median distance ({space})",
                tuple(None if part is None else _median(part) for part in parts),
            ),
            Row(
                f"Authenticity ({space})",
                tuple(None if part is None else _authenticity(part) for part in parts),
            ),
        ]
    note = (
        "Distances are relative ones to the nearest training image: 0 is the same image. Authenticity: share of images "
        "that are farther from their nearest training image than that is from its own nearest one"
    )
    return Group("Copies of training images", note, tuple(rows), tuple(one.images for one in sets))


def _authenticity(part: CopySpace) -> str:
    return f"{words.percent(part.authenticity)} (validation {words.percent(part.real_authenticity)})"


def _median(part: CopySpace) -> str:
    median, real, threshold = map(words.number_or_dash, (part.median, part.real_median, part.threshold))
    return f"{median} (validation {real}; a copy: up to {threshold})"


def _duplicates(sets: Sequence[SetReport]) -> Group:
    found = [one.duplicates for one in sets]
    rows = (
        Row("Near duplicates", tuple(one.share for one in found), "percent", "lower"),
        Row("The same of real training images", tuple(words.percent(one.real_near) for one in found)),
        Row("Exact duplicates", tuple(f"{one.exact:,}" for one in found)),
    )
    return Group("Duplicates within the set", "", rows, tuple(one.images for one in sets))
