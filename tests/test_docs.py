"""Documents agree with results: no number in them is typed by hand."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path

import pytest
import render_docs
from huggingface_hub import ModelCard
from rendering import results as rendering_results
from rendering.card_evaluation import drawn_table, evaluation_section
from rendering.cards import card_metadata
from rendering.evidence import cost_section, gain_section
from rendering.field import ours
from rendering.measured import bench_metrics, benches_of, evaluation, evaluation_metrics
from rendering.readme import acgan_table, study_table
from rendering.results import result

from synthaug.classifiers.recipes import RECIPES
from synthaug.core.runtime import Runtime
from synthaug.generators.base import load_backend
from synthaug.generators.checkpoint import CheckpointCard, read_card
from synthaug.workflows.checkpoints import packaged_checkpoints

ROOT = Path(__file__).parent.parent
EVIDENCE = ROOT / "benchmarks" / "reports" / "cifar10.md"
#: What the figure of a metric of a model index is called in results, by the metric's type there.
FIGURES = {
    "frechet-distance": "frechet",
    "kernel-distance": "kid",
    "improved-precision": "precision",
    "improved-recall": "recall",
    "density": "density",
    "coverage": "coverage",
    "label-fidelity": ("recognised", "label_fidelity"),
    "copied-share": "copies",
    "repeated-share": "duplicates",
    "classification-accuracy-score": "cas_synthetic",
    "classification-accuracy-gap": "cas_gap",
    "accuracy-gain": "gain_points",
}


@functools.cache
def rendered() -> dict[Path, str]:
    return render_docs.rendered()


@pytest.mark.parametrize(
    "path",
    [
        ROOT / "README.md",
        ROOT / "docs" / "survey.md",
        EVIDENCE,
        *(ROOT / "model_cards" / f"{name}.md" for name in packaged_checkpoints()),
    ],
    ids=lambda p: p.name,
)
def test_document_is_what_the_results_give(path: Path) -> None:
    assert rendered()[path] == path.read_text(encoding="utf-8")


def result_files() -> list[dict]:
    paths = (ROOT / "benchmarks" / "results").glob("*.json")
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def model_card(name: str) -> ModelCard:
    return ModelCard.load(ROOT / "model_cards" / f"{name}.md")


@pytest.mark.parametrize("name", packaged_checkpoints())
def test_every_metric_of_a_model_index_is_a_figure_of_a_result(name: str) -> None:
    data = model_card(name).data
    assert data.model_name == name
    assert data.eval_results
    for metric in data.eval_results:
        wanted = FIGURES[metric.metric_type]
        figures = [
            value
            for found in result_files()
            for key, value in found.get("figures", {}).items()
            if re.sub(r"_of_\d+$", "", key).endswith(wanted)
        ]
        assert any(value == pytest.approx(metric.metric_value, abs=5e-5) for value in figures), metric.metric_name


@pytest.mark.parametrize("name", packaged_checkpoints())
def test_every_metric_of_a_model_index_says_how_many_samples_it_is_of(name: str) -> None:
    measured = " ".join(json.dumps(found.get("figures", {})) for found in result_files())
    for metric in model_card(name).data.eval_results:
        counts = re.findall(r"\b(\d+) samples\b", metric.metric_name)
        assert counts, metric.metric_name
        assert all(re.search(rf"(images\"|_of_){count}\b|images\": {count}\b", measured) for count in counts)


@pytest.mark.parametrize("name", packaged_checkpoints())
def test_no_distance_that_is_not_inceptions_is_called_fid(name: str) -> None:
    for metric in model_card(name).data.eval_results:
        assert "fid" not in metric.metric_type.split("-")
        if metric.metric_type == "frechet-distance":
            assert "not Inception" in metric.metric_name


@pytest.mark.parametrize(("name", "folder"), packaged_checkpoints().items())
def test_a_card_names_the_sampler_that_the_checkpoint_has(name: str, folder: Path) -> None:
    generator = load_backend(read_card(folder).model).load(folder, Runtime.resolve("cpu"))
    default = generator.default_settings
    evaluations = default.steps * (1 if default.guidance == 1.0 else 2)
    guidance = "no guidance" if default.guidance == 1.0 else f"guidance {default.guidance:g}"
    [said] = re.findall(r"Unless told otherwise: (.*?) for an image\.", model_card(name).text)
    assert f"`{default.sampler}`, {default.steps} step" in said
    assert guidance in said
    assert f": {evaluations} network evaluation" in said


@pytest.mark.parametrize("name", packaged_checkpoints())
def test_a_card_has_its_sections_and_its_pictures_exist(name: str) -> None:
    text = model_card(name).text
    titles = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
    wanted = ["What it is", "Data", "Training", "Sampler", "Evaluation", "Grid", "Intended use", "Limits", "Licence"]
    assert titles == wanted
    assert "### Not measured" in text
    for picture in re.findall(r"!\[.*?\]\((.+?)\)", text):
        assert (ROOT / "model_cards" / picture).is_file()


EVALUATED = (
    "1000 images drawn by the packaged ddpm-cifar10 with its default sampler at guidance 1.5, against 10000 test "
    "images of CIFAR-10 (JPEG q75), in the features of classifier (resnet20, resize none) and of efficientnet "
    "(EfficientNet-Lite0, resize bicubic); the judge is a resnet20 of the training images (400 steps); copies are "
    "looked for by pixels."
)


def test_metrics_of_an_evaluation_say_where_their_features_are_from() -> None:
    figures = {"images": 1000, "frechet": 0.5, "frechet_low": 0.25, "frechet_high": 0.75, "efficientnet_frechet": 2.0}
    [measured] = evaluation_metrics({"method": EVALUATED, "figures": figures | {"judge_validation_accuracy": 0.8}})
    assert measured.split == "test"
    by_classifier, by_efficientnet = measured.metrics
    samples = "1000 samples at guidance 1.5 against 10000 test images of CIFAR-10 (JPEG q75)"
    judge = "a resnet20 of the training images (400 steps; not Inception's, so no FID)"
    assert by_classifier.value == 0.5
    assert by_classifier.full_name == (
        f"Fréchet distance in the features of {judge}, {samples}, 95 % interval 0.25 to 0.75"
    )
    assert by_efficientnet.value == 2.0
    assert by_efficientnet.full_name == (
        f"Fréchet distance in the features of EfficientNet-Lite0 trained on ImageNet (not Inception), {samples}"
    )


def test_an_evaluation_that_does_not_say_what_it_compares_by_is_not_put_into_a_card() -> None:
    method = EVALUATED.replace("classifier (", "pixels (")
    with pytest.raises(ValueError, match="does not say"):
        evaluation_metrics({"method": method, "figures": {"images": 1000, "judge_validation_accuracy": 0.8}})


def test_every_section_of_the_evidence_names_the_copy() -> None:
    head, *sections = EVIDENCE.read_text(encoding="utf-8").split("\n## ")
    assert head.startswith("# CIFAR-10: what synthetic images were worth")
    assert len(sections) == 5
    assert all("JPEG quality 75 copy" in section for section in sections)


def test_every_link_of_the_evidence_leads_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", EVIDENCE.read_text(encoding="utf-8"))
    assert targets
    assert [target for target in targets if not (EVIDENCE.parent / target).exists()] == []


def study_of_two_sets() -> dict:
    """A result as `benchmarks/harness.py` makes it: two amounts of real images, one with two sets and more shares."""
    few = {
        "real_training_images": 450,
        "classifier_steps": 700,
        "synthetic_images": 1000,
        "label_fidelity_percent": 90.0,
    }
    few |= {"real_test_accuracy_percent": 40.0, "real+classic_test_accuracy_percent": 50.0}
    few |= {"mixed+classic_test_accuracy_percent": 51.5, "gain_points": 1.5, "gain_low": 0.5, "gain_high": 2.5}
    few |= {"training_seconds": 200.0, "drawn_images_per_second": 10.0}
    many = {"real_training_images": 45000, "classifier_steps": 700, "real+classic_test_accuracy_percent": 93.0}
    for model, gain in (("ddpm", -1.0), ("acgan", 0.25)):
        many |= {f"{model}_synthetic_images": 5000, f"{model}_label_fidelity_percent": 80.0}
        many |= {f"{model}_gain_points": gain, f"{model}_training_seconds": 500.0}
        many |= {f"mixed+classic ({model})_test_accuracy_percent": 93.0 + gain}
        many |= {f"mixed+classic@0.25 ({model})_test_accuracy_percent": 93.5}
    figures = {"seeds": 3, "all_trainings_seconds": 1234.0}
    figures |= {f"at_1_percent_{key}": value for key, value in few.items()}
    figures |= {f"at_100_percent_{key}": value for key, value in many.items()}
    runs = {"per_seed": {}, "at_1_percent_sets": ["ddpm"], "at_1_percent_verdict": "helps"}
    runs |= {"at_100_percent_sets": ["ddpm", "acgan"], "at_100_percent_ddpm_verdict": "hurts"}
    runs |= {"at_100_percent_acgan_verdict": "inconclusive"}
    return {
        "environment": {"hardware": "a GPU"},
        "method": "CIFAR-10 (JPEG q75); ResNet-18.",
        "figures": figures,
        "runs": runs,
    }


def rows_of(text: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line.startswith("|")
    ]


def test_the_evidence_has_a_row_for_each_set_and_amount_of_real_images() -> None:
    rows = [
        row
        for row in rows_of(gain_section({"headline": study_of_two_sets()}))
        if row[-1] in ("helps", "hurts", "inconclusive")
    ]
    assert [(row[0], row[2].split()[2].strip(","), row[-1]) for row in rows] == [
        ("450", "ddpm", "helps"),
        ("45,000", "ddpm", "hurts"),
        ("45,000", "acgan", "inconclusive"),
    ]
    assert rows[0][3:7] == ["40.00", "50.00", "51.50", "+1.50 (+0.50 to +2.50)"]
    assert rows[1][3:7] == ["", "93.00", "92.00", "-1.00"]


def test_the_evidence_says_which_synthetic_share_was_best() -> None:
    text = gain_section({"headline": study_of_two_sets()})
    assert "mixed+classic@0.25 (ddpm) | 93.50" in text
    assert "Best on the test images for mixed+classic (ddpm): 93.50 % with a share of 0.25, against 92.00 %" in text


def test_the_best_synthetic_share_is_chosen_on_validation_images_where_these_were_kept() -> None:
    study = study_of_two_sets()
    arms = {"mixed+classic (ddpm)": 92.5, "mixed+classic@0.25 (ddpm)": 92.0}
    study["runs"]["validation"] = {f"at_100_percent_{arm}": accuracy for arm, accuracy in arms.items()}
    text = gain_section({"headline": study})
    assert (
        "Best on the validation images for mixed+classic (ddpm): 92.00 % with the bench's own share, against 93.50 % "
        "with a share of 0.25 (test accuracies)." in text
    )
    assert "Best on the test images for mixed+classic (acgan)" in text


def test_benches_that_stand_side_by_side_in_a_result_are_told_apart() -> None:
    one, two = study_of_two_sets(), study_of_two_sets()
    figures = {**one["figures"], **{f"fractions_{key}": value for key, value in two["figures"].items()}}
    both = {**one, "figures": figures, "runs": {"done": ["ddpm"], "bench": one["runs"], "fractions": two["runs"]}}
    separate = rows_of(gain_section({"one": one, "two": two}))
    assert rows_of(gain_section({"headline": both})) == separate


def test_a_price_for_a_point_is_named_only_where_one_was_gained() -> None:
    rows = {(row[0], row[1]): row[-1] for row in rows_of(cost_section({"headline": study_of_two_sets()}))}
    assert rows["450", "ddpm"] == "200"  # 200 s of training and 100 s of drawing, over 1.5 points
    assert rows["45,000", "ddpm"] == "nothing was gained"
    assert rows["45,000", "acgan"] == "at least 2,000"  # nobody timed its drawing


def test_what_was_not_measured_is_not_there() -> None:
    unfinished = {"environment": {}, "method": "", "figures": {"ddpm_seconds": 9.0}, "runs": {"done": []}}
    assert "|" not in cost_section({})
    assert "|" not in cost_section({"headline": unfinished})
    assert "|" not in gain_section({"headline": unfinished})
    both = {"headline": unfinished, "cifar10_fractions": study_of_two_sets()}
    assert cost_section(both) == cost_section({"cifar10_fractions": study_of_two_sets()})


def test_what_is_expected_of_fast_was_measured() -> None:
    digits, photographs = (result(f"bench_classify_{name}") for name in ("digits", "time"))
    accuracy = photographs["figures"]["fast_test_accuracy_percent"]
    minutes, epochs = photographs["figures"]["fast_training_seconds"] / 60, photographs["figures"]["fast_epochs"]
    expected = RECIPES.get("fast").expected
    assert f"digits: {digits['figures']['lowest_test_accuracy_percent']:.0f} % in half a minute" in expected
    assert digits["figures"]["seconds"] < 30
    assert f"{accuracy:.0f} % with --epochs {epochs:.0f}, in {minutes:.0f} minutes" in expected


@pytest.fixture
def made_up_results(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty folder in place of that of the results."""
    monkeypatch.setattr(rendering_results, "RESULTS", tmp_path)
    return tmp_path


