"""The plain tar format: headers we write, members we accept. Only regular files with bounded sizes are ever read."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import NamedTuple

from synthaug.core.errors import DamageError
from synthaug.core.folders import Readable

BLOCK = 512
#: Two empty blocks end an archive.
END = bytes(2 * BLOCK)
MAX_MEMBER_BYTES = 64 * 1024 * 1024
_MAX_EXTENDED_HEADER = 64 * 1024
_EMPTY = bytes(BLOCK)


class Member(NamedTuple):
    """One file of an archive.

    Attributes:
        name: Its path in the archive.
        data: Its content.
        offset: Where in the archive the content begins, in bytes.
    """

    name: str
    data: bytes
    offset: int


def header(name: str, size: int) -> bytes:
    """The ustar header of a regular file with mode 0644, owner 0:0 and time 0.

    Args:
        name: At most 100 bytes.
        size: Bytes of the file.
    """
    block = bytearray(_TEMPLATE)
    encoded = name.encode()
    block[: len(encoded)] = encoded
    block[124:135] = b"%011o" % size
    block[148:156] = b"%06o\0 " % (sum(block) + 8 * ord(" "))
    return bytes(block)


def _template() -> bytes:
    member = tarfile.TarInfo("")
    member.mode, member.uname, member.gname = 0o644, "", ""
    block = bytearray(member.tobuf(tarfile.USTAR_FORMAT))
    block[148:156] = bytes(8)  # the checksum
    return bytes(block)


_TEMPLATE = _template()


def padded(data: bytes) -> Iterator[bytes]:
    """The content of a member, filled up to whole blocks."""
    yield data
    if rest := -len(data) % BLOCK:
        yield _EMPTY[:rest]


def iterate_members(file: Readable, name: str) -> Iterator[Member]:
    """Gives the regular files of an uncompressed tar in order, each only when it is whole.

    Args:
        file: The archive, at its beginning.
        name: What to call it in an error.

    Raises:
        DamageError: If the archive is cut short, a header is damaged, a member is anything but a regular file (a link,
            a device, a folder), or declares more than `MAX_MEMBER_BYTES`.
    """
    last = "its beginning"
    override: dict[str, str] = {}
    position = 0
    while True:
        block = file.read(BLOCK)
        position += BLOCK
        if block == _EMPTY:
            if override:
                raise DamageError(f"{name}: the member of the extended header after {last} is missing")
            _check_end(file, name, last)
            return
        if len(block) < BLOCK:
            raise DamageError(f"{name}: cut short after {last}, the end-of-archive marker is missing")
        if not _has_checksum(block):
            raise DamageError(f"{name}: damaged header after {last}")
        kind, size = block[156:157], _octal(block[124:136], name, last)
        if kind in b"xgL":
            data = _content(file, size, _MAX_EXTENDED_HEADER, name, f"an extended header after {last}")
            position += size + -size % BLOCK
            if kind == b"x":
                override |= _extended(data, name, last)
            elif kind == b"L":
                override["path"] = _text(data.rstrip(b"\0"), name, last)
            continue
        path = override.pop("path", None) or _path(block, name, last)
        if kind not in b"0\0":
            raise DamageError(f"{name}: {path!r} is not a regular file (type {kind!r}), which is refused")
        size = int(override.pop("size", size))
        data = _content(file, size, MAX_MEMBER_BYTES, name, repr(path))
        override = {}
        yield Member(path, data, position)
        position += size + -size % BLOCK
        last = repr(path)


def _content(file: Readable, size: int, limit: int, name: str, what: str) -> bytes:
    if size > limit:
        raise DamageError(f"{name}: {what} declares {size} bytes, more than {limit}")
    data = file.read(size)
    rest = -size % BLOCK
    if len(data) != size or len(file.read(rest)) != rest:
        raise DamageError(f"{name}: cut short in {what}")
    return data


def _check_end(file: Readable, name: str, last: str) -> None:
    rest = file.read(BLOCK)
    if len(rest) < BLOCK:
        raise DamageError(f"{name}: cut short after {last}, the end-of-archive marker is missing")
    while rest:
        if rest.strip(b"\0"):
            raise DamageError(f"{name}: something follows the end of the archive after {last}")
        rest = file.read(1 << 16)


def _has_checksum(block: bytes) -> bool:
    found = sum(block) - sum(block[148:156]) + 8 * ord(" ")
    try:
        return int(block[148:156].strip(b"\0 "), 8) == found
    except ValueError:
        return False


def _octal(field: bytes, name: str, last: str) -> int:
    if field[0] & 0x80:  # GNU's binary form, for sizes of 8 GiB and more; huge if it means a negative number
        return int.from_bytes(field, "big") ^ 0x80 << 88
    digits = field.strip(b"\0 ") or b"0"
    if digits.strip(b"01234567"):
        raise DamageError(f"{name}: damaged header after {last}")
    return int(digits, 8)


def _path(block: bytes, name: str, last: str) -> str:
    path = _text(block[:100].partition(b"\0")[0], name, last)
    prefix = _text(block[345:500].partition(b"\0")[0], name, last) if block[257:263] == b"ustar\0" else ""
    return f"{prefix}/{path}" if prefix else path


def _text(raw: bytes, name: str, last: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise DamageError(f"{name}: a member after {last} has a name that is not UTF-8") from error


def _extended(data: bytes, name: str, last: str) -> dict[str, str]:
    """The records `LENGTH KEY=VALUE` of a pax header that matter here: path and size."""
    found: dict[str, str] = {}
    start = 0
    while start < len(data):
        length, _, _ = data[start : start + 10].partition(b" ")
        if not (length.isdigit() and len(length) < 10 and len(length) + 2 < int(length) <= len(data) - start):
            raise DamageError(f"{name}: damaged extended header after {last}")
        key, _, value = data[start + len(length) + 1 : start + int(length) - 1].partition(b"=")
        start += int(length)
        if key == b"size" and not (value.isdigit() and len(value) < 20):
            raise DamageError(f"{name}: damaged extended header after {last}")
        if key in (b"path", b"size"):
            found[key.decode()] = _text(value, name, last)
        elif key.startswith(b"GNU.sparse"):
            raise DamageError(f"{name}: the sparse file after {last} is refused")
    return found
