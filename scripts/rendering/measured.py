"""What was measured of a packaged checkpoint, as figures whose names say how they were taken."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rendering.results import Found, figures_of, judged_sets, model_of, parts_of, result, studies_of
from synthaug.generators.checkpoint import CheckpointCard

#: Of each figure that compares samples with real images in some features: its type in a model index, and its name.
COMPARED = {
    "frechet": ("frechet-distance", "Fréchet distance"),
    "kid": ("kernel-distance", "kernel distance (KID's)"),
    "precision": ("improved-precision", "precision"),
    "recall": ("improved-recall", "recall"),
    "density": ("density", "density"),
    "coverage": ("coverage", "coverage"),
}
EFFICIENTNET = "EfficientNet-Lite0 trained on ImageNet (not Inception)"
_REFERENCE = re.compile(
    r"(?:compared with the|against) (?P<reference>\d+ (?P<split>\w+) images.*?)(?: \(those of its training\))?,? "
    r"in the features of (?:classifier|an?) "
)
_JUDGE = re.compile(r"an? (?P<judge>[\w-]+ (?:of|trained on) the training images) \((?P<steps>\d+) steps")
_DRAWN = re.compile(r"(?P<samples>\d+) images drawn by .*?default sampler(?P<guided> at guidance [\d.]+)?,")
GENERATION = ("unconditional-image-generation", "Class-conditional image generation")
CLASSIFICATION = ("image-classification", "Image classification")


@dataclass(frozen=True)
class Metric:
    """One figure.

    Attributes:
        type: Identifier in a model index.
        label: What it is, in a table.
        name: The same with the number of samples, what they are compared with and by what.
        value: As it stands in the result.
        low: Lower end of its 95 % interval; None without one.
        high: Upper end.
    """

    type: str
    label: str
    name: str
    value: float
    low: float | None = None
    high: float | None = None

    @property
    def full_name(self) -> str:
        """Its name with its interval."""
        return self.name if self.low is None else f"{self.name}, 95 % interval {self.low:.4g} to {self.high:.4g}"


@dataclass(frozen=True)
class Measurement:
    """Figures of one task on one split.

    Attributes:
        task: Type and name.
        split: Of the real images.
        metrics: The figures.
    """

    task: tuple[str, str]
    split: str
    metrics: tuple[Metric, ...]


@dataclass(frozen=True)
class Setting:
    """How samples were compared with real images.

    Attributes:
        samples: How many, and how they were drawn if not by default.
        reference: The real images, with their number.
        split: Of these.
        network: The classifier whose features are taken.
        steps: Of its training.
    """

    samples: str
    reference: str
    split: str
    network: str
    steps: int

    @property
    def judge(self) -> str:
        """The classifier with its training."""
        return f"a {self.network} ({self.steps} steps)"

    @classmethod
    def of(cls, found: Found, samples: str) -> Setting:
        """What the method of a result says.

        Raises:
            ValueError: If it does not say it.
        """
        reference, judge = _REFERENCE.search(found["method"]), _JUDGE.search(found["method"])
        if reference is None or judge is None:
            raise ValueError(f"a result does not say what samples are compared with, and by what: {found['method']}")
        return cls(samples, reference["reference"], reference["split"], judge["judge"], int(judge["steps"]))

    @classmethod
    def shared(cls, results: Iterable[Found]) -> Setting:
        """That of results which stand in one table.

        Raises:
            ValueError: If they were not judged alike.
        """
        one, *others = dict.fromkeys(cls.of(found, "") for found in results)
        if others:
            said = "; ".join(f"{each.judge} against {each.reference}" for each in (one, *others))
            raise ValueError(f"results in one table must be judged alike, but these are by {said}; repeat some")
        return one


def compared(figures: dict[str, float], prefix: str, setting: Setting) -> Iterator[Metric]:
    """What a comparison in one or both feature spaces found; figures begin with the prefix."""
    no_fid = f"a {setting.network} ({setting.steps} steps; not Inception's, so no FID)"
    for space, backend in {"": setting.judge, "efficientnet_": EFFICIENTNET}.items():
        for key, (kind, title) in COMPARED.items():
            figure = f"{prefix}{space}{key}"
            if figure in figures:
                features = no_fid if (space, key) == ("", "frechet") else backend
                name = f"{title} in the features of {features}, {setting.samples} against {setting.reference}"
                label = title if not space else f"{title}, by EfficientNet-Lite0"
                yield with_interval(figures, figure, kind, label, name)


def with_interval(figures: dict[str, float], figure: str, kind: str, label: str, name: str) -> Metric:
    """A figure with its interval, if it has one."""
    return Metric(kind, label, name, figures[figure], figures.get(f"{figure}_low"), figures.get(f"{figure}_high"))


def drawn_images(card: CheckpointCard) -> Found | None:
    """The result that compares a checkpoint's images with test images; None if it is of other weights, or missing."""
    found = result(f"cifar10_{card.model}_{card.preset}")
    return found if found is not None and found["runs"]["checkpoint"] == card.checkpoint else None


