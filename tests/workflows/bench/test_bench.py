"""One bench of one synthetic set: what it leaves behind, what is equal between its arms, what it refuses."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from statistics import stdev
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from torch import Tensor, nn

from synthaug.classifiers.task import TrainedClassifier
from synthaug.classifiers.validation import CurvePoint
from synthaug.core.errors import DamageError, InputError
from synthaug.data.datamodule import MixedDataModule
from synthaug.data.sources import load_source
from synthaug.data.splits import Splits, make_splits
from synthaug.workflows.bench import BenchConfig, BenchSummary, bench, plan_bench, read_summary
from synthaug.workflows.bench import cells as cells_module
from synthaug.workflows.bench import workers as workers_module
from synthaug.workflows.bench.cells import run_cell
from synthaug.workflows.bench.power import foreseen, in_words, presumed
from synthaug.workflows.bench.results import CellResult, Results
from synthaug.workflows.bench.sentence import verdict_sentence
from synthaug.workflows.bench.summarise import summarise
from tests.conftest import random_pixels
from tests.workflows.benches import (
    DIGITS,
    THREE_ARMS,
    fail,
    listing,
    noise_set,
    quick,
    results_of,
    rows,
    study_of,
    summary_of,
    write_images_as_set,
)

pytestmark = pytest.mark.usefixtures("quick_network")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, synthetic: Path) -> BenchConfig:
    """The settings of a bench with two seeds that has been run; shared, so copy its folder before changing it."""
    config = quick(synthetic, tmp_path_factory.mktemp("bench") / "out", seeds=2)
    bench(config)
    return config


def figures(summary: BenchSummary) -> dict[str, Any]:
    """All that a bench found."""
    return summary.model_dump(exclude={"environment"})


# --- what a bench leaves behind ---


def test_every_arm_takes_the_same_steps_with_every_seed(finished: BenchConfig) -> None:
    cells = rows(finished.out)
    assert [(cell["arm"], cell["seed"]) for cell in cells] == [(arm, seed) for seed in (0, 1) for arm in THREE_ARMS]
    assert {cell["steps"] for cell in cells} == {2}
    assert len({cell["key"] for cell in cells}) == len(cells)


def test_summary_follows_from_the_rows(finished: BenchConfig, splits: Splits) -> None:
    summary = read_summary(finished.out)
    [regime] = summary.regimes
    accuracy = {(cell["arm"], cell["seed"]): 100 * cell["tested"]["accuracy"] for cell in rows(finished.out)}
    assert [arm.name for arm in regime.arms] == list(THREE_ARMS)
    for arm in regime.arms:
        assert arm.per_seed == pytest.approx([accuracy[arm.name, 0], accuracy[arm.name, 1]])
        assert arm.test_accuracy.mean == pytest.approx(sum(arm.per_seed) / 2)
    [gain] = regime.gains
    assert (gain.arm, gain.baseline) == ("mixed+classic", regime.baseline)
    gains = [accuracy["mixed+classic", seed] - accuracy[regime.baseline, seed] for seed in (0, 1)]
    assert gain.per_seed == pytest.approx(gains)
    assert regime.counts == {
        "train": 50,
        "validation": len(splits.validation),
        "test": len(splits.test),
        "synthetic": 30,
    }
    assert (summary.class_names, summary.seeds, regime.steps) == (list(DIGITS), [0, 1], 2)
    assert (summary.cells, summary.done, summary.is_complete) == (6, 6, True)
    assert (regime.name, regime.fraction, regime.images_per_class) == ("5 a class", None, 5.0)
    assert regime.real_epochs == pytest.approx(2 * 4 / 50)


def test_two_seeds_give_no_verdict(finished: BenchConfig) -> None:
    summary = read_summary(finished.out)
    assert summary.regimes[0].sets[0].verdict == "no verdict"
    assert verdict_sentence(summary).startswith("No verdict: at least 3 seeds are needed")


def test_only_the_classifiers_of_real_images_with_classic_augmentation_judge_a_set(finished: BenchConfig) -> None:
    cells = rows(finished.out)
    [one] = read_summary(finished.out).regimes[0].sets
    for cell in cells:
        judged = [one.fingerprint] if cell["arm"] == "real+classic" else []
        assert (list(cell["label_fidelity"]), list(cell["quality"])) == (judged, judged)
    judges = [cell["label_fidelity"][one.fingerprint]["overall"] for cell in cells if cell["arm"] == "real+classic"]
    assert one.label_fidelity == pytest.approx(100 * sum(judges) / 2)


def test_pictures_show_a_row_of_eight_for_each_class(finished: BenchConfig) -> None:
    for name in ("real.png", "synthetic.png"):
        with Image.open(finished.out / name) as picture:
            assert picture.size == (8 * 33 + 1, 10 * 33 + 1)


def test_settings_are_kept_without_what_is_said_of_one_run_only(
    finished: BenchConfig, synthetic: Path, tmp_path: Path
) -> None:
    assert BenchConfig.resolve({}, finished.out / "config.yaml") == finished.model_copy(update={"jobs": None})
    config = quick(synthetic, tmp_path / "out", cells="1/2", max_time="1h")
    bench(config)
    kept = BenchConfig.resolve({}, config.out / "config.yaml")
    assert (kept.cells, kept.max_time, kept.jobs) == (None, None, None)
    assert kept.seeds == config.seeds


def test_finished_bench_is_not_run_again(finished: BenchConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    before = listing(finished.out)
    monkeypatch.setattr(workers_module, "run_cell", lambda *_, **__: pytest.fail("a finished cell was run again"))
    assert plan_bench(finished).missing_cells == 0
    bench(finished)
    assert listing(finished.out) == before


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"steps": 3}, "steps is 2 there and 3 now"),
        ({"batch_size": 6}, "batch_size is 4 there and 6 now"),
        ({"learning_rate": 0.5}, "learning_rate is .* there and 0.5 now"),
        ({"synthetic_fraction": 0.75}, "synthetic_fraction is 0.5 there and 0.75 now"),
        ({"seed": 1}, "first_seed is 0 there and 1 now"),
        ({"per_class_real": 6}, "per_class_real is 5 there and 6 now"),
        ({"flip": True}, "flip is False there and True now"),
        ({"robustness": True}, "robustness is False there and True now"),
        ({"threads": 2}, "threads is 1 there and 2 now"),
    ],
)
def test_folder_of_another_bench_is_refused_by_naming_the_setting(
    finished: BenchConfig, change: dict[str, Any], named: str
) -> None:
    before = listing(finished.out)
    with pytest.raises(InputError, match=f"started with other settings: {named}"):
        bench(finished.model_copy(update=change))
    assert listing(finished.out) == before


def test_folder_of_a_bench_on_another_split_is_refused(finished: BenchConfig, tmp_path: Path) -> None:
    record = make_splits(load_source("digits"), per_class_real=5, seed=1).record
    other = noise_set(tmp_path / "other", record)
    with pytest.raises(InputError, match="started with other settings: split_seed is 0 there and 1 now"):
        bench(finished.model_copy(update={"split_seed": 1, "synthetic": (str(other),)}))


@pytest.mark.parametrize(
    "row", ['{"arm": "real"}', '{"key": 3}', '{"key": "K"}', '{"key": "K", "failed": "x"}', '{"key": "K", "steps": 2}']
)
def test_rows_of_something_else_are_refused(finished: BenchConfig, tmp_path: Path, row: str) -> None:
    copy = shutil.copytree(finished.out, tmp_path / "copy")
    (copy / "results.jsonl").write_text(row.replace("K", rows(finished.out)[0]["key"]) + "\n")
    with pytest.raises(InputError, match=r"results\.jsonl is not readable"):
        plan_bench(finished.model_copy(update={"out": copy}))


@pytest.mark.parametrize("damage", ["{broken", "[1]", "{}"])
def test_a_damaged_record_of_a_bench_is_told_of(damage: str, finished: BenchConfig, tmp_path: Path) -> None:
    copy = shutil.copytree(finished.out, tmp_path / "copy")
    (copy / "study.json").write_text(damage)
    with pytest.raises(DamageError, match=r"study\.json is damaged"):
        plan_bench(finished.model_copy(update={"out": copy}))


# --- interruption ---


def test_interrupted_bench_does_the_missing_cells_only_and_comes_to_the_same(
    synthetic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = bench(quick(synthetic, tmp_path / "whole", seeds=2))
    config, calls = quick(synthetic, tmp_path / "halting", seeds=2), []

    def counting(*arguments: Any, **others: Any) -> CellResult:
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return run_cell(*arguments, **others)

    monkeypatch.setattr(workers_module, "run_cell", counting)
    with pytest.raises(KeyboardInterrupt):
        bench(config)
    assert len(rows(config.out)) == 2
    with pytest.raises(InputError, match="holds no finished bench"):
        read_summary(config.out)
    with (config.out / "results.jsonl").open("a") as file:
        file.write('{"arm": "real", "se')  # what a crash leaves of a row
    assert plan_bench(config).missing_cells == 4
    continued = bench(config)
    assert len(calls) == 3 + 4
    assert figures(continued) == figures(whole) == figures(read_summary(config.out))


# --- what is equal between arms ---


@pytest.fixture(scope="module")
def trainings(synthetic: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int], Any]:
    """(initial weights, datamodule) of every cell of a bench whose classifiers are not trained, by arm and seed."""
    seen: list[tuple[dict[str, Tensor], MixedDataModule]] = []

    def pretend(network: nn.Module, datamodule: MixedDataModule, recipe: Any, **_: Any) -> TrainedClassifier:
        seen.append(({name: value.clone() for name, value in network.state_dict().items()}, datamodule))
        return TrainedClassifier(network.eval(), recipe.steps, 1, 0.5, [CurvePoint(1, 2.0, 0.5)])

    out = tmp_path_factory.mktemp("trainings") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cells_module, "train_classifier", pretend)
        bench(quick(synthetic, out, seeds=2, batch_size=8, synthetic_fraction=0.25))
    return {(row["arm"], row["seed"]): entry for row, entry in zip(rows(out), seen, strict=True)}


def test_arms_of_a_pair_start_with_the_same_weights_and_other_seeds_with_others(
    trainings: dict[tuple[str, int], Any],
) -> None:
    for seed in (0, 1):
        expected, _ = trainings["real", seed]
        for arm in THREE_ARMS:
            weights, _ = trainings[arm, seed]
            assert all(torch.equal(value, expected[name]) for name, value in weights.items())
    first, second = (trainings["real", seed][0]["head.weight"] for seed in (0, 1))
    assert not torch.equal(first, second)


def test_arms_of_a_pair_see_real_images_in_the_same_order_and_other_seeds_in_another(
    trainings: dict[tuple[str, int], Any],
) -> None:
    def real_order(arm: str, seed: int, batches: int) -> list[int]:
        loader = trainings[arm, seed][1].train_dataloader()
        taken = itertools.islice(itertools.chain.from_iterable(itertools.repeat(loader)), batches)
        return torch.cat([batch.indices[~batch.is_synthetic] for batch in taken]).tolist()

    assert real_order("real", 0, 6) == real_order("real+classic", 0, 6)
    assert real_order("mixed+classic", 0, 8) == real_order("real", 0, 6)  # 6 of 8 images are real
    assert real_order("real", 0, 6) != real_order("real", 1, 6)


def test_batches_differ_in_nothing_but_what_the_arm_says(trainings: dict[tuple[str, int], Any]) -> None:
    batches = {arm: next(iter(trainings[arm, 0][1].train_dataloader())) for arm in THREE_ARMS}
    assert {name: int(batch.is_synthetic.sum()) for name, batch in batches.items()} == {
        "real": 0,
        "real+classic": 0,
        "mixed+classic": 2,
    }
    assert {len(batch.labels) for batch in batches.values()} == {8}
    for name, is_augmented in (("real", False), ("real+classic", True), ("mixed+classic", True)):
        batch, datamodule = batches[name], trainings[name, 0][1]
        real = datamodule.splits.train.images[batch.indices[~batch.is_synthetic]]
        plain = datamodule.preparation(real)
        assert torch.equal(batch.images[~batch.is_synthetic], plain) is not is_augmented


# --- what is refused before anything is trained or written ---


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"seeds": 0}, "--seeds must be at least 1, found 0"),
        ({"steps": 0}, "--steps must be at least 1, found 0"),
        ({"batch_size": 1}, "--batch-size must be at least 2 .*, found 1"),
        ({"learning_rate": 0.0}, "--learning-rate must be a positive number, found 0.0"),
        ({"learning_rate": float("nan")}, "--learning-rate must be a positive number, found nan"),
        ({"synthetic_fraction": 0.0}, r"--synthetic-fraction must lie in \(0, 1\], found 0.0"),
        ({"synthetic_fraction": 1.01}, r"--synthetic-fraction must lie in \(0, 1\], found 1.01"),
        ({"synthetic_fraction": float("nan")}, r"--synthetic-fraction must lie in \(0, 1\], found nan"),
        ({"synthetic_fractions": (0.25, 0.0)}, r"--synthetic-fractions must lie in \(0, 1\], found 0.0"),
        ({"synthetic_fraction": 0.001}, "a synthetic fraction of 0.001 is less than one of the .* images of an epoch"),
        ({"arms": ("real",)}, "--arms needs an arm to judge test by"),
        ({"equal_epochs": True, "synthetic_fraction": 1.0}, "--equal-epochs needs real images in mixed batches"),
        ({"cells": "0/2"}, "--cells takes a share K/N with K from 1 to N, such as 3/16; found 0/2"),
        ({"cells": "3/2"}, "--cells takes a share .* found 3/2"),
        ({"cells": "half"}, "--cells takes a share .* found half"),
        ({"recipe": "slow"}, "unknown recipe 'slow'"),
        ({"network": "vgg"}, "unknown network 'vgg'"),
        ({"per_class_real": 1000}, "--per-class-real 1000 is more than"),
        ({"synthetic": ()}, "nothing to judge: give --synthetic DIR, or --generator-per-fraction"),
    ],
)
@pytest.mark.parametrize("do", [bench, plan_bench])
def test_impossible_settings_are_refused(
    do: Callable[[BenchConfig], Any], change: dict[str, Any], complaint: str, synthetic: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=complaint):
        do(quick(**{"synthetic": synthetic, "out": tmp_path / "out", **change}))
    assert not (tmp_path / "out").exists()


def test_set_of_other_classes_is_refused_with_both_lists(splits: Splits, tmp_path: Path) -> None:
    pets = noise_set(tmp_path / "pets", splits.record, class_names=("cat", "dog"))
    with pytest.raises(InputError, match=r"\['cat', 'dog'\].*\['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'\]"):
        bench(quick(pets, tmp_path / "out"))


@pytest.mark.parametrize("shape", [{"channels": 3}, {"size": 16}])
def test_set_of_other_shapes_is_refused(shape: dict[str, int], splits: Splits, tmp_path: Path) -> None:
    other = noise_set(tmp_path / "other", splits.record, **shape)
    with pytest.raises(InputError, match=r"must have the same shape.*\(1, 8, 8\)"):
        bench(quick(other, tmp_path / "out"))


@pytest.mark.parametrize(
    ("split_of_the_generator", "reason"),
    [
        ({"per_class_real": 5, "seed": 1}, "a split with seed 1 .*has seen validation or test images"),
        ({"per_class_real": 6}, "saw 60 real training images, more than the 50"),
        ({}, "more than the 50"),
    ],
)
def test_generator_that_saw_too_much_is_refused(
    split_of_the_generator: dict[str, int], reason: str, tmp_path: Path
) -> None:
    record = make_splits(load_source("digits"), **split_of_the_generator).record
    leaking = noise_set(tmp_path / "leaking", record)
    with pytest.raises(InputError, match=f"must not be used with this split: .*{reason}"):
        bench(quick(leaking, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_set_of_test_images_is_refused_whatever_its_record_says(splits: Splits, tmp_path: Path) -> None:
    pixels = [splits.test.images[members[:2]] for members in splits.test.indices_by_class()]
    leaking = write_images_as_set(tmp_path / "leaking", pixels, splits.record)
    with pytest.raises(InputError, match="images are test images, pixel for pixel"):
        bench(quick(leaking, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_generator_of_another_source_is_refused(tmp_path: Path) -> None:
    elsewhere = make_splits(load_source("digits", image_size=16), per_class_real=5).record
    with pytest.raises(InputError, match="trained on other images"):
        bench(quick(noise_set(tmp_path / "foreign", elsewhere), tmp_path / "out"))


def test_generator_that_saw_fewer_of_the_same_images_is_welcome(tmp_path: Path) -> None:
    record = make_splits(load_source("digits"), per_class_real=4).record
    assert plan_bench(quick(noise_set(tmp_path / "modest", record), tmp_path / "out")).missing_cells == 3


def test_damaged_set_is_refused_by_naming_the_shard(synthetic: Path, tmp_path: Path) -> None:
    damaged = shutil.copytree(synthetic, tmp_path / "damaged")
    shard = damaged / "train-000001.tar"
    data = bytearray(shard.read_bytes())
    data[600] ^= 1
    shard.write_bytes(data)
    with pytest.raises(DamageError, match=r"train-000001\.tar has another sha256"):
        bench(quick(damaged, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_output_that_holds_something_else_is_left_alone(synthetic: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("precious")
    with pytest.raises(InputError, match="is not empty and holds no bench"):
        bench(quick(synthetic, tmp_path / "out"))
    assert listing(tmp_path / "out") == {"thesis.tex": b"precious"}
    with pytest.raises(InputError, match="is a file; a folder is needed"):
        bench(quick(synthetic, tmp_path / "out" / "thesis.tex"))


def test_set_without_some_class_is_benched_all_the_same(splits: Splits, tmp_path: Path) -> None:
    noise = [random_pixels(3, 1, 8, 8, seed=label) for label in range(10)]
    partial = write_images_as_set(tmp_path / "partial", noise, splits.record, classes=(0, 1, 2, 3, 4))
    [one] = bench(quick(partial, tmp_path / "out")).regimes[0].sets
    assert [value is None for value in one.label_fidelity_per_class] == [False] * 5 + [True] * 5
    assert one.per_class == (3,) * 5 + (0,) * 5


# --- before it begins ---


def test_a_plan_says_what_would_be_done_and_what_could_be_found(synthetic: Path, tmp_path: Path) -> None:
    plan = plan_bench(quick(synthetic, tmp_path / "out", seeds=4))
    assert (plan.arms, plan.regimes, plan.cells, plan.missing_cells) == (THREE_ARMS, {"5 a class": 2}, 12, 12)
    assert plan.generators == ()
    power = plan.power["5 a class"]
    assert (power.seeds, power.is_measured) == (4, False)
    assert power.detectable is not None
    assert power.seeds_for_a_point > power.seeds_for_two_points >= 3
    more = plan_bench(quick(synthetic, tmp_path / "out", seeds=9)).power["5 a class"]
    assert more.detectable is not None
    assert more.detectable < power.detectable
    alone = plan_bench(quick(synthetic, tmp_path / "out", seeds=1)).power["5 a class"]
    assert alone.detectable is None
    assert not (tmp_path / "out").exists()


def test_power_is_that_of_the_differences_that_are_known(
    synthetic: Path, tmp_path: Path, finished: BenchConfig
) -> None:
    guessed = plan_bench(finished.model_copy(update={"seeds": 5})).power["5 a class"]
    assert not guessed.is_measured  # two seeds tell next to nothing
    config = quick(synthetic, tmp_path / "out", seeds=3, arms=("real", "mixed"))
    bench(config)
    power = plan_bench(config).power["5 a class"]
    accuracy = {(cell["arm"], cell["seed"]): 100 * cell["tested"]["accuracy"] for cell in rows(config.out)}
    differences = torch.tensor([accuracy["mixed", seed] - accuracy["real", seed] for seed in range(3)])
    assert power.is_measured
    assert power.deviation == pytest.approx(differences.std().item(), abs=1e-3)


def test_power_is_that_of_a_test_which_is_corrected_for_all_sets() -> None:
    alone, both = (
        foreseen(study_of(["real", "mixed"], seeds=5, sets=names).regimes[0], {}, 5) for names in (["a"], ["a", "b"])
    )
    assert (alone.sets, both.sets) == (1, 2)
    assert both == presumed(1000, 5, sets=2)
    assert alone.detectable is not None
    assert both.detectable is not None
    assert both.detectable > 1.1 * alone.detectable
    assert both.seeds_for_a_point > alone.seeds_for_a_point
    assert both.seeds_for_two_points > alone.seeds_for_two_points


@pytest.mark.parametrize("seeds", [1, 5])
def test_power_says_of_which_test_it_is_and_what_comes_on_top(seeds: int) -> None:
    for said in (presumed(1000, seeds, 1).meaning, in_words("5 %", presumed(1000, seeds, 1))):
        assert "the test over seeds" in said
        assert "luck with the test images, which more seeds do not remove, comes on top" in said
        assert "Holm" not in said
    for said in (presumed(1000, seeds, 3).meaning, in_words("5 %", presumed(1000, seeds, 3))):
        assert "the test over seeds with Holm's correction for 3 sets" in said


# --- the summary as a function of the cells ---


ACCURACIES = {"real": [0.5, 0.6, 0.7], "real+classic": [0.6, 0.7, 0.8], "mixed+classic": [0.62, 0.74, 0.83]}


def test_differences_are_paired_by_seed_whatever_the_order_of_the_cells() -> None:
    study = study_of(THREE_ARMS)
    results = results_of(study, ACCURACIES)
    summary = summarise(study, results)
    [regime] = summary.regimes
    [gain] = regime.gains
    assert gain.per_seed == pytest.approx([2.0, 4.0, 3.0])
    assert gain.difference.mean == pytest.approx(3.0)
    assert gain.difference.low == pytest.approx(3 - 4.303 / 3**0.5, abs=1e-3)
    assert [entry.name for entry in regime.comparisons] == ["real − real+classic"]
    assert regime.comparisons[0].difference.mean == pytest.approx(-10.0)
    reordered = Results(dict(reversed(results.done.items())), {})
    assert summarise(study, reordered).model_dump_json() == summary.model_dump_json()


def test_a_verdict_needs_the_interval_over_test_images_too() -> None:
    def with_gain_of(images: int) -> Any:
        values = {"real+classic": [0.6] * 3, "mixed+classic": [0.6 + images / 1000] * 3}
        return summary_of(values, is_nested=True).regimes[0].sets[0]  # the same images with every seed

    few, many = with_gain_of(3), with_gain_of(60)
    for one in (few, many):
        assert one.gain.difference.low == one.gain.difference.high > 0  # seeds leave no doubt
        assert one.gain.adjusted_p == 0
    assert few.gain.beyond.low < 0 < many.gain.beyond.low  # another three images might have said otherwise
    assert (few.verdict, many.verdict) == ("inconclusive", "helps")


def test_baseline_and_deciding_arm_are_those_that_validate_best() -> None:
    names = {"real": [0.5, 0.6, 0.7], "real+classic": [0.6, 0.7, 0.8], "mixed": [0.7] * 3, "mixed+classic": [0.6] * 3}
    study = study_of(list(names))
    results = results_of(study, names)
    [regime] = summarise(study, results).regimes
    assert regime.gains[0].name == "mixed − real+classic"
    assert {entry.name for entry in regime.comparisons} == {"real − real+classic", "mixed+classic − real+classic"}
    turned = {
        key: cell.model_copy(update={"validation_accuracy": 1 - cell.tested.accuracy})
        for key, cell in results.done.items()
    }
    [regime] = summarise(study, Results(turned, {})).regimes
    assert regime.gains[0].name == "mixed+classic − real"  # whatever they test as
    assert regime.gains[0].difference.mean == pytest.approx(0.0)


def test_the_best_is_chosen_over_seeds_that_all_candidates_have_done() -> None:
    unequal = {"real": [0.5, 0.6, 0.99], "real+classic": [0.6, 0.7], "mixed+classic": [0.62, 0.74, 0.83]}
    [regime] = summary_of(unequal).regimes
    assert regime.gains[0].name == "mixed+classic − real+classic"
    assert regime.gains[0].difference.count == 2
    assert regime.missing == 1


def test_summary_averages_curves_and_classes_over_seeds() -> None:
    real = summary_of(ACCURACIES).regimes[0].arm("real")
    assert real.curve == [(5, pytest.approx(30.0), 2.0), (10, pytest.approx(60.0), 1.0)]
    assert real.per_class == [pytest.approx(60.0), None]
    assert (real.corrupted_accuracy, real.per_corruption) == (None, {})


def test_corrupted_images_are_averaged_over_corruptions_and_seeds() -> None:
    study = study_of(THREE_ARMS)
    results = results_of(study, ACCURACIES)
    done = {
        key: cell.model_copy(
            update={"tested": cell.tested.model_copy(update={"corrupted": {"blur": 0.1 * cell.seed, "jpeg": 0.5}})}
        )
        for key, cell in results.done.items()
    }
    for arm in summarise(study, Results(done, {})).regimes[0].arms:
        assert arm.per_corruption == pytest.approx({"blur": 10.0, "jpeg": 50.0})
        assert arm.corrupted_accuracy is not None
        assert arm.corrupted_accuracy.mean == pytest.approx(30.0)


def test_nothing_is_said_of_what_cannot_be_compared_yet() -> None:
    study = study_of(THREE_ARMS)
    nothing = summarise(study, Results({}, {}))
    assert (nothing.regimes, nothing.done, nothing.cells, nothing.is_complete) == ([], 0, 9, False)
    without = summarise(study, results_of(study, {**ACCURACIES, "mixed+classic": []}))
    assert (without.regimes, without.done) == ([], 6)
    some = summarise(study, results_of(study, {name: values[:1] for name, values in ACCURACIES.items()}))
    assert [len(arm.seeds) for arm in some.regimes[0].arms] == [1, 1, 1]
    assert (some.done, some.regimes[0].missing) == (3, 6)


def test_a_failed_cell_is_named_with_its_reason() -> None:
    study = study_of(THREE_ARMS)
    results = fail(results_of(study, ACCURACIES), study, "mixed+classic", 1, "the loss is no longer a number")
    summary = summarise(study, results)
    [regime] = summary.regimes
    [failed] = summary.failed
    assert failed.regime == regime.name
    assert (failed.arm, failed.seed, failed.reason) == ("mixed+classic", 1, "the loss is no longer a number")
    assert (regime.missing, summary.done, summary.is_complete) == (1, 8, False)
    assert regime.gains[0].per_seed == pytest.approx([2.0, 3.0])
    assert regime.sets[0].verdict == "no verdict"


@pytest.mark.parametrize("sets", [("a",), ("a", "b"), ("a", "b", "c")])
def test_what_could_have_been_found_has_the_correction_of_the_verdicts_it_stands_among(sets: tuple[str, ...]) -> None:
    """The values of the t test with Holm's first step, by another way: a noncentral t distribution."""
    numbers = np.random.default_rng(0)
    study = study_of(["real", "mixed"], seeds=5, sets=sets)
    accuracies = {arm.name: numbers.normal(0.7, 0.02, 5).tolist() for arm in study.regimes[0].arms}
    [regime] = summarise(study, results_of(study, accuracies)).regimes
    assert len(regime.gains) == len(sets)
    for gain in regime.gains:
        assert gain.detectable is not None
        assert gain.seeds_for_a_point is not None
        for seeds, effect, is_enough in (
            (5, 1.001 * gain.detectable, True),
            (5, 0.999 * gain.detectable, False),
            (gain.seeds_for_a_point, 1.0, True),
            (gain.seeds_for_a_point - 1, 1.0, False),
        ):
            critical = stats.t.isf(0.025 / len(sets), seeds - 1)
            shift = effect / stdev(gain.per_seed) * seeds**0.5
            assert (stats.nct.sf(critical, seeds - 1, shift) >= 0.8) == is_enough


