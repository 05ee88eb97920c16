"""Measures what synthetic sets are worth: arms, cells, statistics and the verdict."""

from synthaug.workflows.bench.run import BenchConfig, BenchPlan, bench, plan_bench
from synthaug.workflows.bench.summary import ArmSummary, BenchSummary, SetResult, read_summary

__all__ = [
    "ArmSummary",
    "BenchConfig",
    "BenchPlan",
    "BenchSummary",
    "SetResult",
    "bench",
    "plan_bench",
    "read_summary",
]
