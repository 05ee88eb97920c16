"""The arms of a bench: how they are asked for, and what their batches really hold."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from synthaug.classifiers.task import ClassifierTask
from synthaug.core.errors import InputError
from synthaug.core.seeding import derive_seed
from synthaug.core.types import LabelledImages
from synthaug.data.datamodule import MixedDataModule
from synthaug.data.mixture import Batch, Mixture
from synthaug.data.splits import Splits
from synthaug.workflows.bench import BenchConfig
from synthaug.workflows.bench.arms import (
    ARMS,
    DEFAULT_ARMS,
    Arm,
    arms_of,
    baseline_arms,
    deciding_arms,
    judging_arm,
    pairs_of,
)
from synthaug.workflows.bench.cells import CellInputs, run_cell
from synthaug.workflows.bench.regimes import checked_arms
from synthaug.workflows.bench.results import CellResult
from tests.workflows.benches import noise_set, perceptron_in, regimes_of, settings


def named(
    wanted: tuple[str | Mapping[str, Any], ...] = DEFAULT_ARMS,
    sets: tuple[str, ...] = ("ddpm",),
    sweep: tuple[float, ...] = (),
) -> list[str]:
    return [arm.name for arm in arms_of(wanted, sets, synthetic_fraction=0.5, sweep=sweep)]


def arm_of(wanted: str | Mapping[str, Any], sets: tuple[str, ...] = ("ddpm",)) -> Arm:
    """The arm of this name or table, beside what a bench needs anyway."""
    others = [name for name in ("real", "mixed") if name != wanted]
    name = wanted if isinstance(wanted, str) else wanted["name"]
    [found] = [arm for arm in arms_of([wanted, *others], sets, synthetic_fraction=0.5) if arm.name == name]
    return found


# --- by name ---


def test_the_arms_of_a_bench_that_is_told_nothing_have_a_baseline_and_decide() -> None:
    arms = arms_of(DEFAULT_ARMS, ["ddpm"], synthetic_fraction=0.5)
    assert [arm.name for arm in arms] == ["real", "real+classic", "synthetic", "mixed", "mixed+classic"]
    assert [arm.name for arm in baseline_arms(arms)] == ["real", "real+classic"]
    assert [arm.name for arm in deciding_arms(arms, "ddpm")] == ["mixed", "mixed+classic"]


def test_all_are_those_that_the_list_of_names_has() -> None:
    assert sorted(named(("all",))) == sorted(set(ARMS.names()) - {"mixed-together+classic"})  # there is one set only
    assert set(named(("all",), ("ddpm", "acgan"))) >= {"mixed-together+classic", "real-repeated"}


def test_every_set_has_arms_of_its_own_and_those_without_a_set_are_shared() -> None:
    sets = ("ddpm", "ddpm curated")
    names = named(("real", "mixed+classic", "synthetic-wrong-labels", "real-repeated"), sets)
    assert names == [
        "real",
        "real-repeated",
        "mixed+classic (ddpm)",
        "mixed+classic (ddpm curated)",
        "synthetic-wrong-labels (ddpm)",
        "synthetic-wrong-labels (ddpm curated)",
    ]


def test_what_is_known_by_one_name_with_one_set_means_so_in_words() -> None:
    arms = arms_of(["all"], ["ddpm", "acgan"], synthetic_fraction=0.5)
    assert len({arm.meaning for arm in arms}) == len(arms)
    for arm in arms:
        if len(arm.sets) == 1:
            assert arm.sets[0] in arm.meaning


@pytest.mark.parametrize(
    ("name", "attributes"),
    [
        ("real", {"sets": (), "synthetic_fraction": 0.0, "transform": "none", "role": "real"}),
        ("real+classic", {"sets": (), "synthetic_fraction": 0.0, "transform": None, "role": "real"}),
        ("real+strong", {"sets": (), "synthetic_fraction": 0.0, "transform": "strong", "role": "real"}),
        ("synthetic", {"synthetic_fraction": 1.0, "transform": None, "role": "other"}),
        ("mixed", {"synthetic_fraction": 0.5, "transform": "none", "role": "mixed"}),
        ("mixed+classic", {"synthetic_fraction": 0.5, "transform": None, "role": "mixed"}),
        ("mixed+strong", {"synthetic_fraction": 0.5, "transform": "strong", "role": "mixed"}),
        ("real-repeated", {"sets": (), "repeats_real": True, "synthetic_fraction": 0.5, "role": "other"}),
        ("pretrain-then-finetune", {"pretrains": True, "synthetic_fraction": 1.0, "role": "other"}),
        ("synthetic-wrong-labels", {"labels": "wrong", "synthetic_fraction": 0.5, "role": "other"}),
        ("mixed+classic@0.25", {"synthetic_fraction": 0.25, "transform": None, "role": "other"}),
        ("real-repeated@0.75", {"repeats_real": True, "synthetic_fraction": 0.75, "role": "other"}),
    ],
)
def test_a_name_stands_for_a_condition(name: str, attributes: dict[str, Any]) -> None:
    arm = arm_of(name)
    assert {key: getattr(arm, key) for key in attributes} == attributes
    assert arm.sets == (() if arm.repeats_real or arm.role == "real" else ("ddpm",))


def test_shares_of_a_sweep_are_arms_that_do_not_decide() -> None:
    arms = arms_of(DEFAULT_ARMS, ["ddpm"], synthetic_fraction=0.5, sweep=[0.25, 0.5, 0.75])
    swept = {arm.name: arm for arm in arms if "@" in arm.name}
    assert {name: arm.synthetic_fraction for name, arm in swept.items()} == {
        "mixed+classic@0.25": 0.25,
        "mixed+classic@0.75": 0.75,
    }
    assert {arm.role for arm in swept.values()} == {"other"}
    assert len(deciding_arms(arms, "ddpm")) == 2
    assert named(sweep=(0.25,), sets=("one", "two"))[-2:] == ["mixed+classic@0.25 (one)", "mixed+classic@0.25 (two)"]


def test_sets_are_compared_where_nothing_else_differs() -> None:
    arms = arms_of(["all", "mixed+classic@0.25"], ["one", "two"], synthetic_fraction=0.5)
    assert [(two.name, one.name) for two, one in pairs_of(arms)] == [
        (f"{name} (two)", f"{name} (one)") for name in ("mixed", "mixed+classic", "mixed+strong")
    ]
    assert pairs_of(arms_of(["all"], ["one"], synthetic_fraction=0.5)) == []


def test_sets_are_judged_with_classic_augmentation_where_that_is_an_arm() -> None:
    def judge(*names: str) -> str:
        return judging_arm(arms_of([*names, "mixed"], ["ddpm"], synthetic_fraction=0.5)).name

    assert judge("real", "real+strong", "real+classic") == "real+classic"
    assert judge("real+strong", "real") == "real+strong"


# --- by table ---


TABLE = {"name": "a bit of both", "sets": ["ddpm", "acgan"], "synthetic_fraction": 0.3, "transform": "survey"}


def test_a_table_is_an_arm_with_a_meaning_of_its_own() -> None:
    arm = arm_of(TABLE, ("ddpm", "acgan"))
    assert (arm.sets, arm.synthetic_fraction, arm.transform, arm.role) == (("ddpm", "acgan"), 0.3, "survey", "other")
    for part in ("30%", "ddpm", "acgan", "survey"):
        assert part in arm.meaning
    assert arm_of({**TABLE, "meaning": "mine"}, ("ddpm", "acgan")).meaning == "mine"


def test_a_table_may_be_a_baseline_or_decide() -> None:
    mine = {"name": "plain", "transform": "survey", "role": "real"}
    decides = {"name": "some", "sets": ["ddpm"], "synthetic_fraction": 0.1, "role": "mixed"}
    arms = arms_of([mine, decides], ["ddpm"], synthetic_fraction=0.5)
    assert [arm.name for arm in baseline_arms(arms)] == ["plain"]
    assert [arm.name for arm in deciding_arms(arms, "ddpm")] == ["some"]


def test_tables_come_from_a_file_and_are_kept_with_the_bench(tmp_path: Path) -> None:
    file = tmp_path / "bench.yaml"
    file.write_text(
        "out: out\nsynthetic: set\narms:\n  - real\n  - mixed\n"
        "  - {name: mine, sets: [ddpm], synthetic_fraction: 0.3, labels: wrong}\n"
    )
    config = BenchConfig.resolve({}, file)
    assert config.arms == (
        "real",
        "mixed",
        {"name": "mine", "sets": ["ddpm"], "synthetic_fraction": 0.3, "labels": "wrong"},
    )
    assert named(config.arms) == ["real", "mixed", "mine"]
    config.save(tmp_path)
    assert BenchConfig.resolve({}, tmp_path / "config.yaml") == config
    assert config.flags() == ["--config", str(Path("out") / "config.yaml")]  # words cannot say it


@pytest.mark.parametrize("given", ["real,mixed@0.3", ["real", "mixed@0.3"], ["real,mixed@0.3"], "real , mixed@0.3"])
def test_names_may_be_given_one_by_one_or_between_commas(given: Any, tmp_path: Path) -> None:
    config = settings(tmp_path / "set", tmp_path / "out", arms=given)
    assert config.arms == ("real", "mixed@0.3")
    words = config.flags()
    given_again = [words[place + 1] for place, word in enumerate(words) if word == "--arms"]
    assert settings(tmp_path / "set", tmp_path / "out", arms=given_again).arms == config.arms


# --- what is refused ---


@pytest.mark.parametrize(
    ("wanted", "complaint"),
    [
        (("real", "mxied"), r"unknown arm 'mxied'.*mixed\+classic"),
        (("real", "mixed", "real"), "--arms: real is given twice"),
        (("all", "mixed"), "--arms: mixed is given twice"),
        (("mixed",), "needs a real-only arm to compare with"),
        (("real", "synthetic"), "needs an arm to judge ddpm by"),
        (("real", "mixed+classic@0.5"), "needs an arm to judge ddpm by"),
        (("real", "mixed", "mixed@0"), r"mixed@0: a share .* must lie in \(0, 1\], found 0"),
        (("real", "mixed", "mixed@1.5"), r"must lie in \(0, 1\], found 1.5"),
        (("real", "mixed", "mixed@0.5.5"), "must lie in"),
        (("real", "mixed", "mixed@half"), "unknown arm 'mixed@half'"),
        (("real", "mixed", "real@0.25"), "real has no share of synthetic images to choose"),
        (("real", "mixed", "real@0.5"), "real has no share of synthetic images to choose"),
        (("real", "mixed", "synthetic@0.5"), "synthetic has no share"),
        (("real", "mixed", {"name": "x", "colour": "red"}), "arms: colour: Extra inputs"),
        (("real", "mixed", {"sets": ["ddpm"], "synthetic_fraction": 0.5}), "arms: name: Field required"),
        (("real", "mixed", {"name": "x", "sets": ["ddpm"], "synthetic_fraction": 2}), "synthetic_fraction: .*found 2"),
        (("real", "mixed", {"name": "x", "sets": ["edm"], "synthetic_fraction": 0.5}), "no set 'edm'; .* are ddpm"),
        (("real", "mixed", {"name": "x", "sets": ["ddpm"]}), "give both sets and a synthetic_fraction"),
        (("real", "mixed", {"name": "x", "synthetic_fraction": 0.5}), "give both sets and a synthetic_fraction"),
        (
            ("real", "mixed", {"name": "x", "sets": ["ddpm"], "repeats_real": True, "synthetic_fraction": 0.5}),
            "either sets or repeats_real",
        ),
        (
            ("real", "mixed", {"name": "x", "sets": ["ddpm"], "synthetic_fraction": 0.5, "role": "real"}),
            "the role real is for arms of real images only",
        ),
        (
            ("real", "mixed", {"name": "x", "repeats_real": True, "synthetic_fraction": 0.5, "role": "real"}),
            "the role real is for arms of real images only",
        ),
        (("real", "mixed", {"name": "x", "role": "mixed"}), "the role mixed is for arms of one set"),
        (("real", "mixed", {"name": "x", "transform": "blur"}), "unknown transform preset 'blur'"),
        (("real", "mixed", {"name": "x", "labels": "wrong"}), "labels and pretrains need synthetic images"),
        (("real", "mixed", {"name": "x", "pretrains": True}), "labels and pretrains need synthetic images"),
        (("real", "mixed", {"name": "real"}), "--arms: real is given twice"),
        (("real", "mixed", "mixed-together+classic"), "is for several sets, found 1"),
    ],
)
def test_arms_that_make_no_sense_are_refused(wanted: tuple[Any, ...], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        named(wanted)


def test_every_set_needs_an_arm_that_decides() -> None:
    table = {"name": "x", "sets": ["ddpm"], "synthetic_fraction": 0.5, "role": "mixed"}
    with pytest.raises(InputError, match="needs an arm to judge acgan by"):
        arms_of(("real", table), ("ddpm", "acgan"), synthetic_fraction=0.5)


def checked_names(config: BenchConfig) -> list[str]:
    return [arm.name for arm in checked_arms(config, ["ddpm"])]


REPEATED = {"name": "x", "repeats_real": True, "synthetic_fraction": 0.5}


@pytest.mark.parametrize(
    ("wanted", "missing"),
    [
        (["real", "mixed", "real-repeated"], r"real-repeated needs .* \(basic\).*; add real\+classic$"),
        (["real", "mixed", "real-repeated@0.25"], r"real-repeated@0.25 needs .*; add real\+classic$"),
        (
            ["real", "mixed", "synthetic-wrong-labels"],
            r"synthetic-wrong-labels needs .* \(basic\).*; add real\+classic$",
        ),
        (["real", "mixed", {**REPEATED, "transform": "strong"}], r"x needs .* \(strong\).*; add real\+strong$"),
        (["real", "mixed+classic"], r"mixed\+classic needs .*; add real\+classic$"),
        (["real+classic", "mixed"], r"mixed needs .* \(none\).*; add real$"),
        (
            ["real", "mixed", {**REPEATED, "labels": "wrong", "transform": "survey"}],
            "x needs .*; add an arm of your own with role: real and transform: survey$",
        ),
    ],
)
def test_arms_without_real_images_that_are_augmented_alike_are_refused(
    wanted: list[Any], missing: str, tmp_path: Path
) -> None:
    config = settings(tmp_path / "set", tmp_path / "out", arms=wanted)
    with pytest.raises(InputError, match=missing):
        checked_names(config)


@pytest.mark.parametrize(
    "wanted",
    [
        list(DEFAULT_ARMS),
        ["all"],
        ["real+classic", "mixed+classic", "real-repeated", "synthetic-wrong-labels"],
        ["real", "mixed", {**REPEATED, "transform": "none"}],
        ["real+classic", "mixed+classic", {**REPEATED, "transform": "basic"}],  # the recipe's, by its name
        ["real", "mixed", "real-repeated", {"name": "mine", "transform": "basic", "role": "real"}],
    ],
)
def test_arms_with_real_images_that_are_augmented_alike_are_welcome(wanted: list[Any], tmp_path: Path) -> None:
    config = settings(tmp_path / "set", tmp_path / "out", arms=wanted)
    assert config.resolved_recipe().transform == "basic"
    assert checked_names(config)


# --- what their batches hold ---


@dataclass(frozen=True)
class Trained:
    """One cell that was run.

    Attributes:
        cell: Its result.
        batches: What it was trained on, step by step.
        splits: The real images.
        sets: The synthetic ones by name.
    """

    cell: CellResult
    batches: list[Batch]
    splits: Splits
    sets: dict[str, LabelledImages]

    def synthetic(self) -> list[float]:
        """The share of each batch that is synthetic."""
        return [batch.is_synthetic.double().mean().item() for batch in self.batches]

    def column(self, name: str, *, is_synthetic: bool) -> Tensor:
        """One field of all images trained on, in their order."""
        return torch.cat([getattr(batch, name)[batch.is_synthetic == is_synthetic] for batch in self.batches])


STEPS, BATCH, EPOCH = 20, 10, 5
MINE = {"name": "again as they are", "repeats_real": True, "synthetic_fraction": 0.3, "transform": "none"}
MISTAKEN = {**MINE, "name": "again, mistaken", "labels": "wrong"}


@pytest.fixture(scope="module")
def arms(tmp_path_factory: pytest.TempPathFactory, splits: Splits) -> dict[str, Trained]:
    """Cells of all arms of a bench of two sets, those of the second set left out."""
    folder = tmp_path_factory.mktemp("arms")
    sets = [noise_set(folder / name, splits.record, seed=seed, per_class=4) for seed, name in enumerate(("one", "two"))]
    asked = ["all", "mixed@0.2", MINE, MISTAKEN]
    with pytest.MonkeyPatch.context() as patch:
        network = perceptron_in(patch)
        config = settings(sets, folder / "out", network=network, steps=STEPS, batch_size=BATCH, arms=asked)
        [regime] = regimes_of(config)
        inputs = CellInputs(config, config.runtime(), None)
        images = {one.name: one.images for one in regime.sets}
        batches: list[Batch] = []
        step = ClassifierTask.training_step

        def noting(self: ClassifierTask, batch: Batch, batch_idx: int) -> Tensor:
            batches.append(batch)
            return step(self, batch, batch_idx)

        patch.setattr(ClassifierTask, "training_step", noting)
        found = {}
        for arm in regime.arms:
            if arm.sets == ("two",):
                continue
            batches.clear()
            cell = run_cell(inputs, inputs.cell(regime, "equal steps", arm, 0), lambda _: None)
            found[arm.name.removesuffix(" (one)")] = Trained(cell, list(batches), regime.splits, images)
    return found


def test_every_arm_takes_as_many_steps_with_as_many_images(arms: dict[str, Trained]) -> None:
    assert set(arms) == {*ARMS.names(), "mixed@0.2", MINE["name"], MISTAKEN["name"]}
    for trained in arms.values():
        assert trained.cell.steps == len(trained.batches) == STEPS
        assert {len(batch.labels) for batch in trained.batches} == {BATCH}


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("real", 0.0),
        ("real+classic", 0.0),
        ("real+strong", 0.0),
        ("synthetic", 1.0),
        ("mixed", 0.5),
        ("mixed+classic", 0.5),
        ("mixed+strong", 0.5),
        ("mixed-together+classic", 0.5),
        ("real-repeated", 0.5),
        ("synthetic-wrong-labels", 0.5),
        ("mixed@0.2", 0.2),
        (MINE["name"], 0.3),
    ],
)
def test_every_batch_has_the_share_of_synthetic_images_that_the_arm_says(
    arms: dict[str, Trained], name: str, share: float
) -> None:
    assert arms[name].synthetic() == pytest.approx([share] * STEPS)


def test_pretraining_has_synthetic_images_only_and_finetuning_none(arms: dict[str, Trained]) -> None:
    half = STEPS // 2
    assert half % EPOCH == 0
    assert arms["pretrain-then-finetune"].synthetic() == [1.0] * half + [0.0] * half


def test_images_and_labels_are_those_of_the_sources_that_the_arm_says(arms: dict[str, Trained]) -> None:
    for name, trained in arms.items():
        train, one, two = trained.splits.train, trained.sets["one"], trained.sets["two"]
        sources = {1: one, 2: two}
        if name in ("real-repeated", MINE["name"], MISTAKEN["name"]):
            sources = {1: train}
        assert torch.equal(
            trained.column("labels", is_synthetic=False), train.labels[trained.column("indices", is_synthetic=False)]
        )
        places, labels, origins = (
            trained.column(field, is_synthetic=True) for field in ("indices", "labels", "sources")
        )
        expected = {"real": 0, "real+classic": 0, "real+strong": 0, "mixed-together+classic": 2}.get(name, 1)
        assert len(origins.unique()) == expected
        for number in origins.unique().tolist():
            own = sources[number].labels[places[origins == number]]
            given = labels[origins == number]
            if name in ("synthetic-wrong-labels", MISTAKEN["name"]):
                assert (given != own).all()
                assert len(given.unique()) > 5
            else:
                assert torch.equal(given, own)


def test_sets_that_are_mixed_together_come_in_equal_parts(arms: dict[str, Trained]) -> None:
    origins = arms["mixed-together+classic"].column("sources", is_synthetic=True)
    assert torch.bincount(origins, minlength=3).tolist() == [0, STEPS * BATCH // 4, STEPS * BATCH // 4]


def test_wrong_labels_are_the_same_for_an_image_in_every_epoch(arms: dict[str, Trained]) -> None:
    trained = arms["synthetic-wrong-labels"]
    places, labels = (trained.column(name, is_synthetic=True) for name in ("indices", "labels"))
    assert len(places) > len(places.unique())
    assert len({*zip(places.tolist(), labels.tolist(), strict=True)}) == len(places.unique())


def test_repeated_images_are_the_real_ones(arms: dict[str, Trained], splits: Splits) -> None:
    trained, repeated = arms[MINE["name"]], arms["real-repeated"]
    data = MixedDataModule(splits, None, Mixture(batch_size=BATCH))
    pixels = splits.train.images[trained.column("indices", is_synthetic=True)]
    assert torch.equal(trained.column("images", is_synthetic=True), data.preparation(pixels))
    assert set(repeated.column("indices", is_synthetic=True).tolist()) == set(range(50))  # all of them


@pytest.mark.parametrize(
    ("name", "transform"),
    [
        ("real", "none"),
        ("real+classic", "basic"),
        ("real+strong", "strong"),
        ("mixed", "none"),
        ("mixed+classic", "basic"),
        ("mixed+strong", "strong"),
        ("synthetic", "basic"),
        ("synthetic-wrong-labels", "basic"),
    ],
)
def test_images_are_augmented_as_the_arm_says(
    arms: dict[str, Trained], splits: Splits, name: str, transform: str
) -> None:
    trained = arms[name]
    batch = trained.batches[0]
    share = trained.synthetic()[0] or None
    mixture = Mixture(synthetic_fraction=share, batch_size=BATCH, transform=transform, seed=derive_seed("batches", 0))
    expected = next(iter(MixedDataModule(splits, trained.sets["one"] if share else None, mixture).train_dataloader()))
    assert torch.equal(batch.images, expected.images)


def test_augmentations_differ(arms: dict[str, Trained]) -> None:
    for names in (("real", "real+classic", "real+strong"), ("mixed", "mixed+classic", "mixed+strong")):
        for one, other in itertools.combinations(names, 2):
            first, second = arms[one].batches[0], arms[other].batches[0]
            assert torch.equal(first.indices, second.indices)
            assert not torch.equal(first.images, second.images)


def test_real_images_come_in_the_same_order_in_every_arm(arms: dict[str, Trained]) -> None:
    order = arms["real"].column("indices", is_synthetic=False).tolist()
    for name, trained in arms.items():
        own = trained.column("indices", is_synthetic=False).tolist()
        if name != "pretrain-then-finetune":
            assert own == order[: len(own)]


def test_pretraining_in_a_single_epoch_is_refused(tmp_path: Path, splits: Splits) -> None:
    asked = ["real", "mixed", "pretrain-then-finetune"]
    made = noise_set(tmp_path / "set", splits.record)
    for steps, batch_size in ((5, 10), (9, 10), (1, 100)):
        config = settings(made, tmp_path / "out", steps=steps, batch_size=batch_size, arms=asked)
        [regime] = regimes_of(config)
        inputs = CellInputs(config, config.runtime(), None)
        with pytest.raises(InputError, match="pretrain-then-finetune needs two epochs at least"):
            inputs.datamodule(inputs.cell(regime, "equal steps", regime.arms[-1], 0))
