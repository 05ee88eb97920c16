"""Writes the report of a bench."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from synthaug.core.errors import InputError, TrainingError
from synthaug.core.storage import one_at_a_time, write_text
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
from synthaug.workflows.report.provenance import refresh_provenance

_CONFIG_NAME = "config.yaml"
#: What marks the folder of `synthaug run`, which knows reports, not the other way round.
_RUN_NAME = "run.json"


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
    if not any((folder / name).is_file() for name in (STUDY_NAME, SUMMARY_NAME)):
        if (folder / _RUN_NAME).is_file():
            bench_of_run = folder / "bench"
            raise InputError(
                f"{folder} holds a run, whose bench, once it has begun, is in {bench_of_run}; run: synthaug report "
                f"{bench_of_run}"
            )
        read_summary(folder)  # says what is missing
    with one_at_a_time(folder / SUMMARY_NAME):
        return _write(folder)


def _write(folder: Path) -> ReportedBench:
    summary = refresh_summary(folder) if (folder / STUDY_NAME).is_file() else read_summary(folder)
    costs = read_costs(folder)
    command, made = command_line(folder), refresh_provenance(folder, summary, _settings(folder))
    blocks = content(summary, costs, folder, _set_names(folder, summary), command, made)
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
    """The command that repeats the bench in a folder.

    Raises:
        InputError: If its settings are missing or not readable.
    """
    return shlex.join(["synthaug", "bench", *_settings(folder).flags()])


def _settings(folder: Path) -> BenchConfig:
    path = folder / _CONFIG_NAME
    if not path.is_file():
        raise InputError(
            f"{path} is missing, which holds the settings of the bench; run the same bench command again to restore it"
        )
    return BenchConfig.resolve({}, path)


def _set_names(folder: Path, summary: BenchSummary) -> dict[str, list[str]]:
    """The sets of all numbers of real images, in order; what was found knows only those with something to compare."""
    if (folder / STUDY_NAME).is_file():
        return {regime.name: [one.name for one in regime.sets] for regime in read_study(folder).regimes}
    return {regime.name: [one.name for one in regime.sets] for regime in summary.regimes}
