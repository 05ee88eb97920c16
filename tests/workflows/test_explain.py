import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from synthaug.classifiers.networks import Architecture, ImageClassifier, build_network
from synthaug.classifiers.saved import CARD_NAME, WEIGHTS_NAME, read_classifier
from synthaug.classifiers.task import predict
from synthaug.core.errors import DamageError, InputError
from synthaug.core.runtime import Runtime
from synthaug.core.seeding import generator_for
from synthaug.data.preparation import Preparation
from synthaug.data.splits import Splits
from synthaug.workflows.classify import ClassifyConfig, classify
from synthaug.workflows.explain import ExplainConfig, ExplainResult, explain, plan_explanation
from synthaug.workflows.explain import run as explain_module
from synthaug.workflows.explain.attributions import enlarged, grad_cam, integrated_gradients, on_pixels
from synthaug.workflows.explain.choice import rank_correlation, spread_over_classes
from synthaug.workflows.explain.inputs import baseline_image
from synthaug.workflows.explain.pictures import heat_over, signed_colours
from tests.workflows.pages import Page

LEARNING = {"network": "resnet20", "optimiser": "sgd", "learning_rate": 0.1, "schedule": "onecycle", "batch_size": 16}
FEW = {**LEARNING, "per_class_real": 20, "device": "cpu", "precision": "fp32"}
Explain = Callable[..., ExplainResult]


