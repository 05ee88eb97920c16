import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from synthaug.classifiers.task import TrainedClassifier
from synthaug.classifiers.validation import CurvePoint
from synthaug.core.errors import DamageError, InputError
from synthaug.data.datamodule import MixedDataModule
from synthaug.data.sources import load_source
from synthaug.data.splits import Splits, make_splits
from synthaug.workflows.bench import BenchConfig, bench, plan_bench, read_summary
from synthaug.workflows.bench import cells as cells_module
from synthaug.workflows.bench import run as run_module
from synthaug.workflows.bench.arms import arms_of
from synthaug.workflows.bench.cells import CellResult, run_cell
from tests.conftest import random_pixels
from tests.workflows.benches import (
    DIGITS,
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

ARMS = arms_of(["test"])


@pytest.fixture(scope="module")
def splits() -> Splits:
    return make_splits(load_source("digits"), per_class_real=5)


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory, splits: Splits) -> Path:
    return noise_set(tmp_path_factory.mktemp("bench") / "set", splits.record)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, synthetic: Path) -> BenchConfig:
    """The settings of a bench with two seeds that has been run; shared, so copy its folder before changing it."""
    config = settings(synthetic, tmp_path_factory.mktemp("bench") / "out", seeds=2)
    bench(config)
    return config


# --- what a bench leaves behind ---


def test_every_arm_takes_the_same_steps_with_every_seed(finished: BenchConfig) -> None:
    cells = rows(finished.out)
    assert {(cell["arm"], cell["seed"]) for cell in cells} == {(arm.name, seed) for arm in ARMS for seed in (0, 1)}
    assert {cell["steps"] for cell in cells} == {2}
    assert len(cells) == 6


def test_summary_follows_from_the_rows(finished: BenchConfig, splits: Splits) -> None:
    summary = read_summary(finished.out)
    accuracy = {(cell["arm"], cell["seed"]): 100 * cell["test"]["overall"] for cell in rows(finished.out)}
    for arm in summary.arms:
        assert arm.per_seed == pytest.approx([accuracy[arm.name, 0], accuracy[arm.name, 1]])
        assert arm.test_accuracy.mean == pytest.approx(sum(arm.per_seed) / 2)
    gains = [accuracy["mixed+classic", seed] - accuracy["real+classic", seed] for seed in (0, 1)]
    assert summary.gain.name == "mixed+classic − real+classic"
    assert summary.gain.per_seed == pytest.approx(gains)
    assert summary.counts == {"train": 50, "validation": len(splits.validation), "test": len(splits.test)} | {
        "synthetic": 30
    }
    assert (summary.class_names, summary.seeds, summary.steps) == (list(DIGITS), [0, 1], 2)


def test_two_seeds_give_no_verdict(finished: BenchConfig) -> None:
    summary = read_summary(finished.out)
    assert summary.verdict == "no verdict"
    assert summary.sentence().startswith("No verdict: at least 3 seeds are needed")


def test_only_arms_without_synthetic_images_judge_them(finished: BenchConfig) -> None:
    for cell in rows(finished.out):
        assert list(cell["label_fidelity"]) == ([] if cell["arm"] == "mixed+classic" else ["test"])
    judges = [cell["label_fidelity"]["test"]["overall"] for cell in rows(finished.out) if cell["arm"] == "real+classic"]
    assert read_summary(finished.out).label_fidelity == pytest.approx(100 * sum(judges) / 2)


def test_pictures_show_a_row_of_eight_for_each_class(finished: BenchConfig) -> None:
    for name in ("real.png", "synthetic.png"):
        with Image.open(finished.out / name) as picture:
            assert picture.size == (8 * 33 + 1, 10 * 33 + 1)


