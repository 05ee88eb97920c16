"""What would flatter synthetic images, and how a bench refuses it or says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthaug.core.errors import InputError, TrainingError
from synthaug.data.sources import load_source
from synthaug.data.splits import Splits, make_splits
from synthaug.workflows.bench import bench, plan_bench
from synthaug.workflows.bench import run as run_module
from synthaug.workflows.bench import workers as workers_module
from synthaug.workflows.bench.costs import costs_of
from synthaug.workflows.bench.sentence import reservation, verdict_sentence
from synthaug.workflows.bench.statistics import Interval
from synthaug.workflows.bench.summarise import summarise
from tests.workflows.benches import (
    noise_set,
    quick,
    results_of,
    study_of,
    summary_of,
    write_images_as_set,
)

HELPING = {"real": [0.6, 0.7, 0.8, 0.7, 0.6], "mixed": [0.7, 0.8, 0.9, 0.81, 0.69]}


pytestmark = pytest.mark.usefixtures("quick_network")


@pytest.mark.parametrize("arms", ["real,mixed+classic", "real+classic,mixed+strong", "real+strong,mixed"])
def test_what_augmentation_gains_is_not_put_down_to_synthetic_images(
    arms: str, synthetic: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"needs a real-only arm with the same augmentation \("):
        plan_bench(quick(synthetic, tmp_path / "out", arms=arms))


@pytest.mark.parametrize("fractions", ["0.001,0.005", "0.10001,0.100012"])
def test_two_shares_that_come_to_the_same_are_refused(fractions: str, tmp_path: Path) -> None:
    few = noise_set(tmp_path / "few", make_splits(load_source("digits"), fraction=0.001).record)
    config = quick(few, tmp_path / "out", per_class_real=None, fractions=fractions)
    with pytest.raises(InputError, match="come to the same images or name"):
        plan_bench(config)


def test_a_set_of_validation_images_is_refused_whatever_its_record_says(splits: Splits, tmp_path: Path) -> None:
    validation = splits.validation
    pixels = [validation.images[members] for members in validation.indices_by_class()]
    leaking = write_images_as_set(tmp_path / "set", pixels, splits.record)
    with pytest.raises(InputError, match="images are validation images"):
        plan_bench(quick(leaking, tmp_path / "out"))


def test_given_sets_are_refused_before_a_generator_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "make_sets", lambda *_: pytest.fail("a generator was trained"))
    config = quick(tmp_path / "nowhere", tmp_path / "out", generator_per_fraction="acgan")
    for do in (plan_bench, bench):
        with pytest.raises(InputError, match="nowhere"):
            do(config)


def test_too_few_seeds_tell_nothing_of_a_control() -> None:
    accuracies = {name: values[:2] for name, values in HELPING.items()}
    accuracies |= {"real+classic": [0.6, 0.7], "real-repeated": [0.9, 0.9]}
    [regime] = summary_of(accuracies).regimes
    assert [control.is_as_expected for control in regime.controls] == [None]


def test_what_is_known_before_the_end_is_called_so() -> None:
    study = study_of(["real", "mixed"], seeds=5)

    def sentence(seeds: int) -> str:
        accuracies = {name: values[:seeds] for name, values in HELPING.items()}
        return verdict_sentence(summarise(study, results_of(study, accuracies)))

    whole, part = sentence(5), sentence(4)
    assert whole.startswith("Synthetic data helps this classifier")
    assert part.startswith("So far, with 8 of 10 trainings: Synthetic data helps this classifier")
    assert sentence(0) == "No verdict yet: 0 of 10 trainings are done."


def test_a_sentence_says_why_seeds_that_agree_are_not_enough() -> None:
    [gain] = summary_of(HELPING).regimes[0].gains
    assert gain.difference.low is not None
    assert gain.difference.low > 0
    assert reservation(gain) == ""
    doubtful = {"verdict": "inconclusive", "beyond": Interval(-1.0, 2.0)}
    assert reservation(gain.model_copy(update=doubtful)) == (
        "the seeds agree, but other test images might give -1.00 to +2.00"
    )
    corrected = {"verdict": "inconclusive", "adjusted_p": 0.0625}
    assert reservation(gain.model_copy(update=corrected)) == "the seeds agree, but p is 0.062 after correction"


def test_a_gain_that_was_not_shown_has_no_price() -> None:
    study = study_of(["real", "mixed"])
    for accuracies, has_price in (
        (HELPING, True),
        ({"real": [0.6, 0.7, 0.8], "mixed": [0.61, 0.69, 0.82]}, False),
    ):
        results = results_of(study, {name: values[:3] for name, values in accuracies.items()})
        summary = summarise(study, results)
        [costs] = costs_of(study, results.done, summary).regimes
        [took] = costs.sets.values()
        assert took.break_even.points > 0
        assert (summary.regimes[0].sets[0].verdict == "helps") == has_price
        assert (took.break_even.seconds_per_point is not None) == has_price


def test_seeds_that_are_added_when_results_can_be_seen_are_told_of(synthetic: Path, tmp_path: Path) -> None:
    arms = ("real", "mixed")
    first = bench(quick(synthetic, tmp_path / "out", arms=arms, seeds=1))
    assert first.extensions == bench(quick(synthetic, tmp_path / "out", arms=arms, seeds=1)).extensions == []
    more = bench(quick(synthetic, tmp_path / "out", arms=arms, seeds=2))
    assert [(one.done, one.seeds, one.arms) for one in more.extensions] == [(2, 1, 2)]
    planned = bench(quick(synthetic, tmp_path / "out", arms=arms, seeds=3), was_planned=True)
    assert planned.extensions == more.extensions


def test_a_job_is_not_blamed_for_what_another_could_not_do(
    synthetic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(*_: object, **__: object) -> None:
        raise TrainingError("the loss is no longer a number")

    config = quick(synthetic, tmp_path / "out", arms=("real", "mixed"), seeds=1)
    with monkeypatch.context() as patch:
        patch.setattr(workers_module, "run_cell", diverge)
        with pytest.raises(TrainingError, match="1 of 2 trainings failed"):
            bench(config.model_copy(update={"cells": "2/2"}))
    half = bench(config.model_copy(update={"cells": "1/2"}))
    assert (half.done, len(half.failed)) == (1, 1)


def test_what_could_be_found_is_said_before_it_is_looked_for(
    synthetic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = quick(synthetic, tmp_path / "out", arms=("real", "mixed"), seeds=2)
    [power] = plan_bench(config).power.values()
    bench(config)
    said = " ".join(capsys.readouterr().err.split())
    assert f"2 seeds find a true gain of {power.detectable:.1f} points in 80 of 100 benches" in said
    assert "a guess from the number of test images" in said
