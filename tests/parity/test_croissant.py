"""`mlcroissant` finds no error in a set's croissant.json, and reads from the shards what it describes."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from synthaug.shards.reader import read_set
from tests.conftest import MakeShardSet, plan_of, write_curated_set, write_shard_set

OFFLINE = Path(__file__).parent.parent / "offline.py"
# mlcroissant unpacks archives into a cache under the hash of their names, which are the same in all sets: so this set
# has a cache of its own. Where that is, is decided at import; hence a process.
_READ = """
import hashlib, json, sys
import mlcroissant
import numpy as np

found = {}
for name in ("classes", "samples", "labels"):
    dataset = mlcroissant.Dataset(jsonld=sys.argv[1])  # anew: what one record set has read would spoil the next
    found[name] = [
        {
            key: value.decode() if isinstance(value, bytes)
            else hashlib.sha256(np.asarray(value).tobytes()).hexdigest() if key == "samples/image"
            else value
            for key, value in record.items()
        }
        for record in dataset.records(name)
    ]
found["metadata"] = dataset.metadata.to_json()
found["issues"] = sorted(dataset.metadata.ctx.issues.errors)
print(json.dumps(found))
"""
CLASS_NAMES = ("cat", "a/b.c ünï", "dog")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shard_set(
        tmp_path_factory.mktemp("croissant") / "set", class_names=CLASS_NAMES, per_class=5, shard_size=4
    )


@pytest.fixture(scope="module")
def found(made: Path) -> dict[str, Any]:
    done = run_offline(made, _READ)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def run_offline(made: Path, program: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", str(OFFLINE), "-", *words, str(made / "croissant.json")],
        input=program,
        env={**os.environ, "CROISSANT_CACHE": str(made.parent / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_validator_finds_no_error(made: Path, found: dict[str, Any]) -> None:
    assert found["issues"] == []
    program = "from mlcroissant.scripts.cli import main; main()"
    done = run_offline(made, program, "validate", "--jsonld")
    assert done.returncode == 0, done.stderr
    assert "Done." in done.stderr
    assert "not standard" not in done.stderr


def test_every_image_is_read_with_its_label(made: Path, found: dict[str, Any]) -> None:
    images, _ = read_set(made)
    pixels = [hashlib.sha256(image.permute(1, 2, 0).numpy().tobytes()).hexdigest() for image in images.images]
    keys = [f"{position // 4:06d}{position % 4:04d}" for position in range(15)]
    labels = images.labels.tolist()
    assert sorted(found["samples"], key=lambda record: record["samples/key"]) == [
        {"samples/key": key, "samples/image": image, "samples/label": label}
        for key, image, label in zip(keys, pixels, labels, strict=True)
    ]
    assert sorted(found["labels"], key=lambda record: record["labels/key"]) == [
        {"labels/key": key, "labels/label": label} for key, label in zip(keys, labels, strict=True)
    ]


def test_classes_stand_in_label_order(found: dict[str, Any]) -> None:
    assert found["classes"] == [
        {"classes/label": label, "classes/name": name} for label, name in enumerate(CLASS_NAMES)
    ]


def test_provenance_survives(made: Path, found: dict[str, Any]) -> None:
    plan = json.loads((made / "manifest.json").read_text())["plan"]
    metadata = found["metadata"]
    assert metadata["conformsTo"] == "http://mlcommons.org/croissant/1.1"
    assert metadata["prov:wasGeneratedBy"] == {
        "@type": "prov:Activity",
        "name": "none, 1 steps, guidance 1, seed 0",
        "prov:used": {
            "@type": "prov:Entity",
            "name": "test checkpoint",
            "identifier": f"sha256:{plan['generator']['checkpoint']}",
        },
    }
    assert metadata["prov:wasDerivedFrom"] == {
        "@type": "prov:Entity",
        "name": "imagefolder:elsewhere",
        "identifier": f"sha256:{plan['generator']['split']['train_fingerprint']}",
    }


def test_every_shard_is_listed_with_the_hash_it_has(made: Path, found: dict[str, Any]) -> None:
    listed = {entry["@id"]: entry for entry in found["metadata"]["distribution"] if entry["@type"] == "cr:FileObject"}
    shards = sorted(made.glob("*.tar"))
    assert list(listed) == [path.name for path in shards]
    for path in shards:
        assert listed[path.name]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert listed[path.name]["contentSize"] == f"{path.stat().st_size} B"


def test_a_curated_set_is_described_without_error_and_its_provenance_survives(made: Path, tmp_path: Path) -> None:
    once = write_curated_set(tmp_path / "once", made, [0, 2, 3, 6, 9])
    curated = write_curated_set(tmp_path / "twice", once, [0, 1, 4], ancestors=(plan_of().generator.split,))
    done = run_offline(curated, _READ)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["issues"] == []
    images, _ = read_set(curated)
    pixels = {hashlib.sha256(image.permute(1, 2, 0).numpy().tobytes()).hexdigest() for image in images.images}
    assert {record["samples/image"] for record in found["samples"]} == pixels
    assert len(found["classes"]) == 3
    described = json.loads((curated / "croissant.json").read_text())
    assert len(described["prov:wasGeneratedBy"]) == len(described["prov:wasDerivedFrom"]) == 3
    for name in ("prov:wasGeneratedBy", "prov:wasDerivedFrom"):
        assert found["metadata"][name] == described[name]


def test_ids_are_unique(make_shard_set: MakeShardSet) -> None:
    described = json.loads((make_shard_set(image_format="webp") / "croissant.json").read_text())
    ids = [entry["@id"] for entry in [*described["distribution"], *described["recordSet"]]]
    ids += [field["@id"] for records in described["recordSet"] for field in records["field"]]
    assert len(set(ids)) == len(ids)
    assert any(entry.get("encodingFormat") == "image/webp" for entry in described["distribution"])
