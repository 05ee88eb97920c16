"""What only a GPU shows: a training that is stopped and resumed there, and draws from what it learned."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from synthaug.core.runtime import Runtime
from synthaug.core.seeding import SampleNoise
from synthaug.data.splits import Splits
from synthaug.generators.base import TrainRequest, load_backend

BATCH, STEPS = 8, 510  # more than an ACGAN remembers losses of its discriminator


@pytest.mark.gpu
@pytest.mark.parametrize("model", ["acgan", "ddpm"])
def test_a_training_continues_on_the_gpu_and_draws(tmp_path: Path, digits_splits: Splits, model: str) -> None:
    backend, runtime = load_backend(model), Runtime.resolve("cuda", "bf16")
    per_step = BATCH * (2 if model == "acgan" else 1)

    def request(steps: int, resume_from: Path | None) -> TrainRequest:
        return TrainRequest(
            images=digits_splits.train,
            split=digits_splits.record,
            allows_flip=False,
            preset="digits",
            out=tmp_path,
            runtime=runtime,
            budget=steps * per_step,
            batch_size=BATCH,
            logger="csv",
            resume_from=resume_from,
        )

    backend.train(request(STEPS, None))
    backend.train(request(STEPS + 100, tmp_path / "training" / "state.ckpt"))
    generator = backend.load(tmp_path, runtime)
    labels = torch.arange(10)
    noise = SampleNoise(0, [(label, 0) for label in range(10)], generator.spec.noise_shape)
    images = generator.sample(labels, noise, generator.default_settings)
    assert images.shape == (10, 1, 8, 8)
    assert images.float().std() > 10
