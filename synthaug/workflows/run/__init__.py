"""The whole path on somebody's own images, in the time that they have."""

from synthaug.workflows.run.record import RunResult
from synthaug.workflows.run.settings import RunConfig
from synthaug.workflows.run.whole import RunPlan, plan_run, run

__all__ = ["RunConfig", "RunPlan", "RunResult", "plan_run", "run"]
