"""Turns a bench into a page a person reads in ten seconds, and several into one that compares them."""

from synthaug.workflows.report.compare import ComparedBenches, ComparedSet, compare_reports
from synthaug.workflows.report.write import ReportedBench, bench_and_report, report

__all__ = ["ComparedBenches", "ComparedSet", "ReportedBench", "bench_and_report", "compare_reports", "report"]
