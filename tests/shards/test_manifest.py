import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synthaug.core.errors import DamageError, InputError
from synthaug.core.folders import folder_at
from synthaug.core.storage import sha256_file
from synthaug.shards.manifest import MANIFEST_NAME, PLAN_NAME, Manifest, read_plan, write_plan
from tests.conftest import plan_of, write_curated_set
from tests.shards.archives import in_format_4


def edited(folder: Path, edit: Callable[[dict[str, Any]], object]) -> Path:
    """The folder, after `edit` changed the manifest's JSON in place."""
    path = folder / MANIFEST_NAME
    value = json.loads(path.read_text())
    edit(value)
    path.write_text(json.dumps(value))
    return folder


@pytest.fixture
def folder(make_shard_set) -> Path:
    return make_shard_set(per_class=4, shard_size=3)


def test_a_manifest_is_read_back_as_it_was_written(make_shard_set, tmp_path: Path) -> None:
    manifest = Manifest.read(make_shard_set(class_names=("Käfer", "狐")))
    for where in (tmp_path / "copy", "memory://test-manifest/copy"):
        manifest.write(folder_at(where))
        assert Manifest.read(where) == Manifest.read(folder_at(where)) == manifest
    assert manifest.plan.class_names == ("Käfer", "狐")


def test_it_counts_bytes_samples_and_classes_of_every_shard(folder: Path) -> None:
    manifest = Manifest.read(folder)
    assert manifest.sample_count == 8
    assert [(shard.name, shard.samples, shard.class_counts) for shard in manifest.shards] == [
        ("train-000000.tar", 3, (2, 1)),
        ("train-000001.tar", 3, (1, 2)),
        ("train-000002.tar", 2, (1, 1)),
    ]
    for shard in manifest.shards:
        assert shard.bytes == (folder / shard.name).stat().st_size
        assert shard.sha256 == sha256_file(folder / shard.name)


def test_an_unfinished_set_is_told_from_any_other_folder(folder: Path) -> None:
    (folder / MANIFEST_NAME).unlink()
    with pytest.raises(InputError, match=r"is unfinished.*run the same generate command again, or synthaug verify"):
        Manifest.read(folder)
    (folder / PLAN_NAME).unlink()
    with pytest.raises(InputError, match="no shard set at"):
        Manifest.read(folder)
    with pytest.raises(InputError, match="no shard set at memory://test-manifest/none"):
        Manifest.read("memory://test-manifest/none")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"format": 4}',
        b'{"format": 5}',
        b"[" * 100_000,
        b"1" * 10_000,
        b'{"format": 5, "plan": ' + b"[" * 100_000,
    ],
    ids=lambda text: repr(text[:24]),
)
def test_a_file_that_is_no_manifest_is_damage_and_no_other_error(folder: Path, text: bytes) -> None:
    (folder / MANIFEST_NAME).write_bytes(text)
    with pytest.raises(DamageError, match=r"manifest\.json is not a manifest: "):
        Manifest.read(folder)


@pytest.mark.parametrize("version", [1, 2, 3, 6, None, "5"])
def test_another_format_version_is_refused_with_a_way_on(folder: Path, version: object) -> None:
    edited(folder, lambda value: value.update(format=version))
    with pytest.raises(InputError, match=rf"has format {version!r}, this version reads 4 and 5; .*wds:DIR"):
        Manifest.read(folder)


