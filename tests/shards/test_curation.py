import base64
import json
import math
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from synthaug.shards.curation import CurationRecord, FilterRecord, JudgeRecord, Scores, encode_kept, kept_positions
from synthaug.shards.plan import SetPlan
from synthaug.shards.writer import describe
from tests.conftest import plan_of


def record(classes: int = 2, *filters: FilterRecord) -> CurationRecord:
    """How samples were chosen from some set."""
    removed = filters or (FilterRecord(name="confidence", value="0.2", removed=(1,) * classes),)
    judge = JudgeRecord(
        network="resnet20",
        weights_sha256="5" * 64,
        steps=400,
        validation_accuracy=0.975,
        split=plan_of().generator.split,
        ancestors=(),
    )
    return CurationRecord(source="6" * 64, filters=removed, judge=judge)


@st.composite
def selections(draw: st.DrawFn) -> tuple[SetPlan, list[int]]:
    """Plans of small drawn sets, and positions in them."""
    count = draw(st.integers(1, 5))
    plan = plan_of(
        class_names=tuple(f"class {label}" for label in range(count)),
        classes=tuple(sorted(draw(st.sets(st.integers(0, count - 1), min_size=1)))),
        per_class=draw(st.integers(1, 12)),
        shard_size=draw(st.integers(1, 9)),
        batch_size=draw(st.integers(1, 5)),
    )
    return plan, sorted(draw(st.sets(st.integers(0, plan.sample_count - 1), min_size=1)))


