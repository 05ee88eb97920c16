"""Makes a better set of a synthetic set, by filters that follow one another."""

from synthaug.workflows.curate.run import CurateConfig, CuratePlan, CurateResult, curate, plan_curation

__all__ = ["CurateConfig", "CuratePlan", "CurateResult", "curate", "plan_curation"]
