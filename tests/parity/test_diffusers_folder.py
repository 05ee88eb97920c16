"""Diffusers alone draws from a checkpoint folder what we draw, and so does our pipeline."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from synthaug.core.errors import InputError
from synthaug.core.pixels import to_storage
from synthaug.core.runtime import Runtime
from synthaug.data.splits import Splits
from synthaug.generators.base import Generator, SamplerSettings, TrainRequest
from synthaug.generators.ddpm.backend import BACKEND
from synthaug.generators.ddpm.pipeline import ClassConditionalDDPMPipeline
from tests.conftest import make_images_of

# diffusers hands tensors to numpy in a way that numpy 2 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
CPU = Runtime("cpu", "fp32")
LABELS = torch.tensor([0, 2, 1, 2])
CASES = {
    f"{objective}-{preset}": (objective, preset)
    for objective in ("epsilon", "v", "edm")
    for preset in ("digits", "cpu")
}
Trained = Callable[[str], Path]


class FixedNoise:
    """Gives one array of noise."""

    def __init__(self, noise: Tensor) -> None:
        self._noise = noise

    def draw(self) -> Tensor:
        return self._noise


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, digits_splits: Splits) -> Trained:
    """`trained(case)`: a checkpoint of 8x8 images in three classes after three steps; `cpu` sees patches of 2x2."""
    folders: dict[str, Path] = {}

    def train(case: str) -> Path:
        if case not in folders:
            objective, preset = CASES[case]
            request = TrainRequest(
                images=make_images_of(class_names=("a", "b", "c"), channels=3),
                split=digits_splits.record,
                allows_flip=False,
                preset=preset,
                out=tmp_path_factory.mktemp(case) / "checkpoint",
                runtime=CPU,
                budget=3 * 4,
                batch_size=4,
                grid_every=1000,
                logger="csv",
                options={"objective": objective},
            )
            folders[case] = BACKEND.train(request)
        return folders[case]

    return train


def initial_noise() -> Tensor:
    return torch.randn(4, 3, 8, 8, generator=torch.manual_seed(5))


def ours(folder: Path, guidance: float = 1.0) -> Tensor:
    generator: Generator = BACKEND.load(folder, CPU)
    return generator.sample(LABELS, FixedNoise(initial_noise()), SamplerSettings("dpmpp", 20, guidance))


def assert_same_pixels(found: Tensor, expected: Tensor) -> None:
    assert found.shape == expected.shape
    assert (found.int() - expected.int()).abs().max() <= 1
    assert expected.float().std() > 10  # there is something to see


@torch.no_grad()
def by_diffusers_alone(folder: Path, noise: Tensor, labels: Tensor, steps: int) -> Tensor:
    """The recipe of the documentation, without a line of ours."""
    name = json.loads((folder / "model_index.json").read_text())["scheduler"][1]
    scheduler = getattr(diffusers, name).from_pretrained(folder, subfolder="scheduler")
    unet = diffusers.UNet2DModel.from_pretrained(folder, subfolder="unet", use_safetensors=True).eval()
    patch = noise.shape[-1] // unet.config.sample_size
    images = F.pixel_unshuffle(noise, patch) * scheduler.init_noise_sigma
    scheduler.set_timesteps(steps)
    for timestep in scheduler.timesteps:
        output = unet(scheduler.scale_model_input(images, timestep), timestep, class_labels=labels).sample
        images = scheduler.step(output, timestep, images).prev_sample
    return F.pixel_shuffle(images, patch)


@pytest.mark.parametrize("case", CASES)
def test_diffusers_alone_draws_the_same_images(trained: Trained, case: str) -> None:
    folder = trained(case)
    assert_same_pixels(to_storage(by_diffusers_alone(folder, initial_noise(), LABELS, 20)), ours(folder))


@pytest.mark.parametrize("guidance", [1.0, 2.5, 0.0])
@pytest.mark.parametrize("case", CASES)
def test_pipeline_draws_the_same_images(trained: Trained, case: str, guidance: float) -> None:
    folder = trained(case)
    pipeline = quiet_pipeline(folder)
    found = pipeline(LABELS.tolist(), guidance_scale=guidance, generator=torch.manual_seed(5), output_type="pt").images
    assert_same_pixels(to_storage(found * 2 - 1), ours(folder, guidance))


def quiet_pipeline(folder: Path) -> Any:
    pipeline = ClassConditionalDDPMPipeline.from_pretrained(folder, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture
def pipeline(trained: Trained) -> Any:
    return quiet_pipeline(trained("epsilon-digits"))


def draw(pipeline: Any, labels: list[int], **options: Any) -> Any:
    return pipeline(labels, num_inference_steps=3, **{"generator": torch.manual_seed(1), **options})


def test_pipeline_gives_the_same_images_in_every_form(pipeline: Any) -> None:
    tensor = draw(pipeline, [0, 2], output_type="pt").images
    array = draw(pipeline, [0, 2], output_type="np").images
    pictures = draw(pipeline, [0, 2]).images
    assert tensor.shape == (2, 3, 8, 8)
    assert 0 <= float(tensor.min()) < float(tensor.max()) <= 1
    assert array.shape == (2, 8, 8, 3)
    assert np.array_equal(array, tensor.permute(0, 2, 3, 1).numpy())
    assert [(picture.size, picture.mode) for picture in pictures] == [((8, 8), "RGB")] * 2
    assert all(isinstance(picture, Image.Image) for picture in pictures)
    assert np.array_equal(np.stack(pictures), (array * 255).round().astype(np.uint8))


def test_pipeline_gives_a_tuple_if_asked(pipeline: Any) -> None:
    (images,) = draw(pipeline, [1], output_type="pt", return_dict=False)
    assert torch.equal(images, draw(pipeline, [1], output_type="pt").images)


def test_pipeline_takes_a_generator_for_each_image(pipeline: Any) -> None:
    generators = [torch.Generator().manual_seed(seed) for seed in (7, 8)]
    both = draw(pipeline, [0, 1], generator=generators, output_type="pt").images
    second = draw(pipeline, [1], generator=torch.Generator().manual_seed(8), output_type="pt").images
    torch.testing.assert_close(both[1:], second, rtol=0, atol=1e-5)


@pytest.mark.parametrize("labels", [[], [3], [-1], [0, 99]])
def test_labels_that_the_network_does_not_know_are_refused(pipeline: Any, labels: list[int]) -> None:
    with pytest.raises(InputError, match=r"class_labels must be numbers in 0\.\.2, found"):
        draw(pipeline, labels)


def test_pipeline_can_be_saved_and_loaded_again(pipeline: Any, tmp_path: Path) -> None:
    pipeline.save_pretrained(tmp_path / "again")
    again = quiet_pipeline(tmp_path / "again")
    assert torch.equal(draw(again, [0], output_type="pt").images, draw(pipeline, [0], output_type="pt").images)


def test_folder_opens_as_the_stock_pipeline(trained: Trained) -> None:
    folder = trained("epsilon-digits")
    stock = diffusers.DDPMPipeline.from_pretrained(folder, local_files_only=True)
    loaded = BACKEND.load(folder, CPU)
    weights = stock.unet.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in loaded.network.state_dict().items())


@pytest.mark.parametrize("case", ["v-digits", "v-cpu"])
def test_other_schedulers_can_be_made_from_the_configuration(trained: Trained, case: str) -> None:
    folder = trained(case)
    pipeline = quiet_pipeline(folder)
    pipeline.scheduler = diffusers.DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config, solver_order=3)
    found = pipeline(LABELS.tolist(), generator=torch.manual_seed(5), output_type="pt").images
    generator = BACKEND.load(folder, CPU)
    expected = generator.sample(LABELS, FixedNoise(initial_noise()), SamplerSettings("dpmpp3m", 20, 1.0))
    assert_same_pixels(to_storage(found * 2 - 1), expected)
