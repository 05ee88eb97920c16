"""Writes every number of README.md, docs/survey.md and model_cards/ from results and the packaged checkpoints.

    python scripts/render_docs.py [--check]

With --check nothing is written, and the exit status is 1 if a file differs from what would be written.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from synthaug.generators.checkpoint import CheckpointCard, read_card
from synthaug.generators.ddpm.network import PRESETS
from synthaug.workflows.checkpoints import packaged_checkpoints

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
STUDIES = {
    "digits_demo": "digits (scikit-learn), {real_training_images:.0f} labelled images",
    "cifar10_fractions": "CIFAR-10 (JPEG q75), {real_training_images:.0f} labelled images",
}


def result(name: str) -> dict[str, Any] | None:
    """A result file; None if it has not been measured."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.is_file() else None


def study_table() -> str:
    """One row per study and synthetic set: does it help?"""
    lines = [
        "| real images | synthetic | real | real+classic | mixed+classic | gain, points (95 %) | verdict |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, title in STUDIES.items():
        found = result(name)
        for part in [] if found is None else parts_of(found):
            lines += [study_row(part, model, title) for model in set_names(part)]
    return "\n".join(lines)


def parts_of(found: dict[str, Any]) -> list[dict[str, Any]]:
    """A study of several amounts of real images as one of each, in the order of its figures."""
    keys = [match[0] for key in found["figures"] if (match := re.match(r"at_[0-9.]+_percent_", key))]
    if not keys:
        return [found]
    return [
        {
            "figures": {"seeds": found["figures"]["seeds"], **without_prefix(found["figures"], prefix)},
            "runs": without_prefix(found["runs"], prefix),
        }
        for prefix in dict.fromkeys(keys)
    ]


def without_prefix(values: dict[str, Any], prefix: str) -> dict[str, Any]:
    """The values whose names begin so, by the rest of their names."""
    return {key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)}


def study_row(found: dict[str, Any], model: str, title: str) -> str:
    """One synthetic set in a study."""
    figures = figures_of(found, model)
    mixed = f"mixed+classic ({model})"
    if f"{mixed}_test_accuracy_percent" not in figures:  # a study of one set
        mixed = "mixed+classic"
    accuracies = " | ".join(
        f"{figures[f'{arm}_test_accuracy_percent']:.2f} %" for arm in ("real", "real+classic", mixed)
    )
    gain = f"{figures['gain_points']:+.2f} ({figures['gain_low']:+.2f} to {figures['gain_high']:+.2f})"
    made = f"{figures['synthetic_images']:.0f} by {model}, {figures['label_fidelity_percent']:.1f} % recognised"
    row = f"| {title.format(**figures)} | {made} | {accuracies} | {gain}, {figures['seeds']:.0f} seeds "
    return row + f"| {verdict_of(found, model)} |"


def set_names(found: dict[str, Any]) -> list[str]:
    """The generators whose sets a study judged; the DDPM where it names none."""
    names = [key.removesuffix("_verdict") for key in found["runs"] if key.endswith("_verdict")]
    return found["runs"].get("sets") or names or ["ddpm"]


def figures_of(found: dict[str, Any], model: str) -> dict[str, float]:
    """A study's figures, those of one generator's set without its name before them."""
    return {key.removeprefix(f"{model}_"): value for key, value in found["figures"].items()}


def verdict_of(found: dict[str, Any], model: str) -> str:
    """What a study says of one generator's set."""
    return str(found["runs"].get(f"{model}_verdict", found["runs"].get("verdict")))


