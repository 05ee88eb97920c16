import contextlib
import io
import json
import pickle
import tarfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synthaug.core.errors import DamageError, InputError
from synthaug.core.pixels import encode_png
from synthaug.shards.manifest import MANIFEST_NAME
from synthaug.shards.reader import iterate_shard, read_set, read_shards, resolve_shards

BLOCK = 512


def tar_of(path: Path, members: list[tuple[str | tarfile.TarInfo, bytes]], mode: str = "w") -> Path:
    """A tar of plain files, or of whatever the given headers say."""
    with tarfile.open(path, mode) as tar:
        for name, data in members:
            header = tarfile.TarInfo(name) if isinstance(name, str) else name
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
    return path


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.type, header.linkname = kind, target
    return header


@pytest.fixture
def png(make_pixels) -> bytes:
    return encode_png(make_pixels(3, 8, 8))


@pytest.fixture
def shard(make_shard_set) -> Path:
    return make_shard_set(per_class=2, shard_size=4) / "train-000000.tar"


class TestIteration:
    def test_samples_come_whole_and_in_order(self, shard: Path) -> None:
        samples = list(iterate_shard(shard))
        assert [sample.key for sample in samples] == [f"000000000{position}" for position in range(4)]
        assert [sample.label for sample in samples] == [0, 1, 0, 1]
        assert [json.loads(sample.description)["index"] for sample in samples] == [0, 0, 1, 1]
        with tarfile.open(shard) as tar:
            assert samples[2].image == tar.extractfile("0000000002.png").read()

    def test_a_description_is_optional(self, tmp_path: Path, png: bytes) -> None:
        path = tar_of(tmp_path / "x.tar", [("a.png", png), ("a.cls", b"1"), ("b.cls", b"0"), ("b.png", png)])
        assert [(sample.label, sample.description) for sample in iterate_shard(path)] == [(1, b""), (0, b"")]

    def test_a_missing_file_is_an_input_error(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=f"no such shard: {tmp_path}/none.tar"):
            list(iterate_shard(tmp_path / "none.tar"))

    def test_truncation_anywhere_is_damage_and_never_fewer_samples(self, shard: Path) -> None:
        data, cut = shard.read_bytes(), shard.with_name("cut.tar")
        end = max(position for position, byte in enumerate(data) if byte) // BLOCK * BLOCK + BLOCK
        for length in range(0, end + 2 * BLOCK, BLOCK):
            cut.write_bytes(data[:length])
            with pytest.raises(DamageError, match=r"cut\.tar: "):
                list(iterate_shard(cut))
        cut.write_bytes(data[: end + 2 * BLOCK])
        assert list(iterate_shard(cut)) == list(iterate_shard(shard))

    def test_truncation_within_a_block_is_damage(self, shard: Path) -> None:
        data, cut = shard.read_bytes(), shard.with_name("cut.tar")
        for length in (1, 100, 511, 700, 3000, 5001):
            cut.write_bytes(data[:length])
            with pytest.raises(DamageError, match=r"cut\.tar: "):
                list(iterate_shard(cut))

    def test_a_flipped_bit_in_any_header_is_damage(self, shard: Path) -> None:
        data, flipped = bytearray(shard.read_bytes()), shard.with_name("flipped.tar")
        with tarfile.open(shard) as tar:
            headers = [member.offset for member in tar.getmembers()]
        for header in headers:
            for position in (header, header + 60, header + 130, header + 156, header + 400):
                changed = data.copy()
                changed[position] ^= 4
                flipped.write_bytes(changed)
                with pytest.raises(DamageError, match=r"flipped\.tar: "):
                    list(iterate_shard(flipped))

    def test_a_member_blanked_out_in_the_middle_is_damage(self, shard: Path) -> None:
        data = bytearray(shard.read_bytes())
        with tarfile.open(shard) as tar:
            start = tar.getmember("0000000001.png").offset
        data[start : start + 2 * BLOCK] = bytes(2 * BLOCK)
        shard.write_bytes(data)
        with pytest.raises(DamageError, match=f"damaged after byte {start}"):
            list(iterate_shard(shard))

    @pytest.mark.parametrize("kind", list("0SxgLK"))
    @pytest.mark.parametrize(
        "size",
        [
            b"\x80" + b"\xff" * 11,
            b"\xff" * 4 + bytes(8),
            b"\x80" + bytes(5) + b"\xff" * 6,
            b"\xff" * 12,
            b"77777777777\0",
        ],
        ids=["positive-88-bit", "negative-64-bit", "positive-48-bit", "minus-one", "octal-8-gib"],
    )
    def test_a_forged_size_is_damage_and_no_other_error(self, shard: Path, kind: str, size: bytes) -> None:
        data = bytearray(shard.read_bytes())
        data[124:136], data[156] = size, ord(kind)
        data[148:156] = b"%06o\0 " % (sum(data[:148]) + 8 * 32 + sum(data[156:BLOCK]))
        shard.write_bytes(data)
        with pytest.raises(DamageError, match=r"train-000000\.tar: "):
            list(iterate_shard(shard))

    @settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        edits=st.lists(
            st.tuples(st.integers(0, 511), st.sampled_from([0, 0x30, 0x78, 0x80, 0xFF])), min_size=1, max_size=4
        )
    )
    def test_a_forged_header_is_damage_or_data_and_no_other_error(
        self, shard: Path, edits: list[tuple[int, int]]
    ) -> None:
        data = bytearray(shard.read_bytes())
        for position, value in edits:
            data[position] = value
        data[148:156] = b"%06o\0 " % (sum(data[:148]) + 8 * 32 + sum(data[156:BLOCK]))
        forged = shard.with_name("forged.tar")
        forged.write_bytes(data)
        with contextlib.suppress(DamageError):
            assert all(sample.image and sample.label in (0, 1) for sample in iterate_shard(forged))

    def test_an_archive_without_samples_is_damage(self, tmp_path: Path) -> None:
        with pytest.raises(DamageError):
            list(iterate_shard(tar_of(tmp_path / "x.tar", [])))

    @pytest.mark.parametrize("data", [b"", b"hello", b"\x1f\x8b" + b"0" * 2000])
    def test_a_file_that_is_no_tar_is_damage(self, tmp_path: Path, data: bytes) -> None:
        (tmp_path / "x.tar").write_bytes(data)
        with pytest.raises(DamageError, match=r"x\.tar: "):
            list(iterate_shard(tmp_path / "x.tar"))

    def test_a_compressed_tar_is_not_unpacked(self, tmp_path: Path, png: bytes) -> None:
        path = tar_of(tmp_path / "x.tar", [("a.png", png), ("a.cls", b"0")], mode="w:gz")
        with pytest.raises(DamageError, match="not a whole tar file"):
            list(iterate_shard(path))

    @pytest.mark.parametrize(("present", "missing"), [("png", "cls"), ("cls", "png"), ("json", "png")])
    @pytest.mark.parametrize("follows", [False, True])
    def test_a_sample_without_image_or_class_is_damage(
        self, tmp_path: Path, png: bytes, present: str, missing: str, follows: bool
    ) -> None:
        whole = [("b.png", png), ("b.cls", b"0")]
        path = tar_of(tmp_path / "x.tar", [(f"a.{present}", png), *(whole if follows else [])])
        with pytest.raises(DamageError, match=f"sample a lacks its {missing}"):
            list(iterate_shard(path))

    @pytest.mark.parametrize("label", [b"", b"cat", b"1.5", b"-1", b"9" * 30, b"9" * 9000, b"\xff"])
    def test_an_impossible_class_is_damage(self, tmp_path: Path, png: bytes, label: bytes) -> None:
        path = tar_of(tmp_path / "x.tar", [("a.png", png), ("a.cls", label)])
        with pytest.raises(DamageError, match=r"x\.tar: sample a has"):
            list(iterate_shard(path))

    @pytest.mark.parametrize(
        "name", ["../a.png", "/tmp/a.png", "sub/a.png", "a.pyd", "a.pickle", "a.pth", "a.npy", "a.png.gz", "a", "..png"]
    )
    def test_members_that_are_not_plain_png_cls_or_json_are_refused(
        self, tmp_path: Path, png: bytes, name: str
    ) -> None:
        path = tar_of(tmp_path / "x.tar", [("a.png", png), ("a.cls", b"0"), (name, png)])
        with pytest.raises(DamageError, match="unexpected member"):
            list(iterate_shard(path))

    @pytest.mark.parametrize(
        "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]
    )
    def test_links_folders_and_devices_are_refused(self, tmp_path: Path, png: bytes, kind: bytes) -> None:
        evil = special("b.png", kind, "/etc/passwd")
        path = tar_of(tmp_path / "x.tar", [("a.png", png), ("a.cls", b"0"), (evil, b"")])
        with pytest.raises(DamageError, match=r"unexpected member 'b\.png'"):
            list(iterate_shard(path))

    def test_a_pickle_is_never_loaded_whatever_it_is_called(self, tmp_path: Path) -> None:
        ran = tmp_path / "ran"

        class Evil:
            def __reduce__(self) -> tuple[Any, ...]:
                return (Path.touch, (ran,))

        for suffix in ("pickle", "pyd", "png"):
            path = tar_of(tmp_path / f"{suffix}.tar", [(f"a.{suffix}", pickle.dumps(Evil())), ("a.cls", b"0")])
            with pytest.raises(DamageError, match=f"{suffix}.tar: "):
                read_shards([path], name="evil")
        assert not ran.exists()

    def test_a_member_that_declares_too_many_bytes_is_refused_before_it_is_read(self, tmp_path: Path) -> None:
        header = tarfile.TarInfo("a.png")
        header.size = 64 * 1024 * 1024 + 1
        (tmp_path / "x.tar").write_bytes(header.tobuf() + bytes(10 * BLOCK))
        with pytest.raises(DamageError, match=f"declares {header.size} bytes, too many"):
            list(iterate_shard(tmp_path / "x.tar"))


