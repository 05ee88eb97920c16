"""Archives and names made to do harm: all they can do is to be refused."""

import os
import pickle
import re
import struct
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synthaug.core.errors import DamageError, SynthaugError
from synthaug.data.sources import load_source
from synthaug.shards.dataset import ShardDataset
from synthaug.shards.find import ShardFile
from synthaug.shards.reader import Damage, iterate_shard, read_shards
from synthaug.shards.tar import END, padded
from tests.shards.archives import Entry, raw_header, special, tar_of

pytestmark = pytest.mark.usefixtures("harm")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_with(*chunks: bytes, width: int = 8, height: int = 8) -> bytes:
    """A PNG of `width` x `height` grey pixels according to its header, with some more chunks before eight rows."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    rows = chunk(b"IDAT", zlib.compress((b"\0" + bytes(8)) * 8))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + rows + chunk(b"IEND", b"")


class Evil:
    """Touches a file when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("ran"),)


def refused(path: Path) -> str:
    """What every way of reading a shard says of it; the samples before the harm are whole, and there is no other."""
    with pytest.raises(DamageError, match=path.name) as caught:
        read_shards([ShardFile.at(path)], name="evil")
    with pytest.raises(SynthaugError):
        load_source(f"wds:{path}")
    with pytest.raises(SynthaugError):
        list(ShardDataset(path))
    damage = Damage("skip")
    assert [sample.key for sample in iterate_shard(path, damage)] in ([], ["a"], ["a", "z"])
    assert not (path.parent / "ran").exists()
    return str(caught.value)


@pytest.mark.parametrize(
    "harmful",
    [
        lambda: Path("/etc/passwd").read_bytes(),
        lambda: os.system("true"),
        lambda: pickle.loads(pickle.dumps(Evil())),
        lambda: Path("../none").unlink(missing_ok=True),
    ],
)
def test_the_watch_notices_what_must_not_happen(harmful: Callable[[], object], tmp_path: Path, harm: list[str]) -> None:
    harmful()
    assert harm
    harm.clear()


