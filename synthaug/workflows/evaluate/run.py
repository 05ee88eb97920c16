"""Evaluates sets: reads them, judges them, compares them, and writes figures, scores and the gallery."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass

from synthaug.classifiers.recipes import RECIPES, Recipe
from synthaug.core.console import log
from synthaug.core.errors import InputError
from synthaug.core.runtime import environment
from synthaug.core.storage import check_folder, write_json, write_text
from synthaug.core.types import LabelledImages, spread
from synthaug.data.splits import Splits
from synthaug.metrics.features import FeatureExtractor, extract, pixels_extractor
from synthaug.shards.manifest import Manifest
from synthaug.shards.plan import SetPlan
from synthaug.shards.reader import read_set
from synthaug.shards.verify import verify_set
from synthaug.workflows.bench.sets import set_names
from synthaug.workflows.evaluate.accuracy import accuracy_scores
from synthaug.workflows.evaluate.copying import repeated_share
from synthaug.workflows.evaluate.figures import METRICS, Compared, compare
from synthaug.workflows.evaluate.gallery.html import gallery_page
from synthaug.workflows.evaluate.judged import JudgedSet
from synthaug.workflows.evaluate.records import (
    AccuracyScore,
    Comparison,
    EvaluateResult,
    Reference,
)
from synthaug.workflows.evaluate.settings import EvaluateConfig
from synthaug.workflows.export.imagefolder import safe_name
from synthaug.workflows.judging import open_real
from synthaug.workflows.real_classifier import RealClassifier, check_judging, open_judge
from synthaug.workflows.scoring import CopyDetector

#: All figures; marks a folder as an evaluation.
RECORD_NAME, PAGE_NAME = "evaluation.json", "gallery.html"


@dataclass(frozen=True)
class EvaluatePlan:
    """What `evaluate` would do.

    Attributes:
        sets: Images of each set by name.
        reference: The real images.
        features: What images would be compared by.
        metrics: Figures.
        trainings: Trainings for the classification accuracy score.
    """

    sets: dict[str, int]
    reference: Reference
    features: tuple[str, ...]
    metrics: tuple[str, ...]
    trainings: int


@dataclass(frozen=True, eq=False)
class _Sets:
    """The sets by their manifests, and the real images beside which they are to stand."""

    names: tuple[str, ...]
    plans: tuple[SetPlan, ...]
    splits: Splits
    reference: Reference
    recipe: Recipe

    @classmethod
    def of(cls, config: EvaluateConfig) -> _Sets:
        recipe = RECIPES.get(config.recipe)
        if config.steps is not None:
            recipe = dataclasses.replace(recipe, steps=config.steps)
        check_folder(config.out, marker=RECORD_NAME, kind="earlier evaluation")
        plans = [Manifest.read(where).plan for where in config.folders]
        for number, plan in enumerate(plans):
            if plan in plans[:number]:
                raise InputError(
                    f"{config.folders[number]} is given twice, or equal to another set; give each set once"
                )
        config.check_weights()
        _check_count(config, plans)
        splits, is_generators = open_real(config, list(zip(config.folders, plans, strict=True)))
        check_judging(config, splits)
        reference = Reference(
            source=splits.record.source,
            split=config.against,
            images=len(getattr(splits, config.against)),
            train=len(splits.train),
            validation=len(splits.validation),
            test=len(splits.test),
            split_seed=splits.record.seed,
            is_generators=is_generators,
        )
        names = set_names([plan.generator.model for plan in plans], config.folders)
        return cls(tuple(names), tuple(plans), splits, reference, recipe)


def _check_count(config: EvaluateConfig, plans: Sequence[SetPlan]) -> None:
    smallest = min(plan.sample_count for plan in plans)
    if config.count is not None and config.count > smallest:
        raise InputError(f"--count must be at most {smallest}, the images of the smallest set, found {config.count}")


def plan_evaluation(config: EvaluateConfig) -> EvaluatePlan:
    """What `evaluate` would do, without reading a shard.

    Raises:
        InputError: For anything that `evaluate` would refuse before that.
    """
    sets = _Sets.of(config)
    counts = {name: plan.sample_count for name, plan in zip(sets.names, sets.plans, strict=True)}
    trainings = config.cas_seeds * (len(counts) + 1)
    return EvaluatePlan(counts, sets.reference, config.features, config.metrics or METRICS, trainings)


def evaluate(config: EvaluateConfig) -> EvaluateResult:
    """Say what is in synthetic sets, whether they copy the training data, and what a classifier learns from them.

    Raises:
        InputError: For a set without a manifest or for other images, one that holds test images, one whose generator
            saw held-out images, or fewer images than a figure needs.
        DamageError: If a set is damaged.
    """
    started = time.monotonic()
    sets, runtime = _Sets.of(config), config.runtime()
    splits = sets.splits
    for where in config.folders:
        verify_set(where)
    images = [read_set(where)[0] for where in config.folders]
    pretrained = config.pretrained(runtime.device)  # before a judge is trained, should weights not be had
    judge = open_judge(config, splits, runtime)
    extractors = config.extractors(judge, pretrained)
    detectors = [CopyDetector.of(space, splits) for space in _copy_spaces(extractors, judge)]
    judged = [
        JudgedSet.of(name, where, plan, one, judge, detectors, splits)
        for name, where, plan, one in zip(sets.names, config.folders, sets.plans, images, strict=True)
    ]
    comparisons = _comparisons(config, sets, judged, extractors)
    scores: dict[str, AccuracyScore] = {}
    if config.cas_seeds:
        seeds, named = range(config.seed, config.seed + config.cas_seeds), {one.name: one.images for one in judged}
        scores = accuracy_scores(splits, named, sets.recipe, seeds, runtime, name=config.recipe)
    real_near = repeated_share(detectors[0])
    reports = [
        one.report(compared, figures, scores.get(one.name), detectors, real_near)
        for one, (compared, figures) in zip(judged, comparisons, strict=True)
    ]
    result = EvaluateResult(
        out=config.out,
        page=config.out / PAGE_NAME,
        class_names=splits.train.class_names,
        reference=sets.reference,
        judge=judge.facts(),
        sets=tuple(reports),
        environment=environment(),
        seconds=round(time.monotonic() - started, 1),
    )
    _write(config, result, judged, splits)
    return result


def _copy_spaces(extractors: dict[str, FeatureExtractor], judge: RealClassifier) -> list[FeatureExtractor]:
    """Where copies are looked for: in pixels, and in the first other space that images are compared by."""
    others = [space for name, space in extractors.items() if name != "pixels"]
    return [pixels_extractor(judge.card.channels, judge.card.image_size), *(others or [judge.extractor()])[:1]]


def _comparisons(
    config: EvaluateConfig, sets: _Sets, judged: Sequence[JudgedSet], extractors: dict[str, FeatureExtractor]
) -> list[tuple[int, tuple[Comparison, ...]]]:
    """For each set the number of its images compared, and its figures in each space."""
    images = [one.images for one in judged]
    smallest = min(map(len, images))
    real: LabelledImages = getattr(sets.splits, config.against)
    chosen = [spread(one.labels, config.count or smallest) for one in images]
    found = []
    for name, one, positions in zip(sets.names, images, chosen, strict=True):
        spaces = []
        for extractor in extractors.values():
            features = extract(extractor, one.images, key=one.fingerprint)[positions]
            reference = Compared(extract(extractor, real.images, key=real.fingerprint), real.labels)
            synthetic = Compared(features, one.labels[positions])
            wanted = config.metrics or METRICS
            spaces.append(compare(extractor, reference, synthetic, len(real.class_names), wanted, name=name))
        found.append((len(positions), tuple(spaces)))
        _check_figures(config, name, spaces)
    return found


def _check_figures(config: EvaluateConfig, name: str, spaces: Sequence[Comparison]) -> None:
    """Refuses if a figure that was asked for by name could not be computed, or none could."""
    missing = [figure for space in spaces for figure in space.figures if figure.overall.value is None]
    if missing and (config.metrics or len(missing) == sum(len(space.figures) for space in spaces)):
        raise InputError(f"{name}: no {missing[0].title}: {missing[0].overall.reason}")


def _write(config: EvaluateConfig, result: EvaluateResult, judged: Sequence[JudgedSet], splits: Splits) -> None:
    """The figures come first: they mark the folder, should the rest be interrupted."""
    figures = {name: value for name, value in dataclasses.asdict(result).items() if name not in ("out", "page")}
    write_json(config.out / RECORD_NAME, {"split": splits.record.model_dump(mode="json"), **figures})
    for former in config.out.glob("samples_*.csv"):  # of an evaluation of other sets
        former.unlink()
    for one in judged:
        write_text(config.out / f"samples_{safe_name(one.name, 200)}.csv", one.table())
    page = gallery_page(result, [one.shown() for one in judged], splits.train, shown=config.gallery_samples)
    write_text(config.out / PAGE_NAME, page)
    config.save(config.out)
    log(f"gallery: {result.page}")