def test_finished_bench_is_not_run_again(finished: BenchConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    before = read_summary(finished.out)
    monkeypatch.setattr(run_module, "run_cell", lambda *_: pytest.fail("a finished cell was run again"))
    assert plan_bench(finished).missing_cells == 0
    assert figures(bench(finished)) == figures(before)


@pytest.mark.parametrize(("seeds", "missing"), [(1, 0), (3, 3)])
def test_finished_cells_count_for_fewer_and_for_more_seeds(finished: BenchConfig, seeds: int, missing: int) -> None:
    assert plan_bench(finished.model_copy(update={"seeds": seeds})).missing_cells == missing


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"steps": 3}, "recipe.steps is 2 there and 3 now"),
        ({"batch_size": 6}, "recipe.batch_size is 4 there and 6 now"),
        ({"synthetic_fraction": 0.75}, "synthetic_fraction is 0.5 there and 0.75 now"),
        ({"seed": 1}, "first_seed is 0 there and 1 now"),
        ({"per_class_real": 6}, r"data.class_counts is \[5, .*\] there and \[6, "),
    ],
)
def test_folder_of_another_bench_is_refused_by_naming_the_setting(
    finished: BenchConfig, change: dict[str, Any], named: str
) -> None:
    before = listing(finished.out)
    with pytest.raises(InputError, match=f"started with other settings: {named}"):
        bench(finished.model_copy(update=change))
    assert listing(finished.out) == before


def test_folder_of_a_bench_with_another_set_is_refused(finished: BenchConfig, tmp_path: Path, splits: Splits) -> None:
    other = noise_set(tmp_path / "other", splits.record, seed=1)
    with pytest.raises(InputError, match="started with other settings: synthetic"):
        plan_bench(finished.model_copy(update={"synthetic": (str(other),)}))


def test_rows_of_something_else_are_refused(finished: BenchConfig, tmp_path: Path) -> None:
    copy = shutil.copytree(finished.out, tmp_path / "copy")
    (copy / "results.jsonl").write_text('{"arm": "real"}\n')
    with pytest.raises(InputError, match=r"results\.jsonl is not readable"):
        plan_bench(finished.model_copy(update={"out": copy}))


# --- interruption ---


def test_interrupted_bench_does_the_missing_cells_only_and_comes_to_the_same(
    synthetic: Path, tmp_path: Path, perceptron: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = bench(settings(synthetic, tmp_path / "whole", seeds=3, network=perceptron))
    config, calls = settings(synthetic, tmp_path / "halting", seeds=3, network=perceptron), []

    def counting(*arguments: Any) -> CellResult:
        calls.append(arguments)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return run_cell(*arguments)

    monkeypatch.setattr(run_module, "run_cell", counting)
    with pytest.raises(KeyboardInterrupt):
        bench(config)
    assert len(rows(config.out)) == 4
    with pytest.raises(InputError, match="holds no finished bench"):
        read_summary(config.out)
    with (config.out / "results.jsonl").open("a") as file:
        file.write('{"arm": "real", "se')  # what a crash leaves of a row
    assert plan_bench(config).missing_cells == 5
    continued = bench(config)
    assert len(calls) == 5 + 5
    assert figures(continued) == figures(whole)
    assert figures(read_summary(config.out)) == figures(whole)


# --- what is equal between arms ---


@pytest.fixture
def trainings(synthetic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, int], Any]:
    """(initial weights, datamodule) of every cell of a bench whose classifiers are not trained, by arm and seed."""
    seen: list[tuple[dict[str, Tensor], MixedDataModule]] = []

    def pretend(network: nn.Module, datamodule: MixedDataModule, recipe: Any, **_: Any) -> TrainedClassifier:
        seen.append(({name: value.clone() for name, value in network.state_dict().items()}, datamodule))
        return TrainedClassifier(network.eval(), recipe.steps, 1, 0.5, [CurvePoint(1, 2.0, 0.5)])

    monkeypatch.setattr(cells_module, "train_classifier", pretend)
    config = settings(synthetic, tmp_path / "out", seeds=2, batch_size=8, synthetic_fraction=0.25)
    bench(config)
    return {(row["arm"], row["seed"]): entry for row, entry in zip(rows(config.out), seen, strict=True)}


def test_arms_of_a_pair_start_with_the_same_weights_and_other_seeds_with_others(
    trainings: dict[tuple[str, int], Any],
) -> None:
    for seed in (0, 1):
        expected, _ = trainings["real", seed]
        for arm in ARMS:
            weights, _ = trainings[arm.name, seed]
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
    batches = {arm.name: next(iter(trainings[arm.name, 0][1].train_dataloader())) for arm in ARMS}
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


