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
from synthaug.metrics.agreement import Agreement
from synthaug.workflows.bench import BenchConfig, bench, plan_bench, read_summary
from synthaug.workflows.bench import quality as quality_module
from synthaug.workflows.bench import run as run_module
from synthaug.workflows.bench.cells import run_cell
from synthaug.workflows.bench.quality import measure_quality
from synthaug.workflows.bench.sets import set_names
from synthaug.workflows.cost import SamplingCost
from synthaug.workflows.judge import MIN_REFERENCE
from tests.conftest import make_images_of, random_pixels
from tests.workflows.benches import (
    figures,
    held_back,
    listing,
    make_cells,
    noise_set,
    planted,
    rows,
    settings,
    summary_of,
    write_images_as_set,
)


@pytest.fixture(scope="module")
def splits() -> Splits:
    return make_splits(load_source("digits"), per_class_real=5)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, splits: Splits) -> list[Path]:
    """Two sets of noise from the same generator with other seeds, in folders called one and two."""
    root = tmp_path_factory.mktemp("sets")
    return [noise_set(root / name, splits.record, seed=seed) for seed, name in enumerate(("one", "two"))]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, pair: list[Path]) -> BenchConfig:
    """A bench of both with two seeds that has been run; shared, so copy its folder before changing it."""
    config = settings(pair, tmp_path_factory.mktemp("bench") / "out", seeds=2)
    (pair[0] / "cost.jsonl").write_text(
        '{"images": 10, "seconds": 2.0, "device": "cpu", "hardware": "abacus"}\n{"images": 20, "se\n'
        '{"images": 20, "seconds": 4.0, "device": "cpu", "hardware": "abacus"}\n'
    )
    bench(config)
    return config


def copied(config: BenchConfig, folder: Path) -> BenchConfig:
    return config.model_copy(update={"out": shutil.copytree(config.out, folder)})


# --- planted truths ---


def test_of_two_sets_the_one_with_wrong_labels_is_not_called_helpful(
    splits: Splits, tmp_path: Path, perceptron: str
) -> None:
    unseen = held_back(splits)
    right = write_images_as_set(tmp_path / "right", unseen, splits.record)
    wrong = write_images_as_set(tmp_path / "wrong", [*unseen[1:], unseen[0]], splits.record, seed=1)
    summary = bench(planted([right, wrong], tmp_path / "out", perceptron, synthetic_fraction=0.75))
    helpful, harmful = summary.sets
    assert (helpful.name, harmful.name) == ("right", "wrong")
    assert helpful.gain.difference.mean > 4
    assert helpful.verdict != "hurts"
    assert helpful.label_fidelity > 50
    assert harmful.gain.difference.mean < -10
    assert harmful.verdict == "hurts"
    assert harmful.label_fidelity < 20
    between = summary.other_comparisons[-1]
    assert between.name == "mixed+classic (right) − mixed+classic (wrong)"
    assert between.verdict == "helps"
    assert between.difference.mean == pytest.approx(helpful.gain.difference.mean - harmful.gain.difference.mean)


# --- arms, names, rows ---


def test_every_set_has_an_arm_of_its_own_with_the_same_seeds_and_steps(finished: BenchConfig) -> None:
    cells = rows(finished.out)
    arms = ["real", "real+classic", "mixed+classic (one)", "mixed+classic (two)"]
    assert [(cell["arm"], cell["seed"]) for cell in cells] == [(arm, seed) for seed in (0, 1) for arm in arms]
    assert {cell["steps"] for cell in cells} == {2}
    summary = read_summary(finished.out)
    assert [arm.name for arm in summary.arms] == arms
    assert summary.arms[2].meaning != summary.arms[3].meaning
    assert summary.counts["synthetic"] == 60


