"""A diffusers pipeline for the exported folder."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import DiffusionPipeline, ImagePipelineOutput
from diffusers.utils.torch_utils import randn_tensor

from synthaug.core.errors import InputError
from synthaug.generators.acgan.sampler import truncated


class ACGANPipeline(DiffusionPipeline):  # type: ignore[misc]
    """Draws images of given classes in one evaluation.

        pipeline = ACGANPipeline.from_pretrained("runs/acgan")
        images = pipeline([3, 5], truncation=2.0, generator=torch.manual_seed(0)).images

    Args:
        generator: An `ACGANGenerator`.
    """

    def __init__(self, generator: Any) -> None:
        super().__init__()
        self.register_modules(generator=generator)

    @torch.no_grad()
    def __call__(
        self,
        class_labels: list[int],
        truncation: float | None = None,
        generator: torch.Generator | list[torch.Generator] | None = None,
    ) -> ImagePipelineOutput:
        """Draws one image for each label.

        Args:
            class_labels: Classes, by number.
            truncation: Largest absolute value of a latent variable; None for no truncation.
            generator: Source of the latent variables, or one for each image.

        Raises:
            InputError: For a label that the generator does not know.
        """
        network, device = self.components["generator"], self._execution_device
        classes = network.config.classes
        if not class_labels or not all(0 <= label < classes for label in class_labels):
            raise InputError(f"class_labels must be numbers in 0..{classes - 1}, found {class_labels}")
        shape = (len(class_labels), network.config.latent)
        latents = randn_tensor(shape, generator=generator, device=device, dtype=network.dtype)
        images = network.eval()(truncated(latents, truncation), torch.tensor(class_labels, device=device))
        array = (images.float() / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).cpu().numpy()
        return ImagePipelineOutput(images=self.numpy_to_pil(array))