def test_test_images_are_used_once_in_each_cell(
    synthetic: Path, tmp_path: Path, splits: Splits, perceptron: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict, predicted = cells_module.predict, []

    def counting(network: nn.Module, images: Tensor, runtime: Any, **others: Any) -> Tensor:
        predicted.append(images)
        return predict(network, images, runtime, **others)

    monkeypatch.setattr(cells_module, "predict", counting)
    bench(settings(synthetic, tmp_path / "out", network=perceptron))
    tested = [images for images in predicted if torch.equal(images, splits.test.images)]
    assert len(tested) == len(ARMS)


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
        ({"synthetic_fraction": 0.001}, "a synthetic fraction of 0.001 is less than one of the .* images of an epoch"),
        ({"recipe": "slow"}, "unknown recipe 'slow'"),
        ({"network": "vgg"}, "unknown network 'vgg'"),
        ({"per_class_real": 1000}, "--per-class-real 1000 is more than"),
    ],
)
@pytest.mark.parametrize("do", [bench, plan_bench])
def test_impossible_settings_are_refused(
    do: Callable[[BenchConfig], Any], change: dict[str, Any], complaint: str, synthetic: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=complaint):
        do(settings(synthetic, tmp_path / "out", **change))
    assert not (tmp_path / "out").exists()


def test_set_of_other_classes_is_refused_with_both_lists(splits: Splits, tmp_path: Path) -> None:
    pets = noise_set(tmp_path / "pets", splits.record, class_names=("cat", "dog"))
    with pytest.raises(InputError, match=r"\['cat', 'dog'\].*\['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'\]"):
        bench(settings(pets, tmp_path / "out"))


