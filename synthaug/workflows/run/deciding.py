"""Makes the decisions of a run: looks at the images, measures the machine, plans; nothing of it is done here."""

from __future__ import annotations

import time
from dataclasses import replace

from synthaug.classifiers.recipes import Recipe
from synthaug.core.console import log
from synthaug.core.durations import duration
from synthaug.core.runtime import Runtime, processors
from synthaug.data.splits import Splits
from synthaug.generators.base import load_backend
from synthaug.workflows.bench.statistics import MINIMUM_SEEDS
from synthaug.workflows.judge import JUDGE_RECIPE, MIN_REFERENCE
from synthaug.workflows.recipes import RecipeConfig
from synthaug.workflows.run.choosing import Choice, choose_model, choose_size, found_sizes, guidance_for, preset_for
from synthaug.workflows.run.measuring import (
    ClassifierSpeed,
    GeneratorSpeed,
    measure_classifier,
    measure_generator,
    trial_seconds,
)
from synthaug.workflows.run.planning import TRAINING, Facts, Plan, Rates, make_plan
from synthaug.workflows.run.record import Decisions
from synthaug.workflows.run.settings import RunConfig
from synthaug.workflows.run.words import budget_flag

#: Passes through the real training images of the judge of a curation; it takes as many steps as others at least.
_JUDGE_PASSES = 6
#: Steps of the judge that watches a training on a GPU.
_WATCHING_STEPS_ON_GPU = 2000
#: What a processor is worth of which all are busy.
_BUSY = 0.8
#: Share of the classifier's steps that a short budget leaves at least.
_FEWEST_STEPS = 0.2
#: Times the budget from which on more time is worth a word.
_EXCESS = 1.05


def size_of_images(config: RunConfig) -> Choice:
    """What to resize the images to.

    Raises:
        InputError: If there are none.
    """
    if config.image_size is not None:
        return Choice(config.image_size, "")
    return choose_size(found_sizes(config.data), config.runtime().device, config.seconds)


def splits_of(config: RunConfig, image_size: int | None) -> Splits:
    """The real images, of the size that was chosen."""
    return config.model_copy(update={"image_size": image_size}).splits()


def classifier_recipe(config: RunConfig, images: int) -> Recipe:
    """How the classifier is trained on so many images.

    Raises:
        InputError: If there is no such recipe.
    """
    return RecipeConfig(recipe=config.recipe, steps=config.steps).resolved_recipe().sized(images)


def decide(config: RunConfig) -> Decisions:
    """Measures for a small part of the budget, and decides everything.

    Raises:
        InputError: For images or settings that something on the way would refuse.
    """
    began, runtime = time.monotonic(), config.runtime()
    if config.model != "auto":
        load_backend(config.model)
    size = size_of_images(config)
    if size.why:
        log(size.why)
    loading = time.monotonic()
    splits = splits_of(config, size.value)
    loading = time.monotonic() - loading
    if config.flip is None and splits.allows_flip:
        log("mirrored images are taken to show the same class; give --no-flip if they do not (letters, left and right)")
    recipe, trial = classifier_recipe(config, len(splits.train)), trial_seconds(config.seconds)
    judge, side = measure_classifier(splits, JUDGE_RECIPE, runtime, trial), splits.train.image_size
    watching = _watching(judge, splits, runtime)
    chosen = choose_model(config.model, runtime.device, side, watching=watching, training=TRAINING * config.seconds)
    preset, guidance = preset_for(chosen.value, runtime.device, side), guidance_for(chosen.value, runtime.device, side)
    log(f"generator: {chosen.value} ({chosen.why})")
    generator = measure_generator(splits, chosen.value, preset, guidance, runtime, trial)
    classifier = measure_classifier(splits, recipe, runtime, trial, threads=1)
    judge_steps = _judge_steps(len(splits.train))
    is_watched = generator.is_watched or runtime.device == "cuda"
    rates = Rates(
        training=generator.training,
        watching=watching if is_watched else 0.0,
        drawing=generator.drawing,
        judge=judge_steps * judge.step + judge.overhead,
        judging=judge.judging,
        step=classifier.step,
        cell=classifier.cell(recipe, splits),
        corruptions=classifier.corruptions(splits),
        loading=loading,
        jobs=1.0 if runtime.device == "cuda" else max(1.0, _BUSY * processors()),
    )
    facts = _facts(splits, recipe, generator)
    plan = make_plan(config.seconds, time.monotonic() - began, rates, facts)
    log(_in_words(plan))
    for warning in _warnings(config, plan):
        log(f"warning: {warning}")
    return Decisions(
        model=chosen.value,
        why=chosen.why,
        image_size=size.value,
        resized=size.why,
        preset=preset,
        guidance=guidance,
        judge_steps=judge_steps,
        facts=facts,
        rates=rates,
        plan=plan,
    )


def _watching(judge: ClassifierSpeed, splits: Splits, runtime: Runtime) -> float:
    """Seconds to train the judge that watches the training of a generator; 0 if there are too few images for that."""
    if len(splits.validation) < MIN_REFERENCE:
        return 0.0
    steps = _WATCHING_STEPS_ON_GPU if runtime.device == "cuda" else JUDGE_RECIPE.steps or 0
    return steps * judge.step + judge.overhead


def _judge_steps(images: int) -> int:
    recipe = replace(JUDGE_RECIPE, steps=None, epochs=float(_JUDGE_PASSES), least_steps=JUDGE_RECIPE.steps or 1)
    return recipe.sized(images).steps or 1


def _facts(splits: Splits, recipe: Recipe, generator: GeneratorSpeed) -> Facts:
    classes, steps = len(splits.train.class_names), recipe.steps or 1
    return Facts(
        classes=classes,
        per_class=len(splits.train) / classes,
        preset_images=generator.preset_images,
        steps=steps,
        least_steps=min(steps, max(recipe.least_steps, round(_FEWEST_STEPS * steps))),
    )


def _in_words(plan: Plan) -> str:
    shares = plan.shares
    parts = [
        f"train the generator for {duration(shares['training'])} ({plan.images:,} images)",
        f"draw {plan.per_class:,} images a class in {duration(shares['drawing'])}",
        *([f"curate in {duration(shares['curation'])}"] if plan.is_curated else []),
        f"bench for {duration(shares['bench'])} (room for {plan.seeds} paired seeds of {', '.join(plan.arms)})",
    ]
    return f"plan: {', '.join(parts)}"


def _warnings(config: RunConfig, plan: Plan) -> list[str]:
    """What somebody would rather know now than at the end."""
    least = sum(plan.shares.values())
    said = []
    if plan.seeds < MINIMUM_SEEDS:
        said.append(
            f"the {MINIMUM_SEEDS} paired seeds that a verdict takes do not fit into {config.budget}, but into --budget "
            f"{budget_flag(plan.needed)}"
        )
    if least > _EXCESS * config.seconds:
        said.append(f"the least of everything takes {duration(least)}, more than the budget")
    return said
