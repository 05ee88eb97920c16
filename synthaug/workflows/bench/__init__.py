"""Measures what synthetic sets are worth: arms, cells, statistics and the verdict."""

from synthaug.workflows.bench.run import BenchPlan, bench, plan_bench
from synthaug.workflows.bench.settings import BenchConfig
from synthaug.workflows.bench.summary import (
    ArmSummary,
    BenchSummary,
    RegimeSummary,
    SetResult,
    read_summary,
)

__all__ = [
    "ArmSummary",
    "BenchConfig",
    "BenchPlan",
    "BenchSummary",
    "RegimeSummary",
    "SetResult",
    "bench",
    "plan_bench",
    "read_summary",
]