class TestResolving:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        for name in ("train-000001.tar", "train-000000.tar", "test-000000.tar", "other.tar", "train-x.txt"):
            (tmp_path / name).touch()
        return tmp_path

    def test_a_folder_gives_the_shards_of_a_split_in_order(self, folder: Path) -> None:
        assert [path.name for path in resolve_shards(str(folder))] == ["train-000000.tar", "train-000001.tar"]
        assert [path.name for path in resolve_shards(str(folder), split="test")] == ["test-000000.tar"]

    def test_a_folder_without_train_names_is_all_training_data(self, folder: Path) -> None:
        for path in folder.glob("train-*"):
            path.unlink()
        assert [path.name for path in resolve_shards(str(folder))] == ["other.tar"]

    def test_ranges_expand_with_their_leading_zeros(self) -> None:
        assert [str(path) for path in resolve_shards("d/x-{008..011}.tar")] == [
            "d/x-008.tar",
            "d/x-009.tar",
            "d/x-010.tar",
            "d/x-011.tar",
        ]
        assert [str(path) for path in resolve_shards("{0..1}/{1..2}.tar")] == [
            "0/1.tar",
            "0/2.tar",
            "1/1.tar",
            "1/2.tar",
        ]

    def test_a_pattern_names_no_test_shards(self) -> None:
        assert resolve_shards("d/x-{000..002}.tar", split="test") == []

    @pytest.mark.parametrize("where", ["", "x-{5..4}.tar"])
    def test_nothing_to_train_on_is_refused_with_an_example(self, where: str) -> None:
        with pytest.raises(InputError, match=r"no shards .* give a folder of shards or a pattern like DIR/x-"):
            resolve_shards(where)

    def test_an_empty_folder_has_no_shards_but_may_lack_test_shards(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="no shards"):
            resolve_shards(str(tmp_path))
        assert resolve_shards(str(tmp_path), split="test") == []


