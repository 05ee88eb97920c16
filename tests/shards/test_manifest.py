import json
from pathlib import Path

import pytest

from synthaug.core.errors import InputError
from synthaug.core.storage import sha256_file
from synthaug.shards.manifest import MANIFEST_NAME, PLAN_NAME, Manifest, read_plan, write_plan


def edited(folder: Path, edit) -> Path:
    """The folder, after `edit` changed the manifest's JSON in place."""
    path = folder / MANIFEST_NAME
    value = json.loads(path.read_text())
    edit(value)
    path.write_text(json.dumps(value))
    return folder


def test_a_manifest_is_read_back_as_it_was_written(make_shard_set, tmp_path: Path) -> None:
    manifest = Manifest.read(make_shard_set(class_names=("Käfer", "狐")))
    (tmp_path / "copy").mkdir()
    manifest.write(tmp_path / "copy")
    assert Manifest.read(tmp_path / "copy") == manifest
    assert manifest.plan.class_names == ("Käfer", "狐")


def test_it_counts_bytes_samples_and_classes_of_every_shard(make_shard_set) -> None:
    folder = make_shard_set(per_class=4, shard_size=3)
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


def test_a_missing_folder_is_named_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=f"no such folder: {tmp_path}/none"):
        Manifest.read(Path("none"))


def test_an_unfinished_set_is_told_from_any_other_folder(make_shard_set, tmp_path: Path) -> None:
    folder = make_shard_set()
    (folder / MANIFEST_NAME).unlink()
    with pytest.raises(InputError, match=r"has no manifest\.json: run the same generate command again"):
        Manifest.read(folder)
    (folder / PLAN_NAME).unlink()
    with pytest.raises(InputError, match=r"has no manifest\.json: give a shard set"):
        Manifest.read(folder)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff\xfe", b'{"format": 1}'])
def test_a_file_that_is_no_manifest_is_an_input_error(make_shard_set, text: bytes) -> None:
    folder = make_shard_set()
    (folder / MANIFEST_NAME).write_bytes(text)
    with pytest.raises(InputError, match=r"manifest\.json is not a manifest: "):
        Manifest.read(folder)


def test_another_format_version_is_refused(make_shard_set) -> None:
    folder = edited(make_shard_set(), lambda value: value.update(format=2))
    with pytest.raises(InputError, match="is not a manifest: format"):
        Manifest.read(folder)


@pytest.mark.parametrize("name", ["../train-000000.tar", "/etc/passwd", "a/b.tar", "x.tar.gz", ".tar", "x.tar\n", "x"])
def test_a_shard_name_cannot_leave_the_folder(make_shard_set, name: str) -> None:
    folder = edited(make_shard_set(), lambda value: value["shards"][1].update(name=name))
    with pytest.raises(InputError, match=r"is not a manifest: shards\.1\.name"):
        Manifest.read(folder)


@pytest.mark.parametrize("class_counts", [[3], [1, 1, 1], [2, 2]])
def test_class_counts_that_do_not_add_up_are_refused(make_shard_set, class_counts: list[int]) -> None:
    folder = edited(make_shard_set(), lambda value: value["shards"][0].update(class_counts=class_counts))
    with pytest.raises(InputError, match=r"the class counts of train-000000\.tar do not fit"):
        Manifest.read(folder)


def test_a_plan_is_read_back_as_it_was_written(make_shard_set, tmp_path: Path) -> None:
    plan = Manifest.read(make_shard_set()).plan
    (tmp_path / "copy").mkdir()
    write_plan(tmp_path / "copy", plan)
    assert read_plan(tmp_path / "copy") == plan


def test_a_folder_without_a_plan_has_none(tmp_path: Path) -> None:
    assert read_plan(tmp_path) is None


def test_a_file_that_is_no_plan_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / PLAN_NAME).write_text('{"model": 1}')
    with pytest.raises(InputError, match=r"plan\.json is not a plan: model"):
        read_plan(tmp_path)
