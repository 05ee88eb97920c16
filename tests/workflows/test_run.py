"""What a run plans, in which order it gives things up, and that it keeps to what it decided."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthaug.cli.run import _show
from synthaug.core.errors import InputError, TrainingError
from synthaug.workflows.bench.arms import Arm
from synthaug.workflows.bench.statistics import MINIMUM_SEEDS
from synthaug.workflows.bench.summary import ArmSummary, BenchSummary, RegimeSummary, SetResult
from synthaug.workflows.run import deciding, plan_run, run, stages, whole
from synthaug.workflows.run.choosing import choose_model, choose_size, found_sizes
from synthaug.workflows.run.covering import (
    CORE_ARMS,
    MORE_ARMS,
    MOST_SEEDS,
    WANTED_SEEDS,
    Covered,
    budget_for_a_verdict,
    cells_of,
    extension,
    first_coverage,
)
from synthaug.workflows.run.measuring import ClassifierSpeed, GeneratorSpeed
from synthaug.workflows.run.planning import Facts, Plan, Rates, make_plan, nominal_shares
from synthaug.workflows.run.record import RECORD_NAME, Ledger, RunResult, read_record
from synthaug.workflows.run.settings import RunConfig

FACTS = Facts(classes=10, per_class=20.0, preset_images=64_000, steps=400, least_steps=400)
RATES = Rates(
    training=500.0,
    watching=20.0,
    drawing=5000.0,
    judge=25.0,
    judging=0.002,
    step=0.01,
    cell=1.0,
    corruptions=2.0,
    loading=0.1,
    jobs=1.6,
)

positive = st.floats(min_value=1e-3, max_value=1e3)
rates = st.builds(
    Rates,
    training=st.floats(1.0, 1e5),
    watching=st.floats(0.0, 500.0),
    drawing=st.floats(1.0, 1e5),
    judge=st.floats(1.0, 1e3),
    judging=st.floats(1e-5, 0.1),
    step=st.floats(1e-3, 1.0),
    cell=positive,
    corruptions=positive,
    loading=st.floats(0.0, 10.0),
    jobs=st.floats(1.0, 16.0),
)
facts = st.builds(
    Facts,
    classes=st.integers(2, 100),
    per_class=st.floats(1.0, 5000.0),
    preset_images=st.integers(1000, 1_000_000),
    steps=st.integers(400, 5000),
    least_steps=st.integers(100, 1000),
)


def amount(plan: Plan) -> tuple[int, ...]:
    """How much of everything a plan has, in the order in which it is given up last."""
    more_arms = len(plan.arms) > len(CORE_ARMS)
    return plan.seeds, plan.steps, int(plan.is_curated), int(more_arms), int(plan.robustness)


class TestPlan:
    @settings(max_examples=30)
    @given(st.floats(1.0, 1e6), rates, facts)
    def test_shares_add_up_to_the_budget_unless_that_is_too_small(self, budget: float, fast: Rates, of: Facts) -> None:
        shares = make_plan(budget, 3.0, fast, of).shares
        assert min(shares.values()) >= 0
        if shares["bench"] > 0:
            assert sum(shares.values()) == pytest.approx(budget)
        else:
            assert sum(shares.values()) >= budget - 1e-6

    @settings(max_examples=30)
    @given(st.floats(1.0, 1e5), st.floats(1.0, 10.0), rates, facts)
    def test_more_time_never_leaves_less(self, budget: float, times: float, fast: Rates, of: Facts) -> None:
        little, much = (make_plan(seconds, 3.0, fast, of) for seconds in (budget, times * budget))
        assert amount(little)[:1] <= amount(much)[:1]
        if little.seeds >= MINIMUM_SEEDS:
            assert all(one <= other for one, other in zip(amount(little), amount(much), strict=True))
        assert (little.images, little.per_class) <= (much.images, much.per_class)

    @settings(max_examples=20)
    @given(rates, facts)
    def test_the_budget_that_it_says_is_needed_is_the_smallest_that_gives_a_verdict(
        self, fast: Rates, of: Facts
    ) -> None:
        minutes = make_plan(60.0, 3.0, fast, of).needed
        assert make_plan(60.0 * minutes, 3.0, fast, of).seeds >= MINIMUM_SEEDS
        if minutes > 1:
            assert make_plan(60.0 * (minutes - 1), 3.0, fast, of).seeds < MINIMUM_SEEDS

    def test_things_are_given_up_in_the_order_that_is_promised(self) -> None:
        of = FACTS.model_copy(update={"steps": 1200})
        budgets = [700 * 0.96**number for number in range(140)]
        amounts = list(dict.fromkeys(amount(make_plan(budget, 3.0, RATES, of)) for budget in budgets))
        full = [entry for entry in amounts if entry[1] == 1200 and entry[0] >= MINIMUM_SEEDS]
        assert full == [
            (5, 1200, 1, 1, 1),
            (5, 1200, 1, 1, 0),
            (5, 1200, 1, 0, 0),
            *((n, 1200, 0, 0, 0) for n in (5, 4, 3)),
        ]
        rest = amounts[len(full) :]
        assert {entry[2:] for entry in rest} == {(0, 0, 0)}
        shorter = [steps for seeds, steps, *_ in rest if seeds == MINIMUM_SEEDS]
        assert shorter == sorted(shorter, reverse=True)
        assert min(shorter) >= of.least_steps
        assert [seeds for seeds, *_ in rest if seeds < MINIMUM_SEEDS] == [2, 1, 0]

    def test_the_generator_gets_its_share_and_no_more_than_its_preset(self) -> None:
        short, long = (make_plan(seconds, 3.0, RATES, FACTS) for seconds in (100.0, 10_000.0))
        assert 0.8 * 45 < short.shares["training"] <= 45.0
        assert long.images == FACTS.preset_images
        assert long.shares["bench"] > nominal_shares(10_000.0)["bench"]

    def test_nominal_shares_add_up(self) -> None:
        assert sum(nominal_shares(1800.0).values()) == pytest.approx(1800.0)

    def test_drawing_and_judging_a_set_take_no_more_than_the_share_for_it(self) -> None:
        plan = make_plan(600.0, 3.0, RATES.model_copy(update={"drawing": 10.0}), FACTS)
        assert plan.per_class * FACTS.classes * (1 / 10.0 + RATES.judging) <= 60.0


class TestExtension:
    def test_three_seeds_of_all_sets_come_first(self) -> None:
        wanted = first_coverage(None, 2)
        assert wanted == Covered(arms=CORE_ARMS, seeds=MINIMUM_SEEDS, sets=2)
        assert first_coverage(wanted, 2) is None
        assert first_coverage(Covered(arms=CORE_ARMS, seeds=5, sets=1), 2) == Covered(arms=CORE_ARMS, seeds=5, sets=2)
        assert first_coverage(Covered(arms=CORE_ARMS, seeds=1, sets=1), 1) == Covered(arms=CORE_ARMS, seeds=3, sets=1)

    def test_seeds_then_arms_then_more_seeds_and_nothing_that_does_not_fit(self) -> None:
        covered: Covered | None = Covered(arms=CORE_ARMS, seeds=MINIMUM_SEEDS, sets=1)
        seen = []
        while covered is not None:
            seen.append((covered.seeds, len(covered.arms)))
            covered = extension(covered, 1000.0, 1.0)
        assert seen == [(3, 3), (5, 3), (5, 5), (MOST_SEEDS, 5)]
        three = Covered(arms=CORE_ARMS, seeds=3, sets=1)
        assert extension(three, 2.9, 1.0) is None
        assert extension(three, -5.0, 1.0) is None
        assert extension(three, 4.0, 1.0) == Covered(arms=CORE_ARMS, seeds=4, sets=1)

    @given(st.integers(3, 20), st.integers(1, 2), st.floats(0.0, 1e4), st.floats(0.01, 100.0))
    def test_what_is_added_fits(self, seeds: int, sets: int, left: float, pace: float) -> None:
        covered = Covered(arms=CORE_ARMS, seeds=seeds, sets=sets)
        more = extension(covered, left, pace)
        assert more is None or (more.cells - covered.cells) * pace <= left

    def test_arms_with_synthetic_images_count_once_for_each_set(self) -> None:
        assert [cells_of(CORE_ARMS, sets) for sets in (1, 2)] == [3, 4]
        assert cells_of(CORE_ARMS + MORE_ARMS, 2) == 8

    def test_the_budget_for_a_verdict_has_room_for_the_missing_seeds(self) -> None:
        done = Covered(arms=CORE_ARMS, seeds=1, sets=1)
        assert budget_for_a_verdict(100.0, done, 1, 60.0) >= (100 + 6 * 60) / 60
        assert budget_for_a_verdict(100.0, done, 1, 60.0) < budget_for_a_verdict(100.0, None, 1, 60.0)


class TestChoice:
    @pytest.mark.parametrize(
        ("sizes", "device", "budget", "expected"),
        [
            ({(8, 8)}, "cpu", 60.0, None),
            ({(28, 28)}, "cpu", 60.0, None),
            ({(32, 32)}, "cuda", 60.0, None),
            ({(64, 64)}, "cpu", 1800.0, 32),
            ({(64, 64)}, "cuda", 7200.0, None),
            ({(640, 480), (300, 400)}, "cpu", 1800.0, 32),
            ({(640, 480), (300, 400)}, "cuda", 7200.0, 64),
            ({(20, 22), (22, 20)}, "cpu", 60.0, 20),
            ({(30, 30)}, "cpu", 60.0, 32),
            ({(5, 5)}, "cpu", 60.0, 8),
            (set(), "cpu", 60.0, None),
        ],
    )
    def test_images_get_a_size_that_generators_make(
        self, sizes: set[tuple[int, int]], device: str, budget: float, expected: int | None
    ) -> None:
        choice = choose_size(sizes, device, budget)
        assert choice.value == expected
        assert bool(choice.why) is (expected is not None)

    def test_more_pixels_are_had_for_a_larger_budget_which_is_named(self) -> None:
        why = choose_size({(640, 480)}, "cpu", 1800.0).why
        assert "resized to 32x32" in why
        assert "budget of 18 h" in why
        assert "budget of" not in choose_size({(640, 480)}, "cuda", 7200.0).why

    def test_sizes_are_found_without_loading(self, make_image_folder: Callable[..., Path]) -> None:
        folder = make_image_folder("photos", size=(12, 20))
        (folder / "cat" / "broken.png").write_bytes(b"no picture")
        assert found_sizes(f"imagefolder:{folder}") == {(20, 12)}
        assert found_sizes("digits") == {(8, 8)}

    def test_a_generator_is_chosen_for_a_reason(self) -> None:
        calm = {"watching": 10.0, "training": 100.0}
        assert choose_model("ddpm", "cpu", 8, **calm).why == "as asked for"
        assert choose_model("auto", "cpu", 8, **calm).value == "acgan"
        assert choose_model("auto", "cpu", 32, **calm).value == "acgan"
        assert choose_model("auto", "cuda", 32, **calm).value == "ddpm"
        hurried = choose_model("auto", "cpu", 8, watching=60.0, training=100.0)
        assert hurried.value == "ddpm"
        assert "60 s of the 100 s" in hurried.why


@dataclass
class Stages:
    """Stands in for the verbs: writes what the next stage looks for, and takes time by a clock of its own."""

    cells_per_second: float = 1.0
    calls: list[tuple[str, Any]] = field(default_factory=list)
    fails: dict[str, BaseException] = field(default_factory=dict)
    verdicts: tuple[str, ...] = ("inconclusive", "inconclusive")
    now: float = 0.0
    done: set[tuple[str, int]] = field(default_factory=set)
    was_planned: list[bool] = field(default_factory=list)

    def names(self) -> list[str]:
        return [name for name, _ in self.calls]

    def call(self, name: str, config: Any, seconds: float) -> None:
        self.calls.append((name, config))
        self.now += seconds
        if name in self.fails:
            raise self.fails[name]

    def train(self, config: Any) -> None:
        if "training error" in self.fails:
            write(config.out / "synthaug.json")
            self.call("train", config, 1.0)
            raise self.fails["training error"]
        self.call("train", config, 20.0)
        write(config.out / "synthaug.json")

    def generate(self, config: Any) -> None:
        self.call("generate", config, 5.0)
        write(Path(config.out) / "manifest.json")

    def curate(self, config: Any) -> SimpleNamespace:
        self.call("curate", config, 5.0)
        write(Path(config.out) / "manifest.json")
        return SimpleNamespace(images=150, of=200)

    def bench(self, config: Any, *, was_planned: bool = False) -> BenchSummary:
        self.call("bench", config, 0.0)
        self.was_planned.append(was_planned)
        arms = [arm for arm in config.arms if not arm.startswith(("mixed", "synthetic"))]
        arms += [f"{arm} ({one})" for arm in config.arms if arm not in arms for one in config.synthetic]
        deadline = self.now + config.max_time
        seeds = range(config.seed, config.seed + config.seeds)
        for cell in ((arm, seed) for seed in seeds for arm in arms):
            if cell not in self.done and self.now + 1 / self.cells_per_second <= deadline:
                self.now += 1 / self.cells_per_second
                self.done.add(cell)
        wanted = {(arm, seed) for seed in seeds for arm in arms}
        write(config.out / "report.json")
        of_arms = {arm: [seed for name, seed in sorted(self.done) if name == arm] for arm in arms}
        summaries = [ArmSummary.model_construct(seeds=numbers) for numbers in of_arms.values() if numbers]
        regimes = [RegimeSummary.model_construct(arms=summaries)]
        return BenchSummary.model_construct(done=len(wanted & self.done), regimes=regimes)

    def bench_and_report(self, config: Any) -> SimpleNamespace:
        self.calls.append(("report", config))
        write(config.out / "report.html")
        sets, arms = [], []
        for number, (where, verdict) in enumerate(zip(config.synthetic, self.verdicts, strict=False)):
            arm = Arm(name=f"mixed {number}")
            # The one that validates better tests worse.
            gain = SimpleNamespace(arm=arm.name, difference=SimpleNamespace(mean=-float(number)))
            sets.append(SetResult.model_construct(verdict=verdict, where=where, gain=gain))
            arms.append(ArmSummary.model_construct(arm=arm, validation_accuracy=float(number)))
        summary = BenchSummary.model_construct(regimes=[RegimeSummary.model_construct(sets=sets, arms=arms)])
        return SimpleNamespace(sentence="The verdict.", report=config.out / "report.html", summary=summary)


def write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")


@pytest.fixture
def stubs(monkeypatch: pytest.MonkeyPatch) -> Stages:
    """The verbs, and the machine, replaced."""
    stubs = Stages()
    for name in ("train", "generate", "curate", "bench"):
        monkeypatch.setattr(stages, name, getattr(stubs, name))
    monkeypatch.setattr(stages, "read_summary", lambda _: SimpleNamespace(done=len(stubs.done)))
    monkeypatch.setattr(
        stages, "read_costs", lambda _: SimpleNamespace(seconds=len(stubs.done) / stubs.cells_per_second)
    )
    monkeypatch.setattr(whole, "bench_and_report", stubs.bench_and_report)
    monkeypatch.setattr(whole, "read_card", lambda _: SimpleNamespace(training=SimpleNamespace(images_seen=5000)))
    for module in ("record", "stages", "deciding"):
        monkeypatch.setattr(f"synthaug.workflows.run.{module}.time", SimpleNamespace(monotonic=lambda: stubs.now))
    classifier = ClassifierSpeed(step=0.002, image=1e-4, overhead=0.1)
    generator = GeneratorSpeed(training=400.0, drawing=4000.0, preset_images=64_000, is_watched=True)

    def measure_classifier(*arguments: Any, **options: Any) -> ClassifierSpeed:
        stubs.call("measure", arguments, 1.0)
        return classifier

    monkeypatch.setattr(deciding, "measure_classifier", measure_classifier)
    monkeypatch.setattr(deciding, "measure_generator", lambda *_: generator)
    monkeypatch.setattr(deciding, "processors", lambda: 2)
    return stubs


def config_of(out: Path, **changes: Any) -> RunConfig:
    return RunConfig.resolve({"out": out, "budget": "100s", "per_class_real": 20, "device": "cpu", **changes})


class TestRun:
    def test_each_stage_takes_what_the_one_before_made_and_all_have_the_same_real_images(
        self, stubs: Stages, tmp_path: Path
    ) -> None:
        result = run(config_of(tmp_path / "run", seed=7, precision="fp32"))
        last = dict(stubs.calls)
        training, drawing, curation, bench = (last[name] for name in ("train", "generate", "curate", "bench"))
        assert drawing.model == str(training.out)
        assert curation.folder == drawing.out
        assert bench.synthetic == (drawing.out, curation.out)
        for step in (training, drawing, curation, bench):
            assert (step.seed, step.device, step.precision) == (7, "cpu", "fp32")
        for step in (training, bench):
            assert (step.data, step.per_class_real, step.image_size) == ("digits", 20, None)
        assert training.resume == "auto"
        assert (result.checkpoint, result.raw, result.curated) == (training.out, Path(drawing.out), Path(curation.out))
        assert result.report == bench.out / "report.html"
        assert result.sentence == "The verdict."

    def test_it_keeps_to_the_budget(self, stubs: Stages, tmp_path: Path) -> None:
        result = run(config_of(tmp_path / "run"))
        assert stubs.now == pytest.approx(sum(result.seconds.values()), abs=0.1)
        assert 80 < stubs.now <= 100
        assert set(result.seconds) == {"measuring", "training", "drawing", "curation", "bench", "report"}

    def test_seeds_are_added_by_time_and_whole_only(self, stubs: Stages, tmp_path: Path) -> None:
        run(config_of(tmp_path / "run"))
        benches = [config for name, config in stubs.calls if name == "bench"]
        assert benches[0].seeds == MINIMUM_SEEDS
        assert benches[0].arms == CORE_ARMS
        reported = dict(stubs.calls)["report"]
        assert reported.seeds > MINIMUM_SEEDS
        record = read_record(tmp_path / "run")
        assert record is not None
        assert record.covered is not None
        assert (record.covered.arms, record.covered.seeds) == (reported.arms, reported.seeds)

    def test_results_do_not_decide_how_many_seeds_there_are(self, stubs: Stages, tmp_path: Path) -> None:
        coverages = []
        for number, verdicts in enumerate([("helps", "helps"), ("hurts", "inconclusive")]):
            stubs.verdicts, stubs.done, stubs.now = verdicts, set(), 0.0
            run(config_of(tmp_path / str(number)))
            record = read_record(tmp_path / str(number))
            assert record is not None
            coverages.append(record.covered)
        assert coverages[0] == coverages[1]

    @pytest.mark.parametrize(
        ("verdicts", "expected"),
        [
            (("helps", "helps"), "curated"),
            (("helps", "inconclusive"), "synthetic"),
            (("hurts", "inconclusive"), None),
        ],
    )
    def test_the_set_to_use_helps_and_validates_best(
        self, verdicts: tuple[str, str], expected: str | None, stubs: Stages, tmp_path: Path
    ) -> None:
        stubs.verdicts = verdicts
        result = run(config_of(tmp_path / "run"))
        assert result.use == (None if expected is None else tmp_path / "run" / expected)

    def test_a_slow_bench_has_no_verdict_and_says_which_budget_would(self, stubs: Stages, tmp_path: Path) -> None:
        stubs.cells_per_second = 1 / 12
        result = run(config_of(tmp_path / "run"))
        record = read_record(tmp_path / "run")
        assert record is not None
        assert record.covered is not None
        assert record.covered.seeds < MINIMUM_SEEDS
        needed = result.sentence.rpartition("--budget ")[2].rstrip(".")
        assert any(f"--budget {needed} goes on" in sentence for sentence in result.left_out)
        assert result.use is None
        run(config_of(tmp_path / "run", budget=needed))
        extended = read_record(tmp_path / "run")
        assert extended is not None
        assert extended.covered is not None
        assert extended.covered.seeds >= MINIMUM_SEEDS

    def test_only_a_run_that_goes_on_from_a_verdict_could_have_been_swayed_by_it(
        self, stubs: Stages, tmp_path: Path
    ) -> None:
        run(config_of(tmp_path / "run"))
        assert set(stubs.was_planned) == {True}
        stubs.was_planned.clear()
        run(config_of(tmp_path / "run", budget="1h"))
        assert stubs.was_planned[0] is False
        assert set(stubs.was_planned[1:]) <= {True}

    def test_the_same_command_again_does_nothing_but_tells_the_same(self, stubs: Stages, tmp_path: Path) -> None:
        first = run(config_of(tmp_path / "run"))
        calls = len(stubs.calls)
        assert run(config_of(tmp_path / "run")) == first
        assert len(stubs.calls) == calls

    def test_a_larger_budget_adds_to_the_bench_alone(self, stubs: Stages, tmp_path: Path) -> None:
        run(config_of(tmp_path / "run"))
        before = read_record(tmp_path / "run")
        calls = len(stubs.calls)
        run(config_of(tmp_path / "run", budget="300s"))
        after = read_record(tmp_path / "run")
        assert before is not None
        assert after is not None
        assert set(stubs.names()[calls:]) == {"bench", "report"}
        assert after.decisions == before.decisions
        assert before.covered is not None
        assert after.covered is not None
        assert after.covered.seeds > before.covered.seeds
        assert stubs.now <= 300

    @pytest.mark.parametrize("stage", ["train", "generate", "curate", "bench"])
    def test_an_interrupted_run_goes_on_with_the_same_decisions(
        self, stage: str, stubs: Stages, tmp_path: Path
    ) -> None:
        stubs.fails[stage] = KeyboardInterrupt()
        with pytest.raises(KeyboardInterrupt):
            run(config_of(tmp_path / "run"))
        interrupted = read_record(tmp_path / "run")
        stubs.fails.clear()
        calls = len(stubs.calls)
        run(config_of(tmp_path / "run"))
        finished = read_record(tmp_path / "run")
        assert interrupted is not None
        assert finished is not None
        assert finished.decisions == interrupted.decisions
        assert stubs.names()[calls] == stage
        assert stubs.now <= 100

    def test_time_of_an_interrupted_training_counts(self, stubs: Stages, tmp_path: Path) -> None:
        stubs.fails["train"] = KeyboardInterrupt()
        with pytest.raises(KeyboardInterrupt):
            run(config_of(tmp_path / "run"))
        stubs.fails.clear()
        run(config_of(tmp_path / "run"))
        first, second = [config for name, config in stubs.calls if name == "train"]
        assert second.max_time < first.max_time
        assert second.images == first.images

    def test_another_run_is_not_continued(self, stubs: Stages, tmp_path: Path) -> None:
        run(config_of(tmp_path / "run"))
        with pytest.raises(InputError, match="per_class_real is 20 there and 10 now"):
            run(config_of(tmp_path / "run", per_class_real=10))
        write(tmp_path / "other" / "thesis")
        with pytest.raises(InputError, match="holds no run"):
            run(config_of(tmp_path / "other"))

    def test_a_training_that_goes_wrong_late_leaves_what_was_best(self, stubs: Stages, tmp_path: Path) -> None:
        stubs.fails["training error"] = TrainingError("the discriminator has won")
        result = run(config_of(tmp_path / "run"))
        assert any("the discriminator has won" in sentence for sentence in result.left_out)
        assert result.report is not None

    def test_a_curation_that_leaves_nothing_is_left_out(self, stubs: Stages, tmp_path: Path) -> None:
        stubs.fails["curate"] = InputError("--filter mislabelled leaves nothing")
        result = run(config_of(tmp_path / "run"))
        assert "curation: --filter mislabelled leaves nothing" in result.left_out
        assert result.curated is None
        assert dict(stubs.calls)["bench"].synthetic == (str(result.raw),)

    def test_what_is_left_out_is_said_and_stands_in_the_record(self, stubs: Stages, tmp_path: Path) -> None:
        result = run(config_of(tmp_path / "run"))
        written = json.loads((tmp_path / "run" / RECORD_NAME).read_text())
        assert written["result"]["left_out"] == list(result.left_out)
        assert written["result"]["seconds"] == result.seconds
        assert any(sentence.startswith("training: the generator was shown 5,000") for sentence in result.left_out)
        assert not any(sentence.startswith("the budget") for sentence in result.left_out)

    def test_a_budget_that_was_not_kept_is_admitted(
        self, stubs: Stages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        train = stubs.train

        def slowly(config: Any) -> None:
            stubs.now += 200.0
            train(config)

        monkeypatch.setattr(stages, "train", slowly)
        result = run(config_of(tmp_path / "run"))
        assert result.left_out[0].startswith("the budget: it was exceeded")
        assert "bench" not in stubs.names()
        assert result.report is None

    def test_time_that_runs_out_before_the_curation_is_kept_for_the_seeds(
        self, stubs: Stages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        generate = stubs.generate

        def slowly(config: Any) -> None:
            stubs.now += 58.0
            generate(config)

        monkeypatch.setattr(stages, "generate", slowly)
        result = run(config_of(tmp_path / "run"))
        assert "curate" not in stubs.names()
        assert any(sentence.startswith("curation: judging the set would have taken") for sentence in result.left_out)


class TestDryRun:
    def test_a_plan_creates_nothing_and_says_why(self, tmp_path: Path) -> None:
        plan = plan_run(config_of(tmp_path / "run", budget="30m"))
        assert not list(tmp_path.iterdir())
        assert plan.model == "acgan"
        assert plan.why
        assert sum(plan.seconds.values()) == pytest.approx(1800.0, abs=0.5)
        assert plan.images["train"] == 200
        assert (plan.seeds, plan.done) == (WANTED_SEEDS, ())

    def test_of_a_run_that_has_begun_it_tells_what_was_decided(self, stubs: Stages, tmp_path: Path) -> None:
        run(config_of(tmp_path / "run", model="ddpm"))
        plan = plan_run(config_of(tmp_path / "run", model="ddpm"))
        assert plan.model == "ddpm"
        assert "bench" in plan.done
        assert plan.seconds["measuring"] > 0

    @pytest.mark.parametrize("changes", [{"model": "vae"}, {"recipe": "slow"}])
    def test_unknown_names_are_refused_before_anything_is_done(self, changes: dict[str, str], tmp_path: Path) -> None:
        with pytest.raises(InputError, match="unknown"):
            plan_run(config_of(tmp_path / "run", **changes))
        with pytest.raises(InputError, match="unknown"):
            run(config_of(tmp_path / "run", **changes))
        assert not (tmp_path / "run" / "generator").exists()


@pytest.mark.parametrize("budget", ["0", "soon", "-3m"])
def test_a_budget_is_a_time(budget: str) -> None:
    with pytest.raises(InputError, match="--budget"):
        RunConfig.resolve({"budget": budget})


def test_a_budget_may_be_a_number_of_seconds() -> None:
    assert RunConfig.resolve({"budget": 90}).seconds == 90.0
    assert RunConfig().seconds == 1800.0


def test_a_damaged_record_is_refused(tmp_path: Path) -> None:
    (tmp_path / RECORD_NAME).write_text("{")
    with pytest.raises(InputError, match="not readable"):
        Ledger.open(config_of(tmp_path))


def test_people_see_the_verdict_first_then_the_set_the_report_and_what_is_missing(tmp_path: Path) -> None:
    result = RunResult(
        sentence="Synthetic data helps.",
        use=tmp_path / "curated",
        report=tmp_path / "report.html",
        checkpoint=tmp_path / "generator",
        raw=tmp_path / "synthetic",
        curated=tmp_path / "curated",
        model="acgan",
        why="it is quick",
        left_out=("seeds beyond 3: another takes 20 s",),
        budget=60.0,
        seconds={},
    )
    first, second, third, *_, last = _show(result).splitlines()
    assert first == "Synthetic data helps."
    assert str(tmp_path / "curated") in second
    assert str(tmp_path / "report.html") in third
    assert last == "left out: seeds beyond 3: another takes 20 s"
