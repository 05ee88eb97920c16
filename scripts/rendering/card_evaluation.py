"""What model cards say of quality: tables, sentences, pictures, and what was not measured."""

from __future__ import annotations

from rendering.measured import (
    EFFICIENTNET,
    Measurement,
    bench_metrics,
    benches_of,
    drawn_images,
    drawn_metrics,
    draws_of,
    evaluation,
    evaluation_metrics,
)
from rendering.results import RESULTS, Found, figures_of, gain_of, result, table, verdict_of
from synthaug.generators.checkpoint import CheckpointCard


def measurements(name: str, card: CheckpointCard) -> list[Measurement]:
    """All figures of a checkpoint."""
    found = [] if (drawn := drawn_images(card)) is None else drawn_metrics(drawn)
    if (evaluated := evaluation(name, card)) is not None:
        found += evaluation_metrics(evaluated)
    return found + [bench_metrics(*one) for one in benches_of(name, card)]


def evaluation_section(name: str, card: CheckpointCard) -> str:
    """Everything that was measured, and what was not."""
    parts = []
    if (drawn := drawn_images(card)) is not None:
        parts += ["### Against test images", drawn_table(drawn, card), drawn["method"]]
    if (quality := result(f"bench_sampling_quality_{name}")) is not None:
        parts += ["### Its sampler", sampler_quality(name, quality)]
    if (evaluated := evaluation(name, card)) is not None:
        parts += ["### `synthaug evaluate`", evaluation_table(evaluated), in_words(evaluated)]
    if benches := benches_of(name, card):
        parts += ["### Worth to a classifier", *(worth(found, one) for found, one in benches)]
    return "\n\n".join([*parts, "### Not measured", not_measured(name, card)])


def drawn_table(found: Found, card: CheckpointCard) -> str:
    """One row for each way in which images were drawn, and one of real images."""
    runs = found["runs"]
    measures = ["recognised", "precision", "recall", "coverage", "diversity", "frechet"]
    measures += [key for key in ("efficientnet_frechet",) if key in runs["real"]]
    default = "generated" if card.guidance in (None, 1.0) else f"guidance_{card.guidance:g}"
    rows = [["real validation images", *(f"{runs['real'][measure]:.3f}" for measure in measures)]]
    for key, how in draws_of(found).items():
        title = f"{how}{' (the default)' if key == default else ''}" if how else "generated"
        rows.append([title, *(f"{runs[key][measure]:.3f}" for measure in measures)])
    header = [
        key.replace("frechet", "Fréchet distance").replace("efficientnet_", "EfficientNet's ") for key in measures
    ]
    return table([f"of {runs['real']['images']} images", *header], rows)


def sampler_quality(name: str, found: Found) -> str:
    """What was measured of a packaged checkpoint's samples along the number of evaluations."""
    figures, default = found["figures"], found["runs"]["default"]
    drawn = found["runs"]["curve"][default["sampler"]][str(default["steps"])]["mean"]
    return (
        f"Of {figures['seeds'] * figures['images_per_seed']} unguided images drawn with the default sampler "
        f"({default['sampler']}, {default['steps']} evaluations), {100 * drawn['recognised']:.1f} % are recognised as "
        "their label by a ResNet-20 trained on all real training images "
        f"({100 * figures['judge_validation_accuracy']:.1f} % right on validation images). In its features, sets of "
        f"{figures['images_per_seed']} against held-out real images, with five neighbours: "
        + ", ".join(f"{key} {drawn[key]:.3f}" for key in ("precision", "recall", "density", "coverage"))
        + f", Fréchet distance {drawn['frechet']:.3f}. 1000 ancestral steps with the same seeds give "
        f"{figures['reference_frechet']:.3f}; the default is better by {figures['default_frechet_better_by']:+.3f} "
        f"(95 % interval {figures['default_frechet_better_by_low']:+.3f} to "
        f"{figures['default_frechet_better_by_high']:+.3f}). "
        f"benchmarks/results/bench_sampling_quality_{name}.json has the curve over samplers and evaluations."
    )


