"""What `estimate` predicts, against the set that is then made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from synthaug.core.errors import InputError
from synthaug.shards.decoded import DecodedSet
from synthaug.workflows import estimate as module
from synthaug.workflows.estimate import EstimateConfig, estimate
from synthaug.workflows.synthesize import GenerateConfig, generate


def options(checkpoint: Path, **more: Any) -> dict[str, Any]:
    """A small set in fp32 on the CPU."""
    small = {"per_class": 30, "shard_size": 50, "batch_size": 50, "steps": 1, "device": "cpu", "precision": "fp32"}
    return {"model": str(checkpoint), **small, **more}


@pytest.mark.parametrize("image_format", ["png", "webp"])
def test_the_predicted_size_is_that_of_the_set(image_format: str, tiny_checkpoint: Path, tmp_path: Path) -> None:
    values = options(tiny_checkpoint, image_format=image_format)
    predicted = estimate(EstimateConfig.resolve(values))
    generate(GenerateConfig.resolve({**values, "out": tmp_path / "set"}))
    actual = sum(path.stat().st_size for path in (tmp_path / "set").glob("*.tar"))
    assert (predicted.images, predicted.shards) == (300, 6)
    assert predicted.bytes == pytest.approx(actual, rel=0.02)
    decoded = DecodedSet(tmp_path / "set")
    assert predicted.memory_bytes == decoded.pixels.nbytes + decoded.labels.nbytes


def test_the_time_is_the_measured_rate_over_the_whole_set(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter([10.0, 14.0])
    monkeypatch.setattr(module.time, "perf_counter", lambda: next(ticks))
    predicted = estimate(EstimateConfig.resolve(options(tiny_checkpoint, batches=2)))
    assert predicted.measured_images == 100
    assert predicted.images_per_second == 25.0
    assert predicted.seconds == 12.0


def test_it_writes_nothing(tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    estimate(EstimateConfig.resolve(options(tiny_checkpoint, batches=1)))
    assert not list(tmp_path.iterdir())


def test_it_refuses_what_generate_refuses(tiny_checkpoint: Path) -> None:
    with pytest.raises(InputError, match="--classes"):
        estimate(EstimateConfig.resolve(options(tiny_checkpoint, classes="12")))
