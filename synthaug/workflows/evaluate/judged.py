"""One set with all that is known of its samples, before it is compared with others."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from synthaug.core.types import LabelledImages
from synthaug.data.equality import digests
from synthaug.data.splits import Splits
from synthaug.metrics.calibration import confusion_matrix
from synthaug.metrics.memorisation import first_alike
from synthaug.shards.plan import SetPlan
from synthaug.workflows.evaluate.copying import duplicates, memorisation
from synthaug.workflows.evaluate.figures import label_fidelity
from synthaug.workflows.evaluate.gallery.contents import ShownSet
from synthaug.workflows.evaluate.records import AccuracyScore, Comparison, SetReport
from synthaug.workflows.real_classifier import RealClassifier, of_label
from synthaug.workflows.scoring import Copies, CopyDetector, find_copies, refuse_test_images

#: Of the table of samples.
_COLUMNS = (
    "key",
    "class",
    "recognised_as",
    "label_confidence",
    "nearest_train_distance",
    "relative_train_distance",
    "nearest_train_image",
    "repeats",
)


@dataclass(frozen=True, eq=False)
class JudgedSet:
    """A set and what is known of every sample.

    Attributes:
        name: What the evaluation calls it.
        where: Its folder or URL.
        plan: Its plan.
        images: Its images.
        copies: What each may be a copy of.
        first: The first sample of the set that each repeats; itself if none.
        probabilities: Of each class, by the judge.
    """

    name: str
    where: str
    plan: SetPlan
    images: LabelledImages
    copies: Copies
    first: Int64[Tensor, " n"]
    probabilities: Float[Tensor, "n k"]

    @classmethod
    def of(
        cls,
        name: str,
        where: str,
        plan: SetPlan,
        images: LabelledImages,
        judge: RealClassifier,
        detectors: Sequence[CopyDetector],
        splits: Splits,
    ) -> JudgedSet:
        """Judges a set.

        Raises:
            InputError: If it holds test images.
        """
        copies = find_copies(images, detectors, splits)
        refuse_test_images(where, images, copies, splits)
        first = first_alike(copies.pixels, copies.reach)
        return cls(name, where, plan, images, copies, first, judge.recognised(images))

    def report(
        self,
        compared: int,
        comparisons: tuple[Comparison, ...],
        score: AccuracyScore | None,
        detectors: Sequence[CopyDetector],
        real_near: float,
    ) -> SetReport:
        """All figures of the set.

        Args:
            compared: Images that were compared with real ones.
            comparisons: What that gave.
            score: What a classifier learns from the set alone.
            detectors: Those that looked for copies.
            real_near: Share of the real training images that repeat another.
        """
        images, classes = self.images, len(self.images.class_names)
        predicted = self.probabilities.argmax(dim=1)
        return SetReport(
            name=self.name,
            where=self.where,
            images=len(images),
            class_counts=images.class_counts(),
            made=self._made(),
            comparisons=comparisons,
            compared=compared,
            fidelity=label_fidelity(predicted, images.labels, classes),
            confusion=confusion_matrix(predicted, images.labels, classes),
            accuracy_score=score,
            memorisation=memorisation(self.copies, detectors),
            duplicates=duplicates(self.first, len(images) - len(set(digests(images.images))), real_near),
        )

    def _made(self) -> str:
        plan, generator = self.plan, self.plan.generator
        size = f"{sum(generator.split.class_counts)} images of {generator.split.source}"
        how = f"{plan.sampler}, {plan.steps} steps, guidance {plan.guidance:g}, seed {plan.seed}"
        curated = f", curated from {plan.drawn_count}" if plan.is_curated else ""
        return f"{generator.model} {generator.preset}, trained on {size}; {how}{curated}"

    def shown(self) -> ShownSet:
        """What the gallery needs of it."""
        plan = self.plan
        return ShownSet(
            images=self.images,
            keys=tuple(shard.key(position) for shard in plan.shards() for position in range(len(shard))),
            predicted=self.probabilities.argmax(dim=1),
            confidence=of_label(self.probabilities, self.images.labels),
            relative_distance=self.copies.relative,
            nearest=self.copies.nearest,
        )

    def table(self) -> str:
        """A line of scores for each sample, as CSV."""
        return _table(self.shown(), self.copies, self.first)


def table_name(name: str) -> str:
    """A class name that no spreadsheet takes for a formula."""
    readable = name.encode("unicode_escape").decode() if not name.isprintable() else name
    return f"'{readable}" if readable.startswith(("=", "+", "-", "@")) else readable


def _table(shown: ShownSet, copies: Copies, first: Int64[Tensor, " n"]) -> str:
    """A line of scores for each sample."""
    names = [table_name(name) for name in shown.images.class_names]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(_COLUMNS)
    is_first = first == torch.arange(len(first))
    for place, key in enumerate(shown.keys):
        writer.writerow(
            [
                key,
                names[int(shown.images.labels[place])],
                names[int(shown.predicted[place])],
                f"{float(shown.confidence[place]):.6f}",
                f"{float(copies.level_distance[place]):.4f}",
                f"{float(copies.relative[place]):.6f}",
                int(shown.nearest[place]),
                "" if is_first[place] else shown.keys[int(first[place])],
            ]
        )
    return buffer.getvalue()
