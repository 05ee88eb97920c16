"""Several synthetic sets in one bench: told apart, compared in pairs, each checked and judged on its own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from synthaug.classifiers.networks import build_network
from synthaug.classifiers.task import TrainedClassifier
from synthaug.core.errors import InputError
from synthaug.core.types import LabelledImages
from synthaug.data.sources import load_source
from synthaug.data.splits import Splits, make_splits
from synthaug.workflows.bench import BenchConfig, bench, plan_bench, read_summary
from synthaug.workflows.bench import quality as quality_module
from synthaug.workflows.bench import workers as workers_module
from synthaug.workflows.bench.cells import run_cell
from synthaug.workflows.bench.costs import read_costs
from synthaug.workflows.bench.quality import measure_quality
from synthaug.workflows.bench.record import read_study
from synthaug.workflows.bench.results import Results
from synthaug.workflows.bench.sentence import verdict_sentence
from synthaug.workflows.bench.sets import set_names
from synthaug.workflows.bench.summarise import summarise
from synthaug.workflows.cost import SamplingCost
from synthaug.workflows.judge import MIN_REFERENCE
from tests.conftest import make_images_of, random_pixels, write_curated_set
from tests.workflows.benches import (
    listing,
    noise_set,
    quick,
    results_of,
    rows,
    settings,
    study_of,
    summary_of,
)

pytestmark = pytest.mark.usefixtures("quick_network")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, splits: Splits) -> list[Path]:
    """Two sets of noise from the same generator with other seeds, in folders called one and two."""
    root = tmp_path_factory.mktemp("sets")
    return [noise_set(root / name, splits.record, seed=seed) for seed, name in enumerate(("one", "two"))]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, pair: list[Path]) -> BenchConfig:
    """A bench of both with two seeds that has been run; shared, so copy its folder before changing it."""
    config = quick(pair, tmp_path_factory.mktemp("bench") / "out", seeds=2)
    (pair[0] / "cost.jsonl").write_text(
        '{"images": 10, "seconds": 2.0, "device": "cpu", "hardware": "abacus"}\n{"images": 20, "se\n'
        '{"images": 20, "seconds": 4.0, "device": "cpu", "hardware": "abacus"}\n'
    )
    bench(config)
    return config


def copied(config: BenchConfig, folder: Path) -> BenchConfig:
    return config.model_copy(update={"out": shutil.copytree(config.out, folder)})


# --- arms, names, rows ---


ARMS = ["real", "real+classic", "mixed+classic (one)", "mixed+classic (two)"]


def test_every_set_has_an_arm_of_its_own_with_the_same_seeds_and_steps(finished: BenchConfig) -> None:
    cells = rows(finished.out)
    assert [(cell["arm"], cell["seed"]) for cell in cells] == [(arm, seed) for seed in (0, 1) for arm in ARMS]
    assert {cell["steps"] for cell in cells} == {2}
    [regime] = read_summary(finished.out).regimes
    assert [arm.name for arm in regime.arms] == ARMS
    assert regime.arms[2].arm.meaning != regime.arms[3].arm.meaning
    assert regime.counts["synthetic"] == 60


def test_every_set_is_judged_by_an_arm_that_saw_none_of_them(finished: BenchConfig) -> None:
    cells = {(cell["arm"], cell["seed"]): cell for cell in rows(finished.out)}
    sets = read_summary(finished.out).regimes[0].sets
    for (arm, _), cell in cells.items():
        judged = {one.fingerprint for one in sets if arm == "real+classic"}
        assert set(cell["label_fidelity"]) == set(cell["quality"]) == judged
    for one in sets:
        judges = [cells["real+classic", seed] for seed in (0, 1)]
        shares = [judge["label_fidelity"][one.fingerprint]["overall"] for judge in judges]
        assert one.label_fidelity == pytest.approx(100 * sum(shares) / 2)
        assert one.quality is not None
        for name in ("frechet", "precision", "recall", "density", "coverage"):
            values = [judge["quality"][one.fingerprint][name] for judge in judges]
            assert getattr(one.quality, name) == pytest.approx(sum(values) / 2)


def test_costs_stand_beside_the_sets_that_have_a_record(finished: BenchConfig) -> None:
    recorded, unrecorded = read_study(finished.out).regimes[0].sets
    assert recorded.cost == SamplingCost(images=30, seconds=6.0, hardware=("abacus (cpu)",))
    assert recorded.cost.images_per_second == pytest.approx(5.0)
    assert unrecorded.cost is None
    assert (recorded.training_seconds, recorded.images_seen, recorded.images) == (1.0, 1, 30)
    assert (recorded.per_class, recorded.is_curated) == ((3,) * 10, False)


def test_what_it_took_is_told_apart_from_what_was_found(finished: BenchConfig) -> None:
    costs = read_costs(finished.out)
    cells = rows(finished.out)
    assert costs.seconds == pytest.approx(sum(cell["seconds"] for cell in cells), abs=0.01)
    [regime] = costs.regimes
    for arm in ARMS:
        own = [cell["seconds"] for cell in cells if cell["arm"] == arm]
        assert regime.arms[arm] == pytest.approx(sum(own) / 2, abs=0.01)
    [found] = read_summary(finished.out).regimes
    recorded, unrecorded = regime.sets["one"], regime.sets["two"]
    assert (recorded.generator, recorded.sampling, recorded.hardware) == (1.0, pytest.approx(6.0), ("abacus (cpu)",))
    assert (unrecorded.sampling, unrecorded.hardware) == (None, ())
    more = regime.arms["mixed+classic (one)"] - regime.arms[found.baseline]
    assert recorded.training == pytest.approx(more, abs=0.02)
    assert recorded.break_even.seconds == pytest.approx(1.0 + 6.0 + more, abs=0.02)
    assert "seconds" not in (finished.out / "report.json").read_text()


def test_every_set_has_a_picture(finished: BenchConfig) -> None:
    assert {path.name for path in finished.out.glob("*.png")} == {"real.png", "synthetic-1.png", "synthetic-2.png"}
    first, second = ((finished.out / f"synthetic-{number}.png").read_bytes() for number in (1, 2))
    assert first != second


@pytest.mark.parametrize(
    ("models", "locations", "names"),
    [
        (["ddpm"], ["sets/a"], ["ddpm"]),
        (["ddpm", "acgan"], ["sets/a", "other/a"], ["ddpm", "acgan"]),
        (["ddpm", "ddpm"], ["sets/a", "s3://bucket/sets/b/"], ["a", "b"]),
        (["ddpm", "ddpm", "acgan"], ["x/a", "x/b", "x/a"], ["a", "b", "acgan"]),
        (["ddpm", "ddpm"], ["x/a", "y/a"], ["set 1", "set 2"]),
        (["ddpm", "ddpm", "acgan"], ["x/a", "x/acgan", "x/c"], ["set 1", "set 2", "set 3"]),
    ],
)
def test_sets_are_called_by_model_else_by_folder_else_by_number(
    models: list[str], locations: list[str], names: list[str]
) -> None:
    assert set_names(models, locations) == names


def test_a_curated_set_is_told_from_the_raw_one(splits: Splits, tmp_path: Path) -> None:
    raw = noise_set(tmp_path / "raw", splits.record)
    curated = write_curated_set(tmp_path / "some", raw, list(range(20)))
    summary = bench(quick([raw, curated], tmp_path / "out", arms=("real", "mixed")))
    [regime] = summary.regimes
    assert [(one.name, one.images, one.is_curated) for one in regime.sets] == [
        ("test", 30, False),
        ("test curated", 20, True),
    ]
    assert regime.comparisons[-1].name == "mixed (test curated) − mixed (test)"


# --- what is refused ---


def test_the_same_set_twice_is_refused(pair: list[Path], tmp_path: Path) -> None:
    copy = shutil.copytree(pair[0], tmp_path / "copy")
    for again in (pair[0], copy):
        with pytest.raises(InputError, match=f"--synthetic {pair[0]} and --synthetic {again} hold the same set"):
            bench(quick([pair[0], pair[1], again], tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_every_set_is_checked_for_leaks_on_its_own(pair: list[Path], tmp_path: Path) -> None:
    leaking = noise_set(tmp_path / "leaking", make_splits(load_source("digits"), per_class_real=5, seed=1).record)
    for sets in ([pair[0], leaking], [leaking, pair[0]]):
        with pytest.raises(InputError, match="leaking must not be used with this split"):
            bench(quick(sets, tmp_path / "out"))


# --- interruption ---


def test_a_lost_row_is_the_only_cell_that_is_run_again(
    finished: BenchConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, calls = copied(finished, tmp_path / "copy"), []
    lines = (config.out / "results.jsonl").read_text().splitlines(keepends=True)
    [lost] = [line for line in lines if '"mixed+classic (two)"' in line and '"seed": 1' in line]
    (config.out / "results.jsonl").write_text("".join(line for line in lines if line != lost))

    def counting(inputs: Any, cell: Any, *others: Any, **more: Any) -> Any:
        calls.append((cell.arm.name, cell.seed))
        return run_cell(inputs, cell, *others, **more)

    monkeypatch.setattr(workers_module, "run_cell", counting)
    assert plan_bench(config).missing_cells == 1
    bench(config)
    assert calls == [("mixed+classic (two)", 1)]
    assert (config.out / "report.json").read_bytes() == (finished.out / "report.json").read_bytes()


# --- one set ---


def test_one_set_needs_no_name(pair: list[Path], tmp_path: Path) -> None:
    [regime] = bench(quick(pair[0], tmp_path / "out")).regimes
    assert [arm.name for arm in regime.arms] == ["real", "real+classic", "mixed+classic"]
    assert len(regime.gains) + len(regime.comparisons) == 2
    assert "synthetic.png" in listing(tmp_path / "out")
    assert "synthetic-1.png" not in listing(tmp_path / "out")
    [only] = regime.sets
    assert only.name == "test"
    assert only.quality is not None


# --- settings ---


def test_sets_may_be_given_as_one_or_several_in_every_way(tmp_path: Path) -> None:
    one, two = tmp_path / "a,b", "s3://bucket/two"
    file = tmp_path / "bench.yaml"
    for given, expected in {
        str(one): (str(one),),
        (one, two): (str(one), two),
    }.items():
        assert settings(given, tmp_path / "out").synthetic == expected
    assert settings(one, tmp_path / "out").synthetic == settings([one], tmp_path / "out").synthetic == (str(one),)
    for text, expected in {f"'{one}'": (str(one),), f"['{one}', '{two}']": (str(one), two)}.items():
        file.write_text(f"out: x\nsynthetic: {text}\n")
        assert BenchConfig.resolve({}, file).synthetic == expected


@pytest.mark.parametrize("sets", [["a"], ["a", "b"], ["my sets/a,b", "s3://bucket/c", "-d"]])
def test_sets_survive_the_words_of_the_command_line_and_the_file(sets: list[str], tmp_path: Path) -> None:
    config = BenchConfig.resolve({"synthetic": sets, "out": tmp_path / "out"})
    words = config.flags()
    assert [words[place + 1] for place, word in enumerate(words) if word == "--synthetic"] == sets
    config.save(tmp_path)
    assert BenchConfig.resolve({}, tmp_path / "config.yaml") == config


# --- the summary ---


SETS = ("acgan", "ddpm", "edm")


def test_several_sets_are_compared_with_the_baseline_and_with_each_other() -> None:
    accuracies = {"real": [0.5, 0.6, 0.7], "real+classic": [0.6, 0.7, 0.8]}
    accuracies |= {f"mixed+classic ({name})": [0.6 + rank / 100, 0.7, 0.8] for rank, name in enumerate(SETS)}
    study = study_of(["real", "real+classic", "mixed+classic"], sets=SETS)
    results = results_of(study, accuracies)
    summary = summarise(study, results)
    [regime] = summary.regimes
    assert [one.gain.name for one in regime.sets] == [f"mixed+classic ({name}) − real+classic" for name in SETS]
    assert [entry.name for entry in regime.comparisons] == [
        "real − real+classic",
        "mixed+classic (ddpm) − mixed+classic (acgan)",
        "mixed+classic (edm) − mixed+classic (acgan)",
        "mixed+classic (edm) − mixed+classic (ddpm)",
    ]
    assert regime.comparisons[2].per_seed == pytest.approx([2.0, 0.0, 0.0])
    assert [one.label_fidelity for one in regime.sets] == pytest.approx([50.0, 25.0, 50 / 3])
    assert [one.quality.frechet for one in regime.sets if one.quality] == pytest.approx([2.0, 3.0, 4.0])
    reordered = Results(dict(reversed(results.done.items())), {})
    assert summarise(study, reordered).model_dump_json() == summary.model_dump_json()


def test_the_more_sets_are_looked_at_the_more_it_takes_to_call_one_helpful() -> None:
    names = [f"set {number}" for number in range(1, 9)]
    accuracies = {"real": [0.5] * 3, "mixed (set 1)": [0.52, 0.54, 0.53]}
    accuracies |= {f"mixed ({name})": [0.51, 0.49, 0.5] for name in names[1:]}
    alone = summary_of({"real": [0.5] * 3, "mixed": accuracies["mixed (set 1)"]}).regimes[0].sets[0]
    [among, *_] = summary_of(accuracies, names).regimes[0].sets
    assert among.gain.p == pytest.approx(alone.gain.p) == pytest.approx(alone.gain.adjusted_p)
    assert among.gain.adjusted_p == pytest.approx(8 * alone.gain.p)
    assert (alone.verdict, among.verdict) == ("helps", "inconclusive")


def test_sentence_has_a_short_clause_for_each_set() -> None:
    sets = ("acgan", "ddpm")
    accuracies = {"real": [0.5] * 5, "real+classic": [0.6] * 5}
    accuracies |= {"mixed+classic (acgan)": [0.6, 0.61, 0.59, 0.6, 0.6]}
    accuracies |= {"mixed+classic (ddpm)": [0.62, 0.64, 0.63, 0.63, 0.63]}
    assert verdict_sentence(summary_of(accuracies, sets)) == (
        "acgan is inconclusive (+0.00, -0.88 to +0.88); ddpm helps this classifier (+3.00, +2.12 to +3.88). "
        "Points of test accuracy with 95 % intervals, 5 paired seeds."
    )
    single = {name: values[:1] for name, values in accuracies.items()}
    assert verdict_sentence(summary_of(single, sets)) == (
        "acgan has no verdict (+0.00); ddpm has no verdict (+2.00). "
        "Points of test accuracy, 1 paired seeds, at least 3 are needed."
    )


def test_summary_of_several_sets_survives_its_file(finished: BenchConfig, tmp_path: Path) -> None:
    summary = read_summary(finished.out)
    summary.write(tmp_path)
    assert read_summary(tmp_path) == summary
    assert (tmp_path / "report.json").read_bytes() == (finished.out / "report.json").read_bytes()


@pytest.mark.parametrize("version", [1, 2, 4, None])
def test_summary_of_another_version_is_told_of(version: int | None, finished: BenchConfig, tmp_path: Path) -> None:
    value = json.loads((finished.out / "report.json").read_text())
    (tmp_path / "report.json").write_text(json.dumps({**value, "format": version}))
    with pytest.raises(InputError, match=f"has format {version}, this version reads 3; run the bench again"):
        read_summary(tmp_path)


def test_a_set_without_quality_in_any_cell_has_none() -> None:
    summary = summary_of({"real": [0.5], "real+classic": [0.6], "mixed+classic": [0.6]}, quality={})
    assert summary.regimes[0].sets[0].quality is None
    assert summary.regimes[0].sets[0].label_fidelity == pytest.approx(50.0)


# --- quality ---


@pytest.fixture(scope="module")
def judge() -> TrainedClassifier:
    """An untrained network: its features are good enough to tell digits from noise."""
    torch.manual_seed(0)
    return TrainedClassifier(build_network("resnet20", channels=1, classes=10, seed=0).eval(), 1, 1, 0.5, [])


def test_unseen_digits_are_nearer_to_the_validation_images_than_noise(judge: TrainedClassifier) -> None:
    everything = make_splits(load_source("digits"))
    noise = LabelledImages.of(random_pixels(300, 1, 8, 8), torch.arange(300) % 10, everything.train.class_names, "x")
    digits = everything.train.take(torch.arange(300))
    found = measure_quality(judge, everything.validation, {"digits": digits, "noise": noise})
    assert list(found) == ["digits", "noise"]
    assert found["digits"].frechet < found["noise"].frechet / 5
    assert found["digits"].coverage > 0.8 > found["noise"].coverage + 0.5
    assert found["digits"].precision > found["noise"].precision + 0.5
    assert found["digits"].recall > found["noise"].recall


def test_of_large_sets_the_first_images_of_each_class_are_compared(
    judge: TrainedClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = make_images_of(per_class=20, channels=1)
    in_order = images.take(torch.cat(list(images.indices_by_class())))
    first = images.take(torch.arange(12))
    expected = measure_quality(judge, first, {"x": first})["x"]
    monkeypatch.setattr(quality_module, "MOST_JUDGED", 12)
    measured = measure_quality(judge, in_order, {"x": in_order})["x"]
    assert measured.frechet == pytest.approx(expected.frechet, abs=1e-6)
    assert (measured.recall, measured.coverage) == (expected.recall, expected.coverage)


def test_nothing_is_measured_of_too_few_images(judge: TrainedClassifier) -> None:
    enough, few = (make_images_of(per_class=count, channels=1, class_names=("cat",)) for count in (MIN_REFERENCE, 5))
    assert list(measure_quality(judge, enough, {"few": few, "enough": enough})) == ["enough"]
    assert measure_quality(judge, few, {"enough": enough}) == {}