SPEEDS = (
    (
        "DDPM training vs the loop of diffusers' example, same network",
        "bench_training",
        "vs_diffusers_loop_ratio",
    ),
    ("DDPM training vs denoising-diffusion-pytorch's Trainer, same network", "bench_training", "vs_lucidrains_ratio"),
    (
        "sampling (compiled) vs diffusers, same solver and evaluations",
        "bench_sampling_speed",
        "vs_diffusers_same_solver_ratio",
    ),
    (
        "sampling (compiled, speed alone), 20 evaluations vs 1000-step `DDPMPipeline`",
        "bench_sampling_speed",
        "vs_ddpm_pipeline_ratio",
    ),
    (
        "sampling (compiled, speed alone), 20 evaluations vs denoising-diffusion-pytorch's 1000",
        "bench_sampling_speed",
        "vs_lucidrains_ratio",
    ),
    (
        "ACGAN training (`reacgan`) in bf16 vs the same networks in a plain fp32 loop",
        "bench_acgan_training_reacgan",
        "train_vs_eager_ratio",
    ),
    (
        "ACGAN training (`resnet`) in fp32 vs the same networks in a plain fp32 loop",
        "bench_acgan_training_resnet",
        "train_vs_eager_ratio",
    ),
    ("ACGAN sampling vs its network's evaluation alone", "bench_acgan_sampling", "sample_vs_forward_ratio"),
    (
        "images drawn a second, ACGAN vs DDPM, default settings",
        "bench_acgan_sampling",
        "acgan_vs_ddpm_images_per_second_ratio",
    ),
    (
        "ResNet-18 training steps vs a plain torchvision and Lightning loop, same network",
        "bench_classify_speed",
        "step_vs_survey_loop_ratio",
    ),
    ("the same, ResNet-20", "bench_classify_speed", "resnet20_step_vs_survey_loop_ratio"),
    ("the same, the network of `fast`", "bench_classify_speed", "cifarnet_step_vs_survey_loop_ratio"),
    (
        "time of `survey-50` over that in which `fast` is as accurate",
        "bench_classify_time",
        "time_to_accuracy_of_survey_50_ratio",
    ),
    (
        "ResNet-20 training step, bf16 + channels-last vs fp32",
        "bench_classifier_step",
        "classifier_step_bf16_channels_last_vs_fp32_ratio",
    ),
    (
        "mixed and augmented batches from memory vs webdataset with PIL and torchvision",
        "bench_loader",
        "memory_vs_webdataset_ratio",
    ),
    (
        "mixed and augmented batches from memory vs torchvision's ImageFolder",
        "bench_loader",
        "memory_vs_imagefolder_ratio",
    ),
    ("mixed and augmented batches from memory vs litdata", "bench_loader", "memory_vs_litdata_ratio"),
    ("mixed and augmented batches from memory vs airbench's way, unmixed", "bench_loader", "memory_vs_resident_ratio"),
    (
        "the same vs airbench's way without its mirroring",
        "bench_loader",
        "memory_vs_resident_unmirrored_ratio",
    ),
    ("mixed and augmented batches, streamed, vs webdataset", "bench_loader", "streaming_vs_webdataset_ratio"),
    ("trainings of a bench side by side vs one after another (digits)", "bench_bench", "together_vs_serial_ratio"),
    ("time of an epoch, half synthetic vs all real (overhead of mixing)", "bench_loader", "mixing_overhead_ratio"),
    ("time of an epoch, 8 synthetic sets vs one (overhead)", "bench_loader", "sources_8_vs_1_ratio"),
    ("writing shards vs webdataset's `ShardWriter` with Pillow", "bench_shards", "write_vs_webdataset_ratio"),
    ("reading and decoding shards vs webdataset", "bench_shards", "read_vs_webdataset_ratio"),
    (
        "time of 5 nearest neighbours, 50,000 x 50,000 at 512 dimensions, vs the matrix product alone (overhead)",
        "bench_metrics",
        "knn_vs_matmul_ratio",
    ),
    (
        "time of precision, recall, density and coverage there vs their three products (overhead)",
        "bench_metrics",
        "prdc_vs_matmul_ratio",
    ),
    (
        "Fréchet distance in Inception's features, images to number, vs torchmetrics",
        "bench_metrics",
        "fid_vs_torchmetrics_ratio",
    ),
    (
        "the same, the features of the real images in the cache",
        "bench_metrics",
        "fid_with_cached_reference_vs_torchmetrics_ratio",
    ),
)


