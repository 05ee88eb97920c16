"""Benches with several numbers of real images, each with generators trained on exactly these; and a second view."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from synthaug.classifiers.recipes import Recipe
from synthaug.core.errors import InputError, TrainingError
from synthaug.data.sources import load_source
from synthaug.data.splits import make_splits
from synthaug.generators.acgan.presets import PRESETS
from synthaug.generators.checkpoint import read_card
from synthaug.shards.manifest import Manifest
from synthaug.shards.reader import read_set
from synthaug.workflows import synthesize as synthesize_module
from synthaug.workflows.bench import BenchConfig, bench, plan_bench, read_summary
from synthaug.workflows.bench import generators as generators_module
from synthaug.workflows.bench import run as run_module
from synthaug.workflows.bench.generators import made_sets
from synthaug.workflows.bench.regimes import epochs_of, split_by_fractions
from synthaug.workflows.bench.results import Results
from synthaug.workflows.bench.summarise import summarise
from synthaug.workflows.synthesize import GenerateConfig, generate
from synthaug.workflows.train import TrainConfig, train
from tests.workflows.benches import (
    TWO_ARMS,
    Clock,
    listing,
    noise_set,
    perceptron_in,
    quick,
    results_of,
    rows,
    study_of,
)

FRACTIONS = (0.02, 0.05)


@pytest.fixture(scope="module", autouse=True)
def quick_networks() -> Iterator[None]:
    """Makes a quick network known to all of these tests, and lets generators take few images at a time, unwatched."""
    train = generators_module.train
    with pytest.MonkeyPatch.context() as patch:
        perceptron_in(patch)
        presets = dict(PRESETS.items())
        patch.setattr(PRESETS, "_values", {**presets, "digits": replace(presets["digits"], batch_size=10)})
        without_grids = {"grid_every": 1_000_000}
        patch.setattr(generators_module, "train", lambda config: train(config.model_copy(update=without_grids)))
        patch.setattr("synthaug.workflows.train.MIN_REFERENCE", 1_000_000)  # so that no judge is trained
        yield


def own(out: Path, **others: Any) -> BenchConfig:
    """A bench whose generators, as good as untrained, are made for it."""
    making = {"generator_per_fraction": "acgan", "generator_images": 20, "per_class": 2, "fractions": FRACTIONS}
    return quick(**{"synthetic": [], "out": out, "arms": TWO_ARMS, **making, **others})


def record_of(fraction: float) -> Any:
    return make_splits(load_source("digits"), fraction=fraction).record


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> BenchConfig:
    """A bench with generators of its own that has been run; shared, so copy its folder before changing it."""
    config = own(tmp_path_factory.mktemp("regimes") / "out", generators=tmp_path_factory.mktemp("regimes") / "made")
    bench(config)
    return config


def sets_of(config: BenchConfig) -> dict[str, list[Path]]:
    return made_sets(config, split_by_fractions(config, load_source("digits")))


def refuse_to_make(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generators_module, "train", lambda _: pytest.fail("a generator was trained"))


# --- one generator for each number of real images ---


def test_every_generator_has_seen_exactly_the_real_images_of_its_regime(finished: BenchConfig) -> None:
    sets = sets_of(finished)
    assert list(sets) == ["2 %", "5 %"]
    for fraction, [made] in zip(FRACTIONS, sets.values(), strict=True):
        expected = record_of(fraction)
        card = read_card(made.parent / "generator")
        assert card.split.train_fingerprint == expected.train_fingerprint
        assert card.training.images_seen >= card.training.planned_images
        plan = Manifest.read(made).plan
        assert plan.generator.split == expected
        assert read_set(made)[0].class_counts() == (2,) * 10
    fingerprints = {record_of(fraction).train_fingerprint for fraction in FRACTIONS}
    assert len(fingerprints) == 2


def test_every_regime_is_a_bench_of_its_own_with_its_own_set(finished: BenchConfig) -> None:
    summary = read_summary(finished.out)
    sets = sets_of(finished)
    assert [(regime.name, regime.fraction) for regime in summary.regimes] == [("2 %", 0.02), ("5 %", 0.05)]
    assert summary.is_complete
    for regime in summary.regimes:
        train = make_splits(load_source("digits"), fraction=regime.fraction or 1.0).train
        assert regime.counts["train"] == len(train)
        assert regime.images_per_class == pytest.approx(len(train) / 10)
        assert [one.where for one in regime.sets] == [str(sets[regime.name][0])]
        assert [arm.name for arm in regime.arms] == list(TWO_ARMS)
        assert regime.steps == 2
    assert {row["regime"] for row in rows(finished.out)} == {"2 %", "5 %"}
    for number in (1, 2):
        assert (finished.out / f"regime-{number}" / "real.png").is_file()


def test_what_was_made_is_used_again_and_not_touched(
    finished: BenchConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_to_make(monkeypatch)
    assert finished.generators is not None
    before = listing(finished.generators)
    again = own(tmp_path / "again", generators=finished.generators, seeds=2, fractions=(0.05,))
    assert plan_bench(again).generators == ()
    assert bench(again).is_complete
    assert {name: data for name, data in listing(finished.generators).items() if name in before} == before
    assert plan_bench(finished).missing_cells == 0
    assert bench(finished).is_complete


def test_more_fractions_and_more_images_of_a_class_make_what_is_missing_only(
    finished: BenchConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = shutil.copytree(str(finished.generators), tmp_path / "made")
    config = own(tmp_path / "out", generators=made, fractions=(0.02,), per_class=3)
    [unmade] = plan_bench(config).generators
    assert unmade == str(made / "acgan-0.02" / "synthetic-3")
    refuse_to_make(monkeypatch)
    assert bench(config).regimes[0].counts["synthetic"] == 30
    assert (made / "acgan-0.02" / "synthetic-2").is_dir()
    more = own(tmp_path / "more", generators=made, fractions=(0.02, 0.1))
    assert plan_bench(more).generators == (str(made / "acgan-0.1" / "synthetic-2"),)


@pytest.mark.parametrize("change", [{"split_seed": 1}, {"fractions": (0.03,)}])
def test_a_generator_of_other_images_is_refused(
    finished: BenchConfig, tmp_path: Path, change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_to_make(monkeypatch)
    made = shutil.copytree(str(finished.generators), tmp_path / "made")
    if "fractions" in change:  # as if it had been renamed
        (made / "acgan-0.02").rename(made / "acgan-0.03")
    config = own(tmp_path / "out", generators=made, **{"fractions": (0.02,), **change})
    with pytest.raises(InputError, match=r"acgan-0.* holds a generator trained on other images; choose another"):
        bench(config)
    assert not (tmp_path / "out" / "results.jsonl").exists()


def test_before_anything_is_made_the_plan_says_what_would_be(tmp_path: Path) -> None:
    config = own(tmp_path / "out", generator_per_fraction="acgan,acgan/classic", seeds=4)
    plan = plan_bench(config)
    home = tmp_path / "out" / "generators"
    assert plan.generators == tuple(
        str(home / name / "synthetic-2")
        for name in ("acgan-0.02", "acgan-classic-0.02", "acgan-0.05", "acgan-classic-0.05")
    )
    assert (plan.cells, plan.missing_cells, plan.settings) == (24, 24, {})  # one arm without a set, two with one
    assert plan.regimes == {"2 %": 2, "5 %": 2}
    assert set(plan.power) == {"2 %", "5 %"}
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"arms": ("real", "mxied")}, "unknown arm 'mxied'"),
        ({"arms": ("real",)}, "--arms needs an arm to judge"),
        ({"network": "vgg"}, "unknown network 'vgg'"),
        ({"fractions": (0.02, 1.5)}, r"--fraction must lie in \(0, 1\], found 1.5"),
        ({"fractions": (0.02, 0.05, 0.02)}, "--fractions: 0.02 is given twice"),
        ({"fraction": 0.5}, "give --fractions alone"),
        ({"per_class_real": 5}, "give --fractions alone"),
        ({"generator_per_fraction": "ddpm,vae"}, "unknown .*'vae'"),
        ({"generator_per_fraction": "ddpm,acgan/huge"}, "unknown .*'huge'"),
    ],
)
def test_what_would_be_refused_is_refused_before_anything_is_made(
    change: dict[str, Any], complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_to_make(monkeypatch)
    with pytest.raises(InputError, match=complaint):
        bench(own(tmp_path / "out", **change))
    assert not list(tmp_path.rglob("*.*"))


def test_a_folder_with_something_else_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_to_make(monkeypatch)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("precious")
    with pytest.raises(InputError, match="is not empty and holds no bench"):
        bench(own(tmp_path / "out"))
    assert listing(tmp_path / "out") == {"thesis.tex": b"precious"}


def test_a_generator_that_was_stopped_is_trained_on_and_not_used_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, train = own(tmp_path / "out", fractions=(0.02,), generator_images=40), generators_module.train
    with monkeypatch.context() as patch:
        patch.setattr(generators_module, "train", lambda config: train(config.model_copy(update={"max_time": 1e-6})))
        with pytest.raises(TrainingError, match="--max-time ended while .*was being trained .*goes on from there"):
            bench(config)
    folder = tmp_path / "out" / "generators" / "acgan-0.02"
    assert read_card(folder / "generator").training.images_seen == 20
    assert not (folder / "synthetic-2").exists()
    assert plan_bench(config).generators == (str(folder / "synthetic-2"),)
    assert bench(config).is_complete
    assert read_card(folder / "generator").training.images_seen == 40


# --- generators that are there, but are not what this bench would train ---


def trained_by_hand(folder: Path, **settings: Any) -> Path:
    """The generator of 2 % of the images, where a bench looks for it."""
    out = folder / "acgan-0.02" / "generator"
    given = {"model": "acgan", "data": "digits", "fraction": 0.02, "device": "cpu", "precision": "fp32"}
    train(TrainConfig.resolve({**given, "grid_every": 1_000_000, "out": out, **settings}))
    return folder


@pytest.mark.parametrize(
    ("change", "differing"),
    [
        ({"generator_images": None}, "images 20 instead of 64,000"),
        ({"seed": 3, "per_class": 3}, "seed 0 instead of 3"),
        ({"generator_images": None, "seed": 3, "per_class": 3}, "seed 0 instead of 3, images 20 instead of 64,000"),
    ],
)
def test_a_generator_of_other_settings_is_used_and_told_of(
    finished: BenchConfig,
    tmp_path: Path,
    change: dict[str, Any],
    differing: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    refuse_to_make(monkeypatch)
    assert [one.remark for regime in read_summary(finished.out).regimes for one in regime.sets] == ["", ""]
    made = shutil.copytree(str(finished.generators), tmp_path / "made")
    summary = bench(own(tmp_path / "out", generators=made, fractions=(0.02,), **change))
    [one] = summary.regimes[0].sets
    assert one.remark == f"its generator was trained with other settings than this bench would use ({differing})"
    said = " ".join(capsys.readouterr().err.split())
    assert f"warning: {made / 'acgan-0.02' / 'generator'}: {one.remark}" in said


def test_a_generator_that_was_trained_by_hand_and_ended_early_is_used_as_it_is_and_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = trained_by_hand(tmp_path, images=40, max_time=1e-6, diffaugment="none", ema_half_life=0.5)
    refuse_to_make(monkeypatch)
    config = own(tmp_path / "out", generators=made, fractions=(0.02,))
    chosen = "diffaugment none instead of translation{}, ema half life 0.5 instead of the preset's"
    for images, more in ((20, ""), (None, ", images 40 instead of 64,000")):
        [one] = bench(config.model_copy(update={"generator_images": images})).regimes[0].sets
        assert one.images_seen == 20
        assert one.remark == (
            f"its generator was trained with other settings than this bench would use ({chosen.format(more)}) and "
            "shown 20 of 40 images"
        )
    with pytest.raises(InputError, match="was shown 20 of 40 images, not 40; ask for as many with --generator-images"):
        bench(config.model_copy(update={"generator_images": 40}))


def test_a_set_of_a_training_that_was_ended_early_stays_as_it_is_and_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = trained_by_hand(tmp_path, images=64_000, max_time=1e-6)  # as this bench would train it
    config = own(tmp_path / "out", generators=made, fractions=(0.02,), generator_images=None)
    drawn = {"model": str(made / "acgan-0.02" / "generator"), "per_class": 2, "device": "cpu", "precision": "fp32"}
    generate(GenerateConfig.resolve({**drawn, "out": sets_of(config)["2 %"][0]}))
    refuse_to_make(monkeypatch)
    [one] = bench(config).regimes[0].sets
    assert one.remark == "its generator was shown 20 of 64,000 images"


@pytest.mark.parametrize(
    ("asked", "folder", "complaint"),
    [
        ("acgan/classic", "acgan-classic-0.02", "a generator of preset digits, and this bench asks for classic"),
        ("ddpm", "ddpm-0.02", "a generator of kind acgan, and this bench asks for ddpm"),
    ],
)
def test_another_kind_or_preset_than_was_asked_for_is_refused(
    finished: BenchConfig, tmp_path: Path, asked: str, folder: str, complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_to_make(monkeypatch)
    made = shutil.copytree(str(finished.generators), tmp_path / "made")
    (made / "acgan-0.02").rename(made / folder)
    config = own(tmp_path / "out", generators=made, fractions=(0.02,), generator_per_fraction=asked)
    for do in (plan_bench, bench):
        with pytest.raises(InputError, match=f"{complaint}; choose another --generators"):
            do(config)
    assert not (tmp_path / "out").exists()


# --- the time for generators and sets, and jobs side by side ---


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """What the bench takes for time."""
    clock = Clock()
    for module in (run_module, generators_module):
        monkeypatch.setattr(module, "time", clock)
    return clock


def test_a_drawing_ends_between_two_shards_and_goes_on_to_the_same_bytes(
    finished: BenchConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    def in_small_shards(config: GenerateConfig, **others: Any) -> Any:
        return generate(config.model_copy(update={"shard_size": 10}), **others)

    def ten_seconds(*arguments: Any) -> Any:
        clock.now += 10
        return publish(*arguments)

    publish = synthesize_module.publish_shards
    monkeypatch.setattr(generators_module, "generate", in_small_shards)
    refuse_to_make(monkeypatch)
    made = shutil.copytree(str(finished.generators), tmp_path / "made")
    config = own(tmp_path / "out", generators=made, fractions=(0.02,), per_class=3)
    folder = made / "acgan-0.02" / "synthetic-3"
    with monkeypatch.context() as patch:
        patch.setattr(synthesize_module, "publish_shards", ten_seconds)
        with pytest.raises(TrainingError, match=r"drawn \(1 of 3 shards are missing\); the same command goes on from"):
            bench(config.model_copy(update={"max_time": 15.0}))
        before = {path.name: path.read_bytes() for path in folder.glob("*.tar")}
        assert sorted(before) == ["train-000000.tar", "train-000001.tar"]
        assert plan_bench(config).generators == (str(folder),)
        bench(config.model_copy(update={"max_time": 15.0}))
    whole = tmp_path / "whole"
    drawn = {"model": str(made / "acgan-0.02" / "generator"), "per_class": 3, "device": "cpu", "precision": "fp32"}
    in_small_shards(GenerateConfig.resolve({**drawn, "out": whole}))
    for path in [*whole.glob("*.tar"), whole / "manifest.json"]:
        assert (folder / path.name).read_bytes() == path.read_bytes()
        assert before.get(path.name, path.read_bytes()) == path.read_bytes()


def test_after_the_time_nothing_is_trained_or_drawn(
    finished: BenchConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    def slowly(*arguments: Any, **others: Any) -> Any:
        clock.now += 100
        return load_source(*arguments, **others)

    monkeypatch.setattr(run_module, "load_source", slowly)
    monkeypatch.setattr(generators_module, "generate", lambda *_, **__: pytest.fail("a set was drawn"))
    refuse_to_make(monkeypatch)
    with pytest.raises(TrainingError, match=r"ended before .*acgan-0.02/generator was trained; the same command goes"):
        bench(own(tmp_path / "out", max_time=50.0))
    config = own(tmp_path / "out", generators=finished.generators, per_class=3, max_time=50.0)
    with pytest.raises(TrainingError, match=r"ended before .*acgan-0.02/synthetic-3 was drawn; the same command goes"):
        bench(config)


def test_jobs_side_by_side_make_no_sets_and_what_they_advise_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    config = own(tmp_path / "out", fractions=(0.02,))
    halves = [config.model_copy(update={"cells": cells}) for cells in ("1/2", "2/2")]
    for do in (plan_bench, bench):
        with pytest.raises(InputError, match="--cells 1/2: .*still to be made.* Run the same command without --cells"):
            do(halves[0])
    assert not list(tmp_path.rglob("*.*"))
    make = run_module.make_sets

    def slowly(*arguments: Any) -> Any:
        made = make(*arguments)
        clock.now += 50
        return made

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "make_sets", slowly)
        assert bench(config.model_copy(update={"max_time": 50.0})).done == 0
    refuse_to_make(monkeypatch)
    assert [bench(half).done for half in halves] == [1, 2]
    assert bench(config).extensions == []


# --- sets that are given, with several numbers of real images ---


def test_a_set_that_saw_more_than_a_regime_may_is_refused_by_naming_the_regime(tmp_path: Path) -> None:
    made = noise_set(tmp_path / "set", record_of(0.05))
    allowed = quick(made, tmp_path / "out", fractions=(0.05, 0.1), arms=TWO_ARMS)
    assert plan_bench(allowed).missing_cells == 4
    for fractions in ((0.02, 0.05), (0.05, 0.02)):
        with pytest.raises(InputError, match=r"must not be used with this split: .*\(with 2 % of the real images\)"):
            bench(quick(made, tmp_path / "out", fractions=fractions, arms=TWO_ARMS))
    assert not (tmp_path / "out").exists()


def test_a_given_set_and_a_made_one_stand_side_by_side(finished: BenchConfig, tmp_path: Path) -> None:
    given = noise_set(tmp_path / "set", record_of(0.02))
    config = own(tmp_path / "out", generators=finished.generators, synthetic=given)
    summary = bench(config)
    for regime in summary.regimes:
        assert [one.name for one in regime.sets] == ["test", "acgan"]
        assert [arm.name for arm in regime.arms] == ["real", "mixed (test)", "mixed (acgan)"]


def test_adding_a_fraction_keeps_the_cells_of_the_others(tmp_path: Path) -> None:
    made = noise_set(tmp_path / "set", record_of(0.02))
    config = quick(made, tmp_path / "out", fractions=(0.05,), arms=TWO_ARMS)
    bench(config)
    more = config.model_copy(update={"fractions": (0.02, 0.05, 0.1)})
    assert plan_bench(more).missing_cells == 4
    summary = bench(more)
    assert [regime.name for regime in summary.regimes] == ["2 %", "5 %", "10 %"]
    assert summary.extensions == []  # each has a verdict of its own
    assert len(rows(config.out)) == 6
    [again] = bench(config).regimes
    assert (again.arms, again.gains) == (summary.regimes[1].arms, summary.regimes[1].gains)


def test_one_fraction_is_the_same_bench_however_it_is_asked_for(tmp_path: Path) -> None:
    made = noise_set(tmp_path / "set", record_of(0.02))
    config = quick(made, tmp_path / "out", fractions=(0.05,), arms=TWO_ARMS)
    bench(config)
    single = config.model_copy(update={"fractions": (), "fraction": 0.05})
    assert plan_bench(single).missing_cells == 0


def test_a_recipe_in_epochs_takes_more_steps_with_more_real_images(tmp_path: Path) -> None:
    made = noise_set(tmp_path / "set", record_of(0.02))
    config = quick(made, tmp_path / "out", fractions=(0.05, 0.1, 0.2), arms=TWO_ARMS, steps=None, epochs=2)
    plan = plan_bench(config)
    counts = [sum(record_of(fraction).class_counts) for fraction in (0.05, 0.1, 0.2)]
    assert list(plan.regimes.values()) == [2 * (count // 4) for count in counts]


@pytest.mark.parametrize(("accumulate", "epochs"), [("1", 10.0), ("4", 40.0), ("0:4,5:1", 13.75)])
def test_real_images_are_seen_as_often_as_steps_and_batches_make_it(accumulate: str, epochs: float) -> None:
    recipe = Recipe("test", "resnet20", 8, "sgd", 0.1, 0.0, steps=100, accumulate=accumulate)
    assert epochs_of(recipe, 80) == pytest.approx(epochs)


# --- equal real epochs ---


def test_the_second_view_gives_mixed_arms_the_steps_to_see_real_images_as_often(tmp_path: Path) -> None:
    made = noise_set(tmp_path / "set", record_of(0.02))
    arms = ("real", "real+classic", "mixed+classic", "synthetic")
    config = quick(
        made, tmp_path / "out", fraction=0.05, per_class_real=None, arms=arms, steps=6, synthetic_fraction=0.25,
        equal_epochs=True,
    )  # fmt: skip
    plan = plan_bench(config)
    assert plan.cells == 4 + 3  # the synthetic arm sees no real image at all
    [regime] = bench(config).regimes
    assert regime.steps == 6
    assert regime.equal_epochs is not None
    assert regime.equal_epochs.steps == 8  # 6 / (1 - 0.25)
    steps = {(row["view"], row["arm"]): row["steps"] for row in rows(config.out)}
    assert {steps["equal steps", arm] for arm in arms} == {6}
    assert {steps["equal real epochs", arm] for arm in arms[:3]} == {8}
    assert ("equal real epochs", "synthetic") not in steps
    assert steps["equal real epochs", "mixed+classic"] * (1 - 0.25) == steps["equal steps", "real"]
    assert [arm.name for arm in regime.equal_epochs.arms] == list(arms[:3])
    baselines = {comparison.baseline for comparison in regime.equal_epochs.comparisons}
    assert baselines == {f"{regime.baseline} (6 steps)", f"{regime.baseline} (8 steps)"}


def test_longer_mixed_arms_are_compared_with_the_baseline_of_either_length() -> None:
    study = study_of(["real", "mixed"], longer_steps=20)
    accuracies = {"real": [0.5, 0.6, 0.7], "mixed": [0.6, 0.7, 0.8]}
    longer = {"real": [0.55, 0.65, 0.75], "mixed": [0.62, 0.72, 0.82]}
    short, long = results_of(study, accuracies), results_of(study, longer)
    done = {cell.key: (short if cell.view == "equal steps" else long).done[cell.key] for cell in study.regimes[0].cells}
    [regime] = summarise(study, Results(done, {})).regimes
    assert regime.gains[0].difference.mean == pytest.approx(10.0)  # the second view decides nothing
    assert regime.equal_epochs is not None
    found = {one.baseline: one.difference.mean for one in regime.equal_epochs.comparisons}
    assert found == pytest.approx({"real (10 steps)": 12.0, "real (20 steps)": 7.0})
    assert [arm.test_accuracy.mean for arm in regime.equal_epochs.arms] == pytest.approx([65.0, 72.0])


# --- the curve of real images ---


def test_what_a_set_is_worth_is_read_off_the_curve_of_real_images() -> None:
    study = study_of(["real", "mixed"], fractions=(0.1, 0.2, 0.4))
    levels = {0.1: 0.5, 0.2: 0.6, 0.4: 0.7}
    done = {}
    for regime, level in zip(study.regimes, levels.values(), strict=True):
        one = study.model_copy(update={"regimes": [regime]})
        done |= results_of(one, {"real": [level] * 3, "mixed": [level + 0.1] * 3}).done
    first, second, last = summarise(study, Results(done, {})).regimes
    assert first.sets[0].worth is not None
    assert first.sets[0].worth.images_per_class == pytest.approx(10.0)  # as good as 20 a class instead of 10
    assert second.sets[0].worth is not None
    assert second.sets[0].worth.images_per_class == pytest.approx(20.0)
    assert last.sets[0].worth is not None
    assert last.sets[0].worth.is_at_least  # better than all that was tried
    alone = summarise(study.model_copy(update={"regimes": study.regimes[:1]}), Results(done, {}))
    assert alone.regimes[0].sets[0].worth is None  # one point is no curve