class TestBitmap:
    @given(count=st.integers(1, 60), numbers=st.data())
    def test_it_is_what_was_put_in_with_the_first_sample_highest(self, count: int, numbers: st.DataObject) -> None:
        positions = sorted(numbers.draw(st.sets(st.integers(0, count - 1), min_size=1)))
        kept = encode_kept(positions, count)
        assert kept_positions(kept, count).tolist() == positions
        bits = "".join(f"{byte:08b}" for byte in base64.b64decode(kept))
        assert bits == "".join(str(int(place in positions)) for place in range(len(bits)))
        assert len(bits) == -(-count // 8) * 8

    def test_a_large_set_has_a_small_one(self) -> None:
        kept = encode_kept(np.arange(0, 50_000, 3), 50_000)
        assert len(kept) < 8400
        assert len(kept_positions(kept, 50_000)) == 16_667

    def test_positions_cannot_be_changed(self) -> None:
        positions = kept_positions(encode_kept([1, 2], 8), 8)
        with pytest.raises(ValueError, match="read-only"):
            positions[0] = 0

    @pytest.mark.parametrize(
        ("kept", "reason"),
        [
            ("", "a bit for each of 6"),
            ("AA==", "at least one"),
            ("gAA=", "a bit for each of 6"),
            ("gA==" * 10_000, "a bit for each of 6"),
            ("gB==", "nothing else"),  # a bit in what fills up the last letter
            ("AQ==", "nothing else"),  # a bit behind the last sample
            ("gQ==", "nothing else"),
            ("g A=", "base64"),
            ("gA=\n", "padding|base64"),
            ("ü===", "ASCII"),
            ("gA=A", "padding|base64|Excess"),
            ("----", "base64|Only"),
        ],
        ids=lambda text: text[:12],
    )
    def test_nothing_else_is_taken_for_one(self, kept: str, reason: str) -> None:
        with pytest.raises(ValueError, match=reason):
            kept_positions(kept, 6)
        with pytest.raises(ValidationError, match=reason):
            changed(plan_of(per_class=3), kept=kept, curations=(record(),))

    def test_its_length_is_compared_before_it_is_decoded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(base64, "b64decode", lambda *_, **__: pytest.fail("was decoded"))
        with pytest.raises(ValueError, match="a bit for each of 6"):
            kept_positions("A" * 1_000_000, 6)


def changed(plan: SetPlan, **change: Any) -> SetPlan:
    return SetPlan.model_validate({**plan.model_dump(), **change})


class TestSelectedPlan:
    @given(selections())
    def test_sample_i_is_the_ith_that_was_kept(self, selection: tuple[SetPlan, list[int]]) -> None:
        plan, positions = selection
        curated = plan.selected(positions, record(len(plan.class_names)))
        expected = [plan.sample(position) for position in positions]
        assert curated.sample_count == len(positions)
        assert curated.drawn_count == plan.sample_count
        assert [curated.sample(place) for place in range(len(positions))] == expected
        shards = list(curated.shards())
        assert [sample for shard in shards for sample in shard.samples] == expected
        assert curated.shard_count == len(shards) == -(-len(positions) // plan.shard_size)
        assert {len(shard) for shard in shards[:-1]} <= {plan.shard_size}
        for shard in shards:
            labels = [label for label, _ in shard.samples]
            assert shard.class_counts() == tuple(map(labels.count, range(len(plan.class_names))))
            named = [position for batch in shard.batches() for position in batch]
            assert named == list(range(shard.start, shard.stop))
        labels = [label for label, _ in expected]
        assert list(curated.class_counts()) == list(plan.class_names)
        assert list(curated.class_counts().values()) == list(map(labels.count, range(len(plan.class_names))))

    @given(selection=selections(), numbers=st.data())
    def test_a_selection_of_a_selection_is_one_of_the_drawn_set(
        self, selection: tuple[SetPlan, list[int]], numbers: st.DataObject
    ) -> None:
        plan, positions = selection
        first = record(len(plan.class_names))
        second = first.model_copy(update={"source": "7" * 64})
        places = sorted(numbers.draw(st.sets(st.integers(0, len(positions) - 1), min_size=1)))
        twice = plan.selected(positions, first).selected(places, second)
        assert twice.curations == (first, second)
        assert twice.kept == plan.selected([positions[place] for place in places], first).kept
        assert twice.drawn_count == plan.sample_count

    def test_it_is_a_value_like_any_plan(self) -> None:
        plan = plan_of(per_class=4)
        curated, other = (plan.selected(positions, record()) for positions in ([0, 3, 5], [0, 3, 6]))
        assert curated.sample_count == 3
        again = plan.selected([0, 3, 5], record())
        assert (curated, hash(curated)) == (again, hash(again))
        assert curated not in (plan, other, plan.selected([0, 3, 5], record().model_copy(update={"source": "7" * 64})))
        for copied in (
            SetPlan.model_validate_json(curated.model_dump_json()),
            pickle.loads(pickle.dumps(curated)),
            curated.model_copy(),
            curated.model_copy(deep=True),
        ):
            assert (copied, hash(copied)) == (curated, hash(curated))
            assert copied.shard(0).samples == curated.shard(0).samples
        copied = curated.model_copy(update={"kept": other.kept})
        assert copied.shard(0).samples == other.shard(0).samples, "nothing of another selection is remembered"

    def test_a_plan_that_was_written_before_there_were_selections_keeps_all(self) -> None:
        value = plan_of().model_dump()
        del value["kept"], value["curations"]
        assert SetPlan.model_validate(value) == plan_of()
        assert not plan_of().is_curated

    @pytest.mark.parametrize("positions", [[3, 1], [1, 1], [-1, 2], [0, 8]])
    def test_other_positions_are_refused(self, positions: list[int]) -> None:
        with pytest.raises(ValueError, match=r"ascending and lie in 0\.\.7"):
            plan_of(per_class=4).selected(positions, record())

    def test_an_empty_selection_is_refused(self) -> None:
        with pytest.raises(ValueError, match="at least one sample"):
            plan_of().selected([], record())

    def test_a_selection_and_how_it_was_made_go_together(self) -> None:
        curated = plan_of().selected([0], record())
        for change in ({"kept": None}, {"curations": ()}):
            with pytest.raises(ValidationError, match="kept is needed with curations, and only with them"):
                changed(curated, **change)

    def test_a_filter_counts_every_class(self) -> None:
        with pytest.raises(ValidationError, match="a number for each of 2 classes"):
            plan_of().selected([0], record(3))

    def test_the_positions_of_a_million_samples_are_listed_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        plan = plan_of(per_class=500_000, shard_size=1000).selected(list(range(0, 1_000_000, 2)), record())
        unpacked: list[object] = []
        monkeypatch.setattr(np, "unpackbits", lambda *_: unpacked.append(1))
        assert [plan.sample(place) for place in (0, 1, 499_999)] == [(0, 0), (0, 1), (0, 499_999)]
        assert sum(shard.class_counts()[0] for shard in plan.shards()) == plan.sample_count == 500_000
        assert unpacked == []


class TestRecords:
    @pytest.mark.parametrize(
        "change",
        [
            {"source": "x"},
            {"judge": {"validation_accuracy": math.nan}},
            {"judge": {"validation_accuracy": 1.5}},
            {"judge": {"weights_sha256": ""}},
            {"judge": {"steps": -1}},
            {"filters": [{"name": "a", "value": None, "removed": [-1, 0]}]},
            {"surprise": 1},
        ],
        ids=str,
    )
    def test_impossible_ones_are_refused(self, change: dict[str, Any]) -> None:
        value = record().model_dump()
        for name, part in change.items():
            value[name] = {**value[name], **part} if isinstance(part, dict) else part
        with pytest.raises(ValidationError):
            CurationRecord.model_validate(value)

    def test_they_say_in_words_what_happened(self) -> None:
        filters = (
            FilterRecord(name="confidence", value="0.2", removed=(1, 2)),
            FilterRecord(name="duplicates", value=None, removed=(0, 4)),
        )
        found = record(2, *filters)
        assert found.summary == "confidence 0.2 removed 3; duplicates removed 4"
        trained_on = "8 images of imagefolder:elsewhere (split seed 0)"
        expected = f"resnet20, 400 steps, validation accuracy 97.50 %, trained on {trained_on}"
        assert found.judge.summary == expected
        former = found.judge.split.model_copy(update={"source": "imagefolder:before", "seed": 3})
        judge = found.judge.model_copy(update={"ancestors": (former,)})
        assert judge.summary == f"{expected}, before that on 8 images of imagefolder:before (split seed 3)"


PLAN = plan_of()
numbers = st.floats(-1, 1e9, allow_nan=False)


class TestScores:
    @given(st.builds(Scores, numbers, numbers, numbers))
    def test_they_come_back_from_a_sample_to_six_decimals_and_are_described_the_same_again(
        self, scores: Scores
    ) -> None:
        description = describe(PLAN, 1, 2, scores)
        found = Scores.parse(description)
        for name, value in vars(scores).items():
            assert getattr(found, name) == pytest.approx(value, rel=1e-15, abs=5.1e-7)
        assert describe(PLAN, 1, 2, found) == description

    def test_what_was_not_measured_is_minus_one(self) -> None:
        assert describe(PLAN, 0, 0) == describe(PLAN, 0, 0, Scores())
        assert set(json.loads(describe(PLAN, 0, 0))["scores"].values()) == {-1.0}
        assert Scores.parse(describe(PLAN, 0, 0)) == Scores()

    def test_zero_has_no_sign(self) -> None:
        assert b"-0.0" not in describe(PLAN, 0, 0, Scores(-1e-9, -0.0, 0.0))

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_only_finite_numbers_are_scores(self, value: float) -> None:
        for place in range(3):
            with pytest.raises(ValueError, match="finite"):
                Scores(*(value if place == number else 0.5 for number in range(3)))

    @pytest.mark.parametrize(
        "text",
        [
            b"",
            b"{",
            b"[]",
            b"{}",
            b"\xff",
            b"[" * 100_000,
            b'{"scores": [0.1, 0.2, 0.3]}',
            b'{"scores": {}}',
            b'{"scores": {"label_confidence": 0.1, "nearest_train_distance": 0.1}}',
            *(
                b'{"scores": {"label_confidence": %s, "nearest_train_distance": 0.1, "relative_train_distance": 0.1}}'
                % value
                for value in (b"null", b"true", b'"0.1"', b"1", b"NaN", b"Infinity", b"1e999", b"9" * 5000)
            ),
            b'{"scores": {"label_confidence": 0.1, "nearest_train_distance": 0.1, "relative_train_distance": 0.1, '
            b'"x": 0.1}}',
        ],
        ids=lambda text: repr(text[:40]),
    )
    def test_nothing_else_is_parsed(self, text: bytes) -> None:
        with pytest.raises(ValueError, match="."):
            Scores.parse(text)
