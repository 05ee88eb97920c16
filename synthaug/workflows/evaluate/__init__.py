"""What is in synthetic sets, whether they copy, and what a classifier learns from them."""

from synthaug.workflows.evaluate.records import EvaluateResult
from synthaug.workflows.evaluate.run import EvaluatePlan, evaluate, plan_evaluation
from synthaug.workflows.evaluate.settings import EvaluateConfig

__all__ = ["EvaluateConfig", "EvaluatePlan", "EvaluateResult", "evaluate", "plan_evaluation"]