@pytest.fixture(scope="module")
def classifiers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two classifiers of digits after a few steps; the second one sees the images enlarged."""
    folder = tmp_path_factory.mktemp("classifiers")
    classify(ClassifyConfig.resolve({**FEW, "steps": 15, "out": folder / "first"}))
    classify(ClassifyConfig.resolve({**FEW, "steps": 8, "seed": 1, "input_size": 12, "out": folder / "<b>other"}))
    return folder / "first", folder / "<b>other"


@pytest.fixture
def explained(classifiers: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Explain:
    """`explained(out_name, **changes)`: by default an image by both classifiers, in few steps and without drawing."""
    monkeypatch.setattr(explain_module, "explained_picture", lambda *_: b"")

    def call(out: str = "out", **changes: Any) -> ExplainResult:
        return explain(settings(classifiers, tmp_path / out, **{"integration_steps": 2, **changes}))

    return call


@pytest.fixture(scope="module")
def result(classifiers: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> ExplainResult:
    return explain(settings(classifiers, tmp_path_factory.mktemp("explained") / "out", count=11))


@pytest.fixture(scope="module")
def page(result: ExplainResult) -> Page:
    return Page(result.page.read_text(encoding="utf-8"))


def settings(checkpoints: tuple[Path, ...], out: Path, **changes: Any) -> ExplainConfig:
    few = {"per_class_real": 20, "count": 1, "device": "cpu"}
    return ExplainConfig.resolve({**few, "checkpoint": checkpoints, "out": out, **changes})


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=generator_for("test noise", seed))


def predictions(folder: Path, splits: Splits) -> Tensor:
    network, card = read_classifier(folder)
    preparation = Preparation(**card.preparation.model_dump())
    return predict(network, splits.test.images, Runtime("cpu", "fp32"), preparation=preparation)


def test_integrated_gradients_of_a_linear_network_are_weights_times_differences() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(2 * 5 * 5, 3))
    image, baseline = noise(2, 5, 5), noise(2, 5, 5, seed=1)
    found = integrated_gradients(network, image, baseline, 1, steps=4)
    weights = network[1].weight[1].view(2, 5, 5).detach()
    torch.testing.assert_close(found.values, weights * (image - baseline), rtol=1e-5, atol=1e-6)
    assert found.output == pytest.approx(network(image[None])[0, 1].item(), rel=1e-6)
    assert found.baseline_output == pytest.approx(network(baseline[None])[0, 1].item(), rel=1e-6)
    assert found.gap < 1e-5


def test_integrated_gradients_take_steps_until_they_are_complete() -> None:
    class Sharp(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            rises = 10 * torch.tanh(40 * (images.mean(dim=(1, 2, 3)) - 0.02))
            return torch.stack([rises, -rises], dim=1)

    image, baseline = torch.ones(1, 2, 2), torch.zeros(1, 2, 2)
    few = integrated_gradients(Sharp(), image, baseline, 1, steps=8)
    enough = integrated_gradients(Sharp(), image, baseline, 1)
    assert (few.steps, few.is_complete) == (8, False)
    assert enough.is_complete
    assert enough.steps in (32, 64, 128)
    assert enough.total == pytest.approx(enough.difference, rel=0.01)
    assert enough.difference == pytest.approx(-10 * (math.tanh(40 * 0.98) + math.tanh(0.8)), rel=1e-4)


def test_grad_cam_is_its_formula_computed_by_hand() -> None:
    backbone = nn.Sequential(nn.Conv2d(1, 3, kernel_size=2, stride=2), nn.ReLU(inplace=True))
    network = ImageClassifier(backbone, 3, None, 2)
    for parameter, seed in zip(network.parameters(), range(4), strict=True):
        parameter.data = noise(*parameter.shape, seed=seed)
    image = noise(1, 6, 6, seed=9)
    maps = backbone(image[None])[0].detach()
    for label in (0, 1):  # of an average and a linear head, every position has the gradient w / 9
        by_hand = ((network.head.weight[label].detach() / 9)[:, None, None] * maps).sum(dim=0).clamp(min=0)
        torch.testing.assert_close(grad_cam(network, image, label), by_hand)
    assert grad_cam(network, image, 0).max() > 0


@pytest.mark.parametrize(
    "architecture",
    [
        Architecture("resnet20"),
        Architecture("resnet20", attention="self"),
        Architecture("resnet18"),
        Architecture("cifarnet"),
    ],
    ids=str,
)
def test_grad_cam_of_our_networks_is_their_gradient_at_the_maps(architecture: Architecture) -> None:
    network = build_network(architecture, channels=3, classes=4, seed=0).eval()
    if network.attention is not None:  # its last layer begins at zero
        nn.init.normal_(network.attention.output.weight, std=0.5)
    image = noise(3, 16, 16)
    maps = network.backbone(image[None]).detach().requires_grad_()
    features = maps.mean(dim=(2, 3))
    logits = network.head(features if network.attention is None else features + network.attention(maps))
    [gradients] = torch.autograd.grad(logits[0, 2], maps)
    by_hand = (gradients.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1)[0].clamp(min=0).detach()
    torch.testing.assert_close(grad_cam(network, image, 2), by_hand, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("after", [4, 6, 8, 9, 12, 24, 31])
def test_contributions_keep_their_sum_and_place_when_images_were_resized(after: int) -> None:
    values = torch.zeros(2, 12, 12)
    values[:, :3, 9:] = noise(2, 3, 3).abs()  # in the upper right quarter
    found = on_pixels(values, after)
    assert float(found.sum()) == pytest.approx(float(values.sum()), rel=1e-5)
    assert float(found[: math.ceil(after / 4), math.floor(after * 3 / 4) :].sum()) == pytest.approx(
        float(values.sum()), rel=1e-5
    )
    if after == 12:
        torch.testing.assert_close(found, values.sum(dim=0))


def test_heat_maps_are_enlarged_bilinearly() -> None:
    found = enlarged(torch.tensor([[0.0, 1.0]]), 4)
    torch.testing.assert_close(found, torch.tensor([[0.0, 0.25, 0.75, 1.0]]).expand(4, 4))


def test_images_are_spread_over_the_classes_and_the_same_every_time() -> None:
    labels = torch.tensor([0] * 30 + [1] * 30 + [2] * 2 + [3] * 30)
    everything = torch.ones(len(labels), dtype=torch.bool)
    for count, wanted in ((4, [1, 1, 1, 1]), (8, [2, 2, 2, 2]), (11, [3, 3, 2, 3]), (500, [30, 30, 2, 30])):
        chosen = spread_over_classes(labels, everything, count, seed=0)
        assert torch.bincount(labels[chosen], minlength=4).tolist() == wanted
        assert chosen == spread_over_classes(labels, everything, count, seed=0)
        assert len(set(chosen)) == len(chosen)
        assert labels[chosen].tolist() == sorted(labels[chosen].tolist())
    seeds = [spread_over_classes(labels, everything, 2, seed=seed) for seed in range(12)]
    assert {label for chosen in seeds for label in labels[chosen].tolist()} == {0, 1, 2, 3}
    some = everything.clone()
    some[:25] = False
    assert all(some[position] for position in spread_over_classes(labels, some, 40, seed=0))


def test_rank_correlation_is_of_ranks_and_of_the_pixels_that_count() -> None:
    values = noise(4, 4)
    everywhere = torch.ones(4, 4, dtype=torch.bool)
    assert rank_correlation(values, values.exp(), everywhere) == pytest.approx(1)
    assert rank_correlation(values, -values, everywhere) == pytest.approx(-1)
    half, other = everywhere.clone(), values.clone()
    half[2:] = False
    other[2:] = -other[2:]
    assert rank_correlation(values, other, half) == pytest.approx(1)
    assert rank_correlation(values, other, everywhere) < 0.9
    assert rank_correlation(values, torch.zeros(4, 4), everywhere) is None
    assert rank_correlation(values, 3 + 1e-6 * values, everywhere) is None  # as rounding may leave it
    assert rank_correlation(values, values, torch.zeros(4, 4, dtype=torch.bool)) is None


def test_red_is_for_the_class_blue_against_it_and_heat_is_as_bright_as_the_image() -> None:
    red, _, blue = signed_colours(torch.tensor([[-2.0, 0.0], [0.5, 2.0]])).int()
    assert red[1, 1] > blue[1, 1] + 60
    assert blue[0, 0] > red[0, 0] + 60
    assert red[0, 1].item() == pytest.approx(blue[0, 1].item(), abs=2)
    assert blue[0, 1] > 240
    assert red[1, 0] > blue[1, 0]
    assert (signed_colours(torch.zeros(2, 2)) > 240).all()
    image = torch.tensor([[[0, 255], [0, 255]]], dtype=torch.uint8)
    dark, light = heat_over(image, torch.tensor([[0.0, 0.0], [3.0, 3.0]])).int().sum(dim=0).T
    assert (light > 2 * dark).all()
    assert dark[1] > dark[0]
    assert (heat_over(image, torch.zeros(2, 2)) == heat_over(image, torch.zeros(2, 2) * 5)).all()


def test_baselines_are_black_grey_or_the_mean_of_the_training_images(digits_splits: Splits) -> None:
    train = digits_splits.train
    assert baseline_image("black", train).unique().tolist() == [0]
    assert baseline_image("grey", train).unique().tolist() == [128]
    assert baseline_image("mean", train).unique().tolist() == [round(float(train.images.float().mean()))]


def test_sums_of_integrated_gradients_are_the_differences_of_outputs(result: ExplainResult) -> None:
    explanations = [said for image in result.images for said in image.explanations]
    assert len(explanations) == 22
    for said in explanations:
        difference = said.output - said.baseline_output
        assert abs(said.attribution_sum - difference) == pytest.approx(said.gap, abs=1e-4)
        assert said.gap <= max(0.01 * abs(difference), 0.01)
        assert said.is_complete
    assert max(abs(said.output - said.baseline_output) for said in explanations) > 1


def test_predictions_shown_are_those_of_the_classifier(
    result: ExplainResult, classifiers: tuple[Path, Path], digits_splits: Splits
) -> None:
    for number, folder in enumerate(classifiers):
        probabilities = predictions(folder, digits_splits)
        for image in result.images:
            said, likeliest = image.explanations[number], int(probabilities[image.position].argmax())
            assert said.classifier == folder.name
            assert said.predicted == str(likeliest)
            assert said.probability == pytest.approx(float(probabilities[image.position].max()), abs=1e-6)
            assert image.true_class == str(int(digits_splits.test.labels[image.position]))
            assert said.is_right is (said.predicted == image.true_class)


def test_outputs_are_logits_of_the_predicted_class(
    result: ExplainResult, classifiers: tuple[Path, Path], digits_splits: Splits
) -> None:
    network, card = read_classifier(classifiers[1])
    preparation = Preparation(**card.preparation.model_dump())
    assert card.preparation.input_size == 12
    for image in result.images:
        pixels = digits_splits.test.images[image.position][None]
        logits = network(preparation(torch.cat([pixels, torch.zeros_like(pixels)])))[
            :, int(image.explanations[1].predicted)
        ]
        assert [image.explanations[1].output, image.explanations[1].baseline_output] == pytest.approx(
            logits.tolist(), abs=1e-4
        )


def test_nothing_is_attributed_to_pixels_that_equal_the_baseline(
    explained: Explain, classifiers: tuple[Path, Path], digits_splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(explain_module, "explained_picture", lambda rows, _: seen.extend(rows) or b"")
    explained(checkpoint=classifiers[0], integration_steps=8, count=3)
    assert len(seen) == 3
    for row in seen:
        gradients, is_black = row.maps[0].gradients, row.image[0] == 0
        assert is_black.sum() > 10
        assert (gradients[is_black] == 0).all()
        assert (gradients[~is_black] != 0).any()
        assert float(gradients.sum()) == pytest.approx(row.record.explanations[0].attribution_sum, abs=1e-3)


def test_another_baseline_gives_other_outputs_to_compare_with(explained: Explain) -> None:
    ends = {
        name: explained(name, baseline=name).images[0].explanations[0].baseline_output
        for name in ("black", "grey", "mean")
    }
    assert len(set(ends.values())) == 3


def test_steps_are_taken_as_told(explained: Explain) -> None:
    found = explained(integration_steps=5)
    assert {said.steps for image in found.images for said in image.explanations} == {5}


def test_images_are_of_all_classes(result: ExplainResult) -> None:
    classes = [image.true_class for image in result.images]
    assert set(classes) == set("0123456789")
    assert len(classes) == len({image.position for image in result.images}) == 11


def test_seed_decides_which_images_are_shown(explained: Explain) -> None:
    chosen = [
        [image.position for image in explained(str(number), seed=seed, count=3).images]
        for number, seed in enumerate((3, 3, 4))
    ]
    assert chosen[0] == chosen[1] != chosen[2]


def test_only_images_are_shown_that_the_first_classifier_gets_wrong(
    explained: Explain, classifiers: tuple[Path, Path], digits_splits: Splits
) -> None:
    found = explained(which="wrong", count=5)
    wrong = predictions(classifiers[0], digits_splits).argmax(dim=1) != digits_splits.test.labels
    assert all(wrong[image.position] for image in found.images)
    assert not any(image.explanations[0].is_right for image in found.images)
    assert len(found.images) == min(5, int(wrong.sum())) > 0


def test_only_images_are_shown_on_which_the_classifiers_disagree(explained: Explain) -> None:
    found = explained(which="disagree", count=4)
    assert found.images
    assert all(image.explanations[0].predicted != image.explanations[1].predicted for image in found.images)
    assert found.likenesses[0].same_class == 0


def test_no_image_such_as_asked_for_is_said_so(
    explained: Explain, digits_splits: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = torch.nn.functional.one_hot(digits_splits.test.labels, 10).float()
    monkeypatch.setattr(explain_module, "predict", lambda *_, **__: truth)
    for which, complaint in (("wrong", "that first gets wrong"), ("disagree", "on which first and .* differ")):
        with pytest.raises(
            InputError, match=f"--which {which} needs a test image {complaint}, found none among the 359"
        ):
            explained(which=which)
    assert not list(tmp_path.iterdir())


def test_likeness_of_classifiers_is_of_their_maps(
    explained: Explain, classifiers: tuple[Path, Path], tmp_path: Path
) -> None:
    shutil.copytree(classifiers[0], tmp_path / "copy")
    [same, different, _] = explained(checkpoint=(classifiers[0], tmp_path / "copy", classifiers[1]), count=2).likenesses
    assert (same.first, same.second, same.same_class) == ("first", "copy", 2)
    assert same.gradients == pytest.approx(1)
    assert same.heat == pytest.approx(1)
    assert different.gradients is not None
    assert -1 <= different.gradients < 0.95


def test_figures_are_written_and_are_those_of_the_result(result: ExplainResult) -> None:
    written = json.loads((result.out / "explained.json").read_text())
    assert [image["position"] for image in written["images"]] == [image.position for image in result.images]
    first, said = written["images"][0]["explanations"][0], result.images[0].explanations[0]
    assert (first["gap"], first["attribution_sum"], first["steps"]) == (said.gap, said.attribution_sum, said.steps)
    assert written["likenesses"][0]["gradients"] == result.likenesses[0].gradients
    assert written["classifiers"][1]["test_accuracy"] == result.classifiers[1].test_accuracy
    again = ExplainConfig.resolve({}, result.out / "config.yaml")
    assert (again.count, again.out, len(again.checkpoint)) == (11, result.out, 2)


def test_same_settings_give_the_same_files(classifiers: tuple[Path, Path], tmp_path: Path) -> None:
    first, second = (explain(settings(classifiers, tmp_path / name)) for name in ("first", "second"))
    for name in ("explained.json", "explained.html", "explained.png"):
        assert (first.out / name).read_bytes() == (second.out / name).read_bytes()


def test_page_loads_nothing_from_anywhere(result: ExplainResult, page: Page) -> None:
    text = result.page.read_text(encoding="utf-8")
    assert not re.findall(r"https?://", text)
    assert not {"script", "link", "iframe", "object", "embed", "base", "a"} & {tag for tag, _ in page.tags}
    assert all(picture["src"].startswith("data:image/png;base64,") for picture in page.all("img"))
    assert "@import" not in text
    assert "url(" not in text
    assert "prefers-color-scheme: dark" in text


def test_page_names_every_classifier_with_its_accuracy_and_escapes_names(result: ExplainResult, page: Page) -> None:
    rows = page.table("classifier")
    assert [row[0] for row in rows] == ["first", "<b>other"]
    for row, facts in zip(rows, result.classifiers, strict=True):
        assert row[5] == f"{100 * facts.test_accuracy:.2f}"
        assert row[1] == "200 real images, no synthetic set"
    assert "<b>other" not in result.page.read_text(encoding="utf-8")
    assert page.texts["p"][0].startswith("first and <b>other on 11 of 359 test images of digits")


def test_page_shows_every_image_with_two_maps_of_each_classifier_and_their_figures(
    result: ExplainResult, page: Page
) -> None:
    words = [picture["alt"] for picture in page.all("img")]
    assert len(words) == 11 * (1 + 2 * 2)
    position = result.images[0].position
    assert words[:3] == [
        f"test image {position}",
        f"integrated gradients of first in test image {position}",
        f"Grad-CAM of first on test image {position}",
    ]
    rows = page.table("test image", "class")
    assert len(rows) == 22
    said = result.images[0].explanations[0]
    assert rows[0][:3] == [str(position), result.images[0].true_class, "first"]
    assert rows[0][5:7] == [f"{said.output - said.baseline_output:.4f}", f"{said.attribution_sum:.4f}"]
    [likeness] = page.table("classifiers")
    assert likeness[0] == "first and <b>other"
    assert likeness[2] == f"{result.likenesses[0].gradients:.2f} (11 images)"


def test_one_classifier_alone_is_compared_with_none(
    explained: Explain, classifiers: tuple[Path, Path], tmp_path: Path
) -> None:
    found = explained(checkpoint=str(classifiers[0]))
    assert found.likenesses == ()
    assert "same places" not in found.page.read_text(encoding="utf-8")


def test_picture_has_a_row_for_each_image_and_two_columns_for_each_classifier(
    result: ExplainResult, classifiers: tuple[Path, Path], tmp_path: Path
) -> None:
    explain(settings(classifiers[:1], tmp_path / "one"))
    pictures = []
    for out in (result.out, tmp_path / "one"):
        data = np.frombuffer((out / "explained.png").read_bytes(), np.uint8)
        pictures.append(cv2.imdecode(data, cv2.IMREAD_COLOR))
    large, small = pictures
    assert large.shape[0] > 5 * small.shape[0]
    assert large.shape[1] > 1.5 * small.shape[1]
    colours = small.astype(int).max(axis=2) - small.astype(int).min(axis=2)
    assert (colours > 60).mean() > 0.05


def test_plan_names_the_classifiers_and_computes_nothing(
    classifiers: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explain_module, "predict", None)
    plan = plan_explanation(settings(classifiers, tmp_path / "out", count=100))
    assert [facts.name for facts in plan.classifiers] == ["first", "<b>other"]
    assert (plan.test, plan.images) == (359, 100)
    assert not (tmp_path / "out").exists()


def changed(folder: Path, to: Path, **card: Any) -> Path:
    """A copy of a classifier whose card says something else."""
    shutil.copytree(folder, to)
    (to / CARD_NAME).write_text(json.dumps({**json.loads((to / CARD_NAME).read_text()), **card}))
    return to


@pytest.mark.parametrize(
    ("card", "complaint"),
    [
        ({"image_size": 16}, "grey images of 16 pixels of 10 classes .*digits has grey images of 8 pixels"),
        ({"class_names": list("9876543210")}, r"10 classes \(9, 8, .*digits has .*10 classes \(0, 1,"),
    ],
)
def test_classifier_of_other_images_is_refused(
    classifiers: tuple[Path, Path], tmp_path: Path, card: dict[str, Any], complaint: str
) -> None:
    other = changed(classifiers[0], tmp_path / "other", **card)
    for do in (explain, plan_explanation):
        with pytest.raises(InputError, match=complaint):
            do(settings((classifiers[0], other), tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_classifier_of_grey_images_is_refused_for_colours(
    classifiers: tuple[Path, Path], tmp_path: Path, make_image_folder: Callable[..., Path]
) -> None:
    data = f"imagefolder:{make_image_folder(class_names=tuple('0123456789'), channels=3)}"
    with pytest.raises(InputError, match="grey images of 8 pixels .* has RGB images of 8 pixels"):
        explain(settings(classifiers, tmp_path / "out", data=data, per_class_real=None))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"checkpoint": ()}, "--checkpoint"),
        ({"count": 0}, "--count"),
        ({"integration_steps": 0}, "--integration-steps"),
        ({"which": "all"}, "--which"),
        ({"baseline": "white"}, "--baseline"),
        ({"precision": "bf16"}, "--precision"),
    ],
)
def test_impossible_settings_are_refused_at_the_door(
    classifiers: tuple[Path, Path], tmp_path: Path, change: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint):
        settings(classifiers, tmp_path / "out", **change)


def test_what_cannot_be_compared_is_refused(explained: Explain, classifiers: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--which disagree needs at least two --checkpoint, found one"):
        explained(checkpoint=classifiers[0], which="disagree")
    with pytest.raises(InputError, match="different classifiers are needed"):
        explained(checkpoint=(classifiers[0], classifiers[0]))
    with pytest.raises(InputError, match="holds no classifier"):
        explained(checkpoint=tmp_path / "none")


def test_classifiers_of_one_name_are_told_apart_by_their_paths(
    explained: Explain, classifiers: tuple[Path, Path], tmp_path: Path
) -> None:
    shutil.copytree(classifiers[0], tmp_path / "more" / "first")
    both = (classifiers[0], tmp_path / "more" / "first")
    assert [facts.name for facts in explained(checkpoint=both, count=1).classifiers] == list(map(str, both))


def test_damaged_weights_are_refused(classifiers: tuple[Path, Path], tmp_path: Path) -> None:
    damaged = changed(classifiers[0], tmp_path / "damaged")
    data = bytearray((damaged / WEIGHTS_NAME).read_bytes())
    data[-1] ^= 1
    (damaged / WEIGHTS_NAME).write_bytes(data)
    with pytest.raises(DamageError, match="is damaged"):
        explain(settings((damaged,), tmp_path / "out"))


def test_folder_that_holds_something_else_is_refused_and_an_earlier_explanation_replaced(
    explained: Explain, tmp_path: Path
) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.tex").write_text("precious")
    with pytest.raises(InputError, match="is not empty and holds no earlier explanation"):
        explained("taken")
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["thesis.tex"]
    assert len(explained("out", count=1).images) == 1
    assert len(json.loads((explained("out", count=2).out / "explained.json").read_text())["images"]) == 2


def test_test_images_that_a_classifier_may_have_learned_are_warned_of(
    explained: Explain, capsys: pytest.CaptureFixture[str]
) -> None:
    explained("same")
    explained("fewer", per_class_real=5)  # these classifiers saw more training images, but no test image
    assert "split" not in capsys.readouterr().err
    explained("other", split_seed=1)
    complaint = capsys.readouterr().err
    assert re.search(
        r"first: it was trained on a split with seed 0 \(here 1\), so it has seen .* test images", complaint
    )
    assert complaint.count("trained on a split with seed 0") == 2


def test_sums_that_stay_incomplete_are_warned_of(explained: Explain, capsys: pytest.CaptureFixture[str]) -> None:
    found = explained(integration_steps=1)
    incomplete = sum(not said.is_complete for image in found.images for said in image.explanations)
    assert incomplete > 0
    assert f"warning: for {incomplete} of 2 predictions, integrated gradients miss" in capsys.readouterr().err
    assert found.page.read_text(encoding="utf-8").count(", incomplete") == 2 * incomplete


def test_maps_of_one_position_are_said_to_tell_no_places_apart(
    explained: Explain, classifiers: tuple[Path, Path], tmp_path: Path
) -> None:
    classify(ClassifyConfig.resolve({**FEW, "network": "cifarnet", "steps": 2, "out": tmp_path / "small"}))
    found = explained(checkpoint=tmp_path / "small")
    assert found.images[0].explanations[0].heat_size == (1, 1)
    assert explained("two", checkpoint=(tmp_path / "small", classifiers[0])).likenesses[0].heat is None
    assert "tells no places apart" in found.page.read_text(encoding="utf-8")


def test_random_images_are_explained_in_colour(tmp_path: Path, make_image_folder: Callable[..., Path]) -> None:
    data = f"imagefolder:{make_image_folder(per_class=8, size=12)}"
    few = {**FEW, "per_class_real": None, "data": data, "steps": 3, "batch_size": 4}
    classify(ClassifyConfig.resolve({**few, "normalise": True, "input_size": 16, "out": tmp_path / "classifier"}))
    found = explain(
        settings((tmp_path / "classifier",), tmp_path / "out", data=data, per_class_real=None, baseline="mean", count=2)
    )
    assert {image.true_class for image in found.images} == {"cat", "dog"}
    assert found.images[0].explanations[0].heat_size == (4, 4)
