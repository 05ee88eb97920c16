"""Hugging Face's tools agree about a shard set: `datasets` on its samples, `huggingface_hub` on its card."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import yaml
from huggingface_hub import DatasetCard, DatasetCardData

from synthaug.shards.card import parquet_card, set_card
from synthaug.shards.manifest import Manifest
from synthaug.shards.reader import iterate_shard, read_set
from tests.conftest import MakeShardSet, plan_of, write_curated_set

# datasets and what it imports deprecate things of their own; nothing here is about that.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
OFFLINE = Path(__file__).parent.parent / "offline.py"
SIZES = ["n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B", "1B<n<10B"]
AWKWARD = ("a.b", "ünï çødé", "yes", "null", "- item: {x}", "0", "'quoted\"")


@pytest.fixture(autouse=True)
def _network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fails a test that asks for the network, also if it takes no for an answer."""
    monkeypatch.setattr(
        datasets.config, "HF_UPDATE_DOWNLOAD_COUNTS", False
    )  # each load asks s3.amazonaws.com otherwise
    monkeypatch.setenv("HF_UPDATE_DOWNLOAD_COUNTS", "0")
    asked: list[object] = []

    def refuse(*words: object, **_: object) -> None:
        asked.append(words)
        raise OSError("no network in tests")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    yield
    assert asked == []


@pytest.fixture
def made(make_shard_set: MakeShardSet) -> Path:
    return make_shard_set(class_names=AWKWARD, per_class=5, shard_size=8)


def load(made: Path, cache: Path, **options: Any) -> Any:
    return datasets.load_dataset(
        "webdataset", data_files=str(made / "train-*.tar"), split="train", cache_dir=str(cache), **options
    )


def expected_rows(made: Path) -> list[dict[str, Any]]:
    return [
        {"__key__": sample.key, "cls": sample.label, "json": json.loads(sample.description)}
        for path in sorted(made.glob("*.tar"))
        for sample in iterate_shard(path)
    ]


@pytest.mark.parametrize("is_streaming", [False, True])
@pytest.mark.parametrize("is_curated", [False, True])
def test_datasets_sees_every_sample_with_every_field(
    is_streaming: bool, is_curated: bool, made: Path, tmp_path: Path
) -> None:
    if is_curated:
        made = write_curated_set(tmp_path / "curated", made, [place for place in range(35) if place % 7 not in (0, 3)])
    rows = list(load(made, tmp_path / "cache", streaming=is_streaming))
    images, _ = read_set(made)
    assert [{name: row[name] for name in ("__key__", "cls", "json")} for row in rows] == expected_rows(made)
    for row, image in zip(rows, images.images, strict=True):
        assert np.array_equal(np.asarray(row["png"]), image.permute(1, 2, 0).numpy())


def test_datasets_sees_lossless_webp(make_shard_set: MakeShardSet, tmp_path: Path) -> None:
    made = make_shard_set(image_format="webp")
    images, _ = read_set(made)
    rows = load(made, tmp_path / "cache")
    assert np.array_equal(np.asarray(rows[5]["webp"]), images.images[5].permute(1, 2, 0).numpy())


@pytest.mark.parametrize("is_curated", [False, True])
def test_the_schema_is_fixed_and_nothing_is_null(is_curated: bool, made: Path, tmp_path: Path) -> None:
    if is_curated:
        made = write_curated_set(tmp_path / "curated", made, list(range(35)))
    table = load(made, tmp_path / "cache").data.table
    number, text = datasets.Value("int64"), datasets.Value("string")
    assert datasets.Features.from_arrow_schema(table.schema)["json"] == {
        "class": text,
        "label": number,
        "index": number,
        "seed": number,
        "model": text,
        "checkpoint": text,
        "sampler": text,
        "steps": number,
        "guidance": datasets.Value("float64"),
        "scores": {
            "label_confidence": datasets.Value("float64"),
            "nearest_train_distance": datasets.Value("float64"),
            "relative_train_distance": datasets.Value("float64"),
        },
    }
    flat = table.flatten().flatten()
    assert {name: flat[name].null_count for name in flat.column_names} == dict.fromkeys(flat.column_names, 0)
    assert len(flat) == 35


def test_no_key_has_the_dot_that_merges_samples(made: Path, tmp_path: Path) -> None:
    keys = [row["__key__"] for row in expected_rows(made)]
    assert len(set(keys)) == 35
    assert not any("." in key for key in keys)


def front_matter(text: str) -> dict[str, Any]:
    """The metadata as the Hub's own client reads it."""
    data = DatasetCard(text, ignore_metadata_errors=False).data
    assert isinstance(data, DatasetCardData)
    found = data.to_dict()
    assert found == yaml.safe_load(text.split("---\n")[1])
    return found


