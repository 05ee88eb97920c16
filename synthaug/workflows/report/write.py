"""Writes the report of a finished bench."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from synthaug.core.storage import write_text
from synthaug.workflows.bench import BenchConfig, BenchSummary, bench, read_summary
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
    """Writes report.html and report.md into the folder of a finished bench.

    Raises:
        InputError: If the folder holds no finished bench.
    """
    summary = read_summary(folder)
    page, markdown = folder / "report.html", folder / "report.md"
    write_text(page, html_page(summary, folder))
    write_text(markdown, markdown_page(summary, folder))
    return ReportedBench(page, markdown, summary.sentence(), summary)


def bench_and_report(config: BenchConfig) -> ReportedBench:
    """Measure what synthetic sets are worth: train with and without each, give verdicts and a report."""
    bench(config)
    return report(config.out)