class TestMembers:
    @pytest.mark.parametrize("suffix", ["pkl", "pickle", "pyd", "pth", "npy", "npz", "pt", "ten", "mp", "cbor"])
    def test_a_pickle_is_never_loaded(self, tmp_path: Path, png: bytes, suffix: str) -> None:
        entries: list[Entry] = [("a.png", png), ("a.cls", b"0"), (f"a.{suffix}", pickle.dumps(Evil()))]
        assert f"unexpected member 'a.{suffix}'" in refused(tar_of(tmp_path / "x.tar", entries))

    @pytest.mark.parametrize("suffix", ["png", "webp", "jpg", "cls", "json"])
    def test_a_pickle_under_an_allowed_name_is_just_bytes(self, tmp_path: Path, png: bytes, suffix: str) -> None:
        contents = {"png": png, "cls": b"0"} | {suffix: pickle.dumps(Evil())}
        path = tar_of(tmp_path / "x.tar", [(f"a.{name}", data) for name, data in contents.items()])
        if suffix == "json":  # carried along as bytes, never interpreted by the reader
            assert len(read_shards([ShardFile.at(path)], name="x")) == 1
        else:
            refused(path)
        assert not (tmp_path / "ran").exists()

    @pytest.mark.parametrize(
        "name",
        [
            "../a.png",
            "../../../../etc/cron.d/a.png",
            "/tmp/a.png",
            "sub/a.png",
            "..png",
            ".png",
            "a",
            "a.b.png",
            "a.png.gz",
            "..\\a.png",
            "C:\\a.png",
            "a.png\n",
            "a.PNG",
        ],
    )
    def test_a_name_with_a_path_or_another_suffix_is_refused(self, tmp_path: Path, png: bytes, name: str) -> None:
        for format in (tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
            entries: list[Entry] = [("a.png", png), ("a.cls", b"0"), (name, png)]
            assert "unexpected member" in refused(tar_of(tmp_path / "x.tar", entries, format=format))
        assert list(tmp_path.rglob("*")) == [tmp_path / "x.tar"]

    @pytest.mark.parametrize("name", ["../../a.png", "/tmp/a.png", "a" * 3000 + "/a.png"])
    def test_a_path_in_a_pax_record_or_long_name_is_refused(self, tmp_path: Path, png: bytes, name: str) -> None:
        record = b" path=%s\n" % name.encode()
        length = next(n for n in range(len(record), len(record) + 9) if len(str(n)) + len(record) == n)
        pax, gnu = str(length).encode() + record, name.encode() + b"\0"
        for kind, data in ((b"x", pax), (b"L", gnu)):
            parts = [raw_header("x", len(data), kind), *padded(data), raw_header("a.png", len(png)), *padded(png), END]
            path = tmp_path / "x.tar"
            path.write_bytes(b"".join(parts))
            assert "unexpected member" in refused(path)

    @pytest.mark.parametrize(
        "kind",
        [
            tarfile.SYMTYPE,
            tarfile.LNKTYPE,
            tarfile.CHRTYPE,
            tarfile.BLKTYPE,
            tarfile.FIFOTYPE,
            tarfile.DIRTYPE,
            tarfile.CONTTYPE,
            tarfile.GNUTYPE_LONGLINK,
            tarfile.GNUTYPE_SPARSE,
            b"V",
            b"M",
            b"?",
        ],
    )
    def test_what_is_no_regular_file_is_refused(self, tmp_path: Path, png: bytes, kind: bytes) -> None:
        entries: list[Entry] = [("a.png", png), ("a.cls", b"0"), (special("b.png", kind, "/etc/passwd"), b"")]
        for format in (tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT):
            path = tar_of(tmp_path / "x.tar", entries, format=format)
            assert re.search("'b.png/?' is not a regular file", refused(path))

    @pytest.mark.parametrize(
        ("kind", "size"),
        [
            (b"0", 10_000_000_000 % 8**11),
            (b"0", b"\x80" + (10_000_000_000).to_bytes(11, "big")),
            (b"0", b"\x80" + b"\xff" * 11),
            (b"0", b"\xff" * 12),
            (b"x", b"\x80" + (10_000_000_000).to_bytes(11, "big")),
            (b"L", 7 * 8**10),
        ],
    )
    def test_a_member_that_declares_too_much_is_refused_before_it_is_read(
        self, tmp_path: Path, kind: bytes, size: int | bytes
    ) -> None:
        path = tmp_path / "x.tar"
        path.write_bytes(raw_header("a.png", size, kind) + bytes(20 * 512))
        assert "bytes, more than" in refused(path)

    @pytest.mark.parametrize(
        "record", [b"26 GNU.sparse.realsize=99\n", b"22 GNU.sparse.major=1\n", b"11 size=-1\n", b"20 size=9999999999\n"]
    )
    def test_a_sparse_or_absurd_extended_header_is_refused(self, tmp_path: Path, png: bytes, record: bytes) -> None:
        path = tmp_path / "x.tar"
        after = [raw_header("a.png", len(png)), *padded(png), END]
        path.write_bytes(b"".join([raw_header("x", len(record), b"x"), *padded(record), *after]))
        assert str(path) in refused(path)

    def test_an_extended_header_without_its_member_is_damage(self, tmp_path: Path) -> None:
        record = b"13 path=a.png"[:12] + b"\n"
        path = tmp_path / "x.tar"
        path.write_bytes(b"".join([raw_header("x", len(record), b"x"), *padded(record), END]))
        assert "the member of the extended header" in refused(path)

    def test_a_header_of_countless_records_is_refused_or_read_at_once(self, tmp_path: Path, png: bytes) -> None:
        records = b"4 a\n" * (1 << 18)
        path = tmp_path / "x.tar"
        path.write_bytes(b"".join([raw_header("x", len(records), b"x"), *padded(records), END]))
        assert "bytes, more than" in refused(path)


class TestImages:
    @pytest.mark.parametrize(("width", "height"), [(60_000, 60_000), (2**31 - 1, 2**31 - 1), (9_000, 9_000)])
    def test_an_image_that_claims_too_many_pixels_is_refused(self, tmp_path: Path, width: int, height: int) -> None:
        bomb = png_with(width=width, height=height)
        assert "sample a" in refused(tar_of(tmp_path / "x.tar", [("a.png", bomb), ("a.cls", b"0")]))

    def test_a_text_that_swells_is_refused(self, tmp_path: Path) -> None:
        swelling = zlib.compress(bytes(50 * 1024 * 1024), 9)
        for kind, start in ((b"zTXt", b"Comment\0\0"), (b"iTXt", b"Comment\0\1\0\0\0"), (b"iCCP", b"icc\0\0")):
            bomb = png_with(chunk(kind, start + swelling))
            assert "sample a" in refused(tar_of(tmp_path / "x.tar", [("a.png", bomb), ("a.cls", b"0")]))

    def test_pixels_that_swell_give_no_more_than_the_header_says(self, tmp_path: Path) -> None:
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0))
        rows = chunk(b"IDAT", zlib.compress(bytes(50 * 1024 * 1024), 9))
        bomb = b"\x89PNG\r\n\x1a\n" + header + rows + chunk(b"IEND", b"")
        path = tar_of(tmp_path / "x.tar", [("a.png", bomb), ("a.cls", b"0")])
        assert read_shards([ShardFile.at(path)], name="x").images.shape == (1, 1, 8, 8)

    @pytest.mark.parametrize(
        "data",
        [
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n",
            b"P6 8 8 255 " + bytes(192),
            b"GIF89a\x08\x00\x08\x00\x00\x00\x00;",
            b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
            b"II*\0\x08\0\0\0",
        ],
    )
    def test_other_formats_are_not_tried(self, tmp_path: Path, data: bytes) -> None:
        path = tar_of(tmp_path / "x.tar", [("a.png", data), ("a.cls", b"0")])
        assert "not a readable PNG/WEBP/JPEG image" in refused(path)