def write(folder: Path, name: str, found: dict) -> None:
    (folder / f"{name}.json").write_text(json.dumps(found), encoding="utf-8")


def packaged_card(name: str) -> CheckpointCard:
    return read_card(packaged_checkpoints()[name])


@pytest.mark.parametrize(("said", "instead"), [("3000 steps", "20000 steps"), ("10000 test", "5000 validation")])
def test_generators_that_were_not_judged_alike_do_not_stand_in_one_table(
    made_up_results: Path, said: str, instead: str
) -> None:
    kept = ROOT / "benchmarks" / "results"
    one, other = (json.loads((kept / f"cifar10_acgan_{name}.json").read_text()) for name in ("resnet", "reacgan-large"))
    assert "`acgan-cifar10`" in ours([one, other])
    assert said in other["method"]
    other["method"] = other["method"].replace(said, instead)
    with pytest.raises(ValueError, match=f"judged alike.*{instead}"):
        ours([one, other])
    write(made_up_results, "cifar10_acgan_resnet", one)
    assert "real validation images" in acgan_table()
    write(made_up_results, "cifar10_acgan_reacgan-large", other)
    with pytest.raises(ValueError, match="judged alike"):
        acgan_table()


@pytest.mark.parametrize("name", packaged_checkpoints())
def test_an_evaluation_belongs_to_the_weights_that_it_names(made_up_results: Path, name: str) -> None:
    card = packaged_card(name)
    for checkpoint, is_its in ((card.checkpoint, True), (name, False), ("0" * 64, False)):
        write(made_up_results, f"evaluation_{name}", {"runs": {"checkpoint": checkpoint}})
        assert (evaluation(name, card) is not None) == is_its


