"""The figures of a set against real images in one space, of all images and of those of each class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from jaxtyping import Float, Int64
from torch import Tensor

from synthaug.core.console import progress
from synthaug.core.errors import InputError
from synthaug.metrics.estimates import Estimate
from synthaug.metrics.features import FeatureExtractor
from synthaug.metrics.frechet import frechet_estimate
from synthaug.metrics.inception_score import inception_score
from synthaug.metrics.kernel import kernel_distance
from synthaug.metrics.memorisation import share_of
from synthaug.metrics.prdc import prdc_estimates
from synthaug.workflows.evaluate.records import Better, Comparison, Figure, Space, Value


@dataclass(frozen=True)
class _Title:
    title: str
    better: Better
    meaning: str


_TITLES = {
    "frechet": _Title("Fréchet distance", "lower", "Of the Gaussians fitted to both kinds of features."),
    "kid": _Title("kernel distance (KID)", "lower", "Unbiased squared MMD with a cubic kernel."),
    "precision": _Title("precision", "higher", "Share of synthetic images that are within a real neighbourhood."),
    "recall": _Title("recall", "higher", "Share of real images that are within a synthetic neighbourhood."),
    "density": _Title("density", "higher", "Real neighbourhoods that hold a synthetic image, over those expected."),
    "coverage": _Title("coverage", "higher", "Share of real images whose neighbourhood holds a synthetic one."),
    "inception_score": _Title(
        "Inception-style score",
        "higher",
        "How sure the classes of images are, and how many there are of them: 1 to the number of classes.",
    ),
}
#: What `--metrics` may name.
METRICS = tuple(_TITLES)


@dataclass(frozen=True, eq=False)
class Compared:
    """Features and labels of real or of synthetic images."""

    features: Float[Tensor, "n d"]
    labels: Int64[Tensor, " n"]

    def of_class(self, label: int) -> Float[Tensor, "m d"]:
        """The features of one class."""
        return self.features[self.labels == label]


def compare(
    extractor: FeatureExtractor, real: Compared, synthetic: Compared, classes: int, metrics: Sequence[str], *, name: str
) -> Comparison:
    """All figures in one space.

    Args:
        extractor: The space.
        real: The real images.
        synthetic: The synthetic images.
        classes: Number of classes.
        metrics: Names of the figures wanted; those of `METRICS`.
        name: What to call the set while this takes its time.
    """
    found: dict[str, list[Value]] = {metric: [] for metric in METRICS if metric in metrics}
    with progress(f"comparing {name} by {extractor.name}", classes + 1) as advance:
        for done in range(classes + 1):
            whole = done == 0
            pair = (
                (real.features, synthetic.features)
                if whole
                else (real.of_class(done - 1), synthetic.of_class(done - 1))
            )
            for metric, value in _values(*pair, found).items():
                found[metric].append(value)
            advance(done + 1)
    if "inception_score" in found:
        found["inception_score"] = [_score(extractor, synthetic)]
    space = Space(extractor.name, extractor.backend, extractor.resize, extractor.width, extractor.identity)
    return Comparison(space, tuple(figure_of(metric, values) for metric, values in found.items()))


def figure_of(metric: str, values: Sequence[Value]) -> Figure:
    """A figure from its values: of all images, then of each class."""
    said = _TITLES[metric]
    return Figure(metric, said.title, said.better, values[0], tuple(values[1:]), said.meaning)


def measured(measure: Callable[[], Estimate], n: int, n_reference: int) -> Value:
    """A figure, or the reason why it is refused."""
    try:
        found = measure()
    except InputError as error:
        return Value(None, None, None, n, n_reference, str(error))
    return Value.of(found, n, n_reference)


def _values(
    real: Float[Tensor, "n d"], synthetic: Float[Tensor, "m d"], wanted: dict[str, list[Value]]
) -> dict[str, Value]:
    counts = (len(synthetic), len(real))
    values = {}
    if "frechet" in wanted:
        values["frechet"] = measured(lambda: frechet_estimate(real, synthetic), *counts)
    if "kid" in wanted:
        values["kid"] = measured(lambda: kernel_distance(real, synthetic), *counts)
    if near := [name for name in ("precision", "recall", "density", "coverage") if name in wanted]:
        try:
            found = prdc_estimates(real, synthetic)
        except InputError as error:
            return values | {name: Value(None, None, None, *counts, str(error)) for name in near}
        values |= {name: Value.of(found[name], *counts) for name in near}
    return values


def _score(extractor: FeatureExtractor, synthetic: Compared) -> Value:
    n = len(synthetic.features)
    if extractor.probabilities is None:
        return Value(None, None, None, n, 0, f"{extractor.name} features say nothing of classes")
    probabilities = extractor.probabilities(synthetic.features)
    return measured(lambda: inception_score(probabilities), n, 0)


def label_fidelity(predicted: Int64[Tensor, " n"], labels: Int64[Tensor, " n"], classes: int) -> Figure:
    """Share of images that the judge recognises as their label."""
    is_right = predicted == labels
    groups = [is_right, *(is_right[labels == label] for label in range(classes))]
    values = [measured(partial(share_of, int(group.sum()), len(group)), len(group), 0) for group in groups]
    return Figure(
        "label_fidelity",
        "label fidelity",
        "higher",
        values[0],
        tuple(values[1:]),
        "Share of synthetic images that the judge recognises as their label.",
    )