def test_the_card_is_valid_on_the_hub(made: Path) -> None:
    found = front_matter((made / "README.md").read_text(encoding="utf-8"))
    assert found["annotations_creators"] == ["machine-generated"]
    assert found["source_datasets"] == ["extended|other"]
    assert found["size_categories"] == ["n<1K"]
    assert found["task_categories"] == ["image-classification"]
    assert found["configs"] == [
        {"config_name": "default", "data_files": [{"split": "train", "path": "train-*.tar"}]},
    ]
    assert {"synthetic", "webdataset"} <= set(found["tags"])


def test_the_card_of_a_curated_set_is_valid_and_loads_it(made: Path, tmp_path: Path) -> None:
    curated = write_curated_set(tmp_path / "curated", made, [1, 8, 9, 30])
    found = front_matter((curated / "README.md").read_text(encoding="utf-8"))
    assert found == front_matter((made / "README.md").read_text(encoding="utf-8"))
    loaded = datasets.load_dataset(str(curated), split="train", cache_dir=str(tmp_path / "cache"))
    assert [row["json"]["scores"]["label_confidence"] for row in loaded] == [0.0, 0.125, 0.25, 0.375]


def test_the_configs_of_the_card_load_the_set(made: Path, tmp_path: Path) -> None:
    loaded = datasets.load_dataset(str(made), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(loaded) == 35
    assert loaded.column_names == ["png", "cls", "json", "__key__", "__url__"]


@pytest.mark.parametrize(
    ("source", "name"),
    [("digits", "other-digits"), ("cifar10:/data", "cifar10"), ("imagefolder:/a: b #c", "other")],
)
def test_the_card_names_the_source(source: str, name: str) -> None:
    plan = plan_of()
    generator = plan.generator.model_copy(update={"split": plan.generator.split.model_copy(update={"source": source})})
    manifest = manifest_of(plan.model_copy(update={"generator": generator}))
    found = front_matter(set_card(manifest))
    assert found["source_datasets"] == [f"extended|{name}"]
    assert found["pretty_name"] == f"Synthetic images after {source}"
    assert front_matter(parquet_card(manifest, "x", 8))["source_datasets"] == [f"extended|{name}"]


@pytest.mark.parametrize(("count", "size"), [(10 ** (place + 2), name) for place, name in enumerate(SIZES)])
def test_the_card_names_a_size_that_the_hub_knows(count: int, size: str) -> None:
    found = front_matter(parquet_card(None, "a: foreign #set", count))
    assert found["size_categories"] == [size]
    assert size in (DatasetCardData.__doc__ or "")
    assert found["pretty_name"] == "a: foreign #set"
    assert found["configs"][0]["data_files"] == [{"split": "train", "path": "data/train-*"}]


def manifest_of(plan: Any) -> Manifest:
    shards = [
        {
            "name": shard.file_name,
            "bytes": 1,
            "sha256": "0" * 64,
            "samples": len(shard),
            "class_counts": shard.class_counts(),
        }
        for shard in plan.shards()
    ]
    return Manifest(plan=plan, shards=shards)


def test_the_code_in_the_card_runs_in_the_folder_of_the_set(
    make_shard_set: MakeShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = "import os\n"
    for name, shard_size in (("several", 8), ("one", 100)):
        made = make_shard_set(name, per_class=5, shard_size=shard_size)
        blocks = (made / "README.md").read_text(encoding="utf-8").split("```python\n")[1:]
        codes = [block.split("```")[0] for block in blocks]
        assert [code.split("\n")[0] for code in codes] == ["import webdataset", "import datasets"]
        look = "samples = list(samples)\nprint(len(samples), samples[9]['cls'], samples[9]['png'].size)\n"
        program += f"os.chdir({str(made)!r})\n" + "".join(code + look for code in codes)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    command = [sys.executable, "-W", "ignore", str(OFFLINE), "-"]
    done = subprocess.run(command, input=program, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "10 1 (8, 8)\n" * 4), done.stderr


def test_the_code_in_the_card_of_an_export_runs(
    make_shard_set: MakeShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from synthaug.workflows.export import ExportConfig, export

    export(ExportConfig(folder=str(make_shard_set(class_names=AWKWARD)), to="parquet", out=str(tmp_path / "out")))
    text = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    front_matter(text)
    monkeypatch.chdir(tmp_path / "out")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    names: dict[str, Any] = {}
    exec(text.split("```python\n")[1].split("```")[0], names)
    assert names["samples"].features["label"].names == list(AWKWARD)
    assert len(names["samples"]) == 28
