"""docs/survey.md: techniques of image classification, claimed and measured."""

from __future__ import annotations

from rendering.results import result

#: Column title of each result of the survey's techniques.
SURVEYS = {
    "survey_digits": "digits",
    "survey_cifar10-tenth": "a tenth of CIFAR-10 (JPEG q75)",
    "survey_cifar10": "CIFAR-10 (JPEG q75)",
}


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
