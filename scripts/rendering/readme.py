"""The generated parts of README.md."""

from __future__ import annotations

import re
from collections.abc import Mapping

from rendering.measured import Setting
from rendering.results import (
    Found,
    arms_of,
    duration,
    figures_of,
    gain_of,
    judged_sets,
    mixed_arm,
    parts_of,
    result,
    studies_of,
    verdict_of,
    without_prefix,
)
from rendering.speeds import speed_table
from synthaug.generators.ddpm.network import PRESETS

STUDIES = {
    "digits_demo": "digits (scikit-learn), {real_training_images:.0f} labelled images",
    "headline": "CIFAR-10 (JPEG q75), {real_training_images:.0f} labelled images",
    "cifar10_fractions": "CIFAR-10 (JPEG q75), {real_training_images:.0f} labelled images",
}


def study_table() -> str:
    """One row per study and synthetic set: does it help?"""
    lines = [
        "| real images | synthetic | real | real+classic | mixed+classic | gain, points (95 %) | verdict |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, title in STUDIES.items():
        found = result(name)
        for study in [] if found is None else studies_of(found):
            for part in parts_of(study):
                lines += [study_row(part, model, title) for model in judged_sets(part)]
    return "\n".join(lines)


def study_row(found: Found, model: str, title: str) -> str:
    """One synthetic set in a study."""
    figures, arms = figures_of(found, model), arms_of(found)
    shown = ("real", "real+classic", mixed_arm(found, model))
    accuracies = " | ".join(f"{arms[arm]:.2f} %" if arm in arms else "" for arm in shown)
    made = f"{figures['synthetic_images']:.0f} by {model}, {figures['label_fidelity_percent']:.1f} % recognised"
    row = f"| {title.format(**figures)} | {made} | {accuracies} | {gain_of(figures)}, {figures['seeds']:.0f} seeds "
    return row + f"| {verdict_of(found, model)} |"


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

    def row(title: str, images: str, seconds: float | None, measured: Mapping[str, float]) -> str:
        time = "" if seconds is None else duration(seconds)
        return f"| {title} | {images} | {time} | {' | '.join(f'{measured[name]:.3f}' for name in measures)} |"

    if digits := result("acgan_digits"):
        for kind in ("classic", "resnet", "reacgan"):
            measured = without_prefix(digits["figures"], f"{kind}_")
            lines.append(row(f"`{kind}`", "digits", measured["training_seconds"], measured))
    name, results = "CIFAR-10 (JPEG q75)", {}
    for preset in ("resnet", "reacgan-large"):
        if photographs := result(f"cifar10_acgan_{preset}"):
            results[preset] = photographs
            where = "CPU" if " threads in " in photographs["method"] else "GPU"
            seconds = photographs["figures"]["training_seconds"]
            lines.append(row(f"`{preset}`, {where}", name, seconds, photographs["runs"]["generated"]))
    if results:
        Setting.shared(results.values())
        lines.append(row("real validation images", name, None, next(iter(results.values()))["runs"]["real"]))
    return "\n".join(lines)


def readme_page(text: str) -> str:
    """README.md with what stands between its markers made anew."""
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
    return text