def test_every_set_is_judged_by_the_arms_that_saw_none_of_them(finished: BenchConfig) -> None:
    cells = {(cell["arm"], cell["seed"]): cell for cell in rows(finished.out)}
    for (arm, _), cell in cells.items():
        assert set(cell["label_fidelity"]) == (set() if arm.startswith("mixed") else {"one", "two"})
        assert set(cell["quality"]) == ({"one", "two"} if arm == "real+classic" else set())
    for one in read_summary(finished.out).sets:
        judges = [cells["real+classic", seed] for seed in (0, 1)]
        shares = [judge["label_fidelity"][one.name]["overall"] for judge in judges]
        assert one.label_fidelity == pytest.approx(100 * sum(shares) / 2)
        assert one.quality is not None
        for name in ("frechet", "precision", "recall", "density", "coverage"):
            values = [judge["quality"][one.name][name] for judge in judges]
            assert getattr(one.quality, name) == pytest.approx(sum(values) / 2)


def test_costs_stand_beside_the_sets_that_have_a_record(finished: BenchConfig) -> None:
    recorded, unrecorded = read_summary(finished.out).sets
    assert recorded.cost == SamplingCost(images=30, seconds=6.0, hardware=("abacus (cpu)",))
    assert recorded.cost.images_per_second == pytest.approx(5.0)
    assert unrecorded.cost is None
    assert (recorded.training_seconds, recorded.images_seen, recorded.images) == (1.0, 1, 30)


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


# --- what is refused ---


