"""Several benches side by side: what each found, what it cost, and in which settings they differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from synthaug.core.durations import duration
from synthaug.core.errors import InputError
from synthaug.core.storage import write_text
from synthaug.workflows.bench.costs import BenchCosts, read_costs
from synthaug.workflows.bench.statistics import VerdictName
from synthaug.workflows.bench.summary import BenchSummary, Comparison, RegimeSummary, SetResult
from synthaug.workflows.report import words
from synthaug.workflows.report.blocks import Block, Heading, Opening, Paragraph, Rows, Table, Verdict, Verdicts
from synthaug.workflows.report.figures import run_plot
from synthaug.workflows.report.html import html_page
from synthaug.workflows.report.markdown import markdown_page
from synthaug.workflows.report.tables import setting_rows
from synthaug.workflows.report.words import NOTHING
from synthaug.workflows.report.write import ReportedBench, report

_TITLE = "synthaug: benches compared"


@dataclass(frozen=True)
class ComparedSet:
    """What one bench found of one set with one number of real images; accuracies in percent.

    Attributes:
        run: Folder of the bench.
        data: SPEC of the real images.
        regime: Name of the number of real images.
        images_per_class: Real training images per class.
        set: Name of the set.
        baseline: Name of the real-only arm that validates best.
        baseline_accuracy: Its mean test accuracy.
        mixed: Name of the arm that decides about the set.
        mixed_accuracy: Its mean test accuracy.
        gain: Of the paired difference, in points, with its intervals.
        verdict: What follows from it.
        seconds_per_point: Of generator, sampling and training; None if no gain was shown.
        is_cost_known: Whether all of these were recorded; else it is at least so much.
        is_complete: Whether the bench is finished.
    """

    run: str
    data: str
    regime: str
    images_per_class: float
    set: str
    baseline: str
    baseline_accuracy: float
    mixed: str
    mixed_accuracy: float
    gain: Comparison
    verdict: VerdictName
    seconds_per_point: float | None
    is_cost_known: bool
    is_complete: bool


@dataclass(frozen=True)
class ComparedBenches:
    """Several benches side by side, and where that is written.

    Attributes:
        comparison: The page.
        markdown: The same as Markdown.
        reports: The report of each bench, written again.
        rows: What was found, bench by bench.
        differing: Settings that are not the same in all of them, with the value of each bench; None where it has none.
    """

    comparison: Path
    markdown: Path
    reports: tuple[Path, ...]
    rows: tuple[ComparedSet, ...]
    differing: dict[str, list[str | None]]

    def table(self) -> Rows:
        """One row for each set, number of real images and bench, the first row a header."""
        header = ["bench", "data", "real images per class", "set", "baseline, %", "mixed, %", "gain, points"]
        rows = [[*header, "95 % interval", "beyond these test images", "reads as", "per point"]]
        for row in self.rows:
            per_point = _per_point(row)
            rows.append(
                [
                    row.run if row.is_complete else f"{row.run} (unfinished)",
                    row.data,
                    f"{words.count(row.images_per_class)} ({row.regime})",
                    row.set,
                    f"{row.baseline_accuracy:.2f} ({row.baseline})",
                    f"{row.mixed_accuracy:.2f} ({row.mixed})",
                    words.points(row.gain.difference.mean),
                    words.interval(row.gain.difference),
                    words.interval(row.gain.beyond),
                    row.verdict,
                    per_point,
                ]
            )
        return rows

    def short_table(self) -> Rows:
        """The same for a terminal, without the names of arms."""
        rows = [["bench", "data", "real/class", "set", "baseline", "mixed", "gain (95 %)", "reads as", "per point"]]
        for row in self.rows:
            accuracies = [f"{row.baseline_accuracy:.2f}", f"{row.mixed_accuracy:.2f}"]
            facts = [row.run, row.data, words.count(row.images_per_class), row.set, *accuracies]
            per_point = _per_point(row)
            rows.append([*facts, words.estimate(row.gain.difference), row.verdict, per_point])
        return rows


def compare_reports(folders: Sequence[Path], out: Path) -> ComparedBenches:
    """Writes the report of each bench again, and a page that compares them.

    Args:
        folders: At least two benches, finished or not.
        out: The page, `*.html`; the same as Markdown is written beside it.

    Raises:
        InputError: If a folder holds no bench or is given twice, or the page's name is another.
    """
    if out.suffix != ".html":
        raise InputError(f"--out takes the name of a page, such as comparison.html; found {out}")
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise InputError("a bench is given twice; give the folders of different benches")
    reported = [report(folder) for folder in folders]
    rows = tuple(
        row
        for folder, one in zip(folders, reported, strict=True)
        for row in _rows(str(folder), one.summary, read_costs(folder))
    )
    result = ComparedBenches(
        comparison=out,
        markdown=out.with_suffix(".md"),
        reports=tuple(one.report for one in reported),
        rows=rows,
        differing=_differing([one.summary for one in reported]),
    )
    blocks = _blocks(result, folders, reported)
    write_text(result.comparison, html_page(_TITLE, _TITLE, blocks))
    write_text(result.markdown, markdown_page(_TITLE, blocks))
    return result


def _blocks(result: ComparedBenches, folders: Sequence[Path], reported: Sequence[ReportedBench]) -> list[Block]:
    names = [str(folder) for folder in folders]
    found = {row.run for row in result.rows}
    blocks: list[Block] = [
        Paragraph(f"{name}: {one.sentence}") for name, one in zip(names, reported, strict=True) if name not in found
    ]
    if result.rows:
        called = [_called(row, result.rows) for row in result.rows]
        plot = run_plot([(name, row.gain) for name, row in zip(called, result.rows, strict=True)])
        verdicts = tuple(_verdict(name, row) for name, row in zip(called, result.rows, strict=True))
        blocks.append(Opening(plot, (Verdicts(verdicts),)))
    blocks += [
        Heading("What each bench found"),
        Table(result.table()),
        Paragraph(
            "Each gain is paired by seed within its own bench; between benches nothing is paired or corrected. Per "
            "point: seconds of generator, sampling and training for each point gained.",
            "note",
        ),
        Heading("Where they differ"),
    ]
    if not result.differing:
        return [*blocks, Paragraph("In no setting.")]
    header = ["setting", *names]
    rows = [[name, *(NOTHING if value is None else value for value in row)] for name, row in result.differing.items()]
    return [*blocks, Table([header, *rows])]


def _verdict(name: str, row: ComparedSet) -> Verdict:
    details = f"{row.baseline_accuracy:.2f} % to {row.mixed_accuracy:.2f} %"
    if row.seconds_per_point is not None:
        details += f"; {_per_point(row)} per point gained"
    if not row.is_complete:
        details += "; unfinished"
    return Verdict(f"{name}: {row.verdict}, {words.estimate(row.gain.difference)}", row.verdict, details)


def _per_point(row: ComparedSet) -> str:
    if row.seconds_per_point is None:
        return NOTHING
    return ("" if row.is_cost_known else "at least ") + duration(row.seconds_per_point)


def _called(row: ComparedSet, rows: Sequence[ComparedSet]) -> str:
    """A name for a row of the plot, with what there are several of."""
    same = [other for other in rows if other.run == row.run]
    parts = [row.run]
    parts += [row.regime] * (len({other.regime for other in same}) > 1)
    parts += [row.set] * (len({other.set for other in same}) > 1)
    return ", ".join(parts)


def _rows(run: str, summary: BenchSummary, costs: BenchCosts) -> list[ComparedSet]:
    return [_row(run, summary, costs, regime, one) for regime, one in words.results(summary)]


def _row(run: str, summary: BenchSummary, costs: BenchCosts, regime: RegimeSummary, one: SetResult) -> ComparedSet:
    took = words.costs_of(costs, regime, one.name)
    return ComparedSet(
        run=run,
        data=summary.source,
        regime=regime.name,
        images_per_class=regime.images_per_class,
        set=one.name,
        baseline=one.gain.baseline,
        baseline_accuracy=regime.arm(one.gain.baseline).test_accuracy.mean,
        mixed=one.gain.arm,
        mixed_accuracy=regime.arm(one.gain.arm).test_accuracy.mean,
        gain=one.gain,
        verdict=one.verdict,
        seconds_per_point=None if took is None else took.break_even.seconds_per_point,
        is_cost_known=took is not None and took.sampling is not None,
        is_complete=summary.is_complete,
    )


def _differing(summaries: Sequence[BenchSummary]) -> dict[str, list[str | None]]:
    every = [dict(_settings(summary)) for summary in summaries]
    names = dict.fromkeys(name for settings in every for name in settings)
    found = {name: [settings.get(name) for settings in every] for name in names}
    return {name: values for name, values in found.items() if len(set(values)) > 1}


def _settings(summary: BenchSummary) -> list[tuple[str, str]]:
    """Everything that was chosen, and where it ran; as words, for hashes are shortened all the same."""
    arms = dict.fromkeys(arm.name for regime in summary.regimes for arm in regime.arms)
    chosen = {
        "real images": [regime.name for regime in summary.regimes],
        "sets": words.set_names(summary),
        "arms": list(arms),
        "steps": [regime.steps for regime in summary.regimes],
        "seeds": summary.seeds,
        **summary.settings,
        "environment": summary.environment,
    }
    return [(name, value) for name, value in setting_rows(chosen)]