def speed_table() -> str:
    """Ratios of training, sampling, writing and reading, with the machine that each was measured on."""
    lines = ["| speed | ratio | on |", "| --- | --- | --- |"]
    for title, name, figure in SPEEDS:
        if found := result(name):
            machine = found["environment"]["hardware"]
            lines.append(f"| {title} | {found['figures'][figure]:.2f} | {machine} |")
    return "\n".join(lines)


#: Column title of each result of the survey's techniques.
SURVEYS = {"survey_digits": "digits", "survey_cifar10-tenth": "a tenth of CIFAR-10 (JPEG q75)"}


def survey_page() -> str:
    """docs/survey.md: what a survey of image classification says, and what was measured."""
    found = {title: measured for name, title in SURVEYS.items() if (measured := result(name))}
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for title, measured in found.items():
        for row in measured["runs"]["rows"]:
            key = f"{row['on']}_vs_{row['off']}"
            entry = rows.setdefault((row["technique"], row["claim"]), {})
            entry[title] = survey_entry(measured["figures"], key)
    lines = [
        "# Techniques of image classification: claimed and measured",
        "",
        "The [survey](https://lucajiang.github.io/PyTorch_ImageClassifiction_Techniques/slideshow/) that this project "
        "starts from recommends techniques for training classifiers. Here each is switched on and off alone, with the "
        "same seeds: points of test accuracy gained (95 % interval over seeds). An interval that holds 0 shows no "
        "effect; one without width means that every seed got as many of the few test images right. Empty: not run.",
        "",
        f"| technique | the survey | {' | '.join(found)} |",
        "| --- | --- |" + " --- |" * len(found),
    ]
    for (technique, claim), entry in rows.items():
        lines.append(f"| {technique} | {claim} | {' | '.join(entry.get(title, '') for title in found)} |")
    for title, measured in found.items():
        accuracy = measured["figures"]["base_test_accuracy_percent"]
        steps = next(run["steps"] for run in measured["runs"]["trainings"] if run["condition"] == "base")
        lines += ["", f"**{title}**: {accuracy:.2f} % without any change, in {steps} steps. {measured['method']}"]
        if "same_seed_same_weights" in measured["figures"]:
            equal = "the same" if measured["figures"]["same_seed_same_weights"] else "different"
            lines[-1] += f" Trained twice with the same seed, weights are {equal}, bit by bit."
        lines[-1] += f" {measured['environment']['hardware']}."
    return "\n".join([*lines, "", "Made by `benchmarks/survey_table.py`.", ""])


def survey_entry(figures: dict[str, float], key: str) -> str:
    """Points with their interval, and the share of the time where the claim is about that."""
    interval = time = ""
    if f"{key}_low" in figures:
        interval = f" ({figures[f'{key}_low']:+.2f} to {figures[f'{key}_high']:+.2f})"
    if f"{key}_time_share" in figures:
        time = f", in {figures[f'{key}_time_share']:.2f} of the time"
    return f"{figures[f'{key}_points']:+.2f}{interval}{time}"


COPIES = {"copies_digits": "digits", "copies_cifar10": "CIFAR-10 (JPEG q75)"}


def copies_table() -> str:
    """How many planted copies of training images are found, and how many fresh images are accused."""
    kinds = {"exact": "equal", "noise": "±1 in each value", "jpeg75": "JPEG 75", "jpeg30": "JPEG 30"}
    lines = [
        f"| copies found, of each kind | training images | {' | '.join(kinds.values())} | mirrored "
        "| fresh real images accused |",
        "| --- | --- |" + " --- |" * (len(kinds) + 2),
    ]
    for name, title in COPIES.items():
        if found := result(name):
            figures = found["figures"]
            shown = " | ".join(f"{figures[f'{kind}_found_percent']:.0f} %" for kind in kinds)
            mirrored = (
                f"{figures['mirrored_found_percent']:.0f} %" if "copies count" in found["method"] else "not sought"
            )
            accused = f"{figures['false_alarms_percent']:.2f} % of {figures['fresh']:.0f}"
            lines.append(f"| {title} | {figures['train']:.0f} | {shown} | {mirrored} | {accused} |")
    return "\n".join(lines)


