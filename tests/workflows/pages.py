"""Finished benches without any training, and what a test asks of their reports."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from synthaug.classifiers.validation import CurvePoint
from synthaug.core.pixels import encode_png
from synthaug.metrics.agreement import Agreement
from synthaug.workflows.bench import BenchConfig, BenchSummary
from synthaug.workflows.bench.arms import arms_of, mixed_arms
from synthaug.workflows.bench.cells import CellResult
from synthaug.workflows.bench.pictures import REAL_PICTURE, picture_names
from synthaug.workflows.bench.quality import Quality
from synthaug.workflows.bench.summarise import summarise
from synthaug.workflows.bench.summary import SetFacts
from tests.conftest import random_pixels

CLASSES = ("<script>alert('cat')</script>", 'a|b & "dog"', "two\nlines")
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


def make_summary(
    gains: tuple[float, ...] = GAINS["helps"], names: tuple[str, ...] = ("ddpm",), **facts: Any
) -> BenchSummary:
    """Of a bench whose sets gain so many points with each seed, the second one point less than the first, and so on."""
    offsets = {"real": [-10.0] * 3, "real+classic": [0.0] * 3}
    offsets |= {arm.name: [gain - rank for gain in gains] for rank, arm in enumerate(mixed_arms(names))}
    cells = [
        CellResult(
            arm=arm.name,
            seed=seed,
            steps=10,
            best_step=10,
            validation_accuracy=0.7,
            test=Agreement((70 + offsets[arm.name][seed]) / 100, (0.5, 0.75, None), 20),
            label_fidelity={}
            if arm.is_mixed
            else {name: Agreement(0.625 - rank / 8, (0.25, 0.5, 0.75), 40) for rank, name in enumerate(names)},
            quality={name: Quality(1.5 + rank, 0.9, 0.8, 1.1, 0.7) for rank, name in enumerate(names)}
            if arm.name == "real+classic"
            else {},
            curve=[CurvePoint(5, 2.0, 0.5), CurvePoint(10, 1.0, 0.7)],
            seconds=1.5,
        )
        for arm in arms_of(names)
        for seed in range(len(gains))
    ]
    known = {"images": 40, "training_seconds": 1234.5, "images_seen": 9, "cost": None, **facts}
    return summarise(
        cells,
        sets=[SetFacts(name=name, **known) for name in names],
        class_names=CLASSES,
        counts={"train": 15, "validation": 6, "test": 20, "synthetic": 40 * len(names)},
        settings=SETTINGS,
        environment={"hardware": "an <i>abacus</i>", "torch": "2.x"},
    )


def write_bench(folder: Path, summary: BenchSummary, **settings: Any) -> BenchConfig:
    """The folder of a finished bench, without its cells."""
    config = BenchConfig.resolve({"synthetic": folder / "set", "out": folder, "seeds": 3, **settings})
    config.save(folder)
    summary.write(folder)
    for seed, name in enumerate([REAL_PICTURE, *picture_names(len(summary.sets))]):
        (folder / name).write_bytes(encode_png(random_pixels(1, 9, 9, seed=seed)))
    return config
