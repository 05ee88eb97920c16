import io
import os
import pickle
import tarfile
import urllib.error
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision.datasets.cifar
from PIL import Image
from sklearn.datasets import load_digits

from synthaug.core.errors import DamageError, InputError
from synthaug.core.pixels import to_pil
from synthaug.data import sources
from synthaug.data.sources import SOURCES, load_source
from synthaug.data.splits import make_splits


def pixels_of(folder: Path, class_name: str, channels: int) -> torch.Tensor:
    """The images of a class folder, read independently of the package."""
    arrays = []
    for path in sorted((folder / class_name).glob("*.png")):
        with Image.open(path) as picture:
            mode = "RGB" if channels == 3 else "L"
            data = torch.frombuffer(bytearray(picture.convert(mode).tobytes()), dtype=torch.uint8)
            arrays.append(data.reshape(picture.height, picture.width, channels).permute(2, 0, 1))
    return torch.stack(arrays)


class TestDigits:
    def test_they_are_scikit_learns_digits_on_the_full_grey_scale(self) -> None:
        source, raw = load_source("digits"), load_digits()
        assert source.train.images.shape == (1797, 1, 8, 8)
        assert source.train.labels.tolist() == raw.target.tolist()
        assert source.train.class_names == tuple("0123456789")
        expected = torch.from_numpy(raw.images).mul(255 / 16).round()[:, None]
        assert torch.equal(source.train.images.double(), expected)

    def test_they_have_no_official_test_set_and_may_not_be_mirrored(self) -> None:
        source = load_source("digits")
        assert source.test is None
        assert not source.allows_flip

    def test_they_can_be_resized(self) -> None:
        assert load_source("digits", image_size=16).train.images.shape == (1797, 1, 16, 16)

    def test_they_take_no_argument(self) -> None:
        with pytest.raises(InputError, match=r"'digits' takes no argument, found 'digits:x'"):
            load_source("digits:x")


def test_an_unknown_spec_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match="unknown data source 'mnist'; known: cifar10, digits, imagefolder, wds"):
        load_source("mnist:somewhere")
    assert SOURCES.names() == ["digits", "cifar10", "imagefolder", "wds"]


@pytest.mark.parametrize("image_size", [3, 0, -8])
def test_a_size_that_holds_no_picture_is_refused(image_size: int) -> None:
    with pytest.raises(InputError, match=f"--image-size must be at least 4 pixels, found {image_size}"):
        load_source("digits", image_size=image_size)


class TestImageFolder:
    @pytest.mark.parametrize("channels", [1, 3])
    def test_a_folder_per_class_gives_its_pixels_in_sorted_order(self, make_image_folder, channels: int) -> None:
        folder = make_image_folder(class_names=("dog", "cat"), per_class=3, channels=channels)
        source = load_source(f"imagefolder:{folder}")
        assert source.train.class_names == ("cat", "dog")
        assert source.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
        expected = torch.cat([pixels_of(folder, name, channels) for name in ("cat", "dog")])
        assert torch.equal(source.train.images, expected)
        assert source.test is None
        assert source.allows_flip

    def test_train_and_test_folders_are_kept_apart(self, make_image_folder) -> None:
        folder = make_image_folder("set/train", seed=1).parent
        make_image_folder("set/test", per_class=2, seed=2)
        source = load_source(f"imagefolder:{folder}")
        assert source.test is not None
        assert torch.equal(source.train.images[:4], pixels_of(folder / "train", "cat", 3))
        assert torch.equal(source.test.images[:2], pixels_of(folder / "test", "cat", 3))
        assert source.train.class_names == source.test.class_names == ("cat", "dog")

    def test_a_train_folder_alone_has_no_official_test_set(self, make_image_folder) -> None:
        folder = make_image_folder("set/train").parent
        source = load_source(f"imagefolder:{folder}")
        assert source.test is None
        assert len(source.train) == 8

    def test_moving_the_folder_keeps_the_fingerprint(self, make_image_folder, tmp_path: Path) -> None:
        folder = make_image_folder()
        before = load_source(f"imagefolder:{folder}").train.fingerprint
        assert load_source(f"imagefolder:{folder.rename(tmp_path / 'moved')}").train.fingerprint == before

    def test_nested_images_count_and_other_and_hidden_files_do_not(self, make_image_folder) -> None:
        folder = make_image_folder()
        (folder / "cat" / "more").mkdir()
        (folder / "cat" / "000.png").rename(folder / "cat" / "more" / "000.PNG")
        (folder / "cat" / "notes.txt").write_text("no image")
        (folder / "notes.txt").write_text("no class")
        (folder / ".cache").mkdir()
        assert load_source(f"imagefolder:{folder}").train.class_counts() == (4, 4)

    def test_one_colour_image_makes_the_set_rgb_wherever_it_is(self, make_image_folder, make_pixels) -> None:
        folder = make_image_folder(channels=1)
        colour = make_pixels(3, 8, 8)
        to_pil(colour).save(folder / "dog" / "003.png")
        images = load_source(f"imagefolder:{folder}").train.images
        assert torch.equal(images[-1], colour)
        assert torch.equal(images[0], pixels_of(folder, "cat", 1)[0].expand(3, 8, 8))

    def test_test_images_take_the_channels_of_the_training_images(self, make_image_folder) -> None:
        folder = make_image_folder("set/train", channels=3).parent
        make_image_folder("set/test", channels=1)
        source = load_source(f"imagefolder:{folder}")
        assert source.test is not None
        assert source.test.channels == 3

    def test_asking_for_a_size_crops_and_resizes_everything(self, make_image_folder, make_pixels) -> None:
        folder = make_image_folder("set/train", size=(8, 12)).parent
        make_image_folder("set/test", size=(20, 9))
        to_pil(make_pixels(3, 8, 8)).save(folder / "train" / "cat" / "999.png")
        source = load_source(f"imagefolder:{folder}", image_size=8)
        assert source.test is not None
        assert source.train.image_size == source.test.image_size == 8
        with Image.open(folder / "train" / "cat" / "000.png") as picture:
            centre = picture.crop((2, 0, 10, 8))
        assert to_pil(source.train.images[0]).tobytes() == centre.tobytes()

    @pytest.mark.parametrize("argument", ["", ":", ":/no/such/folder", ":{folder}/cat/000.png"])
    def test_a_missing_folder_is_refused_with_its_absolute_path(self, make_image_folder, argument: str) -> None:
        spec = "imagefolder" + argument.format(folder=make_image_folder())
        with pytest.raises(InputError, match=r"no such folder: /"):
            load_source(spec)

    def test_a_folder_without_class_folders_is_refused(self, tmp_path: Path, make_pixels) -> None:
        to_pil(make_pixels(3, 8, 8)).save(tmp_path / "000.png")
        with pytest.raises(InputError, match="one folder per class is needed, found no folder"):
            load_source(f"imagefolder:{tmp_path}")

    def test_an_empty_class_folder_is_named(self, make_image_folder) -> None:
        folder = make_image_folder()
        (folder / "empty").mkdir()
        with pytest.raises(InputError, match=r"images/empty: a class needs images \(\.png.*found none"):
            load_source(f"imagefolder:{folder}")

    def test_one_class_alone_cannot_be_split(self, make_image_folder) -> None:
        folder = make_image_folder(class_names=("cat",), per_class=9)
        with pytest.raises(InputError, match=r"at least two classes are needed, found \['cat'\]"):
            make_splits(load_source(f"imagefolder:{folder}"))

    def test_a_file_that_is_no_image_is_named(self, make_image_folder) -> None:
        folder = make_image_folder()
        (folder / "dog" / "001.png").write_text("hello")
        with pytest.raises(InputError, match=r"dog/001\.png: not a readable"):
            load_source(f"imagefolder:{folder}")

    def test_a_truncated_image_is_named(self, make_image_folder) -> None:
        path = make_image_folder() / "dog" / "002.png"
        path.write_bytes(path.read_bytes()[:-30])
        with pytest.raises(InputError, match=r"dog/002\.png: damaged or truncated"):
            load_source(f"imagefolder:{path.parent.parent}")

    def test_an_image_that_may_not_be_read_is_named(self, make_image_folder, monkeypatch: pytest.MonkeyPatch) -> None:
        folder, read = make_image_folder(), Path.read_bytes

        def guarded(path: Path) -> bytes:
            if path.name == "001.png":
                raise PermissionError(13, "Permission denied", str(path))
            return read(path)

        monkeypatch.setattr(Path, "read_bytes", guarded)
        with pytest.raises(InputError, match=r"cat/001\.png: could not be read \(Permission denied\)"):
            load_source(f"imagefolder:{folder}")

    def test_images_that_are_not_square_need_a_size(self, make_image_folder) -> None:
        folder = make_image_folder(size=(8, 12))
        with pytest.raises(InputError, match=r"cat/000\.png: .*found 12x8.*Give --image-size N"):
            load_source(f"imagefolder:{folder}")

    def test_images_of_mixed_sizes_need_a_size_and_the_odd_one_is_named(self, make_image_folder, make_pixels) -> None:
        folder = make_image_folder()
        to_pil(make_pixels(3, 16, 16)).save(folder / "dog" / "002.png")
        with pytest.raises(
            InputError, match=r"dog/002\.png: .*found 16x16 where the first is 8x8.*Give --image-size N"
        ):
            load_source(f"imagefolder:{folder}")

    def test_test_images_of_another_size_need_a_size(self, make_image_folder) -> None:
        folder = make_image_folder("set/train", size=8).parent
        make_image_folder("set/test", size=16)
        with pytest.raises(InputError, match=r"found 8 and 16 pixels. Give --image-size N"):
            load_source(f"imagefolder:{folder}")

    def test_train_and_test_must_have_the_same_classes(self, make_image_folder) -> None:
        folder = make_image_folder("set/train").parent
        make_image_folder("set/test", class_names=("cat", "cow"))
        with pytest.raises(InputError, match=r"same class folders, found \['cat', 'dog'\] and \['cat', 'cow'\]"):
            load_source(f"imagefolder:{folder}")