def test_a_number_is_rounded_once_and_alike_in_all_documents() -> None:
    drawn = result("cifar10_ddpm_small")
    drawn["runs"]["generated"]["frechet"], drawn["figures"]["generated_frechet"] = 0.57648, 0.5765
    [on_page] = [row for row in rows_of(ours([drawn])) if row[0].endswith("drawn unguided")]
    [in_card] = [row for row in rows_of(drawn_table(drawn, packaged_card("ddpm-cifar10"))) if "unguided" in row[0]]
    assert on_page[7] == "0.576"
    assert "0.576" in in_card
    real = result("cifar10_acgan_reacgan-large")["runs"]["real"]
    [shown] = [row for row in rows_of(acgan_table()) if row[0] == "real validation images"]
    assert shown[-1] == f"{real['diversity']:.3f}"


def headline() -> dict:
    """A result as `benchmarks/study.py` makes it: a bench of three sets, one curated, and one of a part of the images.

    The generators are those of the packaged checkpoints, which were trained for as long; the part has one of its own.
    """
    took = {model: round(packaged_card(f"{model}-cifar10").training.seconds, 1) for model in ("ddpm", "acgan")}
    figures: dict = {"ddpm_seconds": took["ddpm"], "acgan_seconds": 430.0, "bench_seconds": 99.0}
    figures |= {"fractions_seconds": 88.0, "seeds": 3, "all_trainings_seconds": 120.0}
    figures |= {"real_training_images": 45000, "classifier_steps": 1760}
    arms = {"real": 90.0, "real+classic": 93.0, "mixed+classic (ddpm)": 92.0, "mixed+classic (acgan)": 91.0}
    arms |= {"mixed+classic (ddpm curated)": 93.5, "mixed-together+classic": 92.5}
    figures |= {f"{arm}_test_accuracy_percent": accuracy for arm, accuracy in arms.items()}
    sets = {"ddpm": (50000, -1.0, "hurts"), "acgan": (50000, -2.0, "hurts"), "ddpm curated": (40000, 0.5, "helps")}
    runs: dict = {"per_seed": {arm: [accuracy] * 3 for arm, accuracy in arms.items()}, "sets": list(sets)}
    runs["validation"] = dict(arms)
    for name, (images, gain, verdict) in sets.items():
        figures |= {f"{name}_synthetic_images": images, f"{name}_label_fidelity_percent": 70.0}
        figures |= {f"{name}_gain_points": gain, f"{name}_gain_low": gain - 0.25, f"{name}_gain_high": gain + 0.25}
        figures[f"{name}_training_seconds"] = took[name.split()[0]]
        runs |= {f"{name}_verdict": verdict, f"{name}_gain_is": f"mixed+classic ({name}) − real+classic"}
    part: dict = {"seeds": 3, "all_trainings_seconds": 60.0, "real_training_images": 450, "classifier_steps": 500}
    part |= {"real_test_accuracy_percent": 30.0, "real+classic_test_accuracy_percent": 40.0}
    part |= {"mixed+classic_test_accuracy_percent": 35.0, "synthetic_images": 5000, "label_fidelity_percent": 20.0}
    part |= {"gain_points": -5.0, "training_seconds": 77.0}
    figures |= {f"fractions_{key}": value for key, value in part.items()}
    for model in ("ddpm", "acgan"):
        evaluated = {"images": 50000, "precision": 0.111, "gain_points": 9.0, "label_fidelity_percent": 11.1}
        figures |= {f"{model}_evaluation_{key}": value for key, value in evaluated.items()}
        figures |= {f"{model}_images_seen": 1234567, f"{model}_loss": 0.1234}
    of_part = {"per_seed": {}, "validation": {}, "sets": ["acgan"], "verdict": "hurts", "gain_is": "x"}
    return {
        "environment": {"hardware": "a GPU"},
        "method": "CIFAR-10 (JPEG q75). Classifiers: resnet18.",
        "figures": figures,
        "runs": {"done": ["ddpm"], "bench": runs, "fractions": of_part},
    }


