import itertools
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from synthaug.core.errors import InputError
from synthaug.core.pixels import to_network
from synthaug.core.types import LabelledImages
from synthaug.data.batch_transforms import TRANSFORMS
from synthaug.data.loader import MixedLoader, mixed_loader
from synthaug.data.mixture import Batch, Mixture, Synthetic
from synthaug.data.opened import OpenMixture
from synthaug.data.splits import Splits
from synthaug.shards.decoded import DecodedSet
from tests.conftest import make_images_of, write_shard_set

DIGITS = tuple("0123456789")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, digits_splits: Splits) -> list[Path]:
    """Two sets of random digits: one of uneven shards (7 + 7 + ... + 1), one of a single shard."""
    folder = tmp_path_factory.mktemp("sets")
    return [
        write_shard_set(folder / f"{size}", class_names=DIGITS, per_class=per, shard_size=size, channels=1, seed=size)
        for size, per in ((7, 5), (100, 3))
    ]


def synthetic_of(per_class: int = 5, seed: int = 9) -> LabelledImages:
    return make_images_of(per_class=per_class, class_names=DIGITS, size=8, channels=1, name="made up", seed=seed)


def loader_of(splits: Splits, *sets: Any, **settings: Any) -> MixedLoader:
    shared = {key: settings.pop(key) for key in ("rank", "world_size") if key in settings}
    return mixed_loader(splits, sets, Mixture(**{"batch_size": 32, "workers": 0, **settings}), **shared)


def assert_equal(first: list[Batch], second: list[Batch]) -> None:
    assert len(first) == len(second) > 0
    for one, other in zip(first, second, strict=True):
        assert all(torch.equal(left, right) for left, right in zip(one, other, strict=True))


def ids(batches: list[Batch]) -> list[tuple[int, int]]:
    return [pair for batch in batches for pair in zip(batch.sources.tolist(), batch.indices.tolist(), strict=True)]


def test_every_image_keeps_its_label_and_says_where_it_is_from(digits_splits: Splits) -> None:
    sets = [synthetic_of(seed=1), synthetic_of(3, seed=2)]
    loader = loader_of(digits_splits, *sets, synthetic_fraction=0.25, batch_size=40, transform="none")
    sources = [digits_splits.train, *sets]
    batches = list(loader)
    assert len(batches) == len(loader) == 5
    for batch in batches:
        assert int(batch.is_synthetic.sum()) == 10
        assert torch.equal(batch.is_synthetic, batch.sources > 0)
        for image, label, source, index in zip(batch.images, batch.labels, batch.sources, batch.indices, strict=True):
            from_where = sources[int(source)]
            assert torch.equal(image, to_network(from_where.images[index]))
            assert label == from_where.labels[index]
    assert {source for source, _ in ids(batches)} == {0, 1, 2}


@pytest.mark.parametrize("settings", [{"transform": name} for name in TRANSFORMS.names()] + [{"cutmix": 1.0}], ids=str)
def test_labels_survive_every_augmentation(digits_splits: Splits, settings: dict[str, Any]) -> None:
    synthetic = synthetic_of()
    for batch in loader_of(digits_splits, synthetic, **settings):
        for source, images in enumerate((digits_splits.train, synthetic)):
            chosen = batch.sources == source
            assert torch.equal(batch.labels[chosen], images.labels[batch.indices[chosen]])
        assert torch.equal(batch.targets.argmax(1), batch.labels)


def test_batches_are_what_networks_see(digits_splits: Splits) -> None:
    batch = next(iter(loader_of(digits_splits, synthetic_of())))
    assert (batch.images.shape, batch.images.dtype) == ((32, 1, 8, 8), torch.float32)
    assert batch.images.min() >= -1
    assert batch.images.max() <= 1
    assert torch.equal(batch.targets, torch.nn.functional.one_hot(batch.labels, 10).float())
    assert batch.weights.tolist() == [1.0] * 32
    torch.testing.assert_close(batch.loss(torch.zeros(32, 10)), torch.tensor(10.0).log())


