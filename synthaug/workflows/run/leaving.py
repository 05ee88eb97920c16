"""Says what a run left out, and what it would take; decides nothing."""

from __future__ import annotations

from synthaug.core.durations import duration
from synthaug.workflows.bench.statistics import MINIMUM_SEEDS
from synthaug.workflows.run.covering import (
    CORE_ARMS,
    MORE_ARMS,
    WANTED_SEEDS,
    Covered,
    budget_for_a_verdict,
    cells_of,
)
from synthaug.workflows.run.planning import wanted_per_class
from synthaug.workflows.run.record import Decisions, RunRecord
from synthaug.workflows.run.words import budget_flag

#: Times the budget from which on it was not kept.
_EXCEEDED = 1.1


def left_out(record: RunRecord, decisions: Decisions, *, shown: int, sets: int) -> tuple[str, ...]:
    """What was left out, a sentence each, in the order of the stages.

    Args:
        record: The run, of which everything is done that will be.
        decisions: What it decided.
        shown: Images that were shown to the generator.
        sets: Its synthetic sets.
    """
    plan, facts, remarks = decisions.plan, decisions.facts, record.remarks
    said = []
    if (spent := sum(record.seconds.values())) > _EXCEEDED * record.budget:
        said.append(f"the budget: it was exceeded, {duration(spent)} were taken instead of {duration(record.budget)}")
    if decisions.resized:
        said.append(f"detail: {decisions.resized}")
    if shown < facts.preset_images and "training" not in remarks:
        said.append(
            f"training: the generator was shown {shown:,} of the {facts.preset_images:,} images of its preset; a "
            "larger --budget in another --out trains it longer"
        )
    if "training" in remarks:
        said.append(f"training: {remarks['training']}")
    if plan.per_class < (wanted := wanted_per_class(facts.per_class)):
        said.append(f"drawing: {plan.per_class:,} images of each class were drawn, {wanted:,} would be of use")
    if "curation" in remarks:
        said.append(f"curation: {remarks['curation']}")
    return (*said, *_left_out_of_bench(record, decisions, sets))


def _left_out_of_bench(record: RunRecord, decisions: Decisions, sets: int) -> list[str]:
    plan, facts = decisions.plan, decisions.facts
    covered = record.covered or Covered(arms=CORE_ARMS, seeds=0, sets=sets)
    said = []
    if plan.steps < facts.steps:
        said.append(
            f"steps: each training of the classifier had {plan.steps:,} instead of the {facts.steps:,} of its recipe; "
            "longer ones may gain more or less"
        )
    if covered.sets < sets:
        said.append(f"bench: {sets - covered.sets} of {sets} sets was not compared")
    if missing := [arm for arm in MORE_ARMS if arm not in covered.arms]:
        said.append(f"arms: {' and '.join(missing)}, which are for orientation")
    if covered.seeds < MINIMUM_SEEDS:
        said.append(f"a verdict: {_verdict_words(record, decisions, sets)}")
    elif covered.seeds < WANTED_SEEDS:
        each = cells_of(covered.arms, covered.sets) * pace_of(record, decisions)
        said.append(f"seeds beyond {covered.seeds}: another takes about {duration(each)}, and narrows the interval")
    if not plan.robustness:
        said.append("corruptions: classifiers were tested on clean images only")
    return said


def pace_of(record: RunRecord, decisions: Decisions) -> float:
    """Seconds of one training of the bench by the clock: as it was, else as it was measured beforehand."""
    return record.pace or decisions.plan.cell / decisions.rates.jobs


def needed_budget(record: RunRecord, decisions: Decisions, sets: int) -> int:
    """The budget, in whole minutes, with which the same command comes to a verdict."""
    spent = sum(record.seconds.values())
    return budget_for_a_verdict(spent, record.covered, sets, pace_of(record, decisions))


def _verdict_words(record: RunRecord, decisions: Decisions, sets: int) -> str:
    seeds = 0 if record.covered is None else record.covered.seeds
    flag = budget_flag(needed_budget(record, decisions, sets))
    return (
        f"{MINIMUM_SEEDS} paired seeds are needed, {seeds} fitted; the same command with --budget {flag} goes on from "
        f"here, and --budget {budget_flag(decisions.plan.needed)} in another --out would have been enough for all"
    )
