import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from synthaug.classifiers.networks import build_network
from synthaug.classifiers.task import TrainedClassifier, predict, train_classifier
from synthaug.classifiers.validation import CurvePoint
from synthaug.core.errors import DamageError, InputError
from synthaug.core.runtime import Runtime
from synthaug.data.datamodule import MixedDataModule
from synthaug.data.splits import Splits
from synthaug.workflows import classify as classify_module
from synthaug.workflows.classify import ClassifyConfig, ClassifyResult, classify, plan_classification
from tests.conftest import write_shard_set
from tests.workflows.benches import DIGITS


def settings(**others: Any) -> ClassifyConfig:
    """A few steps on twenty digits of each class."""
    few = {"per_class_real": 20, "steps": 3, "batch_size": 8, "device": "cpu", "precision": "fp32"}
    return ClassifyConfig.resolve({**few, **others})


def figures(result: ClassifyResult) -> tuple[object, ...]:
    return (result.test, result.per_class, result.validation_accuracy, result.best_step, result.steps, result.curve)


@pytest.fixture
def mixed_in(monkeypatch: pytest.MonkeyPatch) -> list[MixedDataModule]:
    """The datamodules that classifiers are given, instead of being trained with them."""
    given: list[MixedDataModule] = []

    def pretend(network: Any, datamodule: MixedDataModule, recipe: Any, **_: Any) -> TrainedClassifier:
        given.append(datamodule)
        return TrainedClassifier(network.eval(), recipe.steps, 1, 0.5, [CurvePoint(1, 2.0, 0.5)])

    monkeypatch.setattr(classify_module, "train_classifier", pretend)
    return given


def test_real_images_alone_are_learned_and_tested(
    digits_splits: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = classify(settings())
    assert (result.steps, result.test.count) == (3, len(digits_splits.test))
    assert list(result.per_class) == list("0123456789")
    counts = digits_splits.test.class_counts()
    by_class = sum(share * count for share, count in zip(result.per_class.values(), counts, strict=True))
    assert by_class / sum(counts) == pytest.approx(result.test.overall)
    [kept] = [point for point in result.curve if point.step == result.best_step]
    assert result.validation_accuracy == kept.validation_accuracy
    assert result.out is None
    assert not list(tmp_path.iterdir())


def test_same_seed_gives_the_same_result_and_another_seed_another() -> None:
    first = classify(settings(seed=4))
    assert figures(classify(settings(seed=4))) == figures(first)
    assert figures(classify(settings(seed=5))) != figures(first)


def test_synthetic_images_make_up_their_share_of_each_batch(digits_set: Path, mixed_in: list[MixedDataModule]) -> None:
    classify(settings(synthetic=digits_set, synthetic_fraction=0.25))
    classify(settings())
    mixed, real = (list(datamodule.train_dataloader()) for datamodule in mixed_in)
    assert {int(batch.is_synthetic.sum()) for batch in mixed} == {2}
    assert {int(batch.is_synthetic.sum()) for batch in real} == {0}
    assert {len(batch.labels) for batch in [*mixed, *real]} == {8}


def test_several_sets_are_mixed_by_their_amounts(
    digits_set: Path, tmp_path: Path, digits_splits: Splits, mixed_in: list[MixedDataModule]
) -> None:
    other = write_shard_set(
        tmp_path / "other", split=digits_splits.record, class_names=DIGITS, channels=1, allows_flip=False, seed=3
    )
    both = {"synthetic": [digits_set, other], "batch_size": 16}
    classify(settings(**both, proportion=[3.0, 1.0], synthetic_fraction=0.5))
    classify(settings(**both, choose=[40, 40]))
    classify(settings(**both, repeat=[2.0, 1.0], mode="add"))
    counts = []
    for datamodule in mixed_in:
        sources = torch.cat([batch.sources for batch in datamodule.train_dataloader()])
        counts.append((len(sources), torch.bincount(sources).tolist()))
    assert counts == [
        (208, [104, 78, 26]),
        (208, [125, 42, 41]),
        (320, [200, 80, 40]),
    ]


def test_the_share_may_change_over_the_training(digits_set: Path) -> None:
    given: list[float] = []

    def watching(network: Any, datamodule: MixedDataModule, recipe: Any, **others: Any) -> TrainedClassifier:
        trained = train_classifier(network, datamodule, recipe, **others)
        given.append(datamodule.loader.observed_fraction)
        return trained

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classify_module, "train_classifier", watching)
        classify(settings(synthetic=digits_set, synthetic_fraction="0.75:0.25 linear", steps=50))  # two epochs
    assert given == [0.25]


