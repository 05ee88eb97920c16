"""What curation is worth where there is something to remove: a third of a set's labels planted wrong.

    python benchmarks/curation_digits.py --state runs/curation [--per-class 200] [--seeds 5]

Draws a set of digits from a DDPM of 200 labelled ones, makes a copy of it in which 30 % of the samples have the label
of another class, curates that with the filter `mislabelled`, and benches all three. Finished steps in --state are not
repeated. Writes results/curation_digits.json.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import torch
from harness import study_figures, study_runs, write_result

from synthaug.core.folders import folder_at
from synthaug.shards.finish import finish_set
from synthaug.shards.manifest import MANIFEST_NAME, Manifest, write_plan
from synthaug.shards.reader import iterate_shard
from synthaug.shards.writer import write_shard
from synthaug.workflows.bench import BenchConfig, bench
from synthaug.workflows.curate import CurateConfig, curate
from synthaug.workflows.evaluate import EvaluateConfig, evaluate
from synthaug.workflows.synthesize import GenerateConfig, generate
from synthaug.workflows.train import TrainConfig, train

PER_CLASS_REAL = 20
WRONG = 0.3


def plant(clean: Path, folder: Path) -> torch.Tensor:
    """A copy of a set in which samples of each class carry the label of the class before; which samples these are."""
    plan = Manifest.read(clean).plan.model_copy(update={"seed": 1})  # as it is another set
    images = [sample.image for path in sorted(clean.glob("*.tar")) for sample in iterate_shard(path)]
    classes = len(plan.classes)
    rows = torch.arange(len(images)) // classes
    is_wrong = rows < round(WRONG * plan.per_class)
    if not (folder / MANIFEST_NAME).exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        planted = list(images)
        for place in is_wrong.nonzero().flatten().tolist():
            planted[place] = images[place - place % classes + (place + 1) % classes]
        write_plan(folder_at(folder), plan)
        records = {
            shard.number: write_shard(folder_at(folder), shard, planted[shard.start : shard.stop])
            for shard in plan.shards()
        }
        finish_set(folder_at(folder), plan, records)
    return is_wrong


def main() -> None:
    """Draws, plants, curates, benches and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--per-class", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--cas-seeds", type=int, default=3, help="trainings on each set alone")
    parser.add_argument("--generator", type=Path, help="a DDPM of the same digits, instead of training one")
    asked = parser.parse_args()
    state: Path = asked.state
    generator, clean, planted, curated = (state / name for name in ("generator", "clean", "planted", "curated"))
    data = {"data": "digits", "per_class_real": PER_CLASS_REAL}
    if asked.generator is not None:
        generator = asked.generator
    else:
        train(TrainConfig.resolve({**data, "out": generator, "resume": "auto"}))
    generate(GenerateConfig.resolve({"model": str(generator), "per_class": asked.per_class, "out": str(clean)}))
    is_wrong = plant(clean, planted)
    if not curated.exists():
        curate(CurateConfig.resolve({"folder": str(planted), "out": str(curated), "filter": ["mislabelled"]}))
    plan = Manifest.read(curated).plan
    stays = torch.zeros(len(is_wrong), dtype=torch.bool)
    drawn = {pair: place for place, pair in enumerate(map(Manifest.read(planted).plan.sample, range(len(is_wrong))))}
    for place in range(plan.sample_count):
        stays[drawn[plan.sample(place)]] = True
    folders = [str(clean), str(planted), str(curated)]
    summary = bench(
        BenchConfig.resolve(
            {
                **data,
                "synthetic": folders,
                "seeds": asked.seeds,
                "out": state / "bench",
            }
        )
    )
    alone = evaluate(
        EvaluateConfig.resolve({"folders": folders, "cas_seeds": asked.cas_seeds, "out": state / "evaluation"})
    )
    scores = {report.name: report.accuracy_score for report in alone.sets}
    figures = {
        "wrong_labels_planted": int(is_wrong.sum()),
        "wrong_labels_removed_percent": round(100 * (~stays[is_wrong]).double().mean().item(), 2),
        "right_labels_kept_percent": round(100 * stays[~is_wrong].double().mean().item(), 2),
        "judge_validation_accuracy": round(plan.curations[-1].judge.validation_accuracy, 4),
        **study_figures(state / "bench"),
        **{
            f"{name}_alone_test_accuracy_percent": round(100 * score.synthetic, 2)
            for name, score in scores.items()
            if score is not None
        },
        "seeds_alone": asked.cas_seeds,
    }
    method = (
        f"digits, {PER_CLASS_REAL} labelled images per class; a DDPM of them draws {asked.per_class} of each (clean); "
        "in a copy, 30 % of the samples of each class are images of the next class (planted), which `curate --filter "
        "mislabelled` filters (curated); `bench` of all three, half of each batch synthetic, and trainings on each set "
        "alone, all of equal steps."
    )
    write_result("curation_digits", method, figures, study_runs(summary))


if __name__ == "__main__":
    main()
