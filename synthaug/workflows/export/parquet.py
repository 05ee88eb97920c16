"""Writes the samples of a shard set as Parquet tables that Hugging Face `datasets` and its Hub understand."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthaug.core.console import log, progress
from synthaug.core.errors import DamageError, InputError
from synthaug.core.storage import write_text
from synthaug.shards.card import parquet_card
from synthaug.shards.curation import NOT_MEASURED
from synthaug.shards.find import ShardFile
from synthaug.shards.reader import Damage, ShardSample, iterate_shard
from synthaug.workflows.export.stream import ShardStream

#: The score that sets of format 4 did not know yet.
_LATER_SCORE = "relative_train_distance"
_SCORES = dict.fromkeys(("label_confidence", "nearest_train_distance", _LATER_SCORE), "float64")
#: Fields of a sample's JSON that become columns, with their types.
FIELDS: Mapping[str, str | dict[str, str]] = {
    "class": "string",
    "index": "int64",
    "seed": "int64",
    "model": "string",
    "checkpoint": "string",
    "sampler": "string",
    "steps": "int64",
    "guidance": "float64",
    "scores": _SCORES,
}
#: A row group is written, and forgotten, at so many rows or bytes of images.
_ROWS, _BYTES = 1000, 64 * 1024 * 1024
#: JSON can hold halves of characters, UTF-8 cannot.
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class _Table:
    """What all files of an export have in common.

    Attributes:
        class_names: In label order.
        fields: Names of the fields taken from the JSON.
        is_strict: Whether every sample must have all of them.
    """

    class_names: tuple[str, ...]
    fields: tuple[str, ...]
    is_strict: bool

    def schema(self) -> Any:
        """The Arrow schema, with the features as `datasets` keeps them."""
        import pyarrow as pa

        columns = {
            "image": pa.struct({"bytes": pa.binary(), "path": pa.string()}),
            "label": pa.int64(),
            "key": pa.string(),
            **{name: _arrow_type(FIELDS[name]) for name in self.fields},
        }
        features = {
            "image": {"_type": "Image"},
            "label": {"names": list(self.class_names), "_type": "ClassLabel"},
            "key": _feature("string"),
            **{name: _feature(FIELDS[name]) for name in self.fields},
        }
        metadata = {"huggingface": json.dumps({"info": {"features": features}}, ensure_ascii=False)}
        return pa.schema(list(columns.items()), metadata=metadata)

    def row(self, sample: ShardSample, shard: ShardFile) -> dict[str, Any]:
        """The row of one sample.

        Raises:
            DamageError: If its JSON is damaged or lacks a field it must have.
        """
        found = parse_fields(sample, shard)
        values = {name: found[name] for name in self.fields if name in found and _has_type(found[name], FIELDS[name])}
        if self.is_strict and (lost := [name for name in self.fields if name not in values]):
            raise DamageError(f"{shard}: the JSON of sample {sample.key} has no proper {', '.join(lost)}")
        image = {"bytes": sample.image, "path": f"{sample.key}.{sample.suffix}"}
        return {"image": image, "label": sample.label, "key": sample.key, **values}


def write_parquet(stream: ShardStream, root: Path) -> Counter[int]:
    """Writes `data/train-NNNNN-of-NNNNN.parquet`, one file for each shard, and the dataset card.

    Args:
        stream: The set.
        root: An empty folder.

    Returns:
        Images per label.

    Raises:
        InputError: If pyarrow is not installed.
    """
    try:
        from pyarrow.parquet import ParquetWriter
    except ImportError as error:
        raise InputError(f"--to parquet needs another package: pip install 'synthaug[parquet]' ({error})") from error
    table = _table_of(stream)
    schema = table.schema()
    counts: Counter[int] = Counter()
    data = root / "data"
    data.mkdir()
    with progress("exporting", len(stream.shards)) as advance:
        for number in range(len(stream.shards)):
            path = data / f"train-{number:05d}-of-{len(stream.shards):05d}.parquet"
            with ParquetWriter(path, schema) as writer:
                counts += _write_shard(stream, number, table, writer)
            advance(number + 1)
    write_text(root / "README.md", parquet_card(stream.manifest, Path(stream.name).name, counts.total()))
    return counts


def _write_shard(stream: ShardStream, number: int, table: _Table, writer: Any) -> Counter[int]:
    import pyarrow as pa

    shard, counts = stream.shards[number], Counter[int]()
    rows: list[dict[str, Any]] = []
    size = 0
    for sample in stream.samples(number):
        try:
            rows.append(table.row(sample, shard))
        except DamageError as error:
            stream.damage.found(error)
            continue
        counts[sample.label] += 1
        size += len(sample.image)
        if len(rows) == _ROWS or size > _BYTES:
            writer.write_table(pa.Table.from_pylist(rows, writer.schema))
            rows, size = [], 0
    if rows:
        writer.write_table(pa.Table.from_pylist(rows, writer.schema))
    return counts


def _table_of(stream: ShardStream) -> _Table:
    """The columns: known of a set with a manifest, looked for in the shards of others."""
    if stream.manifest is not None:
        return _Table(stream.manifest.plan.class_names, tuple(FIELDS), is_strict=True)
    damage = Damage(stream.damage.policy)  # what is found here will be found again
    last_label, present, odd = -1, set[str](), set[str]()
    for shard in stream.shards:
        for sample in iterate_shard(shard, damage, classes=stream.classes):
            last_label = max(last_label, sample.label)
            try:
                found = parse_fields(sample, shard)
            except DamageError as error:
                damage.found(error)
                continue
            for name in FIELDS.keys() & found.keys():
                (present if _has_type(found[name], FIELDS[name]) else odd).add(name)
    if odd:
        log(f"warning: {stream.name}: JSON fields of other types than expected are left out: {', '.join(sorted(odd))}")
    names = tuple(stream.class_name(label) for label in range(last_label + 1))
    return _Table(names, tuple(name for name in FIELDS if name in present - odd), is_strict=False)


def parse_fields(sample: ShardSample, shard: ShardFile) -> dict[str, Any]:
    """The JSON object of a sample, an empty one if it has none; scores of format 4 are completed.

    Raises:
        DamageError: If it is not a JSON object.
    """
    try:
        value = json.loads(sample.description or b"{}")
    except (ValueError, RecursionError) as error:
        raise DamageError(f"{shard}: the JSON of sample {sample.key} is damaged ({error})") from error
    if not isinstance(value, dict):
        raise DamageError(f"{shard}: the JSON of sample {sample.key} is not an object")
    scores = value.get("scores")
    if isinstance(scores, dict) and _SCORES.keys() - scores.keys() == {_LATER_SCORE}:
        scores[_LATER_SCORE] = NOT_MEASURED
    return value


def _has_type(value: Any, kind: str | dict[str, str]) -> bool:
    if isinstance(kind, dict):
        return isinstance(value, dict) and all(_has_type(value.get(name), part) for name, part in kind.items())
    if kind == "string":
        return isinstance(value, str) and not _LONE_SURROGATE.search(value)
    if isinstance(value, bool):
        return False
    if kind == "int64":
        return isinstance(value, int) and -(2**63) <= value < 2**63
    return isinstance(value, float) or (isinstance(value, int) and abs(value) <= 2**53)


def _arrow_type(kind: str | dict[str, str]) -> Any:
    import pyarrow as pa

    if isinstance(kind, dict):
        return pa.struct({name: _arrow_type(part) for name, part in kind.items()})
    return {"string": pa.string(), "int64": pa.int64(), "float64": pa.float64()}[kind]


def _feature(kind: str | dict[str, str]) -> dict[str, Any]:
    if isinstance(kind, dict):
        return {name: _feature(part) for name, part in kind.items()}
    return {"dtype": kind, "_type": "Value"}
