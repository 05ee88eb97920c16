"""What an evaluation says of sets whose faults are known, because they were planted."""

from __future__ import annotations

import csv
import json
import sys
import urllib.error
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from synthaug.classifiers.recipes import RECIPES
from synthaug.core.errors import DamageError, InputError
from synthaug.core.types import LabelledImages
from synthaug.data.splits import Splits
from synthaug.metrics.extractors import PRETRAINED_EXTRACTORS
from synthaug.metrics.features import FeatureExtractor, pixels_extractor
from synthaug.workflows.evaluate import EvaluateConfig, EvaluateResult, evaluate, plan_evaluation
from synthaug.workflows.evaluate.judged import table_name
from synthaug.workflows.evaluate.records import Figure, SetReport
from synthaug.workflows.judge import JUDGE_RECIPE
from tests.conftest import write_curated_set, write_shard_set
from tests.workflows.planted import balanced, noisy, recompressed, relabelled, write_set_of
from tests.workflows.sets import flip_a_bit

pytestmark = pytest.mark.usefixtures("quick_judge")
#: One quick figure; those that a test is about are given in place of it, none for all.
FEW = {"judge_steps": 150, "cas_seeds": 0, "metrics": ["kid"], "device": "cpu", "precision": "fp32"}
Evaluated = Callable[..., EvaluateResult]


@pytest.fixture
def evaluated(tmp_path: Path, digits_splits: Splits) -> Evaluated:
    """`evaluated(*images, **settings)`: writes a set of each and evaluates them together."""

    def run(*images: LabelledImages, **settings: Any) -> EvaluateResult:
        folders = [
            write_set_of(tmp_path / f"set{number}", one, digits_splits, seed=number)
            for number, one in enumerate(images)
        ]
        return evaluate(EvaluateConfig.resolve({**FEW, "folders": folders, "out": tmp_path / "out", **settings}))

    return run


def figures_of(report: SetReport) -> dict[str, Figure]:
    return {figure.name: figure for figure in report.comparisons[0].figures}


def value_of(report: SetReport, name: str) -> float:
    value = figures_of(report)[name].overall.value
    assert value is not None
    return value


def with_images(images: LabelledImages, changed: torch.Tensor, places: torch.Tensor) -> LabelledImages:
    """Some images replaced; labels stay."""
    pixels = images.images.clone()
    pixels[places] = changed
    return LabelledImages.of(pixels, images.labels, images.class_names, images.name)


def places_of(images: LabelledImages, labels: torch.Tensor) -> torch.Tensor:
    """For each label in turn, another position of an image of that class."""
    taken = [0] * len(images.class_names)
    members = list(images.indices_by_class())
    found = []
    for label in labels.tolist():
        found.append(int(members[label][taken[label]]))
        taken[label] += 1
    return torch.tensor(found)


def test_fresh_real_images_are_found_to_be_good(
    evaluated: Evaluated, fresh_digits: LabelledImages, digits_splits: Splits, tmp_path: Path
) -> None:
    result = evaluated(fresh_digits, metrics=[])
    [report] = result.sets
    assert report.fidelity.overall.value is not None
    assert report.fidelity.overall.value > 0.85
    assert report.memorisation.verdict == "no sign of copies"
    assert (report.memorisation.exact, report.duplicates.exact) == (0, 0)
    assert value_of(report, "precision") > 0.6
    assert value_of(report, "coverage") > 0.6
    assert (result.reference.split, result.reference.is_generators) == ("train", True)
    assert result.reference.train == len(digits_splits.train)
    for figure in report.comparisons[0].figures:
        if figure.name != "inception_score":
            assert (figure.overall.n, figure.overall.n_reference) == (400, 200), figure.name
            assert len(figure.per_class) == 10
        assert figure.overall.low is not None
        assert figure.overall.value is not None
        assert figure.overall.high is not None
        assert figure.overall.low <= figure.overall.value <= figure.overall.high
    # 20 real images of a class do not tell a covariance of 64 features.
    reasons = [value.reason or "" for value in figures_of(report)["frechet"].per_class]
    assert all("64" in reason for reason in reasons), reasons
    space = report.comparisons[0].space
    assert (space.name, space.resize, space.width) == ("classifier", "none (8x8)", 64)
    written = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert written["sets"][0]["memorisation"]["verdict"] == report.memorisation.verdict
    assert "NaN" not in (tmp_path / "out" / "evaluation.json").read_text()
    assert (tmp_path / "out" / "gallery.html").stat().st_size > 10_000