@pytest.mark.parametrize(
    "extra",
    [
        {"transform": "survey", "input_size": 16},
        {"transform": "strong", "mixup": 0.2, "cutmix": 1.0},
        {"synthetic_loss_weight": 0.5, "synthetic_label_smoothing": 0.1, "batching": "random"},
        {"loading": "streaming", "workers": 0},
        {"normalise": True, "transform": "none"},
    ],
    ids=str,
)
def test_a_way_of_mixing_changes_what_is_learned_and_is_saved(
    digits_set: Path, tmp_path: Path, extra: dict[str, Any]
) -> None:
    plain = classify(settings(synthetic=digits_set))
    other = classify(settings(synthetic=digits_set, out=tmp_path / "out", **extra))
    if "loading" in extra:
        assert figures(other) == figures(plain)
    else:
        assert figures(other) != figures(plain)
    saved = ClassifyConfig.resolve({}, tmp_path / "out" / "config.yaml")
    assert {name: getattr(saved, name) for name in extra} == extra
    description = json.loads((tmp_path / "out" / "classifier.json").read_text())
    assert (description["preparation"]["mean"] is not None) is (
        extra.get("transform") == "survey" or "normalise" in extra
    )
    assert description["preparation"]["input_size"] == extra.get("input_size")


def test_a_pipeline_file_augments_image_by_image(digits_set: Path, tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text("real: basic\n")
    found = classify(settings(synthetic=digits_set, transform=str(tmp_path / "t.yaml"), workers=0))
    assert figures(found) != figures(classify(settings(synthetic=digits_set)))


def test_damaged_samples_may_be_left_out(
    digits_set: Path, tmp_path: Path, mixed_in: list[MixedDataModule], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNTHAUG_HOME", str(tmp_path / "home"))  # other tests have decoded the whole set
    (digits_set / "train-000001.tar").unlink()
    classify(settings(synthetic=digits_set, on_damage="skip"))
    assert mixed_in[0].synthetic_count == 24


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"proportion": [1.0, 2.0]}, "--proportion is needed once for each --synthetic, found 2 for 1"),
        ({"choose": [500]}, "500 synthetic images cannot replace some of the 200"),
        ({"choose": [5], "synthetic_fraction": 0.5}, "already say how many images"),
        ({"transform": "none.yaml"}, r"none\.yaml"),
        ({"mixup": -1.0}, "--mixup must be 0 or more"),
    ],
)
def test_impossible_mixtures_are_refused(digits_set: Path, change: dict[str, Any], complaint: str) -> None:
    for do in (classify, plan_classification):
        with pytest.raises(InputError, match=complaint):
            do(settings(synthetic=digits_set, **change))


@pytest.mark.parametrize("name", ["synthetic_fraction", "proportion", "repeat", "choose"])
def test_an_amount_of_nothing_is_refused(name: str) -> None:
    value: Any = 0.5 if name == "synthetic_fraction" else [1]
    with pytest.raises(InputError, match=f"--{name.replace('_', '-')} needs a set to take images from"):
        classify(settings(**{name: value}))


@pytest.mark.parametrize("fraction", [-0.5, 1.5])
def test_share_out_of_range_is_refused(digits_set: Path, fraction: float) -> None:
    with pytest.raises(InputError, match=rf"--synthetic-fraction must lie in \[0, 1\], .* found {fraction}"):
        classify(settings(synthetic=digits_set, synthetic_fraction=fraction))


def test_synthetic_images_change_what_is_learned(digits_set: Path) -> None:
    assert figures(classify(settings(synthetic=digits_set))) != figures(classify(settings()))