def curation_sentence() -> str:
    """What curation was worth where labels were planted wrong."""
    found = result("curation_digits")
    if found is None:
        return ""
    figures = found["figures"]

    def gain(name: str) -> str:
        values = [figures[f"{name}_gain_{end}"] for end in ("points", "low", "high")]
        return f"{values[0]:+.2f} points ({values[1]:+.2f} to {values[2]:+.2f})"

    return (
        f"With 30 % of the labels of a set planted wrong (digits, {figures['real_training_images']:.0f} labelled "
        f"images, {figures['clean_synthetic_images']:.0f} drawn), `mislabelled` removes "
        f"{figures['wrong_labels_removed_percent']:.1f} % of the wrong and keeps "
        f"{figures['right_labels_kept_percent']:.1f} % of the rest. Against real images with classic augmentation, the "
        f"set is worth {gain('planted')} as it is, {gain('curated')} curated, and {gain('clean')} had nothing been "
        f"planted ({figures['seeds']:.0f} seeds). A classifier that sees nothing but the set is right for "
        f"{figures['planted_alone_test_accuracy_percent']:.1f} % of the test images, of the curated one for "
        f"{figures['curated_alone_test_accuracy_percent']:.1f} %, of the one without faults for "
        f"{figures['clean_alone_test_accuracy_percent']:.1f} % ({figures['seeds_alone']:.0f} seeds)."
    )