def evaluation_table(found: Found) -> str:
    """Each figure with its interval."""
    rows = [
        [metric.label, f"{metric.value:.3g}", "" if metric.low is None else f"{metric.low:.3g} to {metric.high:.3g}"]
        for part in evaluation_metrics(found)
        for metric in part.metrics
    ]
    return table(["measure", "value", "95 % interval"], rows)


def in_words(found: Found) -> str:
    """What the figures are of."""
    figures, said = found["figures"], found["runs"]["memorisation"]["sentence"]
    trained = ""
    if "cas_gap" in figures:
        trained = (
            f"A classifier trained on the set alone is right for {100 * figures['cas_synthetic']:.1f} % of the real "
            f"test images, one of the real training images for {100 * figures['cas_real']:.1f} %. "
        )
    return (
        f"{trained}Copies: {said}. The judge recognises {100 * figures['judge_validation_accuracy']:.1f} % of the "
        f"validation images. {found['method']}"
    )


def worth(study: Found, set_name: str) -> str:
    """What a bench found of a set of a packaged generator."""
    figures = figures_of(study, set_name)
    quality = ", ".join(
        f"{key} {figures[key]:.3f}" for key in ("precision", "recall", "density", "coverage") if key in figures
    )
    features = f" In their features, against the validation images, with five neighbours: {quality}." if quality else ""
    return (
        f"{figures['label_fidelity_percent']:.2f} % of the {figures['synthetic_images']:.0f} images of the set "
        f"{set_name}, drawn from the training that made this checkpoint, are recognised as their label by classifiers "
        f"trained on the same {figures['real_training_images']:.0f} real images ({figures['seeds']:.0f} seeds)."
        f"{features} Worth to a classifier: {gain_of(figures)} points of test accuracy (95 % interval), verdict: "
        f"{verdict_of(study, set_name)}."
    )


def quality_in_words(name: str, card: CheckpointCard) -> str:
    """How often samples are what they should be."""
    if (drawn := drawn_images(card)) is not None:
        key = f"guidance_{card.guidance:g}" if card.guidance not in (None, 1.0) else "generated"
        if key in drawn["runs"]:
            shares = [100 * drawn["runs"][which]["recognised"] for which in (key, "real")]
            return (
                f"Of its samples {shares[0]:.0f} % are recognised as their label, of real images {shares[1]:.0f} %, by "
                "a classifier, which is not a person: look at the grid."
            )
    if (evaluated := evaluation(name, card)) is not None:
        figures = evaluated["figures"]
        return (
            f"{100 * figures['label_fidelity']:.1f} % of its samples are recognised as their label, and "
            f"{100 * figures['copies']:.0f} % are as close to a training image as copies are."
        )
    return "How good its samples are has not been measured."


def grid_section(name: str, card: CheckpointCard) -> str:
    """The samples that are kept with the results."""
    drawn = drawn_images(card)
    prefix = f"cifar10_{card.model}_{card.preset}_"
    kept = {} if drawn is None else draws_of(drawn)
    pictures = [
        f"Samples of all classes, one after another{how and ', '}{how}:\n\n"
        f"![Samples of {name}](../benchmarks/results/{prefix}{key}.png)"
        for key, how in kept.items()
        if (RESULTS / f"{prefix}{key}.png").is_file()
    ]
    none = "None is kept with the results; `synthaug generate` makes one of every set that it draws."
    return "\n\n".join(pictures) or none


def not_measured(name: str, card: CheckpointCard) -> str:
    """What a reader might look for in vain."""
    known = {metric.type for found in measurements(name, card) for metric in found.metrics}
    by_others = any(EFFICIENTNET in metric.name for found in measurements(name, card) for metric in found.metrics)
    lacking = {
        "how good its samples are": not known & {"frechet-distance", "label-fidelity"},
        "whether they repeat training images": "copied-share" not in known,
        "what a classifier learns from them alone": "classification-accuracy-score" not in known,
        "what they are worth beside real images": "accuracy-gain" not in known,
        "how they compare in the features of a network trained on other images": not by_others,
        "intervals of the figures against test images": drawn_images(card) is not None,
    }
    missing = [*(what for what, is_lacking in lacking.items() if is_lacking), "FID in Inception's features"]
    text = "; ".join(missing)
    return (
        f"{text[0].upper()}{text[1:]} (its weights were not at hand); how much another seed of the training changes "
        "any of this."
    )
