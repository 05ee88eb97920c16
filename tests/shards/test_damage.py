"""Shards that were cut short or changed after they were made: nothing half, nothing wrong gets through unnoticed."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from synthaug.core.errors import DamageError, InputError
from synthaug.core.pixels import encode_png
from synthaug.shards.find import ShardFile
from synthaug.shards.plan import ImageFormat
from synthaug.shards.reader import Damage, ShardSample, iterate_shard, read_set, read_shards
from synthaug.shards.verify import verify_set
from tests.conftest import random_pixels, write_shard_set
from tests.shards.archives import Entry, tar_of

VICTIM = "train-000001.tar"
FORMATS: tuple[ImageFormat, ...] = ("png", "webp")


@pytest.fixture(scope="module", params=FORMATS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of two shards with three samples each, shared by all tests here: put back what you change."""
    return write_shard_set(
        tmp_path_factory.mktemp("damage") / "set", per_class=3, shard_size=3, image_format=request.param
    )


@pytest.fixture
def victim(folder: Path):
    """The second shard, whole again after the test."""
    path = folder / VICTIM
    whole = path.read_bytes()
    yield path
    path.write_bytes(whole)


def read(path: Path, damage: Damage) -> tuple[list[ShardSample], bool]:
    """The samples that came before the first error, and whether there was one."""
    samples = []
    try:
        for sample in iterate_shard(path, damage):
            samples.append(sample)
    except DamageError:
        return samples, True
    return samples, False


def test_the_whole_set_is_in_order(folder: Path) -> None:
    assert verify_set(folder, deep=True).samples == 6
    assert len(list(iterate_shard(folder / VICTIM))) == 3


def test_a_cut_anywhere_is_found_and_only_whole_samples_are_given(victim: Path) -> None:
    whole, data = list(iterate_shard(victim)), victim.read_bytes()
    lengths = range(0, len(data), 256)
    assert len(lengths) > 30
    for length in lengths:
        victim.write_bytes(data[:length])
        with pytest.raises(DamageError, match=rf"{VICTIM} has {length} bytes instead of {len(data)} \(cut short"):
            verify_set(victim.parent)
        samples, raised = read(victim, Damage("error"))
        assert raised
        assert samples == whole[: len(samples)]
        damage = Damage("skip")
        skipped, raised = read(victim, damage)
        assert not raised
        assert skipped == samples
        assert len(damage.messages) == 1


def test_a_flipped_bit_anywhere_is_found_and_its_shard_named(victim: Path) -> None:
    whole, data, draw = list(iterate_shard(victim)), victim.read_bytes(), random.Random(0)
    refused = 0
    for _ in range(200):
        changed = bytearray(data)
        position = draw.randrange(len(data))
        changed[position] ^= 1 << draw.randrange(8)
        victim.write_bytes(changed)
        with pytest.raises(DamageError, match=rf"{VICTIM} has another sha256") as caught:
            verify_set(victim.parent)
        assert "train-000000" not in str(caught.value)
        for policy in ("error", "skip"):
            samples, raised = read(victim, Damage(policy))
            # What is given has the structure of a sample: at most one differs, in the content that was hit.
            places = [next((at for at, one in enumerate(whole) if one.key == sample.key), None) for sample in samples]
            assert places == sorted(set(places))
            assert sum(sample != whole[place] for sample, place in zip(samples, places, strict=True)) <= 1
            refused += raised
    assert refused > 20, "flips in headers and class files were among them"


def test_a_changed_byte_in_a_png_is_found_by_reading_alone(tmp_path: Path) -> None:
    flat = random_pixels(3, 1, 1).expand(3, 24, 24)  # compresses well: much of such a file is checksums and tables
    data = encode_png(flat)
    for position in range(len(data)):
        changed = data[:position] + bytes([data[position] ^ 0x10]) + data[position + 1 :]
        path = tar_of(tmp_path / "x.tar", [("a.png", changed), ("a.cls", b"0")])
        with pytest.raises(DamageError, match=r"x\.tar: sample a: "):
            read_shards([ShardFile.at(path)], name="x")


