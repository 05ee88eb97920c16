"""Explains test images by each classifier's predictions, and writes the page, the picture and the figures."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from statistics import fmean

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from synthaug.classifiers.task import predict
from synthaug.core.console import log, progress
from synthaug.core.errors import InputError
from synthaug.core.storage import write_bytes, write_json, write_text
from synthaug.data.splits import Splits
from synthaug.workflows.explain.attributions import enlarged, grad_cam, integrated_gradients, on_pixels
from synthaug.workflows.explain.choice import rank_correlation, spread_over_classes
from synthaug.workflows.explain.grid import explained_picture
from synthaug.workflows.explain.html import html_page
from synthaug.workflows.explain.inputs import RECORD_NAME, ExplainConfig, Inputs, Subject, baseline_image
from synthaug.workflows.explain.pictures import Maps, Row
from synthaug.workflows.explain.records import (
    ExplainedImage,
    ExplainPlan,
    ExplainResult,
    Explanation,
    Likeness,
)

PAGE_NAME, PICTURE_NAME = "explained.html", "explained.png"


def plan_explanation(config: ExplainConfig) -> ExplainPlan:
    """What `explain` would do, without computing anything.

    Raises:
        InputError: For anything that `explain` would refuse before it computes.
        DamageError: If a file of a classifier is damaged.
    """
    inputs = Inputs.of(config)
    test = len(inputs.splits.test)
    return ExplainPlan(inputs.facts, config.data, test, min(config.count, test), config.which, config.baseline)


def explain(config: ExplainConfig) -> ExplainResult:
    """Show what classifiers look at: integrated gradients and Grad-CAM of test images, side by side.

    Raises:
        InputError: If a classifier is missing or for other images, or there are no images such as `which` says.
        DamageError: If a file of a classifier is damaged.
    """
    inputs = Inputs.of(config)
    splits, subjects, test = inputs.splits, inputs.subjects, inputs.splits.test
    probabilities = [
        predict(subject.network, test.images, inputs.runtime, preparation=subject.preparation) for subject in subjects
    ]
    candidates = _candidates(config, splits, probabilities, [subject.name for subject in subjects])
    chosen = spread_over_classes(test.labels, candidates, config.count, seed=config.seed)
    log(f"{len(chosen)} of {len(test)} test images of {config.data}, {len(subjects)} classifier(s)")
    baseline = baseline_image(config.baseline, splits.train)
    with progress("explaining", len(chosen) * len(subjects)) as advance:
        done = itertools.count(1)
        columns = [
            _column(config, inputs, subject, said, chosen, baseline, lambda: advance(next(done)))
            for subject, said in zip(subjects, probabilities, strict=True)
        ]
    rows = [
        Row(
            test.images[position],
            ExplainedImage(position, test.class_names[int(test.labels[position])], tuple(said for said, _ in cells)),
            tuple(maps for _, maps in cells),
        )
        for position, cells in zip(chosen, zip(*columns, strict=True), strict=True)
    ]
    _warn_of_gaps(rows)
    result = ExplainResult(
        out=config.out,
        page=config.out / PAGE_NAME,
        data=config.data,
        test=len(test),
        which=config.which,
        baseline=config.baseline,
        classifiers=inputs.facts,
        images=tuple(row.record for row in rows),
        likenesses=_likenesses(rows, [subject.name for subject in subjects], baseline[0]),
    )
    _write(config, result, rows, splits)
    return result


def _candidates(
    config: ExplainConfig, splits: Splits, probabilities: Sequence[Float[Tensor, "n k"]], names: Sequence[str]
) -> Bool[Tensor, " n"]:
    labels = splits.test.labels
    predicted = torch.stack([entry.argmax(dim=1) for entry in probabilities])
    if config.which == "wrong":
        candidates, missing = predicted[0] != labels, f"that {names[0]} gets wrong"
    elif config.which == "disagree":
        candidates, missing = (predicted != predicted[0]).any(dim=0), f"on which {' and '.join(names)} differ"
    else:
        candidates, missing = torch.ones_like(labels, dtype=torch.bool), ""
    if not candidates.any():
        raise InputError(
            f"--which {config.which} needs a test image {missing}, found none among the {len(labels)} of "
            f"{config.data}; leave it out to see any images"
        )
    return candidates


def _column(
    config: ExplainConfig,
    inputs: Inputs,
    subject: Subject,
    probabilities: Float[Tensor, "n k"],
    chosen: Sequence[int],
    baseline: UInt8[Tensor, "1 c s s"],
    on_image: Callable[[], None],
) -> list[tuple[Explanation, Maps]]:
    """What one classifier says of the chosen images, and where it looks."""
    found = []
    for position in chosen:
        found.append(_explained(config, inputs, subject, probabilities[position], position, baseline))
        on_image()
    return found


def _explained(
    config: ExplainConfig,
    inputs: Inputs,
    subject: Subject,
    probabilities: Float[Tensor, " k"],
    position: int,
    baseline: UInt8[Tensor, "1 c s s"],
) -> tuple[Explanation, Maps]:
    test, device = inputs.splits.test, inputs.runtime.device
    pixels = torch.cat([test.images[position][None], baseline])
    image, start = subject.preparation(pixels.to(device))
    label = int(probabilities.argmax())
    gradients = integrated_gradients(subject.network, image, start, label, steps=config.integration_steps)
    heat = grad_cam(subject.network, image, label)
    explanation = Explanation(
        classifier=subject.name,
        predicted=test.class_names[label],
        probability=float(probabilities[label]),
        is_right=label == int(test.labels[position]),
        output=gradients.output,
        baseline_output=gradients.baseline_output,
        attribution_sum=gradients.total,
        gap=gradients.gap,
        relative_gap=gradients.gap / abs(gradients.difference) if gradients.difference else None,
        is_complete=gradients.is_complete,
        steps=gradients.steps,
        heat_size=(heat.shape[0], heat.shape[1]),
    )
    size = test.image_size
    return explanation, Maps(on_pixels(gradients.values, size), enlarged(heat, size))


def _likenesses(rows: Sequence[Row], names: Sequence[str], baseline: UInt8[Tensor, "c s s"]) -> tuple[Likeness, ...]:
    """Of each two classifiers.

    Pixels that equal the baseline are left out of integrated gradients: they get nothing, whatever the classifier.
    """
    found = []
    for one, other in itertools.combinations(range(len(names)), 2):
        gradients, heats, same = [], [], 0
        for row in rows:
            differs = (row.image != baseline).any(dim=0)
            first, second = row.maps[one], row.maps[other]
            gradients.append(rank_correlation(first.gradients.abs(), second.gradients.abs(), differs))
            heats.append(rank_correlation(first.heat, second.heat, torch.ones_like(differs)))
            same += row.record.explanations[one].predicted == row.record.explanations[other].predicted
        known, known_heats = ([entry for entry in values if entry is not None] for values in (gradients, heats))
        found.append(
            Likeness(
                first=names[one],
                second=names[other],
                same_class=same,
                gradients=fmean(known) if known else None,
                gradient_images=len(known),
                heat=fmean(known_heats) if known_heats else None,
                heat_images=len(known_heats),
            )
        )
    return tuple(found)


def _warn_of_gaps(rows: Sequence[Row]) -> None:
    everything = [said for row in rows for said in row.record.explanations]
    if incomplete := [said for said in everything if not said.is_complete]:
        log(
            f"warning: for {len(incomplete)} of {len(everything)} predictions, integrated gradients miss their sum by "
            "more than 1 %; give more --integration-steps, such as 2048"
        )


def _write(config: ExplainConfig, result: ExplainResult, rows: Sequence[Row], splits: Splits) -> None:
    """The figures come first: they mark the folder, should the rest be interrupted."""
    figures = {name: value for name, value in dataclasses.asdict(result).items() if name not in ("out", "page")}
    write_json(config.out / RECORD_NAME, {"split": splits.record.model_dump(mode="json"), **figures})
    write_bytes(config.out / PICTURE_NAME, explained_picture(rows, [facts.name for facts in result.classifiers]))
    write_text(config.out / PAGE_NAME, html_page(result, rows))
    config.save(config.out)