def test_the_headline_is_in_the_readme_once_it_was_measured(made_up_results: Path) -> None:
    nothing = rows_of(study_table())
    write(made_up_results, "headline", {**headline(), "figures": {"ddpm_seconds": 9.0}, "runs": {"done": []}})
    assert rows_of(study_table()) == nothing
    write(made_up_results, "headline", headline())
    rows = rows_of(study_table())[len(nothing) :]
    whole, accuracies = "CIFAR-10 (JPEG q75), 45000 labelled images", ["90.00 %", "93.00 %"]
    ddpm, acgan, curated, part = rows
    assert ddpm[:5] == [whole, "50000 by ddpm, 70.0 % recognised", *accuracies, "92.00 %"]
    assert ddpm[5:] == ["-1.00 (-1.25 to -0.75), 3 seeds", "hurts"]
    assert acgan[:5] == [whole, "50000 by acgan, 70.0 % recognised", *accuracies, "91.00 %"]
    assert curated[:5] == [whole, "40000 by ddpm curated, 70.0 % recognised", *accuracies, "93.50 %"]
    assert curated[5:] == ["+0.50 (+0.25 to +0.75), 3 seeds", "helps"]
    assert part[0] == "CIFAR-10 (JPEG q75), 450 labelled images"
    assert part[4:] == ["35.00 %", "-5.00, 3 seeds", "hurts"]


