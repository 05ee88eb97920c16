"""Benches without any training, and what a test asks of their reports."""

from __future__ import annotations

import html
import re
import statistics
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt

from synthaug.core.pixels import encode_png
from synthaug.workflows.bench import BenchConfig, BenchSummary
from synthaug.workflows.bench.arms import DEFAULT_ARMS, Arm, arms_of
from synthaug.workflows.bench.costs import BenchCosts, RegimeCosts, SetCosts
from synthaug.workflows.bench.pictures import REAL_PICTURE, picture_names, pictures_folder
from synthaug.workflows.bench.quality import Quality
from synthaug.workflows.bench.statistics import Estimate, Interval, estimate, verdict
from synthaug.workflows.bench.summary import ArmSummary, Comparison, Control, RegimeSummary, SetResult
from synthaug.workflows.bench.worth import ClassGain, Worth, break_even
from synthaug.workflows.cost import SamplingCost
from tests.conftest import random_pixels

CLASSES = (
    "<script>alert('cat')</script>", 'a|b & "dog"', "two\nlines",
    "![x](evil.png)", "[free](javascript:alert(1))", "~~_*`gone`*_~~ \\",
)  # fmt: skip
SETTINGS = {
    "data": {"source": "imagefolder:my <b>images</b>", "class_counts": [5, 5, 5], "train_fingerprint": "ab" * 32},
    "synthetic_fraction": 0.5,
    "recipe": {"network": "resnet20", "steps": 10},
}
GAINS = {
    "helps": (2.0, 4.0, 3.0),
    "hurts": (-2.0, -4.0, -3.0),
    "inconclusive": (-2.0, 4.0, 0.0),
    "no verdict": (2.0, 4.0),
}
#: What the real-only arms lose on the best of them, and other arms than mixed ones on those.
OFFSETS = {"real": -10.0, "real+classic": 0.0, "real+strong": -1.0}
BASELINE = "real+classic"


class Page(HTMLParser):
    """What of a page a test asks for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.tables: list[list[list[str]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attributes}))
        self._open.append(tag)
        self.texts.setdefault(tag, []).append("")
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_data(self, data: str) -> None:
        if self._open:
            self.texts[self._open[-1]][-1] += data
        if self._open and self._open[-1] in ("td", "th"):
            self.tables[-1][-1][-1] += data

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def table(self, *first_cells: str) -> list[list[str]]:
        """The rows of the table whose header begins so."""
        [found] = [rows for rows in self.tables if tuple(rows[0][: len(first_cells)]) == first_cells]
        return found[1:]


def rendered(markdown: str) -> Page:
    """What a renderer that knows nothing of this project makes of Markdown, with the tables and strikes of GitHub's."""
    return Page(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(markdown))


def assert_reads_as(markdown: str, page: Page) -> None:
    """Checks that Markdown shows the words of a page, cell by cell, and none of them as anything else."""
    read = rendered(markdown)
    own = [rows for rows in read.tables if not rows[0][0].startswith("Real training images")]  # its pictures
    assert [_in_lines(rows) for rows in own] == [_in_lines(rows) for rows in page.tables]
    for tag in ("h2", "h3"):
        assert read.texts.get(tag, []) == page.texts.get(tag, [])
    told = {" ".join(text.split()) for text in read.texts["p"]}
    assert {" ".join(text.split()) for text in page.texts["p"] if text} <= told | set(read.texts.get("strong", []))
    assert not {"a", "em", "s", "hr", "ol", "h4", "h5", "h6"} & {tag for tag, _ in read.tags}
    assert len(read.all("img")) == len(page.all("img"))
    assert all(re.fullmatch(r"(regime-\d+/)?(real|synthetic(-\d+)?)\.png", one["src"]) for one in read.all("img"))


def _in_lines(rows: list[list[str]]) -> list[list[str]]:
    return [[" ".join(cell.split()) for cell in row] for row in rows]