class TestDecoding:
    def test_pixels_and_labels_are_those_written(self, tmp_path: Path, make_pixels) -> None:
        images = make_pixels(3, 3, 8, 8)
        members = []
        for number, image in enumerate(images):
            members += [(f"{number}.png", encode_png(image)), (f"{number}.cls", str(2 - number).encode())]
        found = read_shards([tar_of(tmp_path / "x.tar", members)], name="x")
        assert torch.equal(found.images, images)
        assert found.labels.tolist() == [2, 1, 0]
        assert found.class_names == ("0", "1", "2")
        assert found.name == "x"

    @pytest.mark.parametrize("grey_first", [True, False])
    def test_one_colour_image_makes_the_set_rgb_wherever_it_is(
        self, tmp_path: Path, make_pixels, grey_first: bool
    ) -> None:
        grey, colour = make_pixels(1, 8, 8), make_pixels(3, 8, 8)
        first, second = (grey, colour) if grey_first else (colour, grey)
        members = [("a.png", encode_png(first)), ("a.cls", b"0"), ("b.png", encode_png(second)), ("b.cls", b"1")]
        found = read_shards([tar_of(tmp_path / "x.tar", members)], name="x")
        assert torch.equal(found.images, torch.stack([first.expand(3, 8, 8), second.expand(3, 8, 8)]))

    def test_mixed_sizes_need_a_size_and_the_odd_one_is_named(self, tmp_path: Path, make_pixels) -> None:
        members = [("a.png", encode_png(make_pixels(3, 8, 8))), ("a.cls", b"0")]
        members += [("b.png", encode_png(make_pixels(3, 16, 20))), ("b.cls", b"1")]
        path = tar_of(tmp_path / "x.tar", members)
        with pytest.raises(InputError, match=r"sample b is 20x16 beside 8x8\. Give --image-size N"):
            read_shards([path], name="x")
        assert read_shards([path], name="x", image_size=8).images.shape == (2, 3, 8, 8)

    def test_images_that_are_not_square_need_a_size(self, tmp_path: Path, make_pixels) -> None:
        image = make_pixels(3, 8, 12)
        path = tar_of(tmp_path / "x.tar", [("a.png", encode_png(image)), ("a.cls", b"0")])
        with pytest.raises(InputError, match="square grey or RGB images are needed, found 3x8x12"):
            read_shards([path], name="x")
        assert torch.equal(read_shards([path], name="x", image_size=8).images[0], image[:, :, 2:10])

    def test_an_image_that_does_not_decode_is_damage_naming_the_sample(self, tmp_path: Path, png: bytes) -> None:
        path = tar_of(tmp_path / "x.tar", [("a.png", png[:-60]), ("a.cls", b"0")])
        with pytest.raises(DamageError, match=r"x\.tar: sample a"):
            read_shards([path], name="x")

    def test_no_shards_give_no_images(self) -> None:
        with pytest.raises(InputError, match="x: at least one image is needed"):
            read_shards([], name="x")


