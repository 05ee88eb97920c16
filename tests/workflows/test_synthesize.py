"""Drawing a set: what it holds, what its samples depend on, and what becomes of it when it is interrupted."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image
from torch import Tensor

from synthaug.core.errors import DamageError, InputError
from synthaug.core.seeding import SampleNoise
from synthaug.generators.checkpoint import CARD_NAME, read_card
from synthaug.generators.ddpm.backend import DDPMGenerator
from synthaug.shards.manifest import MANIFEST_NAME, Manifest
from synthaug.shards.reader import read_set
from synthaug.shards.verify import verify_set
from synthaug.workflows import synthesize
from synthaug.workflows.synthesize import GenerateConfig, generate, plan_generation
from tests.conftest import write_curated_set
from tests.shards.archives import in_format_4
from tests.workflows.sets import (
    MakeConfig,
    flip_a_bit,
    hashes_of,
    interrupt,
    largest_difference,
    pixels_of,
    samples_of,
    shards_in,
    states_of,
)


def test_set_holds_what_was_asked_for_and_says_where_it_comes_from(
    make_config: MakeConfig, tiny_checkpoint: Path
) -> None:
    config, card = make_config(), read_card(tiny_checkpoint)
    result = generate(config)
    images, manifest = read_set(config.out)
    plan = manifest.plan
    assert images.class_counts() == (3,) * 10
    assert images.class_names == card.class_names
    assert [shard.samples for shard in manifest.shards] == [12, 12, 6]
    assert plan.generator.split == card.split
    assert plan.generator.allows_flip is False
    assert plan.generator.checkpoint == card.checkpoint
    assert plan.generator.parameters == card.training.parameters
    assert (plan.sampler, plan.steps, plan.guidance, plan.precision) == ("dpmpp", 2, 1.0, "fp32")
    assert (result.images, result.new_images, result.shards, result.missing_shards) == (30, 30, 3, 0)
    assert verify_set(config.out, deep=True).samples == 30
    chosen = {"sampler": "dpmpp", "guidance": 1.0, "batch_size": plan.batch_size}  # nothing is left to defaults
    assert GenerateConfig.resolve({}, Path(config.out) / "config.yaml") == config.model_copy(update=chosen)


def test_dataset_card_has_readable_metadata_and_preview_a_row_per_class(make_config: MakeConfig) -> None:
    result = generate(make_config(shard_size=30))
    _, metadata, text = (Path(result.out) / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(metadata)["configs"][0]["data_files"] == [{"split": "train", "path": "train-*.tar"}]
    assert "30 images of 8x8 pixels" in text
    assert result.preview is not None
    with Image.open(result.preview) as picture:
        assert picture.height / picture.width == pytest.approx(10 / 3, rel=0.02)


@pytest.mark.usefixtures("batch_shows")
@pytest.mark.parametrize("others", [{"per_class": 7}, {"per_class": 5, "shard_size": 24}, {"shard_size": 6}])
def test_sample_is_the_same_to_the_pixel_in_every_set_with_the_same_batches(
    make_config: MakeConfig, others: dict[str, int]
) -> None:
    one, two = make_config("one", batch_size=6), make_config("two", batch_size=6, **others)
    generate(one)
    generate(two)
    mine, theirs = pixels_of(one.out), pixels_of(two.out)
    assert len(mine) == 30
    assert mine.keys() <= theirs.keys()
    assert largest_difference(mine, theirs) == 0


def test_sample_has_the_same_noise_and_label_in_batches_of_any_size(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise: dict[tuple[int, int], list[Tensor]] = {}

    class Recorded(SampleNoise):
        def __init__(self, seed: int, samples: list[tuple[int, int]], shape: tuple[int, int, int]) -> None:
            super().__init__(seed, samples, shape)
            self._samples = samples

        def draw(self) -> Tensor:
            drawn = super().draw()
            for sample, row in zip(self._samples, drawn, strict=True):
                noise.setdefault(sample, []).append(row)
            return drawn

    monkeypatch.setattr(synthesize, "SampleNoise", Recorded)
    drawn = []
    for config in (large := make_config("large"), small := make_config("small", batch_size=5)):
        generate(config)
        drawn.append(noise)
        noise = {}
    wanted = pixels_of(large.out).keys()
    assert all(torch.equal(torch.stack(drawn[0][key]), torch.stack(drawn[1][key])) for key in wanted)
    ours, theirs = samples_of(large.out), samples_of(small.out)
    assert {key: (label, text) for key, (label, _, text) in ours.items()} == {
        key: (label, text) for key, (label, _, text) in theirs.items()
    }
    # Networks round differently in batches of other sizes, but no more than that.
    assert largest_difference(pixels_of(large.out), pixels_of(small.out)) <= 1


def test_same_settings_give_the_same_bytes_and_another_seed_other_images(make_config: MakeConfig) -> None:
    one, two, other = make_config("one"), make_config("two"), make_config("other", seed=1)
    for state, config in enumerate((one, two, other)):
        torch.manual_seed(state)  # of no consequence
        generate(config)
    assert hashes_of(one.out) == hashes_of(two.out)
    assert largest_difference(pixels_of(one.out), pixels_of(other.out)) > 10


def test_samples_of_one_set_differ_from_each_other(make_config: MakeConfig) -> None:
    config = make_config()
    generate(config)
    assert len({image.numpy().tobytes() for image in pixels_of(config.out).values()}) == 30


def test_webp_holds_the_same_pixels_as_png(make_config: MakeConfig) -> None:
    png, webp = make_config("png"), make_config("webp", image_format="webp")
    generate(png)
    generate(webp)
    one, two = pixels_of(png.out), pixels_of(webp.out)
    assert len(one) == len(two) == 30
    assert largest_difference(one, two) == 0
    assert all(image.startswith(b"RIFF") for _, image, _ in samples_of(webp.out).values())
    assert verify_set(webp.out, deep=True).samples == 30


@pytest.mark.parametrize("lost", [["train-000001.tar"], [MANIFEST_NAME], ["train-000000.tar", MANIFEST_NAME]])
def test_what_was_lost_is_made_again_byte_for_byte_and_the_rest_is_left_alone(
    make_config: MakeConfig, lost: list[str]
) -> None:
    config = make_config()
    generate(config)
    before = hashes_of(config.out)
    for name in lost:
        (Path(config.out) / name).unlink()
    kept = {name: state for name, state in states_of(config.out).items() if name.endswith(".tar")}
    assert plan_generation(config).missing_shards == 3 - len(kept)
    assert generate(config).new_images == 12 * (3 - len(kept))
    assert hashes_of(config.out) == before
    assert {name: states_of(config.out)[name] for name in kept} == kept


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
    with monkeypatch.context() as patch:
        interrupt(patch, at_call=3)
        with pytest.raises(KeyboardInterrupt):
            generate(parts)
    there = shards_in(parts.out)
    assert there in ([], ["train-000000.tar"], ["train-000000.tar", "train-000001.tar"])
    assert hashes_of(parts.out).keys() == {"plan.json", *there}
    with pytest.raises(InputError, match="run the same generate command again"):
        read_set(parts.out)
    assert generate(parts).new_images == 30 - 12 * len(there)
    assert hashes_of(parts.out) == hashes_of(whole.out)


def test_interrupted_repair_leaves_no_manifest_that_promises_missing_shards(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config()
    generate(config)
    (Path(config.out) / "train-000001.tar").unlink()
    interrupt(monkeypatch, at_call=1)
    with pytest.raises(KeyboardInterrupt):
        generate(config)
    assert not (Path(config.out) / MANIFEST_NAME).exists()
    assert shards_in(config.out) == ["train-000000.tar", "train-000002.tar"]


def test_damaged_shard_is_told_of_and_never_taken_into_the_manifest(make_config: MakeConfig) -> None:
    config = make_config()
    generate(config)
    shard = Path(config.out) / "train-000001.tar"
    flip_a_bit(shard, 700)
    manifest = Manifest.read(config.out)
    with pytest.raises(DamageError, match=r"is damaged: train-000001.tar"):
        generate(config)
    assert Manifest.read(config.out) == manifest
    shard.unlink()
    generate(config)
    assert Manifest.read(config.out) == manifest


@pytest.mark.parametrize("content", ["cut", "of another shard", "of another seed"])
def test_shard_of_an_unfinished_set_that_is_not_what_the_plan_says_is_damage(
    make_config: MakeConfig, content: str
) -> None:
    config, other = make_config(), make_config("other", seed=1)
    out = Path(generate(config).out)
    (out / MANIFEST_NAME).unlink()
    shard = out / "train-000001.tar"
    if content == "cut":
        shard.write_bytes(shard.read_bytes()[:4000])
    elif content == "of another shard":
        shard.write_bytes((out / "train-000000.tar").read_bytes())
    else:
        shard.write_bytes((Path(generate(other).out) / shard.name).read_bytes())
    data = shard.read_bytes()
    with pytest.raises(DamageError, match=r"train-000001\.tar.*sample 000001000\d.*Delete this shard and run"):
        generate(config)
    assert shard.read_bytes() == data
    assert not (out / MANIFEST_NAME).exists()


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
    assert not Path(make_config().out).exists()


@pytest.mark.parametrize("mode", ["incremental", "extend"])
def test_a_curated_set_is_not_continued_but_may_be_replaced(make_config: MakeConfig, tmp_path: Path, mode: str) -> None:
    source = Path(generate(make_config("source")).out)
    curated = write_curated_set(tmp_path / "set", source, [0, 3, 10, 11, 29])
    before = states_of(str(curated))
    for refuse in (plan_generation, generate):
        with pytest.raises(InputError, match=r"is curated, .*which generate cannot continue: .*--mode overwrite"):
            refuse(make_config(mode=mode))
    assert states_of(str(curated)) == before
    generate(make_config(mode="overwrite"))
    assert hashes_of(str(curated)) == hashes_of(str(source))


def test_a_set_of_format_4_is_not_made_longer_but_may_be_replaced(make_config: MakeConfig) -> None:
    out = generate(make_config()).out
    made = hashes_of(out)
    in_format_4(Path(out))
    before = states_of(out)
    assert generate(make_config()).new_images == 0
    for refuse in (plan_generation, generate):
        with pytest.raises(InputError, match="has format 4, which this version does not add to"):
            refuse(make_config(mode="extend", per_class=4))
    assert states_of(out) == before
    generate(make_config(mode="overwrite"))
    assert hashes_of(out) == made
