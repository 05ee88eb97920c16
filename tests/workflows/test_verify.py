"""Proving a set, finishing one whose makers have gone, and making damaged shards again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from synthaug.core.errors import DamageError, InputError, SynthaugError
from synthaug.core.storage import sha256_file
from synthaug.generators.checkpoint import read_card
from synthaug.shards.manifest import MANIFEST_NAME, Manifest
from synthaug.workflows import verify as verify_module
from synthaug.workflows.synthesize import generate
from synthaug.workflows.verify import VerifyConfig, VerifyResult, verify
from tests.conftest import MakeShardSet, write_curated_set
from tests.shards.archives import in_format_4
from tests.workflows.sets import (
    MakeConfig,
    flip_a_bit,
    hashes_of,
    other_checkpoint,
    samples_of,
    states_of,
)


@pytest.fixture
def out(make_config: MakeConfig) -> str:
    """A finished set of 30 images in shards of 12, 12 and 6."""
    return generate(make_config()).out


def check(out: str, **flags: object) -> VerifyResult:
    return verify(VerifyConfig.resolve({"folder": out, "device": "cpu", **flags}))


def end_of_sample(out: str, shard: str, key: str) -> int:
    """A place inside the image of a sample."""
    return (Path(out) / shard).read_bytes().index(samples_of(out)[key][1]) + 60


@pytest.mark.parametrize("is_deep", [False, True])
def test_set_in_order_is_counted(out: str, is_deep: bool) -> None:
    before = states_of(out)
    result = check(out, deep=is_deep, repair=True, finish=True)
    found = result.verification
    assert (found.shards, found.samples, found.is_deep) == (3, 30, is_deep)
    assert found.class_counts == {str(digit): 3 for digit in range(10)}
    assert found.bytes == sum(path.stat().st_size for path in Path(out).glob("*.tar"))
    assert (result.repaired, result.is_newly_finished) == ((), False)
    assert states_of(out) == before


def test_every_damaged_shard_is_named_with_its_first_damaged_sample(out: str) -> None:
    flip_a_bit(Path(out) / "train-000000.tar", end_of_sample(out, "train-000000.tar", "0000000007"))
    (Path(out) / "train-000001.tar").unlink()
    (Path(out) / "train-000002.tar").write_bytes((Path(out) / "train-000002.tar").read_bytes()[:3000])
    with pytest.raises(DamageError) as refused:
        check(out)
    message = str(refused.value)
    assert "train-000000.tar has another sha256" in message
    assert "sample 0000000007" in message
    assert "train-000001.tar is missing" in message
    assert "train-000002.tar has 3000 bytes instead of" in message
    assert "verify --repair makes these shards again" in message
    assert refused.value.exit_code == 3


def test_deep_look_finds_what_the_manifest_was_changed_to_hide(make_config: MakeConfig, out: str) -> None:
    stranger = generate(make_config("other", seed=1)).out
    shutil.copy(Path(stranger) / "train-000001.tar", Path(out) / "train-000001.tar")
    manifest, theirs = Path(out) / MANIFEST_NAME, Manifest.read(stranger).shards[1]
    ours = Manifest.read(out).shards[1]
    text = manifest.read_text().replace(ours.sha256, theirs.sha256).replace(str(ours.bytes), str(theirs.bytes))
    manifest.write_text(text)
    assert check(out).verification.samples == 30
    with pytest.raises(DamageError, match=r"train-000001\.tar does not hold what the plan says .*sample 0000010000"):
        check(out, deep=True)


def test_repair_makes_the_damaged_shards_again_byte_for_byte_and_touches_nothing_else(out: str) -> None:
    before, states = hashes_of(out), states_of(out)
    flip_a_bit(Path(out) / "train-000000.tar", 5000)
    (Path(out) / "train-000002.tar").unlink()
    result = check(out, repair=True)
    assert result.repaired == ("train-000000.tar", "train-000002.tar")
    assert result.verification.samples == 30
    assert hashes_of(out) == before
    changed = {name for name, state in states_of(out).items() if states[name] != state}
    assert changed == {"train-000000.tar", "train-000002.tar"}


@pytest.mark.usefixtures("batch_shows")
@pytest.mark.parametrize("settings", [{"batch_size": 5}, {"image_format": "webp", "sampler": "ddim", "guidance": 2.0}])
def test_repair_draws_with_the_settings_of_the_set(make_config: MakeConfig, settings: dict[str, object]) -> None:
    out = generate(make_config("special", classes="1-7", seed=3, **settings)).out
    before = hashes_of(out)
    for path in Path(out).glob("*.tar"):
        path.unlink()
    assert check(out, repair=True, deep=True).repaired == ("train-000000.tar", "train-000001.tar")
    assert hashes_of(out) == before


@pytest.fixture
def moved(make_config: MakeConfig, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A set with a damaged shard, and the only settings that tell of its checkpoint name one that has gone."""
    checkpoint = shutil.copytree(tiny_checkpoint, tmp_path / "gone")
    out = generate(make_config(model=str(checkpoint))).out
    shutil.rmtree(checkpoint)
    flip_a_bit(Path(out) / "train-000001.tar", 700)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return out