def preset_table() -> str:
    """One row per DDPM preset."""
    found = result("bench_presets")
    if found is None:
        return ""
    figures = found["figures"]
    lines = [
        f"| preset | for | parameters | GMACs | trained images/s ({found['environment']['hardware']}) | drawn images/s "
        "| images to show |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in PRESETS.names():
        value = {key: figures[f"{name}_{key}"] for key in ("parameters", "gmacs", "images")}
        speeds = [figures[f"{name}_{what}_images_per_second"] for what in ("training", "sampling")]
        lines.append(
            f"| `{name}` | {PRESETS.get(name).purpose} | {value['parameters'] / 1e6:.1f} M | {value['gmacs']:.3f} | "
            f"{speeds[0]:,.0f} | {speeds[1]:,.1f} | {value['images'] / 1e6:g} M |"
        )
    return "\n".join(lines)


def acgan_table() -> str:
    """One row per ACGAN trained, on digits and on photographs: does it collapse?"""
    measures = ("recognised", "precision", "recall", "coverage", "diversity")
    lines = [
        f"| ACGAN | images | trained for | {' | '.join(measures)} |",
        "| --- | --- | --- |" + " --- |" * len(measures),
    ]

    def row(title: str, images: str, seconds: float | None, figures: dict[str, Any], prefix: str) -> str:
        time = "" if seconds is None else f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min"
        shown = " | ".join(f"{figures[f'{prefix}_{name}']:.3f}" for name in measures)
        return f"| {title} | {images} | {time} | {shown} |"

    if digits := result("acgan_digits"):
        figures = digits["figures"]
        for kind in ("classic", "resnet", "reacgan"):
            lines.append(row(f"`{kind}`", "digits", figures[f"{kind}_training_seconds"], figures, kind))
    name, figures = "CIFAR-10 (JPEG q75)", {}
    for preset in ("resnet", "reacgan-large"):
        if photographs := result(f"cifar10_acgan_{preset}"):
            figures = photographs["figures"]
            where = "CPU" if " threads in " in photographs["method"] else "GPU"
            lines.append(row(f"`{preset}`, {where}", name, figures["training_seconds"], figures, "generated"))
    if figures:
        lines.append(row("real validation images", name, None, figures, "real"))
    return "\n".join(lines)


def drawn_quality(name: str) -> str:
    """What was measured of a packaged checkpoint's samples."""
    found = result(f"bench_sampling_quality_{name}")
    if found is None:
        return ""
    figures, default = found["figures"], found["runs"]["default"]
    drawn = found["runs"]["curve"][default["sampler"]][str(default["steps"])]["mean"]
    return (
        f"\n\nOf {figures['seeds'] * figures['images_per_seed']} unguided images drawn with the default sampler "
        f"({default['sampler']}, {default['steps']} evaluations), {100 * drawn['recognised']:.1f} % are recognised as "
        "their label by a ResNet-20 trained on all real training images "
        f"({100 * figures['judge_validation_accuracy']:.1f} % right on validation images). In its features, sets of "
        f"{figures['images_per_seed']} against held-out real images, with five neighbours: "
        + ", ".join(f"{key} {drawn[key]:.3f}" for key in ("precision", "recall", "density", "coverage"))
        + f", Frechet distance {drawn['frechet']:.3f}. 1000 ancestral steps with the same seeds give "
        f"{figures['reference_frechet']:.3f}; the default is better by {figures['default_frechet_better_by']:+.3f} "
        f"(95 % interval {figures['default_frechet_better_by_low']:+.3f} to "
        f"{figures['default_frechet_better_by_high']:+.3f}). "
        f"benchmarks/results/bench_sampling_quality_{name}.json has the curve over samplers and evaluations."
    )


def quality_on_photographs(card: CheckpointCard) -> str:
    """What was measured of a packaged checkpoint's CIFAR-10 images."""
    found = result(f"cifar10_{card.model}_{card.preset}")
    if found is None or found["runs"]["checkpoint"] != card.checkpoint:
        return "Not evaluated."
    runs = found["runs"]
    measures = ("recognised", "precision", "recall", "coverage", "diversity", "frechet")
    lines = [f"| of {runs['real']['images']} images | {' | '.join(measures)} |", "| --- |" + " --- |" * len(measures)]
    for name, run in runs.items():
        if isinstance(run, dict) and "recognised" in run:
            shown = " | ".join(f"{run[measure]:.3f}" for measure in measures)
            lines.append(f"| {'real validation images' if name == 'real' else name} | {shown} |")
    return "\n".join([*lines, "", found["method"]])


LIMITS = {
    "digits": """Trained on very few images, which samples may repeat. Meant for trying the
path out and for classifiers on the same split, not as a source of new handwriting. Intended use: training data for
classifiers.""",
    "cifar10": """Trained for minutes: colours and surroundings are those of the classes, objects often are not. A bench
accepts its sets only with the images and the split it was trained on. Intended use: training data for classifiers.""",
}
KINDS = {"ddpm": "A class-conditional DDPM", "acgan": "An auxiliary-classifier GAN"}


def contents(name: str) -> str:
    """What `synthaug evaluate` says of a packaged checkpoint's set."""
    found = result(f"evaluation_{name}")
    if found is None:
        return "\n\nWhether samples repeat training images has not been measured."
    figures, titles = found["figures"], {"frechet": "Fréchet distance", "kid": "kernel distance"}

    def shown(key: str) -> str:
        return f"{figures[key]:.3g} ({figures[f'{key}_low']:.3g} to {figures[f'{key}_high']:.3g})"

    measures = [
        f"{titles.get(key, key)} {shown(key)}"
        for key in ("frechet", "kid", "precision", "recall", "density", "coverage")
        if key in figures
    ]
    said = found["runs"]["memorisation"]["sentence"]
    trained = ""
    if "cas_gap" in figures:
        trained = (
            f" A classifier trained on the set alone is right for {100 * figures['cas_synthetic']:.1f} % of the real "
            f"test images, one of the real training images for {100 * figures['cas_real']:.1f} %."
        )
    return (
        f"\n\n`synthaug evaluate`: {', '.join(measures)}; {100 * figures['label_fidelity']:.1f} % recognised by a "
        f"judge with {100 * figures['judge_validation_accuracy']:.1f} % validation accuracy.{trained} Copies: {said}. "
        f"{found['method']}"
    )


def model_card(name: str, card: CheckpointCard) -> str:
    """A model card in the Hub's format."""
    training, split = card.training, card.split
    images = name.rsplit("-", maxsplit=1)[-1]
    if images == "digits":
        study = result("digits_demo")
        evaluation = "Not evaluated." if study is None else worth(study, card.model)
        evaluation += drawn_quality(name)
    else:
        evaluation = quality_on_photographs(card)
    evaluation += contents(name)
    size = f"{card.image_size}x{card.image_size}"
    kind = "grey" if card.channels == 1 else "RGB"
    origin = f"{sum(split.class_counts)} images of {split.source}, split seed {split.seed}"
    effort = f"{training.steps:,} steps, {training.images_seen:,} images seen, {training.seconds:.0f} s"
    if not training.is_complete:
        effort += f" (of {training.planned_images:,} planned)"
    if training.kept_after is not None:
        effort += f"; the weights after {training.kept_after:,} images kept"
    return f"""---
license: apache-2.0
library_name: {"diffusers" if card.model == "ddpm" else "synthaug"}
pipeline_tag: unconditional-image-generation
tags: [class-conditional, {card.model}, synthaug]
---
# {name}

{KINDS[card.model]} (preset {card.preset}, {training.parameters:,} parameters) for {size} {kind}
images of {len(card.class_names)} classes: {", ".join(card.class_names)}.

| | |
| --- | --- |
| trained on | {origin}; validation and test never seen |
| training | {effort}; {training.precision} |
| hardware | {training.hardware} |
| final loss | {training.loss:.4f} |
| checkpoint | `{card.checkpoint}` |

## Evaluation

{evaluation}

## Use

    synthaug generate --model {name} --per-class 50 --out synthetic

## Limits

{LIMITS[images]}
"""


def worth(study: dict[str, Any], model: str) -> str:
    """What the demo found of a packaged generator's set."""
    figures = figures_of(study, model)
    quality = ", ".join(f"{key} {figures[key]:.3f}" for key in ("precision", "recall", "density", "coverage"))
    return (
        f"{figures['label_fidelity_percent']:.2f} % of {figures['synthetic_images']:.0f} images drawn from the "
        f"training that made this checkpoint are recognised as their label by classifiers trained on the "
        f"same {figures['real_training_images']:.0f} real images ({figures['seeds']:.0f} seeds). In their features, "
        f"against the validation images, with five neighbours: {quality}. Worth to a "
        f"classifier: {figures['gain_points']:+.2f} points of test accuracy (95 % interval "
        f"{figures['gain_low']:+.2f} to {figures['gain_high']:+.2f}), verdict: {verdict_of(study, model)}."
    )


def rendered() -> dict[Path, str]:
    """Every generated file with its text."""
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    tables = {
        "studies": study_table(),
        "speed": speed_table(),
        "presets": preset_table(),
        "acgan": acgan_table(),
        "copies": copies_table(),
        "curation": curation_sentence(),
    }
    for marker, table in tables.items():
        pattern = re.compile(rf"(<!-- {marker} -->\n).*?(<!-- /{marker} -->)", re.DOTALL)
        text = pattern.sub(lambda match, table=table: f"{match.group(1)}{table}\n{match.group(2)}", text)
    cards = {
        ROOT / "model_cards" / f"{name}.md": model_card(name, read_card(folder))
        for name, folder in packaged_checkpoints().items()
    }
    return {readme: text, ROOT / "docs" / "survey.md": survey_page(), **cards}


def main() -> None:
    """Writes or checks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if something is out of date")
    is_check = parser.parse_args().check
    texts = rendered()
    stale = [path for path in texts if not path.is_file() or path.read_text(encoding="utf-8") != texts[path]]
    for path in stale:
        print(f"{'out of date' if is_check else 'written'}: {path.relative_to(ROOT)}")
        if not is_check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(texts[path], encoding="utf-8")
    sys.exit(1 if is_check and stale else 0)


if __name__ == "__main__":
    main()