def test_saved_classifier_reproduces_its_test_accuracy(digits_splits: Splits, tmp_path: Path) -> None:
    out = tmp_path / "classifier"
    result = classify(settings(out=out, steps=6))
    description = json.loads((out / "classifier.json").read_text())
    network = build_network(
        description["recipe"]["network"],
        channels=description["channels"],
        classes=len(description["class_names"]),
        seed=99,
    )
    network.load_state_dict(load_file(out / "classifier.safetensors"))
    test = digits_splits.test
    predicted: Tensor = predict(network, test.images, Runtime("cpu", "fp32")).argmax(dim=1)
    accuracy = int((predicted == test.labels).sum()) / len(test)
    assert accuracy == pytest.approx(result.test.overall)
    assert description["test_accuracy"] == result.test.overall
    assert description["image_size"] == test.image_size
    assert description["class_names"] == list("0123456789")
    assert description["split"] == digits_splits.record.model_dump(mode="json")


def test_saved_settings_give_the_same_classifier_again(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    classify(settings(out=first))
    classify(ClassifyConfig.resolve({"out": second}, first / "config.yaml"))
    before, after = (load_file(out / "classifier.safetensors") for out in (first, second))
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_output_that_holds_something_is_refused_and_left_alone(tmp_path: Path, mixed_in: list[MixedDataModule]) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(InputError, match="is not empty and holds no unfinished classifier"):
        classify(settings(out=tmp_path))
    for out in (tmp_path / "thesis.tex", tmp_path / "thesis.tex" / "below"):
        with pytest.raises(InputError, match=r"thesis\.tex is a file; a folder is needed"):
            classify(settings(out=out))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    assert (tmp_path / "thesis.tex").read_text() == "precious"
    assert mixed_in == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"split_seed": 1}, "a split with seed 0 .*here 1.*has seen validation or test images"),
        ({"per_class_real": 19}, "saw 200 real training images, more than the 190"),
    ],
)
def test_set_whose_generator_saw_too_much_is_refused(
    digits_set: Path, change: dict[str, int], reason: str, mixed_in: list[MixedDataModule]
) -> None:
    for do in (classify, plan_classification):
        with pytest.raises(InputError, match=f"must not be used with this split: .*{reason}"):
            do(settings(synthetic=digits_set, **change))
    assert mixed_in == []


def test_damaged_set_is_refused(digits_set: Path) -> None:
    shutil.copy(digits_set / "train-000000.tar", digits_set / "train-000001.tar")
    with pytest.raises(DamageError, match=r"train-000001\.tar has another sha256"):
        classify(settings(synthetic=digits_set))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"steps": 0}, "--steps must be at least 1"),
        ({"batch_size": 1}, "--batch-size must be at least 2"),
        ({"learning_rate": -0.1}, "--learning-rate must be a positive number"),
        ({"learning_rate": float("inf")}, "--learning-rate must be a positive number"),
        ({"synthetic_fraction": 1.5}, r"--synthetic-fraction must lie in \[0, 1\], .* found 1.5"),
        ({"transform": "mixup"}, "unknown transform preset 'mixup'"),
        ({"network": "vgg"}, "unknown network 'vgg'"),
        ({"recipe": "slow"}, "unknown recipe 'slow'"),
    ],
)
def test_impossible_settings_are_refused_by_a_run_and_by_its_plan(
    digits_set: Path, tmp_path: Path, change: dict[str, Any], complaint: str
) -> None:
    for do in (classify, plan_classification):
        with pytest.raises(InputError, match=complaint):
            do(settings(synthetic=digits_set, out=tmp_path / "out", **change))
    assert not (tmp_path / "out").exists()


def test_plan_counts_the_images_and_trains_nothing(
    digits_set: Path, digits_splits: Splits, tmp_path: Path, mixed_in: list[MixedDataModule]
) -> None:
    plan = plan_classification(settings(synthetic=digits_set, out=tmp_path / "out"))
    assert (plan.train, plan.synthetic, plan.test) == (200, 40, len(digits_splits.test))
    assert (plan.recipe["steps"], plan.recipe["batch_size"], plan.recipe["network"]) == (3, 8, "cifarnet")
    assert mixed_in == []
    assert not (tmp_path / "out").exists()