def test_synthetic_images_alone_are_smoothed_and_weighed(digits_splits: Splits) -> None:
    settings = {"synthetic_label_smoothing": 0.2, "synthetic_loss_weight": 0.5}
    batch = next(iter(loader_of(digits_splits, synthetic_of(), **settings)))
    assert batch.weights.tolist() == [0.5 if is_synthetic else 1.0 for is_synthetic in batch.is_synthetic]
    highest = [0.82 if is_synthetic else 1.0 for is_synthetic in batch.is_synthetic]
    assert batch.targets.max(1).values.tolist() == pytest.approx(highest)
    assert batch.targets.sum(1).tolist() == pytest.approx([1.0] * 32)
    logits = torch.randn(32, 10)
    each = -(batch.targets * logits.log_softmax(1)).sum(1)
    torch.testing.assert_close(batch.loss(logits), (each * batch.weights).sum() / batch.weights.sum())


# --- epochs ---


def test_an_epoch_of_real_images_alone_holds_every_image_once(digits_splits: Splits) -> None:
    loader = loader_of(digits_splits, batch_size=40)
    for _ in range(3):
        assert sorted(ids(list(loader))) == [(0, index) for index in range(200)]


def test_added_images_leave_every_real_image_once_in_an_epoch(digits_splits: Splits) -> None:
    loader = loader_of(digits_splits, synthetic_of(), mode="add", synthetic_fraction=0.2, batch_size=50)
    assert len(loader) == 5
    for _ in range(3):
        real = [index for source, index in ids(list(loader)) if source == 0]
        assert sorted(real) == list(range(200))


def test_amounts_of_several_sets_are_kept_in_an_epoch(digits_splits: Splits) -> None:
    sets = [Synthetic(synthetic_of(), choose=60), Synthetic(synthetic_of(3), repeat=2.0)]
    loader = loader_of(digits_splits, *sets, mode="add", batch_size=32)
    sources = [source for source, _ in ids(list(loader))]
    assert [sources.count(number) for number in (0, 1, 2)] == [200, 60, 60]


def test_every_iteration_gives_the_next_epoch_and_none_the_same_augmentation(digits_splits: Splits) -> None:
    loader = loader_of(digits_splits, batch_size=200)
    (first,), (second,) = list(loader), list(loader)
    assert loader.epoch == 1
    assert first.indices.tolist() != second.indices.tolist()
    order = [batch.indices.argsort() for batch in (first, second)]
    changed = (first.images[order[0]] != second.images[order[1]]).flatten(1).any(1)
    assert changed.float().mean() > 0.7  # one of nine shifts is drawn twice in a ninth of the images
    loader.set_epoch(0)
    assert_equal(list(loader), [first])


def test_an_iteration_that_was_left_is_not_taken_up_again(digits_splits: Splits) -> None:
    loader = loader_of(digits_splits, synthetic_of())
    taken = list(itertools.islice(loader, 2))
    second = list(loader)
    assert (loader.epoch, len(second)) == (1, len(loader))
    assert ids(second)[:64] != ids(taken)


def test_two_iterations_at_a_time_are_refused(digits_splits: Splits) -> None:
    loader = loader_of(digits_splits)
    with pytest.raises(RuntimeError, match="another iteration of this loader has begun"):
        list(zip(loader, loader, strict=True))


def test_an_epoch_may_be_repeated(digits_splits: Splits) -> None:
    opened = OpenMixture.of(digits_splits, None, Mixture(batch_size=32))
    loader = MixedLoader(opened, is_fixed=True)
    assert_equal(list(loader), list(loader))


def test_an_epoch_that_has_no_end_may_not_change_its_share(digits_splits: Splits) -> None:
    with pytest.raises(InputError, match="needs the number of epochs"):
        loader_of(digits_splits, synthetic_of(), synthetic_fraction="0.75:0.25")


def test_a_loader_made_before_its_processes_know_each_other_is_refused(
    digits_splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="a launcher started several processes"):
        loader_of(digits_splits)
    assert len(loader_of(digits_splits, rank=1, world_size=2)) == 4


