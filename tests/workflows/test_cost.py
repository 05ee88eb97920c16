"""What drawing a set took is noted beside it, and is no part of it."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest

from synthaug.core.errors import InputError
from synthaug.core.folders import folder_at
from synthaug.core.runtime import hardware
from synthaug.shards.manifest import MANIFEST_NAME
from synthaug.shards.verify import verify_set
from synthaug.workflows.cost import COST_NAME, SamplingCost, read_cost
from synthaug.workflows.export import ExportConfig, export
from synthaug.workflows.synthesize import GenerateConfig, generate
from synthaug.workflows.verify import VerifyConfig, verify
from tests.workflows.sets import MakeConfig, hashes_of, interrupt


def lines_of(config: GenerateConfig) -> list[dict[str, object]]:
    path = Path(config.out) / COST_NAME
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def images_of(config: GenerateConfig) -> list[object]:
    return [line["images"] for line in lines_of(config)]


def test_a_run_notes_how_many_images_it_drew_in_what_time_on_what(make_config: MakeConfig) -> None:
    config = make_config()
    result = generate(config)
    [line] = lines_of(config)
    assert set(line) == {"images", "seconds", "device", "hardware"}
    assert (line["images"], line["device"], line["hardware"]) == (30, "cpu", hardware())
    assert 0 < line["seconds"] <= result.seconds + 0.01
    cost = read_cost(config.out)
    assert cost is not None
    assert cost.images_per_second == pytest.approx(30 / line["seconds"])


def test_every_run_that_draws_adds_a_line_and_counts_its_own_images_only(make_config: MakeConfig) -> None:
    config = make_config()
    generate(make_config(shards="0"))
    generate(config)
    generate(config)  # nothing is left to do
    assert images_of(config) == [12, 18]
    generate(make_config(per_class=7, mode="extend"))
    assert images_of(config) == [12, 18, 40]
    assert read_cost(config.out).images == 70
    (Path(config.out) / "train-000001.tar").unlink()
    generate(make_config(per_class=7))
    assert images_of(config) == [12, 18, 40, 12]


def test_overwriting_begins_a_new_record(make_config: MakeConfig) -> None:
    generate(make_config())
    generate(make_config(mode="overwrite", per_class=2))
    assert images_of(make_config()) == [20]


def test_an_interrupted_run_notes_nothing(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt(monkeypatch, at_call=3)
    with pytest.raises(KeyboardInterrupt):
        generate(make_config())
    assert lines_of(make_config()) == []


def test_the_record_is_no_part_of_the_set(make_config: MakeConfig, tiny_checkpoint: Path, tmp_path: Path) -> None:
    config = make_config()
    generate(config)
    before, manifest = hashes_of(config.out), (Path(config.out) / MANIFEST_NAME).read_text()
    assert COST_NAME not in manifest
    (Path(config.out) / COST_NAME).write_text("anything\n")
    assert verify_set(config.out, deep=True).samples == 30
    verify(VerifyConfig(folder=config.out, deep=True, repair=True, model=str(tiny_checkpoint), device="cpu"))
    (Path(config.out) / MANIFEST_NAME).unlink()
    verify(VerifyConfig(folder=config.out, finish=True))
    assert generate(config).new_images == 0
    assert hashes_of(config.out) == before
    with pytest.raises(InputError, match="seed is 0 there and 1 now"):
        generate(make_config(seed=1))
    export(ExportConfig(folder=config.out, to="imagefolder", out=str(tmp_path / "exported")))
    assert not list((tmp_path / "exported").rglob(COST_NAME))


def test_a_set_in_a_store_gets_no_record(make_config: MakeConfig) -> None:
    place = f"memory://{uuid.uuid4().hex}/set"
    generate(make_config(place).model_copy(update={"out": place}))
    assert MANIFEST_NAME in folder_at(place).names()
    assert COST_NAME not in folder_at(place).names()
    assert read_cost(place) is None


def test_lines_that_are_none_are_passed_over(tmp_path: Path) -> None:
    assert read_cost(tmp_path) is None
    (tmp_path / COST_NAME).write_text(
        '{"images": 10, "seconds": 2.5, "device": "cuda", "hardware": "B"}\n'
        '{"images": 0, "seconds": 1.0, "device": "cuda", "hardware": "B"}\n'
        '{"images": 10, "seconds": 0.0, "device": "cuda", "hardware": "B"}\n'
        '{"images": 10, "seconds": NaN, "device": "cuda", "hardware": "B"}\n'
        '[1]\n"x"\n\n{"images": 10, "sec'
        '\n{"images": 30, "seconds": 1.5, "device": "cpu", "hardware": "A"}\n'
    )
    assert read_cost(tmp_path) == SamplingCost(images=40, seconds=4.0, hardware=("A (cpu)", "B (cuda)"))
    (tmp_path / COST_NAME).write_text("nothing\n")
    assert read_cost(tmp_path) is None
