"""Documents agree with results: no number in them is typed by hand."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from synthaug.classifiers.recipes import RECIPES
from synthaug.workflows.checkpoints import packaged_checkpoints

ROOT = Path(__file__).parent.parent


def load_script(name: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "path",
    [
        ROOT / "README.md",
        ROOT / "docs" / "survey.md",
        *(ROOT / "model_cards" / f"{name}.md" for name in packaged_checkpoints()),
    ],
    ids=lambda p: p.name,
)
def test_document_is_what_the_results_give(path: Path) -> None:
    assert load_script("render_docs").rendered()[path] == path.read_text(encoding="utf-8")


def test_what_is_expected_of_fast_was_measured() -> None:
    digits, photographs = (load_script("render_docs").result(f"bench_classify_{name}") for name in ("digits", "time"))
    accuracy = photographs["figures"]["fast_test_accuracy_percent"]
    minutes, epochs = photographs["figures"]["fast_training_seconds"] / 60, photographs["figures"]["fast_epochs"]
    expected = RECIPES.get("fast").expected
    assert f"digits: {digits['figures']['lowest_test_accuracy_percent']:.0f} % in half a minute" in expected
    assert digits["figures"]["seconds"] < 30
    assert f"{accuracy:.0f} % with --epochs {epochs:.0f}, in {minutes:.0f} minutes" in expected


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
    import re

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in target]
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []
