import json
from pathlib import Path

import pytest
import torch

from synthaug.core.errors import DamageError, InputError
from synthaug.core.folders import folder_at
from synthaug.core.pixels import encode_png, encode_webp
from synthaug.shards.find import ShardFile
from synthaug.shards.manifest import MANIFEST_NAME
from synthaug.shards.plan import ImageFormat
from synthaug.shards.reader import iterate_shard, read_set, read_shards
from tests.conftest import random_pixels
from tests.shards.archives import Entry, members_of, tar_of


def entries_of(images: list[torch.Tensor]) -> list[Entry]:
    """Members `a.png`, `a.cls`, `b.png`, ... with the labels 0, 1, ..."""
    entries: list[Entry] = []
    for number, image in enumerate(images):
        key = chr(ord("a") + number)
        entries += [(f"{key}.png", encode_png(image)), (f"{key}.cls", str(number).encode())]
    return entries


def shards_at(*paths: Path) -> list[ShardFile]:
    return [ShardFile.at(path) for path in paths]


@pytest.fixture
def shard(make_shard_set) -> Path:
    return make_shard_set(per_class=2, shard_size=4) / "train-000000.tar"


def test_a_set_whose_classes_share_a_name_is_read(make_shard_set) -> None:
    images, _ = read_set(make_shard_set(class_names=("cat", "dog", "cat"), per_class=2))
    assert images.class_counts() == (2, 2, 2)


class TestIteration:
    def test_samples_come_whole_and_in_order(self, shard: Path) -> None:
        samples = list(iterate_shard(shard))
        assert [sample.key for sample in samples] == [f"000000000{position}" for position in range(4)]
        assert [sample.label for sample in samples] == [0, 1, 0, 1]
        assert [json.loads(sample.description)["index"] for sample in samples] == [0, 0, 1, 1]
        assert [sample.suffix for sample in samples] == ["png"] * 4
        assert samples[2].image == members_of(shard)["0000000002.png"]

    def test_a_shard_in_a_store_gives_the_same_samples(self, shard: Path, tmp_path: Path) -> None:
        url = f"memory:/{tmp_path}"
        folder_at(url).write("x.tar", shard.read_bytes())
        assert list(iterate_shard(f"{url}/x.tar")) == list(iterate_shard(shard))

    def test_a_description_is_optional_and_the_order_of_members_free(self, tmp_path: Path, png: bytes) -> None:
        path = tar_of(tmp_path / "x.tar", [("a.png", png), ("a.cls", b"1"), ("b.cls", b" 0\n"), ("b.png", png)])
        assert [(sample.label, sample.description) for sample in iterate_shard(path)] == [(1, b""), (0, b"")]

    @pytest.mark.parametrize("where", ["none.tar", "."])
    def test_what_is_no_file_is_an_input_error(self, tmp_path: Path, where: str) -> None:
        with pytest.raises(InputError, match=f"no such file: {tmp_path}"):
            list(iterate_shard(tmp_path / where))

    def test_a_missing_object_is_an_input_error(self) -> None:
        with pytest.raises(InputError, match="no such file: memory://test-reader/none.tar"):
            list(iterate_shard("memory://test-reader/none.tar"))

    def test_an_archive_without_members_has_no_samples(self, tmp_path: Path) -> None:
        assert list(iterate_shard(tar_of(tmp_path / "x.tar", []))) == []

    @pytest.mark.parametrize(("present", "missing"), [("png", "cls"), ("cls", "image"), ("json", "image")])
    @pytest.mark.parametrize("follows", [False, True])
    def test_a_sample_without_image_or_class_is_damage(
        self, tmp_path: Path, png: bytes, present: str, missing: str, follows: bool
    ) -> None:
        whole: list[Entry] = [("b.png", png), ("b.cls", b"0")]
        path = tar_of(tmp_path / "x.tar", [(f"a.{present}", png), *(whole if follows else [])])
        with pytest.raises(DamageError, match=f"sample a lacks its {missing}"):
            list(iterate_shard(path))

    def test_a_sample_with_two_images_is_damage(self, tmp_path: Path, png: bytes) -> None:
        path = tar_of(tmp_path / "x.tar", [("a.png", png), ("a.webp", png), ("a.cls", b"0")])
        with pytest.raises(DamageError, match="sample a .*has several images"):
            list(iterate_shard(path))

    def test_a_member_that_is_there_twice_is_damage(self, tmp_path: Path, png: bytes) -> None:
        path = tar_of(tmp_path / "x.tar", [("a.png", png), ("a.cls", b"0"), ("a.cls", b"1")])
        with pytest.raises(DamageError, match=r"'a\.cls' is there twice"):
            list(iterate_shard(path))

    @pytest.mark.parametrize(
        "label", [b"", b"cat", b"1.5", b"-1", b"+1", b"0x1", b"1000000", b"9" * 30, b"9" * 9000, b"\xff", "٣".encode()]
    )
    def test_an_impossible_class_is_damage(self, tmp_path: Path, png: bytes, label: bytes) -> None:
        path = tar_of(tmp_path / "x.tar", [("a.png", png), ("a.cls", label)])
        with pytest.raises(DamageError, match=r"x\.tar: sample a has no class number in 0\.\.999999"):
            list(iterate_shard(path))

    def test_a_class_outside_the_known_ones_is_damage(self, shard: Path) -> None:
        assert len(list(iterate_shard(shard, classes=2))) == 4
        with pytest.raises(DamageError, match=r"sample 0000000001 has no class number in 0\.\.0"):
            list(iterate_shard(shard, classes=1))


class TestDecoding:
    def test_pixels_and_labels_are_those_written(self, tmp_path: Path) -> None:
        images = random_pixels(3, 3, 8, 8)
        found = read_shards(shards_at(tar_of(tmp_path / "x.tar", entries_of(list(images)))), name="x")
        assert torch.equal(found.images, images)
        assert found.labels.tolist() == [0, 1, 2]
        assert found.class_names == ("0", "1", "2")
        assert found.name == "x"

    def test_shards_are_read_one_after_another(self, tmp_path: Path) -> None:
        images = random_pixels(4, 3, 8, 8)
        paths = [
            tar_of(tmp_path / f"{part}.tar", entries_of(list(images[2 * part : 2 * part + 2]))) for part in range(2)
        ]
        assert torch.equal(read_shards(shards_at(*paths), name="x").images, images)

    @pytest.mark.parametrize("grey_first", [True, False])
    def test_one_colour_image_makes_the_set_rgb_wherever_it_is(self, tmp_path: Path, grey_first: bool) -> None:
        grey, colour = random_pixels(1, 8, 8), random_pixels(3, 8, 8)
        first, second = (grey, colour) if grey_first else (colour, grey)
        found = read_shards(shards_at(tar_of(tmp_path / "x.tar", entries_of([first, second]))), name="x")
        assert torch.equal(found.images, torch.stack([first.expand(3, 8, 8), second.expand(3, 8, 8)]))

    def test_mixed_sizes_need_a_size_and_the_odd_one_is_named(self, tmp_path: Path) -> None:
        shards = shards_at(tar_of(tmp_path / "x.tar", entries_of([random_pixels(3, 8, 8), random_pixels(3, 16, 20)])))
        with pytest.raises(InputError, match=r"sample b is 20x16 beside 8x8\. Give --image-size N"):
            read_shards(shards, name="x")
        assert read_shards(shards, name="x", image_size=8).images.shape == (2, 3, 8, 8)

    def test_images_that_are_not_square_need_a_size(self, tmp_path: Path) -> None:
        image = random_pixels(3, 8, 12)
        shards = shards_at(tar_of(tmp_path / "x.tar", entries_of([image])))
        with pytest.raises(InputError, match="square grey or RGB images are needed, found 3x8x12"):
            read_shards(shards, name="x")
        assert torch.equal(read_shards(shards, name="x", image_size=8).images[0], image[:, :, 2:10])

    @pytest.mark.parametrize("suffix", ["png", "webp", "jpg", "jpeg"])
    def test_an_image_is_known_by_its_bytes_whatever_its_suffix(self, tmp_path: Path, suffix: str) -> None:
        image = random_pixels(3, 8, 8)
        for number, data in enumerate((encode_png(image), encode_webp(image))):
            path = tar_of(tmp_path / f"{number}.tar", [(f"a.{suffix}", data), ("a.cls", b"0")])
            assert torch.equal(read_shards(shards_at(path), name="x").images[0], image)

    def test_an_image_that_does_not_decode_is_damage_naming_the_sample(self, tmp_path: Path, png: bytes) -> None:
        shards = shards_at(tar_of(tmp_path / "x.tar", [("a.png", png[:-60]), ("a.cls", b"0")]))
        with pytest.raises(DamageError, match=r"x\.tar: sample a"):
            read_shards(shards, name="x")

    def test_no_shards_give_no_images(self) -> None:
        with pytest.raises(InputError, match="x: at least one image is needed"):
            read_shards([], name="x")


class TestSets:
    @pytest.mark.parametrize("image_format", ["png", "webp"])
    @pytest.mark.parametrize("channels", [1, 3])
    def test_a_finished_set_comes_with_its_manifest(
        self, make_shard_set, channels: int, image_format: ImageFormat
    ) -> None:
        folder = make_shard_set(per_class=4, shard_size=3, channels=channels, image_format=image_format)
        images, manifest = read_set(folder)
        assert len(images) == manifest.sample_count == 8
        assert images.class_names == ("cat", "dog")
        assert images.channels == manifest.plan.generator.channels == channels
        assert images.labels.tolist() == [0, 1] * 4
        assert images.name == str(folder)

    def test_a_set_in_a_store_is_the_same_set(self, make_shard_set, tmp_path: Path) -> None:
        folder, url = make_shard_set(), f"memory:/{tmp_path}/set"
        for path in folder.iterdir():
            folder_at(url).write(path.name, path.read_bytes())
        (local, manifest), (remote, found) = read_set(folder), read_set(url)
        assert found == manifest
        assert remote.fingerprint == local.fingerprint

    def test_the_format_of_the_files_does_not_change_the_pixels(self, make_shard_set) -> None:
        sets = [read_set(make_shard_set(name, image_format=name))[0] for name in ("png", "webp")]
        assert sets[0].fingerprint == sets[1].fingerprint

    def test_an_unfinished_set_is_refused(self, make_shard_set) -> None:
        folder = make_shard_set()
        (folder / MANIFEST_NAME).unlink()
        with pytest.raises(InputError, match="run the same generate command again"):
            read_set(folder)

    def test_a_missing_shard_is_named_with_the_remedy(self, make_shard_set) -> None:
        folder = make_shard_set()
        (folder / "train-000001.tar").unlink()
        with pytest.raises(DamageError, match=r"train-000001\.tar is missing; synthaug verify --repair"):
            read_set(folder)

    def test_fewer_samples_than_promised_are_damage(self, make_shard_set) -> None:
        folder, smaller = make_shard_set("a", shard_size=4), make_shard_set("b", shard_size=3)
        (smaller / "train-000000.tar").replace(folder / "train-000000.tar")
        with pytest.raises(DamageError, match=r"train-000000\.tar: the manifest promises 4 samples, found 3"):
            read_set(folder)

    def test_a_class_that_the_set_does_not_have_is_damage(self, make_shard_set) -> None:
        folder, other = make_shard_set("a"), make_shard_set("b", class_names=("cat", "dog", "emu"))
        (other / "train-000000.tar").replace(folder / "train-000000.tar")
        with pytest.raises(DamageError, match=r"sample 0000000002 has no class number in 0\.\.1"):
            read_set(folder)