class TestShards:
    def test_a_finished_set_gives_its_images_and_class_names(self, make_shard_set) -> None:
        folder = make_shard_set(class_names=("cat", "dog"), per_class=4, shard_size=3)
        source = load_source(f"wds:{folder}")
        assert source.train.class_names == ("cat", "dog")
        assert source.train.labels.tolist() == [0, 1] * 4
        assert source.test is None

    def test_a_pattern_chooses_shards_and_classes_are_numbers(self, make_shard_set) -> None:
        folder = make_shard_set(per_class=4, shard_size=3)
        source = load_source(f"wds:{folder}/train-{{000000..000001}}.tar")
        assert len(source.train) == 6
        assert source.train.class_names == ("0", "1")
        whole = load_source(f"wds:{folder}").train
        assert torch.equal(source.train.images, whole.images[:6])

    def test_test_shards_become_the_official_test_set(self, make_shard_set) -> None:
        folder = make_shard_set(per_class=4, shard_size=4)
        (folder / "train-000001.tar").rename(folder / "test-000000.tar")
        for name in ("plan.json", "manifest.json"):  # as if others had made them
            (folder / name).unlink()
        source = load_source(f"wds:{folder}")
        assert source.test is not None
        assert (len(source.train), len(source.test)) == (4, 4)
        assert source.test.class_names == source.train.class_names
        assert not torch.equal(source.test.images, source.train.images)

    def test_an_unfinished_set_is_refused(self, make_shard_set) -> None:
        folder = make_shard_set(per_class=4)
        (folder / "manifest.json").unlink()
        with pytest.raises(InputError, match="is unfinished"):
            load_source(f"wds:{folder}")

    def test_shards_that_the_manifest_does_not_list_are_left_out(self, make_shard_set) -> None:
        folder = make_shard_set(per_class=4)
        listed = len(load_source(f"wds:{folder}").train)
        (folder / "train-000009.tar").write_bytes((folder / "train-000000.tar").read_bytes())
        assert len(load_source(f"wds:{folder}").train) == listed

    def test_test_shards_of_another_size_need_a_size(self, make_shard_set) -> None:
        folder, other = make_shard_set("a", size=8), make_shard_set("b", size=16)
        (other / "train-000000.tar").rename(folder / "test-000000.tar")
        for name in ("plan.json", "manifest.json"):  # as if others had made them
            (folder / name).unlink()
        with pytest.raises(InputError, match=r"found 8 and 16 pixels. Give --image-size N"):
            load_source(f"wds:{folder}")
        source = load_source(f"wds:{folder}", image_size=8)
        assert source.test is not None
        assert source.test.image_size == 8

    @pytest.mark.parametrize("allows_flip", [True, False])
    def test_the_manifest_says_whether_mirroring_is_allowed(self, make_shard_set, allows_flip: bool) -> None:
        assert load_source(f"wds:{make_shard_set(allows_flip=allows_flip)}").allows_flip is allows_flip

    def test_images_can_be_resized(self, make_shard_set) -> None:
        assert load_source(f"wds:{make_shard_set()}", image_size=12).train.images.shape == (8, 3, 12, 12)

    @pytest.mark.parametrize("argument", ["", ":", ":{folder}/none"])
    def test_missing_shards_are_refused(self, tmp_path: Path, argument: str) -> None:
        (tmp_path / "none").mkdir()
        with pytest.raises(InputError, match="no shards"):
            load_source("wds" + argument.format(folder=tmp_path))

    def test_a_pattern_without_its_files_names_the_missing_one(self, make_shard_set) -> None:
        folder = make_shard_set(per_class=4, shard_size=4)
        with pytest.raises(InputError, match=r"no such file: .*train-000002\.tar"):
            load_source(f"wds:{folder}/train-{{000000..000002}}.tar")

    def test_a_command_is_a_file_name_like_any_other(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="no such file"):
            load_source(f"wds:pipe:touch {tmp_path}/ran")
        assert not (tmp_path / "ran").exists()

    def test_a_cut_shard_is_damage(self, make_shard_set) -> None:
        path = make_shard_set() / "train-000000.tar"
        path.write_bytes(path.read_bytes()[:1000])
        with pytest.raises(DamageError, match=r"train-000000\.tar"):
            load_source(f"wds:{path.parent}")