def test_a_fraction_that_changes_is_that_of_each_epoch_and_is_observed(digits_splits: Splits) -> None:
    loader = loader_of(digits_splits, synthetic_of(), synthetic_fraction="0.75:0.25", epochs=3, batch_size=40)
    assert loader.observed_fraction != loader.observed_fraction  # nan: nothing was seen
    observed = []
    for _ in range(4):
        batches = list(loader)
        observed.append(loader.observed_fraction)
        assert {int(batch.is_synthetic.sum()) for batch in batches} == {round(40 * observed[-1])}
    assert observed == [0.75, 0.5, 0.25, 0.25]


# --- memory, streaming, workers, processes: the same batches ---


@pytest.mark.parametrize(
    "settings",
    [
        {"synthetic_fraction": 0.3},
        {"batching": "random"},
        {"synthetic_fraction": 1.0},
        {"mixup": 0.2, "cutmix": 1.0, "transform": "strong"},
    ],
    ids=str,
)
def test_streaming_gives_the_batches_that_memory_gives(
    digits_splits: Splits, made: list[Path], settings: dict[str, Any]
) -> None:
    sets = [Synthetic(made[0], proportion=2.0), Synthetic(made[1], proportion=1.0)]
    held, streamed = (loader_of(digits_splits, *sets, loading=how, **settings) for how in ("memory", "streaming"))
    for _ in range(2):
        assert_equal(list(streamed), list(held))


@pytest.mark.parametrize("transform", ["basic", "per sample"])
def test_any_number_of_workers_gives_the_same_epoch(
    digits_splits: Splits, made: list[Path], tmp_path: Path, transform: str
) -> None:
    if transform == "per sample":
        (tmp_path / "t.yaml").write_text("real: basic\nsynthetic: none\n")
        transform = str(tmp_path / "t.yaml")
    settings = {"loading": "streaming", "transform": transform, "batch_size": 64}
    alone = list(loader_of(digits_splits, made[1], **settings))
    assert_equal(list(loader_of(digits_splits, made[1], **{**settings, "workers": 2})), alone)


@given(world_size=st.integers(1, 5), batch_size=st.integers(1, 70), fraction=st.floats(0.0, 1.0), data=st.data())
def test_processes_get_as_many_full_batches_with_images_of_their_own(
    digits_splits: Splits, world_size: int, batch_size: int, fraction: float, data: st.DataObject
) -> None:
    if 200 * fraction < 1:
        fraction = 0.0
    settings = {"batch_size": batch_size, "synthetic_fraction": fraction, "transform": "none"}
    parts = [
        loader_of(digits_splits, synthetic_of(30), rank=rank, world_size=world_size, **settings)
        for rank in range(world_size)
    ]
    assert {len(part) for part in parts} == {-(-200 // (batch_size * world_size))}
    epochs = [list(part) for part in parts]
    assert {len(batch.labels) for batches in epochs for batch in batches} == {batch_size}
    together = [pair for step in zip(*epochs, strict=True) for pair in ids(list(step))]
    alone = loader_of(digits_splits, synthetic_of(30), **{**settings, "batch_size": batch_size * world_size})
    assert together == ids(list(alone))
    if len(together) <= 200:  # not more than a pass through either source
        assert len(set(together)) == len(together)


@pytest.mark.filterwarnings("ignore:This DataLoader will create 4 worker processes")
def test_one_shard_feeds_two_processes_of_four_workers(digits_splits: Splits, made: list[Path]) -> None:
    settings = {"loading": "streaming", "workers": 4, "batch_size": 8, "synthetic_fraction": 0.25}
    parts = [list(loader_of(digits_splits, made[1], rank=rank, world_size=2, **settings)) for rank in range(2)]
    assert [len(part) for part in parts] == [13, 13]
    synthetic = [[index for source, index in ids(part) if source == 1] for part in parts]
    assert [len(indices) for indices in synthetic] == [26, 26]
    first, second = (set(indices[:14]) for indices in synthetic)  # 28 of one pass through its thirty images
    assert not first & second
    assert len(first | second) == 28


def test_a_batch_larger_than_its_sources_repeats_them(digits_splits: Splits) -> None:
    loader = loader_of(digits_splits, synthetic_of(1), batch_size=600)
    [batch] = list(loader)
    real, synthetic = (batch.indices[batch.sources == source] for source in (0, 1))
    assert torch.bincount(real[:200], minlength=200).tolist() == [1] * 200
    assert torch.bincount(synthetic).tolist() == [30] * 10


# --- augmentation ---


def test_mixup_keeps_the_larger_label_and_mixes_targets(digits_splits: Splits) -> None:
    batch = next(iter(loader_of(digits_splits, synthetic_of(), mixup=1.0)))
    assert torch.equal(batch.targets.argmax(1), batch.labels)
    assert ((batch.targets > 0).sum(1) == 2).any()
    assert batch.targets.sum(1).tolist() == pytest.approx([1.0] * 32)


def test_normalised_images_have_the_statistics_of_the_real_training_images(digits_splits: Splits) -> None:
    settings = {"normalise": True, "transform": "none", "batch_size": 200}
    [real] = list(loader_of(digits_splits, **settings))
    assert float(real.images.mean()) == pytest.approx(0.0, abs=1e-4)
    assert float(real.images.std(correction=0)) == pytest.approx(1.0, abs=1e-4)
    dark = replace_pixels(synthetic_of(), 0)
    [mixed] = list(loader_of(digits_splits, dark, synthetic_fraction=0.5, **settings))
    mean, deviation = digits_splits.train.images.double().mean(), digits_splits.train.images.double().std(correction=0)
    assert float(mixed.images[mixed.is_synthetic].unique()) == pytest.approx(float(-mean / deviation), rel=1e-4)


def replace_pixels(images: LabelledImages, value: int) -> LabelledImages:
    return LabelledImages.of(torch.full_like(images.images, value), images.labels, images.class_names, "flat")


def test_the_survey_preset_normalises_unless_told_otherwise(digits_splits: Splits) -> None:
    assert loader_of(digits_splits, transform="survey").preparation.mean is not None
    assert loader_of(digits_splits, transform="survey", normalise=False).preparation.mean is None
    assert loader_of(digits_splits, transform="basic").preparation.mean is None


def test_images_are_resized_after_augmentation(digits_splits: Splits) -> None:
    loader = loader_of(digits_splits, transform="none", input_size=16)
    batch = next(iter(loader))
    assert batch.images.shape == (32, 1, 16, 16)
    assert torch.equal(batch.images, loader.preparation(digits_splits.train.images[batch.indices]))


def test_pipelines_of_a_file_treat_real_and_synthetic_images_apart(digits_splits: Splits, tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text("synthetic: basic\n")
    synthetic = synthetic_of()
    loader = loader_of(digits_splits, synthetic, transform=tmp_path / "t.yaml", batch_size=200)
    [batch] = list(loader)
    for source, images in ((0, digits_splits.train), (1, synthetic)):
        chosen = batch.sources == source
        plain = to_network(images.images[batch.indices[chosen]])
        same = (batch.images[chosen] == plain).flatten(1).all(1).float().mean()
        assert same == 1 if source == 0 else same < 0.3
    [again] = list(loader)
    assert not torch.equal(again.images, batch.images)


# --- going on ---


@pytest.mark.parametrize("loading", ["memory", "streaming"])
@pytest.mark.parametrize("done", [0, 1, 3, 7])
def test_a_loader_goes_on_where_another_was(digits_splits: Splits, made: list[Path], loading: str, done: int) -> None:
    settings = {"synthetic_fraction": 0.3, "loading": loading}
    whole = loader_of(digits_splits, made[0], **settings)
    list(whole)
    expected = [*list(whole), *list(whole)]
    first = loader_of(digits_splits, made[0], **settings)
    list(first)
    begun = list(itertools.islice(first, done)) if done else []
    state = pickle.loads(pickle.dumps(first.state_dict()))
    second = loader_of(digits_splits, made[0], **settings)
    second.load_state_dict(state)
    assert second.epoch == (2 if done == 7 else 1)  # an epoch at its end is over
    rest = [*list(second), *list(second)]
    assert_equal([*begun, *rest][:14], expected)
    assert second.observed_fraction == pytest.approx(0.3, abs=0.01)


def test_the_observed_fraction_of_a_resumed_epoch_is_that_of_the_whole(digits_splits: Splits) -> None:
    whole, first, second = (loader_of(digits_splits, synthetic_of(), batching="random") for _ in range(3))
    list(whole)
    list(itertools.islice(first, 3))
    second.load_state_dict(first.state_dict())
    list(second)
    assert second.observed_fraction == whole.observed_fraction


def test_as_many_images_in_a_step_may_go_on_in_other_processes(digits_splits: Splits) -> None:
    settings = {"synthetic_fraction": 0.3, "transform": "basic"}
    two = [
        loader_of(digits_splits, synthetic_of(), rank=rank, world_size=2, batch_size=16, **settings)
        for rank in range(2)
    ]
    begun = [list(itertools.islice(part, 3)) for part in two]
    one = loader_of(digits_splits, synthetic_of(), batch_size=32, **settings)
    one.load_state_dict(two[0].state_dict())
    joined = [pair for step in zip(*begun, strict=True) for pair in ids(list(step))]
    whole = list(loader_of(digits_splits, synthetic_of(), batch_size=32, **settings))
    assert joined == ids(whole[:3])
    assert_equal(list(one), whole[3:])


def test_another_number_of_images_in_a_step_is_refused(digits_splits: Splits) -> None:
    state = loader_of(digits_splits, batch_size=32).state_dict()
    other = loader_of(digits_splits, batch_size=32, rank=0, world_size=3)
    with pytest.raises(InputError, match="took 32 images in a step, this one takes 3 x 32 = 96; change the batch size"):
        other.load_state_dict(state)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"synthetic_fraction": 0.4},
        {"batching": "random"},
        {"transform": "none"},
        {"mixup": 0.1},
        {"normalise": True},
        {"input_size": 16},
        {"synthetic_loss_weight": 0.5},
        {"synthetic_label_smoothing": 0.1},
    ],
    ids=str,
)
def test_the_state_of_another_mixture_is_refused(digits_splits: Splits, change: dict[str, Any]) -> None:
    state = loader_of(digits_splits, synthetic_of()).state_dict()
    loader_of(digits_splits, synthetic_of(), workers=1, loading="memory").load_state_dict(state)
    with pytest.raises(InputError, match="mixed other images, or in another way"):
        loader_of(digits_splits, synthetic_of(), **change).load_state_dict(state)


def test_the_state_of_other_images_is_refused(digits_splits: Splits, made: list[Path], tmp_path: Path) -> None:
    options = {"class_names": DIGITS, "per_class": 5, "shard_size": 7, "channels": 1}
    same, other = (write_shard_set(tmp_path / f"{seed}", seed=seed, **options) for seed in (7, 8))
    state = loader_of(digits_splits, made[0]).state_dict()
    loader_of(digits_splits, same).load_state_dict(state)  # the same set elsewhere
    real = replace(digits_splits, train=digits_splits.train.take(torch.arange(200).flip(0)))
    for splits, images in ((digits_splits, other), (real, made[0]), (digits_splits, synthetic_of())):
        with pytest.raises(InputError, match="mixed other images"):
            loader_of(splits, images).load_state_dict(state)


def test_the_state_of_other_pipelines_is_refused_wherever_the_file_is(digits_splits: Splits, tmp_path: Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("real: basic\n")
    second.write_text("real: basic\n")
    state = loader_of(digits_splits, transform=first).state_dict()
    loader_of(digits_splits, transform=second).load_state_dict(state)
    second.write_text("real: survey\n")
    with pytest.raises(InputError, match="in another way"):
        loader_of(digits_splits, transform=second).load_state_dict(state)


def test_what_is_no_state_is_refused(digits_splits: Splits) -> None:
    with pytest.raises(InputError, match=r"the state of a loader of mixed images is needed, found .* \['step'\]"):
        loader_of(digits_splits).load_state_dict({"step": 3})


# --- what is refused before anything is trained ---


def test_a_set_of_other_classes_is_refused_with_both_lists(
    digits_splits: Splits, make_shard_set: Callable[..., Path]
) -> None:
    where = make_shard_set(class_names=DIGITS[::-1], channels=1)
    (where / "train-000000.tar").unlink()  # nothing of it is read
    with pytest.raises(InputError, match=r"same order: .*set has \['9', '8', .*digits has \['0', '1'"):
        loader_of(digits_splits, where)


@pytest.mark.parametrize(("size", "channels", "found"), [(16, 1, r"\(1, 16, 16\)"), (8, 3, r"\(3, 8, 8\)")])
def test_images_of_another_shape_are_refused_with_both(
    digits_splits: Splits, make_shard_set: Callable[..., Path], size: int, channels: int, found: str
) -> None:
    message = rf"same shape: .* has {found}, digits has \(1, 8, 8\)"
    images = make_images_of(class_names=DIGITS, size=size, channels=channels)
    for one in (images, make_shard_set(class_names=DIGITS, size=size, channels=channels)):
        with pytest.raises(InputError, match=message):
            loader_of(digits_splits, one)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"transform": "heavy"}, "unknown transform preset 'heavy'; known: basic, none, strong, survey"),
        ({"transform": "no/such.yaml"}, r"no/such\.yaml"),
        ({"synthetic_fraction": 1.5}, r"--synthetic-fraction must lie in \[0, 1\]"),
        ({"synthetic_fraction": 0.001}, "less than one of the 200 images of an epoch"),
        ({"batch_size": 0}, "--batch-size must be at least 1, found 0"),
        ({"mixup": -0.1}, "--mixup must be 0 or more, found -0.1"),
        ({"synthetic_loss_weight": float("nan")}, "--synthetic-loss-weight must be 0 or more, found nan"),
        ({"synthetic_label_smoothing": 1.0}, r"must lie in \[0, 1\), found 1.0"),
        ({"input_size": 2}, "--input-size must be at least 4, found 2"),
        ({"workers": -1}, "--workers must be at least 0, found -1"),
    ],
)
def test_impossible_settings_are_refused(digits_splits: Splits, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        loader_of(digits_splits, synthetic_of(), **settings)


@pytest.mark.parametrize("name", ["mode", "batching", "loading", "on_damage"])
def test_an_unknown_choice_is_refused_with_the_known_ones(name: str) -> None:
    mixture = Mixture()
    object.__setattr__(mixture, name, "other")  # the run-time checks of these tests would refuse it sooner
    with pytest.raises(InputError, match=rf"--{name.replace('_', '-')} must be one of \w+, .*, found 'other'"):
        mixture.__post_init__()


@pytest.mark.parametrize(("name", "value"), [("batch_size", 2.5), ("workers", "2"), ("mixup", "x"), ("seed", True)])
def test_what_is_no_number_is_refused(name: str, value: Any) -> None:
    mixture = Mixture()
    object.__setattr__(mixture, name, value)
    with pytest.raises(InputError, match=rf"--{name.replace('_', '-')} must be a .*number, found {value!r}"):
        mixture.__post_init__()


def test_a_rank_outside_the_world_is_refused(digits_splits: Splits) -> None:
    with pytest.raises(InputError, match=r"the rank must lie in 0\.\.1, found 2"):
        loader_of(digits_splits, rank=2, world_size=2)


# --- choosing by size ---


@pytest.mark.parametrize(("available", "is_held"), [(10**9, True), (20_000, False)])
def test_sets_are_held_if_they_fit_into_half_of_the_memory(
    digits_splits: Splits, made: list[Path], monkeypatch: pytest.MonkeyPatch, available: int, is_held: bool
) -> None:
    monkeypatch.setattr("synthaug.data.pools.available_memory", lambda: available)
    opened = OpenMixture.of(digits_splits, made[0], Mixture())
    assert (opened.pools[1].pixels is not None) is is_held


def test_a_set_is_decoded_once(digits_splits: Splits, made: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    first = list(loader_of(digits_splits, made[0], loading="memory"))
    monkeypatch.setattr("synthaug.shards.index.decode_pixels", lambda *_, **__: pytest.fail("decoded again"))
    assert_equal(list(loader_of(digits_splits, made[0], loading="memory")), first)
    assert isinstance(DecodedSet(made[0]).pixels, torch.Tensor)


def test_settings_are_a_value(digits_splits: Splits) -> None:
    assert replace(Mixture(), seed=1) == Mixture(seed=1) != Mixture()