@pytest.mark.parametrize("how", ["named", "below", "packaged", "settings"])
def test_repair_finds_the_checkpoint_by_its_hash(
    make_config: MakeConfig, tiny_checkpoint: Path, moved: str, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    import synthaug.pretrained

    named = {}
    if how == "named":
        named = {"model": str(tiny_checkpoint)}
    elif how == "below":
        other_checkpoint(tiny_checkpoint, Path("runs") / "newer")  # of the right kind, but of another hash
        shutil.copytree(tiny_checkpoint, Path("runs") / "mine")
    elif how == "packaged":
        shutil.copytree(tiny_checkpoint, Path("package") / "a" / "b" / "c" / "ddpm-tiny")  # too deep to be found below
        monkeypatch.setattr(synthaug.pretrained, "__path__", [str(Path("package/a/b/c").absolute())])
    else:
        (Path(moved) / "config.yaml").write_text(f"model: {tiny_checkpoint}\n")
    assert check(moved, repair=True, **named).repaired == ("train-000001.tar",)


@pytest.mark.parametrize("settings", ["that name a lost one", "gone", "no table", "no YAML"])
def test_repair_without_the_checkpoint_is_refused_and_leaves_the_shard(
    tiny_checkpoint: Path, moved: str, settings: str
) -> None:
    file = Path(moved) / "config.yaml"
    if settings == "gone":
        file.unlink()
    elif settings == "no table":
        file.write_text("- 1\n")
    elif settings == "no YAML":
        file.write_text("a: [")
    before = states_of(moved)
    checkpoint = read_card(tiny_checkpoint).checkpoint
    with pytest.raises(
        InputError, match=rf"the checkpoint {checkpoint[:12]}\.\.\. of this set .* name it with --model"
    ):
        check(moved, repair=True)
    assert states_of(moved) == before


def test_repair_does_not_take_a_named_checkpoint_of_another_hash(tiny_checkpoint: Path, moved: str) -> None:
    other = other_checkpoint(tiny_checkpoint, Path("other"))
    with pytest.raises(InputError, match=r"is neither packaged nor below this folder nor at other;"):
        check(moved, repair=True, model=str(other))


def test_shard_that_comes_out_different_is_left_alone(out: str, monkeypatch: pytest.MonkeyPatch) -> None:
    original = verify_module.make_shard
    flip_a_bit(Path(out) / "train-000000.tar", 700)
    (Path(out) / "train-000001.tar").unlink()
    (Path(out) / "train-000002.tar").unlink()
    states, sha256 = states_of(out), Manifest.read(out).shards[1].sha256
    monkeypatch.setattr(
        verify_module,
        "make_shard",
        lambda drawing, shard, **others: original(drawing, shard, **others) + bytes(shard.number != 1),
    )
    with pytest.raises(DamageError, match=r"train-000000\.tar.*train-000002\.tar.*come out different") as refused:
        check(out, repair=True)
    assert "train-000001.tar" not in str(refused.value)
    assert {name: state for name, state in states_of(out).items() if name != "train-000001.tar"} == states
    assert sha256_file(Path(out) / "train-000001.tar") == sha256


def test_set_of_format_4_is_proved_and_repaired_in_its_format(out: str) -> None:
    before = hashes_of(str(in_format_4(Path(out))))
    assert check(out, deep=True, repair=True).repaired == ()
    (Path(out) / "train-000001.tar").unlink()
    assert check(out, deep=True, repair=True).repaired == ("train-000001.tar",)
    assert hashes_of(out) == before


@pytest.fixture
def curated(make_shard_set: MakeShardSet, tmp_path: Path) -> str:
    """Five of eight images, in shards of three and two."""
    return str(write_curated_set(tmp_path / "curated", make_shard_set(per_class=4, shard_size=3), [0, 2, 4, 5, 7]))


@pytest.mark.parametrize("is_deep", [False, True])
def test_curated_set_in_order_is_counted(curated: str, is_deep: bool) -> None:
    before = states_of(curated)
    result = check(curated, deep=is_deep, repair=True, finish=True)
    assert (result.verification.samples, result.verification.class_counts) == (5, {"cat": 3, "dog": 2})
    assert (result.repaired, result.is_newly_finished) == ((), False)
    assert states_of(curated) == before


@pytest.mark.parametrize("flags", [{}, {"repair": True}, {"deep": True, "repair": True}], ids=str)
def test_damaged_curated_set_is_to_be_made_again_by_curating(curated: str, flags: dict[str, bool]) -> None:
    flip_a_bit(Path(curated) / "train-000001.tar", 700)
    before = states_of(curated)
    with pytest.raises(
        DamageError, match=r"000001\.tar has another sha256.* synthaug curate makes it again"
    ) as refused:
        check(curated, **flags)
    assert "--repair" not in str(refused.value)
    assert refused.value.exit_code == 3
    assert states_of(curated) == before


def test_curated_set_without_its_manifest_or_plan_is_finished(curated: str) -> None:
    before = hashes_of(curated)
    for name in (MANIFEST_NAME, "README.md", "croissant.json", "preview.png"):
        (Path(curated) / name).unlink()
    assert check(curated, finish=True, deep=True).is_newly_finished
    (Path(curated) / "plan.json").unlink()
    assert not check(curated, finish=True).is_newly_finished
    assert hashes_of(curated) == before
    (Path(curated) / MANIFEST_NAME).unlink()
    (Path(curated) / "train-000000.tar").unlink()
    with pytest.raises(SynthaugError, match="1 of 2 shards are missing or too short. .*synthaug curate") as refused:
        check(curated, finish=True)
    assert refused.value.exit_code == 1


def test_set_whose_makers_have_gone_is_finished(out: str) -> None:
    before = hashes_of(out)
    for name in (MANIFEST_NAME, "README.md", "croissant.json", "preview.png"):
        (Path(out) / name).unlink()
    with pytest.raises(InputError, match=r"is unfinished.*verify --finish"):
        check(out)
    result = check(out, finish=True)
    assert result.is_newly_finished is True
    assert result.verification.samples == 30
    assert hashes_of(out) == before


def test_set_that_lacks_shards_is_not_finished_and_they_are_named(make_config: MakeConfig) -> None:
    out = generate(make_config(per_class=6, shards="0,3")).out
    before = states_of(out)
    with pytest.raises(SynthaugError, match=r"3 of 5 shards are missing or too short.*--shards 1,2,4 ") as refused:
        check(out, finish=True)
    assert refused.value.exit_code == 1
    assert states_of(out) == before


def test_set_that_was_to_become_longer_is_not_finished_with_its_short_shard(make_config: MakeConfig, out: str) -> None:
    generate(make_config(per_class=4, mode="extend", shards="3"))
    with pytest.raises(SynthaugError, match="1 of 4 shards are missing or too short.*--shards 2 "):
        check(out, finish=True)


def test_damaged_shard_is_not_finished_with(out: str) -> None:
    (Path(out) / MANIFEST_NAME).unlink()
    flip_a_bit(Path(out) / "train-000001.tar", end_of_sample(out, "train-000001.tar", "0000010004"))
    with pytest.raises(DamageError, match=r"train-000001\.tar.*sample 0000010004"):
        check(out, finish=True)
    assert not (Path(out) / MANIFEST_NAME).exists()


def test_folder_without_a_set_is_bad_input(tmp_path: Path) -> None:
    for flags in ({}, {"deep": True}, {"repair": True}):
        with pytest.raises(InputError, match=r"no shard set at .* no manifest\.json"):
            check(str(tmp_path), **flags)
    with pytest.raises(InputError, match="neither a plan nor a manifest"):
        check(str(tmp_path), finish=True)
    assert not list(tmp_path.iterdir())


def test_a_manifest_or_plan_that_was_lost_or_damaged_is_written_again(out: str) -> None:
    before = hashes_of(out)
    (Path(out) / MANIFEST_NAME).write_text("{")
    with pytest.raises(DamageError, match=r"is not a manifest: .* verify --finish writes it again"):
        check(out)
    assert check(out, finish=True).is_newly_finished
    assert hashes_of(out) == before
    (Path(out) / "plan.json").unlink()
    assert not check(out, finish=True).is_newly_finished
    assert hashes_of(out) == before


def test_all_shards_that_are_missing_or_too_short_are_named(make_config: MakeConfig) -> None:
    generate(make_config())
    result = generate(make_config(per_class=6, mode="extend", shards="3"))
    assert result.missing_shards == 2
    with pytest.raises(SynthaugError, match=r"2 of 5 shards are missing or too short.*--shards 2,4 or"):
        check(result.out, finish=True)