def test_every_sample_gets_its_scores(
    evaluated: Evaluated, fresh_digits: LabelledImages, digits_splits: Splits, tmp_path: Path
) -> None:
    train = digits_splits.train
    planted = with_images(fresh_digits, train.images[:1], places_of(fresh_digits, train.labels[:1]))
    [report] = evaluated(planted).sets
    with (tmp_path / "out" / f"samples_{report.name}.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 400
    assert rows[0]["key"] == "0000000000"
    assert {row["class"] for row in rows} == set(train.class_names)
    copies = [row for row in rows if float(row["relative_train_distance"]) == 0]
    assert [(row["nearest_train_image"], row["nearest_train_distance"]) for row in copies] == [("0", "0.0000")]
    assert all(0 <= float(row["label_confidence"]) <= 1 for row in rows)


@pytest.mark.parametrize("kind", ["exact", "noisy", "recompressed"])
def test_planted_copies_trip_the_verdict(
    evaluated: Evaluated, fresh_digits: LabelledImages, digits_splits: Splits, kind: str
) -> None:
    change = {"exact": lambda images: images, "noisy": noisy, "recompressed": recompressed}[kind]
    chosen = balanced(digits_splits.train, 2)  # 5 % of the set
    places = places_of(fresh_digits, chosen.labels)
    [report] = evaluated(with_images(fresh_digits, change(chosen.images), places)).sets
    assert report.memorisation.verdict == "copies"
    assert report.memorisation.exact == (20 if kind == "exact" else 0)
    found = report.memorisation.share.value
    assert found is not None
    assert 19 / 400 <= found <= 26 / 400
    assert "copies the training data" in report.memorisation.sentence


def test_a_single_exact_copy_is_mentioned(
    evaluated: Evaluated, fresh_digits: LabelledImages, digits_splits: Splits
) -> None:
    train = digits_splits.train
    [report] = evaluated(with_images(fresh_digits, train.images[:1], places_of(fresh_digits, train.labels[:1]))).sets
    assert (report.memorisation.verdict, report.memorisation.exact) == ("some copies", 1)


def test_shuffled_labels_bring_label_fidelity_down_to_chance(
    evaluated: Evaluated, fresh_digits: LabelledImages
) -> None:
    order = torch.arange(len(fresh_digits)).roll(fresh_digits.class_counts()[0] * 3)
    shuffled = torch.randperm(len(fresh_digits), generator=torch.Generator().manual_seed(0))
    labels = fresh_digits.labels[order][shuffled]
    [report] = evaluated(
        LabelledImages.of(fresh_digits.images, labels, fresh_digits.class_names, fresh_digits.name)
    ).sets
    value = report.fidelity.overall
    assert value.value is not None
    assert value.high is not None
    assert value.value < 0.2
    assert value.high < 0.3
    assert sum(map(sum, report.confusion)) == 400


def test_dropped_modes_cost_coverage_and_not_precision(evaluated: Evaluated, fresh_digits: LabelledImages) -> None:
    few = balanced(fresh_digits, 4)
    repeated = LabelledImages.of(
        noisy(few.images.repeat(10, 1, 1, 1), levels=4), few.labels.repeat(10), few.class_names, few.name
    )
    whole, dropped = evaluated(fresh_digits, repeated, metrics=["precision", "coverage"]).sets
    assert value_of(dropped, "coverage") < value_of(whole, "coverage") - 0.2
    assert value_of(dropped, "precision") > value_of(whole, "precision") - 0.1
    assert dropped.duplicates.near == 360
    assert whole.duplicates.near == 0


def test_sets_are_compared_at_equal_numbers(evaluated: Evaluated, fresh_digits: LabelledImages) -> None:
    result = evaluated(fresh_digits, balanced(fresh_digits, 15), metrics=["precision"])
    assert [report.name for report in result.sets] == ["set0", "set1"]
    assert [report.compared for report in result.sets] == [150, 150]
    assert [report.images for report in result.sets] == [400, 150]
    one, other = (figures_of(report)["precision"].overall for report in result.sets)
    assert (one.n, other.n) == (150, 150)
    assert one.value == other.value  # the first 15 of each class are the same images


def test_more_images_than_the_smallest_set_has_are_refused(evaluated: Evaluated, fresh_digits: LabelledImages) -> None:
    with pytest.raises(InputError, match="--count must be at most 400"):
        evaluated(fresh_digits, count=401)


@pytest.mark.parametrize("change", [lambda images: images, noisy])
def test_sets_that_hold_test_images_are_refused(
    evaluated: Evaluated,
    fresh_digits: LabelledImages,
    digits_splits: Splits,
    tmp_path: Path,
    change: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    chosen = balanced(digits_splits.test, 2)
    planted = with_images(fresh_digits, change(chosen.images), places_of(fresh_digits, chosen.labels))
    with pytest.raises(
        InputError, match="holds test images of digits: (20 of 400 pixel|0 of 400 pixel .* (1[5-9]|20) nearly)"
    ):
        evaluated(planted)
    assert not (tmp_path / "out").exists()


def test_what_a_set_teaches_is_compared_with_what_real_images_teach(
    evaluated: Evaluated, fresh_digits: LabelledImages, perceptron: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = replace(JUDGE_RECIPE, network=perceptron)
    monkeypatch.setattr(RECIPES, "_values", {**dict(RECIPES.items()), "quick": quick})
    wrong, _ = relabelled(fresh_digits, 0.9)
    good, bad = evaluated(fresh_digits, wrong, cas_seeds=1, recipe="quick", steps=80).sets
    assert good.accuracy_score is not None
    assert bad.accuracy_score is not None
    assert good.accuracy_score.real == bad.accuracy_score.real > 0.8
    assert good.accuracy_score.synthetic > 0.8
    assert bad.accuracy_score.synthetic < 0.4
    gap = bad.accuracy_score.gap
    assert gap.value == pytest.approx(bad.accuracy_score.real - bad.accuracy_score.synthetic)
    assert gap.low is not None
    assert gap.low > 0.3
    assert (bad.accuracy_score.steps, bad.accuracy_score.test, len(bad.accuracy_score.per_class)) == (80, 359, 10)


def test_pixels_are_a_space_too(evaluated: Evaluated, fresh_digits: LabelledImages) -> None:
    [report] = evaluated(fresh_digits, features=["pixels", "classifier"], metrics=[]).sets
    assert [comparison.space.name for comparison in report.comparisons] == ["pixels", "classifier"]
    score = figures_of(report)["inception_score"].overall
    assert score.value is None
    assert "pixels features say nothing of classes" in str(score.reason)


def test_figures_asked_for_by_name_must_be_possible(evaluated: Evaluated, fresh_digits: LabelledImages) -> None:
    [report] = evaluated(fresh_digits, metrics=["kid", "recall"]).sets
    assert list(figures_of(report)) == ["kid", "recall"]


def test_fewer_images_than_features_are_refused_with_the_reason(
    evaluated: Evaluated, fresh_digits: LabelledImages
) -> None:
    with pytest.raises(InputError, match=r"no Fréchet distance: .*64.*50"):
        evaluated(balanced(fresh_digits, 5), metrics=["frechet"])


def test_sets_without_manifest_of_other_classes_or_damaged_are_refused(tmp_path: Path, digits_set: Path) -> None:
    def refused(folder: Path, **settings: Any) -> str:
        config = EvaluateConfig.resolve({**FEW, "folders": [folder], "out": tmp_path / "out", **settings})
        with pytest.raises((InputError, DamageError)) as error:
            evaluate(config)
        return str(error.value)

    assert "no shard set at" in refused(tmp_path / "none")
    others = write_shard_set(tmp_path / "others", class_names=("cat", "dog"), channels=1)
    assert "classes must be the same" in refused(others, reference="digits")
    large = write_shard_set(tmp_path / "large", class_names=tuple("0123456789"), channels=3)
    assert "same channels and size" in refused(large, reference="digits")
    assert "was trained on a split with seed 0 (here 1)" in refused(digits_set, split_seed=1)
    flip_a_bit(digits_set / "train-000001.tar", 700)
    assert "train-000001.tar has another sha256" in refused(digits_set)
    assert not (tmp_path / "out").exists()


def test_weights_that_cannot_be_downloaded_are_asked_for(
    digits_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*_: Any, **__: Any) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("urllib.request.urlopen", offline)
    config = EvaluateConfig.resolve({**FEW, "folders": [digits_set], "out": tmp_path / "out", "features": "inception"})
    with pytest.raises(InputError, match="--inception-weights"):
        evaluate(config)


def test_efficientnet_is_a_space_without_a_file(
    evaluated: Evaluated, fresh_digits: LabelledImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(weights: Path | None, *, device: str) -> FeatureExtractor:
        assert (weights, device) == (None, "cpu")
        return replace(pixels_extractor(1, 8), name="efficientnet")

    monkeypatch.setitem(PRETRAINED_EXTRACTORS, "efficientnet", build)
    [report] = evaluated(fresh_digits, features=["classifier", "efficientnet"]).sets
    assert [comparison.space.name for comparison in report.comparisons] == ["classifier", "efficientnet"]
    assert [space.space for space in report.memorisation.spaces] == ["pixels", "classifier"]


def test_a_package_that_is_missing_is_asked_for(
    digits_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    config = EvaluateConfig.resolve(
        {**FEW, "folders": [digits_set], "out": tmp_path / "out", "features": "efficientnet"}
    )
    with pytest.raises(InputError, match=r"'synthaug\[efficientnet\]'"):
        evaluate(config)


def test_an_equal_set_is_refused(evaluated: Evaluated, tmp_path: Path, digits_set: Path) -> None:
    config = EvaluateConfig.resolve({**FEW, "folders": [digits_set, digits_set], "out": tmp_path / "out"})
    with pytest.raises(InputError, match="is given twice"):
        plan_evaluation(config)


def test_plan_says_what_would_be_done(tmp_path: Path, digits_set: Path) -> None:
    config = EvaluateConfig.resolve({"folders": [digits_set], "out": tmp_path / "out", "cas_seeds": 2})
    plan = plan_evaluation(config)
    assert (plan.sets, plan.trainings, plan.features) == ({"test": 40}, 4, ("classifier",))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("change", [noisy, recompressed])
def test_few_altered_test_images_are_enough_to_refuse(
    evaluated: Evaluated,
    fresh_digits: LabelledImages,
    digits_splits: Splits,
    change: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    chosen = balanced(digits_splits.test, 1)  # 2.5 %; some are near a training image, or changed too much
    planted = with_images(fresh_digits, change(chosen.images), places_of(fresh_digits, chosen.labels))
    with pytest.raises(
        InputError, match="holds test images of digits: 0 of 400 pixel for pixel, [2-9] nearly|10 nearly"
    ):
        evaluated(planted)


def test_some_copies_among_many_images_are_mentioned(
    evaluated: Evaluated, fresh_digits: LabelledImages, digits_splits: Splits
) -> None:
    chosen = balanced(digits_splits.train, 1).take(torch.arange(6))
    planted = with_images(fresh_digits, noisy(chosen.images), places_of(fresh_digits, chosen.labels))
    [report] = evaluated(planted).sets
    assert report.memorisation.verdict == "some copies"  # 1.5 %, with an interval from 0.55 %
    assert report.memorisation.sentence.startswith("some images are copies: 6 of 400")
    assert report.memorisation.near_test == 0


def test_figures_of_real_images_stand_beside_those_of_the_set(
    evaluated: Evaluated, fresh_digits: LabelledImages, digits_splits: Splits
) -> None:
    [report] = evaluated(fresh_digits).sets
    for space in report.memorisation.spaces:
        assert space.authenticity == pytest.approx(space.real_authenticity, abs=0.25)
        assert space.median == pytest.approx(space.real_median, abs=0.1)
    assert report.memorisation.expected.n == len(digits_splits.validation)


def test_generators_that_began_with_held_out_images_are_refused(
    fresh_digits: LabelledImages, digits_splits: Splits, tmp_path: Path
) -> None:
    seen = digits_splits.record.model_copy(update={"held_out_fingerprint": "e" * 64, "seed": 7})
    record = digits_splits.record
    names = fresh_digits.class_names
    options: dict[str, Any] = {"class_names": names, "channels": 1, "per_class": 8, "allows_flip": False}
    begun = write_shard_set(tmp_path / "begun", split=record, ancestors=(seen,), **options)
    plain = write_shard_set(tmp_path / "plain", split=record, **options)
    curated = write_curated_set(tmp_path / "curated", plain, list(range(40)), split=record, ancestors=(seen,))
    for folder, whose in ((begun, "its generator"), (curated, "what curated it")):
        config = EvaluateConfig.resolve({**FEW, "folders": [folder], "out": tmp_path / "out"})
        with pytest.raises(InputError, match=f"{whose} was trained on a split with seed 7"):
            plan_evaluation(config)


def test_what_is_wrong_is_said_before_anything_is_computed(digits_set: Path, tmp_path: Path) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"count": 41}, "--count must be at most 40"),
        ({"inception_weights": tmp_path / "x.pth"}, "--inception-weights is for --features inception"),
        ({"features": "dinov2", "dinov2_weights": tmp_path / "x.pth"}, "x.pth: there is no such file"),
        ({"judge": tmp_path / "none", "judge_steps": None}, "holds no classifier"),
        ({"fraction": 0.0}, "--fraction must lie in"),
        ({"image_size": 0}, "--image-size must be at least 4"),
    ]
    for changes, message in cases:
        config = EvaluateConfig.resolve({**FEW, "folders": [digits_set], "out": tmp_path / "out", **changes})
        with pytest.raises(InputError, match=message):
            plan_evaluation(config)


def test_scores_of_an_earlier_evaluation_do_not_stay(
    fresh_digits: LabelledImages, digits_splits: Splits, tmp_path: Path
) -> None:
    few = balanced(fresh_digits, 8)
    folders = [write_set_of(tmp_path / name, few, digits_splits, seed=seed) for seed, name in enumerate("ab")]
    out = tmp_path / "out"
    evaluate(EvaluateConfig.resolve({**FEW, "folders": folders, "out": out}))
    assert len(list(out.glob("samples_*.csv"))) == 2
    evaluate(EvaluateConfig.resolve({**FEW, "folders": folders[:1], "out": out}))
    assert len(list(out.glob("samples_*.csv"))) == 1


def test_class_names_are_no_formulas_in_tables() -> None:
    names = ("=HYPERLINK(1)", "+1", "@x", "-y", "a\x1bb", "plain", "6", "7", "8", "9")
    assert [table_name(name) for name in names[:6]] == ["'=HYPERLINK(1)", "'+1", "'@x", "'-y", "a\\x1bb", "plain"]