def test_the_headline_is_on_the_evidence_page(made_up_results: Path) -> None:
    write(made_up_results, "headline", headline())
    studies = {"headline": result("headline")}
    gains = [row for row in rows_of(gain_section(studies)) if row[-1] in ("helps", "hurts")]
    assert [(row[0], row[2], row[5], row[6].split()[0]) for row in gains] == [
        ("45,000", "50,000 by ddpm, 70.0 % recognised", "92.00", "-1.00"),
        ("45,000", "50,000 by acgan, 70.0 % recognised", "91.00", "-2.00"),
        ("45,000", "40,000 by ddpm curated, 70.0 % recognised", "93.50", "+0.50"),
        ("450", "5,000 by acgan, 20.0 % recognised", "35.00", "-5.00"),
    ]
    assert ["mixed-together+classic", "92.50"] in rows_of(gain_section(studies))
    costs = cost_section(studies)
    assert [row[1] for row in rows_of(costs)[2:]] == ["ddpm", "acgan", "ddpm curated", "acgan"]
    assert "All classifiers of `headline` took 180 s on a GPU." in costs


def test_a_card_has_the_sets_of_its_own_training_and_tells_them_apart(made_up_results: Path) -> None:
    found = headline()
    ddpm, acgan = (packaged_card(f"{model}-cifar10") for model in ("ddpm", "acgan"))
    found["figures"]["fractions_training_seconds"] = round(ddpm.training.seconds, 1)
    write(made_up_results, "headline", found)
    assert [name for _, name in benches_of("ddpm-cifar10", ddpm)] == ["ddpm", "ddpm curated"]
    assert [name for _, name in benches_of("acgan-cifar10", acgan)] == ["acgan"]
    [index] = card_metadata("ddpm-cifar10", ddpm)["model-index"]
    metrics = [one for each in index["results"] for one in each["metrics"]]
    assert [one["value"] for one in metrics] == [-1.0, 0.5]
    assert "50000 samples (set ddpm) beside 45000" in metrics[0]["name"]
    assert "40000 samples (set ddpm curated) beside 45000" in metrics[1]["name"]
    text = evaluation_section("ddpm-cifar10", ddpm)
    assert "70.00 % of the 40000 images of the set ddpm curated, drawn from the training" in text
    assert "0.111" not in text
    found["figures"]["ddpm_training_seconds"] += 10.0
    write(made_up_results, "headline", found)
    assert [name for _, name in benches_of("ddpm-cifar10", ddpm)] == ["ddpm curated"]


def test_sets_of_one_size_have_names_of_their_own_in_a_model_index() -> None:
    found = headline()
    study = {**found, "runs": found["runs"]["bench"]}
    study["figures"]["ddpm curated_synthetic_images"] = study["figures"]["ddpm_synthetic_images"]
    [raw], [curated] = (bench_metrics(study, name).metrics for name in ("ddpm", "ddpm curated"))
    assert raw.name != curated.name
    assert raw.name == curated.name.replace("ddpm curated", "ddpm")


def test_readme_shows_both_commands_on_its_first_screen() -> None:
    first_screen = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:20]
    assert any("make demo" in line for line in first_screen)
    assert any("make test" in line for line in first_screen)


def test_readme_table_holds_the_measured_studies() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "digits (scikit-learn)" in text
    assert "CIFAR-10 (JPEG q75)" in text
    assert "Sampling" in text or "sampling" in text


def test_every_link_in_the_readme_leads_somewhere() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in target]
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []
