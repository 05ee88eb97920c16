"""From the cells of a bench to its summary; no order of the cells and no number of jobs changes it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

from synthaug.workflows.bench.arms import baseline_arms, counterpart_of, deciding_arms, judging_arm, pairs_of
from synthaug.workflows.bench.comparing import Pair, Table, compare
from synthaug.workflows.bench.costs import costs_of
from synthaug.workflows.bench.quality import Quality
from synthaug.workflows.bench.record import RegimeRecord, SetFacts, StudyRecord, read_study
from synthaug.workflows.bench.results import CellResult, Results, read_results
from synthaug.workflows.bench.statistics import estimate
from synthaug.workflows.bench.summary import (
    ArmSummary,
    BenchSummary,
    Comparison,
    Control,
    EqualEpochs,
    FailedCell,
    RegimeSummary,
    SetResult,
)
from synthaug.workflows.bench.worth import (
    ClassGain,
    RealPoint,
    Worth,
    class_gains,
    class_quotas,
    extra_real_images,
)


def refresh_summary(folder: Path) -> BenchSummary:
    """Writes report.json and costs.json of what is done, and nothing else.

    Raises:
        InputError: If the folder holds no bench.
        DamageError: If its files are damaged.
    """
    study = read_study(folder)
    results = read_results(folder, study.cells)
    summary = summarise(study, results)
    summary.write(folder)
    costs_of(study, results.done, summary).write(folder)
    return summary


def summarise(study: StudyRecord, results: Results) -> BenchSummary:
    """Brings all finished cells together; numbers of real images with nothing to compare yet are left out."""
    curve = _real_curve(study, results.done)
    regimes = [_regime(study, regime, results, curve) for regime in study.regimes]
    keys = {cell.key for cell in study.cells}
    return BenchSummary(
        source=study.source,
        class_names=study.class_names,
        seeds=study.seeds,
        cells=len(keys),
        done=len(keys & results.done.keys()),
        failed=[
            FailedCell(regime=regime.name, arm=cell.arm, seed=cell.seed, reason=results.failed[cell.key].failed)
            for regime in study.regimes
            for cell in regime.cells
            if cell.key in results.failed
        ],
        extensions=study.extensions,
        regimes=[regime for regime in regimes if regime is not None],
        settings=study.settings,
        environment=study.environment,
    )


def _real_curve(study: StudyRecord, done: Mapping[str, CellResult]) -> list[RealPoint]:
    """Test accuracy of the baseline of each number of real images, where all seeds are done."""
    points = []
    for regime in study.regimes:
        table = Table.of(regime, done)
        baseline = table.best_by_validation([arm.name for arm in baseline_arms(regime.arms)])
        if baseline is not None and len(table.arm(baseline)) == len(study.seeds):
            accuracies = tuple(100 * cell.tested.accuracy for cell in table.arm(baseline).values())
            points.append(RealPoint(regime.images_per_class, accuracies))
    return points


def _regime(
    study: StudyRecord, regime: RegimeRecord, results: Results, curve: Sequence[RealPoint]
) -> RegimeSummary | None:
    table = Table.of(regime, results.done)
    baseline = table.best_by_validation([arm.name for arm in baseline_arms(regime.arms)])
    if baseline is None:
        return None
    deciding = [
        table.best_by_validation([arm.name for arm in deciding_arms(regime.arms, one.name)]) for one in regime.sets
    ]
    names = [name for name in deciding if name is not None]
    gains = compare([_pair(table, name, baseline) for name in names])
    if len(gains) < len(regime.sets):
        return None
    others = _others(regime, table, baseline, names)
    return RegimeSummary(
        name=regime.name,
        fraction=regime.fraction,
        images_per_class=regime.images_per_class,
        counts=regime.counts,
        steps=regime.steps,
        real_epochs=regime.real_epochs,
        baseline=baseline,
        sets=[
            _set_result(study, regime, table, facts, gain, curve)
            for facts, gain in zip(regime.sets, gains, strict=True)
        ],
        comparisons=others,
        controls=_controls(regime, table, study.settings.get("recipe", {}).get("transform")),
        arms=_arms(regime, table),
        equal_epochs=_equal_epochs(regime, table, results, baseline),
        missing=sum(cell.key not in results.done for cell in regime.cells),
    )


def _pair(table: Table, one: str, other: str) -> Pair:
    return Pair(one, table.arm(one), other, table.arm(other))


def _others(regime: RegimeRecord, table: Table, baseline: str, deciding: Sequence[str]) -> list[Comparison]:
    """All arms that decide nothing, and arms that differ in their set."""
    left = [arm.name for arm in regime.arms if arm.name not in (baseline, *deciding)]
    sets = [(one.name, other.name) for one, other in pairs_of(regime.arms)]
    return compare([*(_pair(table, name, baseline) for name in left), *(_pair(table, *names) for names in sets)])


def _controls(regime: RegimeRecord, table: Table, usual: str | None) -> list[Control]:
    """Arms whose outcome is known, each against the real-only arm with its augmentation, each for itself.

    Without such an arm, which no bench may begin without, nothing is known of the outcome.

    Args:
        regime: One number of real images.
        table: Its finished cells.
        usual: The recipe's augmentation.
    """
    controls = []
    for arm in regime.arms:
        twin = counterpart_of(arm, regime.arms, usual) if arm.is_control else None
        if twin is None:
            continue
        for comparison in compare([_pair(table, arm.name, twin.name)]):
            wrong = {"helps"} if arm.labels == "wrong" else {"helps", "hurts"}
            controls.append(
                Control(
                    name=arm.name,
                    expectation="wrong labels must not help"
                    if arm.labels == "wrong"
                    else "the same images must come to the same",
                    comparison=comparison,
                    is_as_expected=None if comparison.verdict == "no verdict" else comparison.verdict not in wrong,
                )
            )
    return controls


def _set_result(
    study: StudyRecord,
    regime: RegimeRecord,
    table: Table,
    facts: SetFacts,
    gain: Comparison,
    curve: Sequence[RealPoint],
) -> SetResult:
    judges = list(table.arm(judging_arm(regime.arms).name).values())
    fidelity = [cell.label_fidelity[facts.fingerprint] for cell in judges]
    measured = [cell.quality[facts.fingerprint] for cell in judges if facts.fingerprint in cell.quality]
    seeds = _pair(table, gain.arm, gain.baseline).seeds
    arms = [[table.arm(name)[seed] for seed in seeds] for name in (gain.arm, gain.baseline)]
    with_synthetic, without = ([_in_percent(cell.tested.per_class) for cell in cells] for cells in arms)
    validated = _validated(study.class_names, *arms)
    return SetResult(
        **{name: getattr(facts, name) for name in SetFacts.model_fields},
        verdict=gain.verdict,
        gain=gain,
        label_fidelity=100 * _mean([judge.overall for judge in fidelity]),
        label_fidelity_per_class=_per_class([judge.per_class for judge in fidelity]),
        quality=_mean_quality(measured) if measured else None,
        classes=class_gains(study.class_names, with_synthetic, without),
        validated_classes=validated,
        quotas=None if validated is None else class_quotas(validated, facts.per_class),
        worth=_worth(study, regime, table, gain, curve),
    )


def _validated(
    names: Sequence[str], with_synthetic: Sequence[CellResult], without: Sequence[CellResult]
) -> list[ClassGain] | None:
    """Gain of each class on the validation images; None if some training did not look."""
    known = [
        [_in_percent(shares) for cell in cells if (shares := cell.validation_per_class) is not None]
        for cells in (with_synthetic, without)
    ]
    if any(len(rows) < len(with_synthetic) for rows in known):
        return None
    return class_gains(names, *known)


def _worth(
    study: StudyRecord, regime: RegimeRecord, table: Table, gain: Comparison, curve: Sequence[RealPoint]
) -> Worth | None:
    cells = table.arm(gain.arm)
    if len(cells) < len(study.seeds):
        return None
    return extra_real_images(curve, regime.images_per_class, [100 * cell.tested.accuracy for cell in cells.values()])


def _arms(regime: RegimeRecord, table: Table) -> list[ArmSummary]:
    summaries = []
    for arm in regime.arms:
        cells = list(table.arm(arm.name).values())
        if not cells:
            continue
        tested = [cell.tested for cell in cells]
        corruptions = {name: 100 * _mean([one.corrupted[name] for one in tested]) for name in tested[0].corrupted}
        robust = [100 * _mean(list(one.corrupted.values())) for one in tested if one.corrupted]
        points = zip(*(cell.curve for cell in cells), strict=True)
        summaries.append(
            ArmSummary(
                arm=arm,
                seeds=[cell.seed for cell in cells],
                test_accuracy=estimate([100 * one.accuracy for one in tested]),
                per_seed=[100 * one.accuracy for one in tested],
                per_class=_per_class([one.per_class for one in tested]),
                validation_accuracy=100 * _mean([cell.validation_accuracy for cell in cells]),
                calibration_error=estimate([100 * one.calibration_error for one in tested]),
                negative_log_likelihood=estimate([one.nll for one in tested]),
                corrupted_accuracy=estimate(robust) if robust else None,
                per_corruption=corruptions,
                curve=[
                    (group[0].step, 100 * _mean([p.validation_accuracy for p in group]), _mean([p.loss for p in group]))
                    for group in points
                ],
            )
        )
    return summaries


def _equal_epochs(regime: RegimeRecord, table: Table, results: Results, baseline: str) -> EqualEpochs | None:
    if regime.longer_steps is None:
        return None
    longer = Table.of(regime, results.done, "equal real epochs")
    pairs = []
    for name in (arm.name for arm in regime.arms if arm.role == "mixed"):
        pairs.append(Pair(name, longer.arm(name), f"{baseline} ({regime.steps} steps)", table.arm(baseline)))
        pairs.append(Pair(name, longer.arm(name), f"{baseline} ({regime.longer_steps} steps)", longer.arm(baseline)))
    return EqualEpochs(steps=regime.longer_steps, comparisons=compare(pairs), arms=_arms(regime, longer))


def _mean_quality(measured: Sequence[Quality]) -> Quality:
    return Quality(
        **{field.name: _mean([getattr(figures, field.name) for figures in measured]) for field in fields(Quality)}
    )


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _in_percent(shares: Sequence[float | None]) -> list[float | None]:
    return [None if share is None else 100 * share for share in shares]


def _per_class(rows: Sequence[Sequence[float | None]]) -> list[float | None]:
    columns = zip(*map(_in_percent, rows), strict=True)
    return [None if None in column else _mean([value for value in column if value is not None]) for column in columns]