def draws_of(found: Found) -> dict[str, str]:
    """The ways in which images were drawn for such a result, and how to say it."""
    keys = [
        key for key, run in found["runs"].items() if isinstance(run, dict) and "recognised" in run and key != "real"
    ]
    unguided = "drawn unguided" if found["runs"]["settings"]["model"] == "ddpm" else ""
    return {key: unguided if key == "generated" else f"drawn with {key.replace('_', ' ')}" for key in keys}


def drawn_metrics(found: Found) -> list[Measurement]:
    """What the images were measured to be, for each way in which they were drawn."""
    figures, metrics, split = found["figures"], [], ""
    for key, how in draws_of(found).items():
        setting = Setting.of(found, f"{figures[f'{key}_images']} samples{how and ' '}{how}")
        split = setting.split
        metrics += compared(figures, f"{key}_", setting)
        recognised = (
            f"share recognised as their label by {setting.judge}, {setting.samples} against "
            f"{figures['real_recognised']} of {figures['real_images']} real validation images"
        )
        metrics.append(
            with_interval(figures, f"{key}_recognised", "label-fidelity", "recognised as their label", recognised)
        )
        for figure in figures:
            if match := re.fullmatch(rf"{re.escape(key)}_frechet_of_(\d+)", figure):
                more = Setting.of(found, f"{match[1]} samples{how and ' '}{how}")
                [metric] = compared({f"{key}_frechet": figures[figure]}, f"{key}_", more)
                metrics.append(metric)
    return [Measurement(GENERATION, split, tuple(metrics))]


def evaluation(name: str, card: CheckpointCard) -> Found | None:
    """What `synthaug evaluate` found of a packaged checkpoint; None if it is of other weights, or missing."""
    found = result(f"evaluation_{name}")
    return found if found is not None and found["runs"]["checkpoint"] == card.checkpoint else None


def evaluation_setting(found: Found) -> Setting:
    """How such a result compared its samples."""
    drawn = _DRAWN.search(found["method"])
    count = found["figures"]["images"] if drawn is None else int(drawn["samples"])
    return Setting.of(found, f"{count} samples{'' if drawn is None else drawn['guided'] or ''}")


def evaluation_metrics(found: Found) -> list[Measurement]:
    """The figures of such a result."""
    figures, setting = found["figures"], evaluation_setting(found)
    judge, samples, reference = setting.judge, setting.samples, setting.reference
    copying = f"share as close to one of the {reference} as copies are, in pixels or in the features of {judge}"
    others = {
        "label_fidelity": (
            "label-fidelity",
            "recognised as their label",
            f"share recognised as their label by {judge} that is right for {figures['judge_validation_accuracy']} of "
            f"the real validation images, {samples}",
        ),
        "copies": ("copied-share", "as close to a training image as copies are", f"{copying}, {samples}"),
        "duplicates": (
            "repeated-share",
            "as close to one another",
            f"share as close to another sample, in pixels or in the features of {judge}, {samples}",
        ),
    }
    metrics = [*compared(figures, "", setting)]
    metrics += [with_interval(figures, key, *words) for key, words in others.items() if key in figures]
    found_out = [Measurement(GENERATION, setting.split, tuple(metrics))]
    if "cas_synthetic" in figures:
        score = f"accuracy on the real test images of a classifier trained on {samples} alone"
        gap = f"accuracy on the real test images that a classifier trained on {samples} alone lacks"
        real = "one trained on the real training images"
        titles = ("classification accuracy score", "the same, behind that of real training images")
        learnt = (
            with_interval(
                figures,
                "cas_synthetic",
                "classification-accuracy-score",
                titles[0],
                f"{score}, where {real} reaches {figures['cas_real']}",
            ),
            with_interval(figures, "cas_gap", "classification-accuracy-gap", titles[1], f"{gap} against {real}"),
        )
        found_out.append(Measurement(CLASSIFICATION, "test", learnt))
    return found_out


def benches_of(name: str, card: CheckpointCard) -> list[tuple[Found, str]]:
    """Studies of one amount of real images, with each set in them that was drawn from this training, curated or not.

    The training is known by its model and by the time that it took.
    """
    names = ("digits_demo",) if name.endswith("-digits") else ("headline", "cifar10_fractions")
    results = [found for name in names if (found := result(name)) is not None]
    parts = [part for found in results for study in studies_of(found) for part in parts_of(study)]
    took = round(card.training.seconds, 1)
    return [
        (part, one)
        for part in parts
        for one in judged_sets(part)
        if model_of(one) == card.model and figures_of(part, one)["training_seconds"] == took
    ]


def bench_metrics(found: Found, set_name: str) -> Measurement:
    """The gain of a set as a figure."""
    figures = figures_of(found, set_name)
    name = (
        f"points of test accuracy that a classifier gains by {figures['synthetic_images']} samples (set {set_name}) "
        f"beside {figures['real_training_images']} real training images, over the best without them, "
        f"{figures['seeds']} paired seeds"
    )
    return Measurement(
        CLASSIFICATION,
        "test",
        (
            Metric(
                "accuracy-gain",
                "gain",
                name,
                figures["gain_points"],
                figures.get("gain_low"),
                figures.get("gain_high"),
            ),
        ),
    )
