"""benchmarks/reports/cifar10.md: what synthetic images of CIFAR-10 were worth, what they cost, and how they compare."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from rendering.field import field_section, references_table
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
    table,
    verdict_of,
)
from rendering.speeds import SPEEDS
from rendering.survey import SURVEYS
from synthaug.generators.ddpm.network import PRESETS

COPY = (
    "Real images of CIFAR-10 are its JPEG quality 75 copy, on which accuracies are lower than on the lossless images."
)
#: Studies of CIFAR-10, the first one's rows first.
STUDIES = ("headline", "cifar10_fractions")
_NETWORK = re.compile(r"\b(resnet-?\d+|cifarnet)\b", re.IGNORECASE)
_USUAL = re.compile(r"(real|real\+classic|mixed\+classic)( \(.*\))?$")
_SHARE = re.compile(r"mixed\+classic@(?P<share>[0-9.]+)(?: \((?P<model>.*)\))?$")
_NONE = "Not measured yet."


def evidence_page() -> str:
    """The whole page."""
    studies = {name: found for name in STUDIES if (found := result(name)) is not None}
    for name, found in studies.items():
        if "JPEG" not in found["method"]:
            raise ValueError(f"{name}.json does not say that its images are the JPEG copy, which this page says of all")
    sections = {
        "Gain": gain_section(studies),
        "The survey's techniques": survey_section(),
        "Generators beside the field": field_section(),
        "Cost": cost_section(studies),
        "Sampling speed": speed_section(),
    }
    head = (
        "# CIFAR-10: what synthetic images were worth\n\nEvery figure is from `benchmarks/results/*.json`, which name "
        "their hardware, versions and method; others' are from `benchmarks/references.json`. Made by "
        "`scripts/render_docs.py`."
    )
    return "\n\n".join([head, *(f"## {title}\n\n{COPY}\n\n{text}" for title, text in sections.items())]) + "\n"


def regimes(studies: Mapping[str, Found]) -> Iterator[Found]:
    """Each amount of real images in each study."""
    for found in studies.values():
        for study in studies_of(found):
            yield from parts_of(study)


def gain_section(studies: Mapping[str, Found]) -> str:
    """What each set was worth."""
    rows = [gain_row(part, model) for part in regimes(studies) for model in judged_sets(part)]
    if not rows:
        return _NONE
    header = ["real images", "network, steps", "synthetic", "real", "real+classic", "mixed+classic"]
    header += ["gain, points (95 %)", "of", "seeds", "verdict"]
    parts = [
        "Test accuracy in percent. The gain is that of the mixed arm over the real-only arm, both those which are "
        "best on the validation images among the arms that decide.",
        table(header, rows),
    ]
    parts += [text for part in regimes(studies) if (text := other_arms(part))]
    parts += [f"`{name}`: {found['method']} {found['environment']['hardware']}." for name, found in studies.items()]
    parts += [
        "What others report of classifiers and synthetic images, on the lossless images:",
        references_table("classifier"),
    ]
    return "\n\n".join(parts)


def gain_row(part: Found, model: str) -> list[str]:
    """One set."""
    figures, arms = figures_of(part, model), arms_of(part)
    network = match[0] if (match := _NETWORK.search(part["method"])) else ""
    network = network.replace("resnet", "ResNet-")
    shown = [f"{arms[arm]:.2f}" if arm in arms else "" for arm in ("real", "real+classic", mixed_arm(part, model))]
    decided = part["runs"].get(f"{model}_gain_is", part["runs"].get("gain_is", ""))
    return [
        f"{figures['real_training_images']:,}",
        f"{network}, {figures['classifier_steps']:,}",
        f"{figures['synthetic_images']:,} by {model}, {figures['label_fidelity_percent']:.1f} % recognised",
        *shown,
        gain_of(figures),
        decided,
        f"{figures['seeds']}",
        verdict_of(part, model),
    ]


def other_arms(part: Found) -> str:
    """Test accuracy of the arms that are not in the table of gains, and the best synthetic share of each set."""
    others = {arm: accuracy for arm, accuracy in arms_of(part).items() if not _USUAL.match(arm)}
    if not others:
        return ""
    images = f"{part['figures']['real_training_images']:,} real images"
    rows = [[arm, f"{accuracy:.2f}"] for arm, accuracy in sorted(others.items(), key=lambda one: -one[1])]
    text = f"Other arms with {images}:\n\n{table(['arm', 'test accuracy, %'], rows)}"
    best = [said for model in judged_sets(part) if (said := best_share(part, model))]
    return f"{text}\n\n{' '.join(best)}" if best else text


def best_share(part: Found, model: str) -> str:
    """Which share of synthetic images one set did best with: on validation images, where these accuracies were kept."""
    tested, validated, usual = arms_of(part), part["runs"].get("validation", {}), mixed_arm(part, model)
    shares = {
        arm: f"a share of {match['share']}"
        for arm in tested
        if (match := _SHARE.match(arm)) and match["model"] in (None, model)
    }
    if not shares or usual not in tested:
        return ""
    shares = {usual: "the bench's own share", **shares}
    chosen_by = validated if shares.keys() <= validated.keys() else tested
    best, *others = [
        f"{tested[arm]:.2f} % with {shares[arm]}" for arm in sorted(shares, key=chosen_by.__getitem__, reverse=True)
    ]
    where, unit = ("test", "") if chosen_by is tested else ("validation", " (test accuracies)")
    return f"Best on the {where} images for {usual}: {best}, against {' and '.join(others)}{unit}."


def survey_section() -> str:
    """How many techniques were measured, and where they are."""
    counts = []
    for name, title in SURVEYS.items():
        if found := result(name):
            keys = [f"{row['on']}_vs_{row['off']}" for row in found["runs"]["rows"]]
            clear = [key for key in keys if found["figures"][f"{key}_low"] > 0 or found["figures"][f"{key}_high"] < 0]
            counts.append(
                f"{len(keys)} techniques or controls on {title}, {len(clear)} of them with an effect that shows"
            )
    return (
        f"Measured again: {'; '.join(counts) or 'none yet'}. "
        "[The table of all of them](../../docs/survey.md) has the gain of each."
    )


def cost_section(studies: Mapping[str, Found]) -> str:
    """What each set took, over what it gained."""
    rows = [cost_row(part, model) for part in regimes(studies) for model in judged_sets(part)]
    if not rows:
        return _NONE
    header = [
        "real images",
        "set",
        "training its generator",
        "drawing it",
        "points gained",
        "verdict",
        "seconds a point",
    ]
    spent = [
        f"All classifiers of `{name}` took {duration(sum(seconds))} on {found['environment']['hardware']}."
        for name, found in studies.items()
        if (seconds := [one for study in studies_of(found) if (one := study["figures"].get("all_trainings_seconds"))])
    ]
    return "\n\n".join(
        [
            "Arms of a study take the same steps, so that what a set costs is its generator and its drawing. Times are "
            "of the machines that these ran on, which the methods above name.",
            table(header, rows),
            " ".join(spent),
        ]
    )


def cost_row(part: Found, model: str) -> list[str]:
    """One set."""
    figures = figures_of(part, model)
    trained, rate = figures["training_seconds"], figures.get("drawn_images_per_second")
    drawn = None if rate is None else figures["synthetic_images"] / rate
    return [
        f"{figures['real_training_images']:,}",
        model,
        f"{trained:,.0f} s",
        "not recorded" if drawn is None else f"{drawn:,.0f} s",
        f"{figures['gain_points']:+.2f}",
        verdict_of(part, model),
        seconds_a_point(trained, drawn, figures["gain_points"]),
    ]


def seconds_a_point(trained: float, drawn: float | None, points: float) -> str:
    """The price of a point, where one was gained."""
    if points <= 0:
        return "nothing was gained"
    return f"at least {trained / points:,.0f}" if drawn is None else f"{(trained + drawn) / points:,.0f}"


#: Title, result and figure of what was timed by itself.
RATES = (
    ("our DDPM, compiled", "bench_sampling_speed", "ours_compiled_images_per_second"),
    ("the same, not compiled", "bench_sampling_speed", "ours_images_per_second"),
    (
        "diffusers: the same network, solver and evaluations",
        "bench_sampling_speed",
        "diffusers_same_solver_images_per_second",
    ),
    ("diffusers' `DDPMPipeline`: the same network", "bench_sampling_speed", "ddpm_pipeline_images_per_second"),
    ("denoising-diffusion-pytorch: the same network", "bench_sampling_speed", "lucidrains_images_per_second"),
    ("our ACGAN", "bench_acgan_sampling", "acgan_images_per_second"),
    ("our DDPM beside it", "bench_acgan_sampling", "ddpm_images_per_second"),
    *(
        (f"our DDPM, preset `{name}`", "bench_presets", f"{name}_sampling_images_per_second")
        for name in PRESETS.names()
        if name != "digits"
    ),
)


def speed_section() -> str:
    """Images a second, and ratios to others."""
    names = dict.fromkeys(name for _, name, _ in RATES)
    found = {name: measured for name in names if (measured := result(name)) is not None}
    if not found:
        return _NONE

    def rows(figures: Iterable[tuple[str, str, str]], digits: int) -> list[list[str]]:
        return [
            [title, f"{found[name]['figures'][figure]:,.{digits}f}", found[name]["environment"]["hardware"]]
            for title, name, figure in figures
            if name in found
        ]

    return "\n\n".join(
        [
            "Images of that size and with three channels; what they show makes no difference to the time.",
            table(["sampling", "images a second", "on"], rows(RATES, 1)),
            table(["speed", "ratio", "on"], rows(SPEEDS, 2)),
            *(f"`{name}`: {measured['method']}" for name, measured in found.items()),
        ]
    )
