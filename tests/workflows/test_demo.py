from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from synthaug.core.errors import InputError
from synthaug.data.splits import leak
from synthaug.workflows import demo as demo_module
from synthaug.workflows.bench.statistics import MINIMUM_SEEDS
from synthaug.workflows.demo import DemoConfig, DemoPlan, demo, plan_demo


@pytest.fixture
def plan() -> DemoPlan:
    return plan_demo(DemoConfig(out=Path("my demo"), seed=7, device="cpu", precision="fp32"))


def test_generators_and_bench_use_the_same_real_images(plan: DemoPlan) -> None:
    consumer = plan.bench.splits()
    for training in plan.train:
        generator = training.splits()
        assert generator.record == consumer.record
        assert leak(generator.record, consumer.record) is None
        assert generator.train.class_counts() == (demo_module.PER_CLASS_REAL,) * 10
        assert training.data == "digits"


def test_it_compares_both_generators(plan: DemoPlan) -> None:
    assert [training.model for training in plan.train] == ["ddpm", "acgan"]


def test_each_step_takes_what_the_step_before_made(plan: DemoPlan) -> None:
    assert [step.model for step in plan.generate] == [str(step.out) for step in plan.train]
    assert plan.bench.synthetic == tuple(step.out for step in plan.generate)
    folders = [*(step.out for step in plan.train), *(Path(step.out) for step in plan.generate), plan.bench.out]
    assert all(folder.is_relative_to("my demo") for folder in folders)
    assert len(set(folders)) == 5


def test_choices_of_the_user_reach_every_step(plan: DemoPlan) -> None:
    for step in (*plan.train, *plan.generate, plan.bench):
        assert (step.seed, step.device, step.precision) == (7, "cpu", "fp32")


def test_demo_can_be_continued_and_comes_to_a_verdict(plan: DemoPlan) -> None:
    assert {step.resume for step in plan.train} == {"auto"}
    assert plan.bench.seeds >= MINIMUM_SEEDS


def test_plan_writes_nothing(tmp_path: Path) -> None:
    plan_demo(DemoConfig(out=tmp_path / "demo"))
    assert not list(tmp_path.iterdir())


def test_an_interrupted_demo_is_continued_and_a_foreign_folder_refused(tmp_path: Path) -> None:
    (tmp_path / "demo" / "ddpm").mkdir(parents=True)
    plan_demo(DemoConfig(out=tmp_path / "demo"))
    (tmp_path / "other" / "thesis").mkdir(parents=True)
    with pytest.raises(InputError, match="holds no demo"):
        plan_demo(DemoConfig(out=tmp_path / "other"))


def test_demo_walks_its_plan_in_order_and_tells_where_everything_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, walked = DemoConfig(out=tmp_path / "demo", device="cpu", precision="fp32"), []

    def bench_and_report(settings: Any) -> SimpleNamespace:
        walked.append(settings)
        sets = [SimpleNamespace(name="ddpm", label_fidelity=91.5), SimpleNamespace(name="acgan", label_fidelity=80.0)]
        summary = SimpleNamespace(regimes=[SimpleNamespace(sets=sets)])
        return SimpleNamespace(sentence="It helps.", summary=summary, report=settings.out / "report.html")

    monkeypatch.setattr(demo_module, "train", walked.append)
    monkeypatch.setattr(demo_module, "generate", walked.append)
    monkeypatch.setattr(demo_module, "bench_and_report", bench_and_report)
    result = demo(config)
    plan = plan_demo(config)
    assert walked == [*plan.train, *plan.generate, plan.bench]
    assert (result.sentence, result.label_fidelity) == ("It helps.", {"ddpm": 91.5, "acgan": 80.0})
    assert list(result.checkpoints.values()) == [step.out for step in plan.train]
    assert list(result.synthetic.values()) == [Path(step.out) for step in plan.generate]
    assert result.report == plan.bench.out / "report.html"