@pytest.mark.parametrize("name", ["../train-000000.tar", "/etc/passwd", "a/b.tar", "x.tar.gz", ".tar", "x.tar\n", "x"])
def test_a_shard_name_cannot_leave_the_folder(folder: Path, name: str) -> None:
    edited(folder, lambda value: value["shards"][1].update(name=name))
    with pytest.raises(DamageError, match=r"is not a manifest: shards\.1\.name"):
        Manifest.read(folder)


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda value: value["shards"].pop(), "the plan has 3 shards, listed are 2"),
        (lambda value: value["shards"].append(value["shards"][0]), "the plan has 3 shards, listed are 4"),
        (lambda value: value["shards"].reverse(), "is not the plan's train-000000.tar"),
        (lambda value: value["shards"][0].update(samples=2), "train-000000.tar with 2 samples is not the plan's"),
        (lambda value: value["shards"][0].update(samples=0), "shards.0.samples"),
        (lambda value: value["shards"][0].update(bytes=-1), "shards.0.bytes"),
        (lambda value: value["shards"][0].update(sha256="0"), "shards.0.sha256"),
        (lambda value: value["shards"][0].update(class_counts=[1, 2]), "class counts of train-000000.tar"),
        (lambda value: value["shards"][0].update(class_counts=[3]), "class counts of train-000000.tar"),
        (lambda value: value["plan"].update(per_class=5), "the plan has 4 shards, listed are 3"),
        (lambda value: value["plan"].update(shard_size=4), "the plan has 2 shards, listed are 3"),
        (lambda value: value["plan"].update(classes=[0]), "the plan has 2 shards, listed are 3"),
        (lambda value: value["plan"].update(class_names=["cat"]), "classes must be labels of class_names"),
        (lambda value: value["plan"].update(per_class=10**30), "at most 1000000 shards"),
        (lambda value: value.update(surprise=1), "surprise"),
        (lambda value: value["plan"].update(kept="gA=="), "kept is needed with curations"),
        (lambda value: value["plan"].update(curations=[{}]), "plan.curations.0"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_damage(folder: Path, edit: Callable[..., object], reason: str) -> None:
    edited(folder, edit)
    with pytest.raises(DamageError, match=f"is not a manifest: .*{reason}"):
        Manifest.read(folder)


def test_a_set_of_format_4_is_read_as_the_same_plan(make_shard_set) -> None:
    now = Manifest.read(make_shard_set("now"))
    former = Manifest.read(in_format_4(make_shard_set("former")))
    assert (former.format, now.format) == (4, 5)
    assert former.plan == now.plan


def test_a_curated_set_of_format_4_is_a_contradiction(make_shard_set, tmp_path: Path) -> None:
    curated = write_curated_set(tmp_path / "curated", make_shard_set(), [1, 2, 5])
    assert Manifest.read(curated).sample_count == 3
    edited(curated, lambda value: value.update(format=4))
    with pytest.raises(DamageError, match="format 4 has no curated sets"):
        Manifest.read(curated)


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda value: value["plan"].update(kept="AA=="), "at least one sample"),
        (lambda value: value["plan"].update(kept="wA=="), "is not the plan's train-000000.tar"),
        (lambda value: value["plan"].update(kept="4A=="), "class counts of train-000000.tar"),
        (lambda value: value["plan"].update(kept="ZB=="), "a bit for each of 8 samples, and nothing else"),
        (lambda value: value["plan"].update(kept="ZAAA"), "a bit for each of 8 samples"),
        (lambda value: value["plan"].update(per_class=5), "a bit for each of 10 samples"),
        (lambda value: value["plan"].update(kept=None), "kept is needed with curations"),
    ],
)
def test_a_curated_set_that_contradicts_itself_is_damage(
    make_shard_set, tmp_path: Path, edit: Callable[..., object], reason: str
) -> None:
    curated = write_curated_set(tmp_path / "curated", make_shard_set(per_class=4, shard_size=3), [1, 2, 5])
    edited(curated, edit)
    with pytest.raises(DamageError, match=f"is not a manifest: .*{reason}"):
        Manifest.read(curated)


def test_a_plan_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    plan = plan_of(class_names=("Käfer", "a\nb"))
    for where in (tmp_path / "copy", "memory://test-manifest/plan"):
        write_plan(folder_at(where), plan)
        assert read_plan(folder_at(where)) == plan


def test_a_folder_without_a_plan_has_none(tmp_path: Path) -> None:
    assert read_plan(folder_at(tmp_path)) is None
    assert read_plan(folder_at(tmp_path / "none")) is None


@pytest.mark.parametrize(
    "text", [b"", b"\xff", b"[" * 100_000, b'{"generator": 1}', b"null"], ids=lambda text: repr(text[:24])
)
def test_a_file_that_is_no_plan_is_damage(tmp_path: Path, text: bytes) -> None:
    (tmp_path / PLAN_NAME).write_bytes(text)
    with pytest.raises(DamageError, match=r"plan\.json is not a plan: "):
        read_plan(folder_at(tmp_path))