@pytest.mark.parametrize("shape", [{"channels": 3}, {"size": 16}])
def test_set_of_other_shapes_is_refused(shape: dict[str, int], splits: Splits, tmp_path: Path) -> None:
    other = noise_set(tmp_path / "other", splits.record, **shape)
    with pytest.raises(InputError, match=r"must have the same shape.*\(1, 8, 8\)"):
        bench(settings(other, tmp_path / "out"))


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
        bench(settings(leaking, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_generator_of_another_source_is_refused(tmp_path: Path) -> None:
    elsewhere = make_splits(load_source("digits", image_size=16), per_class_real=5).record
    with pytest.raises(InputError, match="trained on other images"):
        bench(settings(noise_set(tmp_path / "foreign", elsewhere), tmp_path / "out"))


def test_generator_that_saw_fewer_of_the_same_images_is_welcome(tmp_path: Path) -> None:
    record = make_splits(load_source("digits"), per_class_real=4).record
    assert plan_bench(settings(noise_set(tmp_path / "modest", record), tmp_path / "out")).missing_cells == 3


def test_damaged_set_is_refused_by_naming_the_shard(synthetic: Path, tmp_path: Path) -> None:
    damaged = shutil.copytree(synthetic, tmp_path / "damaged")
    shard = damaged / "train-000001.tar"
    data = bytearray(shard.read_bytes())
    data[600] ^= 1
    shard.write_bytes(data)
    with pytest.raises(DamageError, match=r"train-000001\.tar has another sha256"):
        bench(settings(damaged, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_output_that_holds_something_else_is_left_alone(synthetic: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("precious")
    with pytest.raises(InputError, match="is not empty and holds no bench"):
        bench(settings(synthetic, tmp_path / "out"))
    assert listing(tmp_path / "out") == {"thesis.tex": b"precious"}
    with pytest.raises(InputError, match="is a file; a folder is needed"):
        bench(settings(synthetic, tmp_path / "out" / "thesis.tex"))


def test_set_without_some_class_is_benched_all_the_same(splits: Splits, tmp_path: Path, perceptron: str) -> None:
    noise = [random_pixels(3, 1, 8, 8, seed=label) for label in range(10)]
    partial = write_images_as_set(tmp_path / "partial", noise, splits.record, classes=(0, 1, 2, 3, 4))
    summary = bench(settings(partial, tmp_path / "out", network=perceptron))
    assert [value is None for value in summary.label_fidelity_per_class] == [False] * 5 + [True] * 5


# --- planted truths ---


def test_more_real_images_in_disguise_are_found_to_help(splits: Splits, tmp_path: Path, perceptron: str) -> None:
    # The record claims a generator that saw the five images of each class only.
    disguised = write_images_as_set(tmp_path / "set", held_back(splits), splits.record)
    summary = bench(planted(disguised, tmp_path / "out", perceptron, synthetic_fraction=0.75))
    assert summary.gain.difference.mean > 4
    assert summary.verdict != "hurts"
    assert summary.label_fidelity > 50


def test_noise_with_random_labels_is_found_to_hurt(splits: Splits, tmp_path: Path, perceptron: str) -> None:
    noise = [random_pixels(60, 1, 8, 8, seed=label) for label in range(10)]
    useless = write_images_as_set(tmp_path / "set", noise, splits.record)
    summary = bench(planted(useless, tmp_path / "out", perceptron, synthetic_fraction=0.9))
    assert summary.gain.difference.mean < -15
    assert summary.verdict == "hurts"
    assert summary.label_fidelity == pytest.approx(10, abs=5)


# --- the summary as a function of the cells ---


ACCURACIES = {"real": [0.5, 0.6, 0.7], "real+classic": [0.6, 0.7, 0.8], "mixed+classic": [0.62, 0.74, 0.83]}


def test_differences_are_paired_by_seed_whatever_the_order_of_the_cells() -> None:
    cells = make_cells(ACCURACIES)
    summary = summary_of(cells)
    assert summary.gain.per_seed == pytest.approx([2.0, 4.0, 3.0])
    assert summary.gain.difference.mean == pytest.approx(3.0)
    assert summary.verdict == "helps"  # 3 +- 4.303 / sqrt(3)
    assert [entry.name for entry in summary.other_comparisons] == ["mixed+classic − real", "real+classic − real"]
    assert summary.other_comparisons[1].difference.mean == pytest.approx(10.0)
    assert summary_of(cells[::-1]) == summary


def test_the_gain_is_taken_to_the_real_arm_that_validates_better() -> None:
    assert summary_of(make_cells(ACCURACIES)).gain.name == "mixed+classic − real+classic"
    cells = [
        cell.model_copy(update={"validation_accuracy": 0.99}) if cell.arm == "real" else cell
        for cell in make_cells(ACCURACIES)
    ]
    summary = summary_of(cells)
    assert summary.gain.name == "mixed+classic − real"
    assert summary.gain.per_seed == pytest.approx([12.0, 14.0, 13.0])
    assert summary.other_comparisons[0].name == "mixed+classic − real+classic"


def test_summary_averages_curves_and_classes_over_seeds() -> None:
    [real, *_] = summary_of(make_cells(ACCURACIES)).arms
    assert real.curve == [(5, pytest.approx(30.0), 2.0), (10, pytest.approx(60.0), 1.0)]
    assert real.per_class == [pytest.approx(60.0), None]


def test_summary_of_an_unfinished_bench_names_what_is_missing() -> None:
    cells = [cell for cell in make_cells(ACCURACIES) if (cell.arm, cell.seed) != ("mixed+classic", 1)]
    with pytest.raises(InputError, match=r"missing: mixed\+classic seed 1$"):
        summary_of(cells)


def test_arms_with_different_numbers_of_steps_are_not_compared() -> None:
    first, *others = make_cells(ACCURACIES)
    with pytest.raises(InputError, match=r"the same number of steps, found \[10, 11\]"):
        summary_of([first.model_copy(update={"steps": 11}), *others])


def test_summary_survives_its_file(tmp_path: Path) -> None:
    summary = summary_of(make_cells(ACCURACIES))
    summary.write(tmp_path)
    assert read_summary(tmp_path) == summary


@pytest.mark.parametrize("damage", ["{broken", "[1]"])
def test_damaged_settings_of_a_bench_are_told_of(damage: str, digits_set: Path, tmp_path: Path) -> None:
    out = tmp_path / "bench"
    out.mkdir()
    (out / "settings.json").write_text(damage)
    with pytest.raises(DamageError, match="settings.json is damaged"):
        plan_bench(settings(digits_set, out, per_class_real=20))
