"""Turns a finished bench into a page a person reads in ten seconds."""

from synthaug.workflows.report.write import ReportedBench, bench_and_report, report

__all__ = ["ReportedBench", "bench_and_report", "report"]