def compare(arm: str, differences: Sequence[float], baseline: str = BASELINE) -> Comparison:
    """With figures that stand for those of the statistics."""
    difference, is_alone = estimate(list(differences)), len(differences) == 1
    mean, has_intervals = difference.mean, len(differences) >= 3
    return Comparison(
        arm=arm,
        baseline=baseline,
        difference=difference,
        per_seed=list(differences),
        bootstrap=Interval(mean - 1.25, mean + 1.25) if has_intervals else None,
        beyond=Interval(mean - 2.75, mean + 2.75) if has_intervals else None,
        permutation_p=0.25,
        p=0.0357,
        adjusted_p=0.0429,
        detectable=None if is_alone else 3.21,
        seeds_for_a_point=None if is_alone else 17,
        verdict=verdict(difference),
    )


def make_regime(
    gains: Sequence[float] = GAINS["helps"],
    names: Sequence[str] = ("ddpm",),
    *,
    arms: Sequence[str] = DEFAULT_ARMS,
    name: str = "20 a class",
    fraction: float | None = None,
    images_per_class: float = 20.0,
    classes: Sequence[str] = CLASSES,
    worth: Worth | None = None,
    level: float = 70.0,
    **facts: Any,
) -> RegimeSummary:
    """With sets that gain so many points with each seed, the second one point less than the first, and so on."""
    every = arms_of(arms, names, synthetic_fraction=0.5)
    seeds = len(gains)
    by_arm = {arm.name: _accuracies(arm, gains, names, level) for arm in every}
    deciding = {
        one: next(arm.name for arm in reversed(every) if arm.role == "mixed" and arm.sets == (one,)) for one in names
    }
    of_baseline = by_arm[BASELINE]
    comparisons = {
        arm: compare(arm, [one - other for one, other in zip(values, of_baseline, strict=True)])
        for arm, values in by_arm.items()
        if arm != BASELINE
    }
    known = {
        "images": 40,
        "per_class": (14, *[13] * (len(classes) - 1)),
        "is_curated": False,
        "images_seen": 9,
        "fingerprint": "cd" * 32,
        "quality": Quality(1.5, 0.9, 0.8, 1.1, 0.7),
        "validated_classes": [_class_gain(label, called, seeds) for label, called in enumerate(classes)],
        "quotas": [(20, 0, 10)[label % 3] for label in range(len(classes))],
        **facts,
    }
    results = [
        SetResult(
            name=one,
            where=f"sets/{one}",
            verdict=comparisons[deciding[one]].verdict,
            gain=comparisons[deciding[one]],
            label_fidelity=62.5 - 12.5 * rank,
            label_fidelity_per_class=[25.0 * (1 + label % 3) for label in range(len(classes))],
            classes=[_class_gain(label, called, seeds) for label, called in enumerate(classes)],
            worth=worth,
            **known,
        )
        for rank, one in enumerate(names)
    ]
    return RegimeSummary(
        name=name,
        fraction=fraction,
        images_per_class=images_per_class,
        counts={"train": 15, "validation": 6, "test": 20, "synthetic": 40 * len(names)},
        steps=10,
        real_epochs=12.5,
        baseline=BASELINE,
        sets=results,
        comparisons=[one for arm, one in comparisons.items() if arm not in deciding.values()],
        controls=[],
        arms=[_arm_summary(arm, by_arm[arm.name], len(classes)) for arm in every],
        equal_epochs=None,
        missing=0,
    )


def make_summary(
    gains: Sequence[float] = GAINS["helps"],
    names: Sequence[str] = ("ddpm",),
    *,
    regimes: Sequence[RegimeSummary] = (),
    missing: int = 0,
    classes: Sequence[str] = CLASSES,
    **regime: Any,
) -> BenchSummary:
    """Of a bench with these numbers of real images, or with one that is made of the other arguments."""
    found = list(regimes) or [make_regime(gains, names, classes=classes, **regime)]
    cells = sum(len(one.arms) for one in found) * len(gains) + missing
    return BenchSummary(
        source="imagefolder:my <b>images</b>",
        class_names=list(classes),
        seeds=list(range(len(gains))),
        cells=cells,
        done=cells - missing,
        failed=[],
        extensions=[],
        regimes=found,
        settings=SETTINGS,
        environment={"hardware": "an <i>abacus</i>", "torch": "2.x"},
    )