class TestCifar10:
    @pytest.fixture
    def offline(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*args: Any, **kwargs: Any) -> None:
            raise urllib.error.URLError("Network is unreachable")

        monkeypatch.setattr(torchvision.datasets.cifar, "download_and_extract_archive", refuse)

    @pytest.mark.usefixtures("offline")
    def test_offline_it_says_what_is_missing_and_what_to_do(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"not in .*unreachable.*imagefolder:PATH") as caught:
            load_source(f"cifar10:{tmp_path}")
        assert str(tmp_path) in str(caught.value)

    @pytest.mark.usefixtures("offline")
    def test_without_a_root_it_looks_in_the_cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SYNTHAUG_HOME", str(tmp_path / "home"))
        with pytest.raises(InputError, match="home/cifar10"):
            load_source("cifar10")

    @pytest.mark.usefixtures("offline")
    def test_files_with_another_checksum_are_never_unpickled(self, tmp_path: Path) -> None:
        ran = tmp_path / "ran"

        class Evil:
            def __reduce__(self) -> tuple[Any, ...]:
                return (Path.touch, (ran,))

        folder = tmp_path / "cifar-10-batches-py"
        folder.mkdir()
        for name in ("batches.meta", "test_batch", *(f"data_batch_{number}" for number in range(1, 6))):
            (folder / name).write_bytes(pickle.dumps(Evil()))
        with pytest.raises(InputError, match="could not be downloaded"):
            load_source(f"cifar10:{tmp_path}")
        assert not ran.exists()


def test_a_class_folder_with_undecodable_bytes_is_refused(make_image_folder) -> None:
    folder = make_image_folder()
    next(path for path in sorted(folder.iterdir()) if path.is_dir()).rename(os.fsdecode(bytes(folder) + b"/caf\xe9"))
    with pytest.raises(InputError, match="not valid UTF-8"):
        load_source(f"imagefolder:{folder}")


def test_files_that_are_no_images_are_passed_over_aloud(make_image_folder, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_image_folder()
    (next(path for path in sorted(folder.iterdir()) if path.is_dir()) / "phone.heic").write_bytes(b"x")
    load_source(f"imagefolder:{folder}")
    assert "passed over" in (message := capsys.readouterr().err)
    assert ".heic" in message


def test_large_pictures_are_resized_one_by_one(make_image_folder, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[tuple[int, int]] = []
    real = sources.from_pil

    def watch(picture, channels):
        kept.append(picture.size)
        return real(picture, channels)

    monkeypatch.setattr(sources, "from_pil", watch)
    load_source(f"imagefolder:{make_image_folder(size=64)}", image_size=8)
    assert set(kept) == {(8, 8)}


def test_jpeg_shards_are_read_like_png_ones(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for key in ("0", "1"):
            buffer = io.BytesIO()
            Image.new("RGB", (8, 8), (200, 40, 40)).save(buffer, format="JPEG")
            for name, data in ((f"{key}.jpg", buffer.getvalue()), (f"{key}.cls", key.encode())):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    images = load_source(f"wds:{tmp_path}").train
    assert images.labels.tolist() == [0, 1]
    assert images.images[0, 0].float().mean() > 150 > images.images[0, 1].float().mean()
