"""Writes the report of a bench."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from synthaug.core.errors import TrainingError
from synthaug.core.storage import write_text
from synthaug.workflows.bench import BenchConfig, BenchSummary, bench, read_summary
from synthaug.workflows.bench.costs import read_costs
from synthaug.workflows.bench.record import STUDY_NAME, read_study
from synthaug.workflows.bench.sentence import verdict_sentence
from synthaug.workflows.bench.summarise import refresh_summary
from synthaug.workflows.bench.summary import SUMMARY_NAME
from synthaug.workflows.report import words
from synthaug.workflows.report.content import content
from synthaug.workflows.report.html import html_page
from synthaug.workflows.report.markdown import markdown_page


@dataclass(frozen=True)
class ReportedBench:
    """A bench and where its report lies.

    Attributes:
        report: report.html.
        markdown: report.md.
        sentence: The verdict in words.
        summary: All figures.
    """

    report: Path
    markdown: Path
    sentence: str
    summary: BenchSummary


def report(folder: Path) -> ReportedBench:
    """Writes report.html and report.md into the folder of a bench, finished or not.

    Raises:
        InputError: If the folder holds no bench.
    """
    summary = refresh_summary(folder) if (folder / STUDY_NAME).is_file() else read_summary(folder)
    costs = read_costs(folder)
    blocks = content(summary, costs, folder, _set_names(folder, summary), command_line(folder))
    title = f"synthaug: {words.headline(summary)}"
    page, markdown = folder / "report.html", folder / "report.md"
    write_text(page, html_page(title, "synthaug: does this synthetic data help?", blocks))
    write_text(markdown, markdown_page(title, blocks))
    return ReportedBench(page, markdown, verdict_sentence(summary), summary)


def bench_and_report(config: BenchConfig) -> ReportedBench:
    """Measure what synthetic sets are worth: train with and without each, give verdicts and a report."""
    try:
        bench(config)
    except TrainingError:
        if (config.out / SUMMARY_NAME).is_file():
            report(config.out)  # which says what failed
        raise
    return report(config.out)


def command_line(folder: Path) -> str:
    """The command that repeats the bench in a folder."""
    return shlex.join(["synthaug", "bench", *BenchConfig.resolve({}, folder / "config.yaml").flags()])


def _set_names(folder: Path, summary: BenchSummary) -> dict[str, list[str]]:
    """The sets of all numbers of real images, in order; what was found knows only those with something to compare."""
    if (folder / STUDY_NAME).is_file():
        return {regime.name: [one.name for one in regime.sets] for regime in read_study(folder).regimes}
    return {regime.name: [one.name for one in regime.sets] for regime in summary.regimes}