CONTROLS = {
    "real+classic": [0.6, 0.7, 0.8],
    "mixed+classic": [0.62, 0.74, 0.83],
    "real-repeated": [0.6, 0.7, 0.8],
    "synthetic-wrong-labels": [0.5, 0.6, 0.7],
}


def test_controls_are_what_is_known_beforehand() -> None:
    [regime] = summary_of(CONTROLS, is_nested=True).regimes
    assert {control.name: control.is_as_expected for control in regime.controls} == {
        "real-repeated": True,
        "synthetic-wrong-labels": True,
    }
    odd = {**CONTROLS, "real-repeated": [0.65, 0.76, 0.85], "synthetic-wrong-labels": [0.66, 0.76, 0.86]}
    [regime] = summary_of(odd, is_nested=True).regimes
    assert {control.name: control.is_as_expected for control in regime.controls} == {
        "real-repeated": False,
        "synthetic-wrong-labels": False,
    }
    for control in regime.controls:
        assert control.comparison.baseline == "real+classic"


AGAIN = {"name": "again", "repeats_real": True, "synthetic_fraction": 0.5}


def test_a_control_is_compared_with_real_images_that_are_augmented_alike() -> None:
    """Also where one is told the recipe's augmentation by name, and the other to have the recipe's."""
    named = {**AGAIN, "name": "again, by name", "transform": "basic"}
    study = study_of(["real", "real+classic", "mixed", AGAIN, named, {**AGAIN, "name": "as is", "transform": "none"}])
    study = study.model_copy(update={"settings": {"recipe": {"transform": "basic"}}})
    accuracies = {arm.name: [0.6, 0.7, 0.8] for arm in study.regimes[0].arms}
    [regime] = summarise(study, results_of(study, accuracies)).regimes
    assert {control.name: control.comparison.baseline for control in regime.controls} == {
        "again": "real+classic",
        "again, by name": "real+classic",
        "as is": "real",
    }


def test_a_control_without_real_images_that_are_augmented_alike_is_compared_with_no_other() -> None:
    study = study_of(["real", "real+strong", "mixed", AGAIN])
    accuracies = {arm.name: [0.6, 0.7, 0.8] for arm in study.regimes[0].arms}
    [regime] = summarise(study, results_of(study, accuracies)).regimes
    assert regime.controls == []


def test_summary_survives_its_file(tmp_path: Path) -> None:
    summary = summary_of(ACCURACIES)
    summary.write(tmp_path)
    assert read_summary(tmp_path) == summary