class TestSkipping:
    """What policy "skip" passes over, and what it does not."""

    @pytest.mark.parametrize(
        ("broken", "reason"),
        [
            (lambda png: [("b.png", png)], "sample b lacks its cls"),
            (lambda png: [("b.cls", b"0")], "sample b lacks its image"),
            (lambda png: [("b.png", png), ("b.cls", b"dog")], "sample b has no class number"),
            (lambda png: [("b.png", png), ("b.cls", b"2")], "sample b has no class number in 0..1"),
            (lambda png: [("b.png", png[:90]), ("b.cls", b"0")], "sample b: damaged or truncated image"),
            (lambda png: [("b.png", b"hello"), ("b.cls", b"0")], "sample b: not a readable PNG/WEBP/JPEG image"),
        ],
    )
    def test_a_damaged_sample_is_counted_and_the_others_are_given(
        self,
        tmp_path: Path,
        png: bytes,
        broken: Callable[[bytes], list[Entry]],
        reason: str,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        around = [[(f"{key}.png", png), (f"{key}.cls", b"1")] for key in "ac"]
        path = tar_of(tmp_path / "x.tar", [*around[0], *broken(png), *around[1]])
        damage = Damage("skip")
        images = read_shards([ShardFile.at(path)], name="the set", class_names=("cat", "dog"), damage=damage)
        assert images.labels.tolist() == [1, 1]
        [message] = damage.messages
        assert reason in message
        assert f"warning: the set: skipped 1 damaged piece(s): {message}" in capsys.readouterr().err
        with pytest.raises(DamageError, match=reason.replace(".", r"\.")):
            read_shards([ShardFile.at(path)], name="the set", class_names=("cat", "dog"))

    @pytest.mark.parametrize("name", ["../x.png", "b.pkl", "b.cls"])
    def test_the_rest_of_a_shard_that_cannot_be_followed_is_one_piece(
        self, tmp_path: Path, png: bytes, name: str
    ) -> None:
        first, last = ([(f"{key}.png", png), (f"{key}.cls", b"1")] for key in "ac")
        middle: list[Entry] = [("b.png", png), ("b.cls", b"0"), (name, b"0")]
        paths = [tar_of(tmp_path / "x.tar", [*first, *middle, *last]), tar_of(tmp_path / "y.tar", [*first])]
        damage = Damage("skip")
        images = read_shards([ShardFile.at(path) for path in paths], name="x", damage=damage)
        assert images.labels.tolist() == [1, 1], "one before the damage, and all of the next shard"
        assert len(damage.messages) == 1

    def test_nothing_is_said_of_a_whole_set(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        images, manifest = read_set(folder, on_damage="skip")
        assert len(images) == manifest.sample_count
        assert capsys.readouterr().err == ""

    def test_a_set_without_one_of_its_shards_gives_the_others(
        self, victim: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        everything, _ = read_set(victim.parent)
        victim.unlink()
        images, _ = read_set(victim.parent, on_damage="skip")
        assert images.fingerprint == everything.take(images.labels.new_tensor(range(3))).fingerprint
        assert f"skipped 1 damaged piece(s): {victim} is missing" in capsys.readouterr().err
        with pytest.raises(DamageError, match="is missing"):
            read_set(victim.parent)

    def test_a_set_with_a_cut_shard_gives_what_is_whole(self, victim: Path, capsys: pytest.CaptureFixture[str]) -> None:
        victim.write_bytes(victim.read_bytes()[:-1500])
        images, _ = read_set(victim.parent, on_damage="skip")
        assert len(images) == 5
        assert f"skipped 1 damaged piece(s): {victim}: cut short" in capsys.readouterr().err
        with pytest.raises(DamageError, match="cut short"):
            read_set(victim.parent)

    def test_many_pieces_are_counted_and_a_few_shown(self, capsys: pytest.CaptureFixture[str]) -> None:
        damage = Damage("skip")
        for number in range(9):
            damage.found(DamageError(f"piece {number}"))
        damage.report("the set")
        said = capsys.readouterr().err
        assert "skipped 9 damaged piece(s): piece 0; piece 1; piece 2; piece 3; piece 4; ..." in said
        assert len(damage.messages) == 9

    def test_a_set_of_nothing_but_damage_is_refused(self, make_shard_set) -> None:
        folder = make_shard_set(per_class=2)
        for path in folder.glob("*.tar"):
            path.write_bytes(b"")
        with pytest.raises(InputError, match="at least one image is needed"):
            read_set(folder, on_damage="skip")

    def test_a_shard_that_was_never_there_is_no_damage(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="no such file"):
            list(iterate_shard(tmp_path / "none.tar", Damage("skip")))
