from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from synthaug.data.splits import leak
from synthaug.workflows import demo as demo_module
from synthaug.workflows.bench.statistics import MINIMUM_SEEDS
from synthaug.workflows.demo import DemoConfig, DemoPlan, demo, plan_demo


@pytest.fixture
def plan() -> DemoPlan:
    return plan_demo(DemoConfig(out=Path("my demo"), seed=7, device="cpu", precision="fp32"))


def test_generator_and_bench_use_the_same_real_images(plan: DemoPlan) -> None:
    generator, consumer = plan.train.splits(), plan.bench.splits()
    assert generator.record == consumer.record
    assert leak(generator.record, consumer.record) is None
    assert generator.train.class_counts() == (demo_module.PER_CLASS_REAL,) * 10
    assert plan.train.data == "digits"


def test_each_step_takes_what_the_step_before_made(plan: DemoPlan) -> None:
    assert plan.generate.model == str(plan.train.out)
    assert plan.bench.synthetic == (plan.generate.out,)
    folders = [plan.train.out, Path(plan.generate.out), plan.bench.out]
    assert {folder.parent for folder in folders} == {Path("my demo")}
    assert len(set(folders)) == 3


def test_choices_of_the_user_reach_every_step(plan: DemoPlan) -> None:
    for step in (plan.train, plan.generate, plan.bench):
        assert (step.seed, step.device, step.precision) == (7, "cpu", "fp32")


def test_demo_can_be_continued_and_comes_to_a_verdict(plan: DemoPlan) -> None:
    assert plan.train.resume == "auto"
    assert plan.bench.seeds >= MINIMUM_SEEDS


def test_plan_writes_nothing(tmp_path: Path) -> None:
    plan_demo(DemoConfig(out=tmp_path / "demo"))
    assert not list(tmp_path.iterdir())


def test_demo_walks_its_plan_in_order_and_tells_where_everything_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, walked = DemoConfig(out=tmp_path / "demo", device="cpu", precision="fp32"), []

    def bench_and_report(settings: Any) -> SimpleNamespace:
        walked.append(settings)
        return SimpleNamespace(
            sentence="It helps.", summary=SimpleNamespace(label_fidelity=91.5), report=settings.out / "report.html"
        )

    monkeypatch.setattr(demo_module, "train", walked.append)
    monkeypatch.setattr(demo_module, "generate", walked.append)
    monkeypatch.setattr(demo_module, "bench_and_report", bench_and_report)
    result = demo(config)
    plan = plan_demo(config)
    assert walked == [plan.train, plan.generate, plan.bench]
    assert (result.sentence, result.label_fidelity) == ("It helps.", 91.5)
    assert (result.checkpoint, result.synthetic) == (plan.train.out, Path(plan.generate.out))
    assert result.report == plan.bench.out / "report.html"
