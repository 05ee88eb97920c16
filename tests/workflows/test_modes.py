"""A folder that holds a set already: finished, made longer or replaced, and never mixed with another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from synthaug.core.errors import DamageError, InputError
from synthaug.generators.ddpm import backend
from synthaug.shards.manifest import MANIFEST_NAME, Manifest
from synthaug.shards.verify import verify_set
from synthaug.workflows.synthesize import GenerateConfig, generate, plan_generation
from synthaug.workflows.verify import VerifyConfig, verify
from tests.workflows.sets import MakeConfig, hashes_of, interrupt, other_checkpoint, samples_of, shards_in, states_of


def refuses(config: GenerateConfig, complaint: str) -> None:
    """Both the plan and the run are refused, and the folder is left as it is."""
    before = states_of(config.out)
    for refuse in (plan_generation, generate):
        with pytest.raises(InputError, match=complaint):
            refuse(config)
    assert states_of(config.out) == before


OTHER_SETTINGS = [
    ({"sampler": "ddim"}, "sampler"),
    ({"steps": 3}, "steps"),
    ({"guidance": 2.0}, "guidance"),
    ({"guidance_interval": "0.3,5"}, "guidance_interval"),
    ({"precision": "bf16"}, "precision"),
    ({"seed": 1}, "seed"),
    ({"classes": "0-8"}, "classes"),
    ({"per_class": 4}, "per_class"),
    ({"shard_size": 15}, "shard_size"),
    ({"batch_size": 5}, "batch_size"),
    ({"image_format": "webp"}, "image_format"),
]


@pytest.mark.parametrize(("change", "named"), OTHER_SETTINGS)
def test_set_with_other_settings_is_refused_by_name_and_left_alone(
    make_config: MakeConfig, change: dict[str, Any], named: str
) -> None:
    generate(make_config())
    refuses(make_config(**change), rf"\b{named} is .* there and .* now")
    if named != "per_class":
        refuses(make_config(**{"mode": "extend", "per_class": 5, **change}), rf"\b{named} is .* there and .* now")


def test_set_of_another_checkpoint_is_refused_by_its_hash(
    make_config: MakeConfig, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    other = str(other_checkpoint(tiny_checkpoint, tmp_path / "other"))
    generate(make_config())
    refuses(make_config(model=other), r"\bcheckpoint is '[0-9a-f]{64}' there and '[0-9a-f]{64}' now")
    refuses(make_config(model=other, mode="extend", per_class=5), r"\bcheckpoint is")


@pytest.fixture
def drawn_by_another_version(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> GenerateConfig:
    """The settings of a finished set whose record names an earlier version of the sampling code."""
    config = make_config()
    with monkeypatch.context() as patch:
        patch.setattr(backend, "SAMPLING_VERSION", backend.SAMPLING_VERSION - 1)
        generate(config)
    return config


def test_set_drawn_by_another_version_of_the_sampler_is_neither_continued_nor_extended(
    make_config: MakeConfig, drawn_by_another_version: GenerateConfig
) -> None:
    named = rf"\bsampling_version is {backend.SAMPLING_VERSION - 1} there and {backend.SAMPLING_VERSION} now"
    refuses(make_config(), named)
    refuses(make_config(per_class=5, mode="extend"), named)
    (Path(drawn_by_another_version.out) / "train-000001.tar").unlink()
    refuses(make_config(), named)
    assert generate(make_config(mode="overwrite")).new_images == 30


def test_set_drawn_by_another_version_of_the_sampler_is_verified_but_not_repaired(
    drawn_by_another_version: GenerateConfig,
) -> None:
    out = drawn_by_another_version.out
    assert verify(VerifyConfig(folder=out, deep=True)).verification.samples == 30
    (Path(out) / "train-000001.tar").unlink()
    with pytest.raises(
        InputError, match=r"was drawn by version \d+ of the ddpm sampler, this is version \d+, which draws"
    ):
        verify(VerifyConfig(folder=out, repair=True, device="cpu"))
    assert shards_in(out) == ["train-000000.tar", "train-000002.tar"]


def test_unfinished_set_with_other_settings_is_refused_too(make_config: MakeConfig) -> None:
    generate(make_config(shards="0"))
    refuses(make_config(seed=1), r"\bseed is 0 there and 1 now")


@pytest.mark.usefixtures("batch_shows")
@pytest.mark.parametrize("batch_size", [None, 5])
def test_extended_set_keeps_its_samples_and_equals_one_made_long_at_once(
    make_config: MakeConfig, batch_size: int | None
) -> None:
    short, long = make_config(batch_size=batch_size), make_config("long", batch_size=batch_size, per_class=7)
    generate(short)
    before, manifest, states = samples_of(short.out), Manifest.read(short.out), states_of(short.out)
    result = generate(make_config(batch_size=batch_size, per_class=7, mode="extend"))
    assert (result.images, result.new_images, result.missing_shards) == (70, 40, 0)
    after = samples_of(short.out)
    assert {key: after[key] for key in before} == before
    assert all(states_of(short.out)[shard.name] == states[shard.name] for shard in manifest.shards[:2])
    assert Manifest.read(short.out).shards[:2] == manifest.shards[:2]
    generate(long)
    assert hashes_of(short.out) == hashes_of(long.out)
    assert verify_set(short.out, deep=True).samples == 70


def test_extending_keeps_the_batches_of_a_set_that_was_smaller_than_one(make_config: MakeConfig) -> None:
    short, extend = make_config(per_class=1), make_config(mode="extend")
    generate(short)
    generate(extend)
    assert Manifest.read(extend.out).plan.batch_size == 10
    generate(make_config("long", batch_size=10))
    assert hashes_of(extend.out) == hashes_of(make_config("long").out)


def test_extending_goes_on_after_an_interruption(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    extend = make_config(per_class=7, mode="extend")
    generate(make_config())
    with monkeypatch.context() as patch:
        interrupt(patch, at_call=3)
        with pytest.raises(KeyboardInterrupt):
            generate(extend)
    assert not (Path(extend.out) / MANIFEST_NAME).exists()
    # What it is becoming is written down: the short command would no longer continue it.
    refuses(make_config(), r"\bper_class is 7 there and 3 now")
    generate(make_config(per_class=7))
    generate(make_config("long", per_class=7))
    assert hashes_of(extend.out) == hashes_of(make_config("long").out)


def test_set_can_be_extended_again_and_again_and_by_nothing(make_config: MakeConfig) -> None:
    for per_class in (3, 4, 4, 6):
        generate(make_config(per_class=per_class, mode="extend"))
    generate(make_config("long", per_class=6))
    assert hashes_of(make_config().out) == hashes_of(make_config("long").out)


def test_set_cannot_be_extended_to_fewer(make_config: MakeConfig) -> None:
    generate(make_config())
    refuses(make_config(per_class=2, mode="extend"), "--per-class must be at least 3, found 2")


def test_part_of_a_longer_set_that_is_there_already_leaves_no_manifest_of_the_shorter(make_config: MakeConfig) -> None:
    generate(make_config())
    result = generate(make_config(per_class=7, mode="extend", shards="0-1"))
    assert (result.new_images, result.missing_shards, result.manifest) == (0, 4, None)
    assert not (Path(result.out) / MANIFEST_NAME).exists()
    generate(make_config(per_class=7, mode="extend", shards="2-5"))
    generate(make_config("long", per_class=7))
    assert hashes_of(result.out) == hashes_of(make_config("long").out)


def test_overwritten_set_leaves_nothing_of_the_one_before(make_config: MakeConfig) -> None:
    generate(make_config(per_class=6))
    config, fresh = make_config(per_class=2, seed=1, mode="overwrite"), make_config("fresh", per_class=2, seed=1)
    (Path(config.out) / "notes.txt").write_text("mine")
    assert plan_generation(config).missing_shards == 2
    assert generate(config).new_images == 20
    assert shards_in(config.out) == ["train-000000.tar", "train-000001.tar"]
    (Path(config.out) / "notes.txt").unlink()  # not the set's, so it stayed
    generate(fresh)
    assert hashes_of(config.out) == hashes_of(fresh.out)


def test_overwriting_makes_a_finished_set_of_the_same_settings_anew(make_config: MakeConfig) -> None:
    config = make_config(mode="overwrite")
    generate(make_config())
    before, states = hashes_of(config.out), states_of(config.out)
    assert generate(config).new_images == 30
    assert hashes_of(config.out) == before
    assert all(states_of(config.out)[name] != states[name] for name in shards_in(config.out))


def test_overwriting_mends_a_set_whose_plan_is_damaged(make_config: MakeConfig) -> None:
    config = make_config(mode="overwrite")
    generate(make_config())
    before = hashes_of(config.out)
    (Path(config.out) / "plan.json").write_text("{")
    with pytest.raises(DamageError, match="is not a plan"):
        generate(make_config())
    generate(config)
    assert hashes_of(config.out) == before


def test_extending_in_small_batches_is_warned_of(make_config: MakeConfig, capsys: pytest.CaptureFixture[str]) -> None:
    generate(make_config(per_class=1, batch_size=None))
    generate(make_config(per_class=1, batch_size=None))
    assert "maybe slowly" not in capsys.readouterr().err
    generate(make_config(mode="extend", batch_size=None))
    assert "begun in batches of 10 and goes on in them, maybe slowly" in capsys.readouterr().err


def test_overwriting_cannot_be_shared(make_config: MakeConfig) -> None:
    generate(make_config())
    refuses(make_config(mode="overwrite", shards="0/2"), "cannot be combined with --shards")


@pytest.mark.parametrize("mode", ["incremental", "extend", "overwrite"])
def test_foreign_folder_is_refused_and_left_alone(make_config: MakeConfig, mode: str) -> None:
    config = make_config(mode=mode)
    Path(config.out).mkdir()
    (Path(config.out) / "train-000000.tar").write_text("years of work")
    refuses(config, "is not empty and holds no shard set")
    assert (Path(config.out) / "train-000000.tar").read_text() == "years of work"


def test_output_that_is_a_file_is_refused(make_config: MakeConfig) -> None:
    config = make_config()
    Path(config.out).write_text("")
    with pytest.raises(InputError, match="is a file; a folder is needed"):
        generate(config)


def test_settings_beside_the_set_make_it_again_whatever_mode_made_it(make_config: MakeConfig) -> None:
    config = make_config(per_class=1)
    generate(config)
    generate(make_config(per_class=4, mode="extend", shards="0/2"))
    saved = GenerateConfig.resolve({}, Path(config.out) / "config.yaml")
    assert (saved.mode, saved.shards, saved.batch_size) == ("incremental", None, 10)
    generate(saved)
    assert verify_set(config.out, deep=True).samples == 40
    generate(saved.model_copy(update={"out": make_config("again").out}))
    assert {**hashes_of(make_config("again").out), "config.yaml": ""} == {**hashes_of(config.out), "config.yaml": ""}