def test_the_same_set_twice_is_refused(pair: list[Path], tmp_path: Path) -> None:
    copy = shutil.copytree(pair[0], tmp_path / "copy")
    for again in (pair[0], copy):
        with pytest.raises(InputError, match=f"--synthetic {pair[0]} and --synthetic {again} hold the same set"):
            bench(settings([pair[0], pair[1], again], tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_every_set_is_checked_for_leaks_on_its_own(pair: list[Path], tmp_path: Path) -> None:
    leaking = noise_set(tmp_path / "leaking", make_splits(load_source("digits"), per_class_real=5, seed=1).record)
    for sets in ([pair[0], leaking], [leaking, pair[0]]):
        with pytest.raises(InputError, match="leaking must not be used with this split"):
            bench(settings(sets, tmp_path / "out"))


def test_no_set_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--synthetic: .* at least 1 item"):
        settings([], tmp_path / "out")


def test_folder_of_a_bench_with_other_sets_is_refused(
    finished: BenchConfig, pair: list[Path], splits: Splits, tmp_path: Path
) -> None:
    other = noise_set(tmp_path / "two", splits.record, seed=7)
    first, second = map(str, pair)
    for changed, named in {
        (first, str(other)): r"synthetic.two.seed is 1 there and 7 now",
        (first,): r"sets is \['one', 'two'\] there and \['test'\] now",
        (second, first): r"sets is \['one', 'two'\] there and \['two', 'one'\] now",
        (first, second, str(noise_set(tmp_path / "three", splits.record, seed=3))): "sets is .* 'three'",
    }.items():
        with pytest.raises(InputError, match=f"started with other settings: {named}"):
            plan_bench(finished.model_copy(update={"synthetic": changed}))


# --- interruption ---


def test_a_lost_row_is_the_only_cell_that_is_run_again(
    finished: BenchConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, calls = copied(finished, tmp_path / "copy"), []
    lines = (config.out / "results.jsonl").read_text().splitlines(keepends=True)
    [lost] = [line for line in lines if '"mixed+classic (two)"' in line and '"seed": 1' in line]
    (config.out / "results.jsonl").write_text("".join(line for line in lines if line != lost))

    def counting(inputs: Any, arm: Any, seed: int, on_step: Any) -> Any:
        calls.append((arm.name, seed))
        return run_cell(inputs, arm, seed, on_step)

    monkeypatch.setattr(run_module, "run_cell", counting)
    assert plan_bench(config).missing_cells == 1
    assert figures(bench(config)) == figures(read_summary(finished.out))
    assert calls == [("mixed+classic (two)", 1)]


# --- one set ---


def test_one_set_is_the_bench_it_always_was(pair: list[Path], tmp_path: Path, perceptron: str) -> None:
    summary = bench(settings(pair[0], tmp_path / "out", network=perceptron))
    assert [arm.name for arm in summary.arms] == ["real", "real+classic", "mixed+classic"]
    assert len(summary.comparisons) == 3
    assert "synthetic.png" in listing(tmp_path / "out")
    assert "synthetic-1.png" not in listing(tmp_path / "out")
    [only] = summary.sets
    assert only.name == "test"
    assert (summary.gain, summary.verdict) == (only.gain, only.verdict)
    assert summary.label_fidelity == only.label_fidelity
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


def test_several_sets_are_compared_with_the_better_real_arm_and_with_each_other() -> None:
    sets = ("acgan", "ddpm", "edm")
    accuracies = {"real": [0.5, 0.6, 0.7], "real+classic": [0.6, 0.7, 0.8]}
    accuracies |= {f"mixed+classic ({name})": [0.6 + rank / 100, 0.7, 0.8] for rank, name in enumerate(sets)}
    cells = make_cells(accuracies, sets)
    summary = summary_of(cells, sets)
    assert [one.gain.name for one in summary.sets] == [f"mixed+classic ({name}) − real+classic" for name in sets]
    assert [entry.name for entry in summary.other_comparisons] == [
        *(f"mixed+classic ({name}) − real" for name in sets),
        "real+classic − real",
        "mixed+classic (acgan) − mixed+classic (ddpm)",
        "mixed+classic (acgan) − mixed+classic (edm)",
        "mixed+classic (ddpm) − mixed+classic (edm)",
    ]
    assert summary.other_comparisons[-2].per_seed == pytest.approx([-2.0, 0.0, 0.0])
    assert [one.label_fidelity for one in summary.sets] == pytest.approx([50.0, 25.0, 50 / 3])
    assert [one.quality.frechet for one in summary.sets if one.quality] == pytest.approx([2.0, 3.0, 4.0])
    assert summary_of(cells[::-1], sets) == summary


def test_sentence_has_a_short_clause_for_each_set() -> None:
    sets = ("acgan", "ddpm")
    accuracies = {"real": [0.5] * 3, "real+classic": [0.6] * 3}
    accuracies |= {"mixed+classic (acgan)": [0.6, 0.61, 0.59], "mixed+classic (ddpm)": [0.62, 0.64, 0.63]}
    assert summary_of(make_cells(accuracies, sets), sets).sentence() == (
        "acgan is inconclusive (+0.00, -2.48 to +2.48); ddpm helps this classifier (+3.00, +0.52 to +5.48). "
        "Points of test accuracy with 95 % intervals, 3 paired seeds."
    )
    single = {name: values[:1] for name, values in accuracies.items()}
    assert summary_of(make_cells(single, sets), sets).sentence() == (
        "acgan has no verdict (+0.00); ddpm has no verdict (+2.00). "
        "Points of test accuracy, 1 paired seeds, at least 3 are needed."
    )


def test_summary_of_several_sets_survives_its_file(finished: BenchConfig, tmp_path: Path) -> None:
    summary = read_summary(finished.out)
    summary.write(tmp_path)
    assert read_summary(tmp_path) == summary


@pytest.mark.parametrize("version", [1, 3, None])
def test_summary_of_another_version_is_told_of(version: int | None, finished: BenchConfig, tmp_path: Path) -> None:
    value = json.loads((finished.out / "report.json").read_text())
    (tmp_path / "report.json").write_text(json.dumps({**value, "format": version}))
    with pytest.raises(InputError, match=f"has format {version}, this version reads 2; run the bench again"):
        read_summary(tmp_path)


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
    monkeypatch.setattr(quality_module, "_MOST", 12)
    measured = measure_quality(judge, in_order, {"x": in_order})["x"]
    assert measured.frechet == pytest.approx(expected.frechet, abs=1e-6)
    assert (measured.recall, measured.coverage) == (expected.recall, expected.coverage)


def test_nothing_is_measured_of_too_few_images(judge: TrainedClassifier) -> None:
    enough, few = (make_images_of(per_class=count, channels=1, class_names=("cat",)) for count in (MIN_REFERENCE, 5))
    assert list(measure_quality(judge, enough, {"few": few, "enough": enough})) == ["enough"]
    assert measure_quality(judge, few, {"enough": enough}) == {}


def test_a_set_without_quality_in_any_cell_has_none() -> None:
    cells = make_cells({"real": [0.5], "real+classic": [0.6], "mixed+classic": [0.6]}, quality={})
    assert summary_of(cells).sets[0].quality is None
    assert cells[0].label_fidelity == {"test": Agreement(0.5, (0.25, 0.75), 40)}