def make_costs(
    summary: BenchSummary, *, generator: float = 1234.5, cost: SamplingCost | None = None, training: float = 0.5
) -> BenchCosts:
    """What it took: a second and a half for each training of a classifier, and so much for each set."""
    sampling = None if cost is None else cost.seconds
    took = generator + (sampling or 0.0) + training
    regimes = []
    for regime in summary.regimes:
        sets = {
            one.name: SetCosts(
                generator=generator,
                sampling=sampling,
                training=training,
                hardware=() if cost is None else cost.hardware,
                break_even=break_even(took, one.gain.difference.mean, is_gain=one.verdict == "helps"),
            )
            for one in regime.sets
        }
        regimes.append(RegimeCosts(name=regime.name, arms={arm.name: 1.5 for arm in regime.arms}, sets=sets))
    return BenchCosts(seconds=1.5 * summary.done, regimes=regimes)


def make_control(name: str, expectation: str, differences: Sequence[float], *, is_as_expected: bool | None) -> Control:
    return Control(
        name=name,
        expectation=expectation,
        comparison=compare(name, differences),
        is_as_expected=is_as_expected,
    )


def write_bench(folder: Path, summary: BenchSummary, costs: BenchCosts | None = None, **settings: Any) -> BenchConfig:
    """The folder of a bench, without its cells."""
    config = BenchConfig.resolve({"synthetic": folder / "set", "out": folder, "seeds": 3, **settings})
    config.save(folder)
    summary.write(folder)
    (costs or make_costs(summary)).write(folder)
    for number, regime in enumerate(summary.regimes):
        where = pictures_folder(folder, number, len(summary.regimes))
        where.mkdir(exist_ok=True)
        for seed, name in enumerate([REAL_PICTURE, *picture_names(len(regime.sets))]):
            (where / name).write_bytes(encode_png(random_pixels(1, 9, 9, seed=seed)))
    return config


#: A recorded cost with a name that is none of HTML.
COST = SamplingCost(images=40, seconds=4.0, hardware=("one <b>GPU</b> (cuda)",))


def undrawn_svg(draw: Any, description: str, *, height: float) -> str:
    """In place of a plot: what it says, without its lines."""
    return f'<svg role="img" aria-label="{html.escape(description)}"></svg>'


def _accuracies(arm: Arm, gains: Sequence[float], names: Sequence[str], level: float) -> list[float]:
    if not arm.sets:
        return [level + OFFSETS.get(arm.name, -0.5)] * len(gains)
    lost = names.index(arm.sets[0]) + {"mixed": 0.0, "other": 6.0, "real": 0.0}[arm.role]
    lost += 2.0 * (arm.transform == "none") + (arm.synthetic_fraction - 0.5)
    return [level + gain - lost for gain in gains]


def _class_gain(label: int, name: str, seeds: int) -> ClassGain:
    """The first class gains, the second loses, the third has no test image, and so on."""
    if label % 3 == 2:
        return ClassGain(name, None, "no verdict")
    mean = 4.0 if label % 3 == 0 else -4.0
    gain = Estimate(mean, mean - 1.5, mean + 1.5, seeds) if seeds > 1 else Estimate(mean, None, None, 1)
    return ClassGain(name, gain, verdict(gain))


def _arm_summary(arm: Arm, values: Sequence[float], classes: int) -> ArmSummary:
    accuracy = estimate(list(values))
    return ArmSummary(
        arm=arm,
        seeds=list(range(len(values))),
        test_accuracy=accuracy,
        per_seed=list(values),
        per_class=[None if label % 3 == 2 else accuracy.mean - label % 3 for label in range(classes)],
        validation_accuracy=statistics.fmean(values) - 1.0,
        calibration_error=estimate([4.0 + 0.25 * number for number in range(len(values))]),
        negative_log_likelihood=estimate([0.8 + 0.0625 * number for number in range(len(values))]),
        corrupted_accuracy=estimate([value - 20.0 for value in values]),
        per_corruption={"blur": accuracy.mean - 15.0, "noise": accuracy.mean - 25.0},
        curve=[(5, 50.0, 2.0), (10, accuracy.mean, 1.0)],
    )
