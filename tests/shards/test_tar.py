import contextlib
import io
import itertools
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthaug.core.errors import DamageError
from synthaug.shards import tar
from synthaug.shards.tar import BLOCK, END, iterate_members
from tests.shards.archives import raw_header, tar_of, with_checksum

CONTENTS = st.binary(max_size=2000)
LETTERS = st.characters(exclude_categories=("Cs",), exclude_characters="/\0")
SHORT_NAMES = st.text(LETTERS, min_size=1).filter(lambda name: len(name.encode()) <= 100)
FORMATS = {"ustar": tarfile.USTAR_FORMAT, "pax": tarfile.PAX_FORMAT, "gnu": tarfile.GNU_FORMAT}


def packed(files: dict[str, bytes]) -> bytes:
    """An archive by our own functions."""
    parts = [part for name, data in files.items() for part in (tar.header(name, len(data)), *tar.padded(data))]
    return b"".join([*parts, END])


def read(data: bytes) -> list[tuple[str, bytes]]:
    return [(member.name, member.data) for member in iterate_members(io.BytesIO(data), "x.tar")]


def read_by_tarfile(data: bytes) -> list[tuple[str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return [(member.name, archive.extractfile(member).read()) for member in archive.getmembers()]


class TestWriting:
    @given(name=SHORT_NAMES, size=st.integers(0, 8**11 - 1))
    def test_a_header_is_what_tarfile_writes(self, name: str, size: int) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode, member.mtime, member.uname, member.gname = size, 0o644, 0, "", ""
        assert tar.header(name, size) == member.tobuf(tarfile.USTAR_FORMAT)

    @given(st.dictionaries(SHORT_NAMES, CONTENTS, max_size=5))
    def test_tarfile_reads_what_was_put_in(self, files: dict[str, bytes]) -> None:
        # tarfile takes a name that ends in a slash for a folder; there is none among these.
        assert read_by_tarfile(packed(files)) == read(packed(files)) == list(files.items())

    @given(CONTENTS)
    def test_content_is_filled_up_to_whole_blocks_with_zeros(self, data: bytes) -> None:
        whole = b"".join(tar.padded(data))
        assert len(whole) % BLOCK == 0
        assert len(whole) - len(data) < BLOCK
        assert whole == data + bytes(len(whole) - len(data))


class TestReadingOthers:
    @pytest.mark.parametrize("format", FORMATS.values(), ids=FORMATS)
    @given(st.dictionaries(st.from_regex(r"[0-9a-z_-]{1,90}\.[a-z]{1,5}", fullmatch=True), CONTENTS, max_size=4))
    def test_plain_names_are_read_as_tarfile_reads_them(self, format: int, files: dict[str, bytes]) -> None:
        data = self.archive(files, format)
        assert read(data) == read_by_tarfile(data) == list(files.items())

    @pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT], ids=["pax", "gnu"])
    @given(st.dictionaries(st.text(LETTERS, min_size=80, max_size=300), CONTENTS, max_size=3))
    def test_long_names_in_any_script_are_read_as_tarfile_reads_them(
        self, format: int, files: dict[str, bytes]
    ) -> None:
        data = self.archive(files, format, mtime=1234567890.123)
        assert read(data) == read_by_tarfile(data) == list(files.items())

    def test_a_long_path_split_into_prefix_and_name_is_joined(self) -> None:
        name = f"{'a' * 120}/{'b' * 90}.png"
        data = self.archive({name: b"x", "c.png": b"y"}, tarfile.USTAR_FORMAT)
        assert read(data) == read_by_tarfile(data) == [(name, b"x"), ("c.png", b"y")]

    def test_global_pax_headers_are_passed_over(self) -> None:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", pax_headers={"comment": "made elsewhere"}) as archive:
            member = tarfile.TarInfo("a.png")
            member.size = 3
            archive.addfile(member, io.BytesIO(b"abc"))
        assert read(buffer.getvalue()) == [("a.png", b"abc")]

    def test_a_pax_record_speaks_of_the_next_member_only(self) -> None:
        long_name = "n" * 150 + ".png"
        data = self.archive({long_name: b"1", "a.png": b"22"}, tarfile.PAX_FORMAT)
        assert read(data) == [(long_name, b"1"), ("a.png", b"22")]

    def test_a_size_in_a_pax_record_counts(self) -> None:
        record = b"13 size=700\n"
        record = b"%d size=700\n" % len(record)
        blocks = [raw_header("x", len(record), b"x"), *tar.padded(record), raw_header("a.png", 0)]
        data = b"".join([*blocks, *tar.padded(b"z" * 700), END])
        assert read(data) == read_by_tarfile(data) == [("a.png", b"z" * 700)]

    def test_a_size_in_binary_counts(self) -> None:
        data = b"".join([raw_header("a.png", b"\x80" + (700).to_bytes(11, "big")), *tar.padded(b"z" * 700), END])
        assert read(data) == read_by_tarfile(data) == [("a.png", b"z" * 700)]

    @staticmethod
    def archive(files: dict[str, bytes], format: int, mtime: float = 0) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=format) as archive:
            for name, data in files.items():
                member = tarfile.TarInfo(name)
                member.size, member.mtime = len(data), mtime if format == tarfile.PAX_FORMAT else int(mtime)
                archive.addfile(member, io.BytesIO(data))
        return buffer.getvalue()


