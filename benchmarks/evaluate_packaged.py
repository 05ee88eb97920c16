"""What is in the sets that a packaged generator draws, and whether they copy its training images.

    python benchmarks/evaluate_packaged.py ddpm-digits --data digits --state runs/packaged
    python benchmarks/evaluate_packaged.py acgan-cifar10 --data imagefolder:CIFAR --per-class 100 --state runs/packaged

Draws a set with the default sampler, evaluates it against the training images of the generator, and writes
results/evaluation_MODEL.json. Finished sets and judges are not made again.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from harness import write_result

from synthaug.workflows.evaluate import EvaluateConfig, EvaluateResult, evaluate
from synthaug.workflows.evaluate.records import Value
from synthaug.workflows.synthesize import GenerateConfig, generate


def figures_of(result: EvaluateResult) -> dict[str, float]:
    """All figures of the set, with the ends of their intervals; those that were refused are left out."""
    [report] = result.sets
    values = {figure.name: figure.overall for figure in report.comparisons[0].figures}
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


def main() -> None:
    """Draws, evaluates and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="name of a packaged checkpoint")
    parser.add_argument("--data", required=True)
    parser.add_argument("--title", help="what to call the images, instead of the SPEC")
    parser.add_argument("--per-class", type=int, default=200)
    parser.add_argument("--judge-steps", type=int)
    parser.add_argument("--cas-seeds", type=int, default=1)
    parser.add_argument("--state", type=Path, required=True)
    asked = parser.parse_args()
    folder = asked.state / asked.model
    generate(GenerateConfig.resolve({"model": asked.model, "per_class": asked.per_class, "out": str(folder / "set")}))
    result = evaluate(
        EvaluateConfig.resolve(
            {
                "folders": [str(folder / "set")],
                "reference": asked.data,
                "judge_steps": asked.judge_steps,
                "cas_seeds": asked.cas_seeds,
                "out": folder / "evaluation",
            }
        )
    )
    [report] = result.sets
    space, title = report.comparisons[0].space, asked.title or asked.data
    method = (
        f"{report.images} images drawn by the packaged {asked.model} with its default sampler, against "
        f"{result.reference.images} {result.reference.split} images of {title}"
        f"{' (those of its training)' if result.reference.is_generators else ''}, in the features of a "
        f"{result.judge.network} of the training images ({result.judge.steps} steps), resize {space.resize}; copies "
        "are looked for in pixels and in these features."
    )
    runs = {"checkpoint": folder.name, "memorisation": dataclasses.asdict(report.memorisation)}
    write_result(f"evaluation_{asked.model}", method, figures_of(result), runs)


if __name__ == "__main__":
    main()
