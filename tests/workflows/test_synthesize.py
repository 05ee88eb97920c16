"""Drawing a set: every sample on its own, every shard whole, every interruption harmless."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

from synthaug.core.errors import DamageError, InputError
from synthaug.core.pixels import decode_image, from_pil
from synthaug.core.storage import sha256_file
from synthaug.generators.checkpoint import CARD_NAME, read_card, write_card
from synthaug.generators.ddpm.backend import DDPMGenerator
from synthaug.shards.manifest import MANIFEST_NAME, Manifest
from synthaug.shards.reader import iterate_shard, read_set
from synthaug.shards.verify import verify_set
from synthaug.workflows.synthesize import GenerateConfig, generate, plan_generation

MakeConfig = Callable[..., GenerateConfig]


@pytest.fixture
def make_config(tiny_checkpoint: Path, tmp_path: Path) -> MakeConfig:
    """`make_config(out_name, **changes)`: 3 images of each digit in shards of 12 (the last has 6)."""

    def make(out: str = "set", **changes: Any) -> GenerateConfig:
        settings = {
            "model": str(tiny_checkpoint),
            "out": tmp_path / out,
            "per_class": 3,
            "shard_size": 12,
            "steps": 2,
            "device": "cpu",
            "precision": "fp32",
        }
        return GenerateConfig.resolve({**settings, **changes})

    return make


def samples_of(folder: Path) -> dict[tuple[int, int], Tensor]:
    """Pixels by (class, index), the index counted in the order of the shards."""
    found: dict[tuple[int, int], Tensor] = {}
    counts = [0] * 10
    for path in sorted(folder.glob("*.tar")):
        for sample in iterate_shard(path):
            found[sample.label, counts[sample.label]] = from_pil(decode_image(sample.image, name=sample.key), 1)
            counts[sample.label] += 1
    return found


def hashes_of(folder: Path) -> dict[str, str]:
    """sha256 of everything that is not about the run itself."""
    return {path.name: sha256_file(path) for path in folder.iterdir() if path.name != "config.yaml"}


def largest_difference(one: dict[tuple[int, int], Tensor], two: dict[tuple[int, int], Tensor]) -> int:
    return max(int((one[key].int() - two[key].int()).abs().max()) for key in one.keys() & two.keys())


def test_set_holds_what_was_asked_for_and_says_where_it_comes_from(
    make_config: MakeConfig, tiny_checkpoint: Path
) -> None:
    config, card = make_config(), read_card(tiny_checkpoint)
    result = generate(config)
    images, manifest = read_set(config.out)
    assert images.class_counts() == (3,) * 10
    assert images.class_names == card.class_names
    assert [shard.samples for shard in manifest.shards] == [12, 12, 6]
    assert manifest.split == card.split
    assert manifest.allows_flip is False
    assert manifest.plan.checkpoint == card.checkpoint
    assert (manifest.plan.sampler, manifest.plan.steps, manifest.plan.guidance) == ("dpmpp", 2, 1.0)
    assert (result.images, result.new_images, result.shards) == (30, 30, 3)
    assert verify_set(config.out).samples == 30
    assert GenerateConfig.resolve({}, config.out / "config.yaml") == config


def test_dataset_card_has_readable_metadata_and_preview_a_row_per_class(make_config: MakeConfig) -> None:
    from PIL import Image

    result = generate(make_config(shard_size=30))
    _, metadata, text = (result.out / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(metadata)["configs"][0]["data_files"] == [{"split": "train", "path": "train-*.tar"}]
    assert "30 images of 8x8 pixels" in text
    assert "train-{000000..000000}.tar" in text
    with Image.open(result.preview) as picture:
        assert picture.height / picture.width == pytest.approx(10 / 3, rel=0.02)


def test_sample_does_not_depend_on_how_many_are_made(make_config: MakeConfig) -> None:
    few, many = make_config("few"), make_config("many", per_class=6, shard_size=25)
    generate(few)
    generate(many)
    assert len(samples_of(few.out)) == 30
    assert len(samples_of(many.out)) == 60
    assert largest_difference(samples_of(few.out), samples_of(many.out)) <= 1


def test_sample_does_not_depend_on_the_batch_size(make_config: MakeConfig) -> None:
    large, small = make_config("large"), make_config("small", batch_size=5)
    generate(large)
    generate(small)
    assert largest_difference(samples_of(large.out), samples_of(small.out)) <= 1


def test_same_settings_give_the_same_bytes_and_another_seed_other_images(make_config: MakeConfig) -> None:
    one, two, other = make_config("one"), make_config("two"), make_config("other", seed=1)
    for config in (one, two, other):
        generate(config)
    assert hashes_of(one.out) == hashes_of(two.out)
    assert largest_difference(samples_of(one.out), samples_of(other.out)) > 10


def test_samples_of_one_set_differ_from_each_other(make_config: MakeConfig) -> None:
    config = make_config()
    generate(config)
    assert len({image.numpy().tobytes() for image in samples_of(config.out).values()}) == 30


@pytest.mark.parametrize("lost", [["train-000001.tar"], [MANIFEST_NAME], ["train-000000.tar", MANIFEST_NAME]])
def test_what_was_lost_is_made_again_byte_for_byte_and_the_rest_is_left_alone(
    make_config: MakeConfig, lost: list[str]
) -> None:
    config = make_config()
    generate(config)
    before = hashes_of(config.out)
    for name in lost:
        (config.out / name).unlink()
    kept = {path: path.stat().st_mtime_ns for path in config.out.glob("*.tar")}
    lost_images = sum({"train-000000.tar": 12, "train-000001.tar": 12}.get(name, 0) for name in lost)
    assert plan_generation(config).missing_shards == 3 - len(kept)
    assert generate(config).new_images == lost_images
    assert hashes_of(config.out) == before
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_finished_set_is_not_sampled_again(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_config()
    generate(config)

    def refuse(*_: object) -> None:
        raise AssertionError("nothing was missing")

    monkeypatch.setattr(DDPMGenerator, "sample", refuse)
    result = generate(config)
    assert (result.images, result.new_images, result.images_per_second) == (30, 0, 0.0)


def test_interrupted_set_holds_whole_shards_only_and_is_completed_to_the_same_bytes(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, parts = make_config("whole"), make_config("parts")
    generate(whole)
    original, calls = DDPMGenerator.sample, []

    def interrupted(self: DDPMGenerator, *arguments: Any) -> Tensor:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(self, *arguments)

    monkeypatch.setattr(DDPMGenerator, "sample", interrupted)
    with pytest.raises(KeyboardInterrupt):
        generate(parts)
    assert sorted(path.name for path in parts.out.iterdir()) == ["config.yaml", "plan.json", "train-000000.tar"]
    with pytest.raises(InputError, match="run the same generate command again to finish it"):
        read_set(parts.out)
    monkeypatch.setattr(DDPMGenerator, "sample", original)
    assert generate(parts).new_images == 18
    assert hashes_of(parts.out) == hashes_of(whole.out)


def test_interrupted_repair_leaves_no_manifest_that_promises_missing_shards(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config()
    generate(config)
    (config.out / "train-000001.tar").unlink()

    def interrupted(*_: object) -> Tensor:
        raise KeyboardInterrupt

    monkeypatch.setattr(DDPMGenerator, "sample", interrupted)
    with pytest.raises(KeyboardInterrupt):
        generate(config)
    assert not (config.out / MANIFEST_NAME).exists()
    assert sorted(path.name for path in config.out.glob("*.tar")) == ["train-000000.tar", "train-000002.tar"]


def test_damaged_shard_is_told_of_and_never_taken_into_the_manifest(make_config: MakeConfig) -> None:
    config = make_config()
    generate(config)
    shard = config.out / "train-000001.tar"
    data = bytearray(shard.read_bytes())
    data[700] ^= 1
    shard.write_bytes(data)
    manifest = Manifest.read(config.out)
    with pytest.raises(DamageError, match=r"is damaged: train-000001.tar"):
        generate(config)
    assert Manifest.read(config.out) == manifest
    shard.unlink()
    generate(config)
    assert Manifest.read(config.out) == manifest


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"sampler": "ddim"}, "sampler"),
        ({"steps": 3}, "steps"),
        ({"guidance": 2.0}, "guidance"),
        ({"seed": 1}, "seed"),
        ({"per_class": 4}, "per_class"),
        ({"shard_size": 15}, "shard_size"),
    ],
)
def test_folder_with_other_settings_is_refused_by_name_and_left_alone(
    make_config: MakeConfig, change: dict[str, Any], named: str
) -> None:
    config = make_config()
    generate(config)
    before = hashes_of(config.out) | {"config.yaml": sha256_file(config.out / "config.yaml")}
    for refuse in (plan_generation, generate):
        with pytest.raises(InputError, match=rf"\b{named} is .* there and .* now"):
            refuse(make_config(**change))
    assert hashes_of(config.out) | {"config.yaml": sha256_file(config.out / "config.yaml")} == before


def test_folder_of_another_checkpoint_is_refused(
    make_config: MakeConfig, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    from synthaug.generators.checkpoint import weight_hashes

    other = shutil.copytree(tiny_checkpoint, tmp_path / "other")
    weights = other / "unet" / "diffusion_pytorch_model.safetensors"
    save_file({name: value * 1.01 for name, value in load_file(weights).items()}, weights)
    write_card(other, read_card(other).model_copy(update={"weights": weight_hashes(other)}))
    generate(make_config())
    with pytest.raises(InputError, match=r"\bcheckpoint is"):
        generate(make_config(model=str(other)))


def test_foreign_folder_is_refused_and_left_alone(make_config: MakeConfig) -> None:
    config = make_config()
    config.out.mkdir()
    (config.out / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="is not empty and holds no shard set"):
        generate(config)
    assert [path.name for path in config.out.iterdir()] == ["thesis.tex"]


def test_output_that_is_a_file_is_refused(make_config: MakeConfig) -> None:
    config = make_config()
    config.out.write_text("")
    with pytest.raises(InputError, match="is a file; a folder is needed"):
        generate(config)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"per_class": 0}, "--per-class must be at least 1, found 0"),
        ({"per_class": -1}, "--per-class must be at least 1, found -1"),
        ({"batch_size": 0}, "--batch-size must be at least 1, found 0"),
        ({"shard_size": 0}, r"--shard-size must lie in 1\.\.10000, found 0"),
        ({"shard_size": 10_001}, r"--shard-size must lie in 1\.\.10000"),
        ({"steps": 0}, r"--steps must lie in 1\.\.900, found 0"),
        ({"guidance": float("nan")}, "--guidance must be a number of at least 0"),
        ({"sampler": "euler"}, "unknown sampler 'euler'; known: ddim, dpmpp"),
        ({"model": "vae"}, "unknown model 'vae'"),
    ],
)
def test_impossible_settings_are_refused_before_anything_is_written(
    make_config: MakeConfig, change: dict[str, Any], complaint: str
) -> None:
    config = make_config(**change)
    for refuse in (plan_generation, generate):
        with pytest.raises(InputError, match=complaint):
            refuse(config)
    assert not config.out.exists()


def test_damaged_checkpoint_makes_no_set(make_config: MakeConfig, tiny_checkpoint: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(tiny_checkpoint, tmp_path / "broken")
    weights = broken / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(DamageError, match="is damaged or was replaced"):
        generate(make_config(model=str(broken)))
    assert (broken / CARD_NAME).is_file()


def test_plan_tells_what_would_be_made_and_writes_nothing(make_config: MakeConfig, tiny_checkpoint: Path) -> None:
    plan = plan_generation(make_config())
    assert (plan.images, plan.shards, plan.missing_shards) == (30, 3, 3)
    assert plan.checkpoint == tiny_checkpoint
    assert not make_config().out.exists()


def test_guidance_changes_the_images(make_config: MakeConfig) -> None:
    plain, guided = make_config("plain"), make_config("guided", guidance=8.0)
    generate(plain)
    generate(guided)
    assert largest_difference(samples_of(plain.out), samples_of(guided.out)) > 1


def test_global_random_state_does_not_matter(make_config: MakeConfig) -> None:
    for name, seed in (("one", 1), ("two", 2)):
        torch.manual_seed(seed)
        generate(make_config(name))
    assert hashes_of(make_config("one").out) == hashes_of(make_config("two").out)


def test_damaged_shard_of_an_unfinished_set_is_told_of(make_config: MakeConfig) -> None:
    out = generate(make_config()).out
    (out / MANIFEST_NAME).unlink()
    shard = out / "train-000001.tar"
    shard.write_bytes(shard.read_bytes()[:4000])
    with pytest.raises(DamageError, match=r"train-000001\.tar.*generate again"):
        generate(make_config())
    assert not (out / MANIFEST_NAME).exists()


def test_shard_with_other_samples_is_not_taken_for_an_unfinished_one(make_config: MakeConfig) -> None:
    out = generate(make_config()).out
    (out / MANIFEST_NAME).unlink()
    (out / "train-000001.tar").write_bytes((out / "train-000000.tar").read_bytes())
    with pytest.raises(DamageError, match="other samples"):
        generate(make_config())