class TestRefusing:
    @pytest.fixture
    def data(self) -> bytes:
        return packed({"a.png": b"p" * 600, "a.cls": b"1"})

    def test_an_archive_cut_anywhere_gives_whole_members_and_then_an_error(self, data: bytes) -> None:
        whole, ends = read(data), (3 * BLOCK, 5 * BLOCK)
        for length in range(0, len(data), 100):
            members = iterate_members(io.BytesIO(data[:length]), "x.tar")
            found = list(itertools.islice(members, sum(length > end for end in ends)))
            assert [(member.name, member.data) for member in found] == whole[: len(found)]
            assert all(data[member.offset :].startswith(member.data) for member in found)
            with pytest.raises(DamageError, match=r"x\.tar: cut short"):
                next(members)

    def test_a_flipped_bit_in_any_header_is_damage(self, data: bytes) -> None:
        for start in (0, 3 * BLOCK):
            for position in [*range(148), *range(156, BLOCK)]:
                flipped = bytearray(data)
                flipped[start + position] ^= 1 << position % 8
                with pytest.raises(DamageError, match="damaged header after"):
                    read(bytes(flipped))

    def test_something_after_the_end_is_damage(self, data: bytes) -> None:
        with pytest.raises(DamageError, match="something follows the end of the archive after 'a.cls'"):
            read(data + data)
        assert read(data + bytes(20 * BLOCK)) == read(data)

    def test_a_single_empty_block_does_not_end_an_archive(self, data: bytes) -> None:
        with pytest.raises(DamageError, match="something follows the end"):
            read(data[: 3 * BLOCK] + bytes(BLOCK) + data[3 * BLOCK :])

    @pytest.mark.parametrize("data", [b"", b"hello", b"\x1f\x8b" + b"0" * 2000, b"PK\3\4" + bytes(600)])
    def test_what_is_no_tar_is_damage(self, data: bytes) -> None:
        with pytest.raises(DamageError, match=r"x\.tar: (cut short|damaged header) after its beginning"):
            read(data)

    def test_a_compressed_tar_is_not_unpacked(self, tmp_path: Path) -> None:
        path = tar_of(tmp_path / "x.tar", [("a.png", b"p" * 600)], mode="w:gz")
        with pytest.raises(DamageError, match=r"x\.tar: "):
            read(path.read_bytes())

    @pytest.mark.parametrize("kind", list("0SxgLK"))
    @pytest.mark.parametrize(
        "size",
        [
            b"\x80" + b"\xff" * 11,
            b"\x81" + bytes(11),
            b"\xff" + bytes(11),
            b"\xff" * 4 + bytes(8),
            b"\xff" * 12,
            b"\x80" + bytes(5) + b"\xff" * 6,
            b"77777777777\0",
            b"-0000000001\0",
            b"-7777777777\0",
            b"0000_000007\0",
            b"0o000000007\0",
            b"+0000000007\0",
            b"1234567\0\x0089 ",
        ],
    )
    def test_a_forged_size_is_damage_and_no_other_error(self, data: bytes, kind: str, size: bytes) -> None:
        forged = raw_header("a.png", size, kind.encode()) + data[BLOCK:]
        with pytest.raises(DamageError, match=r"x\.tar: "):
            read(forged)

    def test_a_negative_size_reads_nothing(self) -> None:
        class Watched(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                assert size is not None
                assert 0 <= size <= 1 << 20
                return super().read(size)

        file = Watched(raw_header("a.png", b"-0000000001\0") + bytes(100 * BLOCK))
        with pytest.raises(DamageError, match="damaged header"):
            list(iterate_members(file, "x.tar"))

    @pytest.mark.parametrize(
        "record",
        [
            b"11 size=-1\n",
            b"27 size=99999999999999999999\n",
            b"22 size=99999999999999\n",
            b"12 size=1e3\n",
            b"9 size=\n",
            b"-5 size=1\n",
            b"0 size=1\n",
            b"3 size=1\n",
            b"99999 size=1\n",
            b"9" * 5000 + b" path=a\n",
            b"9" * 5000,
            b"path=a\n",
            b"22 GNU.sparse.major=1\n",
            b"25 GNU.sparse.size=99999\n",
            b"25 GNU.sparse.map=0,1,2,3\n",
            b"10 path=\xff\n",
        ],
    )
    def test_a_forged_extended_header_is_damage_and_no_other_error(self, record: bytes) -> None:
        data = b"".join([raw_header("x", len(record), b"x"), *tar.padded(record), packed({"a.png": b"p"})])
        with pytest.raises(DamageError, match=r"x\.tar: "):
            read(data)

    def test_an_extended_header_is_bounded(self) -> None:
        with pytest.raises(DamageError, match="an extended header after its beginning declares 1048577 bytes"):
            read(raw_header("x", (1 << 20) + 1, b"x") + bytes(10 * BLOCK))

    @settings(max_examples=300)
    @given(st.lists(st.tuples(st.integers(0, 511), st.integers(0, 255)), min_size=1, max_size=6))
    def test_a_forged_header_is_damage_or_data_and_no_other_error(self, edits: list[tuple[int, int]]) -> None:
        data = packed({"a.png": b"p" * 600, "a.cls": b"1"})
        block = bytearray(data[:BLOCK])
        for position, value in edits:
            block[position] = value
        with contextlib.suppress(DamageError):
            assert read(with_checksum(bytes(block)) + data[BLOCK:])[-1] == ("a.cls", b"1")

    @settings(max_examples=300)
    @given(st.binary(max_size=400))
    def test_a_random_extended_header_is_damage_or_data_and_no_other_error(self, record: bytes) -> None:
        data = b"".join([raw_header("x", len(record), b"x"), *tar.padded(record), packed({"a.png": b"p"})])
        with contextlib.suppress(DamageError):
            assert len(read(data)) == 1