class TestSets:
    def test_a_finished_set_comes_with_its_manifest(self, make_shard_set) -> None:
        folder = make_shard_set(per_class=4, shard_size=3, channels=1)
        images, manifest = read_set(folder)
        assert len(images) == manifest.sample_count == 8
        assert images.class_names == ("cat", "dog")
        assert images.channels == manifest.channels == 1
        assert images.labels.tolist() == [0, 1] * 4

    def test_an_unfinished_set_is_refused(self, make_shard_set) -> None:
        folder = make_shard_set()
        (folder / MANIFEST_NAME).unlink()
        with pytest.raises(InputError, match="run the same generate command again"):
            read_set(folder)

    def test_a_missing_shard_is_named(self, make_shard_set) -> None:
        folder = make_shard_set()
        (folder / "train-000001.tar").unlink()
        with pytest.raises(DamageError, match=r"train-000001\.tar is missing"):
            read_set(folder)

    def test_fewer_samples_than_promised_are_damage(self, make_shard_set) -> None:
        folder, smaller = make_shard_set("a", shard_size=4), make_shard_set("b", shard_size=3)
        (smaller / "train-000000.tar").replace(folder / "train-000000.tar")
        with pytest.raises(DamageError, match="promises 8 samples, found 7"):
            read_set(folder)
