"""What classifiers look at: integrated gradients and Grad-CAM of test images, side by side."""

from synthaug.workflows.explain.inputs import ExplainConfig
from synthaug.workflows.explain.records import ExplainPlan, ExplainResult
from synthaug.workflows.explain.run import explain, plan_explanation

__all__ = ["ExplainConfig", "ExplainPlan", "ExplainResult", "explain", "plan_explanation"]
