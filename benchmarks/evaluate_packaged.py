"""What is in the sets that a packaged generator draws, and whether they copy its training images.

    python benchmarks/evaluate_packaged.py ddpm-digits --data digits --state runs/packaged
    python benchmarks/evaluate_packaged.py acgan-cifar10 --data imagefolder:CIFAR --per-class 100 --state runs/packaged

Draws a set with the default sampler, evaluates it against the training images of the generator (or others of their
split, `--against`), in the features of a judge and of EfficientNet (or others, `--features`), and writes
results/evaluation_MODEL.json. Figures in further spaces than the first have its name before theirs. Finished sets and
judges are not made again.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from harness import write_result
from pydantic import TypeAdapter

from synthaug.core.folders import folder_at
from synthaug.core.runtime import Runtime
from synthaug.generators.base import load_backend
from synthaug.shards.manifest import read_plan
from synthaug.workflows.checkpoints import find_checkpoint
from synthaug.workflows.evaluate import EvaluateConfig, EvaluateResult, evaluate
from synthaug.workflows.evaluate.records import Comparison, SetReport, Value
from synthaug.workflows.evaluate.run import PAGE_NAME, RECORD_NAME
from synthaug.workflows.synthesize import GenerateConfig, generate


def figures_of(result: EvaluateResult, report: SetReport) -> dict[str, float]:
    """All figures of a set, with the ends of their intervals; those that were refused are left out."""
    first, *further = report.comparisons
    values = {figure.name: figure.overall for figure in first.figures}
    for one in further:
        values |= {f"{one.space.name}_{figure.name}": figure.overall for figure in one.figures}
    values |= {"label_fidelity": report.fidelity.overall, "copies": report.memorisation.share}
    values |= {"real_copies": report.memorisation.expected, "duplicates": report.duplicates.share}
    figures: dict[str, float] = {"images": report.images, "real_images": result.reference.images}
    figures["judge_validation_accuracy"] = round(result.judge.validation_accuracy, 4)
    for name, value in values.items():
        figures |= _ends(name, value)
    figures["exact_copies"] = report.memorisation.exact
    for space in report.memorisation.spaces:
        figures[f"authenticity_by_{space.space}"] = round(space.authenticity, 4)
    if (score := report.accuracy_score) is not None:
        figures |= {"cas_synthetic": round(score.synthetic, 4), "cas_real": round(score.real, 4)}
        figures |= _ends("cas_gap", score.gap)
    return figures


def _ends(name: str, value: Value) -> dict[str, float]:
    if value.value is None or value.low is None or value.high is None:
        return {}
    return {name: round(value.value, 5), f"{name}_low": round(value.low, 5), f"{name}_high": round(value.high, 5)}


def method_of(result: EvaluateResult, report: SetReport, model: str, title: str, guidance: float | None) -> str:
    """How the figures were found, in a sentence."""
    reference, judge = result.reference, result.judge
    copied = " and ".join(one.space for one in report.memorisation.spaces)
    whose = " (those of its training)" if reference.is_generators and reference.split == "train" else ""
    score = report.accuracy_score
    alone = (
        f" Classifiers of one kind of images alone: {score.recipe}, {score.steps} steps." if score is not None else ""
    )
    guided = "" if guidance is None else f" at guidance {guidance:g}"
    return (
        f"{report.compared} images drawn by the packaged {model} with its default sampler{guided}, against "
        f"{reference.images} {reference.split} images of {title}{whose}, in the features of "
        f"{' and of '.join(map(in_words, report.comparisons))}; the judge is a {judge.network} of the training images "
        f"({judge.steps} steps); copies are looked for by {copied}.{alone}"
    )


def in_words(comparison: Comparison) -> str:
    """What images were compared by."""
    space = comparison.space
    return f"{space.name} ({space.backend}, resize {space.resize})"


def evaluated(asked: argparse.Namespace) -> EvaluateResult:
    """The evaluation of a set that is drawn if none is given."""
    folder = asked.state / asked.model
    made = asked.set or folder / "set"
    if asked.set is None:
        drawn = {"model": asked.model, "per_class": asked.per_class, "guidance": asked.guidance}
        generate(GenerateConfig.resolve({**drawn, "out": str(made)}))
    config = {
        "folders": [str(made)],
        "reference": asked.data,
        "against": asked.against,
        "features": asked.features or ["classifier", "efficientnet"],
        "judge_steps": asked.judge_steps,
        "cas_seeds": asked.cas_seeds,
        "steps": asked.cas_steps,
        "out": folder / "evaluation",
    }
    return evaluate(EvaluateConfig.resolve(config))


def former(folder: Path) -> EvaluateResult:
    """What an evaluation that was done before has found."""
    record = json.loads((folder / RECORD_NAME).read_text(encoding="utf-8"))
    del record["split"]
    values = {"out": folder, "page": folder / PAGE_NAME, **record}
    return TypeAdapter(EvaluateResult).validate_python(values)


def main() -> None:
    """Draws, evaluates and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="name of a packaged checkpoint")
    parser.add_argument("--data", required=True)
    parser.add_argument("--title", help="what to call the images, instead of the SPEC")
    parser.add_argument("--per-class", type=int, default=200)
    parser.add_argument("--set", type=Path, help="a finished set of it, instead of one that is drawn")
    parser.add_argument("--evaluation", type=Path, help="folder of a finished evaluation that has a set of it")
    parser.add_argument("--note", default="", help="a sentence to add to the method")
    parser.add_argument("--guidance", type=float, help="of a DDPM's sampler, instead of its default")
    parser.add_argument("--features", action="append", help="repeat for several; default: classifier and efficientnet")
    parser.add_argument("--against", choices=["train", "validation", "test"], default="train")
    parser.add_argument("--judge-steps", type=int)
    parser.add_argument("--cas-seeds", type=int, default=1)
    parser.add_argument("--cas-steps", type=int, help="optimiser steps of classifiers of one kind of images alone")
    parser.add_argument("--state", type=Path, default=Path("runs/packaged"))
    asked = parser.parse_args()
    result = evaluated(asked) if asked.evaluation is None else former(asked.evaluation)
    found = find_checkpoint(asked.model)
    plans = [(one, read_plan(folder_at(one.where))) for one in result.sets]
    own = [(one, plan) for one, plan in plans if plan and plan.generator.checkpoint == found.card.checkpoint]
    if len(own) != 1:
        raise SystemExit(f"{len(own)} of the sets that were evaluated were drawn by {asked.model}, instead of one")
    [(report, plan)] = own
    default = load_backend(plan.generator.model).load(found.folder, Runtime.resolve()).default_settings.guidance
    guidance = None if plan.guidance == default else plan.guidance
    method = f"{method_of(result, report, asked.model, asked.title or asked.data, guidance)} {asked.note}".strip()
    runs = {
        "checkpoint": plan.generator.checkpoint,
        "guidance": plan.guidance,
        "memorisation": dataclasses.asdict(report.memorisation),
    }
    write_result(f"evaluation_{asked.model}", method, figures_of(result, report), runs)


if __name__ == "__main__":
    main()
