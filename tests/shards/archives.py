"""Archives for the tests, made with Python's own tarfile."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

from synthaug.shards import tar

Entry = tuple[str | tarfile.TarInfo, bytes]


def tar_of(path: Path, entries: list[Entry], *, mode: str = "w", format: int = tarfile.USTAR_FORMAT) -> Path:
    """A tar of plain files, or of whatever the given headers say."""
    with tarfile.open(path, mode, format=format) as archive:
        for name, data in entries:
            member = tarfile.TarInfo(name) if isinstance(name, str) else name
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    """The header of a member that is not a regular file."""
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def members_of(path: Path) -> dict[str, bytes]:
    """Name and content of each member, as tarfile reads them."""
    with tarfile.open(path) as archive:
        found = [(member.name, archive.extractfile(member)) for member in archive.getmembers()]
        return {name: b"" if file is None else file.read() for name, file in found}


def with_checksum(block: bytes) -> bytes:
    """A header block with the checksum it should have."""
    checksum = sum(block[:148]) + 8 * ord(" ") + sum(block[156:])
    return block[:148] + b"%06o\0 " % checksum + block[156:]


def raw_header(name: str, size: int | bytes, kind: bytes = b"0") -> bytes:
    """A header that tarfile would not write."""
    member = tarfile.TarInfo(name)
    member.type = kind
    block = bytearray(member.tobuf(tarfile.USTAR_FORMAT))
    block[124:136] = b"%011o\0" % size if isinstance(size, int) else size
    return with_checksum(bytes(block))


def in_format_4(folder: Path) -> Path:
    """A drawn set, rewritten as versions wrote it that knew no curated sets and one score less."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for record in manifest["shards"]:
        path = folder / record["name"]
        parts = []
        for name, data in members_of(path).items():
            former = data.replace(b', "relative_train_distance": -1.0', b"")
            parts += [tar.header(name, len(former)), *tar.padded(former)]
        path.write_bytes(b"".join([*parts, tar.END]))
        record |= {"bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    del manifest["plan"]["kept"], manifest["plan"]["curations"]
    manifest["format"] = 4
    for name, value in (("manifest.json", manifest), ("plan.json", manifest["plan"])):
        (folder / name).write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return folder
